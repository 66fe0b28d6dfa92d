# The image: every node of a cluster as flat arrays, one C struct per NumPy dtype of
# dataplane.image.  Immutable.  Everything in it was checked when it was assembled
# (indices in range, jumps free of loops, names unique), so kernels trust it.
from libc.stdint cimport int8_t, int32_t, uint8_t, uint16_t, uint32_t, uint64_t

from _fastpath.address cimport addr_t

cpdef enum Hook:        # NF_INET_*
    HOOK_PREROUTING = 0
    HOOK_INPUT = 1
    HOOK_FORWARD = 2
    HOOK_OUTPUT = 3
    HOOK_POSTROUTING = 4
    HOOKS = 5

# What stands at a hook; a hook runs its entries by priority, as the kernel does.
cpdef enum HookKind:
    ENTRY_TABLE = 0         # an iptables base chain
    ENTRY_CONNTRACK = 1     # nf_conntrack_in
    ENTRY_NAT = 2           # nf_nat_inet_fn, with the nat table's base chain if it has one
    ENTRY_CONFIRM = 3       # nf_confirm
    ENTRY_DEFRAG = 4        # ipv4_conntrack_defrag: fragments are put together before any rule

cpdef enum DeviceKind:
    DEVICE_WIRE = 0         # leads out of the node: a physical device, or one treated as such
    DEVICE_PORT = 1         # leads to one host (a pod) or is a port of a bridge
    DEVICE_BRIDGE = 2
    DEVICE_VXLAN = 3
    DEVICE_LOOPBACK = 4
    DEVICE_DUMMY = 5        # swallows what it is given

cpdef enum RouteKind:       # RTN_*
    ROUTE_UNICAST = 1
    ROUTE_LOCAL = 2
    ROUTE_BROADCAST = 3
    ROUTE_ANYCAST = 4       # of addresses; routes of this type are ROUTE_LOCAL
    ROUTE_MULTICAST = 5
    ROUTE_BLACKHOLE = 6
    ROUTE_UNREACHABLE = 7
    ROUTE_PROHIBIT = 8
    ROUTE_THROW = 9
    ROUTE_UNKNOWN = 255     # not modelled (multipath, encap …)

cpdef enum Anycast:
    ANYCAST_NONE = 0
    ANYCAST_KERNEL = 1          # RTF_ANYCAST
    ANYCAST_LISTED = 2          # somebody's, which IPv6 does not count as such

cpdef enum RuleAction:      # FR_ACT_*
    RULE_LOOKUP = 1         # ask the table
    RULE_GOTO = 2
    RULE_NOP = 3
    RULE_ANSWER = 4         # with the route, or with "no route" (unreachable)

cpdef enum RuleSelector:    # what the outcome of a rule hangs on, and is not always known
    RULE_USER = 1           # a user that is not root
    RULE_ROOT = 2           # one that may be root
    RULE_UNKNOWN = 3        # something that is not modelled

cpdef enum U32Operator:     # enum xt_u32_ops
    U32_AND = 0
    U32_LEFT = 1
    U32_RIGHT = 2
    U32_AT = 3

# How iptables-nft asks for ports and flags: it loads no more than these bytes of the header.
cpdef enum NativeMatch:
    NATIVE_SPORT = 1
    NATIVE_DPORT = 2
    NATIVE_FLAGS = 4

cpdef enum SctpMatch:       # XT_SCTP: SCTP_CHUNK_MATCH_*
    SCTP_ANY = 1
    SCTP_ALL = 2
    SCTP_ONLY = 4

cpdef enum ExtensionField:  # of an extension header
    EXTENSION_PRESENT = 0
    EXTENSION_SIZE = 1      # bytes
    EXTENSION_OPTIONS = 2   # words of (type << 8 | length; 255: any length), in order
    FRAGMENT_ID = 3
    FRAGMENT_RESERVED = 4
    FRAGMENT_OFFSET = 5
    FRAGMENT_MORE = 6
    ROUTING_TYPE = 7
    ROUTING_SEGMENTS_LEFT = 8
    ROUTING_RESERVED = 9
    ROUTING_ADDRESSES = 10  # four words each: those and no others
    ROUTING_SOME = 11       # those, in order, among others
    AUTHENTICATION_SPI = 12
    AUTHENTICATION_RESERVED = 13

