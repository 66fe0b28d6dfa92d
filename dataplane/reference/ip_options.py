"""Options of the IPv4 header (RFC 791): what a router reads of them and writes into them.

They are edited where a packet comes in, but its header's checksum is made right again only where
it leaves: in between, rules see it wrong.  net/ipv4/ip_options.c, v6.12.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from ipaddress import IPv4Address

from dataplane.node.state import Address
from dataplane.reference.checksum import checksum
from dataplane.reference.packet import ETHER_SIZE, Packet

HEADER = 20  # without options
END, NOOP, RECORD_ROUTE, TIMESTAMP, CIPSO = 0, 1, 7, 68, 134
LOOSE_SOURCE_ROUTE, STRICT_SOURCE_ROUTE, ROUTER_ALERT = 131, 137, 148
TIME_ONLY, TIME_AND_ADDRESS, TIME_PRESPECIFIED = 0, 1, 3  # flags of a timestamp
MOST_OVERFLOW = 15
DAY_MS = 86_400_000


@dataclass(frozen=True)
class Options:
    """struct ip_options: where the options are, from the IP header's first byte; 0 = nowhere."""

    record_at: int = 0
    stamp_at: int = 0
    source_at: int = 0
    cipso_at: int = 0
    wants_address: bool = False  # the record has a place that this node fills
    wants_stamp_address: bool = False
    wants_time: bool = False
    is_changed: bool = False
    next_hop: IPv4Address | None = None  # of a source route that led to this node


@dataclass(frozen=True)
class Echo:
    """The options of an error about a packet, and where it goes first."""

    data: bytes = b""
    options: Options = Options()
    first_hop: IPv4Address | None = None


def options_of(packet: Packet) -> Options:
    return packet.options or Options()


class Unanswerable(Exception):  # noqa: N818  not an error
    """Its options leave no room for what the answer's would have to say."""


def read(
    packet: Packet,
    own: Callable[[], Address | None],
    is_elsewhere: Callable[[IPv4Address], bool],
    now_ns: int,
) -> int | None:
    """ip_options_compile: sets packet.options, and writes into them.

    own           the address of this node that is recorded
    is_elsewhere  whether an address is that of some host but this one
    returns       where in the header something is wrong; None: nowhere
    """
    packet.options = Options()
    header = _Header(packet, own, is_elsewhere, now_ns)
    at, end = HEADER, (packet.frame[ETHER_SIZE] & 15) * 4
    while at < end and packet.ip[at] != END:
        if packet.ip[at] == NOOP:
            at += 1
            continue
        if end - at < 2 or not 2 <= packet.ip[at + 1] <= end - at:
            return at
        wrong = header.read(at, packet.ip[at + 1])
        if wrong is not None:
            return at + wrong
        at += packet.ip[at + 1]
    if any(packet.ip[at:end]):
        header.write(at, bytes(end - at))
    return None


