"""Connections as they are confirmed: ctnetlink's events, which also know those that do not last.

linux/netfilter/nfnetlink_conntrack.h
"""

from ipaddress import ip_address
from typing import NamedTuple

from dataplane.node.state import ConntrackTuple
from tests.kernel.fuzzing.netlink import Netfilter, attributes
from tests.kernel.netns import Namespace

SUBSYSTEM_CONNTRACK, NEW, NEW_GROUP = 1, 0, 1
ORIGINAL, REPLY = 1, 2  # CTA_TUPLE_ORIG, CTA_TUPLE_REPLY
ADDRESSES, PROTOCOL = 1, 2  # CTA_TUPLE_IP, CTA_TUPLE_PROTO
SOURCES, DESTINATIONS = (1, 3), (2, 4)  # CTA_IP_V4_SRC, CTA_IP_V6_SRC …
NUMBER, SPORT, DPORT = 1, 2, 3
ICMP_IDS, ICMP_TYPES, ICMP_CODES = (4, 7), (5, 8), (6, 9)


class Born(NamedTuple):
    protocol: int
    original: ConntrackTuple
    reply: ConntrackTuple


class Births:
    def __init__(self, namespace: Namespace):
        self.link = Netfilter(namespace)
        self.link.join(NEW_GROUP)

    def close(self) -> None:
        self.link.close()

    def read(self) -> list[Born]:
        """In their order."""
        found = []
        for kind, body in self.link.messages(0.0):
            if kind == SUBSYSTEM_CONNTRACK << 8 | NEW:
                both = attributes(body[4:])
                protocol, original = _tuple(both[ORIGINAL])
                found.append(Born(protocol, original, _tuple(both[REPLY])[1]))
        return found


def _tuple(data: bytes) -> tuple[int, ConntrackTuple]:
    sides = attributes(data)
    addresses, protocol = attributes(sides[ADDRESSES]), attributes(sides[PROTOCOL])

    def number(*kinds: int) -> int:
        return next((int.from_bytes(protocol[kind]) for kind in kinds if kind in protocol), 0)

    return number(NUMBER), ConntrackTuple(
        src=ip_address(next(addresses[kind] for kind in SOURCES if kind in addresses)),
        dst=ip_address(next(addresses[kind] for kind in DESTINATIONS if kind in addresses)),
        sport=number(SPORT),
        dport=number(DPORT),
        icmp_type=number(*ICMP_TYPES),
        icmp_code=number(*ICMP_CODES),
        icmp_id=number(*ICMP_IDS),
    )