# By what they look at: see matches.pyx.
cpdef enum MatchKind:
    MATCH_UNKNOWN = 0       # not modelled: its outcome is not known
    # the packet's bytes
    MATCH_PORTS = 1         # sport a-b, dport c-d; flags: NativeMatch
    MATCH_TCP_FLAGS = 2     # (flags & a) == b; flags: NativeMatch
    MATCH_TCP_OPTION = 3    # option kind a is present
    MATCH_ICMP = 4          # type a (255 = any), codes b-c
    MATCH_MULTIPORT = 5     # ranges ranges[a : a + b]; c: 1 source, 2 destination, 3 either
    MATCH_TCPMSS = 6        # a-b
    MATCH_SPI = 7           # a-b, at c in a header of d bytes
    MATCH_SCTP_CHUNKS = 8   # a: words; b: entries; c: SctpMatch; d: 1 damage counts
    MATCH_DCCP_TYPES = 9    # type is one of bits a
    MATCH_DCCP_OPTION = 10  # option a is present; d: 1 damage counts
    # its network header and the link layer's
    MATCH_HEADER_FIRST = 20
    MATCH_IPRANGE = 20      # a: words of the first and last address; b: 1 the destination
    MATCH_MAC = 21          # source a << 32 | b
    MATCH_LENGTH = 22       # IP length a-b
    MATCH_TTL = 23          # a-b
    MATCH_DSFIELD = 24      # (tos & b) == a
    MATCH_PKTTYPE = 25      # a: PACKET_*
    MATCH_ECN_TCP = 26      # the flag a is set
    # any of its bytes
    MATCH_BYTES_FIRST = 40
    MATCH_U32 = 40          # a: words of its program
    MATCH_STRING = 41       # a: words of the pattern, b bytes, between c and d; flags: 1 icase
    # IPv6 extension headers
    MATCH_EXTENSION_FIRST = 50
    MATCH_EXTENSION = 50    # header d is there, and its field c is a-b, or words[a : a + b]
    MATCH_MOBILITY = 51     # mobility header's type a-b
    MATCH_IPV6HEADER = 52   # the headers there are those of bits a; flags: 1 at least those
    # where the packet is
    MATCH_PLACE_FIRST = 60
    MATCH_MARK = 60         # (mark & b) == a
    MATCH_ADDRTYPE = 61     # a: source types, b: destination types (AddressType), c: AddrtypeFlag
    MATCH_NEVER = 62        # known not to match (owner, of a forwarded packet)
    MATCH_NO = 63           # never matches
    MATCH_PHYSDEV = 64      # flags and d: PhysdevFlag asked and turned; a, b: words of in, out
    MATCH_REALM = 65        # (realms & b) == a
    MATCH_RPFILTER = 66     # flags: RpfilterFlag
    # its connection
    MATCH_CONNTRACK_FIRST = 100
    MATCH_CONNTRACK = 100   # a: states (CtState bits); b: status bits; see match_conntrack.pyx
    MATCH_CTPROTO = 101     # a: the protocol.  flags of these: 1 the rule asks for a state too
    MATCH_CTADDRESS = 102   # a: words of address and mask; b: CtSide
    MATCH_CTPORT = 103      # a-b; c: CtSide
    MATCH_CTEXPIRE = 104    # a-b seconds left
    MATCH_CTDIR = 105       # a: direction
    MATCH_CONNMARK = 106    # (connection's mark & b) == a
    MATCH_CONNBYTES = 107   # a: words of first and last; b: ConnbytesMode; c: directions, 1 and 2
    # what the rule remembers, chance, the time
    MATCH_MEMORY_FIRST = 140
    MATCH_STATISTIC_RANDOM = 140    # 31-bit threshold a; c << 32 | b: the rule's identity
    MATCH_STATISTIC_NTH = 141       # every a, packet b; what it remembers: c
    MATCH_LIMIT = 142       # costs a credits, holds at most b; remembers in c
    MATCH_LIMIT_NFT = 147   # words[a : a + 4]: ns that one costs, ns it holds; remembers in c
    MATCH_QUOTA = 143       # remembers in c
    MATCH_RECENT = 144      # flags RecentFlag; a seconds, b hits; table c
    MATCH_HASHLIMIT = 145   # flags HashlimitFlag; table c
    MATCH_CONNLIMIT = 148   # more than a, by b bits of an address; flags; lists of c
    MATCH_TIME = 146        # words[a : a + 6]: dates, times of day, days; flag 1: contiguous
    # sets of addresses and ports
    MATCH_SET_FIRST = 180
    # a: set; b: dimension << 8 | source bits; c: words of the counters' comparisons
    MATCH_SET = 180         # d: SetMatchFlag

