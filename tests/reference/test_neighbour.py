"""Who has an address on a link."""

from dataclasses import replace
from ipaddress import ip_address

import pytest

from _fastpath.reason import Reason
from dataplane.node.state import Neighbour
from dataplane.reference.engine import Engine
from tests import frames as fr
from tests.reference.one_node import CLIENT, SERVER, engine, send
from tests.two_nodes import NODE_A, NODE_B, OUTSIDE, mac, two_nodes

UDP = fr.udp(CLIENT, 1, SERVER, 2)


def neighbour(dst=SERVER, dev="b", lladdr="0a:00:00:00:00:77", state=("REACHABLE",)):
    return Neighbour(dst, dev, lladdr, state)


@pytest.mark.parametrize(
    ("entries", "reason", "mac_address"),
    [
        ([neighbour()], Reason.LEFT_BY_DEVICE, "0a:00:00:00:00:77"),
        ([neighbour(state=("STALE",))], Reason.LEFT_BY_DEVICE, "0a:00:00:00:00:77"),
        ([neighbour(lladdr=None, state=("FAILED",))], Reason.NEIGHBOUR_FAILED, None),
        ([neighbour(lladdr=None, state=("INCOMPLETE",))], Reason.NEIGHBOUR_UNKNOWN, None),
        ([neighbour(dev="a")], Reason.NEIGHBOUR_UNKNOWN, None),
        ([], Reason.NEIGHBOUR_UNKNOWN, None),
    ],
)
def test_entries(entries, reason, mac_address):
    record = send(engine(neighbours=tuple(entries)), 17, UDP)
    assert record.reason == reason
    steps = [step.name for step in record.steps if step.kind == 8]
    if mac_address:
        assert record.taps[-1].frame[:6].hex(":") == mac_address
        assert steps == [f"10.0.1.2 dev b lladdr {mac_address}"]
    else:
        assert steps == []


def test_who_was_heard_on_a_wire_answers():
    heard = engine(neighbours=())
    assert send(heard, 17, UDP).reason == Reason.NEIGHBOUR_UNKNOWN
    send(heard, 17, fr.udp(SERVER, 1, CLIENT, 2), SERVER, CLIENT)
    record = send(heard, 17, UDP)
    assert record.reason == Reason.LEFT_BY_DEVICE
    assert record.taps[-1].frame[:6].hex(":") == mac(SERVER)
    # Who is not of the wire's own subnet is behind a router.
    send(heard, 17, fr.udp("10.7.0.1", 1, CLIENT, 2), "10.7.0.1", CLIENT, device="b")
    assert len(heard.topology.heard) == 2


def test_nodes_on_one_wire_answer_each_other():
    nodes = {name: replace(state, neighbours=()) for name, state in two_nodes("").items()}
    frame = fr.ether(
        mac(OUTSIDE),
        mac(NODE_A),
        b"\x08\x00",
        fr.ipv4(ip_address("10.1.1.1"), NODE_B, 17, fr.udp("10.1.1.1", 1, NODE_B, 2)),
    )
    record = Engine(nodes).run(0, frame, len(frame), ("node-a", "eth0"))
    assert (record.reason, record.place) == (Reason.LOCAL_PROCESS, ("node-b", None))