class _Header:
    """An IP header while its options are read.  Its methods return what is wrong, as an offset
    into the option."""

    def __init__(
        self,
        packet: Packet,
        own: Callable[[], Address | None],
        is_elsewhere: Callable[[IPv4Address], bool],
        now_ns: int,
    ):
        self.packet, self.own, self.is_elsewhere, self.now_ns = packet, own, is_elsewhere, now_ns

    def note(self, **changes: object) -> None:
        self.packet.options = replace(options_of(self.packet), **changes)  # type: ignore[arg-type]

    def write(self, at: int, data: bytes) -> None:
        write(self.packet, at, data)
        self.note(is_changed=True)

    def own_bytes(self) -> bytes:
        address = self.own()
        return address.packed if address is not None else bytes(4)

    def read(self, at: int, size: int) -> int | None:
        kind = self.packet.ip[at]
        if kind == ROUTER_ALERT:
            return 1 if size < 4 else None
        reader = {
            LOOSE_SOURCE_ROUTE: self.read_source_route,
            STRICT_SOURCE_ROUTE: self.read_source_route,
            RECORD_ROUTE: self.read_record,
            TIMESTAMP: self.read_timestamp,
            CIPSO: self.read_cipso,
        }.get(kind)
        return reader(at, size) if reader else None

    def read_cipso(self, at: int, size: int) -> int | None:
        """No domain of interpretation is known, so it is never right."""
        if options_of(self.packet).cipso_at:
            return 0
        self.note(cipso_at=at)
        return 1 if size < 8 else 2

    def read_source_route(self, at: int, size: int) -> int | None:
        if size < 3:
            return 1
        if self.packet.ip[at + 2] < 4:
            return 2
        if options_of(self.packet).source_at:
            return 0
        self.note(source_at=at)
        return None

    def read_record(self, at: int, size: int) -> int | None:
        if options_of(self.packet).record_at:
            return 0
        if size < 3:
            return 1
        pointer = self.packet.ip[at + 2]
        if pointer < 4:
            return 2
        if pointer <= size:
            if pointer + 3 > size:
                return 2
            self.write(at + pointer - 1, self.own_bytes())
            self.write(at + 2, bytes([pointer + 4]))
            self.note(wants_address=True)
        self.note(record_at=at)
        return None

    def read_timestamp(self, at: int, size: int) -> int | None:
        if options_of(self.packet).stamp_at:
            return 0
        if size < 4:
            return 1
        pointer, flags = self.packet.ip[at + 2], self.packet.ip[at + 3]
        if pointer < 5:
            return 2
        wrong = self.stamp(at, size) if pointer <= size else None
        if wrong is not None:
            return wrong
        if pointer > size and flags & 15 != TIME_PRESPECIFIED:
            if flags >> 4 == MOST_OVERFLOW:
                return 3
            self.write(at + 3, bytes([flags + 16]))
        self.note(stamp_at=at)
        return None

    def stamp(self, at: int, size: int) -> int | None:
        """There is a place left."""
        pointer, flag = self.packet.ip[at + 2], self.packet.ip[at + 3] & 15
        time = timestamp(self.now_ns)
        if pointer + 3 > size or (
            flag in (TIME_AND_ADDRESS, TIME_PRESPECIFIED) and pointer + 7 > size
        ):
            return 2
        if flag == TIME_ONLY:
            self.write(at + pointer - 1, time)
            self.write(at + 2, bytes([pointer + 4]))
            self.note(wants_time=True)
        elif flag == TIME_AND_ADDRESS:
            self.write(at + pointer - 1, self.own_bytes() + time)
            self.write(at + 2, bytes([pointer + 8]))
            self.note(wants_time=True, wants_stamp_address=True)
        elif flag == TIME_PRESPECIFIED:
            asked = self.packet.ip[at + pointer - 1 : at + pointer + 3]
            if not self.is_elsewhere(IPv4Address(asked)):
                self.write(at + pointer + 3, time)
                self.write(at + 2, bytes([pointer + 8]))
                self.note(wants_time=True)
        return None


def write(packet: Packet, at: int, data: bytes) -> None:
    packet.frame[ETHER_SIZE + at : ETHER_SIZE + at + len(data)] = data


