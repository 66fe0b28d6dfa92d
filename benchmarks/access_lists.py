"""Random access lists, and packets that meet them.

Taylor, Turner: ClassBench, A Packet Classification Benchmark (INFOCOM 2005) says what real lists
are like: prefixes of a few favoured lengths, taken from nested networks that many rules share;
few source ports; destination ports that are exact, well-known or wide; the specific before the
general.  These are lists after that manner, not ClassBench's own.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address

import numpy as np

Array = np.ndarray
TCP, UDP, ICMP = 6, 17, 1
NAMES = {TCP: "tcp", UDP: "udp", ICMP: "icmp"}
# Shares of prefix lengths: of access lists, firewalls, and chains of hosts.
LENGTHS: dict[str, tuple[dict[int, float], dict[int, float]]] = {
    "acl": (
        {0: 6, 8: 1, 12: 1, 16: 6, 20: 4, 21: 4, 22: 5, 23: 5, 24: 22, 27: 4, 28: 5, 30: 4, 32: 33},
        {0: 1, 16: 4, 20: 3, 22: 4, 23: 4, 24: 20, 26: 4, 27: 4, 28: 6, 30: 6, 32: 44},
    ),
    "fw": (
        {0: 40, 8: 2, 16: 6, 22: 3, 24: 14, 28: 4, 32: 31},
        {0: 18, 8: 2, 16: 8, 20: 3, 24: 19, 26: 4, 28: 6, 32: 40},
    ),
    "ipc": (
        {0: 14, 8: 4, 14: 2, 16: 9, 19: 3, 21: 5, 24: 21, 27: 5, 29: 4, 32: 33},
        {0: 10, 8: 4, 15: 2, 16: 9, 20: 4, 22: 5, 24: 20, 27: 4, 30: 4, 32: 38},
    ),
}
PORTS = (20, 21, 22, 23, 25, 53, 80, 110, 123, 135, 139, 143, 161, 389, 443, 445, 514, 993, 1433,
         1521, 2049, 3306, 3389, 5060, 5432, 6379, 8080, 8443, 9092, 27017)  # fmt: skip


@dataclass(frozen=True)
class AccessList:
    """Columns, by rule.  Ports are ranges; 0-65535 is any.  Protocol 0 is any."""

    src: Array
    src_length: Array
    dst: Array
    dst_length: Array
    proto: Array
    sport: tuple[Array, Array]
    dport: tuple[Array, Array]

    def __len__(self) -> int:
        return len(self.src)

    def rules(self, chain: str, target: str = "DROP") -> list[str]:
        """As iptables-save prints them."""
        columns = (self.src, self.src_length, self.dst, self.dst_length, self.proto,
                   *self.sport, *self.dport)  # fmt: skip
        rows = zip(*(column.tolist() for column in columns), strict=True)
        return [f"{_rule(chain, row)} -j {target}" for row in rows]


@dataclass(frozen=True)
class Headers:
    """Columns, by packet."""

    src: Array
    dst: Array
    sport: Array
    dport: Array
    proto: Array

    def __len__(self) -> int:
        return len(self.src)

    def only(self, wanted: Array) -> "Headers":
        """Those of the packets of which `wanted` is true."""
        columns = (self.src, self.dst, self.sport, self.dport, self.proto)
        return Headers(*(column[wanted] for column in columns))


def _rule(chain: str, row: tuple[int, ...]) -> str:
    src, src_length, dst, dst_length, proto, s_low, s_high, d_low, d_high = row
    words = [chain]
    for flag, address, length in (("-s", src, src_length), ("-d", dst, dst_length)):
        if length:
            words.append(f"{flag} {IPv4Address(address)}/{length}")
    if proto:
        words.append(f"-p {NAMES[proto]}")
    ranges = [(f, a, b) for f, a, b in (("--sport", s_low, s_high), ("--dport", d_low, d_high))
              if (a, b) != (0, 65535)]  # fmt: skip
    if ranges:
        words.append(f"-m {NAMES[proto]}")
        words += [f"{flag} {a}" if a == b else f"{flag} {a}:{b}" for flag, a, b in ranges]
    return " ".join(words)


def access_list(kind: str, count: int, seed: int) -> AccessList:
    """No two rules alike, none for every packet; an `ACCEPT` policy takes the rest."""
    random = np.random.default_rng([seed, count])
    made = _columns(random, kind, 2 * count + 64)
    _, first = np.unique(np.stack(made), axis=1, return_index=True)
    is_wild = (made[1] + made[3] + made[4])[first] == 0
    kept = np.sort(first[~is_wild])[:count]
    assert len(kept) == count
    specific = made[1][kept] + made[3][kept] + (made[8][kept] - made[7][kept] < 65535)
    order = kept[np.argsort(-specific + random.uniform(0, 24, count), kind="stable")]
    columns = [column[order] for column in made]
    return AccessList(*columns[:5], (columns[5], columns[6]), (columns[7], columns[8]))


def _columns(random: np.random.Generator, kind: str, count: int) -> list[Array]:
    src_shares, dst_shares = LENGTHS[kind]
    src, src_length = _prefixes(random, src_shares, count)
    dst, dst_length = _prefixes(random, dst_shares, count)
    proto = random.choice([TCP, UDP, ICMP, 0], count, p=[0.66, 0.19, 0.05, 0.10])
    has_ports = (proto == TCP) | (proto == UDP)
    sport = _ports(random, count, has_ports, [0.90, 0.04, 0.05, 0.01])
    dport = _ports(random, count, has_ports, [0.25, 0.55, 0.08, 0.12])
    return [src, src_length, dst, dst_length, proto, *sport, *dport]


def _prefixes(
    random: np.random.Generator, shares: dict[int, float], count: int
) -> tuple[Array, Array]:
    """Nested: hosts in a few thousand networks, those in a few hundred sites."""
    sites = random.integers(1 << 16, (224 << 24) >> 8, max(count // 400, 4)) << 8 & 0xFFFF0000
    size = max(count // 24, 8)
    networks = random.choice(sites, size) | random.integers(0, 256, size) << 8
    # Some networks are in many more rules than others.
    popular = (len(networks) * random.beta(0.7, 1.6, count)).astype(np.int64)
    weights = np.array(list(shares.values()))
    length = random.choice(list(shares), count, p=weights / weights.sum())
    host = networks[popular] | random.integers(0, 256, count)
    mask = np.where(length == 0, 0, 0xFFFFFFFF << (32 - length) & 0xFFFFFFFF)
    return host & mask, length


def _ports(
    random: np.random.Generator, count: int, has_ports: Array, shares: list[float]
) -> tuple[Array, Array]:
    """Any, exact, from 1024 on, and other ranges."""
    how = np.where(has_ports, random.choice(4, count, p=shares), 0)
    exact = np.where(
        random.random(count) < 0.7, random.choice(PORTS, count), random.integers(1, 65535, count)
    )
    low = random.integers(1, 60000, count)
    high = low + random.integers(1, 2000, count)
    return (
        np.select([how == 0, how == 1, how == 2], [0, exact, 1024], low),
        np.select([how == 0, how == 1, how == 2], [65535, exact, 65535], high),
    )


def headers(found: AccessList, count: int, seed: int) -> Headers:
    """Nine of ten are made for a rule, drawn at random; the others for none."""
    random = np.random.default_rng([seed, len(found), count])
    rule = random.integers(0, len(found), count)
    is_made = random.random(count) < 0.9
    addresses = []
    for address, length in ((found.src, found.src_length), (found.dst, found.dst_length)):
        host = random.integers(0, 1 << 32, count) & (0xFFFFFFFF >> length[rule])
        other = random.integers(0, 1 << 32, count)
        addresses.append(np.where(is_made, address[rule] | host, other))
    ports = [random.integers(low[rule], high[rule] + 1) for low, high in (found.sport, found.dport)]
    asked = found.proto[rule]
    proto = np.where(asked == 0, random.choice([TCP, UDP], count), asked)
    return Headers(
        addresses[0].astype(np.uint32), addresses[1].astype(np.uint32),
        ports[0].astype(np.uint16), ports[1].astype(np.uint16), proto.astype(np.uint8),
    )  # fmt: skip


def first_match(found: AccessList, packets: Headers) -> Array:
    """(n,) the first rule that matches each packet, by a scan; len(found) where none does."""
    answers = np.full(len(packets), len(found))
    for number in range(len(packets)):
        hit = np.ones(len(found), bool)
        for address, network, length in (
            (packets.src[number], found.src, found.src_length),
            (packets.dst[number], found.dst, found.dst_length),
        ):
            shift = 32 - length
            hit &= (int(address) ^ network) >> shift == 0
        hit &= (found.proto == 0) | (found.proto == packets.proto[number])
        for port, (low, high) in (
            (packets.sport[number], found.sport), (packets.dport[number], found.dport),
        ):  # fmt: skip
            hit &= (low <= port) & (port <= high)
        if hit.any():
            answers[number] = np.argmax(hit)
    return answers
