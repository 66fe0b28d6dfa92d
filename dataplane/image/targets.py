"""Targets of a rule as rows: what `-j NAME …` does, in numbers."""

from collections.abc import Callable
from ipaddress import ip_address, ip_network

from _fastpath.image import (
    MSS_CLAMP,
    ConnmarkMode,
    RangeFlag,
    RejectWith,
    TargetKind,
    TtlMode,
)
from dataplane.image.encode import ZERO, Pair, pair
from dataplane.image.pools import Pools
from dataplane.image.sets import target_words
from dataplane.node.iptables import Option, Target, are_listed

Row = tuple[Pair, Pair, int, int, int, int, int]  # TARGET

EMPTY: Row = (ZERO, ZERO, 0, 0, 0, 0, 0)
VERDICTS = {
    "ACCEPT": TargetKind.TARGET_ACCEPT,
    "DROP": TargetKind.TARGET_DROP,
    "RETURN": TargetKind.TARGET_RETURN,
}
# They write a log, count, or classify for the queueing discipline; no verdict hangs on them.
WITHOUT_EFFECT = {"LOG", "NFLOG", "ULOG", "TRACE", "AUDIT", "CLASSIFY"}

# type << 8 | code
REJECT_IPV4 = {
    "icmp-net-unreachable": 0x300, "icmp-host-unreachable": 0x301,
    "icmp-proto-unreachable": 0x302, "icmp-port-unreachable": 0x303,
    "icmp-net-prohibited": 0x309, "icmp-host-prohibited": 0x30A, "icmp-admin-prohibited": 0x30D,
}  # fmt: skip
REJECT_IPV6 = {
    "icmp6-no-route": 0x100, "icmp6-adm-prohibited": 0x101, "icmp6-addr-unreachable": 0x103,
    "icmp6-port-unreachable": 0x104, "icmp6-policy-fail": 0x105, "icmp6-reject-route": 0x106,
}  # fmt: skip


def target_row(target: Target, family: int, pools: Pools) -> tuple[int, Row]:
    """(TargetKind, row) of an extension or verdict; TARGET_UNKNOWN if it is not modelled."""
    options = {option.name: option for option in target.options}
    if not are_listed(target.name, target.options, is_target=True):
        return TargetKind.TARGET_UNKNOWN, EMPTY
    try:
        if len(options) != len(target.options):
            raise ValueError("the same option twice")
        return TARGETS[target.name](options, family, pools)
    except (KeyError, ValueError):
        return TargetKind.TARGET_UNKNOWN, EMPTY


Options = dict[str, Option]
Rows = Callable[[Options, int, Pools], tuple[int, Row]]  # of a target, in rules of a family


def _numbers(a: int, b: int, flags: int = 0) -> Row:
    return (ZERO, ZERO, a, b, 0, 0, flags)


def _masked(option: Option, ones: int = 0xFFFFFFFF) -> tuple[int, int]:
    value, slash, mask = option.values[0].partition("/")
    return int(value, 0), int(mask, 0) if slash else ones


def _only(options: Options, *names: str) -> Option:
    """The one option, which must have one of these names."""
    ((name, option),) = options.items()
    if name not in names:
        raise KeyError(name)
    return option


def _mark(options: Options, family: int, pools: Pools) -> tuple[int, Row]:
    return TargetKind.TARGET_MARK, _numbers(*_masked(_only(options, "--set-xmark")))


def _reject(options: Options, family: int, pools: Pools) -> tuple[int, Row]:
    default = "icmp-port-unreachable" if family == 4 else "icmp6-port-unreachable"
    option = options.get("--reject-with")
    name = option.values[0] if option else default
    if name == "tcp-reset":
        return TargetKind.TARGET_REJECT, _numbers(RejectWith.REJECT_TCP_RESET, 0)
    code = (REJECT_IPV4 if family == 4 else REJECT_IPV6)[name]
    return TargetKind.TARGET_REJECT, _numbers(RejectWith.REJECT_ICMP, code)


ZONES = {"--zone": 3, "--zone-orig": 1, "--zone-reply": 2}  # the directions that it holds for


