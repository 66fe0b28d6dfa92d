"""Packets in pieces, whole and hostile, for tests."""

import itertools
import struct
from collections.abc import Sequence

from hypothesis import strategies as st

from tests import frames as fr

TRACEROUTE = b"\x52\x08" + bytes(6)  # not copied into fragments (RFC 1393)
SECURITY = b"\x82\x0b" + bytes(9) + b"\x01"  # copied


def pieces(size: int, cuts: Sequence[int]) -> list[tuple[int, int]]:
    """(from, to) of each part of `size` bytes that is cut at `cuts`."""
    edges = [0, *sorted({cut for cut in cuts if 0 < cut < size}), size]
    return list(itertools.pairwise(edges))


def fragment4(
    src: object, dst: object, protocol: int, part: bytes, offset: int, more: bool, *,
    df: bool = False, options: bytes = b"", **fields: int,
) -> bytes:  # fmt: skip
    """An IPv4 packet.  `offset` in bytes, a multiple of eight."""
    word = offset // 8 | (0x2000 if more else 0) | (0x4000 if df else 0)
    return fr.ipv4(src, dst, protocol, part, options, fragment=word, **fields)


def fragment6(
    src: object, dst: object, protocol: int, part: bytes, offset: int, more: bool, *,
    number: int = 1, before: bytes = b"", hop_limit: int = 64, tos: int = 0,
) -> bytes:  # fmt: skip
    """An IPv6 packet.  `before`: destination options that every fragment repeats."""
    header = struct.pack(">BBHI", protocol, 0, offset | more, number)
    first = 44
    if before:
        header, first = b"\x2c" + before[1:] + header, 60
    packet = bytearray(fr.ipv6(src, dst, first, header + part, hop_limit=hop_limit))
    packet[0:2] = (0x6000 | tos << 4).to_bytes(2)
    return bytes(packet)


@st.composite
def parts(draw: st.DrawFn, body: bytes) -> list[tuple[bytes, int, bool]]:
    """(part, offset, more) of a payload: mostly a whole set in some order, with something
    repeated, and now and then one that contradicts the others."""
    cuts = draw(st.lists(st.sampled_from(range(8, 160, 8)), min_size=1, max_size=4))
    sound = [(body[a:b], a, b < len(body)) for a, b in pieces(len(body), cuts)]
    found = draw(st.permutations(sound))
    again = draw(st.lists(st.sampled_from(sound), max_size=1))
    return [*found, *again] if draw(st.booleans()) else [*again, *found]


@st.composite
def hostile(draw: st.DrawFn, body: bytes) -> tuple[bytes, int, bool]:
    """Overlapping, empty, odd, beyond the end, beyond what a packet holds."""
    offset = draw(st.sampled_from([0, 0, 8, 16, 24, 32, 64, 65528]))
    size = draw(st.sampled_from([0, 1, 7, 8, 9, 16, 24, 40, 100]))
    return (body[offset : offset + size] or body)[:size], offset, draw(st.booleans())
