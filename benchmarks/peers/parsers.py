"""Parsers in Python over the same capture: from the file to each packet's 5-tuple."""

import logging
import time
import zlib
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np

FiveTuple = tuple[int, int, int, int, int]  # addresses, ports, protocol
HOST = np.dtype([("src", "u4"), ("dst", "u4"), ("sport", "u2"), ("dport", "u2"), ("proto", "u1")])


class Ran(NamedTuple):
    ns_per_packet: float
    found: np.ndarray  # (n,) HOST


def measured_all(work: Callable[[], np.ndarray]) -> Ran:
    """Work that gives a row per packet, whatever its columns."""
    start = time.process_time_ns()
    found = work()
    spent = time.process_time_ns() - start
    return Ran(spent / len(found), found)


def measured_parts(parts: Iterator[np.ndarray]) -> tuple[float, str]:
    """(nanoseconds a row, checksum of all rows); what is done with a part is not timed."""
    spent, count, crc = 0, 0, 0
    while True:
        start = time.process_time_ns()
        part = next(parts, None)
        spent += time.process_time_ns() - start
        if part is None:
            return spent / count, f"{crc:08x}"
        count += len(part)
        crc = zlib.crc32(part.view(np.uint8), crc)


def host(tuples: np.ndarray) -> np.ndarray:
    """FIVE_TUPLE rows of IPv4 as (n,) HOST."""
    found = np.zeros(len(tuples), HOST)
    found["src"], found["dst"] = tuples["src"]["lo"], tuples["dst"]["lo"]
    for name in ("sport", "dport", "proto"):
        found[name] = tuples[name]
    return found


def measured(tuples: Callable[[Path], Iterator[FiveTuple]], capture: Path) -> Ran:
    start = time.process_time_ns()
    found = list(tuples(capture))
    spent = time.process_time_ns() - start
    return Ran(spent / len(found), np.array(found, HOST))


def dpkt_tuples(capture: Path) -> Iterator[FiveTuple]:
    import dpkt

    with capture.open("rb") as file:
        for _, data in dpkt.pcap.Reader(file):
            ip = dpkt.ethernet.Ethernet(data).data
            src, dst = int.from_bytes(ip.src), int.from_bytes(ip.dst)
            yield src, dst, ip.data.sport, ip.data.dport, ip.p


def scapy_tuples(capture: Path) -> Iterator[FiveTuple]:
    from ipaddress import IPv4Address

    logging.getLogger("scapy.runtime").setLevel(logging.ERROR)
    from scapy.layers.inet import IP
    from scapy.utils import PcapReader

    with PcapReader(str(capture)) as packets:
        for packet in packets:
            ip = packet[IP]
            src, dst = int(IPv4Address(ip.src)), int(IPv4Address(ip.dst))
            yield src, dst, ip.payload.sport, ip.payload.dport, ip.proto


PARSERS = {"dpkt": dpkt_tuples, "scapy": scapy_tuples}
PACKETS = {"dpkt": 50_000, "scapy": 5_000}  # about a second


def installed() -> list[str]:
    return [name for name in PARSERS if find_spec(name)]
