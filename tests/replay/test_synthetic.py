from ipaddress import ip_address

import dpkt
import pytest

from dataplane.cluster.naming import Reference, resolve
from dataplane.errors import UsageError
from dataplane.reference.checksum import checksum, pseudo_header
from dataplane.replay import synthetic
from dataplane.replay.synthetic import Connection, between
from tests.trace.records import two_nodes

A4, B4 = ip_address("10.1.1.1"), ip_address("10.2.2.2")
A6, B6 = ip_address("fd00::1"), ip_address("fd00::2")
CLIENT, WEB = ip_address("10.244.1.2"), ip_address("10.96.10.10")
DNS, NODE_A = ip_address("10.96.0.10"), ip_address("192.168.50.11")


@pytest.mark.parametrize(
    ("source", "destination", "expected"),
    [
        ("pod/default/client", "svc/default/web:80", Connection("TCP", CLIENT, WEB, 80)),
        ("pod/client", "svc/web", Connection("TCP", CLIENT, WEB, 80)),
        ("pod/client:1234", "10.1.1.1:53/udp", Connection("UDP", CLIENT, A4, 53, 1234)),
        ("pod/client", "pod/web-2", Connection("ICMP", CLIENT, ip_address("10.244.2.2"))),
        ("10.1.1.1", "node/node-a:30080", Connection("TCP", A4, NODE_A, 30080)),
        ("pod/client", "svc/kube-system/kube-dns:dns", Connection("UDP", CLIENT, DNS, 53)),
    ],
)
def test_who_speaks_to_whom(source: str, destination: str, expected: Connection) -> None:
    _, cluster = two_nodes()
    assert between(resolve(source, cluster), resolve(destination, cluster)) == expected


def test_the_destinations_preferred_family_decides() -> None:
    both = Reference("pod", "a/b", (A4, A6))
    assert between(both, Reference("pod", "c/d", (B6, B4))).dst == B6
    assert between(both, Reference("ip", "x", (B4,))).src == A4


@pytest.mark.parametrize(
    ("source", "destination", "message"),
    [
        ("svc/web", "pod/client", "svc/default/web cannot be where a connection comes from"),
        ("pod/client", "svc/kube-system/kube-dns", "has several ports: name one"),
        ("pod/client", "fd00::1", "no addresses of one family: 10.244.1.2 and fd00::1"),
        ("pod/client", "pod/web-1:80/sctp", "over SCTP is not modelled"),
    ],
)
def test_what_cannot_be_the_ends_of_a_connection(
    source: str, destination: str, message: str
) -> None:
    _, cluster = two_nodes()
    with pytest.raises(UsageError, match=message):
        between(resolve(source, cluster), resolve(destination, cluster))


def packets(connection: Connection) -> list[dpkt.Packet]:
    """As dpkt, which knows nothing of us, reads them."""
    frames = synthetic.frames(connection)
    return [dpkt.ethernet.Ethernet(frames.raw(index)).data for index in range(len(frames))]


@pytest.mark.parametrize(
    "connection",
    [
        Connection(protocol, src, dst, port)
        for src, dst in ((A4, B4), (A6, B6))
        for protocol, port in (("TCP", 80), ("UDP", 53), ("ICMP", 0))
    ],
    ids=lambda connection: f"{connection.protocol}{connection.src.version}",
)
def test_every_checksum_is_right_and_every_length(connection: Connection) -> None:
    for ip in packets(connection):
        raw = bytes(ip)
        version = connection.src.version
        header, protocol = (20, raw[9]) if version == 4 else (40, raw[6])
        payload = raw[header:]
        assert {ip_address(ip.src), ip_address(ip.dst)} == {connection.src, connection.dst}
        if version == 4:
            assert int.from_bytes(raw[2:4]) == len(raw)
            assert checksum(raw[:20]) == 0
        pseudo = b"" if protocol == 1 else pseudo_header(
            ip_address(ip.src), ip_address(ip.dst), protocol, len(payload)
        )  # fmt: skip
        assert checksum(pseudo + payload) == 0


def test_a_tcp_conversation_is_whole() -> None:
    found = [ip.data for ip in packets(Connection("TCP", A4, B4, 80))]
    assert [tcp.flags for tcp in found] == [2, 18, 16, 24, 16, 24, 16, 17, 17, 16]
    received = {40000: 0, 80: 0}
    for tcp in found:
        if received[tcp.sport]:
            assert tcp.seq == received[tcp.sport]  # nothing missing, nothing twice
        received[tcp.sport] = tcp.seq + len(tcp.data) + bool(tcp.flags & 3)
        if tcp.flags & 16:
            assert tcp.ack == received[tcp.dport]


@pytest.mark.parametrize(("protocol", "count"), [("UDP", 2), ("ICMP", 2), ("TCP", 10)])
def test_the_last_packet_is_from_the_other_end(protocol: str, count: int) -> None:
    found = packets(Connection(protocol, A4, B4, 9))
    assert len(found) == count
    assert ip_address(found[0].src) == A4
    assert ip_address(found[1].src) == B4


def test_times_go_on() -> None:
    frames = synthetic.frames(Connection("TCP", A4, B4, 80))
    times = frames.records["time_ns"].tolist()
    assert times == sorted(set(times))
    assert frames.where(0) == ("synthetic", 1)
