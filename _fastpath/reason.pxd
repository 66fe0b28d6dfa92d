# Every way a packet can end: one numbered list, shared by kernels, twin, traces and docs.
# A number is never used again.  The comment names Linux's SKB_DROP_REASON_* where there is one.

cpdef enum Verdict:
    SKIPPED = 0         # not injected: a recorded reply that nothing answers for
    DELIVERED = 1       # reached a pod, or a process on a node
    DROPPED = 2
    REJECTED = 3        # dropped, and an error or reset was sent back
    FORWARDED = 4       # left the cluster
    CONSUMED = 5        # ended where it should, with nobody to deliver it to (ARP, a flood)
    UNKNOWN = 6         # something that is not modelled decides

cpdef enum Reason:
    NONE = 0
    # the frame and its headers
    FRAME_TOO_SHORT = 1         # PKT_TOO_SMALL
    IP_HEADER_INVALID = 2       # IP_INHDR
    IP_CHECKSUM_WRONG = 3       # IP_CSUM
    OTHER_HOST = 4              # OTHERHOST: the frame is for another MAC address
    UNHANDLED_PROTOCOL = 5      # UNHANDLED_PROTO
    DEVICE_DOWN = 6             # DEV_READY
    FRAGMENT_DUPLICATE = 7      # DUP_FRAG: nothing in it is new
    FRAGMENT_INVALID = 8        # it contradicts the others of its packet; mostly they go with it
    FRAGMENT_MEMORY = 9         # ipfrag_high_thresh is 0: none may wait
    # netfilter and conntrack
    NETFILTER_DROP = 10         # NETFILTER_DROP: a rule or a policy
    NETFILTER_REJECT = 11       # NETFILTER_DROP: a REJECT target
    CONNTRACK_FULL = 12         # NETFILTER_DROP: nf_conntrack_max
    CONNTRACK_CLASH = 13        # NETFILTER_DROP: no unique tuple at confirm
    NAT_NO_ADDRESS = 14         # NETFILTER_DROP: MASQUERADE, but the device has no address
    # routing
    NO_ROUTE = 20               # IP_INNOROUTES, IP_OUTNOROUTES
    FORWARDING_DISABLED = 21    # IP_INADDRERRORS: ip_forward is 0
    TTL_EXPIRED = 22            # IP_INHDR: answered with ICMP 11/0
    MARTIAN_SOURCE = 23         # IP_INVALID_SOURCE
    MARTIAN_DESTINATION = 24    # IP_INVALID_DEST
    REVERSE_PATH = 25           # IP_RPFILTER
    ROUTE_BLACKHOLE = 26        # IP_INNOROUTES
    ROUTE_UNREACHABLE = 27      # IP_INNOROUTES: answered with ICMP 3/1
    ROUTE_PROHIBIT = 28         # IP_INNOROUTES: answered with ICMP 3/13
    FRAGMENTATION_NEEDED = 29   # PKT_TOO_BIG: DF is set; answered with ICMP 3/4
    GROUP_NOT_JOINED = 30       # a multicast group that the node is not in
    SOURCE_SCOPE = 31           # IP_INADDRERRORS: an IPv6 source that is never forwarded
    SOURCE_ROUTED = 32          # NOT_SPECIFIED: accept_source_route is 0
    # link layer
    NEIGHBOUR_FAILED = 40       # NEIGH_FAILED
    BRIDGE_SAME_PORT = 41       # the frame would leave by the port it came in by
    HOST_ADDRESS = 42           # the host behind the device does not have this address
    ADDRESS_LEARNED_LOCAL = 43  # MAC_INVALID_SOURCE
    BRIDGE_LINK_LOCAL = 44      # a frame for 01:80:c2:00:00:0x is not forwarded
    FLOODED = 45                # sent to every port; no known host has this MAC address
    # tunnels
    VXLAN_NO_REMOTE = 50        # VXLAN_NO_REMOTE
    VXLAN_INVALID = 51          # VXLAN_INVALID_HDR
    VXLAN_UNKNOWN_VNI = 52      # VXLAN_VNI_NOT_FOUND
    TUNNEL_LOOP = 53            # SKB_DROP_REASON_NOT_SPECIFIED: encapsulated too often
    # ends that are no drop
    HOST = 60                   # delivered to a host behind a device
    LOCAL_PROCESS = 61          # delivered to the node itself
    LEFT_BY_DEVICE = 62         # forwarded: nothing known has this MAC address out there
    ARP_HANDLED = 63
    GROUP_ADDRESS = 64          # broadcast or multicast, sent to every port
    FRAGMENT_HELD = 65          # it waits for the rest of its packet
    # what the replay did not inject
    UNANSWERED = 70             # a recorded reply of a flow that was never delivered
    ANSWERED_BY_NODE = 71       # a recorded reply that the emulated nodes made themselves
    NO_ENTRY = 72               # neither end of the packet has a place in the cluster
    NOT_IP = 73                 # neither IP nor ARP
    RECORDED_ERROR = 74         # a recorded ICMP error; nodes make their own
    ONE_WAY = 75                # a recorded reply, and replies were left out
    # ours: the emulator stops, and says so
    MATCH_UNMODELLED = 200      # the rule's match is not modelled
    TARGET_UNMODELLED = 201     # the rule's target is not modelled
    FRAGMENT_UNMODELLED = 202   # more packets wait for fragments than there is room for
    FRAGMENTATION_UNMODELLED = 203  # fragments of fragments of …, or a flood of them
    NEIGHBOUR_UNKNOWN = 205     # nothing given says who has this address
    CAPTURE_CUT = 206           # the capture holds too little of the packet
    TRACE_FULL = 207            # more steps than one trace holds
    UNDERLAY_UNMODELLED = 208   # VXLAN over IPv6
    ROUTE_UNMODELLED = 210      # multipath and the like
    QUEUED = 211                # a program beside the kernel decides: NFQUEUE
    SOCKET_UNKNOWN = 213        # a socket of the node decides, and none is known: TPROXY
