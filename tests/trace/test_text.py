"""What people read.  The whole is in tests/golden; here is what each part promises."""

from _fastpath.reason import Reason, Verdict
from dataplane.reference.steps import Event, EventKind, StepKind
from dataplane.trace.caption import Caption
from dataplane.trace.describe import Describer
from dataplane.trace.minimal import minimal
from dataplane.trace.record import Record
from dataplane.trace.text import text
from tests.trace.records import CLIENT, at, made, rule, to_service, two_nodes

CAPTION = Caption(17, "client.pcap", time_ns=1_250_000_000, start_ns=1_000_000_000)
A = "node-a"


def told(record: Record) -> list[str]:
    """Lines, with one space for many."""
    lines = text(record, Describer(*two_nodes()), CAPTION).splitlines()
    return [" ".join(line.split()) for line in lines]


def test_which_packet() -> None:
    assert told(to_service())[:4] == [
        "packet 17 client.pcap:17 0.250000 s",
        "TCP 10.244.1.2:40000 → 10.96.10.10:80 [S]",
        "pod/default/client → svc/default/web:http",
        "",
    ]


def test_a_rule_stands_with_its_own_text_and_the_object_behind_it() -> None:
    [line] = [line for line in told(to_service()) if line.startswith("KUBE-SERVICES:2")]
    words = "-d 10.96.10.10/32 -p tcp -m tcp --dport 80 -j KUBE-SVC-CDGGSHYLG3RE2FKL"
    before, _, path = line.partition(f"KUBE-SERVICES:2 {words} svc/default/web:http ")
    assert before == ""
    assert path.endswith("cluster.yaml:275")


def test_where_an_object_was_declared_is_told_once() -> None:
    lines = [line for line in told(to_service()) if "pod/default/web-3" in line]
    assert len(lines) > 2
    assert sum("cluster.yaml:218" in line for line in lines) == 1


def test_what_changed_stands_with_the_step_that_changed_it() -> None:
    lines = told(to_service())
    assert lines[lines.index("ttl 64 → 63") - 1].startswith("route 10.244.2.0/24")
    assert "DNAT dst 10.96.10.10:80 → 10.244.2.3:8080" in lines
    assert "KUBE-SVC-CDGGSHYLG3RE2FKL:2 draw 0.75000 ≥ 0.33333 ✘" in lines


def test_a_matching_draw_follows_its_rule() -> None:
    steps = [rule(A, "nat", "KUBE-SERVICES", 2), rule(A, "nat", "KUBE-SVC-CDGGSHYLG3RE2FKL", 2)]
    event = Event(EventKind.EVENT_DRAW, 1, 0, round(2**31 / 3))
    lines = told(made(steps=steps, events=[event]))
    at_rule = next(i for i, line in enumerate(lines) if line.startswith("KUBE-SVC"))
    assert lines[at_rule + 1] == "draw 0.00000 < 0.33333 ✔"


def test_policies_of_empty_chains_are_left_out() -> None:
    assert not [line for line in told(to_service()) if line.startswith("mangle")]


def test_inside_a_tunnel_lines_have_a_bar() -> None:
    assert "│ out eth0" in told(to_service())


def test_a_delivered_end() -> None:
    assert told(to_service())[-2:] == [
        "DELIVERED node-b vetha11124ff pod/default/web-3",
        "10.244.1.2:40000 → 10.244.2.3:8080 ttl 62",
    ]


def refused() -> Record:
    steps = [
        at(StepKind.STEP_DEVICE_IN, A, CLIENT),
        rule(A, "filter", "FORWARD", 3),
        rule(A, "filter", "KUBE-SERVICES", 1),
        at(StepKind.STEP_GENERATE, A),
        rule(A, "filter", "OUTPUT", 1),
    ]
    reason, place = Reason.NETFILTER_REJECT, (A, None)
    return made(verdict=Verdict.REJECTED, reason=reason, place=place, steps=steps)


def test_a_refusal_names_the_rule_and_the_kernels_reason() -> None:
    assert told(refused())[-4:] == [
        "REJECTED node-a node/node-a",
        "NETFILTER_REJECT: A REJECT rule refuses it.",
        "by node-a filter KUBE-SERVICES:1",
        "SKB_DROP_REASON_NETFILTER_DROP",
    ]
    assert "node-a, a packet of its own" in told(refused())


def test_a_policy_that_drops_is_named() -> None:
    steps = [rule(A, "filter", "FORWARD", 1), rule(A, "filter", "FORWARD", 0)]
    record = made(
        verdict=Verdict.DROPPED, reason=Reason.NETFILTER_DROP, place=(A, None), steps=steps
    )
    assert "by node-a filter FORWARD:policy" in told(record)


def test_what_was_not_injected_has_no_way() -> None:
    record = made(
        verdict=Verdict.SKIPPED, reason=Reason.UNANSWERED, place=("", None), entry=("", None)
    )
    assert told(record)[4:] == [
        "SKIPPED",
        "UNANSWERED: A recorded reply in a flow that was never delivered.",
    ]


def test_minimal_is_a_line_for_each_step_that_says_something() -> None:
    record = to_service()
    lines = minimal(record, Describer(*two_nodes())).splitlines()
    silent = [step for step in record.steps if step.table == "mangle"]
    assert len(lines) == 1 + len(record.steps) - len(silent) + 1
    assert lines[0] == "TCP 10.244.1.2:40000 > 10.96.10.10:80 [S]"
    assert "node-a nat KUBE-SERVICES 2 KUBE-SVC-CDGGSHYLG3RE2FKL" in lines
    assert "node-a DNAT dst 10.96.10.10:80 > 10.244.2.3:8080" in lines
    assert lines[-1] == (
        "= DELIVERED HOST node-b vetha11124ff 10.244.1.2:40000 > 10.244.2.3:8080 ttl 62"
    )


def test_minimal_does_not_show_what_is_random() -> None:
    """Draws, outer ports and identifications differ by seed; neither do they say more."""
    record = to_service()
    calm = made(steps=record.steps, events=[e for e in record.events if e.kind < 8])
    describer = Describer(*two_nodes())
    assert minimal(record, describer) == minimal(calm, describer)
