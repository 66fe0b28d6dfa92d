# What packets change, beside the image: flat arrays of a capacity given from above.
# Kernels fill them and allocate nothing; a full table is a named outcome.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from _fastpath.address cimport addr_t
from _fastpath.image cimport image_t
from _fastpath.packet cimport packet_t
from _fastpath.trace cimport trace_t

cpdef enum CtInfo:      # enum ip_conntrack_info, and two of ours
    CT_ESTABLISHED = 0
    CT_RELATED = 1
    CT_NEW = 2
    CT_ESTABLISHED_REPLY = 3
    CT_RELATED_REPLY = 4
    CT_INVALID = 5
    CT_UNTRACKED = 6
    CT_INFOS = 7

cpdef enum CtStatus:    # IPS_*
    IPS_EXPECTED = 1
    IPS_SEEN_REPLY = 2
    IPS_ASSURED = 4
    IPS_CONFIRMED = 8
    IPS_SRC_NAT = 16
    IPS_DST_NAT = 32
    IPS_SRC_NAT_DONE = 128
    IPS_DST_NAT_DONE = 256
    IPS_DYING = 512
    IPS_FIXED_TIMEOUT = 1024
    IPS_OFFLOAD = 16384
    IPS_HW_OFFLOAD = 32768
    # ours
    IPS_EVICTABLE = 0x40000000      # among those that a full table may forget
    IPS_IN_USE = 0x80000000         # the entry is one

cpdef enum CtTimeout:   # columns of node_t.timeouts; TCP's are numbered by state
    TIMEOUT_TCP_SYN_SENT = 1
    TIMEOUT_TCP_SYN_RECV = 2
    TIMEOUT_TCP_ESTABLISHED = 3
    TIMEOUT_TCP_FIN_WAIT = 4
    TIMEOUT_TCP_CLOSE_WAIT = 5
    TIMEOUT_TCP_LAST_ACK = 6
    TIMEOUT_TCP_TIME_WAIT = 7
    TIMEOUT_TCP_CLOSE = 8
    TIMEOUT_TCP_SYN_SENT2 = 9
    TIMEOUT_TCP_RETRANS = 10
    TIMEOUT_TCP_UNACK = 11
    TIMEOUT_UDP = 12
    TIMEOUT_UDP_STREAM = 13
    TIMEOUT_ICMP = 14
    TIMEOUT_ICMPV6 = 15
    TIMEOUT_GENERIC = 16
    TIMEOUT_GRE = 19
    TIMEOUT_GRE_STREAM = 20
    TIMEOUT_SCTP = 21           # and SctpState: up to 29
    TIMEOUT_DCCP = 30           # and its state
    TIMEOUTS = 48

# One direction of a connection, in the zone that is this direction's.
# ICMP: sport = identifier, dport = type << 8 | code.
cdef struct tuple_t:
    addr_t src, dst
    uint16_t sport, dport
    uint16_t node
    uint16_t zone
    uint8_t proto
    uint8_t family
    int32_t next            # of a connection's tuple: in its hash chain; -1 = end

# What is known of one end of a TCP connection: struct ip_ct_tcp_state.
cdef struct tcp_end_t:
    uint32_t end            # td_end: the sequence number after all that it has sent
    uint32_t maxend         # td_maxend: the last that it may send
    uint32_t maxwin         # td_maxwin: the largest window that it has offered; 0 = nothing seen
    uint32_t maxack         # td_maxack
    uint8_t scale           # td_scale
    uint8_t flags           # TcpFlags: see conntrack_window.pxd
    uint16_t padding

# struct ip_ct_tcp.  The last_ fields are of the last segment that counted, or was let pass.
cdef struct tcp_t:
    tcp_end_t seen[2]       # by direction
    uint32_t last_seq, last_ack, last_end
    uint16_t last_win
    uint8_t last_wscale
    uint8_t last_flags
    uint8_t state           # TcpState
    uint8_t last_dir
    uint8_t last_index
    uint8_t retrans         # how often that segment came again

# struct ip_ct_sctp.
cdef struct sctp_t:
    uint32_t vtag[2]        # verification tags, by the direction that uses them
    uint8_t state           # SctpState
    uint8_t last_dir
    uint8_t flags           # SctpFlag
    uint8_t init[2]         # an INIT was seen
    uint8_t padding[3]

