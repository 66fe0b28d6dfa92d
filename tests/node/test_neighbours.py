from ipaddress import ip_address
from pathlib import Path

from hypothesis import given

from dataplane.node import neighbours
from dataplane.node.state import Neighbour
from tests.node import strategies

RECORDED = Path(__file__).parent / "fixtures" / "node-a" / "neighbours.json"


@given(strategies.neighbours)
def test_parse_inverts_render(found):
    assert neighbours.parse(neighbours.render(found), "x") == found


def test_what_ip_prints():
    found = neighbours.parse(RECORDED.read_text(), "x")
    assert Neighbour(ip_address("10.244.2.0"), "flannel.1", "0a:58:0a:f4:02:00") in found
    assert Neighbour(ip_address("192.168.50.99"), "eth0", None, ("FAILED",)) in found
    assert Neighbour(ip_address("fd00::7"), "eth0", "0a:58:0a:f4:02:09") in found
