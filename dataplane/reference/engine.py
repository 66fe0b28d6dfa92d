"""The reference engine: packets in, records out, slowly."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from _fastpath.reason import Reason
from dataplane.errors import UsageError
from dataplane.node.ipset_rows import Ipset
from dataplane.node.state import Address, ConntrackEntry, NodeState
from dataplane.reference import set_table
from dataplane.reference.choice import Choices
from dataplane.reference.conntrack_listing import listing, load
from dataplane.reference.fragment_queues import Waiting
from dataplane.reference.headers import header_refusal, refusal
from dataplane.reference.icmp_rate import Rates
from dataplane.reference.neighbour import hear
from dataplane.reference.node import Node
from dataplane.reference.packet import ETHER_SIZE, Packet
from dataplane.reference.path import Arrival, Path
from dataplane.reference.steps import Event, Step, Tap, dropped
from dataplane.reference.topology import Topology

Place = tuple[str, str | None]  # node and device; None = a process of the node


@dataclass
class Record:
    """What became of one packet."""

    verdict: int
    reason: int
    place: Place  # where it ended
    entry: Place
    steps: list[Step] = field(repr=False)
    events: list[Event] = field(repr=False)
    taps: list[Tap] = field(repr=False)
    # As injected.  Not IP: family 0, and no addresses.  ICMP: identifier, type << 8 | code.
    family: int = 0
    proto: int = 0
    src: Address | None = None
    dst: Address | None = None
    sport: int = 0
    dport: int = 0
    tcp_flags: int = 0
    length: int = 0  # bytes on the wire
    # As it ended.
    end_src: Address | None = None
    end_dst: Address | None = None
    end_sport: int = 0
    end_dport: int = 0
    end_ttl: int = 0
    end_frame: bytes = field(default=b"", repr=False)


class Engine:
    """The nodes of a cluster, and what packets have changed on them.

    seed     of every draw that Linux would make at random
    choices  {choice key, with seed 0: values to take instead}
    has_listed  begin with the connections that the nodes list
    """

    def __init__(
        self,
        nodes: Mapping[str, NodeState],
        *,
        seed: int = 0,
        choices: Mapping[int, Sequence[int]] | None = None,
        has_listed: bool = False,
    ):
        self.nodes = {name: Node(state) for name, state in nodes.items()}
        self.topology = Topology(nodes)
        waiting, rates = Waiting(), Rates()
        for node in self.nodes.values():
            node.fragments, node.icmp_rates = waiting, rates
        self.choices = Choices(seed, choices)
        self.has_begun = not has_listed

    def run(self, time_ns: int, frame: bytes, length: int, entry: Place) -> Record:
        """Follows one packet to its end.

        frame   the bytes captured, from the Ethernet header on
        length  bytes on the wire
        entry   the device that it arrives at, or (node, None): a process of the node sends
                it, and its Ethernet addresses mean nothing
        """
        self._check(entry)
        self.begin(time_ns)
        for each in self.nodes.values():
            each.sets.begin(time_ns)
        packet = Packet(frame, length)
        path = Path(self.topology, self.nodes, self.choices, time_ns, entry[0])
        before = _fields(packet)
        end, node, last = path.run(lambda: self._enter(path, packet, entry))
        record = Record(
            end.verdict,
            end.reason,
            (node, end.device),
            entry,
            path.trace.steps,
            path.trace.events,
            path.trace.taps,
            length=max(len(frame), length),
            end_frame=bytes(last.frame),
        )
        _fill(record, before, _fields(last), last)
        return record

    def begin(self, time_ns: int) -> None:
        """The first packet's time: the times left of what was listed count from it."""
        if not self.has_begun:
            self.has_begun = True
            for each in self.nodes.values():
                load(each.conntrack, each.state.conntrack, time_ns)

    def _check(self, entry: Place) -> None:
        node, device = entry
        if node not in self.nodes:
            raise UsageError(f"no node {node!r}")
        if device is not None and (node, device) not in self.topology.devices:
            raise UsageError(f"node {node} has no device {device!r}")

    def _enter(self, path: Path, packet: Packet, entry: Place) -> Arrival:
        node, device = entry
        if device is not None:
            arrives_at = self.topology.device(node, device)
            hear(self.topology, self.nodes[node], arrives_at, packet)
            return Arrival(arrives_at, packet)
        path.packet = packet
        if len(packet.frame) < ETHER_SIZE:
            raise dropped(Reason.FRAME_TOO_SHORT)
        if not packet.family:
            raise dropped(Reason.UNHANDLED_PROTOCOL)
        refused = refusal(packet)
        if refused:
            raise refused
        packet.trim()
        return path.local_out(self.nodes[node], packet)

    def conntrack(self, node: str, time_ns: int) -> list[ConntrackEntry]:
        """What `conntrack -L` would list at that time."""
        return listing(self.nodes[node].conntrack, time_ns, self.nodes[node].accounts)

    def ipsets(self, node: str, time_ns: int) -> tuple[Ipset, ...] | None:
        """What `ipset save` would print at that time."""
        return set_table.listing(self.nodes[node].sets, time_ns)

    def counters(self, node: str) -> dict[tuple[int, str, str, int], tuple[int, int]]:
        """(family, table, chain, number): packets and bytes.  Number 0 is the policy."""
        counters = self.nodes[node].counters
        return {rule: (packets, size) for rule, (packets, size) in counters.items()}


def _fields(packet: Packet) -> dict[str, object]:
    """Of a packet whose headers can be read."""
    is_between = packet.options is not None and packet.options.is_changed  # no right checksum
    if not packet.has_headers or (header_refusal(packet) and not is_between):
        return {}
    return {
        "family": packet.family,
        "proto": packet.protocol,
        "src": packet.src,
        "dst": packet.dst,
        "sport": packet.sport,
        "dport": packet.dport,
        "tcp_flags": packet.tcp_flags,
    }


def _fill(
    record: Record, before: dict[str, object], after: dict[str, object], last: Packet
) -> None:
    for name, value in before.items():
        setattr(record, name, value)
    for name in ("src", "dst", "sport", "dport"):
        if name in after:
            setattr(record, f"end_{name}", after[name])
    record.end_ttl = last.ttl if after else 0
