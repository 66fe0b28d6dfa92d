"""What has come of packets whose fragments wait for each other (inet_fragment.c)."""

from dataclasses import dataclass, field

from _fastpath.reason import Reason
from _fastpath.state import FRAGMENT_QUEUES
from dataplane.node.state import Address
from dataplane.reference.steps import unknown

Key = tuple[object, ...]


@dataclass(frozen=True)
class Piece:
    """What a fragment says of itself.  Bytes."""

    key: Key
    src: Address
    offset: int
    end: int  # of its part of the payload
    data: int  # where that begins, from the frame's first byte
    size: int  # whole, from the IP header on
    more: bool
    has_df: bool
    next_header: int = 0  # IPv6: the byte that announces the fragment header


@dataclass
class Queue:
    """What has come of one packet."""

    src: Address
    node: str
    family: int
    expires_ns: int
    max_size: int = 0  # longest fragment
    max_df_size: int = 0  # longest with DF
    distance: int = 0  # fragments of this sender since the last of this packet
    length: int = 0  # of the payload, as far as is known
    has_last: bool = False
    has_cut: bool = False  # the capture does not hold all of some fragment
    ecn: set[int] = field(default_factory=set)
    head: tuple[bytes, int, int] | None = None  # to the payload; mark; next_header
    pieces: dict[int, bytes] = field(default_factory=dict)
    runs: list[tuple[int, int]] = field(default_factory=list)  # of fragments that came in order

    def begin_again(self, expires_ns: int) -> None:
        """ip_frag_reinit: the longest sizes stay."""
        self.expires_ns = expires_ns
        self.length, self.has_last, self.has_cut = 0, False, False
        self.ecn, self.head, self.pieces, self.runs = set(), None, {}, []

    @property
    def is_whole(self) -> bool:
        received = sum(end - start for start, end in self.runs)
        return self.has_last and self.head is not None and received == self.length


class Waiting:
    """The queues of all nodes."""

    def __init__(self) -> None:
        self.queues: dict[Key, Queue] = {}

    def find(self, piece: Piece, node: str, family: int, wait_ns: int, now_ns: int) -> Queue:
        """inet_frag_find."""
        for key in [key for key, queue in self.queues.items() if queue.expires_ns <= now_ns]:
            del self.queues[key]
        for queue in self.queues.values():  # struct inet_peer counts an IPv4 sender's fragments
            if (queue.family, queue.node, queue.src) == (4, node, piece.src):
                queue.distance += 1
        if piece.key not in self.queues:
            if len(self.queues) == FRAGMENT_QUEUES:
                raise unknown(Reason.FRAGMENT_UNMODELLED)
            self.queues[piece.key] = Queue(piece.src, node, family, now_ns + wait_ns)
        return self.queues[piece.key]
