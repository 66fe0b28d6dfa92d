"""What the kernel's own TRACE tells, read from netlink: rules in the order in which they matched.

Legacy tables trace through nfnetlink_log, nft tables through a multicast group of their own.
The first writes before the target runs and counts a chain's end as a rule; the second writes
after and names rules by handle.  Both come out here as (table, chain, number), 0 the policy;
the end of a user chain is left out.

    linux/netlink.h, linux/netfilter/nfnetlink.h, nfnetlink_log.h, nf_tables.h
"""

import socket
import struct
from collections.abc import Iterator

from tests.kernel.netns import Namespace

NETLINK_NETFILTER, SOL_NETLINK, ADD_MEMBERSHIP = 12, 270, 1
SO_RCVBUFFORCE = 33
BUFFER = 256 << 20
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 1, 4, 0x300
NLMSG_ERROR, NLMSG_DONE, NESTED = 2, 3, 0x3FFF
SUBSYSTEM_LOG, LOG_PACKET, LOG_CONFIG = 4, 0, 1
LOG_COMMAND, LOG_MODE, LOG_TIMEOUT, LOG_PREFIX = 1, 2, 4, 10
BIND, COPY_META = 1, 1
SUBSYSTEM_TABLES, GET_RULE, NEW_RULE, TRACE_MESSAGE = 10, 7, 6, 17
TRACE_GROUP = 9
TRACE_POLICY, TRACE_RETURN, TRACE_RULE = 1, 2, 3
HEADER = struct.Struct("=IHHII")

TRACE_ID = 6

Entry = tuple[str, str, int]
# The rules that say TRACE: a packet begins there.
BEGINNINGS = (("raw", "PREROUTING", 1), ("raw", "OUTPUT", 1))


def attribute(kind: int, data: bytes) -> bytes:
    size = 4 + len(data)
    return struct.pack("=HH", size, kind) + data + bytes(-size % 4)


def attributes(data: bytes) -> dict[int, bytes]:
    found, at = {}, 0
    while at + 4 <= len(data):
        size, kind = struct.unpack_from("=HH", data, at)
        if size < 4:
            break
        found[kind & NESTED] = data[at + 4 : at + size]
        at += size + 3 & ~3
    return found


def text(data: bytes) -> str:
    return data.rstrip(b"\0").decode(errors="surrogateescape")


class Netfilter:
    """A netlink socket to the netfilter of a namespace."""

    def __init__(self, namespace: Namespace):
        with namespace.inside():
            self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)
        self.socket.bind((0, 0))

    def close(self) -> None:
        self.socket.close()

    def join(self, group: int) -> None:
        self.socket.setsockopt(SOL_NETLINK, ADD_MEMBERSHIP, group)

    def send(self, subsystem: int, message: int, flags: int, family: int, resource: int,
             body: bytes) -> None:  # fmt: skip
        general = struct.pack(">BBH", family, 0, resource)
        size = HEADER.size + len(general) + len(body)
        head = HEADER.pack(size, subsystem << 8 | message, NLM_F_REQUEST | flags, 1, 0)
        self.socket.send(head + general + body)

    def messages(self, seconds: float) -> Iterator[tuple[int, bytes]]:
        """(type, body behind nfgenmsg) of each message, until none comes for so long."""
        self.socket.settimeout(seconds)
        while True:
            try:
                data = self.socket.recv(1 << 20)
            except (TimeoutError, BlockingIOError):
                return
            at = 0
            while at + HEADER.size <= len(data):
                size, kind, _, _, _ = HEADER.unpack_from(data, at)
                yield kind, data[at + HEADER.size : at + size]
                at += size + 3 & ~3