def _ct(options: Options, family: int, pools: Pools) -> tuple[int, Row]:
    """NOTRACK, or a zone.  Events are reported to nobody."""
    if "--notrack" in options:
        _only(options, "--notrack")
        return TargetKind.TARGET_NOTRACK, EMPTY
    zones = {name: option for name, option in options.items() if name in ZONES}
    if set(options) - set(zones) - {"--ctevents", "--expevents"} or len(zones) > 1:
        raise KeyError("a helper, a timeout policy, or two zones")
    for name, option in zones.items():
        if option.values[0] == "mark":
            return TargetKind.TARGET_CT, _numbers(0, ZONES[name], 1)
        zone = int(option.values[0])
        if not 0 <= zone <= 65535:
            raise ValueError(zone)
        return TargetKind.TARGET_CT, _numbers(zone, ZONES[name])
    return TargetKind.TARGET_CT, EMPTY


def _notrack(options: Options, family: int, pools: Pools) -> tuple[int, Row]:
    return TargetKind.TARGET_NOTRACK, EMPTY


TTL_MODES = {"set": TtlMode.TTL_SET, "inc": TtlMode.TTL_INCREASE, "dec": TtlMode.TTL_DECREASE}


def _ttl(options: Options, family: int, pools: Pools) -> tuple[int, Row]:
    ((name, option),) = options.items()
    return TargetKind.TARGET_TTL, _numbers(TTL_MODES[name[-3:]], int(option.values[0]))


def _tos(options: Options, family: int, pools: Pools) -> tuple[int, Row]:
    return TargetKind.TARGET_DSFIELD, _numbers(*_masked(_only(options, "--set-tos"), 0xFF))


def _dscp(options: Options, family: int, pools: Pools) -> tuple[int, Row]:
    value = int(_only(options, "--set-dscp").values[0], 0)
    return TargetKind.TARGET_DSFIELD, _numbers(value << 2, 0xFC)


def _ecn(options: Options, family: int, pools: Pools) -> tuple[int, Row]:
    _only(options, "--ecn-tcp-remove")
    return TargetKind.TARGET_ECN_REMOVE, EMPTY


def _connmark(options: Options, family: int, pools: Pools) -> tuple[int, Row]:
    kind = TargetKind.TARGET_CONNMARK
    if options.keys() == {"--set-xmark"}:
        return kind, _numbers(*_masked(options["--set-xmark"]), ConnmarkMode.CONNMARK_SET)
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
    return kind, _numbers(nfmask, ctmask, mode)


def _tcpmss(options: Options, family: int, pools: Pools) -> tuple[int, Row]:
    option = _only(options, "--set-mss", "--clamp-mss-to-pmtu")
    if option.name == "--clamp-mss-to-pmtu":
        return TargetKind.TARGET_TCPMSS, _numbers(0, MSS_CLAMP)
    return TargetKind.TARGET_TCPMSS, _numbers(int(option.values[0]), 0)


def _checksum(options: Options, family: int, pools: Pools) -> tuple[int, Row]:
    _only(options, "--checksum-fill")
    return TargetKind.TARGET_CHECKSUM, EMPTY


def _nfqueue(options: Options, family: int, pools: Pools) -> tuple[int, Row]:
    """With --queue-bypass the packet goes on where no program listens; none stands in a dump."""
    is_bypassed = "--queue-bypass" in options
    return TargetKind.TARGET_ACCEPT if is_bypassed else TargetKind.TARGET_QUEUE, EMPTY


def _netmap(options: Options, family: int, pools: Pools) -> tuple[int, Row]:
    network = ip_network(_only(options, "--to").values[0], strict=False)
    if network.version != family:
        raise ValueError(network)
    ends = pair(network.network_address), pair(network.broadcast_address)
    return TargetKind.TARGET_NETMAP, (*ends, 0, 0, 0, 0, RangeFlag.RANGE_MAP_IPS)


def _silent(options: Options, family: int, pools: Pools) -> tuple[int, Row]:
    return TargetKind.TARGET_NONE, EMPTY


def _dnat(options: Options, family: int, pools: Pools) -> tuple[int, Row]:
    return TargetKind.TARGET_DNAT, _range(options, "--to-destination", "")