def timestamp(now_ns: int) -> bytes:
    """inet_current_timestamp: milliseconds since midnight UT."""
    return (now_ns // 1_000_000 % DAY_MS).to_bytes(4)


def is_strict(packet: Packet) -> bool:
    at = options_of(packet).source_at
    return at > 0 and packet.ip[at] == STRICT_SOURCE_ROUTE


def hops(packet: Packet) -> list[tuple[int, IPv4Address | None]]:
    """What is left of the source route: where each address stands; None for one cut short."""
    at = options_of(packet).source_at
    pointer, size = packet.ip[at + 2], packet.ip[at + 1]
    found: list[tuple[int, IPv4Address | None]] = []
    while pointer <= size:
        whole = pointer + 3 <= size
        start = at + pointer - 1
        found.append((start, IPv4Address(packet.ip[start : start + 4]) if whole else None))
        if not whole:
            break
        pointer += 4
    return found


def spoils_sums(packet: Packet) -> bool:
    """nf_ip_checksum sums the IP header with what it carries, taking it to be right; between
    where options are read and where the packet leaves it is not (measured)."""
    if not options_of(packet).is_changed or packet.is_partial:
        return False
    return checksum(packet.ip[: (packet.ip[0] & 15) * 4]) != 0


def go_on_to(packet: Packet, next_hop: IPv4Address) -> None:
    """The source route leads on from here; its destination changes where the packet leaves."""
    packet.options = replace(options_of(packet), next_hop=next_hop, is_changed=True)


def arrive_at(packet: Packet, address: IPv4Address) -> None:
    """The next hop is this node as well."""
    write(packet, 16, address.packed)
    packet.options = replace(options_of(packet), is_changed=True)


def forward(packet: Packet, own: Callable[[], Address | None]) -> None:
    """ip_forward_options: the address that the packet leaves with, and the next hop.

    own  the address of the device that it leaves by, towards its destination
    """
    options = options_of(packet)

    def own_bytes() -> bytes:
        address = own()
        return address.packed if address is not None else bytes(4)

    is_changed = options.is_changed or options.wants_address
    if options.wants_address:
        write(packet, options.record_at + packet.ip[options.record_at + 2] - 5, own_bytes())
    if options.next_hop is not None:
        for start, address in hops(packet):
            if address == options.next_hop:
                write(packet, 16, address.packed)
                write(packet, start, own_bytes())
                write(packet, options.source_at + 2, bytes([start - options.source_at + 5]))
                break
        if options.wants_stamp_address:
            write(packet, options.stamp_at + packet.ip[options.stamp_at + 2] - 9, own_bytes())
    packet.options = replace(options, is_changed=False)
    if is_changed:
        size = (packet.frame[ETHER_SIZE] & 15) * 4
        write(packet, 10, bytes(2))
        write(packet, 10, checksum(packet.ip[:size]).to_bytes(2))


def echo(packet: Packet, is_elsewhere: Callable[[IPv4Address], bool]) -> Echo:
    """__ip_options_echo.  Raises Unanswerable."""
    options, data, first_hop = options_of(packet), b"", None
    at = Options()
    if options.record_at:
        at = replace(at, record_at=HEADER + len(data))
        record, at = _echo_record(packet, at)
        data += record
    if options.stamp_at:
        at = replace(at, stamp_at=HEADER + len(data))
        stamp, at = _echo_stamp(packet, at, is_elsewhere)
        data += stamp
    if options.source_at:
        back, first_hop = _echo_source_route(packet)
        at = replace(at, source_at=HEADER + len(data) if back else 0)
        data += back
    if options.cipso_at:
        data += _option(packet, options.cipso_at)
    return Echo(data + bytes(-len(data) % 4), at, first_hop)


def _option(packet: Packet, at: int) -> bytes:
    return packet.ip[at : at + packet.ip[at + 1]]


def _echo_record(packet: Packet, at: Options) -> tuple[bytes, Options]:
    option = bytearray(_option(packet, options_of(packet).record_at))
    pointer = option[2]
    if options_of(packet).wants_address and pointer <= len(option):
        if pointer + 3 > len(option):
            raise Unanswerable
        option[2] = pointer + 4
        at = replace(at, wants_address=True)
    return bytes(option), at


def _echo_stamp(
    packet: Packet, at: Options, is_elsewhere: Callable[[IPv4Address], bool]
) -> tuple[bytes, Options]:
    option, options = bytearray(_option(packet, options_of(packet).stamp_at)), options_of(packet)
    pointer, size = option[2], len(option)
    if pointer > size:
        return bytes(option), at
    if options.wants_stamp_address:
        if pointer + 3 > size:
            raise Unanswerable
        at, pointer = replace(at, wants_stamp_address=True), pointer + 4
    if options.wants_time:
        if pointer + 3 > size:
            raise Unanswerable
        if option[3] & 15 != TIME_PRESPECIFIED:
            at, pointer = replace(at, wants_time=True), pointer + 4
        elif pointer + 7 <= size and not is_elsewhere(
            IPv4Address(bytes(option[pointer - 1 : pointer + 3]))
        ):
            at, pointer = replace(at, wants_time=True), pointer + 8
    option[2] = pointer
    return bytes(option), at


def _echo_source_route(packet: Packet) -> tuple[bytes, IPv4Address | None]:
    """The way it came, turned round."""
    option = _option(packet, options_of(packet).source_at)
    pointer = min(option[2], len(option) + 1) - 4
    if pointer <= 3:
        return b"", None
    first = IPv4Address(option[pointer - 1 : pointer + 3])
    back = []
    while pointer - 4 > 3:
        pointer -= 4
        back.append(option[pointer - 1 : pointer + 3])
    # RFC 1812 requires to fix source routes that begin with their source.
    if back and option[pointer - 1 : pointer + 3] == packet.src.packed:
        back.pop()
    elif not back and first.packed == packet.src.packed:
        return b"", None
    if int(first) == 0:
        raise Unanswerable  # it never leaves the node
    # The last place is for the one that is answered.
    route = b"".join(back) + bytes(4)
    return bytes([option[0], len(route) + 3, 4]) + route, first


def build(echoed: Echo, src: Address, dst: Address, now_ns: int) -> bytes:
    """ip_options_build: the options of a packet that this node sends."""
    data, at = bytearray(echoed.data), echoed.options
    if at.source_at:
        end = at.source_at - HEADER + data[at.source_at - HEADER + 1]
        data[end - 4 : end] = dst.packed
    if at.wants_address:
        _put(data, at.record_at, 5, src.packed)
    if at.wants_stamp_address:
        _put(data, at.stamp_at, 9, src.packed)
    if at.wants_time:
        _put(data, at.stamp_at, 5, timestamp(now_ns))
    return bytes(data)


def _put(data: bytearray, option_at: int, back: int, value: bytes) -> None:
    """Before where the option's pointer stands."""
    at = option_at - HEADER
    start = at + data[at + 2] - back
    data[start : start + 4] = value
