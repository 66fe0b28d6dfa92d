"""Chance as a function: the kernel's key is the specification's, and values fed in are used up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from _fastpath import choice
from _fastpath.choice import ChoiceKind
from dataplane.reference import choice as reference
from dataplane.reference.choice import Fields

from .strategies import FAMILIES, PROTOCOLS, addr, addresses, ports

numbers = st.sampled_from([0, 1, 1 << 63, (1 << 64) - 1]) | st.integers(0, (1 << 64) - 1)


@st.composite
def fields(draw):
    family = draw(FAMILIES)
    src, dst = draw(addresses(family)), draw(addresses(family))
    return Fields(family, draw(st.sampled_from(PROTOCOLS)), src, draw(ports), dst, draw(ports))


def key(seed, kind, node, flow, extra):
    return choice.key(
        seed, kind, node, flow.family, flow.protocol,
        addr(flow.src or 0), flow.sport, addr(flow.dst or 0), flow.dport, extra,
    )  # fmt: skip


@given(numbers, st.sampled_from(ChoiceKind), numbers, fields() | st.just(Fields()), numbers)
def test_key_equals_reference(seed, kind, node, flow, extra):
    expected = reference.choice_key(seed, kind, node, flow, extra)
    assert key(seed, kind, node, flow, extra) == expected


def test_kinds_are_the_specification_s():
    assert {kind.name.removeprefix("CHOICE_"): int(kind) for kind in ChoiceKind} == {
        kind.name: int(kind) for kind in reference.ChoiceKind
    }


BASE = {"seed": 7, "kind": 1, "node": 11, "extra": 13}


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 8}, {"kind": 2}, {"node": 12}, {"extra": 14}, {"sport": 2}, {"dport": 2},
        {"protocol": 17}, {"family": 6}, {"src": 2}, {"dst": 2},
    ],
)  # fmt: skip
def test_a_draw_depends_on_every_part(change):
    def drawn(**changed):
        flow = {"family": 4, "protocol": 6, "src": 1, "sport": 1, "dst": 1, "dport": 1}
        flow |= {name: value for name, value in changed.items() if name in flow}
        rest = BASE | {name: value for name, value in changed.items() if name in BASE}
        return key(rest["seed"], rest["kind"], rest["node"], Fields(**flow), rest["extra"])

    assert drawn(**change) != drawn()


def test_the_two_ends_are_not_interchangeable():
    there = Fields(4, 6, 1, 1000, 2, 80)
    assert key(0, 1, 0, there, 0) != key(0, 1, 0, Fields(4, 6, 2, 80, 1, 1000), 0)


def test_draws_are_spread_evenly():
    """A coin of 1/2 over 4096 flows: the chance of a deviation this large is 1 in 10^9."""
    drawn = [key(0, 1, 0, Fields(4, 6, 1, port, 2, 80), 0) >> 33 for port in range(4096)]
    heads = sum(value < 1 << 30 for value in drawn)
    assert abs(heads - 2048) < 200