# UDP, UDPLITE, GRE.
cdef struct datagram_t:
    uint64_t stream_ns      # from here on replies make it a stream

# Three cache lines; what every packet of a connection asks for comes first: of TCP in two of them,
# of other protocols in one.
cdef struct connection_t:
    uint64_t expires_ns
    uint32_t generation     # how often this row was freed
    uint32_t status         # CtStatus
    uint32_t mark
    int32_t masquerade      # device + 1 by which it was masqueraded; 0 = it was not
    tcp_t tcp               # of other protocols: see connection_sctp, connection_datagram
    int32_t next_source     # in the chain by original source, for connections with NAT set up
    tuple_t original, reply  # one after the other: see connection_tuple
    int32_t older, newer    # of its node's evictable ones; -1 = none

# TCP's place is free in connections of other protocols.
cdef inline datagram_t* connection_datagram(connection_t* connection) noexcept nogil:
    return <datagram_t*>&connection.tcp

cdef inline sctp_t* connection_sctp(connection_t* connection) noexcept nogil:
    return <sctp_t*>&connection.tcp

# The tuple of a direction: 0 original, 1 reply.  (Cython compares no arrays of structs.)
cdef inline tuple_t* connection_tuple(connection_t* connection, uint32_t direction) noexcept nogil:
    return &connection.original + direction

# Why fragments wait: those of one packet wait together, once for each.
cpdef enum FragmentUser:        # enum ip_defrag_users
    USER_CONNTRACK_IN = 0       # PREROUTING
    USER_CONNTRACK_OUT = 1      # OUTPUT
    USER_BRIDGE_IN = 2          # PREROUTING at a bridge
    USER_LOCAL = 3              # for a process of the node

# Whose settings count.
cpdef enum FragmentClass:
    FRAGMENT_IPV4 = 0           # net.ipv4.ipfrag_
    FRAGMENT_CONNTRACK6 = 1     # net.netfilter.nf_conntrack_frag6_
    FRAGMENT_IPV6 = 2           # net.ipv6.ip6frag_

cpdef enum FragmentFlag:        # INET_FRAG_*
    FRAGMENT_FIRST_IN = 1
    FRAGMENT_LAST_IN = 2

cpdef enum:
    FRAGMENT_QUEUES = 256       # packets of which fragments may wait at one time, on all nodes
    FRAGMENT_HEAD = 1024        # bytes before the payload: Ethernet, IP, what is not fragmented
    FRAGMENT_DATA = 65536
    FRAGMENT_MAP = 2048         # a bit for every eight bytes, as far as an offset may reach
    FRAGMENT_SLOT = 72704       # FRAGMENT_HEAD + FRAGMENT_DATA + 3 FRAGMENT_MAP

# What waits for the rest of one packet: struct ipq, struct frag_queue.  Its bytes are in a
# slot of fragment_bytes: the head, the payload, and three maps (see fragments.pyx).
cdef struct fragment_queue_t:
    addr_t src, dst
    uint64_t expires_ns     # 0 = free
    uint32_t id
    uint32_t length         # the payload's, as far as is known
    uint32_t tail           # end of the last fragment so far
    uint32_t received       # bytes of payload that came
    uint32_t distance       # fragments of this sender since the last for this packet
    uint32_t max_size, max_df_size  # longest fragment; longest with the DF bit
    uint32_t head_size      # bytes of the head, from the Ethernet header on
    uint32_t mark
    int32_t node
    int32_t device          # of a link-local destination; else -1
    uint8_t family, proto, user     # FragmentUser
    uint8_t flags           # FragmentFlag
    uint8_t ecn             # a bit for each ECN field seen
    uint8_t is_cut          # the capture does not hold all of some fragment
    uint16_t next_header    # IPv6: where in the head the fragment header is announced

# A packet that is being cut: the next fragment of it is walked when the last has ended.
cdef struct cut_t:
    packet_t whole
    uint32_t header         # bytes from the IP header on that each fragment repeats
    uint32_t at             # of its payload: where the next fragment begins
    uint32_t space          # most payload of one fragment
    uint32_t id             # IPv6: the identification
    uint32_t next_header    # IPv6: where the number of the header after the repeated ones stands
    int32_t port            # bridge port by which the fragments leave; -1 = by the route