cpdef enum CtState:         # bits of -m conntrack --ctstate
    CTSTATE_INVALID = 1
    CTSTATE_ESTABLISHED = 2
    CTSTATE_RELATED = 4
    CTSTATE_NEW = 8
    CTSTATE_UNTRACKED = 16
    CTSTATE_SNAT = 32
    CTSTATE_DNAT = 64

cpdef enum CtSide:
    CT_ORIGINAL_SRC = 0
    CT_ORIGINAL_DST = 1
    CT_REPLY_SRC = 2
    CT_REPLY_DST = 3

cpdef enum ConnbytesMode:   # enum xt_connbytes_what
    CONNBYTES_PACKETS = 0
    CONNBYTES_BYTES = 1
    CONNBYTES_AVERAGE = 2

cpdef enum AddressType:     # bits: XT_ADDRTYPE_*
    TYPE_UNSPEC = 1
    TYPE_UNICAST = 2
    TYPE_LOCAL = 4
    TYPE_BROADCAST = 8
    TYPE_ANYCAST = 16
    TYPE_MULTICAST = 32
    TYPE_BLACKHOLE = 64
    TYPE_UNREACHABLE = 128
    TYPE_PROHIBIT = 256
    TYPE_THROW = 512
    TYPE_NAT = 1024
    TYPE_XRESOLVE = 2048

cpdef enum RpfilterFlag:    # XT_RPFILTER_*
    RPFILTER_LOOSE = 1
    RPFILTER_VALID_MARK = 2
    RPFILTER_ACCEPT_LOCAL = 4

cpdef enum AddrtypeFlag:
    ADDRTYPE_INVERT_SOURCE = 1
    ADDRTYPE_INVERT_DEST = 2
    ADDRTYPE_LIMIT_IFACE_IN = 4
    ADDRTYPE_LIMIT_IFACE_OUT = 8

# What -m physdev asks: XT_PHYSDEV_OP_*.
cpdef enum PhysdevFlag:
    PHYSDEV_IN = 1
    PHYSDEV_OUT = 2
    PHYSDEV_BRIDGED = 4
    PHYSDEV_IS_IN = 8
    PHYSDEV_IS_OUT = 16

# What -m recent asks: XT_RECENT_*.
cpdef enum RecentFlag:
    RECENT_CHECK = 1
    RECENT_SET = 2
    RECENT_UPDATE = 4
    RECENT_REMOVE = 8
    RECENT_TTL = 16
    RECENT_REAP = 32
    RECENT_DESTINATION = 64

cpdef enum ConnlimitFlag:
    CONNLIMIT_DESTINATION = 1

# XT_HASHLIMIT_*
cpdef enum HashlimitFlag:
    HASHLIMIT_DESTINATION = 1
    HASHLIMIT_DESTINATION_PORT = 2
    HASHLIMIT_SOURCE = 4
    HASHLIMIT_SOURCE_PORT = 8
    HASHLIMIT_INVERT = 16
    HASHLIMIT_BYTES = 32
    HASHLIMIT_RATE_MATCH = 64

