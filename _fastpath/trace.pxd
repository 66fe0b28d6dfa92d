# Recording what was decided.  A packet's trace is a list of step numbers; each distinct list
# (a path) is stored once, and a packet's record keeps the number of its path.
#
# Step numbers are laid out by the image: each kind has a base, and the step of the thing with
# index i is base[kind] + i.  dataplane.image turns a number back into names.
from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t

from _fastpath.address cimport addr_t

cpdef enum StepKind:
    STEP_RULE = 0           # per rule, base-chain policies included: it matched
    STEP_DEVICE_IN = 1      # per device: the frame was received there
    STEP_DEVICE_OUT = 2     # per device: the frame was transmitted there
    STEP_LOCAL_OUT = 3      # per node: a process (or the kernel) of the node sends
    STEP_LOCAL_IN = 4       # per node: handed to a process of the node
    STEP_CONNTRACK = 5      # per node x CtInfo: what conntrack found
    STEP_NAT = 6            # per node x 2: source (0) or destination (1) translated
    STEP_ROUTE = 7          # per route
    STEP_NEIGHBOUR = 8      # per neighbour entry
    STEP_FDB = 9            # per static FDB entry of a VXLAN device
    STEP_BRIDGE_PORT = 10   # per device: the bridge forwards to this port
    STEP_BRIDGE_LOCAL = 11  # per device: the bridge keeps the frame for itself
    STEP_BRIDGE_FLOOD = 12  # per device: the bridge sends the frame to all its ports
    STEP_ENCAPSULATE = 13   # per device
    STEP_DECAPSULATE = 14   # per device
    STEP_GENERATE = 15      # per node x Generated: the node makes a packet of its own
    STEP_UNDECIDED = 16     # per rule: whether it matched is not known; either way the same
    STEP_REASSEMBLE = 17    # per node: the packet is whole, all its fragments are there
    STEP_FRAGMENT = 18      # per node: the packet is cut into fragments; each goes on by itself
    STEP_HOTDROP = 19       # per rule: a match of it drops the packet, which is malformed
    STEP_RESUME = 20        # per node: back to the packet of which a copy was sent
    STEP_UNKNOWN = 21       # per node x REASONS: what becomes of a packet made on the way
    STEP_KINDS = 22

cpdef enum Generated:
    GENERATED_ICMP_UNREACHABLE = 0      # ICMP 3 / ICMPv6 1
    GENERATED_ICMP_TIME_EXCEEDED = 1    # ICMP 11 / ICMPv6 3
    GENERATED_ICMP_TOO_BIG = 2          # ICMP 3/4 / ICMPv6 2
    GENERATED_TCP_RESET = 3
    GENERATED_ARP_REPLY = 4
    GENERATED_ICMP_PARAMETER_PROBLEM = 5    # ICMP 12 / ICMPv6 4
    GENERATED_ICMP_REDIRECT = 6             # ICMP 5 / ICMPv6 137
    GENERATED_COPY = 7      # of a packet that goes on: TEE
    GENERATED_KINDS = 8

# What changed, and other values worth telling; kept only when asked for.
cpdef enum EventKind:
    EVENT_SRC = 0           # before, after: addresses
    EVENT_DST = 1
    EVENT_SPORT = 2         # before.lo, after.lo
    EVENT_DPORT = 3
    EVENT_TTL = 4
    EVENT_MARK = 5
    EVENT_ETHER_SRC = 6
    EVENT_ETHER_DST = 7
    EVENT_DRAW = 8          # before.lo: the 31-bit draw, after.lo: the rule's threshold
    EVENT_OUTER_SPORT = 9   # after.lo: source port of the outer UDP header
    EVENT_TOS = 11
    EVENT_CONNMARK = 12
    EVENT_MSS = 13          # before.lo: 0 where there was none
    EVENT_OPTION = 14       # before.lo, after.lo: kind of a TCP option
    EVENT_IP_ID = 10        # after.lo: IP identification given to a packet made here

