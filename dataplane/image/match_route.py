"""Rows of matches that ask how addresses would be routed: addrtype, realm, rpfilter."""

from _fastpath.image import AddressType, AddrtypeFlag, MatchKind, RpfilterFlag
from dataplane.image.match_rows import UNKNOWN, Row, Rows, names, options_of, row
from dataplane.image.pools import Pools
from dataplane.node.iptables import Match
from dataplane.node.realms import number

TYPES = {kind.name.removeprefix("TYPE_"): int(kind) for kind in AddressType}
TYPES6 = {
    name: TYPES[name]
    for name in ("UNSPEC", "UNICAST", "LOCAL", "ANYCAST", "MULTICAST", "UNREACHABLE")
}  # xt_addrtype.c, addrtype_mt_checkentry_v1
WORD = 0xFFFFFFFF
RPFILTER = {
    "--loose": RpfilterFlag.RPFILTER_LOOSE,
    "--validmark": RpfilterFlag.RPFILTER_VALID_MARK,
    "--accept-local": RpfilterFlag.RPFILTER_ACCEPT_LOCAL,
}


def _addrtype(match: Match, pools: Pools, family: int) -> list[Row]:
    options = options_of(match)
    known = TYPES if family == 4 else TYPES6
    source, destination = options.pop("--src-type", None), options.pop("--dst-type", None)
    flags = 0
    if options.pop("--limit-iface-in", None):
        flags |= AddrtypeFlag.ADDRTYPE_LIMIT_IFACE_IN
    if options.pop("--limit-iface-out", None):
        flags |= AddrtypeFlag.ADDRTYPE_LIMIT_IFACE_OUT
    if source and source.negated:
        flags |= AddrtypeFlag.ADDRTYPE_INVERT_SOURCE
    if destination and destination.negated:
        flags |= AddrtypeFlag.ADDRTYPE_INVERT_DEST
    return [
        row(
            MatchKind.MATCH_ADDRTYPE,
            names(source, known) if source else 0,
            names(destination, known) if destination else 0,
            flags,
        )
    ]


def _realm(match: Match, pools: Pools, family: int) -> list[Row]:
    (option,) = match.options
    if family != 4 or not pools.knows_realms:
        return [UNKNOWN]
    value, slash, mask = option.values[0].partition("/")
    low = number(value) if not value[:1].isdigit() else int(value, 0)
    bits = int(mask, 0) if slash else WORD
    if not (0 <= low <= WORD and 0 <= bits <= WORD):
        raise ValueError(match)
    return [row(MatchKind.MATCH_REALM, low, bits, invert=option.negated)]


def _rpfilter(match: Match, pools: Pools, family: int) -> list[Row]:
    options = options_of(match)
    invert = bool(options.pop("--invert", None))
    flags = sum(RPFILTER[name] for name in options)
    return [row(MatchKind.MATCH_RPFILTER, invert=invert, flags=flags)]


MATCHES: dict[str, Rows] = {"addrtype": _addrtype, "realm": _realm, "rpfilter": _rpfilter}
