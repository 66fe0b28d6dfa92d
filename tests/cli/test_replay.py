import json
from pathlib import Path

import dpkt
import pytest

from dataplane.node.folder import read_node
from tests.cli.commands import CASE, CLIENT_PCAP, MANIFEST, error, objects, output, run

CLUSTER = ("-f", MANIFEST)
REPLAY = ("replay", *CLUSTER, "-q", "-r", CLIENT_PCAP)
DUMPS = ("--node", f"node-a={CASE / 'node-a'}", "--node", f"node-b={CASE / 'node-b'}")
OUTSIDE_PCAP = str(CASE / "outside.pcap")


def lines(*args: str) -> list[str]:
    return [" ".join(line.split()) for line in output("replay", *args).splitlines()]


def test_a_line_for_each_packet_and_a_summary() -> None:
    found = lines(*CLUSTER, "-r", CLIENT_PCAP)
    assert found[0].startswith("1 0.000000 > TCP 10.244.1.2:50880 → 10.96.10.10:80 [S] pod/default")
    assert found[191].endswith("SKIPPED ANSWERED_BY_NODE")
    assert found[192:194] == ["", "192 packets in 17 flows"]
    assert "190 DELIVERED HOST Handed to the host behind the device." in found


def test_the_summary_alone() -> None:
    found = lines(*CLUSTER, "-r", CLIENT_PCAP, "-q")
    assert found[0] == "192 packets in 17 flows"
    assert "2 svc/kube-system/kube-dns:dns → pod/kube-system/coredns-1" in found


def test_an_object_for_each_packet() -> None:
    found = objects("replay", *CLUSTER, "-r", CLIENT_PCAP)
    assert [each["packet"] for each in found] == list(range(1, 193))
    assert found[0]["time"] < found[1]["time"]  # type: ignore[operator]
    assert found[190]["verdict"] == "REJECTED"
    assert all(each["steps"] for each in found[:191])


def test_lines_say_what_objects_say() -> None:
    """Both are put together once for packets alike; neither may be another packet's."""
    texts = lines(*CLUSTER, "-r", CLIENT_PCAP)
    for text, each in zip(texts, objects("replay", *CLUSTER, "-r", CLIENT_PCAP), strict=False):
        assert text.startswith(f"{each['packet']} ")
        assert (" < " in text) == each["reply"]
        assert str(each["verdict"]) in text
        if each["at"] and each["verdict"] == "DELIVERED":
            assert f"› {each['at']} DELIVERED" in text


def test_several_captures_are_told_apart() -> None:
    found = lines(*CLUSTER, "-r", CLIENT_PCAP, OUTSIDE_PCAP)
    assert found[0].startswith("client.pcap: 1 ")
    assert any(line.startswith("outside.pcap: 1 ") for line in found)


def test_nodes_as_dumped_decide_the_same() -> None:
    dumped = objects("replay", *DUMPS, "-r", CLIENT_PCAP, "--seed", "3")
    programmed = objects("replay", *CLUSTER, "-r", CLIENT_PCAP, "--seed", "3")
    for mine, theirs in zip(dumped, programmed, strict=True):
        assert (mine["verdict"], mine["device"], mine["end"]) == (
            theirs["verdict"],
            theirs["device"],
            theirs["end"],
        )
    assert dumped[0]["from"] is None  # without manifests pods have no names
    assert programmed[0]["from"] == "pod/default/client"


def test_a_capture_for_each_device(tmp_path: Path) -> None:
    output(*REPLAY, "-w", str(tmp_path))
    names = {path.name for path in tmp_path.iterdir()}
    assert {"node-a-vethce2a28d0.pcap", "node-a-flannel.1.pcap", "node-b-eth0.pcap"} <= names
    with (tmp_path / "node-a-vethce2a28d0.pcap").open("rb") as file:
        frames = [data for _, data in dpkt.pcap.Reader(file)]
    with Path(CLIENT_PCAP).open("rb") as file:
        recorded = [data for _, data in dpkt.pcap.Reader(file)]
    assert len(frames) == len(recorded)
    assert frames[0] == recorded[0]


def test_what_nodes_hold_afterwards(tmp_path: Path) -> None:
    output(*REPLAY, "--state", str(tmp_path))
    node = read_node("node-a", tmp_path / "node-a", lambda message: None)
    rule = node.iptables.tables["nat"].chains["PREROUTING"].rules[0]
    assert rule.packets > 0
    assert any(entry.original.dport == 53 for entry in node.conntrack)


