"""Targets of a rule as rows: what `-j NAME …` does, in numbers."""

from ipaddress import ip_address

from _fastpath.image import (
    RejectWith,
    TargetKind,
)
from dataplane.image import nat_range, target_edit, target_hash
from dataplane.image.encode import ZERO, name_words, pair
from dataplane.image.pools import Pools
from dataplane.image.sets import target_words
from dataplane.image.target_rows import EMPTY, Options, Row, Rows, masked, numbers, only
from dataplane.node.iptables import Target, are_listed

VERDICTS = {
    "ACCEPT": TargetKind.TARGET_ACCEPT,
    "DROP": TargetKind.TARGET_DROP,
    "RETURN": TargetKind.TARGET_RETURN,
}
# They write a log, count, or classify for the queueing discipline; no verdict hangs on them.
WITHOUT_EFFECT = {
    "AUDIT", "CLASSIFY", "CONNSECMARK", "IDLETIMER", "LED", "LOG", "NFLOG", "RATEEST", "SECMARK",
    "TRACE", "ULOG",
}  # fmt: skip

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


def _mark(options: Options, family: int, pools: Pools) -> tuple[int, Row]:
    return TargetKind.TARGET_MARK, numbers(*masked(only(options, "--set-xmark")))


def _reject(options: Options, family: int, pools: Pools) -> tuple[int, Row]:
    default = "icmp-port-unreachable" if family == 4 else "icmp6-port-unreachable"
    option = options.get("--reject-with")
    name = option.values[0] if option else default
    if name == "tcp-reset":
        return TargetKind.TARGET_REJECT, numbers(RejectWith.REJECT_TCP_RESET, 0)
    code = (REJECT_IPV4 if family == 4 else REJECT_IPV6)[name]
    return TargetKind.TARGET_REJECT, numbers(RejectWith.REJECT_ICMP, code)


ZONES = {"--zone": 3, "--zone-orig": 1, "--zone-reply": 2}  # the directions that it holds for


def _ct(options: Options, family: int, pools: Pools) -> tuple[int, Row]:
    """NOTRACK, or a zone.  Events are reported to nobody."""
    if "--notrack" in options:
        only(options, "--notrack")
        return TargetKind.TARGET_NOTRACK, EMPTY
    zones = {name: option for name, option in options.items() if name in ZONES}
    if set(options) - set(zones) - {"--ctevents", "--expevents"} or len(zones) > 1:
        raise KeyError("a helper, a timeout policy, or two zones")
    for name, option in zones.items():
        if option.values[0] == "mark":
            return TargetKind.TARGET_CT, numbers(0, ZONES[name], 1)
        zone = int(option.values[0])
        if not 0 <= zone <= 65535:
            raise ValueError(zone)
        return TargetKind.TARGET_CT, numbers(zone, ZONES[name])
    return TargetKind.TARGET_CT, EMPTY


def _notrack(options: Options, family: int, pools: Pools) -> tuple[int, Row]:
    return TargetKind.TARGET_NOTRACK, EMPTY


def _nfqueue(options: Options, family: int, pools: Pools) -> tuple[int, Row]:
    """With --queue-bypass the packet goes on where no program listens; none stands in a dump."""
    is_bypassed = "--queue-bypass" in options
    return TargetKind.TARGET_BYPASS if is_bypassed else TargetKind.TARGET_QUEUE, EMPTY


def _tee(options: Options, family: int, pools: Pools) -> tuple[int, Row]:
    if options.keys() - {"--oif"} != {"--gateway"}:
        raise KeyError(options)
    gateway = ip_address(options["--gateway"].values[0])
    if gateway.version != family:
        raise ValueError(gateway)
    name = 0
    if "--oif" in options:
        pairs = name_words(options["--oif"].values[0])
        words = [half for word in pairs for half in (word >> 32, word & 0xFFFFFFFF)]
        name = pools.add_words(words) + 1
    return TargetKind.TARGET_TEE, (pair(gateway), ZERO, name, 0, 0, 0, 0)


def _tproxy(options: Options, family: int, pools: Pools) -> tuple[int, Row]:
    """It takes the packet for a transparent socket, or drops it; no socket stands in a dump."""
    return TargetKind.TARGET_TPROXY, EMPTY


def _silent(options: Options, family: int, pools: Pools) -> tuple[int, Row]:
    return TargetKind.TARGET_NONE, EMPTY


def _set(options: Options, family: int, pools: Pools) -> tuple[int, Row]:
    words = target_words(Target("SET", tuple(options.values())), pools)
    return TargetKind.TARGET_SET, numbers(words, 0)


def _verdict(kind: int) -> Rows:
    return lambda options, family, pools: (kind, EMPTY)


TARGETS: dict[str, Rows] = {
    **{name: _verdict(kind) for name, kind in VERDICTS.items()},
    **dict.fromkeys(WITHOUT_EFFECT, _silent),
    "CHECKSUM": target_edit.checksum,
    "CONNMARK": target_edit.connmark,
    "CT": _ct,
    "DNAT": nat_range.dnat,
    "DSCP": target_edit.dscp,
    "ECN": target_edit.ecn,
    "HL": target_edit.ttl,
    "HMARK": target_hash.hmark,
    "MARK": _mark,
    "MASQUERADE": nat_range.masquerade,
    "NETMAP": nat_range.netmap,
    "NFQUEUE": _nfqueue,
    "NOTRACK": _notrack,
    "REDIRECT": nat_range.redirect,
    "REJECT": _reject,
    "SET": _set,
    "SNAT": nat_range.snat,
    "TCPMSS": target_edit.tcpmss,
    "TCPOPTSTRIP": target_edit.tcpoptstrip,
    "TOS": target_edit.tos,
    "TEE": _tee,
    "TPROXY": _tproxy,
    "TTL": target_edit.ttl,
}
