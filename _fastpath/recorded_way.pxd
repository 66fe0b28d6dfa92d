# Established flows take the recorded way: what one packet of a flow met, the next ones meet too,
# as long as nothing that it hung on has changed.  Conntrack's own duties are still done.
from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t

from _fastpath.address cimport addr_t
from _fastpath.packet cimport packet_t
from _fastpath.state cimport TOUCHES_MAX, touch_t, walk_t
from _fastpath.trace cimport record_t

cpdef enum:
    HEAD_MAX = 80           # bytes of a frame up to its ports, and its transport checksum
    EDIT_HEAD = 108         # of an output frame up to its ports: in a tunnel, of IPv6
    EDITS_MAX = 16          # output frames of one way

# One output frame of a way: its head as it was, and what the next packet's will differ by.
cdef struct edit_t:
    int32_t device
    uint16_t step           # of tap_t
    uint8_t outgoing
    uint8_t tunnel          # bytes before the frame that came in: 0, or VXLAN_OVERHEAD
    uint8_t ttl_less        # than the one it entered with
    uint8_t padding
    uint16_t ip_delta       # ones' complement: what the IP header's checksum gains by addresses
    uint16_t l4_delta
    uint8_t[108] head       # EDIT_HEAD

cdef struct recorded_way_t:
    # when it holds, for packets of its flow and direction as they were captured
    uint64_t ether_dst, ether_src
    uint8_t family          # 0 = nothing is recorded
    uint8_t tos
    uint8_t ttl_least       # a smaller one would end on the way
    uint8_t is_reply        # it enters with its sender's initial TTL
    uint32_t epoch          # state_t.epoch
    uint32_t ip_length_most
    # what it led to
    int32_t entry
    uint32_t path
    int32_t place
    uint16_t reason
    uint8_t verdict
    uint8_t end_family
    addr_t end_src, end_dst
    uint16_t end_sport, end_dport
    uint8_t end_ttl         # of a packet that ended in a tunnel
    uint8_t ttl_less        # of others: hops, from the TTL it entered with
    uint8_t is_in_tunnel
    uint8_t touch_count
    uint8_t edit_count
    uint8_t edit_room       # edits from edit_start on that are its own, whatever is recorded
    int32_t tunnel_node     # where it was encapsulated; -1 = nowhere
    uint32_t edit_start
    touch_t[4] touches      # TOUCHES_MAX

# What a recording is made from: the packet before its walk.
cdef struct before_t:
    recorded_way_t way      # whose way it will be
    uint8_t[80] head        # HEAD_MAX bytes of its frame
    uint32_t ip_length
    uint32_t tap_count
    uint64_t lost           # of trace_t
    uint8_t can_record
    uint8_t proto
    uint8_t ttl             # with which it entered

# All ways of a run.
cdef struct ways_t:
    recorded_way_t* ways    # (flows, 2): by flow and direction
    edit_t* edits
    uint32_t edit_count, edit_max
    uint8_t is_on

# Before the walk of a frame as it was captured; `is_reply`: it will be turned round (inject.pyx).
cdef void way_begin(const walk_t* walk, const packet_t* captured, bint is_reply,
                    before_t* before) noexcept nogil
# Keep the walk that has just ended, if it may be kept.
cdef void way_record(ways_t* ways, recorded_way_t* way, const walk_t* walk, const before_t* before,
                     const record_t* record) noexcept nogil
# Carry a packet of the way's flow, at which packet_peek has looked, by the recorded way.  False: it
# must go the long way, and nothing has happened.
cdef bint way_take(const ways_t* ways, const recorded_way_t* way, walk_t* walk, packet_t* packet,
                   record_t* record) noexcept nogil
# Put down what the rules of the ways taken have counted.
cdef void ways_settle(walk_t* walk) noexcept nogil
