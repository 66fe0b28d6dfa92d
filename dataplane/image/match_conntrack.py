"""Rows of matches that look at the packet's connection."""

from _fastpath.image import CtState, MatchKind
from _fastpath.state import CtStatus
from dataplane.image.match_rows import UNKNOWN, Row, Rows, names, options_of, row
from dataplane.image.pools import Pools
from dataplane.node.iptables import Match

CT_STATUS = {
    "NONE": 0, "EXPECTED": CtStatus.IPS_EXPECTED, "SEEN_REPLY": CtStatus.IPS_SEEN_REPLY,
    "ASSURED": CtStatus.IPS_ASSURED, "CONFIRMED": CtStatus.IPS_CONFIRMED,
}  # fmt: skip
CT_STATES = {state.name.removeprefix("CTSTATE_"): int(state) for state in CtState}


def _conntrack(match: Match, pools: Pools, family: int) -> list[Row]:
    options = options_of(match)
    state = options.pop("--ctstate", None) or options.pop("--state", None)
    status = options.pop("--ctstatus", None)
    asked = bool(state) | bool(status) << 1
    flags = bool(state and state.negated) | bool(status and status.negated) << 1
    rows = [
        row(
            MatchKind.MATCH_CONNTRACK,
            names(state, CT_STATES) if state else 0,
            names(status, CT_STATUS) if status else 0,
            0,
            asked,
            flags=flags,
        )
    ]
    return rows + [UNKNOWN] * bool(options)


MATCHES: dict[str, Rows] = {
    "conntrack": _conntrack,
    "state": _conntrack,
}
