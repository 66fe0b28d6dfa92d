"""One connection that nobody recorded, as its client would have recorded it.

TCP: handshake, a request, an answer, and both sides close.  UDP: a request and an answer.
ICMP: an echo and its reply.  Times, ports and contents are always the same.  The replies come
from whom the client spoke to (a Service's address): the replay gives them to the endpoint.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address

from dataplane.cluster.naming import Reference
from dataplane.errors import UsageError
from dataplane.node.state import Address
from dataplane.reference.checksum import checksum, pseudo_header
from dataplane.reference.packet import ICMP, ICMPV6, TCP, UDP
from dataplane.replay import capture
from dataplane.replay.capture import Capture, Frames

NAME = "synthetic"
CLIENT_PORT = 40000
ECHO_ID = 1
STEP_NS = 1_000_000  # between packets
TTL = 64
# Where a frame enters, the replay writes the MAC addresses that belong there.
CLIENT_MAC, SERVER_MAC = b"\x02\x00\x00\x00\x00\x01", b"\x02\x00\x00\x00\x00\x02"
FIN, SYN, PSH, ACK = 1, 2, 8, 16
MSS = b"\x02\x04\x05\x82"  # 1410: a pod's MTU of 1450, without the headers
WINDOW = 64240
REQUEST, ANSWER = b"question", b"answer"
ICMP_ECHO = {4: (ICMP, 8, 0), 6: (ICMPV6, 128, 129)}  # protocol, request, reply


@dataclass(frozen=True)
class Connection:
    """Who speaks to whom."""

    protocol: str  # TCP | UDP | ICMP
    src: Address
    dst: Address
    dport: int = 0
    sport: int = CLIENT_PORT


def between(source: Reference, destination: Reference) -> Connection:
    """The connection that two ends name.

    raises  UsageError where they cannot be the ends of one
    """
    if source.kind == "service":
        raise UsageError(f"svc/{source.name} cannot be where a connection comes from")
    src, dst = _addresses(source, destination)
    if not destination.port:
        if destination.kind == "service":
            raise UsageError(f"Service {destination.name} has several ports: name one")
        return Connection("ICMP", src, dst)
    protocol = destination.protocol or source.protocol or "TCP"
    if protocol not in ("TCP", "UDP"):
        raise UsageError(f"a synthetic connection over {protocol} is not modelled")
    return Connection(protocol, src, dst, destination.port, source.port or CLIENT_PORT)


def _addresses(source: Reference, destination: Reference) -> tuple[Address, Address]:
    """The first pair of one family, by the destination's preference."""
    for dst in destination.addresses:
        for src in source.addresses:
            if src.version == dst.version:
                return src, dst
    raise UsageError(
        f"{source.name} and {destination.name} have no addresses of one family:"
        f" {source.address} and {destination.address}"
    )


def frames(connection: Connection) -> Frames:
    """The connection's packets, ready to be replayed."""
    data = pcap(connection)
    found = capture.scan(data)
    return capture.merge([Capture(NAME, data, found.frames, found.interfaces, [])])


def pcap(connection: Connection) -> bytes:
    """The same as a capture file."""
    records = [struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 262144, 1)]
    for number, frame in enumerate(_packets(connection)):
        seconds, nanoseconds = divmod(number * STEP_NS, 10**9)
        records.append(struct.pack("<IIII", seconds, nanoseconds, len(frame), len(frame)))
        records.append(frame)
    return b"".join(records)


def _packets(connection: Connection) -> Iterator[bytes]:
    if connection.protocol == "TCP":
        yield from _tcp(connection)
    elif connection.protocol == "UDP":
        for is_reply, payload in ((False, REQUEST), (True, ANSWER)):
            segment = struct.pack("!HHHH", *_ports(connection, is_reply), 8 + len(payload), 0)
            yield _frame(connection, is_reply, UDP, segment + payload)
    else:
        protocol, request, reply = ICMP_ECHO[connection.src.version]
        for is_reply, kind in ((False, request), (True, reply)):
            message = struct.pack("!BBHHH", kind, 0, 0, ECHO_ID, 1) + REQUEST
            yield _frame(connection, is_reply, protocol, message)


def _tcp(connection: Connection) -> Iterator[bytes]:
    said = [1000, 5000]  # next sequence number: of the client, of the server
    script = (
        (False, SYN, MSS, b""),
        (True, SYN | ACK, MSS, b""),
        (False, ACK, b"", b""),
        (False, PSH | ACK, b"", REQUEST),
        (True, ACK, b"", b""),
        (True, PSH | ACK, b"", ANSWER),
        (False, ACK, b"", b""),
        (False, FIN | ACK, b"", b""),
        (True, FIN | ACK, b"", b""),
        (False, ACK, b"", b""),
    )
    for is_reply, flags, options, payload in script:
        heard = said[not is_reply] if flags & ACK else 0
        offset = (20 + len(options)) // 4 << 4
        ports = _ports(connection, is_reply)
        header = struct.pack(
            "!HHIIBBHHH", *ports, said[is_reply], heard, offset, flags, WINDOW, 0, 0
        )
        yield _frame(connection, is_reply, TCP, header + options + payload)
        said[is_reply] += len(payload) + bool(flags & (SYN | FIN))


def _ports(connection: Connection, is_reply: bool) -> tuple[int, int]:
    ports = connection.sport, connection.dport
    return ports[::-1] if is_reply else ports


def _frame(connection: Connection, is_reply: bool, protocol: int, payload: bytes) -> bytes:
    """Ethernet and IP around a transport header, with its checksum written."""
    src, dst = connection.src, connection.dst
    macs = SERVER_MAC + CLIENT_MAC
    if is_reply:
        src, dst, macs = dst, src, CLIENT_MAC + SERVER_MAC
    at = {TCP: 16, UDP: 6}.get(protocol, 2)
    pseudo = b"" if protocol == ICMP else pseudo_header(src, dst, protocol, len(payload))
    total = checksum(pseudo + payload) or 0xFFFF
    payload = payload[:at] + total.to_bytes(2) + payload[at + 2 :]
    if isinstance(src, IPv4Address):
        return macs + b"\x08\x00" + _ipv4(src, dst, protocol, len(payload)) + payload
    header = struct.pack("!IHBB", 6 << 28, len(payload), protocol, TTL)
    return macs + b"\x86\xdd" + header + src.packed + dst.packed + payload


def _ipv4(src: Address, dst: Address, protocol: int, size: int) -> bytes:
    """Identification 0 and DF: RFC 6864, section 4.1."""
    addresses = src.packed + dst.packed
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + size, 0, 0x4000, TTL, protocol, 0)
    total = checksum(header + addresses)
    return header[:10] + total.to_bytes(2) + addresses