# Settings of a hashlimit table: two words each, the lower first.
cpdef enum HashlimitWord:
    HASHLIMIT_MODE = 0
    HASHLIMIT_SOURCE_BITS = 1       # prefix lengths
    HASHLIMIT_DESTINATION_BITS = 2
    HASHLIMIT_EXPIRE = 3            # ticks
    HASHLIMIT_COLLECT = 4           # ticks between two collections of what has expired
    HASHLIMIT_COST = 5
    HASHLIMIT_CREDIT = 6            # of a new entry
    HASHLIMIT_CREDIT_CAP = 7        # of bytes: refills of a new entry
    HASHLIMIT_RATE = 8
    HASHLIMIT_BURST = 9
    HASHLIMIT_INTERVAL = 10         # ticks
    HASHLIMIT_BUCKETS = 11          # its first bucket
    HASHLIMIT_BUCKET_COUNT = 12     # a power of two
    HASHLIMIT_WORDS = 13

cpdef enum Tick:            # a jiffy: what limits are counted in
    TICKS_PER_SECOND = 250  # CONFIG_HZ of Debian, Ubuntu and most others
    TICK_NS = 4000000

cpdef enum TargetKind:
    TARGET_NONE = 0         # the rule only counts (or does what leaves no mark: LOG, NFLOG, TRACE)
    TARGET_ACCEPT = 1
    TARGET_DROP = 2
    TARGET_RETURN = 3
    TARGET_JUMP = 4
    TARGET_GOTO = 5
    TARGET_UNKNOWN = 6      # not modelled
    TARGET_REJECT = 7       # a: RejectWith
    TARGET_MARK = 8         # mark = (mark & ~b) ^ a
    TARGET_NOTRACK = 9
    TARGET_DNAT = 10        # to the range
    TARGET_SNAT = 11
    TARGET_MASQUERADE = 12
    TARGET_REDIRECT = 13
    TARGET_NETMAP = 14      # to the network of the range
    TARGET_TTL = 15         # a: TtlMode, b
    TARGET_DSFIELD = 16     # tos = (tos & ~b) ^ a
    TARGET_CONNMARK = 17    # a: value, or the packet's mask; b: the connection's; flags: mode
    TARGET_TCPMSS = 18      # a; b: MSS_CLAMP: what the path takes
    TARGET_ECN_REMOVE = 19
    TARGET_CHECKSUM = 20
    TARGET_QUEUE = 21       # a program decides
    TARGET_TPROXY = 22      # a socket decides
    TARGET_HMARK = 23       # a: words, see HmarkWord
    TARGET_STRIP = 24       # a: words of the TCP options (bits) that become NOPs
    TARGET_BYPASS = 25      # a program would decide, but need not listen
    TARGET_TEE = 26         # to address_min; a: words of a device's name + 1; 0 = by any
    TARGET_CT = 40          # a: zone; b: directions, 1 and 2; flags: 1 the zone is the mark
    TARGET_SET = 60         # a: words, see SET_ADD

cpdef enum HmarkWord:       # struct xt_hmark_info
    HMARK_SRC_MASK = 0      # four words each; of IPv4 the first
    HMARK_DST_MASK = 4
    HMARK_PORT_MASK = 8     # source << 16 | destination
    HMARK_PORT_SET = 9
    HMARK_PROTO_MASK = 10
    HMARK_RANDOM = 11
    HMARK_MODULUS = 12
    HMARK_OFFSET = 13
    HMARK_CONNECTION = 14   # 1: of its connection, not its own addresses
    HMARK_WORDS = 15

cpdef enum TtlMode:
    TTL_SET = 0
    TTL_INCREASE = 1
    TTL_DECREASE = 2

cpdef enum ConnmarkMode:    # XT_CONNMARK_*
    CONNMARK_SET = 0
    CONNMARK_SAVE = 1
    CONNMARK_RESTORE = 2

cpdef enum:
    MSS_CLAMP = 1

cpdef enum RejectWith:
    REJECT_ICMP = 0         # type in bits 8-15, code in bits 0-7 of the target's b
    REJECT_TCP_RESET = 1

cpdef enum RangeFlag:       # NF_NAT_RANGE_*
    RANGE_MAP_IPS = 1
    RANGE_PROTO_SPECIFIED = 2
    RANGE_PROTO_RANDOM = 4
    RANGE_PERSISTENT = 8
    RANGE_PROTO_RANDOM_FULLY = 16
    RANGE_PROTO_OFFSET = 32     # a: the port that stands for port_min

