"""Rows of -m physdev: bridge ports behind a bridge."""

from _fastpath.image import MatchKind, PhysdevFlag
from dataplane.image import encode
from dataplane.image.match_rows import Row, Rows, options_of, row
from dataplane.image.pools import Pools
from dataplane.node.iptables import Match, Option

FLAGS = {
    "--physdev-in": PhysdevFlag.PHYSDEV_IN,
    "--physdev-out": PhysdevFlag.PHYSDEV_OUT,
    "--physdev-is-bridged": PhysdevFlag.PHYSDEV_BRIDGED,
    "--physdev-is-in": PhysdevFlag.PHYSDEV_IS_IN,
    "--physdev-is-out": PhysdevFlag.PHYSDEV_IS_OUT,
}


def _physdev(match: Match, pools: Pools, family: int) -> list[Row]:
    options = options_of(match)
    if not options:
        raise ValueError(match)  # the kernel refuses it
    asked = sum(FLAGS[name] for name in options)
    turned = sum(FLAGS[option.name] for option in options.values() if option.negated)
    a, b = (_name(options.get(name), pools) for name in ("--physdev-in", "--physdev-out"))
    return [row(MatchKind.MATCH_PHYSDEV, a, b, d=turned, flags=asked)]


def _name(option: Option | None, pools: Pools) -> int:
    """Words of the name and of its mask."""
    if option is None:
        return 0
    (name, mask) = encode.name_mask(option.values[0])
    halves = [half for word in (*name, *mask) for half in (word & 0xFFFFFFFF, word >> 32)]
    return pools.add_words(halves)


MATCHES: dict[str, Rows] = {"physdev": _physdev}
