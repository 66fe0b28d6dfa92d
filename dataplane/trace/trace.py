"""Trace: what happened to one packet, ready to be read."""

from dataclasses import dataclass

from dataplane.trace.caption import Caption
from dataplane.trace.describe import Describer
from dataplane.trace.hops import Hop, hops
from dataplane.trace.minimal import minimal
from dataplane.trace.record import Record
from dataplane.trace.text import text


@dataclass(frozen=True)
class Trace:
    """One packet: its record, and who knows what the names in it mean."""

    record: Record
    describer: Describer
    caption: Caption

    @property
    def hops(self) -> list[Hop]:
        """Its way, node by node."""
        return hops(self.record.steps)

    def text(self) -> str:
        """For people."""
        return text(self.record, self.describer, self.caption)

    def minimal(self) -> str:
        """One line per step, stable enough for golden files."""
        return minimal(self.record, self.describer)

    def __str__(self) -> str:
        return self.text()