cpdef enum RuleInvert:
    INVERT_SRC = 1
    INVERT_DST = 2
    INVERT_IN = 4
    INVERT_OUT = 8
    INVERT_PROTO = 16
    INVERT_FRAGMENT = 32
    DROPS_CUT_HEADERS = 64  # ip6_packet_match: a packet whose protocol cannot be found is dropped

cpdef enum:
    JUMP_DEPTH = 64         # nested jumps; deeper tables are refused
    PATTERNS_MAX = 32       # of a classifier
    MASKS_MAX = 16          # of its prefix masks, for each side, and of its port masks
    CANDIDATES_BEHIND = 8   # that are no rule's: candidates are looked at several at once
    NAME_SIZE = 16          # IFNAMSIZ

# One cache line: 100,000 of them are 6.4 MB.
cdef struct rule_t:
    addr_t src, dst
    uint32_t src_mask, dst_mask     # index into masks; 0 = matches every address
    int32_t in_interface        # index into interfaces; -1 = any
    int32_t out_interface
    uint32_t match_start        # first of its matches
    uint32_t target             # index into targets; of JUMP and GOTO the chain's first rule
    uint16_t match_count
    uint8_t proto               # 0 = any
    uint8_t invert              # RuleInvert
    uint8_t kind                # TargetKind
    uint8_t fragment            # 1: only second and further fragments
    uint8_t is_policy           # closes a chain: a base chain's policy, or a user chain's return
    uint8_t is_visible          # 0: leaves neither step nor counter (a user chain's end)

cdef struct match_t:
    uint32_t a, b, c, d
    uint8_t kind            # MatchKind
    uint8_t invert          # 1: `!`; for MATCH_PORTS bit 0 source, bit 1 destination
    uint8_t flags           # extension's own
    uint8_t padding

# The index of a long chain: which of its rules may match a packet.
cdef struct classifier_t:
    uint32_t end            # the row that closes the chain
    uint32_t pattern_start, pattern_count   # 1 to PATTERNS_MAX, sorted by their first rule
    uint32_t src_start, src_count, dst_start, dst_count     # of its prefix_masks: to MASKS_MAX
    uint32_t port_start, port_count     # of its port_masks: to MASKS_MAX
    uint32_t bucket_start
    uint32_t filter_start
    uint8_t bucket_shift    # a key's upper bits are the bucket,
    uint8_t filter_shift    # and a few more of them the bit in its filter
    uint8_t src_shift, dst_shift    # where the 32 bits begin that candidates tell of an address

# Rules that are found by the same bits of a packet.
cdef struct pattern_t:
    uint64_t salt           # of its keys
    uint32_t first_rule
    uint8_t src, dst, ports     # its masks: counted from src_start, dst_start, port_start
    uint8_t padding

# What a rule asks, but for what only the rule itself can say.
cdef struct candidate_t:
    uint64_t addresses, mask    # 32 bits of the source, above 32 of the destination
    uint64_t low, high          # of ports and protocol, as classifier.pyx packs them

cdef struct target_t:
    addr_t address_min, address_max     # host order
    uint32_t a, b
    uint16_t port_min, port_max
    uint32_t flags                      # RangeFlag

cdef struct interface_t:
    uint64_t name[2]        # IFNAMSIZ bytes
    uint64_t mask[2]        # bytes that must be equal

cdef struct range_t:
    uint16_t low, high

cdef struct hook_t:
    int32_t priority
    uint32_t entry          # first rule of the base chain; 0xFFFFFFFF = none (NAT without chain)
    uint32_t underflow      # its policy
    uint8_t kind            # HookKind
    uint8_t table           # 0 raw 1 mangle 2 nat 3 filter 4 security
    uint16_t padding