cpdef enum:
    STEPS_MAX = 1024        # steps of one trace
    REASONS = 256           # Reason is below
    TAPS_RESERVE = 1024     # output frames that must fit before a packet is begun
    OUTPUT_RESERVE = 4194304    # bytes of them; a flood past either is cut short

cdef struct event_t:
    uint32_t packet         # index of the packet in the run
    uint16_t step           # how many steps had been taken
    uint16_t kind           # EventKind
    addr_t before
    addr_t after

# One output frame at one device.
cdef struct tap_t:
    uint64_t time_ns
    uint64_t offset         # of the frame in the output buffer
    uint32_t size           # bytes present
    uint32_t length         # bytes on the wire
    uint32_t packet         # index of the packet in the run
    int32_t device
    uint8_t outgoing        # 1 transmitted, 0 received
    uint8_t generated       # 1 the node made this packet itself (an ICMP error, a reset)
    uint16_t step           # how many steps had been taken

# What became of one packet.
cdef struct record_t:
    uint64_t time_ns
    uint32_t packet         # index of the packet in the run
    uint32_t flow           # index of its flow in the replay; 0xFFFFFFFF = none
    uint32_t path
    int32_t place           # device where it ended; ~node for a process of a node
    int32_t entry           # device where it entered; ~node for a process of a node
    uint16_t reason
    uint8_t verdict
    uint8_t reply           # 1: sent by the responder of its flow
    uint8_t family          # 4, 6; 0 = not IP
    uint8_t proto
    uint16_t sport, dport   # as injected; ICMP: identifier, type << 8 | code
    uint16_t end_sport, end_dport   # as it ended
    uint8_t end_ttl
    uint8_t tcp_flags
    uint8_t end_family      # of what it was when it ended: a tunnel's packet may end outside
    uint8_t padding[3]
    uint32_t length         # bytes on the wire, as injected
    addr_t src, dst
    addr_t end_src, end_dst

cdef struct trace_t:
    # where the current packet's steps are written; `count` may pass STEPS_MAX, nothing is kept then
    uint32_t* steps
    uint32_t count
    uint32_t steps_kept                 # STEPS_MAX; 0: none, and packets have no path
    uint32_t packet
    # interned paths
    uint32_t* path_steps        # steps of all paths, end to end
    uint64_t* path_start        # (paths + 1,) index of the first step of each
    uint64_t* path_hash
    uint32_t* slots             # (slot_mask + 1,) path + 1; 0 = free
    uint32_t slot_mask
    uint32_t paths, paths_max
    # packets that took a recorded way, and their bytes of IP as they came in: not yet put down
    uint64_t* path_packets
    uint64_t* path_bytes
    uint32_t* dirty                     # those paths
    uint32_t dirty_count
    uint64_t path_steps_max
    # values
    event_t* events
    uint32_t event_count, event_max     # event_max 0: not recording
    # output frames
    tap_t* taps
    uint32_t tap_count, tap_max         # tap_max 0: not recording
    uint8_t* output
    uint64_t output_size, output_max
    uint64_t lost                       # output frames that did not fit (a flood past the reserve)
    uint32_t tap_end                    # where the current packet's reserve ends, so that what is
    uint64_t output_end                 # lost does not depend on what came before
    const uint8_t* tap_wanted           # per device; 0 = this device is not tapped
    const uint32_t* base                # (STEP_KINDS,) from the image

cdef inline void trace_step(trace_t* trace, uint32_t kind, uint32_t index) noexcept nogil:
    if trace.count < trace.steps_kept:
        trace.steps[trace.count] = trace.base[kind] + index
    trace.count += 1

cdef void trace_event(trace_t* trace, uint32_t kind, addr_t before, addr_t after) noexcept nogil
cdef void trace_value(trace_t* trace, uint32_t kind, uint64_t before,
                      uint64_t after) noexcept nogil

# Number of the path made of the steps taken; stores it when it is new.
cdef uint32_t trace_intern(trace_t* trace) noexcept nogil
# The paths found anew in `slots`, which are free: after they have grown.
cdef void trace_rehash(trace_t* trace) noexcept nogil
# Room for one more packet's path, events and output, whatever it does.
cdef bint trace_has_room(const trace_t* trace) noexcept nogil
