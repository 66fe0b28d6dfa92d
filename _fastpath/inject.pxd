# Where recorded frames enter the cluster: a capture's flows, and who began them.
from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t

from _fastpath.address cimport addr_t

cpdef enum InjectFlag:
    INJECT_RAW = 1          # every frame as it stands, at one entry
    INJECT_ONE_WAY = 2      # initiators' frames only

# One flow of a capture.  ICMP: the ports are the identifier.
cdef struct flow_t:
    addr_t initiator, responder     # as the capture has them
    addr_t end_src, end_dst         # of the last initiator's packet that arrived
    uint64_t end_ether_src, end_ether_dst
    uint16_t initiator_port, responder_port
    uint16_t end_sport, end_dport
    int32_t entry           # where the initiator's frames enter: a device, or ~node
    int32_t host            # host row of the initiator; -1 = none
    int32_t place           # where they arrived: a device, or ~node
    uint32_t packets        # besides those that took a recorded way
    uint8_t family
    uint8_t proto
    uint8_t verdict         # of the last initiator's packet
    uint8_t is_answered     # the nodes made a packet in answer (an ICMP error, a reset)