cdef struct node_t:
    uint64_t identity           # hash of the node's name
    uint32_t hook_start[10]     # [family is 6][hook]: first entry in hooks
    uint16_t hook_count[10]
    uint32_t fib_start[2]       # per family: first of its fib_rules, by priority
    uint32_t fib_count[2]
    int32_t local_fib[2]        # root of the local table; -1 = none
    uint32_t device_start, device_count
    int32_t loopback            # device
    uint16_t port_low, port_high    # net.ipv4.ip_local_port_range
    uint8_t forwarding[2]       # ip_forward, ipv6 forwarding
    uint8_t hash_policy[2]      # fib_multipath_hash_policy
    uint8_t has_custom_rules    # fib_validate_source looks closer: see forwarding.pyx
    uint8_t has_custom_local
    uint32_t hash_fields[2]     # fib_multipath_hash_fields
    uint8_t bridge_nf[2]        # bridge-nf-call-iptables, -ip6tables
    uint8_t default_ttl         # ip_default_ttl
    uint8_t tcp_loose           # nf_conntrack_tcp_loose
    uint8_t tcp_be_liberal
    uint8_t conntrack_checksum  # nf_conntrack_checksum
    uint8_t tcp_max_retrans     # nf_conntrack_tcp_max_retrans
    uint8_t tcp_ignore_invalid_rst
    uint32_t conntrack_max
    uint32_t timeouts[48]       # seconds, by CtTimeout
    uint32_t conntrack_buckets  # nf_conntrack_buckets
    uint8_t conntrack_acct      # nf_conntrack_acct, or a rule that needs it
    uint8_t has_dccp            # its kernel tracks DCCP (until 6.15)
    uint8_t has_realms          # fib_num_tclassid_users: IPv4 routes or rules that have some
    uint8_t padding
    uint32_t fragment_times[3]  # seconds that fragments wait, by FragmentClass
    uint32_t fragment_distance  # ipfrag_max_dist
    uint8_t fragment_memory[4]  # by FragmentClass: 0 = none may wait
    uint32_t icmp_ratelimit[2]  # ticks between two errors to one destination; 0 = no limit
    uint32_t icmp_ratemask      # bit: ICMP type that is limited
    uint32_t icmp6_ratemask[8]  # ICMPv6's 256
    uint32_t icmp_per_second, icmp_burst    # icmp_msgs_per_sec, icmp_msgs_burst
    uint32_t icmp_inbound       # icmp_errors_use_inbound_ifaddr
    uint32_t icmp6_scales       # IPv6: more to wider prefixes

cdef struct device_t:
    uint64_t name[2]            # IFNAMSIZ bytes, for -i and -o
    uint64_t mac                # 48 bits
    int32_t node
    int32_t master              # bridge device; -1 = none
    int32_t peer                # other end of a veth pair inside the cluster; -1 = none
    int32_t vxlan               # index into vxlans; -1 = none
    int32_t segment             # devices with one number share a wire; -1 = none
    uint32_t address_start, address_count   # its addresses
    uint32_t port_start, port_count         # of a bridge: its ports in bridge_ports
    uint32_t mtu
    uint8_t kind                # DeviceKind
    uint8_t is_up
    uint8_t hairpin
    uint8_t rp_filter           # 0 off, 1 strict, 2 loose
    uint8_t route_localnet
    uint8_t has_hosts           # something is known of what is behind it
    uint8_t accept_local
    uint8_t is_ether            # has a link layer with MAC addresses
    uint8_t forwards            # IPv4 packets that arrived here may go on
    uint8_t send_redirects
    uint8_t src_valid_mark      # the way back is looked up with the packet's mark
    uint8_t bc_forwarding
    uint8_t has_address         # IPv4
    uint8_t shared_media
    uint8_t source_route        # accept_source_route
    uint8_t own_addresses_only  # use_oif_addrs_only: IPv6 sources are its own
    uint32_t mtu6               # net.ipv6.conf.DEVICE.mtu

cdef struct vxlan_t:
    addr_t local                # zero: the route chooses
    addr_t remote               # zero: none
    int32_t device
    int32_t link                # -1: any
    uint32_t vni
    uint16_t port
    uint16_t port_low, port_high
    uint8_t ttl                 # 0 = the node's default
    uint8_t tos
    uint8_t tos_inherit
    uint8_t df                  # 0 unset, 1 set, 2 inherit
    uint8_t udp_csum
    uint8_t learning

