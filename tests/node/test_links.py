from ipaddress import IPv4Address
from pathlib import Path

from hypothesis import given

from dataplane.node import links
from dataplane.node.state import Vxlan
from tests.node import strategies

RECORDED = Path(__file__).parent / "fixtures" / "node-a" / "links.json"


@given(strategies.links)
def test_parse_inverts_render(found):
    assert links.parse(links.render(found), "x") == found


def test_what_ip_prints():
    found = {link.name: link for link in links.parse(RECORDED.read_text(), "x")}
    assert found["lo"].link_type == "loopback" and found["lo"].is_up
    assert found["cni0"].kind == "bridge" and found["cni0"].mtu == 1450
    assert found["vetha"].master == "cni0" and found["vetha"].hairpin
    assert found["eth0"].mac == "0a:58:c0:a8:32:0b" and not found["eth0"].hairpin
    assert found["flannel.1"].vxlan == Vxlan(
        1, local=IPv4Address("192.168.50.11"), link="eth0", learning=False, udp_csum=False
    )
    assert found["vx2"].vxlan == Vxlan(
        2,
        port=4789,
        link="eth0",
        remote=IPv4Address("239.1.1.1"),
        port_low=1000,
        port_high=2000,
        ttl=5,
        tos=0x10,
        df="set",
    )
    assert not found["vx2"].is_up


def test_vxlan_devices_of_other_kinds_are_listed_but_not_modelled():
    found = {link.name: link for link in links.parse(RECORDED.read_text(), "x")}
    assert found["vx3"].kind == "vxlan" and found["vx3"].vxlan is None  # ttl inherit
    assert found["vx4"].kind == "vxlan" and found["vx4"].vxlan is None  # external


def test_a_tunnel_has_no_mac():
    text = (
        '[{"ifindex": 2, "ifname": "tun0", "mtu": 1480, "link_type": "ipip", "address": "1.1.1.1"}]'
    )
    assert links.parse(text, "x")[0].mac == ""


def test_a_vxlan_device_of_a_few_words_has_the_usual_rest():
    text = """[{"ifindex": 2, "ifname": "v", "mtu": 1450, "linkinfo":
        {"info_kind": "vxlan", "info_data": {"id": 1, "ttl": 0}}}]"""
    assert links.parse(text, "x")[0].vxlan == Vxlan(1)
