"""Rows of matches that look at IPv6 extension headers."""

from ipaddress import IPv6Address

from _fastpath.image import ExtensionField as Field
from _fastpath.image import MatchKind
from dataplane.image.match_header import address_words
from dataplane.image.match_rows import Row, Rows, Unmodelled, options_of, row
from dataplane.image.pools import Pools
from dataplane.node.iptables import Match, Option

WORD = 0xFFFFFFFF
HEADERS = {"hbh": 0, "rt": 43, "frag": 44, "ah": 51, "dst": 60}  # of IPv6, by match
# ip6t_ipv6header.h: MASK_*
HEADER_BITS = {
    "hop-by-hop": 128, "ipv6-opts": 64, "ipv6-route": 32, "ipv6-frag": 16, "ah": 8, "esp": 4,
    "ipv6-nonxt": 2, "protocol": 1,
}  # fmt: skip
RANGES = {
    "--fragid": Field.FRAGMENT_ID,
    "--hbh-len": Field.EXTENSION_SIZE,
    "--dst-len": Field.EXTENSION_SIZE,
    "--rt-type": Field.ROUTING_TYPE,
    "--rt-segsleft": Field.ROUTING_SEGMENTS_LEFT,
    "--rt-len": Field.EXTENSION_SIZE,
    "--ahspi": Field.AUTHENTICATION_SPI,
    "--ahlen": Field.EXTENSION_SIZE,
}
FLAGS = {  # the field must be in the range
    "--fragres": (Field.FRAGMENT_RESERVED, 0, 0),
    "--fragfirst": (Field.FRAGMENT_OFFSET, 0, 0),
    "--fragmore": (Field.FRAGMENT_MORE, 1, 1),
    "--fraglast": (Field.FRAGMENT_MORE, 0, 0),
    "--rt-0-res": (Field.ROUTING_RESERVED, 0, 0),
    "--ahres": (Field.AUTHENTICATION_RESERVED, 0, 0),
}


def header_rows(match: Match, pools: Pools, family: int) -> list[Row]:
    if family != 6:
        raise Unmodelled(match.name)
    header = HEADERS[match.name]
    options = options_of(match)
    loosely = options.pop("--rt-0-not-strict", None)
    rows = [row(MatchKind.MATCH_EXTENSION, c=Field.EXTENSION_PRESENT, d=header)]
    for option in options.values():
        if option.name == "--rt-0-addrs":
            rows.append(_addresses(option, pools, bool(loosely)))
        elif option.name in ("--hbh-opts", "--dst-opts"):
            rows.append(_options(option, pools, header))
        elif option.name in FLAGS:
            field, low, high = FLAGS[option.name]
            rows.append(row(MatchKind.MATCH_EXTENSION, low, high, field, header))
        elif option.name != "--fraglen":  # which the kernel does not look at
            rows += _range(option, header)
    return rows


def _range(option: Option, header: int) -> list[Row]:
    first, colon, last = option.values[0].partition(":")
    low = int(first or 0)
    high = int(last or WORD) if colon else low
    if option.name == "--ahlen" and low == 0:  # ip6t_ah.c: asks for nothing
        return []
    field = RANGES[option.name]
    return [row(MatchKind.MATCH_EXTENSION, low, high, field, header, invert=option.negated)]


def _addresses(option: Option, pools: Pools, loosely: bool) -> Row:
    addresses = [int(IPv6Address(text)) for text in option.values[0].split(",")]
    start = pools.add_words([word for address in addresses for word in address_words(address)])
    field = Field.ROUTING_SOME if loosely else Field.ROUTING_ADDRESSES
    return row(MatchKind.MATCH_EXTENSION, start, len(addresses), field, HEADERS["rt"])


def _options(option: Option, pools: Pools, header: int) -> Row:
    if option.negated:
        raise Unmodelled(option.name)
    words = []
    for text in option.values[0].split(","):
        kind, colon, size = text.partition(":")
        words.append(int(kind) << 8 | (int(size) if colon else 0xFF))
    start = pools.add_words(words)
    return row(MatchKind.MATCH_EXTENSION, start, len(words), Field.EXTENSION_OPTIONS, header)


def _mobility(match: Match, pools: Pools, family: int) -> list[Row]:
    if family != 6:
        raise Unmodelled(match.name)
    option = options_of(match).get("--mh-type")
    first, colon, last = option.values[0].partition(":") if option else ("0", ":", "255")
    low = int(first)
    high = int(last) if colon else low
    return [row(MatchKind.MATCH_MOBILITY, low, high, invert=bool(option and option.negated))]


def _ipv6header(match: Match, pools: Pools, family: int) -> list[Row]:
    options = options_of(match)
    soft, header = options.pop("--soft", None), options.pop("--header")
    if options or family != 6:
        raise Unmodelled(match.name)
    bits = sum(HEADER_BITS[name] for name in header.values[0].split(","))
    return [row(MatchKind.MATCH_IPV6HEADER, bits, invert=header.negated, flags=int(bool(soft)))]


MATCHES: dict[str, Rows] = {
    "frag": header_rows,
    "rt": header_rows,
    "hbh": header_rows,
    "dst": header_rows,
    "mh": _mobility,
    "ipv6header": _ipv6header,
}
