"""What became of one packet, in names."""

from dataclasses import dataclass, field

from dataplane.node.state import Address
from dataplane.reference.steps import Event, Step, Tap

Value = int | Address | None


@dataclass(frozen=True)
class Record:
    """One packet of a replay.  Numbers are those of _fastpath.reason and _fastpath.trace."""

    verdict: int
    reason: int
    place: tuple[str, str | None]  # (node, device); None = the node itself; ("", None) = nowhere
    entry: tuple[str, str | None]
    time_ns: int
    length: int  # bytes on the wire
    flow: int  # index of its flow; -1 = none
    is_reply: bool  # sent by the responder of its flow
    family: int  # 4, 6; 0 = not IP
    proto: int
    src: Address | None  # as recorded
    dst: Address | None
    sport: int  # ICMP: the identifier
    dport: int  # ICMP: type << 8 | code
    end_src: Address | None  # as it ended
    end_dst: Address | None
    end_sport: int
    end_dport: int
    end_ttl: int
    tcp_flags: int
    steps: tuple[Step, ...] = ()
    events: tuple[Event, ...] = field(default=(), repr=False)
    taps: tuple[Tap, ...] = field(default=(), repr=False)
