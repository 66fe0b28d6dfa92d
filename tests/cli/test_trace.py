import json
from pathlib import Path

import pytest

from tests.cli.commands import CLIENT_PCAP, MANIFEST, error, objects, output

CLUSTER = ("-f", MANIFEST, "-q")
TO_WEB = ("trace", *CLUSTER, "pod/default/client", "svc/default/web:80")


def words(*args: str) -> list[str]:
    return [" ".join(line.split()) for line in output(*args).splitlines()]


def test_one_synthetic_connection() -> None:
    lines = words(*TO_WEB)
    assert lines[:3] == [
        "packet 1 synthetic:1 0.000000 s",
        "TCP 10.244.1.2:40000 → 10.96.10.10:80 [S]",
        "pod/default/client → svc/default/web:http",
    ]
    assert "DNAT dst 10.96.10.10:80 → 10.244.2." in "\n".join(lines)
    assert len([line for line in lines if line.startswith("packet ")]) == 1


@pytest.mark.parametrize(
    ("extent", "flags"),
    [
        ([], ["S"]),
        (["--reply"], ["S", "S."]),
        (["--whole"], ["S", "S.", ".", "P.", ".", "P.", ".", "F.", "F.", "."]),
    ],
)
def test_how_much_of_the_connection(extent: list[str], flags: list[str]) -> None:
    assert [each["tcp_flags"] for each in objects(*TO_WEB, *extent)] == flags


def test_one_packet_of_a_capture() -> None:
    lines = words("trace", *CLUSTER, "-r", CLIENT_PCAP, "191")
    assert lines[0] == f"packet 191 {CLIENT_PCAP}:191 1.026864 s"
    assert "by node-a filter KUBE-SERVICES:1" in lines


def test_a_packet_is_what_it_is_whether_or_not_others_follow() -> None:
    alone = output("trace", *CLUSTER, "-r", CLIENT_PCAP, "5")
    replayed = output("trace", *CLUSTER, "-r", CLIENT_PCAP, "5", "--reply")
    assert replayed.startswith(alone)


def test_the_connection_of_a_packet() -> None:
    found = objects("trace", *CLUSTER, "-r", CLIENT_PCAP, "5", "--whole")
    assert [each["packet"] for each in found] == list(range(1, 13))


def test_a_ping_where_no_port_is_named() -> None:
    [echo, reply] = objects("trace", *CLUSTER, "pod/client", "pod/web-2", "--whole")
    assert (echo["protocol"], echo["icmp_type"], reply["icmp_type"]) == ("icmp", 8, 0)
    assert reply["at"] == "pod/default/client"


def test_minimal_has_a_line_per_step() -> None:
    lines = output(*TO_WEB, "--minimal").splitlines()
    assert lines[0] == "TCP 10.244.1.2:40000 > 10.96.10.10:80 [S]"
    assert lines[-1].startswith("= DELIVERED HOST ")
    assert "node-a conntrack NEW" in lines


def test_the_seed_decides_and_a_choice_decides_over_it(tmp_path: Path) -> None:
    ends = {objects(*TO_WEB, "--seed", str(seed))[0]["at"] for seed in range(20)}
    assert ends == {"pod/default/web-1", "pod/default/web-2", "pod/default/web-3"}
    choice = {
        "choice": "endpoint",
        "node": "node-a",
        "flow": "tcp 10.244.1.2:40000 > 10.96.10.10:80",
        "value": "10.244.1.3:8080",
    }
    path = tmp_path / "choices"
    path.write_text(json.dumps(choice))
    for seed in range(5):
        [found] = objects(*TO_WEB, "--seed", str(seed), "--choose", str(path))
        assert found["at"] == "pod/default/web-1"


def test_draws_and_changes_are_in_the_object() -> None:
    [found] = objects(*TO_WEB)
    assert found["draws"]
    assert {"what": "ttl", "before": "64", "after": "63"}.items() <= {
        key: value
        for change in found["changes"]  # type: ignore[attr-defined]
        if change["what"] == "ttl" and change["before"] == "64"
        for key, value in change.items()
    }.items()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "FROM and TO expected, or a capture (-r) and a packet's NUMBER"),
        (["pod/client"], "FROM and TO expected, or a capture (-r) and a packet's NUMBER"),
        (["pod/client", "svc/wbe"], "no service default/wbe; did you mean svc/default/web?"),
        (["-r", CLIENT_PCAP], f"one NUMBER of a packet in {CLIENT_PCAP} expected"),
        (["-r", CLIENT_PCAP, "x"], f"one NUMBER of a packet in {CLIENT_PCAP} expected"),
        (["-r", CLIENT_PCAP, "0"], f"packet 0: {CLIENT_PCAP} holds 192"),
        (["-r", CLIENT_PCAP, "193"], f"packet 193: {CLIENT_PCAP} holds 192"),
        (["-r", CLIENT_PCAP, "9" * 30], f"packet {'9' * 20}: {CLIENT_PCAP} holds 192"),
        (["-r", "absent.pcap", "1"], "absent.pcap: No such file or directory"),
    ],
)
def test_errors(args: list[str], message: str) -> None:
    assert error("trace", *CLUSTER, *args) == f"dataplane: {message}"
