"""What a pcap or pcapng file holds, one record after the other.

pcap:    draft-ietf-opsawg-pcap, and older relatives as libpcap 1.10 reads them (sf-pcap.c)
pcapng:  draft-ietf-opsawg-pcapng
"""

import struct
from collections.abc import Iterator
from enum import IntFlag
from typing import NamedTuple

MAX_FRAME = 262144  # libpcap's MAXIMUM_SNAPLEN
MAX_BLOCK = 16 * 1024 * 1024
SECOND = 10**9
LAST_NS = 2**64 - 1

ETHERNET, COOKED, COOKED2, RAW, IPV4, IPV6 = 1, 113, 276, (12, 14, 101), 228, 229
ETHERNET_HEADER = struct.Struct(">6x6xH")


class Flag(IntFlag):
    """What is odd about a frame; the numbers of FrameFlag in _fastpath/capture.pxd."""

    CUT = 1  # the file ends within the frame
    LATE = 2  # its fraction was one second or more: carried into the seconds
    TIMELESS = 4  # Simple Packet Block: it takes the time of the frame before
    CLAMPED = 8  # its time does not fit into 64 bits of nanoseconds
    RAISED = 16  # said to be shorter than what was captured of it: `length` raised


class Frame(NamedTuple):
    time_ns: int
    offset: int
    captured: int
    length: int
    interface: int
    linktype: int
    flags: int


class Interface(NamedTuple):
    time_offset_s: int
    snaplen: int
    linktype: int
    resolution: int


class Ending(Exception):  # noqa: N818 - a file that ends early is not in error
    """Why reading ended before the end of the file, and at which record."""

    def __init__(self, status: str, offset: int):
        self.status, self.offset = status, offset


def scan(data: bytes) -> tuple[list[Frame], str, int]:
    """Frames, name of the Status that ended the scan, and the offset where it ended."""
    found = []
    try:
        for frame in frames(data):
            found.append(frame)
    except Ending as ending:
        return found, ending.status, ending.offset
    return found, "DONE", len(data)


def frames(data: bytes) -> Iterator[Frame]:
    """The frames in file order.  Raises Ending."""
    magic = data[:4].hex()
    if magic == "0a0d0d0a":
        return _pcapng(data)
    for order, name in ((">", magic), ("<", data[:4][::-1].hex())):
        if name == "a1b2c3d4":
            return _pcap(data, order, 1000, 16)
        if name == "a1b23c4d":
            return _pcap(data, order, 1, 16)
        if name == "a1b2cd34":  # Kuznetsov's: ifindex, protocol and packet type follow
            return _pcap(data, order, 1000, 24)
    raise Ending("NOT_CAPTURE", 0)


def _frame(
    data: bytes,
    time_ns: int,
    offset: int,
    captured: int,
    length: int,
    interface: int,
    linktype: int,
    flags: int,
) -> Frame:
    present = min(captured, len(data) - offset)
    flags |= Flag.CUT if present < captured else 0
    flags |= Flag.RAISED if length < captured else 0
    length = max(length, captured)
    return Frame(time_ns, offset, present, length, interface, linktype, int(flags))


def _pcap(data: bytes, order: str, fraction_ns: int, header: int) -> Iterator[Frame]:
    if len(data) < 24:
        raise Ending("TRUNCATED", 0)
    major, minor, linktype = struct.unpack_from(order + "HH12xI", data, 4)
    if major != 2 and (major, minor) != (543, 0):
        raise Ending("BAD_VERSION", 0)
    here = 24
    while here < len(data):
        if len(data) - here < header:
            raise Ending("TRUNCATED", here)
        seconds, fraction, captured, length = struct.unpack_from(order + "IIII", data, here)
        if major == 543 or minor < 3 or (minor == 3 and captured > length):
            captured, length = length, captured
        if captured > MAX_FRAME:
            raise Ending("BAD_FRAME", here)
        time_ns = seconds * SECOND + fraction * fraction_ns
        flags = Flag.LATE if fraction * fraction_ns >= SECOND else 0
        start = here + header
        # The upper half of the link type word tells the length of a frame check sequence.
        yield _frame(data, time_ns, start, captured, length, 0, linktype & 0xFFFF, flags)
        if len(data) - start < captured:
            raise Ending("TRUNCATED", here)
        here = start + captured


class _Reading:
    """What earlier blocks of a pcapng file say about later ones."""

    order = "<"
    section = 0  # index of the first interface of this section
    last_ns = 0

    def __init__(self, data: bytes):
        self.data = data
        self.interfaces: list[Interface] = []


def _pcapng(data: bytes) -> Iterator[Frame]:
    reading = _Reading(data)
    here = 0
    while here < len(data):
        left = len(data) - here
        if left < 12:
            raise Ending("TRUNCATED", here)
        size = _block_size(reading, here)
        kind = struct.unpack_from(reading.order + "I", data, here)[0]
        if kind in (2, 3, 6):
            frame = (_simple if kind == 3 else _packet)(reading, here, kind, size)
            reading.last_ns = frame.time_ns
            yield frame
        if size > left:
            raise Ending("TRUNCATED", here)
        if kind == 0x0A0D0D0A:
            _section(reading, here, size)
        elif kind == 1:
            reading.interfaces.append(_interface(reading, here, size))
        here += size


