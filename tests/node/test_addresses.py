from ipaddress import ip_address
from pathlib import Path

from hypothesis import given

from dataplane.node import addresses
from dataplane.node.state import InterfaceAddress
from tests.node import strategies

RECORDED = Path(__file__).parent / "fixtures" / "node-a" / "addresses.json"


@given(strategies.interface_addresses)
def test_parse_inverts_render(found):
    assert addresses.parse(addresses.render(found), "x") == found


def test_what_ip_prints():
    found = addresses.parse(RECORDED.read_text(), "x")
    first, second = ip_address("192.168.50.11"), ip_address("192.168.50.13")
    on_eth0 = [address for address in found if address.dev == "eth0"][:3]
    assert on_eth0 == [
        InterfaceAddress("eth0", first, 24, broadcast=ip_address("192.168.50.255")),
        InterfaceAddress("eth0", second, 24, secondary=True),
        InterfaceAddress("eth0", ip_address("fd00::1"), 64),
    ]
    assert InterfaceAddress("lo", ip_address("127.0.0.1"), 8, "host") in found
    assert InterfaceAddress("flannel.1", ip_address("10.244.1.0"), 32) in found


def test_entries_that_were_filtered_away():
    text = '[{}, {"ifname": "lo", "addr_info": [{}, {"local": "::1", "prefixlen": 128}]}]'
    assert [str(address.local) for address in addresses.parse(text, "x")] == ["::1"]
