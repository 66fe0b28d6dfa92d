from ipaddress import ip_address

import pytest

from dataplane.reference.steps import Event, EventKind, StepKind
from dataplane.trace.changes import changes
from tests.trace.records import at, made, number, rule, to_service


def test_what_the_way_to_a_service_changes() -> None:
    assert [str(each) for each in changes(to_service())] == [
        "dst 10.96.10.10:80 → 10.244.2.3:8080",
        "ttl 64 → 63",
        "dst MAC 0a:58:0a:f4:01:01 → 8e:4b:0c:7d:3e:0b",
        "outer sport 53841",
        "ip id 38612",
    ]


def test_a_change_belongs_to_the_step_taken_before_it() -> None:
    record = to_service()
    by_what = {each.what: StepKind(record.steps[each.step].kind) for each in changes(record)}
    assert by_what == {
        "dst": StepKind.STEP_NAT,
        "ttl": StepKind.STEP_ROUTE,
        "dst MAC": StepKind.STEP_NEIGHBOUR,
        "outer sport": StepKind.STEP_ENCAPSULATE,
        "ip id": StepKind.STEP_ENCAPSULATE,
    }


A, B = number("10.1.1.1"), number("10.2.2.2")
SRC, SPORT = EventKind.EVENT_SRC, EventKind.EVENT_SPORT


@pytest.mark.parametrize(
    ("events", "told"),
    [
        ([Event(SRC, 1, A, B)], ["src 10.1.1.1 → 10.2.2.2"]),
        ([Event(SPORT, 1, 80, 81)], ["sport 80 → 81"]),
        (
            [Event(SRC, 1, A, B), Event(SPORT, 2, 80, 81)],
            ["src 10.1.1.1 → 10.2.2.2", "sport 80 → 81"],
        ),
        ([Event(SRC, 1, A, B), Event(SPORT, 1, 80, 81)], ["src 10.1.1.1:80 → 10.2.2.2:81"]),
        ([Event(EventKind.EVENT_MARK, 1, 0, 0x4000)], ["mark 0x0 → 0x4000"]),
        ([Event(EventKind.EVENT_ETHER_SRC, 1, 0, 0xA)], ["src MAC 00:00:00:00:00:0a"]),
        ([Event(EventKind.EVENT_DRAW, 1, 5, 6)], []),
        ([Event(EventKind.EVENT_TTL, 0, 64, 63)], ["ttl 64 → 63"]),
    ],
)
def test_words(events: list[Event], told: list[str]) -> None:
    steps = [rule("node-a", "nat", "POSTROUTING", 1)] * 2
    assert [str(each) for each in changes(made(steps=steps, events=events))] == told


def test_addresses_are_of_the_packets_own_family() -> None:
    """`::1` as a number looks like 0.0.0.1; the packet inside a tunnel is not the tunnel's."""
    one = number("::1")
    v6 = ip_address("fd00::1")
    inside = made(family=6, src=v6, dst=v6, events=[Event(SRC, 0, one, one + 1)])
    assert [str(each) for each in changes(inside)] == ["src ::1 → ::2"]
    outer = made(
        family=6,
        src=v6,
        dst=v6,
        steps=[at(StepKind.STEP_ENCAPSULATE, "node-a", "vx")],
        events=[Event(SRC, 1, one, one + 1)],
    )
    assert [str(each) for each in changes(outer)] == ["src 0.0.0.1 → 0.0.0.2"]