class LegacyTrace:
    """The prefixes that legacy's TRACE hands to group 0 of nfnetlink_log."""

    def __init__(self, namespace: Namespace):
        for family in ("2", "10"):
            namespace.sysctl(f"net.netfilter.nf_log.{family}", "nfnetlink_log")
        self.link = Netfilter(namespace)
        for body in (
            attribute(LOG_COMMAND, bytes([BIND])),
            attribute(LOG_MODE, struct.pack(">IBB", 0, COPY_META, 0))
            + attribute(LOG_TIMEOUT, struct.pack(">I", 1)),
        ):
            self.link.send(SUBSYSTEM_LOG, LOG_CONFIG, NLM_F_ACK, 0, 0, body)
            kind, answer = next(self.link.messages(1))
            if kind != NLMSG_ERROR or struct.unpack_from("=i", answer)[0]:
                raise OSError("nfnetlink_log refuses its group 0")

    def close(self) -> None:
        self.link.close()

    def read(self, lengths: dict[tuple[str, str], tuple[bool, int]]) -> list[Entry]:
        """`lengths`: (table, chain) -> (is a base chain, rules)"""
        entries = []
        for kind, body in self.link.messages(0.03):
            if kind != SUBSYSTEM_LOG << 8 | LOG_PACKET:
                continue
            prefix = text(attributes(body[4:]).get(LOG_PREFIX, b""))
            if not prefix.startswith("TRACE: "):
                continue  # of a LOG or NFLOG rule
            table, chain, _, number = prefix.removeprefix("TRACE: ").strip().split(":")
            is_base, length = lengths[table, chain]
            if int(number) <= length:
                entries.append((table, chain, int(number)))
            elif is_base:
                entries.append((table, chain, 0))
        return entries


class NftTrace:
    """The messages of `nft monitor trace`."""

    def __init__(self, namespace: Namespace):
        self.namespace = namespace
        self.link = Netfilter(namespace)
        self.link.join(TRACE_GROUP)

    def close(self) -> None:
        self.link.close()

    def read(self, lengths: dict[tuple[str, str], tuple[bool, int]]) -> list[Entry]:
        numbers = handles(self.namespace)
        packets: list[tuple[bytes, list[Entry]]] = []
        for kind, body in self.link.messages(0.0):
            if kind != SUBSYSTEM_TABLES << 8 | TRACE_MESSAGE:
                continue
            found = attributes(body[4:])
            entry = self._entry(found, numbers)
            if entry is None:
                continue
            if entry in BEGINNINGS or not packets:
                packets.append((found[TRACE_ID], []))
            _packet(packets, found[TRACE_ID]).append(entry)
        return [entry for _, entries in packets for entry in entries]

    def _entry(
        self, found: dict[int, bytes], numbers: dict[tuple[str, str, int], int]
    ) -> Entry | None:
        table, chain = text(found[1]), text(found[2])
        (what,) = struct.unpack(">I", found[4])
        if what == TRACE_POLICY:
            return table, chain, 0
        if what == TRACE_RULE and 3 in found:
            return table, chain, numbers[table, chain, struct.unpack(">Q", found[3])[0]]
        return None


def _packet(packets: list[tuple[bytes, list[Entry]]], number: bytes) -> list[Entry]:
    """What a rule makes is traced before the rule itself: the packet is told by its number.
    That changes once it passes from a bridge's port to the bridge, and may be one that an earlier
    packet had: a number tells nothing of what was before the last packet that arrived."""
    arrived = [at for at, (_, entries) in enumerate(packets) if entries[:1] == [BEGINNINGS[0]]]
    first = arrived[-1] if arrived else 0
    for id_, entries in reversed(packets[first:]):
        if id_ == number:
            return entries
    at = first if arrived else len(packets) - 1
    packets[at] = number, packets[at][1]
    return packets[at][1]


def handles(namespace: Namespace) -> dict[tuple[str, str, int], int]:
    """(table, chain, handle) -> the rule's number.  Handles are a table's, not a family's, but
    only one family has rules here at a time."""
    link = Netfilter(namespace)
    link.send(SUBSYSTEM_TABLES, GET_RULE, NLM_F_DUMP, 0, 0, b"")
    counts: dict[tuple[str, str], int] = {}
    numbers = {}
    for kind, body in link.messages(1):
        if kind in (NLMSG_DONE, NLMSG_ERROR):
            break
        found = attributes(body[4:])
        table, chain = text(found[1]), text(found[2])
        counts[table, chain] = counts.get((table, chain), 0) + 1
        numbers[table, chain, struct.unpack(">Q", found[3])[0]] = counts[table, chain]
    link.close()
    return numbers
