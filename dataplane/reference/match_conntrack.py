"""Matches that look at the packet's connection."""

from collections.abc import Callable
from ipaddress import ip_network

from dataplane.node.iptables import Option
from dataplane.node.state import Network
from dataplane.reference.conntrack import direction_of
from dataplane.reference.conntrack_table import ORIGINAL, REPLY, Connection, CtInfo, Status
from dataplane.reference.match_words import Answer, Options, Unmodelled
from dataplane.reference.packet import Packet
from dataplane.reference.place import Place

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


# Direction, and whether it is the destination.
SIDES = {
    "origsrc": (ORIGINAL, False),
    "origdst": (ORIGINAL, True),
    "replsrc": (REPLY, False),
    "repldst": (REPLY, True),
}
SECOND = 10**9
MOST = 2**64 - 1


def _conntrack(place: Place, options: Options, packet: Packet) -> bool:
    """xt_conntrack.c, conntrack_mt."""
    asked = [option for option in options if option.name in ("--ctstate", "--state")]
    others = [option for option in options if option not in asked]
    if any(option.name not in PROPERTIES for option in others):
        raise Unmodelled
    for option in asked:
        if bool(set(option.values[0].split(",")) & _states(packet)) == option.negated:
            return False
    if packet.connection is None:  # nothing but its state is looked at
        if others and _is_template(packet):
            raise Unmodelled
        return bool(asked)
    return all(
        PROPERTIES[option.name](place, option, packet, packet.connection) != option.negated
        for option in others
    )


def _is_template(packet: Packet) -> bool:
    """What a CT rule made, before conntrack has seen the packet: it counts as a connection."""
    return packet.connection is None and packet.has_template and packet.ctinfo is None


def _states(packet: Packet) -> set[str]:
    if _is_template(packet):
        return {"NEW"}
    states = {STATES[packet.ctinfo if packet.ctinfo is not None else CtInfo.INVALID]}
    if packet.connection is not None:
        states |= {"SNAT"} if packet.connection.has(Status.SRC_NAT) else set()
        states |= {"DNAT"} if packet.connection.has(Status.DST_NAT) else set()
    return states


def _status(place: Place, option: Option, packet: Packet, connection: Connection) -> bool:
    return any(connection.has(STATUSES[name]) for name in option.values[0].split(","))


def _protocol(place: Place, option: Option, packet: Packet, connection: Connection) -> bool:
    return connection.tuples[ORIGINAL].protocol == int(option.values[0])


def _address(place: Place, option: Option, packet: Packet, connection: Connection) -> bool:
    network = _network(option.values[0], place.family)
    direction, is_destination = SIDES[option.name.removeprefix("--ct")]
    own = connection.tuples[direction]
    return (own.dst if is_destination else own.src) in network


def _network(text: str, family: int) -> Network:
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        raise Unmodelled from None
    if network.version != family:
        raise Unmodelled
    return network


def _port(place: Place, option: Option, packet: Packet, connection: Connection) -> bool:
    direction, is_destination = SIDES[option.name.removeprefix("--ct").removesuffix("port")]
    own = connection.tuples[direction]
    return _is_within(own.dport if is_destination else own.sport, option.values[0])


def _is_within(number: int, span: str) -> bool:
    first, _, last = span.partition(":")
    return int(first) <= number <= int(last or first)


def _expire(place: Place, option: Option, packet: Packet, connection: Connection) -> bool:
    """nf_ct_expires; what is not confirmed has none left (before 99 days of uptime)."""
    is_confirmed = connection.has(Status.CONFIRMED)
    left = max(connection.expires_ns - place.now_ns, 0) // SECOND if is_confirmed else 0
    return _is_within(left, option.values[0])


def _direction(place: Place, option: Option, packet: Packet, connection: Connection) -> bool:
    return direction_of(packet) == {"ORIGINAL": ORIGINAL, "REPLY": REPLY}[option.values[0]]


Property = Callable[[Place, Option, Packet, Connection], bool]
PROPERTIES: dict[str, Property] = {
    "--ctstatus": _status,
    "--ctproto": _protocol,
    "--ctexpire": _expire,
    "--ctdir": _direction,
    **{f"--ct{side}": _address for side in SIDES},
    **{f"--ct{side}port": _port for side in SIDES},
}


def _connmark(place: Place, options: Options, packet: Packet) -> bool:
    """xt_connmark.c, connmark_mt."""
    (option,) = options
    if _is_template(packet):
        raise Unmodelled
    if packet.connection is None:
        return False
    value, slash, mask = option.values[0].partition("/")
    kept = packet.connection.mark & (int(mask, 0) if slash else 0xFFFFFFFF)
    return (kept == int(value, 0)) != option.negated


def _connbytes(place: Place, options: Options, packet: Packet) -> bool:
    """xt_connbytes.c, connbytes_mt."""
    named = {option.name: option for option in options}
    if set(named) != {"--connbytes", "--connbytes-mode", "--connbytes-dir"}:
        raise Unmodelled
    if packet.connection is None:
        return False  # nor does a template count anything
    directions = {"original": (0,), "reply": (1,), "both": (0, 1)}
    asked = [packet.connection.counts[at] for at in directions[named["--connbytes-dir"].values[0]]]
    packets, octets = (sum(count[at] for count in asked) for at in (0, 1))
    mode = named["--connbytes-mode"].values[0]
    value = packets if mode == "packets" else octets
    if mode == "avgpkt":
        value = octets // packets if packets else 0
    first, _, last = named["--connbytes"].values[0].partition(":")
    low, high = int(first or 0), int(last or MOST)
    if low > high:
        raise Unmodelled
    found = low <= value <= high
    return found != named["--connbytes"].negated


ANSWERS: dict[str, Answer] = {
    "connbytes": _connbytes,
    "connmark": _connmark,
    "conntrack": _conntrack,
    "state": _conntrack,
}
