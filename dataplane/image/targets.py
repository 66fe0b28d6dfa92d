"""Targets of a rule as rows: what `-j NAME …` does, in numbers."""

from ipaddress import ip_address

from _fastpath.image import RangeFlag, RejectWith, TargetKind
from dataplane.image.encode import ZERO, Pair, pair
from dataplane.node.iptables import Option, Target

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


def target_row(target: Target, family: int) -> tuple[int, Row]:
    """(TargetKind, row) of an extension or verdict; TARGET_UNKNOWN if it is not modelled."""
    try:
        return _modelled(target, family)
    except (KeyError, ValueError):
        return TargetKind.TARGET_UNKNOWN, EMPTY


def _modelled(target: Target, family: int) -> tuple[int, Row]:
    options = {option.name: option for option in target.options}
    if len(options) != len(target.options):
        raise ValueError("the same option twice")
    if target.name in VERDICTS:
        return VERDICTS[target.name], EMPTY
    if target.name in WITHOUT_EFFECT:
        return TargetKind.TARGET_NONE, EMPTY
    if target.name == "MARK":
        return TargetKind.TARGET_MARK, _mark(options)
    if target.name == "REJECT":
        return TargetKind.TARGET_REJECT, _reject(options, family)
    if target.name == "CT" and "--notrack" not in options:
        return TargetKind.TARGET_CT, _ct(options)
    if target.name == "NOTRACK" or (target.name == "CT" and set(options) == {"--notrack"}):
        return TargetKind.TARGET_NOTRACK, EMPTY
    kind, address_option, port_option = TRANSLATIONS[target.name]
    return kind, _range(options, address_option, port_option)


ZONES = {"--zone": 3, "--zone-orig": 1, "--zone-reply": 2}  # the directions that it holds for


def _ct(options: dict[str, Option]) -> Row:
    """A zone.  Events are reported to nobody."""
    zones = {name: option for name, option in options.items() if name in ZONES}
    if set(options) - set(zones) - {"--ctevents", "--expevents"} or len(zones) > 1:
        raise KeyError("a helper, a timeout policy, or two zones")
    for name, option in zones.items():
        if option.values[0] == "mark":
            return (ZERO, ZERO, 0, ZONES[name], 0, 0, 1)
        zone = int(option.values[0])
        if not 0 <= zone <= 65535:
            raise ValueError(zone)
        return (ZERO, ZERO, zone, ZONES[name], 0, 0, 0)
    return EMPTY


def _mark(options: dict[str, Option]) -> Row:
    ((name, option),) = options.items()
    value, _, mask = option.values[0].partition("/")
    if name != "--set-xmark":
        raise KeyError(name)
    return (ZERO, ZERO, int(value, 0), int(mask, 0) if mask else 0xFFFFFFFF, 0, 0, 0)


def _reject(options: dict[str, Option], family: int) -> Row:
    default = "icmp-port-unreachable" if family == 4 else "icmp6-port-unreachable"
    option = options.get("--reject-with")
    name = option.values[0] if option else default
    if name == "tcp-reset":
        return (ZERO, ZERO, RejectWith.REJECT_TCP_RESET, 0, 0, 0, 0)
    code = (REJECT_IPV4 if family == 4 else REJECT_IPV6)[name]
    return (ZERO, ZERO, RejectWith.REJECT_ICMP, code, 0, 0, 0)


TRANSLATIONS = {
    "DNAT": (TargetKind.TARGET_DNAT, "--to-destination", ""),
    "SNAT": (TargetKind.TARGET_SNAT, "--to-source", ""),
    "MASQUERADE": (TargetKind.TARGET_MASQUERADE, "", "--to-ports"),
    "REDIRECT": (TargetKind.TARGET_REDIRECT, "", "--to-ports"),
}
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
    number = ZERO
    if address:
        number = pair(ip_address(address))  # a range of addresses is not modelled: ValueError
        flags |= RangeFlag.RANGE_MAP_IPS
    low, high = 0, 0
    if ports:
        first, _, last = ports.partition("-")
        low, high = int(first), int(last or first)
        flags |= RangeFlag.RANGE_PROTO_SPECIFIED
        if not 0 <= low <= high <= 65535:
            raise ValueError(ports)
    return (number, number, 0, 0, low, high, flags)


def _split(text: str) -> tuple[str, str]:
    """(address, ports) of `10.0.0.1:80-90`, `[fd00::1]:80`, `fd00::1`, `:80`."""
    if text.startswith("["):
        address, _, ports = text[1:].partition("]")
        return address, ports.removeprefix(":")
    if text.count(":") > 1:
        return text, ""
    address, _, ports = text.partition(":")
    return address, ports
