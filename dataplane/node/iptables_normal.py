"""The normal form of an extension's options: what iptables-save would print for them.

What is printed was asked of iptables 1.8.9; `tests/node/test_iptables_normal.py` asks again.
Options without a form stay as they are written: those of `time`, `u32`, `policy`, `cluster`,
for example.
"""

from collections.abc import Callable
from functools import partial

from dataplane.node import iptables_forms as forms
from dataplane.node.iptables_names import (
    ADDRESS_TYPES,
    CT_STATES,
    CT_STATUSES,
    HASHLIMIT_MODES,
    ICMP6_TYPES,
    ICMP_TYPES,
    REJECTS,
)
from dataplane.node.iptables_options import MATCHES, TARGETS
from dataplane.node.iptables_rules import Option

Form = Callable[[Option], Option | None]

PORTS: dict[str, Form] = {"--sport": forms.ports, "--dport": forms.ports}
BYTE = partial(forms.number, most=255)
SHORT = partial(forms.number, most=65535)

MATCH_FORMS: dict[str, dict[str, Form]] = {
    "tcp": PORTS | {"--tcp-option": BYTE, "--tcp-flags": forms.tcp_flags, "--syn": forms.syn},
    "udp": PORTS,
    "udplite": PORTS,
    "sctp": PORTS,
    "dccp": PORTS,
    "icmp": {"--icmp-type": partial(forms.icmp_type, ICMP_TYPES)},
    "icmp6": {"--icmpv6-type": partial(forms.icmp_type, ICMP6_TYPES)},
    "multiport": dict.fromkeys(("--sports", "--dports", "--ports"), forms.port_list),
    "mark": {"--mark": forms.mark},
    "connmark": {"--mark": forms.mark},
    "conntrack": {
        "--ctstate": partial(forms.names, CT_STATES),
        "--ctstatus": partial(forms.names, CT_STATUSES),
        "--ctproto": forms.protocol,
        "--ctdir": forms.upper,
        "--ctexpire": partial(forms.number_range, most=forms.WORD),
        **{
            f"--ct{side}": forms.tested_address
            for side in ("origsrc", "origdst", "replsrc", "repldst")
        },
        **{
            f"--ct{side}port": forms.every_port
            for side in ("origsrc", "origdst", "replsrc", "repldst")
        },
    },
    "state": {"--state": partial(forms.names, CT_STATES[:5])},
    "addrtype": {
        "--src-type": partial(forms.names, ADDRESS_TYPES),
        "--dst-type": partial(forms.names, ADDRESS_TYPES),
    },
    "statistic": {
        "--mode": forms.lower,
        "--probability": forms.probability,
        "--every": forms.number,
        "--packet": forms.number,
    },
    "limit": {"--limit": forms.limit_rate, "--limit-burst": forms.burst},
    "hashlimit": {
        "--hashlimit-upto": forms.hashlimit_rate,
        "--hashlimit-above": forms.hashlimit_rate,
        "--hashlimit-mode": partial(forms.names, HASHLIMIT_MODES),
    },
    "recent": {"--seconds": forms.number, "--hitcount": forms.number},
    "iprange": {"--src-range": forms.address_range, "--dst-range": forms.address_range},
    "mac": {"--mac-source": forms.lower},
    "length": {"--length": forms.number_range},
    "tcpmss": {"--mss": forms.number_range},
    "pkttype": {"--pkt-type": forms.packet_type},
    "ttl": {"--ttl-eq": BYTE, "--ttl-lt": BYTE, "--ttl-gt": BYTE},
    "hl": {"--hl-eq": BYTE, "--hl-lt": BYTE, "--hl-gt": BYTE},
    "tos": {"--tos": forms.tos},
    "dscp": {"--dscp": forms.dscp, "--dscp-class": forms.dscp_class},
    "owner": {"--uid-owner": forms.user, "--gid-owner": forms.user},
    "connlimit": {"--connlimit-upto": forms.number, "--connlimit-above": forms.number},
}

TARGET_FORMS: dict[str, dict[str, Form]] = {
    **{
        target: {
            "--set-xmark": partial(forms.set_xmark, "xset"),
            **{
                f"--{verb}-mark": partial(forms.set_xmark, verb)
                for verb in ("set", "and", "or", "xor")
            },
        }
        for target in ("MARK", "CONNMARK")
    },
    "LOG": {"--log-level": forms.log_level},
    "REDIRECT": {"--to-ports": forms.to_ports},
    "MASQUERADE": {"--to-ports": forms.to_ports},
    "DNAT": {"--to-destination": forms.nat_range},
    "SNAT": {"--to-source": forms.nat_range},
    "NETMAP": {"--to": forms.mapped_network},
    "TPROXY": {"--on-port": SHORT, "--tproxy-mark": forms.masked_mark},
    "TCPMSS": {"--set-mss": SHORT},
    "TTL": {"--ttl-set": BYTE, "--ttl-dec": BYTE, "--ttl-inc": BYTE},
    "HL": {"--hl-set": BYTE, "--hl-dec": BYTE, "--hl-inc": BYTE},
    "DSCP": {"--set-dscp": forms.dscp, "--set-dscp-class": forms.dscp_class},
    "TOS": {
        "--set-tos": forms.tos,
        **{f"--{verb}-tos": partial(forms.set_tos, verb) for verb in ("and", "or", "xor")},
    },
    "NFLOG": {"--nflog-group": SHORT},
    "NFQUEUE": {"--queue-num": SHORT},
}


