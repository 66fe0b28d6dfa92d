"""Which packet of a replay a record is of."""

from typing import NamedTuple


class Caption(NamedTuple):
    number: int  # 1-based in its file, as tcpdump and Wireshark count
    file: str = ""  # "" for a synthetic connection
    time_ns: int = 0  # since 1970
    start_ns: int = 0  # time of the replay's first packet
    flow: int | None = None
    is_reply: bool = False  # sent by the responder of its flow

    @property
    def where(self) -> str:
        return f"{self.file}:{self.number}" if self.file else ""

    @property
    def seconds(self) -> float:
        """Since the replay's first packet."""
        return (self.time_ns - self.start_ns) / 1e9
