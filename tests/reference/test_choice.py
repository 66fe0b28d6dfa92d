from ipaddress import ip_address
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.reference.choice import (
    ChoiceKind,
    Choices,
    Fields,
    choice_key,
    fold,
    identity,
    mix64,
    rule_identity,
)

FLOW = Fields(4, 6, ip_address("10.0.0.1"), 1000, ip_address("10.0.0.2"), 80)
BACK = Fields(4, 6, ip_address("10.0.0.2"), 80, ip_address("10.0.0.1"), 1000)
RULE = rule_identity(4, "nat", "KUBE-SVC", 1)


def test_splitmix64():
    """The first outputs of splitmix64 seeded with 0."""
    assert fold(0, 0) == 0xE220A8397B1DCDAF
    assert mix64(2 * 0x9E3779B97F4A7C15 % 2**64) == 0x6E789E6AA1B965F4


def test_identity_is_little_endian_blake2b():
    assert identity("node-a") == int.from_bytes(identity("node-a").to_bytes(8, "little"), "little")
    assert identity("node-a") != identity("node-b")
    assert identity("4 nat KUBE-SVC 1") == RULE


@given(st.integers(0, 2**64 - 1), st.sampled_from(list(ChoiceKind)))
def test_key_is_64_bits_and_hangs_on_everything(seed, kind):
    key = choice_key(seed, kind, identity("n"), FLOW, 0)
    assert 0 <= key < 2**64
    others = {
        choice_key(seed ^ 1, kind, identity("n"), FLOW, 0),
        choice_key(seed, kind, identity("m"), FLOW, 0),
        choice_key(seed, kind, identity("n"), BACK, 0),
        choice_key(seed, kind, identity("n"), FLOW._replace(dport=81), 0),
        choice_key(seed, kind, identity("n"), FLOW, 1),
    }
    assert key not in others
    assert len(others) == 5


def test_draws_are_a_function_of_the_flow_alone():
    one, other = Choices(7, None), Choices(7, None)
    other.statistic_draw("n", BACK, RULE)
    assert one.statistic_draw("n", FLOW, RULE) == other.statistic_draw("n", FLOW, RULE)
    assert one.statistic_draw("n", FLOW, RULE) < 2**31


def test_outer_ports_are_symmetric_and_in_range():
    choices = Choices(1, None)
    assert choices.vxlan_port("n", FLOW, 100, 200) == choices.vxlan_port("n", BACK, 100, 200)
    assert 100 <= choices.vxlan_port("n", FLOW, 100, 200) < 200
    assert 100 <= choices.vxlan_port("n", Fields(), 100, 200) < 200


def test_identifications_count_per_node_and_are_never_zero():
    choices = Choices(3, None)
    first = [choices.ip_id("n", FLOW) for _ in range(70_000)]
    assert 0 not in first
    steps = {(b - a) % 65536 for a, b in pairwise(first)}
    assert steps == {1, 2}  # 2: past the zero
    assert Choices(3, None).ip_id("m", FLOW) != first[0]


def key(kind, extra=0, fields=FLOW):
    return choice_key(0, kind, identity("n"), fields, extra)


def test_fed_values_come_first_and_the_last_one_stays():
    fed = Choices(9, {key(ChoiceKind.STATISTIC, RULE): [1, 0]})
    assert [fed.statistic_fed("n", FLOW, RULE) for _ in range(4)] == [True, False, False, False]
    assert fed.statistic_fed("n", BACK, RULE) is None


def test_fed_identifications_end():
    fed = Choices(9, {key(ChoiceKind.IP_ID): [500]})
    drawn = Choices(9, None).ip_id("n", FLOW)
    assert [fed.ip_id("n", FLOW), fed.ip_id("n", FLOW)] == [500, drawn]


def test_fed_ports():
    fed = Choices(9, {key(ChoiceKind.NAT_PORT, 0): [40000], key(ChoiceKind.VXLAN_PORT): [50000]})
    assert fed.nat_offset("n", FLOW, 0, 1024, 0) == 40000 - 1024
    assert fed.vxlan_port("n", BACK, 1, 2) == 50000  # one value for both directions


@pytest.mark.parametrize("attempt", [1, 2])
def test_later_rounds_are_drawn(attempt):
    fed = Choices(9, {key(ChoiceKind.NAT_PORT, 0): [40000]})
    assert fed.nat_offset("n", FLOW, 0, 0, attempt) == Choices(9, None).nat_offset(
        "n", FLOW, 0, 0, attempt
    )