# A learned forwarding entry of a bridge.
cdef struct learned_t:
    uint64_t mac            # 0 = free
    int32_t bridge
    int32_t port

# Who was sent an ICMP error or redirect: struct inet_peer.
cdef struct peer_t:
    addr_t address
    int64_t last            # tick
    int64_t tokens
    int32_t node
    uint8_t family          # 0 = free
    uint8_t redirects
    uint16_t padding

# What a node as a whole may still send: icmp_global_credit.
cdef struct budget_t:
    int64_t credit
    int64_t stamp           # tick of the last refill
    uint64_t is_begun

# A host seen on a wire: who would answer ARP for an address.
cdef struct seen_t:
    addr_t address
    uint64_t mac            # 0 = free
    int32_t segment
    uint8_t family
    uint8_t padding
    uint16_t padding2

# What a match remembers, or a table that several matches share.
cdef struct memory_t:
    uint64_t credit         # limit: credits left; quota: bytes left; nth: evaluations so far
    # limit: tick of the last refill + 1; recent: how often it was used; hashlimit: tick of the
    # last collection + 1
    uint64_t previous
    uint32_t first          # recent, hashlimit: its first entry
    uint32_t capacity       # entries it holds at most
    uint32_t count          # entries in use; of recent, the most that ever were
    uint32_t words          # its settings in image.words
    uint8_t is_uncertain    # it may or may not have been asked: what it would say is not known
    uint8_t padding[7]

# An address of a recent table: struct recent_entry.
cdef struct recent_t:
    addr_t address
    uint64_t used           # when it was last used, as the table counts; 0 = free
    uint32_t stamp_count, index
    uint8_t family, ttl
    uint8_t padding[6]

# A flow of a hashlimit table: struct dsthash_ent.
cdef struct hashlimit_t:
    addr_t src, dst
    uint64_t expires, previous  # ticks
    uint64_t credit         # credits left; of a rate match, what the interval has seen
    uint64_t refills        # of bytes: how often the credit may still be filled up
    uint32_t next           # in its bucket: entry of the table + 1; 0 = none
    uint16_t sport, dport
    uint8_t was_over        # of a rate match: the last interval was over its rate
    uint8_t padding[7]

# A list of connections that have an address in common (struct nf_conncount_list), or one on it.
cdef struct counted_t:
    addr_t src, dst         # of a list: its masked address
    uint64_t collected      # of a list: tick when it was last looked through
    uint32_t memory         # of a list: whose it is
    uint32_t next           # on its list; of lists, in the hash chain; of free rows; + 1, 0 = none
    uint32_t first, last    # on the list: + 1
    uint32_t count          # on the list,
    uint32_t collected_count    # and when it was last looked through
    uint16_t sport, dport
    uint16_t node
    uint16_t zones[2]       # by direction; of a list: the first
    uint8_t proto, family
    uint32_t padding

cpdef enum SetElementFlag:
    ELEMENT_IN_USE = 1
    ELEMENT_NOMATCH = 2
    ELEMENT_PHYSICAL = 4    # a device's name is that of a bridge port
    ELEMENT_WILDCARD = 8    # … and every name that begins so
    ELEMENT_NO_MAC = 16     # of a bitmap:ip,mac: learned from the first packet

# An element of a set.  Parts that its type has not are zero.
cdef struct set_element_t:
    addr_t first, second    # masked
    uint64_t name[2]        # device; or a MAC address in the first word
    uint64_t packets, bytes
    uint64_t expires_ns     # 0 = never; with ELEMENT_NO_MAC: how long from then on
    uint32_t skbmark, skbmark_mask
    uint32_t mark           # of hash:ip,mark; of a list's member: its set
    uint32_t owner          # its set
    int32_t next            # in its hash chain, or among the free ones; -1 = end
    uint16_t port
    uint8_t proto
    uint8_t first_length, second_length     # of NET parts
    uint8_t flags           # SetElementFlag
    uint16_t padding

# Values fed in from outside for a choice that Linux makes at random; sorted by key.
cdef struct choice_t:
    uint64_t key
    uint32_t start, count   # in choice_values

