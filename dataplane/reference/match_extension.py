"""Matches that look at IPv6 extension headers (RFC 8200, section 4)."""

from ipaddress import IPv6Address

from _fastpath.reason import Reason
from dataplane.node.iptables import Option
from dataplane.reference.match_words import Answer, Options, Unmodelled
from dataplane.reference.packet import (
    AUTHENTICATION,
    DESTINATION,
    ETHER_SIZE,
    EXTENSIONS,
    FRAGMENT,
    HOP_BY_HOP,
    ROUTING,
    Packet,
)
from dataplane.reference.place import Place
from dataplane.reference.steps import dropped

ESP, NO_NEXT_HEADER = 50, 59
HEADER_NAMES = {
    HOP_BY_HOP: "hop-by-hop",
    ROUTING: "ipv6-route",
    FRAGMENT: "ipv6-frag",
    AUTHENTICATION: "ah",
    DESTINATION: "ipv6-opts",
}


class _Short(Exception):  # noqa: N818  not an error
    """The packet ends before what is asked for."""


def _take(packet: Packet, at: int, size: int) -> bytes:
    """Bytes from `at`, counted from the IP header (skb_header_pointer)."""
    if at + size > packet.ip_length:
        raise _Short
    found = packet.frame[ETHER_SIZE + at : ETHER_SIZE + at + size]
    if len(found) < size:
        raise Unmodelled  # the capture does not hold them
    return bytes(found)


def _take_or_drop(packet: Packet, at: int, size: int) -> bytes:
    try:
        return _take(packet, at, size)
    except _Short:
        raise dropped(Reason.NETFILTER_DROP) from None


def _size(kind: int, header: bytes) -> int:
    if kind == FRAGMENT:
        return 8
    return (header[1] + 2) * 4 if kind == AUTHENTICATION else (header[1] + 1) * 8


def _find(packet: Packet, wanted: int) -> int | None:
    """exthdrs_core.c, ipv6_find_hdr: where the first header of a kind stands."""
    if packet.family != 6:
        raise Unmodelled
    kind, at = packet.frame[ETHER_SIZE + 6], 40
    while kind in EXTENSIONS:
        header = _take_or_drop(packet, at, 4 if kind in (ROUTING, FRAGMENT) else 2)
        if kind == wanted:
            return at
        if kind == FRAGMENT and int.from_bytes(header[2:4]) >> 3:
            return None  # of what follows, this is the middle
        kind, at = header[0], at + _size(kind, header)
    return None


def _is_in_range(text: str, number: int) -> bool:
    first, colon, last = text.partition(":")
    if not colon:
        return number == int(first)
    return int(first or 0) <= number <= int(last or 0xFFFFFFFF)


def _frag(place: Place, options: Options, packet: Packet) -> bool:
    """ip6t_frag.c.  `--fraglen` is not looked at."""
    at = _find(packet, FRAGMENT)
    if at is None:
        return False
    header = _take_or_drop(packet, at, 8)
    return all(_is_fragment(option, header) for option in options)


def _is_fragment(option: Option, header: bytes) -> bool:
    offset = int.from_bytes(header[2:4])
    if option.name == "--fragid":
        number = int.from_bytes(header[4:8])
        return _is_in_range(option.values[0], number) != option.negated
    return {
        "--fragres": header[1] == 0 and not offset & 6,
        "--fragfirst": offset >> 3 == 0,
        "--fragmore": bool(offset & 1),
        "--fraglast": not offset & 1,
        "--fraglen": True,
    }[option.name]


def _whole(packet: Packet, kind: int, least: int) -> tuple[int, bytes, int] | None:
    """Where a header is, its first bytes and its size; None if it is not there."""
    at = _find(packet, kind)
    if at is None:
        return None
    header = _take_or_drop(packet, at, least)
    size = _size(kind, header)
    if packet.ip_length - at < size:
        raise dropped(Reason.NETFILTER_DROP)
    return at, header, size


def _rt(place: Place, options: Options, packet: Packet) -> bool:
    """ip6t_rt.c"""
    found = _whole(packet, ROUTING, 4)
    if found is None:
        return False
    at, header, size = found
    numbers = {"--rt-type": header[2], "--rt-segsleft": header[3], "--rt-len": size}
    loosely = any(option.name == "--rt-0-not-strict" for option in options)
    for option in options:
        if option.name == "--rt-0-res":
            holds = _take(packet, at + 4, 4) == bytes(4)
        elif option.name == "--rt-0-addrs":
            holds = _has_addresses(packet, at, size, option.values[0].split(","), loosely)
        elif option.name == "--rt-0-not-strict":
            continue
        else:
            holds = _is_in_range(option.values[0], numbers[option.name]) != option.negated
        if not holds:
            return False
    return True


