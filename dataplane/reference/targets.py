"""What an extension target does, read straight from the rule's own words."""

from collections.abc import Callable
from ipaddress import IPv6Address, ip_address, ip_network

from _fastpath.reason import Reason
from _fastpath.trace import EventKind
from dataplane.node.iptables import Option, Target, are_listed
from dataplane.node.state import Address
from dataplane.reference import nat, sets, target_edit, target_hash
from dataplane.reference.conntrack_table import ORIGINAL, CtInfo
from dataplane.reference.match_words import Unmodelled
from dataplane.reference.nat_range import mapped_address
from dataplane.reference.nat_tuple import DESTINATION, SOURCE, Range
from dataplane.reference.packet import Packet
from dataplane.reference.place import Place
from dataplane.reference.source_address import redirect_address, select_address, select_address6
from dataplane.reference.steps import dropped, unknown

# XT_CONTINUE, NF_ACCEPT, NF_QUEUE where nobody listens
CONTINUE, ACCEPT, BYPASS = "continue", "accept", "bypass"
Options = dict[str, Option]
# Reports, labels and estimates: all of them XT_CONTINUE, and nothing of it decides where the packet
# goes.
SILENT = frozenset([
    "AUDIT", "CLASSIFY", "CONNSECMARK", "IDLETIMER", "LED", "LOG", "NFLOG", "RATEEST", "SECMARK",
    "TRACE", "ULOG",
])  # fmt: skip


def is_silent(target: Target) -> bool:
    return target.name in SILENT and _is_known(target)


def _is_known(target: Target) -> bool:
    names = {option.name for option in target.options}
    return are_listed(target.name, target.options, is_target=True) and (
        len(names) == len(target.options)
    )


def apply(place: Place, target: Target, packet: Packet) -> str:
    """CONTINUE with the next rule, ACCEPT or BYPASS.  Raises Ended for what is not modelled."""
    if is_silent(target):
        return CONTINUE
    known = TARGETS.get(target.name)
    if known is None or not _is_known(target):
        raise unknown(Reason.TARGET_UNMODELLED)
    return known(place, {option.name: option for option in target.options}, packet)


def _mark(place: Place, options: Options, packet: Packet) -> str:
    """mark = (mark & ~MASK) ^ VALUE                                 xt_mark.c, mark_tg"""
    value, slash, mask = _value(options, "--set-xmark").partition("/")
    before = packet.mark
    packet.mark = before & ~(int(mask, 0) if slash else 0xFFFFFFFF) ^ int(value, 0)
    place.trace.event(EventKind.EVENT_MARK, before, packet.mark)
    return CONTINUE


ZONES = {
    "--zone": frozenset(["original", "reply"]),
    "--zone-orig": frozenset(["original"]),
    "--zone-reply": frozenset(["reply"]),
}


def _ct(place: Place, options: Options, packet: Packet) -> str:
    """xt_CT.c: the first word counts.  Events are reported to nobody."""
    if set(options) == {"--notrack"}:
        return _notrack(place, options, packet)
    zones = [name for name in options if name in ZONES]
    if set(options) - set(zones) - {"--ctevents", "--expevents"} or len(zones) > 1:
        raise unknown(Reason.TARGET_UNMODELLED)
    if packet.ctinfo is None and not (packet.has_template or packet.is_occupied):
        packet.has_template = True
        for name in zones:
            value = _value(options, name)
            packet.zone_is_mark, packet.zone_directions = value == "mark", ZONES[name]
            packet.zone = 0 if packet.zone_is_mark else int(value)
    return CONTINUE


def _notrack(place: Place, options: Options, packet: Packet) -> str:
    # "Previously seen (loopback)?  Ignore."
    if packet.ctinfo is None and not (packet.has_template or packet.is_occupied):
        packet.ctinfo = CtInfo.UNTRACKED
    return CONTINUE


def _dnat(place: Place, options: Options, packet: Packet) -> str:
    return _set_up(place, packet, _range(options, "--to-destination"), DESTINATION)


def _snat(place: Place, options: Options, packet: Packet) -> str:
    return _set_up(place, packet, _range(options, "--to-source"), SOURCE)


def _netmap(place: Place, options: Options, packet: Packet) -> str:
    """xt_NETMAP.c: at PREROUTING and OUTPUT the destination, else the source."""
    network = ip_network(_value(options, "--to"), strict=False)
    manip = nat.manip_of(place.hook)
    address = packet.src if manip == SOURCE else packet.dst
    ends = network.network_address, network.broadcast_address
    return _set_up(place, packet, Range(mapped_address(address, *ends)), manip)


def _nfqueue(place: Place, options: Options, packet: Packet) -> str:
    """With --queue-bypass the packet goes on where no program listens."""
    if "--queue-bypass" in options:
        return BYPASS
    raise unknown(Reason.QUEUED)


def _tproxy(place: Place, options: Options, packet: Packet) -> str:
    """xt_TPROXY.c: without a transparent socket it drops, and nothing is known of sockets."""
    if packet.is_first and packet.payload_length < 8:  # struct udphdr
        raise dropped(Reason.NETFILTER_DROP)
    raise unknown(Reason.SOCKET_UNKNOWN)