def _block_size(reading: _Reading, here: int) -> int:
    data = reading.data
    if data[here : here + 4].hex() == "0a0d0d0a":
        magic = data[here + 8 : here + 12].hex()
        if magic not in ("1a2b3c4d", "4d3c2b1a"):
            raise Ending("BAD_SECTION", here)
        reading.order = ">" if magic == "1a2b3c4d" else "<"
    size: int = struct.unpack_from(reading.order + "I", data, here + 4)[0]
    if not 12 <= size <= MAX_BLOCK or size % 4:
        raise Ending("BAD_BLOCK", here)
    if here + size <= len(data):
        if struct.unpack_from(reading.order + "I", data, here + size - 4)[0] != size:
            raise Ending("BAD_BLOCK", here)
    return size


def _section(reading: _Reading, here: int, size: int) -> None:
    if size < 28:
        raise Ending("BAD_BLOCK", here)
    version = struct.unpack_from(reading.order + "HH", reading.data, here + 12)
    if version not in ((1, 0), (1, 2)):  # 1.2 was written by mistake: the same as 1.0
        raise Ending("BAD_VERSION", here)
    reading.section = len(reading.interfaces)


def _interface(reading: _Reading, here: int, size: int) -> Interface:
    if size < 20:
        raise Ending("BAD_BLOCK", here)
    linktype, snaplen = struct.unpack_from(reading.order + "H2xI", reading.data, here + 8)
    resolution, offset = 6, 0
    for code, value in _options(reading, here, here + 16, here + size - 4):
        if code in (9, 14) and len(value) != {9: 1, 14: 8}[code]:
            raise Ending("BAD_OPTION", here)
        if code == 9:
            resolution = value[0]
        elif code == 14:
            offset = struct.unpack(reading.order + "q", value)[0]
    return Interface(offset, snaplen, linktype, resolution)


def _options(reading: _Reading, block: int, here: int, end: int) -> Iterator[tuple[int, bytes]]:
    while here + 4 <= end:
        code, size = struct.unpack_from(reading.order + "HH", reading.data, here)
        here += 4
        if code == 0:
            return
        if here + size > end:
            raise Ending("BAD_OPTION", block)
        yield code, reading.data[here : here + size]
        here += (size + 3) // 4 * 4


def _packet(reading: _Reading, here: int, kind: int, size: int) -> Frame:
    if size < 32:
        raise Ending("BAD_BLOCK", here)
    if len(reading.data) - here < 28:
        raise Ending("TRUNCATED", here)
    # The obsolete Packet Block (2) has a 16-bit interface and a drop count.
    layout = "I" if kind == 6 else "H2x"
    local, high, low, captured, length = struct.unpack_from(
        f"{reading.order}{layout}IIII", reading.data, here + 8
    )
    number = reading.section + local
    if number >= len(reading.interfaces):
        raise Ending("NO_INTERFACE", here)
    if captured > min(MAX_FRAME, size - 32):
        raise Ending("BAD_FRAME", here)
    interface = reading.interfaces[number]
    exact = _nanoseconds(high << 32 | low, interface)
    time_ns = min(max(exact, 0), LAST_NS)
    flags = Flag.CLAMPED if time_ns != exact else 0
    return _frame(
        reading.data, time_ns, here + 28, captured, length, number, interface.linktype, flags
    )


def _simple(reading: _Reading, here: int, kind: int, size: int) -> Frame:
    if size < 16:
        raise Ending("BAD_BLOCK", here)
    if len(reading.data) - here < 12:
        raise Ending("TRUNCATED", here)
    if reading.section == len(reading.interfaces):
        raise Ending("NO_INTERFACE", here)
    interface = reading.interfaces[reading.section]
    length: int = struct.unpack_from(reading.order + "I", reading.data, here + 8)[0]
    captured = min(length, interface.snaplen or length)
    if captured > min(MAX_FRAME, size - 16):
        raise Ending("BAD_FRAME", here)
    return _frame(
        reading.data, reading.last_ns, here + 12, captured, length, reading.section,
        interface.linktype, Flag.TIMELESS,
    )  # fmt: skip


def _nanoseconds(ticks: int, interface: Interface) -> int:
    base = 2 if interface.resolution & 0x80 else 10
    ticks_per_second: int = base ** (interface.resolution & 0x7F)
    return ticks * SECOND // ticks_per_second + interface.time_offset_s * SECOND


def to_ethernet(linktype: int, frame: bytes, length: int) -> tuple[bytes, int] | None:
    """The frame as Ethernet and its length on the wire; None if it has no such form."""
    if linktype == ETHERNET:
        return (frame, length) if len(frame) >= 14 else None
    header = {COOKED: 16, COOKED2: 20}.get(linktype, 0)
    if len(frame) < max(header, 1):
        return None
    ethertype = _ethertype(linktype, frame, length - header)
    if ethertype is None:
        return None
    return ETHERNET_HEADER.pack(ethertype) + frame[header:], min(length - header + 14, 2**32 - 1)


def _ethertype(linktype: int, frame: bytes, payload: int) -> int | None:
    if linktype in (COOKED, COOKED2):
        at = 14 if linktype == COOKED else 0
        protocol = int.from_bytes(frame[at : at + 2], "big")
        # ETH_P_802_3 and ETH_P_802_2: in an Ethernet header the length stands there instead.
        return min(payload, 1500) if protocol in (1, 4) else protocol
    if linktype in RAW:
        return {4: 0x0800, 6: 0x86DD}.get(frame[0] >> 4)
    return {IPV4: 0x0800, IPV6: 0x86DD}.get(linktype)
