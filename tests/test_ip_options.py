"""Options of IPv4 packets: kernels equal the specification, whatever stands in them."""

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from _fastpath.reason import Reason, Verdict
from dataplane.node.state import InterfaceAddress, Route
from tests import frames as fr
from tests.random_captures import ip_options
from tests.reference.one_node import CLIENT, INSIDE, OUTSIDE, SERVER, node
from tests.test_fragments import Both, sent

FAR = ip_address("10.9.0.1")
ACCEPTS = {f"net.ipv4.conf.{place}.accept_source_route": "1" for place in ("all", "a")}
NOON_NS = 12 * 3600 * 10**9
NOON = (12 * 3600 * 1000).to_bytes(4)


def packed(*addresses: object) -> bytes:
    return b"".join(ip_address(str(address)).packed for address in addresses)


def both(**sysctls: str) -> Both:
    routes = (
        Route(ip_network("10.9.0.0/16"), dev="b", gateway=SERVER, mtu=100),
        Route(ip_network("10.8.0.0/16"), type="unreachable"),
    )
    addresses = (*node().addresses, InterfaceAddress("a", ip_address("10.9.9.9"), 32))
    return Both(routes=routes, addresses=addresses, sysctls={**ACCEPTS, **sysctls})


def packet(options: bytes, dst: object = SERVER, **fields: int) -> bytes:
    body = fr.udp(CLIENT, 1000, dst, 2000, b"hello")
    return fr.ipv4(CLIENT, dst, 17, body, options, **fields)


def options_sent(options: bytes, device: str = "b", **fields: object) -> bytes:
    """What a packet leaves with; its header's checksum is right."""
    record = both().send(packet(options, **fields), NOON_NS)
    (found,) = sent(record, device)
    assert fr.checksum(found[: (found[0] & 15) * 4]) == 0
    return found[20 : (found[0] & 15) * 4]


RECORD = bytes([7, 7, 4]) + bytes(5)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (RECORD, bytes([7, 7, 8]) + packed(OUTSIDE) + b"\0"),
        (bytes([7, 11, 8]) + bytes(9), bytes([7, 11, 12]) + bytes(4) + packed(OUTSIDE) + b"\0"),
        (bytes([7, 7, 8]) + bytes(5), bytes([7, 7, 8]) + bytes(5)),  # full
        (bytes([68, 8, 5, 0]) + bytes(4), bytes([68, 8, 9, 0]) + NOON),
        (bytes([68, 12, 5, 1]) + bytes(8), bytes([68, 12, 13, 1]) + packed(INSIDE) + NOON),
        (bytes([68, 8, 9, 0]) + bytes(4), bytes([68, 8, 9, 16]) + bytes(4)),  # overflow
        (bytes([0, 1, 1, 5]), bytes(4)),
        (bytes([148, 4, 0, 0]), bytes([148, 4, 0, 0])),
    ],
)
def test_what_a_router_writes(options, expected):
    assert options_sent(options) == expected


def test_a_source_route_leads_on():
    options = bytes([131, 7, 4]) + packed(FAR) + b"\0"
    (found,) = sent(both().send(packet(options, INSIDE)))
    assert found[16:20] == packed(FAR)
    assert found[20:27] == bytes([131, 7, 8]) + packed(OUTSIDE)


def test_source_routes_are_refused_by_default():
    record = Both().send(packet(bytes([131, 7, 4]) + packed(FAR) + b"\0", INSIDE))
    assert (record.verdict, record.reason) == (Verdict.DROPPED, Reason.SOURCE_ROUTED)


def test_what_is_wrong_is_told():
    record = both().send(packet(bytes([1, 7, 7, 3]) + bytes(4)))
    assert (record.verdict, record.reason) == (Verdict.REJECTED, Reason.IP_HEADER_INVALID)
    (error,) = sent(record, "a")
    assert error[20:22] == bytes([12, 0])
    assert error[24] == 23  # the byte of the header


def test_an_error_records_its_way_too():
    record = both().send(packet(bytes([7, 11, 4]) + bytes(9), ttl=1))
    (error,) = sent(record, "a")
    assert error[20:32] == bytes([7, 11, 12]) + packed(INSIDE, INSIDE) + b"\0"


REJECTS = """\
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A FORWARD -p udp -j REJECT --reject-with icmp-port-unreachable
-A FORWARD -p tcp -j REJECT --reject-with tcp-reset
COMMIT
"""


@pytest.mark.parametrize(("options", "verdict"), [
    (bytes(4), Verdict.REJECTED), (RECORD, Verdict.DROPPED),
])  # fmt: skip
@pytest.mark.parametrize("protocol", [6, 17])
def test_a_reject_takes_a_packet_whose_options_changed_for_damaged(options, verdict, protocol):
    """nf_ip_checksum sums the IP header as well (measured)."""
    body = fr.udp(CLIENT, 1, SERVER, 2) if protocol == 17 else fr.tcp(CLIENT, 1, SERVER, 2)
    record = Both(REJECTS).send(fr.ipv4(CLIENT, SERVER, protocol, body, options))
    assert (record.verdict, record.reason) == (verdict, Reason.NETFILTER_REJECT)


DESTINATIONS = [SERVER, FAR, INSIDE, OUTSIDE, ip_address("10.8.0.1"), ip_address("224.0.0.1")]


@given(
    st.lists(
        st.tuples(
            ip_options()
            | st.integers(1, 10).flatmap(lambda n: st.binary(min_size=4 * n, max_size=4 * n)),
            st.sampled_from(DESTINATIONS),
            st.sampled_from([64, 64, 1]),
            st.sampled_from([0, 0x4000, 0x2000, 3]),
            st.integers(0, 120),
        ),
        min_size=1,
        max_size=4,
    ),
    st.booleans(),
)
@settings(deadline=None, max_examples=200)
def test_engines_agree_on_any_options(drawn, accepts):
    engines = both() if accepts else Both(REJECTS)
    for number, (found, dst, ttl, fragment, size) in enumerate(drawn):
        body = fr.udp(CLIENT, 1000, dst, 2000, bytes(size))
        sent_packet = fr.ipv4(CLIENT, dst, 17, body, found, ttl=ttl, fragment=fragment)
        engines.send(sent_packet, NOON_NS + number * 10**9)
