from dataclasses import replace
from ipaddress import ip_address

import pytest

from _fastpath.reason import Reason, Verdict
from dataplane.reference.steps import StepKind
from dataplane.trace.caption import Caption
from dataplane.trace.describe import Describer
from dataplane.trace.line import Lines
from dataplane.trace.record import Record
from tests.trace.records import CLIENT, at, made, rule, to_service, two_nodes
from tests.trace.test_text import refused

A, B = "node-a", "node-b"
TO_WEB_3 = (
    "pod/default/client › node-a DNAT 10.244.2.3:8080 (svc/default/web:http) › vxlan › node-b"
    " › pod/default/web-3  DELIVERED"
)


def lines() -> Lines:
    return Lines(Describer(*two_nodes()))


def test_a_whole_line() -> None:
    caption = Caption(17, "client.pcap", time_ns=1_250_000_000, start_ns=1_000_000_000)
    line = lines().line(to_service(), caption)
    head = "    17     0.250000 > TCP 10.244.1.2:40000 → 10.96.10.10:80 [S] "
    assert line.startswith(head)
    assert line.removeprefix(head).lstrip() == TO_WEB_3


def test_a_reply_points_back() -> None:
    assert " < TCP " in lines().line(to_service(), Caption(1, is_reply=True))


def way(record: Record) -> str:
    return lines().rest(record).partition("]")[2].strip()


def test_an_end_at_the_node_itself() -> None:
    steps = [at(StepKind.STEP_DEVICE_IN, A, "eth0"), at(StepKind.STEP_LOCAL_IN, A)]
    record = made(steps=steps, entry=(A, "eth0"), place=(A, None), reason=Reason.LOCAL_PROCESS)
    assert way(record) == "pod/default/client › node-a › local process  DELIVERED"


def test_a_start_that_has_no_name_is_its_address() -> None:
    steps = [at(StepKind.STEP_DEVICE_IN, A, "eth0")]
    record = made(
        steps=steps,
        src=ip_address("192.0.2.9"),
        entry=(A, "eth0"),
        place=(A, "eth0"),
        verdict=Verdict.FORWARDED,
        reason=Reason.LEFT_BY_DEVICE,
    )
    assert way(record) == "192.0.2.9 › node-a › eth0  FORWARDED"


def test_a_refusal_shows_rule_and_answer() -> None:
    assert way(refused()) == (
        "pod/default/client › node-a ⇠ ICMP unreachable ✘ filter KUBE-SERVICES:1"
        "  REJECTED NETFILTER_REJECT"
    )


def test_what_was_not_injected_has_no_way() -> None:
    record = made(
        verdict=Verdict.SKIPPED, reason=Reason.UNANSWERED, place=("", None), entry=("", None)
    )
    assert way(record) == "SKIPPED UNANSWERED"


def test_translations_inside_and_around_a_tunnel() -> None:
    steps = [
        at(StepKind.STEP_CONNTRACK, A, number=3),
        at(StepKind.STEP_NAT, A, number=0),
        at(StepKind.STEP_ENCAPSULATE, A, "flannel.1"),
        at(StepKind.STEP_CONNTRACK, A, number=2),
        at(StepKind.STEP_NAT, A, number=0),
    ]
    record = made(steps=steps, entry=(A, CLIENT), place=(A, "eth0"))
    assert way(record) == (
        "pod/default/client › node-a un-DNAT 10.244.1.2:40000 SNAT › vxlan › eth0  DELIVERED"
    )


def test_packets_of_one_path_share_its_way_but_not_its_addresses() -> None:
    found = lines()
    first = to_service()
    other = replace(
        first, end_dst=ip_address("10.244.2.2"), end_dport=81, dst=ip_address("192.0.2.1")
    )
    assert found.rest(first, 0) == lines().rest(first)
    assert found.rest(other, 0) == lines().rest(other)
    assert "DNAT 10.244.2.2:81 ›" in found.rest(other, 0)


@pytest.mark.parametrize(
    ("number_", "name"), [(0, "policy"), (1, "1")], ids=["by a policy", "by a rule"]
)
def test_what_dropped_it(number_: int, name: str) -> None:
    record = made(
        verdict=Verdict.DROPPED,
        reason=Reason.NETFILTER_DROP,
        place=(A, None),
        steps=[at(StepKind.STEP_DEVICE_IN, A, CLIENT), rule(A, "filter", "FORWARD", number_)],
    )
    expected = f"pod/default/client › node-a ✘ filter FORWARD:{name}  DROPPED NETFILTER_DROP"
    assert way(record) == expected
