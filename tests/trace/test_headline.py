from ipaddress import ip_address

import pytest

from dataplane.trace.headline import end_addresses, endpoint, headline
from tests.trace.records import made

V4 = {"src": ip_address("10.1.1.1"), "dst": ip_address("10.2.2.2")}
V6 = {"src": ip_address("fd00::1"), "dst": ip_address("fd00::2"), "family": 6}


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({}, "TCP 10.244.1.2:40000 → 10.96.10.10:80 [S]"),
        ({"proto": 17, **V4, "dport": 53}, "UDP 10.1.1.1:40000 → 10.2.2.2:53"),
        ({"tcp_flags": 18, **V6}, "TCP [fd00::1]:40000 → [fd00::2]:80 [S.]"),
        (
            {"proto": 1, **V4, "sport": 7, "dport": 8 << 8},
            "ICMP echo request 10.1.1.1 → 10.2.2.2 id 7",
        ),
        ({"proto": 1, **V4, "dport": 3 << 8 | 3}, "ICMP unreachable 3/3 10.1.1.1 → 10.2.2.2"),
        ({"proto": 1, **V4, "dport": 13 << 8}, "ICMP type 13/0 10.1.1.1 → 10.2.2.2"),
        (
            {"proto": 58, **V6, "sport": 7, "dport": 129 << 8},
            "ICMPv6 echo reply fd00::1 → fd00::2 id 7",
        ),
        ({"proto": 47, **V4}, "GRE 10.1.1.1 → 10.2.2.2"),
        ({"proto": 253, **V4}, "253 10.1.1.1 → 10.2.2.2"),
        ({"proto": 0, "family": 0, "src": None, "dst": None}, "not IP"),
    ],
)
def test_headline(changed: dict[str, object], text: str) -> None:
    assert headline(made(**changed)) == text


def test_as_it_ended() -> None:
    assert end_addresses(made(), ">") == "10.244.1.2:40000 > 10.244.2.3:8080"


def test_an_endpoint_without_port() -> None:
    assert endpoint(ip_address("fd00::1")) == "fd00::1"
