import json
from ipaddress import ip_address

from _fastpath.reason import Reason, Verdict
from dataplane.node import iptables
from dataplane.node.state import NodeState
from dataplane.trace.caption import Caption
from dataplane.trace.describe import Describer
from dataplane.trace.jsonl import JsonLines, rfc3339
from tests.trace.records import made, rule, to_service, two_nodes

CAPTION = Caption(17, "client.pcap", time_ns=1_700_000_000_000_000_001, flow=3)


def packet(**changed: object) -> dict[str, object]:
    line = JsonLines(Describer(*two_nodes())).line(made(**changed), CAPTION)
    assert line.endswith(b"}\n")
    assert line.count(b"\n") == 1
    found = json.loads(line)
    assert isinstance(found, dict)
    return found


def test_a_packet() -> None:
    assert packet() == {
        "file": "client.pcap",
        "packet": 17,
        "time": "2023-11-14T22:13:20.000000001Z",
        "flow": 3,
        "reply": False,
        "protocol": "tcp",
        "src": "10.244.1.2",
        "sport": 40000,
        "dst": "10.96.10.10",
        "dport": 80,
        "tcp_flags": "S",
        "icmp_type": None,
        "icmp_code": None,
        "icmp_id": None,
        "from": "pod/default/client",
        "to": "svc/default/web:http",
        "verdict": "DELIVERED",
        "reason": "HOST",
        "skb_drop_reason": None,
        "node": "node-b",
        "device": "vetha11124ff",
        "at": "pod/default/web-3",
        "length": 74,
        "end": {
            "src": "10.244.1.2",
            "sport": 40000,
            "dst": "10.244.2.3",
            "dport": 8080,
            "ttl": 62,
        },
        "steps": [],
        "changes": [],
        "draws": [],
    }


def test_icmp_has_no_ports() -> None:
    found = packet(proto=1, sport=7, dport=8 << 8 | 1)
    assert [found[key] for key in ("icmp_type", "icmp_code", "icmp_id")] == [8, 1, 7]
    assert [found[key] for key in ("sport", "dport", "tcp_flags")] == [None, None, None]


def test_what_is_not_ip_has_no_addresses() -> None:
    found = packet(family=0, proto=0, src=None, dst=None, end_src=None, end_dst=None)
    assert found["protocol"] == ""
    assert [found[key] for key in ("src", "dst", "from", "to")] == [None] * 4


def test_nowhere_is_null() -> None:
    found = packet(verdict=Verdict.SKIPPED, reason=Reason.NO_ENTRY, place=("", None))
    assert [found[key] for key in ("node", "device", "at")] == [None] * 3


def test_steps_and_values() -> None:
    record = to_service()
    found = json.loads(JsonLines(Describer(*two_nodes())).line(record, CAPTION))
    steps = found["steps"]
    assert len(steps) == len(record.steps)
    assert steps[0] == {"kind": "device_in", "node": "node-a", "name": "vethce2a28d0"}
    assert steps[1] == {"kind": "conntrack", "node": "node-a", "name": "NEW"}
    declared = steps[4].pop("declared")
    assert declared.endswith("cluster.yaml:275")
    assert steps[4] == {
        "kind": "rule",
        "node": "node-a",
        "family": 4,
        "table": "nat",
        "chain": "KUBE-SERVICES",
        "number": 2,
        "target": "KUBE-SVC-CDGGSHYLG3RE2FKL",
        "text": '-A KUBE-SERVICES -d 10.96.10.10/32 -p tcp -m comment --comment "default/web:http'
        ' cluster IP" -m tcp --dport 80 -j KUBE-SVC-CDGGSHYLG3RE2FKL',
        "object": "svc/default/web:http",
    }
    change = found["changes"][0]
    assert steps[change["step"]] == {"kind": "nat", "node": "node-a", "name": "DNAT"}
    assert change["before"] == "10.96.10.10:80"
    draw = found["draws"][0]
    assert steps[draw["step"]]["chain"] == draw["chain"]
    assert (draw["number"], draw["matched"]) == (2, False)


def test_a_policys_number_is_there_though_it_is_zero() -> None:
    [step] = packet(steps=[rule("node-a", "mangle", "FORWARD", 0)])["steps"]  # type: ignore[misc]
    assert step["number"] == 0
    assert step["target"] == "ACCEPT"


def test_a_path_is_encoded_once_and_packets_are_not() -> None:
    lines = JsonLines(Describer(*two_nodes()))
    first = to_service()
    alone = JsonLines(Describer(*two_nodes())).line(first, CAPTION)
    assert lines.line(first, CAPTION, path=0) == alone
    assert lines.line(first, CAPTION, path=0) == alone
    other = json.loads(lines.line(made(src=ip_address("192.0.2.9")), CAPTION, path=0))
    assert other["src"] == "192.0.2.9"
    assert len(other["steps"]) == len(first.steps)


def test_comments_of_any_bytes_are_still_json() -> None:
    rule_text = b'-A FORWARD -m comment --comment "\xff\xfe" -j DROP'.decode(
        "utf-8", "surrogateescape"
    )
    text = f"*filter\n:FORWARD DROP [0:0]\n{rule_text}\nCOMMIT\n"
    parsed = iptables.parse(text, "save", family=4)
    nodes = {"node-a": NodeState("node-a", iptables=parsed)}
    record = made(steps=[rule("node-a", "filter", "FORWARD", 1)])
    [step] = json.loads(JsonLines(Describer(nodes)).line(record, CAPTION))["steps"]
    assert "�" in step["text"]


def test_times_have_nine_digits() -> None:
    assert rfc3339(0) == "1970-01-01T00:00:00.000000000Z"
    assert rfc3339(2**64 - 1) == "2554-07-21T23:34:33.709551615Z"
