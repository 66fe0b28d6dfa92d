"""How often ICMP errors are sent.  Specified by dataplane.reference.icmp_rate."""

from libc.stdint cimport int64_t, uint64_t

from _fastpath.address cimport addr_equal
from _fastpath.choice cimport fold
from _fastpath.image cimport TICKS_PER_SECOND, TICK_NS, node_t
from _fastpath.state cimport budget_t, peer_t, state_t

cdef enum:
    BURST = 6               # XRLIM_BURST_FACTOR
    ERROR_BURST = 5         # seconds: net.ipv4.route.error_burst
    REDIRECTS_MAX = 9       # ip_rt_redirect_number
    REDIRECT_LOAD = 5       # ticks: HZ / 50
    REDIRECT_SILENCE = 5120     # load << (REDIRECTS_MAX + 1)
    REFILL = 5              # ticks: HZ / 50


cdef inline int64_t tick(const walk_t* walk) noexcept nogil:
    return <int64_t>(walk.now_ns // TICK_NS)


cdef peer_t* find_peer(walk_t* walk, addr_t address) noexcept nogil:
    """inet_getpeer: one that is new has saved up for a minute.  NULL: there is no room."""
    cdef state_t* state = walk.state
    cdef int32_t node = walk.packet.node
    cdef uint8_t family = walk.packet.family
    cdef uint32_t slot = <uint32_t>fold(fold(address.hi, address.lo),
                                        <uint64_t>node << 8 | family) & state.peer_mask
    cdef peer_t* peer = &state.peers[slot]
    walk.is_of_flow = 0     # time decides
    while peer.family:
        if (peer.node == node and peer.family == family
                and addr_equal(peer.address, address)):
            return peer
        slot = (slot + 1) & state.peer_mask
        peer = &state.peers[slot]
    if state.peer_count[0] >= PEERS_MAX:
        return NULL
    state.peer_count[0] += 1
    peer.address = address
    peer.node = node
    peer.family = family
    peer.last = tick(walk) - 60 * TICKS_PER_SECOND
    return peer


cdef void save(peer_t* peer, int64_t now, int64_t most) noexcept nogil:
    peer.tokens = min(peer.tokens + now - peer.last, most)
    peer.last = now


cdef bint spend(peer_t* peer, int64_t cost, int64_t burst, int64_t now) noexcept nogil:
    """inet_peer_xrlim_allow"""
    if peer == NULL:
        return True
    save(peer, now, burst)
    if peer.tokens < cost:
        return False
    peer.tokens -= cost
    return True


cdef bint has_budget(budget_t* budget, const node_t* node, int64_t now) noexcept nogil:
    """icmp_global_allow"""
    cdef int64_t passed = TICKS_PER_SECOND, more
    if budget.credit > 0:
        return True
    if budget.is_begun:
        passed = min(now - budget.stamp, <int64_t>TICKS_PER_SECOND)
    more = <int64_t>node.icmp_per_second * passed // TICKS_PER_SECOND
    if passed < REFILL or more == 0:
        return False
    budget.stamp = now
    budget.is_begun = 1
    budget.credit = min(budget.credit + more, <int64_t>node.icmp_burst)
    return True


cdef bint is_limited(const walk_t* walk, uint8_t type, uint8_t code) noexcept nogil:
    """icmpv4_mask_allow, icmpv6_mask_allow"""
    cdef const node_t* node = &walk.image.nodes[walk.packet.node]
    if walk.packet.family == 6:
        return (node.icmp6_ratemask[type >> 5] >> (type & 31)) & 1
    if type > 31 or (type == 3 and code == 4):
        return False
    return (node.icmp_ratemask >> type) & 1


cdef bint rate_error(walk_t* walk, uint8_t type, uint8_t code, addr_t dst,
                     uint32_t prefixlen) noexcept nogil:
    cdef const node_t* node = &walk.image.nodes[walk.packet.node]
    cdef budget_t* budget = &walk.state.budgets[walk.packet.node]
    cdef int64_t now = tick(walk), cost
    if not is_limited(walk, type, code):
        return True
    if not has_budget(budget, node, now):
        return False
    cost = node.icmp_ratelimit[1 if walk.packet.family == 6 else 0]
    if walk.packet.family == 6 and node.icmp6_scales and prefixlen < 128:
        cost >>= (128 - prefixlen) >> 5     # more to wider prefixes
    # Without a limit IPv4 spends nothing, IPv6 all that was saved (measured).
    if (walk.packet.family == 6 or cost) and not spend(
            find_peer(walk, dst), cost, BURST * cost, now):
        return False
    budget.credit -= 1              # Linux draws 0, 1 or 2
    return True


cdef bint rate_refusal(walk_t* walk) noexcept nogil:
    return spend(find_peer(walk, walk.packet.src), TICKS_PER_SECOND,
                 ERROR_BURST * TICKS_PER_SECOND, tick(walk))


cdef bint rate_second(walk_t* walk, addr_t address) noexcept nogil:
    return spend(find_peer(walk, address), TICKS_PER_SECOND, BURST * TICKS_PER_SECOND, tick(walk))


cdef bint rate_redirect(walk_t* walk) noexcept nogil:
    cdef peer_t* peer = find_peer(walk, walk.packet.src)
    cdef int64_t now = tick(walk)
    if peer == NULL:
        return True
    if now > peer.last + REDIRECT_SILENCE:
        peer.tokens = peer.redirects = 0
    if peer.redirects >= REDIRECTS_MAX:
        peer.last = now
        return False
    if peer.redirects and now <= peer.last + (<int64_t>REDIRECT_LOAD << peer.redirects):
        return False
    peer.last = now
    peer.redirects += 1
    return True
