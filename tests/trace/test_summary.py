from _fastpath.reason import Reason, Verdict
from dataplane.trace.summary import ROWS, Summary, summary


def test_verdicts_endpoints_and_what_was_unknown() -> None:
    told = Summary(
        packets=12,
        flows=1,
        verdicts={
            (Verdict.SKIPPED, Reason.UNANSWERED): 1,
            (Verdict.DELIVERED, Reason.LOCAL_PROCESS): 1,
            (Verdict.DELIVERED, Reason.HOST): 10,
        },
        endpoints={("svc/default/web:http", "pod/default/web-3"): 2},
        unknown={"node-a nat FORWARD:1 -m u32 …": 3},
    )
    lines = [" ".join(line.split()) for line in summary(told).splitlines()]
    assert lines == [
        "12 packets in 1 flow",
        "10 DELIVERED HOST Handed to the host behind the device.",
        "1 DELIVERED LOCAL_PROCESS Handed to a process of the node.",
        "1 SKIPPED UNANSWERED A recorded reply in a flow that was never delivered.",
        "",
        "flows by endpoint",
        "2 svc/default/web:http → pod/default/web-3",
        "",
        "not modelled, and it decides",
        "3 node-a nat FORWARD:1 -m u32 …",
    ]


def test_long_tables_are_cut_and_say_so() -> None:
    endpoints = {(f"svc/{n}", "pod"): n for n in range(ROWS + 5)}
    text = summary(Summary(1, 1, {}, endpoints))
    assert f"svc/{ROWS + 4}" in text
    assert "svc/0" not in text
    assert "… and 5 more" in text


def test_nothing_was_replayed() -> None:
    assert summary(Summary(0, 0, {})) == "0 packets in 0 flows\n"