def _tee(place: Place, options: Options, packet: Packet) -> str:
    """xt_TEE.c"""
    if options.keys() - {"--oif"} != {"--gateway"}:
        raise unknown(Reason.TARGET_UNMODELLED)
    try:
        gateway = ip_address(_value(options, "--gateway"))
    except ValueError:
        raise unknown(Reason.TARGET_UNMODELLED) from None
    if gateway.version != place.family:
        raise unknown(Reason.TARGET_UNMODELLED)
    place.duplicate(gateway, _value(options, "--oif") if "--oif" in options else None)
    return CONTINUE


def _hmark(place: Place, options: Options, packet: Packet) -> str:
    target_hash.apply(place, options, packet)
    return CONTINUE


def _masquerade(place: Place, options: Options, packet: Packet) -> str:
    assert packet.connection is not None  # the nat table sees no other packets
    if place.family == 4 and int(packet.connection.tuples[ORIGINAL].src) == 0:
        return ACCEPT  # who has no address yet
    if place.out_device is None:  # in a chain where Linux refuses it
        raise dropped(Reason.NAT_NO_ADDRESS)
    dst, out = packet.dst, place.out_device
    address: Address | None
    if isinstance(dst, IPv6Address):
        address = select_address6(place.node, out, dst)
    else:
        address = select_address(place.node, out, place.next_hop or dst)
    if address is None:
        raise dropped(Reason.NAT_NO_ADDRESS)
    packet.connection.masqueraded_by = place.out_device
    wanted = Range(address, _ports(options), _is_random(options))
    return _set_up(place, packet, wanted, SOURCE)


def _redirect(place: Place, options: Options, packet: Packet) -> str:
    """To this node: where it came in, or its loopback (xt_REDIRECT.c)."""
    if place.hook == "OUTPUT":
        address: Address | None = ip_address("127.0.0.1" if place.family == 4 else "::1")
    else:
        address = redirect_address(place.node, place.in_device or "", packet.dst)
    if address is None:
        raise dropped(Reason.NAT_NO_ADDRESS)
    wanted = Range(address, _ports(options), _is_random(options))
    return _set_up(place, packet, wanted, DESTINATION)


def _set_up(place: Place, packet: Packet, wanted: Range, manip: int) -> str:
    assert packet.connection is not None  # the nat table sees no other packets
    nat.set_up(place, packet.connection, wanted, manip)
    return ACCEPT


def _range(options: Options, name: str) -> Range:
    """`10.0.0.1`, `10.0.0.1:80`, `10.0.0.1:80-90`, `:80`, `[fd00::1]:80`; of DNAT
    `10.0.0.1:80-90/1080` too: the first port stands for 1080."""
    if name not in options:
        raise unknown(Reason.TARGET_UNMODELLED)
    text = options[name].values[0]
    if text.startswith("["):
        address, _, ports = text[1:].partition("]")
        ports = ports.removeprefix(":")
    elif text.count(":") > 1:
        address, ports = text, ""
    else:
        address, _, ports = text.partition(":")
    first, dash, last = address.partition("-")
    span, slash, base = ports.partition("/")
    if slash and (name != "--to-destination" or "-" not in span or not _is_port(base)):
        raise unknown(Reason.TARGET_UNMODELLED)
    return Range(
        ip_address(first) if first else None,
        _span(span) if span else None,
        _is_random(options),
        ip_address(last) if dash else None,
        "--persistent" in options,
        int(base) if slash else None,
    )


def _ports(options: Options) -> tuple[int, int] | None:
    return _span(_value(options, "--to-ports")) if "--to-ports" in options else None


def _span(text: str) -> tuple[int, int]:
    first, dash, last = text.partition("-")
    if not (_is_port(first) and _is_port(last if dash else first)):
        raise unknown(Reason.TARGET_UNMODELLED)
    low, high = int(first), int(last if dash else first)
    if low > high:
        raise unknown(Reason.TARGET_UNMODELLED)
    return low, high


def _is_port(text: str) -> bool:
    return text.isdecimal() and int(text) <= 65535


def _is_random(options: Options) -> bool:
    return "--random" in options or "--random-fully" in options


def _value(options: Options, name: str) -> str:
    return options[name].values[0]


def _set(place: Place, options: Options, packet: Packet) -> str:
    try:
        sets.apply(place, options, packet)
    except Unmodelled:
        raise unknown(Reason.TARGET_UNMODELLED) from None
    return CONTINUE


TARGETS: dict[str, Callable[[Place, Options, Packet], str]] = {
    "HMARK": _hmark,
    "MARK": _mark,
    "CT": _ct,
    "NOTRACK": _notrack,
    "DNAT": _dnat,
    "SNAT": _snat,
    "MASQUERADE": _masquerade,
    "REDIRECT": _redirect,
    "NETMAP": _netmap,
    "NFQUEUE": _nfqueue,
    "TEE": _tee,
    "TPROXY": _tproxy,
    **target_edit.TARGETS,
    "SET": _set,
}