def _snat(options: Options, family: int, pools: Pools) -> tuple[int, Row]:
    return TargetKind.TARGET_SNAT, _range(options, "--to-source", "")


def _masquerade(options: Options, family: int, pools: Pools) -> tuple[int, Row]:
    return TargetKind.TARGET_MASQUERADE, _range(options, "", "--to-ports")


def _redirect(options: Options, family: int, pools: Pools) -> tuple[int, Row]:
    return TargetKind.TARGET_REDIRECT, _range(options, "", "--to-ports")


FLAGS = {
    "--random": RangeFlag.RANGE_PROTO_RANDOM,
    "--random-fully": RangeFlag.RANGE_PROTO_RANDOM_FULLY,
    "--persistent": RangeFlag.RANGE_PERSISTENT,
}


def _range(options: dict[str, Option], address_option: str, port_option: str) -> Row:
    flags, address, ports = 0, "", ""
    for name, option in options.items():
        if name in FLAGS:
            flags |= FLAGS[name]
        elif name == address_option:
            address, ports = _split(option.values[0])
        elif name == port_option:
            ports = option.values[0]
        else:
            raise KeyError(name)
    if address_option and not address and not ports:
        raise ValueError("no address: the rule's revision is newer than the tool that saved it")
    ends = ZERO, ZERO
    if address:
        first, _, last = address.partition("-")
        ends = pair(ip_address(first)), pair(ip_address(last or first))
        if ends[0] > ends[1]:
            raise ValueError(address)
        flags |= RangeFlag.RANGE_MAP_IPS
    low, high, base = 0, 0, 0
    if ports:
        low, high, shifted = _ports(ports, address_option == "--to-destination")
        flags |= RangeFlag.RANGE_PROTO_SPECIFIED
        if shifted is not None:
            base = shifted
            flags |= RangeFlag.RANGE_PROTO_OFFSET
    return (*ends, base, 0, low, high, flags)


def _ports(text: str, may_shift: bool) -> tuple[int, int, int | None]:
    """First, last, and the port that stands for the first, of `80`, `80-90`, `80-90/1080`."""
    span, slash, base = text.partition("/")
    first, dash, last = span.partition("-")
    numbers = [int(first), int(last if dash else first), int(base) if slash else 0]
    if not numbers[0] <= numbers[1] or not all(0 <= number <= 65535 for number in numbers):
        raise ValueError(text)
    if slash and not (may_shift and dash):
        raise ValueError(text)
    return numbers[0], numbers[1], numbers[2] if slash else None


def _split(text: str) -> tuple[str, str]:
    """(address, ports) of `10.0.0.1:80-90`, `[fd00::1]:80`, `fd00::1`, `:80`."""
    if text.startswith("["):
        address, _, ports = text[1:].partition("]")
        return address, ports.removeprefix(":")
    if text.count(":") > 1:
        return text, ""
    address, _, ports = text.partition(":")
    return address, ports


def _set(options: Options, family: int, pools: Pools) -> tuple[int, Row]:
    words = target_words(Target("SET", tuple(options.values())), pools)
    return TargetKind.TARGET_SET, _numbers(words, 0)


def _verdict(kind: int) -> Rows:
    return lambda options, family, pools: (kind, EMPTY)


TARGETS: dict[str, Rows] = {
    **{name: _verdict(kind) for name, kind in VERDICTS.items()},
    **dict.fromkeys(WITHOUT_EFFECT, _silent),
    "CHECKSUM": _checksum,
    "CONNMARK": _connmark,
    "CT": _ct,
    "DNAT": _dnat,
    "DSCP": _dscp,
    "ECN": _ecn,
    "HL": _ttl,
    "MARK": _mark,
    "MASQUERADE": _masquerade,
    "NETMAP": _netmap,
    "NFQUEUE": _nfqueue,
    "NOTRACK": _notrack,
    "REDIRECT": _redirect,
    "REJECT": _reject,
    "SET": _set,
    "SNAT": _snat,
    "TCPMSS": _tcpmss,
    "TOS": _tos,
    "TTL": _ttl,
}
