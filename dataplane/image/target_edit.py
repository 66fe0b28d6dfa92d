"""Targets that change bytes or marks as rows."""

from _fastpath.image import MSS_CLAMP, ConnmarkMode, TargetKind, TtlMode
from dataplane.image.pools import Pools
from dataplane.image.target_rows import EMPTY, Options, Row, masked, numbers, only

TTL_MODES = {"set": TtlMode.TTL_SET, "inc": TtlMode.TTL_INCREASE, "dec": TtlMode.TTL_DECREASE}


def ttl(options: Options, family: int, pools: Pools) -> tuple[int, Row]:
    ((name, option),) = options.items()
    return TargetKind.TARGET_TTL, numbers(TTL_MODES[name[-3:]], int(option.values[0]))


def tos(options: Options, family: int, pools: Pools) -> tuple[int, Row]:
    return TargetKind.TARGET_DSFIELD, numbers(*masked(only(options, "--set-tos"), 0xFF))


def dscp(options: Options, family: int, pools: Pools) -> tuple[int, Row]:
    value = int(only(options, "--set-dscp").values[0], 0)
    return TargetKind.TARGET_DSFIELD, numbers(value << 2, 0xFC)


def ecn(options: Options, family: int, pools: Pools) -> tuple[int, Row]:
    only(options, "--ecn-tcp-remove")
    return TargetKind.TARGET_ECN_REMOVE, EMPTY


def connmark(options: Options, family: int, pools: Pools) -> tuple[int, Row]:
    kind = TargetKind.TARGET_CONNMARK
    if options.keys() == {"--set-xmark"}:
        return kind, numbers(*masked(options["--set-xmark"]), ConnmarkMode.CONNMARK_SET)
    names = options.keys() - {"--nfmask", "--ctmask"}
    mode = {
        "--save-mark": ConnmarkMode.CONNMARK_SAVE,
        "--restore-mark": ConnmarkMode.CONNMARK_RESTORE,
    }[names.pop()]
    if names:
        raise KeyError(names)
    nfmask, ctmask = (
        int(options[name].values[0], 0) if name in options else 0xFFFFFFFF
        for name in ("--nfmask", "--ctmask")
    )
    return kind, numbers(nfmask, ctmask, mode)


def tcpmss(options: Options, family: int, pools: Pools) -> tuple[int, Row]:
    option = only(options, "--set-mss", "--clamp-mss-to-pmtu")
    if option.name == "--clamp-mss-to-pmtu":
        return TargetKind.TARGET_TCPMSS, numbers(0, MSS_CLAMP)
    return TargetKind.TARGET_TCPMSS, numbers(int(option.values[0]), 0)


def checksum(options: Options, family: int, pools: Pools) -> tuple[int, Row]:
    only(options, "--checksum-fill")
    return TargetKind.TARGET_CHECKSUM, EMPTY


# What TCPOPTSTRIP calls them.
STRIPPED = {"wscale": 3, "mss": 2, "sack-permitted": 4, "sack": 5, "timestamp": 8, "md5": 19}


def tcpoptstrip(options: Options, family: int, pools: Pools) -> tuple[int, Row]:
    words = [0] * 8
    for name in only(options, "--strip-options").values[0].split(","):
        kind = STRIPPED.get(name) or int(name)
        if not 2 <= kind <= 255:
            raise ValueError(name)
        words[kind >> 5] |= 1 << (kind & 31)
    return TargetKind.TARGET_STRIP, numbers(pools.add_words(words), 0)
