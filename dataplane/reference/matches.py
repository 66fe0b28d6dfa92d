"""Does a rule match?  Read straight from the rule's own words.

First the header part (addresses, interfaces, protocol, fragment), then each `-m` in the order
of the rule, and no further than the first that is false: `statistic` counts what reaches it.
"""

from collections.abc import Callable

from _fastpath.reason import Reason
from _fastpath.trace import EventKind, StepKind
from dataplane.node.iptables import Interface, Option, Prefix, Rule
from dataplane.reference.choice import rule_identity
from dataplane.reference.conntrack_table import CtInfo, Status
from dataplane.reference.forwarding import address_type
from dataplane.reference.nat import original_fields
from dataplane.reference.packet import Packet
from dataplane.reference.place import Place
from dataplane.reference.steps import dropped, unknown

Options = tuple[Option, ...]
TCP_FLAGS = {"FIN": 1, "SYN": 2, "RST": 4, "PSH": 8, "ACK": 16, "URG": 32, "ALL": 63, "NONE": 0}
STATES = {
    CtInfo.ESTABLISHED: "ESTABLISHED",
    CtInfo.RELATED: "RELATED",
    CtInfo.NEW: "NEW",
    CtInfo.ESTABLISHED_REPLY: "ESTABLISHED",
    CtInfo.RELATED_REPLY: "RELATED",
    CtInfo.INVALID: "INVALID",
    CtInfo.UNTRACKED: "UNTRACKED",
}
STATUSES = {
    "NONE": Status(0),
    "EXPECTED": Status(1),
    "SEEN_REPLY": Status.SEEN_REPLY,
    "ASSURED": Status.ASSURED,
    "CONFIRMED": Status.CONFIRMED,
}


class _Unmodelled(Exception):  # noqa: N818  not an error
    """What this match would say is not known."""


def matches(place: Place, table: str, chain: str, number: int, rule: Rule, packet: Packet) -> bool:
    """Raises Ended for a match that is not modelled (the rule's step is left first), and for
    packets that a match drops by itself."""
    if not _matches_header(place, rule, packet):
        return False
    try:
        return all(
            _matches_extension(place, (table, chain, number), rule, at, packet)
            for at in range(len(rule.matches))
        )
    except _Unmodelled:
        where = {"family": place.family, "table": table, "chain": chain, "number": number}
        place.trace.step(StepKind.STEP_RULE, place.node.name, **where)
        raise unknown(Reason.MATCH_UNMODELLED) from None


# The header part: ip_packet_match.


def _matches_header(place: Place, rule: Rule, packet: Packet) -> bool:
    return (
        _matches_prefix(rule.src, packet.src)
        and _matches_prefix(rule.dst, packet.dst)
        and _matches_interface(rule.in_interface, place.in_device)
        and _matches_interface(rule.out_interface, place.out_device)
        and (
            rule.protocol is None
            or rule.protocol.number == 0
            or (rule.protocol.number == packet.protocol) != rule.protocol.negated
        )
        and (rule.fragment is None or rule.fragment != packet.is_first)
    )


def _matches_prefix(prefix: Prefix | None, address: object) -> bool:
    return prefix is None or (address in prefix.network) != prefix.negated


def _matches_interface(interface: Interface | None, device: str | None) -> bool:
    """A hook without such a device shows the empty name, which only `+` matches."""
    if interface is None:
        return True
    name = device or ""
    if interface.name.endswith("+"):
        return name.startswith(interface.name[:-1]) != interface.negated
    return (name == interface.name) != interface.negated


# Extensions.


def _matches_extension(
    place: Place, where: tuple[str, str, int], rule: Rule, at: int, packet: Packet
) -> bool:
    match = rule.matches[at]
    if match.name == "statistic":
        return _statistic(place, where, at, match.options, packet)
    known = EXTENSIONS.get(match.name)
    if known is None:
        raise _Unmodelled
    return known(place, match.options, packet)


def _always(place: Place, options: Options, packet: Packet) -> bool:
    return True


def _ports(place: Place, options: Options, packet: Packet) -> bool:
    """udp, udplite, sctp."""
    if not _has_header(packet):
        return False
    return all(_matches_ports(option, packet) for option in options)


def _tcp(place: Place, options: Options, packet: Packet) -> bool:
    if packet.transport.fragment_offset == 1:  # would overwrite the flags (RFC 1858)
        raise dropped(Reason.NETFILTER_DROP)
    if not _has_header(packet):
        return False
    return all(_matches_tcp(option, packet) for option in options)


def _has_header(packet: Packet) -> bool:
    """False for later fragments.  What is too short to be what it says is dropped
    (par->hotdrop)."""
    if packet.is_first and not packet.has_transport:
        raise dropped(Reason.NETFILTER_DROP)
    return packet.is_first


def _matches_tcp(option: Option, packet: Packet) -> bool:
    if option.name == "--tcp-flags":
        mask, wanted = (_flags(value) for value in option.values)
        return (packet.tcp_flags & mask == wanted) != option.negated
    if option.name == "--tcp-option":
        return (int(option.values[0]) in _tcp_options(packet)) != option.negated
    return _matches_ports(option, packet)


def _flags(text: str) -> int:
    total = 0
    for name in text.split(","):
        total |= TCP_FLAGS[name]
    return total