def _has_addresses(packet: Packet, at: int, size: int, texts: list[str], loosely: bool) -> bool:
    """These and no others; or, loosely, these in this order, among others."""
    there = (size - 8) // 16
    wanted = [IPv6Address(text) for text in texts]
    if len(wanted) > there or (not loosely and len(wanted) != there):
        return False
    for number in range(there):
        if not wanted:
            break
        if IPv6Address(_take(packet, at + 8 + 16 * number, 16)) == wanted[0]:
            del wanted[0]
        elif not loosely:
            return False
    return not wanted


def _hbh(place: Place, options: Options, packet: Packet) -> bool:
    return _options_header(options, packet, HOP_BY_HOP)


def _dst(place: Place, options: Options, packet: Packet) -> bool:
    return _options_header(options, packet, DESTINATION)


def _options_header(options: Options, packet: Packet, kind: int) -> bool:
    """ip6t_hbh.c, hbh_mt6"""
    found = _whole(packet, kind, 2)
    if found is None:
        return False
    at, _, size = found
    for option in options:
        if option.name in ("--hbh-opts", "--dst-opts"):
            if option.negated:
                raise Unmodelled
            holds = _begins_with(packet, at + 2, size - 2, option.values[0].split(","))
        else:
            holds = (int(option.values[0]) == size) != option.negated
        if not holds:
            return False
    return True


def _begins_with(packet: Packet, at: int, left: int, wanted: list[str]) -> bool:
    """Whether the options begin with those: TYPE, or TYPE:LENGTH."""
    for number, text in enumerate(wanted, 1):
        kind, _, length = text.partition(":")
        try:
            size = _option_size(packet, at, left, int(kind), int(length or 255))
        except _Short:
            return False
        if size is None:
            return False
        if number < len(wanted) and (left < size or at + size > packet.ip_length):
            return False
        at, left = at + size, left - size
    return True


def _option_size(packet: Packet, at: int, left: int, kind: int, length: int) -> int | None:
    """Of one option; None if it is another.  A length of 255 is any."""
    if left < 1:
        raise _Short
    if _take(packet, at, 1)[0] != kind:
        return None
    if kind == 0:  # Pad1 is a byte and no more
        return 1
    if left < 2:
        raise _Short
    there = _take(packet, at + 1, 1)[0]
    return there + 2 if length in (255, there) else None


def authentication(place: Place, options: Options, packet: Packet) -> bool:
    """ip6t_ah.c"""
    found = _whole(packet, AUTHENTICATION, 12)
    if found is None:
        return False
    _, header, size = found
    for option in options:
        if option.name == "--ahres":
            holds = header[2:4] == bytes(2)
        elif option.name == "--ahspi":
            spi = int.from_bytes(header[4:8])
            holds = _is_in_range(option.values[0], spi) != option.negated
        else:  # --ahlen 0 asks for nothing
            wanted = int(option.values[0])
            holds = not wanted or (wanted == size) != option.negated
        if not holds:
            return False
    return True


def _mh(place: Place, options: Options, packet: Packet) -> bool:
    """ip6t_mh.c: a mobility header is followed by nothing (RFC 6275)."""
    if packet.family != 6:
        raise Unmodelled
    if not packet.is_first:
        return False
    header = _take_or_drop(packet, packet.transport.offset - ETHER_SIZE, 6)
    if header[0] != NO_NEXT_HEADER:
        raise dropped(Reason.NETFILTER_DROP)
    return all(_is_in_range(o.values[0], header[2]) != o.negated for o in options)


def _ipv6header(place: Place, options: Options, packet: Packet) -> bool:
    """ip6t_ipv6header.c: these headers and no others; `--soft`: these at least."""
    if packet.family != 6:
        raise Unmodelled
    try:
        seen = _headers(packet)
    except _Short:
        return False
    (header,) = [option for option in options if option.name == "--header"]
    wanted = set(header.values[0].split(","))
    if any(option.name == "--soft" for option in options):
        return not wanted & seen if header.negated else wanted <= seen
    return (seen == wanted) != header.negated


def _headers(packet: Packet) -> set[str]:
    kind, at, seen = packet.frame[ETHER_SIZE + 6], 40, set()
    while kind in EXTENSIONS and at <= packet.ip_length:
        header = _take(packet, at, 2)
        seen.add(HEADER_NAMES[kind])
        kind, at = header[0], at + _size(kind, header)
    if kind not in (ESP, NO_NEXT_HEADER):
        return seen | {"protocol"}
    if at > packet.ip_length:
        return seen
    if kind == ESP:
        _take(packet, at, 2)
    return seen | {"esp" if kind == ESP else "ipv6-nonxt"}


ANSWERS: dict[str, Answer] = {
    "frag": _frag,
    "rt": _rt,
    "hbh": _hbh,
    "dst": _dst,
    "mh": _mh,
    "ipv6header": _ipv6header,
}
