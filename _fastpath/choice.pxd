# Chance as a function: what Linux draws at random is a keyed hash here, of a seed, the flow
# and the rule, so that the order of other flows cannot change it.  A value fed in from outside
# (a choice) takes its place.
from libc.stdint cimport uint16_t, uint32_t, uint64_t, uint8_t

from _fastpath.address cimport addr_t
from _fastpath.state cimport state_t

cpdef enum ChoiceKind:
    CHOICE_STATISTIC = 1    # does this `statistic --mode random` match?
    CHOICE_NAT_PORT = 2     # port (or echo identifier) of a new mapping
    CHOICE_VXLAN_PORT = 3   # source port of the outer UDP header
    CHOICE_IP_ID = 4        # IP identification of a packet the node makes
    CHOICE_MULTIPATH = 5    # leg of a multipath route
    CHOICE_FRAGMENT_ID = 6  # identification of the IPv6 fragments that a node makes

# What a draw depends on, besides the seed.
cdef struct draw_t:
    uint64_t node           # identity of the node
    addr_t src, dst
    uint64_t extra          # identity of a rule, or 0
    uint16_t sport, dport
    uint8_t proto
    uint8_t family
    uint8_t kind            # ChoiceKind
    uint8_t padding

cdef inline uint64_t mix64(uint64_t x) noexcept nogil:
    # The finaliser of splitmix64.
    x ^= x >> 30
    x *= <uint64_t>0xBF58476D1CE4E5B9u
    x ^= x >> 27
    x *= <uint64_t>0x94D049BB133111EBu
    return x ^ (x >> 31)

cdef inline uint64_t fold(uint64_t h, uint64_t word) noexcept nogil:
    return mix64((h + <uint64_t>0x9E3779B97F4A7C15u) ^ word)

cdef uint64_t choice_key(uint64_t seed, const draw_t* draw) noexcept nogil

# Whether a value was fed in for this draw, and that value.  `sticky`: after the last value
# fed in comes the last again; else nothing.
cdef bint choice_fed(state_t* state, const draw_t* draw, bint sticky,
                     uint32_t* value) noexcept nogil