cpdef enum AddressFlag:         # of an IPv6 address: what it is as a source
    ADDRESS_UNUSABLE = 1        # tentative
    ADDRESS_AVOIDED = 2         # deprecated, or optimistic
    ADDRESS_FITTING = 4         # temporary or not, as its device has it (use_tempaddr)
    ADDRESS_OPTIMISTIC = 8

cdef struct address_t:
    addr_t address
    addr_t mask
    uint8_t family
    uint8_t scope               # 0 global, 253 link, 254 host
    uint8_t secondary
    uint8_t flags               # AddressFlag
    uint32_t prefixlen

# Longest-prefix match over a binary trie.
cdef struct lpm_node_t:
    int32_t child[2]            # index of the next node per bit; 0 = none
    int32_t value               # route; -1 = no prefix ends here

cdef struct route_t:
    addr_t gateway              # zero = the destination itself is the next hop
    addr_t prefsrc              # zero = chosen from the device's addresses
    int32_t device              # -1 = none
    int32_t next                # the next route for the same prefix; -1 = none
    uint32_t leg_start, leg_count   # of a multipath route: its legs, routes of their own
    uint32_t upper_bound        # of a leg: the last hash that chooses it (fib_rebalance)
    uint32_t realms             # nh_tclassid: from << 16 | to
    uint8_t kind                # RouteKind
    uint8_t family
    uint8_t scope
    uint8_t is_listed           # 0: derived here (an address's local route), 1: from the node
    uint8_t tos                 # 0 = any
    uint8_t prefixlen
    uint8_t gateway_family      # 6: the gateway of an IPv4 route is IPv6
    uint8_t anycast             # Anycast, of a ROUTE_LOCAL one
    uint32_t mtu                # 0 = its device's
    uint32_t padding2

# A policy routing rule: struct fib_rule.
cdef struct fib_rule_t:
    addr_t src, src_mask
    addr_t dst, dst_mask
    uint32_t mark, mark_mask
    int32_t iif, oif            # device; -1 = any, -2 = one that is not there
    int32_t table               # root of its trie; -1 = an empty table
    int32_t target              # of RULE_GOTO: index of the rule; -1 = there is none
    int32_t route               # of RULE_ANSWER: its route; -1 = none
    int32_t unknown             # the route when it is not known whether it answers; -1 = it is
    int32_t suppress_prefixlen  # -1 = off
    uint32_t realms             # tclassid
    uint16_t sport_low, sport_high, dport_low, dport_high   # 0-0 = any
    uint8_t tos                 # 0 = any
    uint8_t proto               # 0 = any
    uint8_t invert              # `not`
    uint8_t action              # RuleAction
    uint8_t selector            # RuleSelector
    uint8_t suppress_group      # 1: by device group, which is not modelled
    uint8_t is_never            # a selector that no packet has: a tunnel's id, a VRF
    uint8_t padding

cdef struct neighbour_t:
    addr_t address
    uint64_t mac
    int32_t device
    uint8_t state               # 0 unresolved, 1 known, 2 failed
    uint8_t family
    uint16_t padding

# A multicast group that a device listens to.
cdef struct group_t:
    addr_t address
    int32_t device
    uint8_t family
    uint8_t padding[3]

# Static forwarding entry: sorted by (device, mac).
cdef struct fdb_t:
    addr_t remote               # of a VXLAN device's entry
    uint64_t mac
    int32_t device              # the bridge, or the VXLAN device
    int32_t port                # bridge: the port; the bridge itself = local

# What is behind a device: sorted by (device, mac); one row per address.
cdef struct host_t:
    addr_t address
    uint64_t mac
    uint64_t gateway_mac        # where it sends what is not on its link
    int32_t device
    uint32_t prefixlen          # of its link
    uint8_t family
    uint8_t has_address
    uint16_t padding
    uint32_t padding2

cpdef enum SetKind:         # how elements are found
    SET_HASH = 0
    SET_BITMAP = 1
    SET_LIST = 2

