# What became of a packet that nothing but its flow has decided on, kept so that the flow's next
# packets may take the same way: see established.pxd.  Flows whose packets meet the same rules and
# devices share a recording: what differs between them stands in the packets, or in flow_way_t.
from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t

from _fastpath.address cimport addr_t
from _fastpath.edits cimport edit_t
from _fastpath.packet cimport initial_ttl, packet_t
from _fastpath.peek cimport job_t
from _fastpath.state cimport TOUCHES_MAX, walk_t
from _fastpath.trace cimport record_t

cpdef enum:
    HEAD_MAX = 80           # bytes of a frame up to its ports, and its transport checksum
    EDITS_MAX = 16          # output frames of one way

# A connection on the way: see touch_t.  Which one it is, the flow knows.
cdef struct met_t:
    uint32_t status, mark
    uint16_t node
    uint8_t direction
    uint8_t is_tunnel

cdef struct recorded_way_t:
    # when it holds, for packets as they were captured
    uint64_t ether_addresses    # the first eight bytes of the frame; and the next four
    uint32_t ether_rest
    uint8_t family
    uint8_t tos
    uint8_t ttl_least       # a smaller one would end on the way
    uint8_t is_reply        # it enters with its sender's initial TTL
    uint32_t ip_length_most
    # what it led to
    int32_t entry
    uint32_t path
    int32_t place
    uint16_t reason
    uint8_t verdict
    uint8_t end_family
    addr_t end_src, end_dst     # unless they are the captured ones:
    uint8_t is_src_kept, is_dst_kept, is_sport_kept, is_dport_kept
    uint16_t end_sport, end_dport
    uint8_t end_ttl         # of a packet that ended in a tunnel
    uint8_t ttl_less        # of others: hops, from the TTL it entered with
    uint8_t is_in_tunnel
    uint8_t touch_count
    int32_t tunnel_node     # where it was encapsulated; -1 = nowhere
    met_t[4] met            # TOUCHES_MAX
    uint16_t first_id       # of the packets that this node makes: see answers.pxd
    uint16_t edit_count
    # not part of what is compared
    uint32_t edit_start
    uint64_t hash

# One direction of a flow: a cache line.  By what its packets are known; the way they take, and the
# connections they meet there.
cdef struct flow_way_t:
    uint64_t addresses      # IPv4: as the frame has them; IPv6: a hash of them
    uint32_t ports          # as the frame has them; ICMP: the identifier twice
    uint8_t proto, family
    uint16_t outer_sport    # as the frame has it
    uint32_t way            # + 1; 0 = none is recorded
    uint32_t epoch          # state_t.epoch at the recording
    uint32_t packets        # that took it
    int32_t next            # of the initiator's direction: in the hash chain, a flow; -1 = end
    int32_t[4] connections  # TOUCHES_MAX
    uint32_t[4] generations

# What a recording is made from: the packet before its walk.
cdef struct before_t:
    uint8_t[80] head        # HEAD_MAX bytes of its frame
    uint32_t epoch
    uint32_t tap_count
    uint64_t lost           # of trace_t
    job_t job               # as it was looked at, with those bytes
    uint8_t is_reply
    uint8_t ttl             # which it entered with

# All ways of a run.
cdef struct ways_t:
    flow_way_t* flows       # (flows, 2): by flow and direction
    recorded_way_t* ways
    uint32_t* slots         # (slot_mask + 1,): way + 1; 0 = free
    edit_t* edits
    edit_t* draft           # (EDITS_MAX,)
    uint32_t way_count, way_max, slot_mask
    uint32_t edit_count, edit_max
    uint8_t is_on

# A reply enters as its sender sent it: see turn_round in inject.pyx.
cdef inline uint8_t entry_ttl(uint8_t ttl, bint is_reply) noexcept nogil:
    return initial_ttl(ttl) if is_reply else ttl

# Before the walk of a frame as it was captured; `is_reply`: it will be turned round (inject.pyx).
cdef void way_begin(const walk_t* walk, const packet_t* captured, bint is_reply,
                    before_t* before) noexcept nogil
# Keep the walk that has just ended as its flow's way, if it may be kept.
cdef void way_record(ways_t* ways, flow_way_t* flow, const walk_t* walk, const before_t* before,
                     const record_t* record) noexcept nogil
# The ways found anew in `slots`, which are free: after they have grown.
cdef void ways_rehash(ways_t* ways) noexcept nogil
