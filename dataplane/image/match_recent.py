"""Rows of -m recent."""

from ipaddress import ip_address

from _fastpath.image import MatchKind, RecentFlag
from dataplane.image.match_rows import Row, options_of, row
from dataplane.image.pools import Pools
from dataplane.node.iptables import Match

WHAT = {
    "--set": RecentFlag.RECENT_SET,
    "--rcheck": RecentFlag.RECENT_CHECK,
    "--update": RecentFlag.RECENT_UPDATE,
    "--remove": RecentFlag.RECENT_REMOVE,
}
HOW = {
    "--rttl": RecentFlag.RECENT_TTL,
    "--reap": RecentFlag.RECENT_REAP,
    "--rdest": RecentFlag.RECENT_DESTINATION,
    "--rsource": 0,
}
HITS_MAX = 255
STAMPS = 32  # that an entry keeps if no rule counts hits


def recent(match: Match, pools: Pools, family: int) -> list[Row]:
    """xt_recent.c, recent_mt_check"""
    options = options_of(match)
    ((what, asked),) = ((name, options.pop(name)) for name in WHAT if name in options)
    flags = WHAT[what]
    for name, bit in HOW.items():
        if options.pop(name, None):
            flags |= bit
    values = {name: option.values[0] for name, option in options.items()}
    seconds, hits = int(values.pop("--seconds", "0")), int(values.pop("--hitcount", "0"))
    name = values.pop("--name", "DEFAULT")
    mask = _mask_words(values.pop("--mask", ""), family)
    if values or not 0 <= hits <= HITS_MAX or not 0 <= seconds < 1 << 32:
        raise ValueError(match)
    modified = flags & (RecentFlag.RECENT_TTL | RecentFlag.RECENT_REAP)
    if what in ("--set", "--remove") and (seconds or hits or modified):
        raise ValueError(match)
    if flags & RecentFlag.RECENT_REAP and not seconds:
        raise ValueError(match)
    stamps = 1 << (hits - 1).bit_length() if hits else STAMPS
    slot = pools.memories.recent_table(pools.node, name, mask, stamps)
    return [row(MatchKind.MATCH_RECENT, seconds, hits, slot, invert=asked.negated, flags=flags)]


def _mask_words(text: str, family: int) -> tuple[int, int, int, int]:
    """nf_inet_addr: an IPv4 mask is the first word, and the others are zero."""
    if not text:
        return (0xFFFFFFFF,) * 4
    address = ip_address(text)
    if address.version != family:
        raise ValueError(text)
    number = int(address) if family == 6 else int(address) << 96
    first, second, third, fourth = (number >> shift & 0xFFFFFFFF for shift in (96, 64, 32, 0))
    return first, second, third, fourth