cdef struct state_t:
    # conntrack
    connection_t* connections
    int32_t* buckets        # by tuple, both directions
    int32_t* source_buckets  # by original source
    int32_t* free_list
    uint64_t* accounting    # (connections, 2 directions, 2): packets, bytes; NULL: nobody asks
    uint32_t connection_max, bucket_mask, free_count
    uint32_t* node_connections  # (nodes,) confirmed entries of each node
    int32_t* node_oldest        # (nodes,) evictable connections: the first; -1 = none
    int32_t* node_newest
    uint64_t next_expiry_ns     # no entry's time is up before; 0 = not known
    # bridges
    learned_t* learned
    uint32_t learned_mask
    # fragments
    fragment_queue_t* fragments     # (FRAGMENT_QUEUES,)
    uint8_t* fragment_bytes     # (FRAGMENT_QUEUES, FRAGMENT_SLOT)
    # hosts on wires
    seen_t* seen
    uint32_t seen_mask
    uint32_t epoch              # how often a bridge or a host on a wire was learned anew
    # ICMP errors
    peer_t* peers
    uint32_t peer_mask
    uint32_t* peer_count    # (1,)
    budget_t* budgets       # (nodes,)
    # counters
    uint64_t* counters      # (rules, 2): packets, bytes
    # what matches remember
    memory_t* memory
    recent_t* recent
    uint64_t* recent_stamps     # ticks; per entry as many as its table keeps
    hashlimit_t* hashlimit
    uint32_t* hashlimit_buckets
    counted_t* counted
    uint32_t* counted_buckets   # of lists: + 1
    uint32_t* counted_free      # (2,) the first free row + 1; rows that were ever in use
    uint32_t counted_max, counted_bucket_mask
    uint32_t* ip_ids        # (nodes,) identifications given
    # sets
    set_element_t* set_elements     # lists' members first, in order: see set_t.member_start
    int32_t* set_buckets            # index + 1; 0 = empty
    uint8_t* set_uncertain          # (sets,) what a look-up changed is not known
    uint32_t* set_counts            # (sets,) elements of each
    uint32_t* set_lengths           # (sets, 2, PREFIX_LENGTHS): how many elements have one
    uint32_t* set_used              # (1,) rows from here on were never in use
    uint32_t set_element_max, set_bucket_mask
    int32_t set_element_free        # head of the list of those that are free again; -1 = end
    uint8_t has_begun               # the first packet's time is known, timeouts run
    # choices
    const choice_t* choices
    const uint32_t* choice_values
    uint32_t* choice_used   # per choice
    uint32_t choice_count

cpdef enum:
    TOUCHES_MAX = 4

# A connection that conntrack found a packet to belong to, on its way.
cdef struct touch_t:
    int32_t connection
    uint32_t generation, status, mark   # as they were then
    uint8_t direction
    uint8_t is_tunnel       # the packet was in a tunnel's
    uint16_t padding

# Everything a packet's walk works on.
cdef struct walk_t:
    const image_t* image
    state_t* state
    trace_t* trace
    packet_t* packet        # the one being walked
    uint64_t now_ns
    # packets made on the way, waiting for their turn
    packet_t* pending       # (PENDING_MAX,)
    uint32_t pending_count
    # packets that are being cut, innermost last, and the end that tells of the whole packet
    cut_t* cuts             # (CUTS_MAX,)
    packet_t* told
    uint32_t cut_count, cut_max
    uint8_t told_rank       # 0 = nothing yet: see cuts.pyx
    uint8_t told_verdict
    uint16_t told_reason
    int32_t told_place
    # a copy that is sent while walk.packet waits, and the end that tells of it
    packet_t* copied
    packet_t* copied_told
    uint8_t is_copying      # this is the walk of such a copy
    uint8_t is_aside        # this is the walk of a packet made on the way of another
    uint8_t was_cut         # which left in fragments
    # where the walk ended
    int32_t place
    uint16_t reason
    uint8_t verdict
    uint8_t hook            # whose entries are run
    # for a recording of the walk: see recorded_way.pyx
    uint8_t is_of_flow      # nothing but the flow, and what stays, has decided
    uint8_t touch_count
    uint32_t ip_length_most     # no MTU on the way stops a packet of that length, as it came in
    int32_t tunnel_node     # where it was encapsulated; -1 = nowhere
    touch_t[4] touches      # TOUCHES_MAX

cpdef enum:
    PENDING_MAX = 4
    CUTS_MAX = 4            # of fragments of fragments
