"""What the renderers ask of a record.  Both engines' records have it."""

from collections.abc import Sequence
from typing import Protocol

from dataplane.node.state import Address
from dataplane.reference.steps import Event, Step


class Record(Protocol):
    """What became of one packet.  As injected, and as it ended."""

    @property
    def verdict(self) -> int: ...  # Verdict
    @property
    def reason(self) -> int: ...  # Reason
    @property
    def place(self) -> tuple[str, str | None]: ...  # node, device; None = the node itself
    @property
    def entry(self) -> tuple[str, str | None]: ...  # ("", None) = nowhere
    @property
    def steps(self) -> Sequence[Step]: ...
    @property
    def events(self) -> Sequence[Event]: ...  # empty unless asked for
    @property
    def length(self) -> int: ...  # bytes on the wire
    @property
    def family(self) -> int: ...  # 4, 6; 0 = not IP
    @property
    def proto(self) -> int: ...
    @property
    def src(self) -> Address | None: ...  # None = not IP
    @property
    def dst(self) -> Address | None: ...
    @property
    def sport(self) -> int: ...  # ICMP: the identifier
    @property
    def dport(self) -> int: ...  # ICMP: type << 8 | code
    @property
    def tcp_flags(self) -> int: ...
    @property
    def end_src(self) -> Address | None: ...
    @property
    def end_dst(self) -> Address | None: ...
    @property
    def end_sport(self) -> int: ...
    @property
    def end_dport(self) -> int: ...
    @property
    def end_ttl(self) -> int: ...
