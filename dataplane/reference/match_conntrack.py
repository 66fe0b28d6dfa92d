"""Matches that look at the packet's connection."""

from dataplane.reference.conntrack_table import CtInfo, Status
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


def _conntrack(place: Place, options: Options, packet: Packet) -> bool:
    """xt_conntrack.c, conntrack_mt."""
    if any(option.name not in ("--ctstate", "--state", "--ctstatus") for option in options):
        raise Unmodelled
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


ANSWERS: dict[str, Answer] = {
    "conntrack": _conntrack,
    "state": _conntrack,
}
