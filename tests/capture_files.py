"""Capture files to test with: a small writer, and Hypothesis strategies for whole files.

The writer knows nothing of the readers: what it is given is what a reader must find.
"""

import struct
from typing import NamedTuple

from hypothesis import strategies as st

MICRO, NANO, MODIFIED = 0xA1B2C3D4, 0xA1B23C4D, 0xA1B2CD34
# Lengths and counts that a reader might stumble over.
HOSTILE_WORDS = [0, 1, 12, 0xFFFF, 262144, 262145, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF0, 0xFFFFFFFF]


class Written(NamedTuple):
    """A frame as it was given to the writer."""

    seconds: int
    fraction: int
    data: bytes
    length: int  # on the wire


def frame(data: bytes, seconds: int = 1, fraction: int = 0) -> Written:
    return Written(seconds, fraction, data, len(data))


def pcap(
    frames: list[Written],
    order: str = "<",
    magic: int = MICRO,
    version: tuple[int, int] = (2, 4),
    linktype: int = 1,
    snaplen: int = 65535,
) -> bytes:
    parts = [struct.pack(order + "IHHiIII", magic, *version, 0, 0, snaplen, linktype)]
    for seconds, fraction, data, length in frames:
        parts.append(struct.pack(order + "IIII", seconds, fraction, len(data), length))
        parts.append(b"\0" * 8 if magic == MODIFIED else b"")
        parts.append(data)
    return b"".join(parts)


def padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)


def option(order: str, code: int, value: bytes) -> bytes:
    return struct.pack(order + "HH", code, len(value)) + padded(value)


def block(order: str, kind: int, body: bytes) -> bytes:
    size = len(body) + 12
    return struct.pack(order + "II", kind, size) + body + struct.pack(order + "I", size)


def section(order: str = "<", version: tuple[int, int] = (1, 0), options: bytes = b"") -> bytes:
    body = struct.pack(order + "IHHq", 0x1A2B3C4D, *version, -1)
    return block(order, 0x0A0D0D0A, body + options)


def interface(
    order: str = "<",
    linktype: int = 1,
    snaplen: int = 0,
    resolution: int | None = None,
    time_offset_s: int | None = None,
) -> bytes:
    options = option(order, 2, b"eth0") if snaplen else b""
    if resolution is not None:
        options += option(order, 9, bytes([resolution]))
    if time_offset_s is not None:
        options += option(order, 14, struct.pack(order + "q", time_offset_s))
    options += option(order, 0, b"") if options else b""
    return block(order, 1, struct.pack(order + "HHI", linktype, 0, snaplen) + options)


def enhanced(order: str, number: int, ticks: int, data: bytes, length: int) -> bytes:
    body = struct.pack(order + "IIIII", number, ticks >> 32, ticks & 0xFFFFFFFF, len(data), length)
    return block(order, 6, body + padded(data) + option(order, 1, b"a comment"))


def obsolete(order: str, number: int, ticks: int, data: bytes, length: int) -> bytes:
    fixed = (number, 0, ticks >> 32, ticks & 0xFFFFFFFF, len(data), length)
    return block(order, 2, struct.pack(order + "HHIIII", *fixed) + padded(data))


def simple(order: str, data: bytes, length: int) -> bytes:
    return block(order, 3, struct.pack(order + "I", length) + padded(data))


orders = st.sampled_from("<>")
linktypes = st.sampled_from([1, 12, 14, 101, 113, 228, 229, 276])
payloads = st.binary(max_size=40) | st.sampled_from([b"", b"\x45" + b"\0" * 60, b"\0" * 14])


@st.composite
def written(draw, fractions: int = 10**6) -> Written:
    data = draw(payloads)
    length = len(data) + draw(st.sampled_from([0, 0, 0, 5, 1400]))
    seconds = draw(st.integers(0, 3) | st.sampled_from([1_700_000_000, 2**32 - 1]))
    return Written(seconds, draw(st.integers(0, fractions - 1)), data, length)


@st.composite
def pcap_files(draw) -> bytes:
    magic = draw(st.sampled_from([MICRO, NANO, MODIFIED]))
    return pcap(
        draw(st.lists(written(draw(st.sampled_from([10**6, 10**9, 2**32]))), max_size=5)),
        order=draw(orders),
        magic=magic,
        version=draw(st.sampled_from([(2, 4)] * 5 + [(2, 2), (2, 3), (543, 0), (1, 0)])),
        linktype=draw(linktypes) | draw(st.sampled_from([0, 0, 0x24000000, 0xFFFF0000])),
    )


ticks = st.integers(0, 2**64 - 1) | st.integers(0, 10**7)
resolutions = st.none() | st.integers(0, 255) | st.sampled_from([3, 6, 9, 0x80 | 20])
time_offsets = st.none() | st.integers(-(2**63), 2**63 - 1) | st.sampled_from([3600, -3600])


@st.composite
def packet_blocks(draw, order: str) -> bytes:
    data = draw(payloads)
    length = len(data) + draw(st.sampled_from([0, 0, 4]))
    if draw(st.integers(0, 3)) == 0:
        return simple(order, data, length)
    write = draw(st.sampled_from([enhanced, enhanced, obsolete]))
    return write(order, draw(st.sampled_from([0, 0, 0, 1, 2])), draw(ticks), data, length)


@st.composite
def pcapng_files(draw) -> bytes:
    parts = []
    for _ in range(draw(st.integers(1, 3))):
        order = draw(orders)
        parts.append(section(order, draw(st.sampled_from([(1, 0)] * 9 + [(1, 2), (2, 0)]))))
        described = st.builds(
            interface, st.just(order), linktypes, st.sampled_from([0, 0, 16, 65535]), resolutions,
            time_offsets,
        )  # fmt: skip
        other = st.builds(block, st.just(order), st.sampled_from([4, 5, 10, 0xBAD]), st.just(b""))
        parts += draw(st.lists(described, max_size=2))
        parts += draw(st.lists(packet_blocks(order) | described | other, max_size=6))
    return b"".join(parts)


@st.composite
def mutated(draw, files: st.SearchStrategy[bytes]) -> bytes:
    """A file with its end cut off, a hostile word put in, bytes changed, or a piece repeated."""
    data = draw(files)
    for _ in range(draw(st.integers(1, 2))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        order = draw(orders)
        word = struct.pack(order + "I", draw(st.sampled_from(HOSTILE_WORDS)))
        aligned = at // 4 * 4
        data = draw(
            st.sampled_from([
                data[:at],
                data[:aligned] + word + data[aligned + 4 :],
                data[:at] + draw(st.binary(min_size=1, max_size=3)) + data[at + 1 :],
                data + data[at:],
            ])
        )  # fmt: skip
    return data


magics = st.sampled_from([b"\x0a\x0d\x0d\x0a", *(struct.pack("<I", m) for m in (MICRO, NANO))])
noise = st.builds(bytes.__add__, magics | st.just(b""), st.binary(max_size=200))
files = pcap_files() | pcapng_files()
hostile_files = st.one_of(mutated(files), mutated(pcapng_files()), mutated(pcap_files()), noise)
