"""The plain-C floor: built when it is asked for, run with files made here.

flows   a row per flow: 5-tuple at the client, DNAT, outer source port (FLOW)
links   78 bytes: the outer headers of the tunnel, the inner frame's Ethernet header in it, and
        the Ethernet header at the pod; taken from the nodes' own tables
rules   a row per rule of an access list (RULE)
"""

import subprocess
from functools import cache
from ipaddress import IPv4Address
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.cluster import (
    CLIENT,
    CLIENT_NODE,
    PORT,
    SERVER,
    SERVER_NODE,
    link,
    nodes,
    pod_port,
)
from benchmarks.peers.traffic import flows, target_port
from dataplane.reference.choice import ChoiceKind, fold, identity
from dataplane.replay.synthetic_flows import Flows

Array = NDArray[np.generic]
ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "benchmarks" / "floor"
BUILT = ROOT / "build" / "floor"
TUNNEL_BYTES = 50  # of outer headers before the inner frame

FLOW = np.dtype([
    ("src", ">u4"), ("dst", ">u4"), ("sport", ">u2"), ("dport", ">u2"), ("proto", "u1"),
    ("unused", "3u1"), ("new_dst", ">u4"), ("new_dport", ">u2"), ("outer_sport", ">u2"),
    ("reserved", "2u4"),
])  # fmt: skip
RULE = np.dtype([
    ("src", "<u4"), ("src_mask", "<u4"), ("dst", "<u4"), ("dst_mask", "<u4"),
    ("sport_low", "<u2"), ("sport_high", "<u2"), ("dport_low", "<u2"), ("dport_high", "<u2"),
    ("proto", "u1"), ("proto_mask", "u1"), ("unused", "6u1"),
])  # fmt: skip


class Ran(NamedTuple):
    ns_per_packet: float
    packets: int
    checksum: str


@cache
def program(name: str = "floor") -> Path:
    """Raises RuntimeError if it cannot be built."""
    words = ["make", "-s", "-C", str(SOURCES), f"OUT={BUILT}", str(BUILT / name)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"benchmarks/floor cannot be built: {done.stderr}")
    return BUILT / name


def run(mode: str, capture: Path, packets: int, passes: int, *rest: Path | int) -> Ran:
    """One process; see benchmarks/floor/floor.c for modes and what else they want."""
    words = [str(program()), mode, str(capture), str(packets), str(passes), *map(str, rest)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.strip())
    ns, count, checksum = done.stdout.split()
    return Ran(float(ns), int(count), checksum)


def linear_scan(rules: Array, capture: Path, packets: int, passes: int, folder: Path) -> Ran:
    """Rule by rule over (n,) RULE, host order; the checksum is the sum of rule numbers, in
    hexadecimal.  Rules of one destination, port and protocol each are compared as one word."""
    path = folder / f"rules-{len(rules)}"
    path.write_bytes(np.ascontiguousarray(rules, RULE).tobytes())
    return run("services" if is_exact(rules) else "rules", capture, packets, passes, path)


def is_exact(rules: Array) -> bool:
    full = (rules["dst_mask"] == 0xFFFFFFFF) & (rules["dport_low"] == rules["dport_high"])
    sources = (rules["src_mask"] == 0) & (rules["sport_low"] == 0) & (rules["sport_high"] == 0xFFFF)
    return bool((full & sources & (rules["proto_mask"] == 0xFF)).all())


def flow_rows(count: int, seed: int = 0) -> Array:
    """(count,) FLOW; `seed` is the image's, which the outer ports hang on."""
    some = flows(count)
    rows = np.zeros(count, FLOW)
    rows["src"], rows["dst"] = int(IPv4Address(CLIENT)), some.service_address
    rows["sport"], rows["dport"], rows["proto"] = some.client_port, PORT, some.proto
    rows["new_dst"], rows["new_dport"] = int(IPv4Address(SERVER)), target_port(some)
    rows["outer_sport"] = outer_ports(some, seed)
    return rows


def outer_ports(some: Flows, seed: int) -> Array:
    """dataplane.reference.choice.Choices.vxlan_port, for many flows; the client's address is the
    lower one."""
    low, high = map(int, nodes()[CLIENT_NODE].sysctls["net.ipv4.ip_local_port_range"].split())
    word = np.uint64(fold(seed, ChoiceKind.VXLAN_PORT))
    ports = some.client_port << 48 | target_port(some) << 32 | some.proto << 8 | 4
    addresses = (0, int(IPv4Address(CLIENT)), 0, int(IPv4Address(SERVER)))
    for each in (identity(CLIENT_NODE), *addresses, ports.astype(np.uint64), 0):
        word = _fold(word, np.asarray(each, np.uint64))
    return low + ((word >> np.uint64(32)) * np.uint64(high - low) >> np.uint64(32))


def _fold(h: Array, word: Array) -> Array:
    with np.errstate(over="ignore"):
        x = (h + np.uint64(0x9E3779B97F4A7C15)) ^ word
        x = (x ^ x >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ x >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
        return x ^ x >> np.uint64(31)


def first_id(seed: int, given: int) -> int:
    """Identification of an outer packet of node-a after `given` others (Choices.ip_id)."""
    start = fold(fold(seed, ChoiceKind.IP_ID), identity(CLIENT_NODE)) & 0xFFFF
    for _ in range(given):
        start = start + 1 & 0xFFFF or 1
    return start or 1


def links() -> bytes:
    """From the nodes' devices, forwarding entries and neighbours, as flannel programs them."""
    here, there = link(CLIENT_NODE, "flannel.1"), link(SERVER_NODE, "flannel.1")
    assert here.vxlan and there.vxlan and here.vxlan.local and there.vxlan.local
    vxlan = here.vxlan
    ip = b"\x45\0\0\0\0\0\0\0\x40\x11\0\0" + vxlan.local.packed + there.vxlan.local.packed
    udp = bytes(2) + vxlan.port.to_bytes(2) + bytes(4)
    header = b"\x08\0\0\0" + (vxlan.id << 8).to_bytes(4)
    outer = _ether(link(SERVER_NODE, "eth0").mac, link(CLIENT_NODE, "eth0").mac) + ip + udp + header
    inner = _ether(there.mac, here.mac)
    pod = _ether(pod_port(SERVER_NODE, SERVER)[1], link(SERVER_NODE, "cni0").mac)
    return outer + inner + pod


def _ether(dst: str, src: str) -> bytes:
    return bytes.fromhex((dst + src).replace(":", "")) + b"\x08\x00"
