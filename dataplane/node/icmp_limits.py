"""How often a node may send ICMP errors: its sysctls, as numbers."""

import re
from dataclasses import dataclass

from dataplane.errors import TableError
from dataplane.node.state import NodeState

MOST = 2**31 - 1
RATEMASK4 = 0x1818  # destination unreachable, source quench, time exceeded, parameter problem
RATEMASK6 = "0-1,3-127"  # all errors but "packet too big"
FIRST_FAST = (6, 18)  # net.ipv6.icmp.ratelimit begins with 100, whatever the route's prefix
RANGE = re.compile(r"(\d+)(?:-(\d+))?\Z")


@dataclass(frozen=True)
class IcmpLimits:
    """ratelimit and ratemask are IPv4's, then IPv6's."""

    ratelimit: tuple[int, int]  # milliseconds between two errors to one destination; 0 = none
    ratemask: tuple[frozenset[int], frozenset[int]]  # types that are limited
    per_second: int  # icmp_msgs_per_sec: of the whole node
    burst: int  # icmp_msgs_burst
    scales: bool  # IPv6 allows more to wider prefixes


def icmp_limits(state: NodeState) -> IcmpLimits:
    """Raises TableError for values that no kernel takes."""
    mask = _number(state, "net.ipv4.icmp_ratemask", RATEMASK4, 2**32 - 1)
    return IcmpLimits(
        (
            _number(state, "net.ipv4.icmp_ratelimit", 1000),
            _number(state, "net.ipv6.icmp.ratelimit", 100 if _is_fast(state) else 1000),
        ),
        (
            frozenset(bit for bit in range(32) if mask >> bit & 1),
            _bits(state, "net.ipv6.icmp.ratemask", RATEMASK6),
        ),
        _number(state, "net.ipv4.icmp_msgs_per_sec", 1000),
        _number(state, "net.ipv4.icmp_msgs_burst", 50),
        not _is_fast(state),
    )


def _is_fast(state: NodeState) -> bool:
    version = re.match(r"(\d+)\.(\d+)", state.kernel)
    return version is None or (int(version[1]), int(version[2])) >= FIRST_FAST


def _number(state: NodeState, name: str, default: int, most: int = MOST) -> int:
    text = state.sysctls.get(name, str(default)).strip()
    if not text.isdecimal() or not text.isascii() or len(text) > 10 or int(text) > most:
        raise TableError(
            f"node {state.name}: {name} = {text!r}, but 0-{most} expected", state.source
        )
    return int(text)


def _bits(state: NodeState, name: str, default: str) -> frozenset[int]:
    """A bitmap as the kernel lists it: 0-1,3-127."""
    found: set[int] = set()
    text = state.sysctls.get(name, default).strip()
    for part in text.split(",") if text else []:
        match = RANGE.match(part.strip())
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if first > last or last > 255:
            raise TableError(
                f"node {state.name}: {name} = {text!r}, but types like '0-1,3-127' expected",
                state.source,
            )
        found |= set(range(first, last + 1))
    return frozenset(found)
