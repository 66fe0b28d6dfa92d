"""Steps and addresses back to what a person knows them as."""

from collections.abc import Mapping

from _fastpath.reason import Reason
from dataplane.cluster.objects import Cluster
from dataplane.node.state import Address, NodeState
from dataplane.reference.packet import WITH_PORTS
from dataplane.reference.steps import Step, StepKind, without_copies
from dataplane.trace import vocabulary
from dataplane.trace.places import Named, Places
from dataplane.trace.record import Record
from dataplane.trace.rules import Rules

BY_A_RULE = (
    Reason.NETFILTER_DROP,
    Reason.NETFILTER_REJECT,
    Reason.MATCH_UNMODELLED,
    Reason.TARGET_UNMODELLED,
)


class Describer:
    """Knows the nodes that packets crossed and, if there is one, the cluster they are of."""

    def __init__(self, nodes: Mapping[str, NodeState], cluster: Cluster | None = None):
        self.places = Places(nodes, cluster)
        self.rules = Rules(nodes, self.places)

    def source(self, record: Record) -> Named | None:
        """Who sent the packet."""
        return self._who(record.src, record.proto, record.sport)

    def destination(self, record: Record) -> Named | None:
        """Whom it was sent to."""
        return self._who(record.dst, record.proto, record.dport)

    def end_source(self, record: Record) -> Named | None:
        """Whose address it carried as its source in the end."""
        return self._who(record.end_src, record.proto, record.end_sport)

    def end_destination(self, record: Record) -> Named | None:
        return self._who(record.end_dst, record.proto, record.end_dport)

    def entry(self, record: Record) -> Named | None:
        """What is behind the place where it entered."""
        return self.at(record.entry)

    def end(self, record: Record) -> Named | None:
        """What is behind the place where it ended."""
        return self.at(record.place)

    def at(self, place: tuple[str, str | None]) -> Named | None:
        """What is behind a place."""
        node, device = place
        if device is None:
            return Named(f"node/{node}") if node else None
        return self.places.device(node, device)

    def blamed(self, record: Record) -> Step | None:
        """The rule that a packet ended at; None where it was not a rule."""
        return self.last_rule(record) if record.reason in BY_A_RULE else None

    def last_rule(self, record: Record) -> Step | None:
        """The last rule that the packet itself met, not what was made of it."""
        found = None
        for step in without_copies(record.steps):
            if step.kind == StepKind.STEP_GENERATE:
                break
            if step.is_rule:
                found = step
        return found

    def _who(self, address: Address | None, proto: int, port: int) -> Named | None:
        if address is None:
            return None
        if proto not in WITH_PORTS:
            return self.places.address(address)
        return self.places.address(address, vocabulary.protocol(proto).upper(), port)