cpdef enum SetPart:         # what an element is made of, in order
    PART_NONE = 0
    PART_IP = 1
    PART_NET = 2
    PART_PORT = 3
    PART_MAC = 4
    PART_MARK = 5
    PART_IFACE = 6

cpdef enum SetFlag:
    SET_TIMEOUT = 1
    SET_COUNTERS = 2
    SET_SKBINFO = 4
    SET_FORCEADD = 8
    SET_NOMATCH = 16        # a type that may have elements with nomatch
    SET_REFUSES_ZERO = 32   # hash:ip, hash:mac
    SET_LEARNS = 64         # MAC addresses: bitmap:ip,mac, or a list with one
    SET_CHANGES = 128       # a look-up counts or learns, here or in a member

cpdef enum SetMatchFlag:    # of MATCH_SET's d
    SET_RETURN_NOMATCH = 1
    SET_SKIP_COUNTERS = 2
    SET_SKIP_SUBCOUNTERS = 4
    SET_MATCH_COUNTERS = 8

cpdef enum SetCounterOperator:  # IPSET_COUNTER_*
    SET_COUNTER_NONE = 0
    SET_COUNTER_EQ = 1
    SET_COUNTER_NE = 2
    SET_COUNTER_LT = 3
    SET_COUNTER_GT = 4

# The words of a SET target; sets are 0 = none, else index + 1.
cpdef enum:
    SET_ADD = 0             # set, dimension, source bits
    SET_DEL = 3
    SET_MAP = 6
    SET_ADD_TIMEOUT = 9     # seconds; 0xFFFFFFFF = the set's own
    SET_ADD_EXIST = 10
    SET_MAP_MARK = 11
    SET_TARGET_WORDS = 12

cpdef enum:
    SET_PARTS = 3
    PREFIX_LENGTHS = 129    # /0 to /128

cdef struct set_t:
    addr_t mask                     # of the first address, and of both of a net,net
    uint32_t mark_mask
    uint32_t maxelem                # of a hash
    uint32_t timeout                # seconds; 0 = for ever
    uint32_t range_first, range_last    # of a bitmap
    uint32_t member_start, member_count     # of a list: rows of set_members
    uint8_t parts[4]                # SetPart
    uint8_t kind                    # SetKind
    uint8_t family                  # 0 = either
    uint8_t dimension
    uint8_t flags                   # SetFlag

cdef struct image_t:
    const node_t* nodes
    const device_t* devices
    const hook_t* hooks
    const rule_t* rules
    const addr_t* masks             # of rules' addresses; row 0 compares nothing
    const match_t* matches
    const target_t* targets
    const interface_t* interfaces
    const range_t* ranges
    const uint32_t* rule_classifiers    # (rules,) its chain's classifier + 1; 0 = none
    const classifier_t* classifiers
    const pattern_t* patterns
    const addr_t* prefix_masks
    const uint64_t* port_masks      # of ports and protocol, packed
    const uint32_t* pattern_filter      # a bit is set where a rule has such a key
    const uint32_t* candidate_buckets   # (buckets + 1,) of each classifier: first candidate
    const candidate_t* candidates       # each bucket's in order; CANDIDATES_BEHIND at the end
    const uint32_t* candidate_rules
    const uint32_t* words           # longer arguments of matches and targets
    const fib_rule_t* fib_rules
    const lpm_node_t* lpm
    const route_t* routes
    const neighbour_t* neighbours   # sorted by (device, address)
    const group_t* groups           # sorted by (device, address)
    const fdb_t* fdb
    const host_t* hosts
    const uint32_t* host_by_address  # hosts sorted by (family, address)
    const vxlan_t* vxlans
    const address_t* addresses
    const int32_t* bridge_ports
    const int32_t* wires            # devices on a segment, sorted by (segment, mac)
    const set_t* sets
    const uint32_t* base            # (STEP_KINDS,)
    uint32_t node_count, device_count, rule_count
    uint32_t neighbour_count, fdb_count, host_count, vxlan_count, wire_count
    uint32_t group_count
    uint64_t seed
