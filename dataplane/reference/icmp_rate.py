"""How often a node may send ICMP errors and redirects, on virtual time, in ticks.

net/ipv4/inetpeer.c, net/ipv4/icmp.c, net/ipv4/route.c, net/ipv6/icmp.c, v6.18.
"""

from dataclasses import dataclass, field

from _fastpath.icmp_rate import PEERS_MAX
from _fastpath.image import Tick
from dataplane.node.icmp_limits import IcmpLimits
from dataplane.node.state import Address

SECOND, TICK_NS = int(Tick.TICKS_PER_SECOND), int(Tick.TICK_NS)
BURST = 6  # XRLIM_BURST_FACTOR
ERROR_COST, ERROR_BURST = SECOND, 5 * SECOND  # net.ipv4.route.error_cost, error_burst
REDIRECTS_MAX = 9  # ip_rt_redirect_number
REDIRECT_LOAD, REDIRECT_SILENCE = SECOND // 50, (SECOND // 50) << (REDIRECTS_MAX + 1)
REFILL = SECOND // 50  # of the whole node's budget


@dataclass
class Peer:
    """struct inet_peer.  One that is new has saved up for a minute."""

    last: int  # tick
    tokens: int = 0
    redirects: int = 0


@dataclass
class Budget:
    """struct netns_ipv4: what the node as a whole may still send."""

    credit: int = 0
    stamp: int | None = None  # tick of the last refill


@dataclass
class Rates:
    """Of all nodes together, which share the room."""

    peers: dict[tuple[str, Address], Peer] = field(default_factory=dict)
    budgets: dict[str, Budget] = field(default_factory=dict)

    def peer(self, node: str, address: Address, now: int) -> Peer | None:
        """inet_getpeer; None where there is no room for another."""
        found = self.peers.get((node, address))
        if found is None and len(self.peers) < PEERS_MAX:
            found = self.peers[node, address] = Peer(now - 60 * SECOND)
        return found


def tick(now_ns: int) -> int:
    return now_ns // TICK_NS


def ticks(milliseconds: int) -> int:
    return -(-milliseconds * SECOND // 1000)


def may_spend(peer: Peer | None, cost: int, now: int) -> bool:
    """inet_peer_xrlim_allow"""
    if peer is None:
        return True
    peer.tokens = min(peer.tokens + now - peer.last, BURST * cost)
    peer.last = now
    if peer.tokens < cost:
        return False
    peer.tokens -= cost
    return True


def is_limited(limits: IcmpLimits, family: int, kind: int, code: int) -> bool:
    """icmpv4_mask_allow, icmpv6_mask_allow"""
    if family == 4 and (kind, code) == (3, 4):
        return False
    return kind in limits.ratemask[family == 6]


def may_send(
    rates: Rates, node: str, limits: IcmpLimits, to: Address, prefixlen: int, now: int
) -> bool:
    """icmpv4_xrlim_allow, icmpv6_xrlim_allow, of a type that is limited.  Each error costs one of
    the node's; Linux draws 0, 1 or 2.

    prefixlen  of the route back: of IPv6, older kernels allow more to shorter ones
    """
    budget = rates.budgets.setdefault(node, Budget())
    if not has_budget(budget, limits, now):
        return False
    cost = ticks(limits.ratelimit[to.version == 6])
    if to.version == 6 and limits.scales and prefixlen < 128:
        cost >>= (128 - prefixlen) >> 5
    # Without a limit IPv4 spends nothing, IPv6 all that was saved (measured).
    if (to.version == 6 or cost) and not may_spend(rates.peer(node, to, now), cost, now):
        return False
    budget.credit -= 1
    return True


def has_budget(budget: Budget, limits: IcmpLimits, now: int) -> bool:
    """icmp_global_allow"""
    if budget.credit > 0:
        return True
    passed = SECOND if budget.stamp is None else min(now - budget.stamp, SECOND)
    more = limits.per_second * passed // SECOND
    if passed < REFILL or not more:
        return False
    budget.stamp = now
    budget.credit = min(budget.credit + more, limits.burst)
    return True


def may_refuse(rates: Rates, node: str, to: Address, now: int) -> bool:
    """ip_error's own bucket, by source."""
    peer = rates.peer(node, to, now)
    if peer is None:
        return True
    peer.tokens = min(peer.tokens + now - peer.last, ERROR_BURST)
    peer.last = now
    if peer.tokens < ERROR_COST:
        return False
    peer.tokens -= ERROR_COST
    return True


def may_redirect(rates: Rates, node: str, to: Address, now: int) -> bool:
    """ip_rt_send_redirect: ever rarer, and no more after the ninth, until the sender has been
    quiet for twenty seconds."""
    peer = rates.peer(node, to, now)
    if peer is None:
        return True
    if now > peer.last + REDIRECT_SILENCE:
        peer.tokens = peer.redirects = 0
    if peer.redirects >= REDIRECTS_MAX:
        peer.last = now
        return False
    if peer.redirects and now <= peer.last + (REDIRECT_LOAD << peer.redirects):
        return False
    peer.last = now
    peer.redirects += 1
    return True