@pytest.mark.parametrize("window", ["64K", "70000", "1G"])
def test_a_window_of_the_captures(window: str, tmp_path: Path) -> None:
    """It changes nothing of what is told.  The captures are longer than the least window."""
    data = Path(CLIENT_PCAP).read_bytes()
    long = tmp_path / "long.pcap"
    long.write_bytes(data + data[24:] * 9)
    found = {}
    for size in ("16M", window):
        taps = str(tmp_path / size)
        replay = ("replay", *CLUSTER, "-r", str(long), OUTSIDE_PCAP, "--window", size)
        texts = output(*replay, "-w", taps), output(*replay, "-o", "jsonl")
        files = {path.name: path.read_bytes() for path in Path(taps).iterdir()}
        found[size] = texts, files
    assert found["16M"] == found[window]


@pytest.mark.parametrize("window", ["", "0", "1K", "-1M", "1T", "99999999999999999999", "x"])
def test_a_window_that_cannot_be(window: str) -> None:
    assert "a size from 64K to 64G" in error(*REPLAY, "--window", window)


def test_what_comes_before_the_damage_is_told(tmp_path: Path) -> None:
    data = Path(CLIENT_PCAP).read_bytes()
    (tmp_path / "broken.pcap").write_bytes(data + b"\xff" * 100)
    found = run("replay", *CLUSTER, "-r", str(tmp_path / "broken.pcap"), "-w", str(tmp_path / "w"))
    assert found.exit_code == 2 and "corrupt at byte" in found.stderr
    assert len(found.stdout.splitlines()) == 192
    assert list((tmp_path / "w").iterdir()) == []  # no half of a file


def test_one_way() -> None:
    found = objects(*REPLAY[:2], MANIFEST, "-r", CLIENT_PCAP, "--one-way")
    injected = [each for each in found if each["verdict"] != "SKIPPED"]
    assert injected
    assert not any(each["reply"] for each in injected)


def test_who_begins_a_flow() -> None:
    """The first packet seen may be an answer: the capture began in the middle."""
    found = objects("replay", *CLUSTER, "-r", CLIENT_PCAP, "--client", "svc/default/web")
    assert found[0]["reply"] is True


def test_every_frame_as_it_stands_at_a_device() -> None:
    at = ("--raw", "--at", "node-a:vethce2a28d0")
    found = objects("replay", *CLUSTER, "-r", CLIENT_PCAP, *at)
    assert {each["steps"][0]["name"] for each in found} == {"vethce2a28d0"}  # type: ignore[index]


def test_notes_go_to_standard_error_and_q_silences_them() -> None:
    noisy = run("replay", *CLUSTER, "-r", CLIENT_PCAP)
    assert noisy.stderr.startswith("dataplane: note: ")
    assert run(*REPLAY).stderr == ""


def test_the_same_arguments_give_the_same_bytes() -> None:
    once, again = (output(*REPLAY[:3], "-r", CLIENT_PCAP, "-o", "jsonl") for _ in range(2))
    assert once == again


@pytest.mark.parametrize("engine", ["reference", "both"])
def test_the_specification_says_the_same(engine: str, tmp_path: Path) -> None:
    ends = {}
    for name in ("fast", engine):
        folder = tmp_path / name
        replay = ("replay", *CLUSTER, "-r", CLIENT_PCAP, "--engine", name)
        text = output(*replay, "-w", str(folder / "taps"), "--state", str(folder / "state"))
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        found = {str(path.relative_to(folder)): path.read_bytes() for path in files}
        ends[name] = text, found, output(*replay, "-o", "jsonl")
    assert ends["fast"] == ends[engine]


def test_a_capture_from_standard_input() -> None:
    data = Path(CLIENT_PCAP).read_bytes()
    assert output("replay", *CLUSTER, "-q", "-r", "-", stdin=data) == output(*REPLAY)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--raw"], "--raw and --at go together"),
        (["--at", "node-a:eth0"], "--raw and --at go together"),
        (["--raw", "--at", "eth0"], "NODE:DEVICE was expected"),
        (["--raw", "--at", "node-z:eth0"], "no node 'node-z'"),
        (["--raw", "--at", "node-a:eth9"], "node node-a has no device 'eth9'"),
        (["--client", "pod/nobody"], "no pod default/nobody"),
        (["--choose", "absent"], "absent: No such file or directory"),
        (["--node", "node-a=absent"], "absent is not a node's folder"),
        (["--seed", "-1"], "is not in the range"),
        (["-o", "xml"], "is not one of 'text', 'jsonl'"),
    ],
)
def test_errors(args: list[str], message: str) -> None:
    assert message in error(*REPLAY, *args)


def test_no_packets_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "empty.pcap"
    path.write_bytes(Path(CLIENT_PCAP).read_bytes()[:24])
    assert error("replay", *CLUSTER, "-r", str(path)) == f"dataplane: {path}: no packets"


def test_a_bad_choice_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "choices"
    path.write_text("\n" + json.dumps({"choice": "ip-id"}) + "\n")
    assert error(*REPLAY, "--choose", str(path)).startswith(f"dataplane: {path}:2: ")
