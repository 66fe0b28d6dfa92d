from ipaddress import ip_address
from pathlib import Path

from hypothesis import given

from dataplane.node import fdb
from dataplane.node.state import FdbEntry
from tests.node import strategies

RECORDED = Path(__file__).parent / "fixtures" / "node-a" / "fdb.json"


@given(strategies.fdb)
def test_parse_inverts_render(found):
    assert fdb.parse(fdb.render(found), "x") == found


def test_what_bridge_prints():
    found = fdb.parse(RECORDED.read_text(), "x")
    remote = ip_address("192.168.50.12")
    vtep = FdbEntry("0a:58:0a:f4:02:00", "flannel.1", None, remote, "permanent", ("self",))
    assert vtep in found
    assert FdbEntry("0a:58:0a:f4:01:02", "vetha", "cni0", None, "static") in found
    assert FdbEntry("0a:58:0a:f4:01:04", "vetha", "cni0") in found
