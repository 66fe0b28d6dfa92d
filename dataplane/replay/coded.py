"""The packets of a window in columns of numbers, and what the numbers stand for.

Whatever is said of a packet in words (an address, an object's name, a place) is put into words
once, when it is first seen, and has a number from then on, the same in all windows.  Sinks keep
their own rendering of each word beside it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

import numpy as np

from _fastpath.distinct import number_rows
from _fastpath.reason import Verdict
from _fastpath.trace import REASONS
from dataplane.image.image import NO_DEVICE, Image
from dataplane.node.state import Address
from dataplane.reference.packet import ICMP, ICMPV6, TCP, WITH_PORTS
from dataplane.reference.steps import Step
from dataplane.replay.fast import NO_FLOW
from dataplane.replay.result import NO_PATH, Array, Result
from dataplane.trace import vocabulary
from dataplane.trace.describe import Describer
from dataplane.trace.places import Named

KEYS = 1 << 10
NOBODY = 0  # the number of no address, no name, no place


class Distinct:
    """Rows of bytes by number; the rows that are new are known afterwards.

    width  bytes of a row, a multiple of 8
    """

    def __init__(self, width: int):
        self._keys = np.zeros((KEYS, width + 8), np.uint8)
        self._slots = np.zeros(4 * KEYS, np.uint32)
        self.count = 0

    def number(self, rows: Array, tags: Array) -> Array:
        """(n,) uint32, in the order in which rows are first seen.

        rows  (n, width) uint8
        tags  (n,) uint8, part of what a row is
        """
        numbers, done = np.empty(len(rows), np.uint32), 0
        while done < len(rows):
            more, self.count = number_rows(
                rows[done:], tags[done:], self._keys, self._slots, self.count, numbers[done:]
            )
            done += more
            if done < len(rows):
                self._grow()
        return numbers

    def _grow(self) -> None:
        keys = np.zeros((2 * len(self._keys), self._keys.shape[1]), np.uint8)
        keys[: len(self._keys)] = self._keys
        self._slots = np.zeros(4 * len(keys), np.uint32)
        # Numbered anew, in the same order: so each keeps its number.
        again = np.empty(self.count, np.uint32)
        number_rows(keys[: self.count, :-8], keys[: self.count, -8], keys, self._slots, 0, again)
        self._keys = keys

    def keys_from(self, first: int) -> Array:
        """(m, width + 8) uint8: the rows from number `first` on; their tag is in byte `width`."""
        return self._keys[first : self.count]


class Few:
    """Small numbers, renumbered in the order in which they are first seen.

    size  of the largest number, and one more
    """

    def __init__(self, size: int):
        self._numbers = np.zeros(size, np.uint32)
        self._is_known = np.zeros(size, np.bool_)
        self._count = 0

    def number(self, values: Array) -> tuple[Array, list[int]]:
        """(n,) uint32, and the values that are new, by their numbers."""
        is_here = np.zeros(len(self._numbers), np.bool_)
        is_here[values] = True
        new = np.flatnonzero(is_here & ~self._is_known)
        self._numbers[new] = np.arange(self._count, self._count + len(new))
        self._is_known[new] = True
        self._count += len(new)
        return self._numbers[values], new.tolist()


@dataclass(frozen=True)
class Coded:
    """One window.  Arrays have a row per packet; uint32 are indices into the lists of Words."""

    file: Array  # uint32
    number: Array  # uint64, in its file
    time_ns: Array  # uint64
    flow: Array  # uint64; has_flow: not NO_FLOW
    has_flow: Array
    protocol: Array  # uint32
    src: Array  # uint32
    dst: Array
    sport: Array  # uint64; has_ports: uint8
    dport: Array
    has_ports: Array
    flags: Array  # uint32
    icmp: Array  # uint32
    is_icmp: Array  # uint8; then sport is the identifier
    source: Array  # uint32: names
    destination: Array
    outcome: Array  # uint32
    place: Array  # uint32
    length: Array  # uint64
    end_src: Array  # uint32
    end_dst: Array
    end_sport: Array  # uint64
    end_dport: Array
    end_ttl: Array
    path: Array  # uint32: 0 = none


@dataclass(frozen=True)
class CodedFlows:
    """All flows, by number."""

    protocol: Array  # uint32
    initiator: Array  # uint32
    responder: Array
    initiator_port: Array
    responder_port: Array
    has_ports: Array  # bool
    packets: Array
    outcome: Array  # uint32
    has_arrived: Array  # bool: the rest is known
    end_src: Array  # uint32
    end_dst: Array
    end_sport: Array
    end_dport: Array
    place: Array  # uint32


class Place(NamedTuple):
    node: str | None
    device: str | None
    named: Named | None  # who is there


@dataclass
class Words:
    """What codes stand for, as far as it has been seen: lists that only grow.

    Of one replay: its image numbers places.
    """

    describer: Describer
    files: list[str] = field(default_factory=list)
    addresses: list[Address | None] = field(default_factory=lambda: [None])
    names: list[Named | None] = field(default_factory=lambda: [None])
    places: list[Place] = field(default_factory=list)
    protocols: list[tuple[bool, int | None]] = field(default_factory=list)  # reply; None = not IP
    flags: list[int | None] = field(default_factory=list)  # None = not TCP
    icmp: list[int | None] = field(default_factory=list)  # type << 8 | code; None = not ICMP
    outcomes: list[tuple[int, int]] = field(default_factory=list)  # Verdict, Reason
    paths: list[tuple[Step, ...]] = field(default_factory=lambda: [()])

    def __post_init__(self) -> None:
        self._addresses = Distinct(16)
        self._names = Distinct(8)
        self._has_ports = np.zeros(KEYS, np.bool_)  # by address: its name depends on the port
        self._places: Few | None = None
        self._protocols, self._flags, self._icmp = Few(1 << 10), Few(1 << 9), Few(1 + (1 << 16))
        self._outcomes = Few((max(Verdict) + 1) * REASONS)

    def code(self, result: Result) -> Coded:
        rows, frames = result.columns, result.frames
        self.files = [capture.path for capture in frames.captures]
        proto, family = rows["proto"], rows["family"]
        with_ports = WITH_PORTS_OF[proto]
        is_ip = family != 0
        is_icmp = IS_ICMP[proto] & is_ip
        src, dst = self._address(rows, "src", family), self._address(rows, "dst", family)
        end_src = self._address(rows, "end_src", rows["end_family"])
        end_dst = self._address(rows, "end_dst", rows["end_family"])
        return Coded(
            file=frames.source,
            number=frames.number.astype(np.uint64),
            time_ns=np.ascontiguousarray(rows["time_ns"]),
            flow=rows["flow"].astype(np.uint64),
            has_flow=(rows["flow"] != NO_FLOW).view(np.uint8),
            protocol=self._protocol(rows["reply"], is_ip, proto),
            src=src,
            dst=dst,
            sport=rows["sport"].astype(np.uint64),
            dport=rows["dport"].astype(np.uint64),
            has_ports=(with_ports & is_ip).view(np.uint8),
            flags=self._flag(proto == TCP, rows["tcp_flags"]),
            icmp=self._message(is_icmp, rows["dport"]),
            is_icmp=is_icmp.view(np.uint8),
            source=self._name(src, proto, rows["sport"], with_ports),
            destination=self._name(dst, proto, rows["dport"], with_ports),
            outcome=self._outcome(rows["verdict"], rows["reason"]),
            place=self._place(rows["place"], result.image),
            length=rows["length"].astype(np.uint64),
            end_src=end_src,
            end_dst=end_dst,
            end_sport=rows["end_sport"].astype(np.uint64),
            end_dport=rows["end_dport"].astype(np.uint64),
            end_ttl=rows["end_ttl"].astype(np.uint64),
            path=self._path(rows["path"], result),
        )

    def code_flows(self, result: Result) -> CodedFlows:
        rows = result.flow_rows
        family, proto, nothing = rows["family"], rows["proto"], np.zeros(len(rows), np.uint8)
        initiator, responder, end_src, end_dst = (
            self._address(rows, name, family)
            for name in ("initiator", "responder", "end_src", "end_dst")
        )
        return CodedFlows(
            protocol=self._protocol(nothing, family != 0, proto),
            initiator=initiator,
            responder=responder,
            initiator_port=rows["initiator_port"],
            responder_port=rows["responder_port"],
            has_ports=WITH_PORTS_OF[proto],
            packets=rows["packets"],
            outcome=self._outcome(rows["verdict"], nothing),
            has_arrived=rows["place"] != NO_DEVICE,
            end_src=end_src,
            end_dst=end_dst,
            end_sport=rows["end_sport"],
            end_dport=rows["end_dport"],
            place=self._place(rows["place"], result.image),
        )

    def _address(self, rows: Array, name: str, family: Array) -> Array:
        fields_of = rows.dtype.fields
        assert fields_of is not None
        at = fields_of[name][1]
        fields = rows.view(np.uint8).reshape(len(rows), rows.dtype.itemsize)[:, at : at + 16]
        codes = self._addresses.number(fields, family) + np.uint32(1)
        self._know_addresses()
        return np.where(family == 0, np.uint32(NOBODY), codes)

    def _know_addresses(self) -> None:
        known = len(self.addresses) - 1
        for key in self._addresses.keys_from(known):
            hi, lo = key[:16].view(np.uint64).tolist()
            make = IPv4Address if key[16] == 4 else IPv6Address
            self.addresses.append(make(hi << 64 | lo) if key[16] else None)
        count = len(self.addresses)
        if count > len(self._has_ports):
            self._has_ports = np.concatenate([self._has_ports, np.zeros(2 * count, np.bool_)])
        for at in range(known + 1, count):
            address = self.addresses[at]
            self._has_ports[at] = address and self.describer.places.has_ports(address)

    def _name(self, addresses: Array, proto: Array, port: Array, with_ports: Array) -> Array:
        """Names hang on the port only where one address stands for several Service ports."""
        asked = with_ports & self._has_ports[addresses]
        keys = addresses.astype(np.uint64) << np.uint64(32)
        keys |= np.where(asked, proto.astype(np.uint64) << np.uint64(16) | port, np.uint64(0))
        found = self._names.number(
            keys.view(np.uint8).reshape(-1, 8), np.zeros(len(keys), np.uint8)
        )
        known = len(self.names) - 1
        for key in self._names.keys_from(known)[:, :8].copy().view(np.uint64)[:, 0].tolist():
            address = self.addresses[key >> 32]
            self.names.append(self._named(address, key >> 16 & 0xFFFF, key & 0xFFFF))
        return found + np.uint32(1)

    def _named(self, address: Address | None, proto: int, port: int) -> Named | None:
        if address is None:
            return None
        if not proto:
            return self.describer.places.address(address)
        name = vocabulary.protocol(proto).upper()
        return self.describer.places.address(address, name, port)

    def _place(self, places: Array, image: Image) -> Array:
        """Nodes and devices in one count, after nowhere."""
        first = len(image.names.nodes) + 1
        self._places = self._places or Few(first + len(image.names.devices))
        raw = np.where(places == NO_DEVICE, 0, places.astype(np.int64) + first)
        codes, new = self._places.number(raw)
        for each in new:
            node, device = image.place(each - first if each else NO_DEVICE)
            named = self.describer.at((node, device))
            self.places.append(Place(node or None, device or None, named))
        return codes

    def _protocol(self, is_reply: Array, is_ip: Array, proto: Array) -> Array:
        raw = is_reply.astype(np.int64) << 9 | is_ip.astype(np.int64) << 8 | proto
        codes, new = self._protocols.number(raw)
        self.protocols += [(bool(each >> 9), each & 0xFF if each & 0x100 else None) for each in new]
        return codes

    def _flag(self, is_tcp: Array, flags: Array) -> Array:
        codes, new = self._flags.number(np.where(is_tcp, flags.astype(np.int64) + 1, 0))
        self.flags += [each - 1 if each else None for each in new]
        return codes

    def _message(self, is_icmp: Array, message: Array) -> Array:
        codes, new = self._icmp.number(np.where(is_icmp, message.astype(np.int64) + 1, 0))
        self.icmp += [each - 1 if each else None for each in new]
        return codes

    def _outcome(self, verdict: Array, reason: Array) -> Array:
        codes, new = self._outcomes.number(verdict.astype(np.int64) * REASONS + reason)
        self.outcomes += [divmod(each, REASONS) for each in new]
        return codes

    def _path(self, paths: Array, result: Result) -> Array:
        codes = np.where(paths == NO_PATH, np.uint32(0), paths + np.uint32(1))
        for path in range(len(self.paths) - 1, int(codes.max()) if len(codes) else 0):
            self.paths.append(result.path(path))
        return codes


def table_of(values: Sequence[int]) -> Array:
    """Which protocol numbers are among these."""
    table = np.zeros(256, np.bool_)
    table[list(values)] = True
    return table


WITH_PORTS_OF = table_of(sorted(WITH_PORTS))
IS_ICMP = table_of((ICMP, ICMPV6))