def _tcp_options(packet: Packet) -> set[int]:
    """tcp_find_option: kinds present, of a header that is all there."""
    size = (packet.payload[12] >> 4) * 4
    if size < 20 or packet.payload_length < size:
        raise dropped(Reason.NETFILTER_DROP)
    if len(packet.payload) < size:
        raise _Unmodelled  # the capture does not hold them
    options, found, at = packet.payload[20:size], set(), 0
    while at < len(options):
        kind = options[at]
        found.add(kind)
        # END and NOP are one byte; others say their length, which is at least 2.
        length = options[at + 1] if kind > 1 and at + 1 < len(options) else 1
        at += length or 1
    return found


def _matches_ports(option: Option, packet: Packet) -> bool:
    if option.name not in ("--sport", "--dport"):
        raise _Unmodelled
    port = packet.sport if option.name == "--sport" else packet.dport
    return _is_in_range(option.values[0], port) != option.negated


def _is_in_range(text: str, port: int) -> bool:
    first, colon, last = text.partition(":")
    if not colon:
        return port == int(first)
    return int(first or 0) <= port <= int(last or 65535)


def _multiport(place: Place, options: Options, packet: Packet) -> bool:
    if not _has_header(packet):
        return False
    return all(_matches_multiport(option, packet) for option in options)


def _matches_multiport(option: Option, packet: Packet) -> bool:
    ports = {
        "--sports": [packet.sport],
        "--dports": [packet.dport],
        "--ports": [packet.sport, packet.dport],
    }[option.name]
    ranges = option.values[0].split(",")
    found = any(_is_in_range(text, port) for text in ranges for port in ports)
    return found != option.negated


def _icmp(place: Place, options: Options, packet: Packet) -> bool:
    if not _has_header(packet):
        return False
    return all(_matches_icmp(option, packet) for option in options)


def _matches_icmp(option: Option, packet: Packet) -> bool:
    wanted, slash, code = option.values[0].partition("/")
    if wanted in ("any", "255"):
        return not option.negated
    is_type = packet.dport >> 8 == int(wanted)
    is_code = not slash or packet.dport & 0xFF == int(code)
    return (is_type and is_code) != option.negated


def _conntrack(place: Place, options: Options, packet: Packet) -> bool:
    """xt_conntrack.c, conntrack_mt."""
    if any(option.name not in ("--ctstate", "--state", "--ctstatus") for option in options):
        raise _Unmodelled
    connection = packet.connection
    states = {STATES[packet.ctinfo if packet.ctinfo is not None else CtInfo.INVALID]}
    if connection is not None:
        states |= {"SNAT"} if connection.has(Status.SRC_NAT) else set()
        states |= {"DNAT"} if connection.has(Status.DST_NAT) else set()
    for option in options:
        names = set(option.values[0].split(","))
        if option.name == "--ctstatus":
            found = connection is not None and any(connection.has(STATUSES[name]) for name in names)
            if connection is None:  # nothing but its state is looked at
                return any(other.name != "--ctstatus" for other in options)
        else:
            found = bool(names & states)
        if found == option.negated:
            return False
    return True


def _mark(place: Place, options: Options, packet: Packet) -> bool:
    return all(
        _matches_masked(option.values[0], packet.mark) != option.negated for option in options
    )


def _matches_masked(text: str, mark: int) -> bool:
    value, slash, mask = text.partition("/")
    return mark & (int(mask, 0) if slash else 0xFFFFFFFF) == int(value, 0)


def _addrtype(place: Place, options: Options, packet: Packet) -> bool:
    """xt_addrtype.c, addrtype_mt_v1."""
    names = {option.name for option in options}
    device = None
    if "--limit-iface-in" in names:
        device = place.in_device
    elif "--limit-iface-out" in names:
        device = place.out_device
    for option in options:
        if option.name in ("--src-type", "--dst-type"):
            address = packet.src if option.name == "--src-type" else packet.dst
            kind = address_type(place.node, address, device).upper()
            if (kind in option.values[0].split(",")) == option.negated:
                return False
    return True


def _owner(place: Place, options: Options, packet: Packet) -> bool:
    """A packet that is only passing through belongs to nobody (xt_owner.c)."""
    if packet.has_sender:
        raise _Unmodelled
    return all(option.negated for option in options)


def _statistic(
    place: Place, where: tuple[str, str, int], at: int, options: Options, packet: Packet
) -> bool:
    values = {option.name: option.values[0] for option in options}
    negated = any(option.negated for option in options)
    if values["--mode"] == "nth":
        key = (place.family, *where), at
        count = place.node.evaluations.get(key, 0)
        place.node.evaluations[key] = count + 1
        turn = int(values.get("--packet", "0"))
        return (count % int(values["--every"]) == turn) != negated
    threshold = int(float(values["--probability"]) * (1 << 31) + 0.5)
    fields = original_fields(packet.connection) if packet.connection else packet.fields
    rule = rule_identity(place.family, *where)
    choices, node = place.choices, place.node.name
    answer = choices.statistic_fed(node, fields, rule)
    if answer is not None:
        place.trace.value(EventKind.EVENT_DRAW, 0 if answer else 0x7FFFFFFF, threshold)
        return answer
    draw = choices.statistic_draw(node, fields, rule)
    place.trace.value(EventKind.EVENT_DRAW, draw, threshold)
    return (draw < threshold) != negated


EXTENSIONS: dict[str, Callable[[Place, Options, Packet], bool]] = {
    "tcp": _tcp,
    "udp": _ports,
    "udplite": _ports,
    "sctp": _ports,
    "icmp": _icmp,
    "icmp6": _icmp,
    "multiport": _multiport,
    "conntrack": _conntrack,
    "state": _conntrack,
    "mark": _mark,
    "comment": _always,
    "nfacct": _always,  # counts elsewhere
    "addrtype": _addrtype,
    "owner": _owner,
}