def normal_options(
    name: str, options: tuple[Option, ...], is_target: bool, family: int
) -> tuple[Option, ...]:
    """An extension's options in normal form and in the order in which they are printed.

    raises  ValueError
    """
    own = (TARGET_FORMS if is_target else MATCH_FORMS).get(name, {})
    written = [_normal(option, own) for option in options]
    found = [option for option in written if option is not None]
    completed = COMPLETIONS.get(name)
    if completed:
        found = completed(found, family or 4)
    if len(found) > 1 and name != "policy":  # whose elements have an order of their own
        order = list((TARGETS if is_target else MATCHES).get(name, ()))
        found.sort(key=lambda option: _place(option.name, order))
    return tuple(found)


def _place(name: str, order: list[str]) -> int:
    return order.index(name) if name in order else len(order)


def _normal(option: Option, own: dict[str, Form]) -> Option | None:
    form = own.get(option.name)
    if form is None:
        return option
    try:
        return form(option)
    except ValueError as error:
        value = " ".join(option.values)
        raise ValueError(f"bad value {value!r} for {option.name}: {error}") from None


# What is printed although it was not written.


def _with(found: list[Option], *defaults: tuple[str, ...]) -> list[Option]:
    """Add each default, a name and its values, unless an option of its name is there."""
    there = {option.name for option in found}
    missing = [default for default in defaults if default[0] not in there]
    return found + [Option(name, tuple(values)) for name, *values in missing]


def _recent(found: list[Option], family: int) -> list[Option]:
    mask = "255.255.255.255" if family == 4 else "ffff:" * 7 + "ffff"
    found = _with(found, ("--name", "DEFAULT"), ("--mask", mask))
    return found if _named(found, "--rdest") else _with(found, ("--rsource",))


def _connlimit(found: list[Option], family: int) -> list[Option]:
    found = _with(found, ("--connlimit-mask", "32" if family == 4 else "128"))
    return found if _named(found, "--connlimit-daddr") else _with(found, ("--connlimit-saddr",))


def _limit(found: list[Option], family: int) -> list[Option]:
    return _with(found, ("--limit", "3/hour"))


def _hashlimit(found: list[Option], family: int) -> list[Option]:
    rates = _named(found, "--hashlimit-upto", "--hashlimit-above")
    in_bytes = any("b" in rate.values[0].partition("/")[0] for rate in rates)
    return found if in_bytes else _with(found, ("--hashlimit-burst", "5"))


def _connmark(found: list[Option], family: int) -> list[Option]:
    """`--save-mark` and `--restore-mark` have two masks, which `--mask` sets both."""
    if not _named(found, "--save-mark", "--restore-mark"):
        return found
    masks = _named(found, "--mask")
    mask = masks[0].values[0] if masks else hex(forms.WORD)
    rest = [option for option in found if option.name != "--mask"]
    both = _with(rest, ("--nfmask", mask), ("--ctmask", mask))
    return [forms.hex_mask(o) if o.name in ("--nfmask", "--ctmask") else o for o in both]


def _reject(found: list[Option], family: int) -> list[Option]:
    prefix = "icmp" if family == 4 else "icmp6"
    found = _with(found, ("--reject-with", f"{prefix}-port-unreachable"))
    return [_reject_with(o, family) if o.name == "--reject-with" else o for o in found]


def _reject_with(option: Option, family: int) -> Option:
    value = option.values[0]
    known = REJECTS[6 if value.startswith("icmp6") else family]
    long = known.get(value, value)
    if long not in known.values():
        raise ValueError(
            f"bad value {value!r} for --reject-with; one of {', '.join(known.values())} expected"
        )
    return Option(option.name, (long,))


def _tproxy(found: list[Option], family: int) -> list[Option]:
    anywhere = "0.0.0.0" if family == 4 else "::"
    return _with(found, ("--on-ip", anywhere), ("--tproxy-mark", "0x0/0x0"))


def _nfqueue(found: list[Option], family: int) -> list[Option]:
    balanced = _named(found, "--queue-balance")
    return found if balanced else _with(found, ("--queue-num", "0"))


def _named(found: list[Option], *names: str) -> list[Option]:
    return [option for option in found if option.name in names]


COMPLETIONS: dict[str, Callable[[list[Option], int], list[Option]]] = {
    "recent": _recent,
    "connlimit": _connlimit,
    "limit": _limit,
    "hashlimit": _hashlimit,
    "CONNMARK": _connmark,
    "REJECT": _reject,
    "TPROXY": _tproxy,
    "NFQUEUE": _nfqueue,
}
