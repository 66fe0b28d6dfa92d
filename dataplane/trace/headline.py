"""One packet in a few words, as tcpdump would put it: `TCP 10.1.1.1:80 → 10.2.2.2:53 [S]`."""

from dataplane.node.state import Address
from dataplane.reference.packet import ICMP, ICMPV6, TCP, WITH_PORTS
from dataplane.trace import vocabulary
from dataplane.trace.record import Record

NOT_IP = "not IP"


def endpoint(address: Address | None, port: int | None = None) -> str:
    """10.1.1.1:80, [fd00::1]:80; without its port where it has none."""
    if port is None:
        return str(address)
    return f"[{address}]:{port}" if address and address.version == 6 else f"{address}:{port}"


def headline(record: Record, arrow: str = "→") -> str:
    """The packet as it was injected."""
    name = vocabulary.protocol(record.proto)
    name = "ICMPv6" if record.proto == ICMPV6 else name.upper()
    flags = f" [{vocabulary.tcp_flags(record.tcp_flags)}]" if record.proto == TCP else ""
    ends = addresses(record, arrow)
    if record.proto in (ICMP, ICMPV6) and record.family:
        message = _icmp(record.family, record.dport)
        echo = f" id {record.sport}" if message in vocabulary.ECHOES else ""
        return f"{name} {message} {ends}{echo}"
    return f"{name} {ends}{flags}" if record.family else NOT_IP


def addresses(record: Record, arrow: str = "→") -> str:
    """From where to where, as it was injected."""
    return _pair(record, (record.src, record.sport), (record.dst, record.dport), arrow)


def end_addresses(record: Record, arrow: str = "→") -> str:
    """From where to where, as it ended."""
    source = record.end_src, record.end_sport
    return _pair(record, source, (record.end_dst, record.end_dport), arrow)


def _pair(
    record: Record,
    source: tuple[Address | None, int],
    destination: tuple[Address | None, int],
    arrow: str,
) -> str:
    if not record.family:
        return NOT_IP
    if record.proto not in WITH_PORTS:
        return f"{source[0]} {arrow} {destination[0]}"
    return f"{endpoint(*source)} {arrow} {endpoint(*destination)}"


def _icmp(family: int, type_and_code: int) -> str:
    """`echo request`, `unreachable 3/3`, `type 13/0`."""
    kind, code = type_and_code >> 8, type_and_code & 0xFF
    known = vocabulary.ICMP_TYPES.get((family, kind))
    if known in vocabulary.ECHOES:
        return known or ""
    return f"{known or 'type'} {kind}/{code}"
