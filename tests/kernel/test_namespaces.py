"""NodeStates built in namespaces are what was asked for, carry packets, and leave nothing."""

from collections.abc import Iterator
from ipaddress import IPv4Interface
from pathlib import Path

import pytest

from dataplane.cluster.load import load
from dataplane.control.program import program
from dataplane.node.folder import read_node
from dataplane.node.state import NodeState
from tests.kernel.dumps import dump
from tests.kernel.namespaces import Host, Lab, build, reset
from tests.kernel.taps import Taps, inject

pytestmark = pytest.mark.kernel

CLUSTER = Path(__file__).parents[2] / "pcaps/two-nodes/cluster.yaml"
OUTSIDE = Host("outside", "0a:58:c0:a8:32:64", IPv4Interface("192.168.50.100/24"))
TO_NODE_A = bytes.fromhex("0a58c0a8320b 0a58c0a83264 88b5") + b"anything" * 8  # local experiment


@pytest.fixture(scope="module")
def states() -> dict[str, NodeState]:
    return program(load([str(CLUSTER)]))


@pytest.fixture(scope="module")
def lab(states: dict[str, NodeState]) -> Iterator[Lab]:
    with build(states, [OUTSIDE]) as lab:
        yield lab


def test_a_ping_crosses_both_nodes(lab: Lab) -> None:
    places = {
        "client": (lab.pod("10.244.1.2").namespace, "eth0"),
        "tunnel": (lab.nodes["node-a"], "flannel.1"),
        "wire": (lab.nodes["node-b"], "eth0"),
        "web-2": (lab.pod("10.244.2.2").namespace, "eth0"),
    }
    with Taps(places) as taps:
        lab.pod("10.244.1.2").namespace.run("ping", "-c", "1", "-W", "5", "10.244.2.2")
        frames = taps.drain()
    assert {name: len(captured) for name, captured in frames.items()} == dict.fromkeys(places, 2)
    request = {name: captured[0].data for name, captured in frames.items()}
    ttl = 14 + 8
    assert [request[name][ttl] for name in ("client", "tunnel", "web-2")] == [64, 63, 62]
    assert request["wire"].endswith(request["tunnel"])


@pytest.mark.parametrize("node", ["node-a", "node-b"])
def test_what_is_built_is_what_was_asked_for(
    lab: Lab, states: dict[str, NodeState], node: str, tmp_path: Path
) -> None:
    dump(lab.nodes[node], tmp_path / node)
    asked, built = states[node], read_node(node, tmp_path / node, pytest.fail)
    assert built.iptables == asked.iptables
    assert built.ip6tables == asked.ip6tables
    assert [(x.index, x.name, x.mac, x.mtu, x.vxlan, x.hairpin) for x in built.links] == [
        (x.index, x.name, x.mac, x.mtu, x.vxlan, x.hairpin) for x in asked.links
    ]
    assert set(built.routes) == {route for route in asked.routes if route.dst.version == 4}
    assert set(built.neighbours) >= set(asked.neighbours)
    assert set(built.fdb) >= set(asked.fdb)
    assert asked.sysctls.items() <= built.sysctls.items()


def test_every_sysctl_asked_for_is_set(lab: Lab) -> None:
    assert lab.skipped_sysctls == set()


def test_an_injected_frame_arrives_as_it_is(lab: Lab) -> None:
    with Taps({"uplink": (lab.nodes["node-a"], "eth0")}) as taps:
        inject(*lab.peer("node-a", "eth0"), TO_NODE_A)
        frames = taps.drain()["uplink"]
    assert [(frame.data, frame.is_outgoing) for frame in frames] == [(TO_NODE_A, False)]


def test_the_wire_takes_a_frame_nowhere_else(lab: Lab) -> None:
    places = {"node-a": (lab.nodes["node-a"], "eth0"), "node-b": (lab.nodes["node-b"], "eth0")}
    with Taps(places, promiscuous=True) as taps:
        inject(lab.hosts["outside"], "eth0", TO_NODE_A)
        frames = taps.drain()
    assert [len(frames["node-a"]), len(frames["node-b"])] == [1, 0]


def test_a_full_ring_is_an_error(lab: Lab) -> None:
    with Taps({"uplink": (lab.nodes["node-a"], "eth0")}, frames=1) as taps:
        for _ in range(taps.taps["uplink"].capacity + 1):
            inject(*lab.peer("node-a", "eth0"), TO_NODE_A)
        with pytest.raises(RuntimeError, match="the ring was full, 1 frames lost"):
            taps.drain()


def test_a_frame_too_large_for_its_slot_is_an_error(lab: Lab) -> None:
    with Taps({"uplink": (lab.nodes["node-a"], "eth0")}, frame_bytes=256) as taps:
        inject(*lab.peer("node-a", "eth0"), TO_NODE_A.ljust(1000, b"."))
        with pytest.raises(RuntimeError, match="a frame of 1000 bytes was cut to"):
            taps.drain()


def test_reset_forgets_what_was_counted(lab: Lab) -> None:
    node = lab.nodes["node-a"]
    reset(lab)
    node.run("ping", "-c", "1", "-W", "5", "10.244.1.2")
    counted = "[1:84] -A OUTPUT -j KUBE-FIREWALL"
    assert counted in node.run("iptables-nft-save", "-c")
    assert "10.244.1.2" in node.run("conntrack", "-L")
    reset(lab)
    assert counted not in node.run("iptables-nft-save", "-c")
    assert node.run("conntrack", "-L") == ""


def descriptors() -> set[str]:
    return {entry.name for entry in Path("/proc/self/fd").iterdir()}


def test_nothing_is_left(states: dict[str, NodeState]) -> None:
    before = descriptors()
    with build(states, [OUTSIDE]) as lab:
        sleeper = lab.hosts["outside"].start("sleep", "600")
        inodes = {Path(namespace.path).stat().st_ino for namespace in lab.namespaces()}
        assert Path(f"/proc/{sleeper.pid}/ns/net").stat().st_ino in inodes
    assert sleeper.poll() is not None
    assert descriptors() == before


def test_a_failed_build_leaves_nothing(states: dict[str, NodeState]) -> None:
    before = descriptors()
    with pytest.raises(RuntimeError, match="invalid lladdr"):
        build({"node-a": states["node-a"]}, [Host("bad", "no mac", OUTSIDE.address)])
    assert descriptors() == before
