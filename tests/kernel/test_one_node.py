"""One node of the real kernel against ours, through nothing but files and the command line."""

from dataclasses import replace
from pathlib import Path

import pytest

from dataplane.errors import NOWHERE
from dataplane.node.folder import read_node
from dataplane.replay.capture import merge, read
from tests import frames as fr
from tests.cli.commands import run
from tests.kernel import dumps
from tests.kernel.fuzzing.compare import blank
from tests.kernel.fuzzing.lab import NAME, FuzzLab, Seen, host_mac, node_mac
from tests.kernel.taps import Frame, write_pcap

RULES = """*nat
:PREROUTING ACCEPT [0:0]
-A PREROUTING -p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.0.1.3:80
-A POSTROUTING -o eth1 -p udp -j MASQUERADE
COMMIT
*filter
:FORWARD ACCEPT [0:0]
-A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT
-A FORWARD -p tcp -m tcp --dport 443 -j REJECT --reject-with tcp-reset
-A FORWARD -p udp -m udp --dport 53 -j REJECT
COMMIT
"""
CLIENT, SERVER = "10.0.0.2", "10.0.1.3"

pytestmark = pytest.mark.kernel


def packets() -> list[tuple[str, bytes]]:
    """Frames that arrive at eth0: opened, refused, translated, expired."""
    bodies = [
        fr.ipv4(CLIENT, SERVER, 6, fr.tcp(CLIENT, 1000, SERVER, port), ttl=ttl)
        for port, ttl in ((80, 64), (443, 64), (80, 1), (80, 64))
    ]
    bodies += [fr.ipv4(CLIENT, "10.0.0.1", 6, fr.tcp(CLIENT, 1001, "10.0.0.1", 8080))]
    bodies += [
        fr.ipv4(CLIENT, SERVER, 17, fr.udp(CLIENT, 2000, SERVER, port, b"abc"))
        for port in (53, 1000, 1000)
    ]
    heads = host_mac(0, 2), node_mac("eth0"), fr.ETHERTYPES[4]
    return [("eth0", fr.ether(*heads, body)) for body in bodies]


def arrived(seen: list[Seen], device: str) -> list[Frame]:
    return [
        Frame(one.time_ns, one.frame, False, False)
        for one in seen
        if (one.device, one.is_outgoing) == (device, False)
    ]


def compared(frame: bytes) -> bytes:
    """Linux draws the identification of the errors that it makes."""
    return blank(frame) if frame[23] == 1 else frame


def at_device(path: Path) -> list[bytes]:
    frames = merge([read(str(path))])
    return [compared(frames.raw(index)) for index in range(len(frames))]


def left(folder: Path) -> tuple[object, ...]:
    """Counters and connections of a node's folder; seconds left are those of a moment."""
    node = read_node(NAME, folder, lambda message: None)
    rules = {
        (table.name, chain.name, number): (counted.packets, counted.bytes)
        for table in node.iptables.tables.values()
        for chain in table.chains.values()
        for number, counted in enumerate((chain, *chain.rules))
    }
    return rules, sorted(
        str(replace(entry, timeout=0, use=1, source=NOWHERE)) for entry in node.conntrack
    )


def test_frames_counters_and_connections_by_the_command_line(tmp_path: Path) -> None:
    lab = FuzzLab("legacy")
    try:
        state = lab.load(RULES, 4, {})
        dumps.dump(lab.node, tmp_path / "before", "legacy")
        answer = lab.run(packets(), 4, state)
        dumps.dump(lab.node, tmp_path / "after", "legacy")
    finally:
        lab.close()
    write_pcap(tmp_path / "in.pcap", arrived(answer.seen, "eth0"))
    run(
        "replay", "--node", f"{NAME}={tmp_path / 'before'}", "-r", str(tmp_path / "in.pcap"),
        "--raw", "--at", f"{NAME}:eth0", "-w", str(tmp_path / "frames"),
        "--state", str(tmp_path / "state"),
    )  # fmt: skip
    for device in ("eth0", "eth1"):
        theirs = [compared(one.frame) for one in answer.seen if one.device == device]
        assert at_device(tmp_path / "frames" / f"{NAME}-{device}.pcap") == theirs
    assert left(tmp_path / "state" / NAME) == left(tmp_path / "after")
