"""SCTP in conntrack: nf_conntrack_sctp_packet of nf_conntrack_proto_sctp.c, v6.18.

A packet holds several chunks; each moves the connection.  A row of the tables is what arrives
(by direction), a column the state before, a cell the state after.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple

from dataplane.reference.packet import Packet

(DATA, INIT, INIT_ACK, SACK, HEARTBEAT, HEARTBEAT_ACK, ABORT, SHUTDOWN, SHUTDOWN_ACK, ERROR,
 COOKIE_ECHO, COOKIE_ACK) = range(12)  # fmt: skip
SHUTDOWN_COMPLETE = 14
HEADER = 12  # ports, verification tag, checksum
T_BIT = 1  # of ABORT and SHUTDOWN COMPLETE: the tag is the sender's own
ALONE = frozenset((INIT, INIT_ACK, SHUTDOWN_COMPLETE))
FIRST = frozenset((COOKIE_ECHO, COOKIE_ACK))
BEGINS_NOTHING = frozenset((ABORT, SHUTDOWN_COMPLETE, COOKIE_ACK))  # RFC 9260 8.4
HAS_OWN_CHECK = frozenset(
    (INIT, SHUTDOWN_COMPLETE, COOKIE_ECHO, ABORT, SHUTDOWN_ACK, HEARTBEAT, HEARTBEAT_ACK)
)


class SctpState(IntEnum):
    """enum sctp_conntrack."""

    NONE = 0
    CLOSED = 1
    COOKIE_WAIT = 2
    COOKIE_ECHOED = 3
    ESTABLISHED = 4
    SHUTDOWN_SENT = 5
    SHUTDOWN_RECD = 6
    SHUTDOWN_ACK_SENT = 7
    HEARTBEAT_SENT = 8
    INVALID = 9


_CELLS = ("no", "cl", "cw", "ce", "es", "ss", "sr", "sa", "hs", "--")
_STATES = dict(zip(_CELLS, SctpState, strict=True))
_CHUNKS = (
    INIT, INIT_ACK, ABORT, SHUTDOWN, SHUTDOWN_ACK, ERROR, COOKIE_ECHO, COOKIE_ACK,
    SHUTDOWN_COMPLETE, HEARTBEAT, HEARTBEAT_ACK,
)  # fmt: skip


def _table(text: str) -> dict[int, list[SctpState]]:
    rows = [[_STATES[cell] for cell in row.split()] for row in text.strip().splitlines()]
    return dict(zip(_CHUNKS, rows, strict=True))


# before:  no cl cw ce es ss sr sa hs
TRANSITIONS = (
    _table(  # original direction
        """
        cl cl cw ce es cl cl sa cw
        cl cl cw ce es ss sr sa cl
        cl cl cl cl cl cl cl cl cl
        cl cl cw ce ss ss sr sa cl
        sa cl cw ce es sa sa sa sa
        cl cl cw ce es ss sr sa cl
        cl cl ce ce es ss sr sa cl
        cl cl cw es es ss sr sa cl
        cl cl cw ce es ss sr cl cl
        hs cl cw ce es ss sr sa hs
        cl cl cw ce es ss sr sa hs
        """
    ),
    _table(  # reply
        """
        -- cl cw ce es ss sr sa --
        -- cw cw ce es ss sr sa --
        -- cl cl cl cl cl cl cl --
        -- cl cw ce sr ss sr sa --
        -- cl cw ce es sa sa sa --
        -- cl cw cl es ss sr sa --
        -- cl ce ce es ss sr sa --
        -- cl cw es es ss sr sa --
        -- cl cw ce es ss sr cl --
        -- cl cw ce es ss sr sa hs
        -- cl cw ce es ss sr sa es
        """
    ),
)
TIMEOUTS = {
    SctpState.CLOSED: ("closed", 10),
    SctpState.COOKIE_WAIT: ("cookie_wait", 3),
    SctpState.COOKIE_ECHOED: ("cookie_echoed", 3),
    SctpState.ESTABLISHED: ("established", 210),
    SctpState.SHUTDOWN_SENT: ("shutdown_sent", 3),
    SctpState.SHUTDOWN_RECD: ("shutdown_recd", 3),
    SctpState.SHUTDOWN_ACK_SENT: ("shutdown_ack_sent", 3),
    SctpState.HEARTBEAT_SENT: ("heartbeat_sent", 30),
}


@dataclass
class SctpAssociation:
    """struct ip_ct_sctp."""

    state: SctpState = SctpState.NONE
    vtag: list[int] = field(default_factory=lambda: [0, 0])  # by the direction that uses them
    init: list[bool] = field(default_factory=lambda: [False, False])  # an INIT was seen
    heartbeat_failed_by: int | None = None  # the direction whose tag was not the known one
    learns: list[bool] = field(default_factory=lambda: [False, False])  # from a listing: unknown


class Chunk(NamedTuple):
    kind: int
    flags: int
    length: int
    value: bytes


class Answer(IntEnum):
    INVALID = 0
    ACCEPT = 1
    IGNORE = 2  # let pass: nothing is prolonged


def chunks_of(packet: Packet) -> Iterator[Chunk]:
    data = packet.payload
    at = HEADER
    while at + 4 <= len(data):
        length = int.from_bytes(data[at + 2 : at + 4])
        yield Chunk(data[at], data[at + 1], length, data[at + 4 : at + 20])
        if not length:
            return
        at += length + 3 & ~3


def follow(
    known: SctpAssociation, packet: Packet, direction: int, is_confirmed: bool
) -> tuple[Answer, bool]:
    """One packet of an association; and whether that established it."""
    chunks, vtag = list(chunks_of(packet)), int.from_bytes(packet.payload[4:8])
    kinds = {chunk.kind for chunk in chunks}
    if not _may_stand_together(chunks):
        return Answer.INVALID, False
    if not is_confirmed and (kinds & BEGINS_NOTHING or not _begin(known, chunks, vtag)):
        return Answer.INVALID, False
    if known.learns[direction] and INIT not in kinds:
        known.learns[direction] = False
        known.vtag[direction] = vtag
    if not kinds & HAS_OWN_CHECK and vtag != known.vtag[direction]:
        return Answer.INVALID, False
    return _follow_chunks(known, chunks, vtag, direction, is_confirmed)


def _follow_chunks(
    known: SctpAssociation, chunks: list[Chunk], vtag: int, direction: int, is_confirmed: bool
) -> tuple[Answer, bool]:
    has_data = any(chunk.kind == DATA for chunk in chunks)
    answer, is_established = Answer.ACCEPT, False
    for chunk in chunks:
        may_differ = not has_data and answer == Answer.ACCEPT
        tag = _check_tag(known, chunk, vtag, direction, may_differ)
        if tag == Answer.INVALID:
            return Answer.INVALID, is_established
        if tag == Answer.IGNORE:
            answer = Answer.IGNORE
            continue
        before, state = known.state, _next_state(direction, known.state, chunk.kind)
        if state == SctpState.INVALID or not _note_init(known, chunk, direction):
            return Answer.INVALID, is_established
        if chunk.kind == INIT and before == state == SctpState.CLOSED and is_confirmed:
            answer = Answer.IGNORE  # a repeated INIT prolongs nothing
        is_established |= before != state and state == SctpState.ESTABLISHED
        known.state = state
    return answer, is_established


def _may_stand_together(chunks: list[Chunk]) -> bool:
    """do_basic_checks."""
    is_alone = False
    for number, chunk in enumerate(chunks):
        is_alone |= chunk.kind in ALONE
        if not chunk.length or (number and (is_alone or chunk.kind in FIRST)):
            return False
    return bool(chunks)


def _next_state(direction: int, before: SctpState, kind: int) -> SctpState:
    """DATA, SACK and the unknown change nothing."""
    row = TRANSITIONS[direction].get(kind)
    return row[before] if row else before


def _begin(known: SctpAssociation, chunks: list[Chunk], vtag: int) -> bool:
    """sctp_new."""
    for chunk in chunks:
        if _next_state(0, SctpState.NONE, chunk.kind) in (SctpState.NONE, SctpState.INVALID):
            return False
        if chunk.kind == INIT:
            if vtag or len(chunk.value) < 16:
                return False
            known.vtag[1] = int.from_bytes(chunk.value[:4])
        elif chunk.kind == HEARTBEAT:
            known.vtag[0] = vtag
        elif chunk.kind == SHUTDOWN_ACK:
            known.vtag[1] = vtag
    return True


def _check_tag(
    known: SctpAssociation, chunk: Chunk, vtag: int, direction: int, may_differ: bool
) -> Answer:
    """RFC 9260 8.5.1."""
    is_right = True
    if chunk.kind == INIT:
        is_right = vtag == 0
    elif chunk.kind in (ABORT, SHUTDOWN_COMPLETE):
        is_right = vtag == known.vtag[direction ^ (chunk.flags & T_BIT)]
    elif chunk.kind == COOKIE_ECHO:
        is_right = vtag == known.vtag[direction]
    elif chunk.kind == COOKIE_ACK:
        known.init = [False, False]
    elif chunk.kind in (HEARTBEAT, HEARTBEAT_ACK):
        return _check_heartbeat(known, chunk.kind, vtag, direction, may_differ)
    return Answer.ACCEPT if is_right else Answer.INVALID


def _check_heartbeat(
    known: SctpAssociation, kind: int, vtag: int, direction: int, may_differ: bool
) -> Answer:
    """A second path may be used with new tags: the answer has to confirm it."""
    if known.vtag[direction] == 0:
        known.vtag[direction] = vtag
        return Answer.ACCEPT
    if vtag == known.vtag[direction]:
        known.heartbeat_failed_by = None
        return Answer.ACCEPT
    if not may_differ:
        return Answer.INVALID
    if kind == HEARTBEAT:
        known.heartbeat_failed_by = direction
        return Answer.IGNORE
    if known.heartbeat_failed_by in (None, direction):
        return Answer.INVALID
    known.heartbeat_failed_by = None
    known.vtag[direction], known.vtag[1 - direction] = vtag, 0
    return Answer.ACCEPT


def _note_init(known: SctpAssociation, chunk: Chunk, direction: int) -> bool:
    """The tag that the other end must use from now on; False: it contradicts what is known."""
    if chunk.kind not in (INIT, INIT_ACK):
        return True
    if len(chunk.value) < 16:
        return False
    other, tag = 1 - direction, int.from_bytes(chunk.value[:4])
    is_new, is_crossed = known.vtag[other] != tag, known.init[direction] and known.init[other]
    if chunk.kind == INIT and (known.state == SctpState.NONE or is_new):
        known.init[other] = known.init[other] and not is_crossed
        known.init[direction] = True
    elif chunk.kind == INIT_ACK and is_new:
        if is_crossed or (not known.init[other] and known.vtag[other]):
            return False
    known.vtag[other] = tag
    return True
