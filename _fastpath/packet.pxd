# One packet: its bytes, and its header fields in host byte order.
#
# packet.pyx alone reads lengths from bytes; whatever leaves it is in bounds.
from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t

from _fastpath.address cimport addr_t

cpdef enum:
    HEADROOM = 256          # bytes before a frame's first, for encapsulation
    FRAME_MAX = 66000       # a frame's bytes after the headroom
    BOUNDARIES_SIZE = 1024  # a bit for every eight bytes of an IP payload
    BUFFER_SIZE = 67328     # HEADROOM + FRAME_MAX + BOUNDARIES_SIZE, rounded up
    ETHER_SIZE = 14
    VLAN_SIZE = 4           # VLAN_HLEN: a device takes frames of its MTU with a tag
    ETHER_IPV4 = 0x0800
    ETHER_ARP = 0x0806
    ETHER_IPV6 = 0x86DD

cpdef enum Proto:           # IPPROTO_*
    PROTO_ICMP = 1
    PROTO_TCP = 6
    PROTO_UDP = 17
    PROTO_DCCP = 33
    PROTO_GRE = 47
    PROTO_ICMPV6 = 58
    PROTO_SCTP = 132
    PROTO_UDPLITE = 136

cpdef enum ChecksumState:
    CHECKSUM_UNSEEN = 0     # not looked at yet
    CHECKSUM_RIGHT = 1
    CHECKSUM_WRONG = 2
    CHECKSUM_PARTIAL = 3    # the pseudo-header's sum only: the sender's device would finish it
    CHECKSUM_NONE = 4       # absent (UDP zero), or the capture does not hold all it covers

cpdef enum TcpFlag:
    TCP_FIN = 1
    TCP_SYN = 2
    TCP_RST = 4
    TCP_PSH = 8
    TCP_ACK = 16

cpdef enum OptionFlag:      # of ip_options_t
    OPTIONS_CHANGED = 1             # is_changed: the header's checksum is not right any more
    OPTIONS_WANT_ADDRESS = 2        # rr_needaddr
    OPTIONS_WANT_STAMP_ADDRESS = 4  # ts_needaddr
    OPTIONS_WANT_TIME = 8           # ts_needtime
    OPTIONS_HIT = 16                # srr_is_hit

# struct ip_options: where they are, from the IP header's first byte; 0 = nowhere.
cdef struct ip_options_t:
    addr_t next_hop         # of a source route that led to this node
    uint8_t record_at, stamp_at, source_at, cipso_at
    uint8_t flags           # OptionFlag
    uint8_t padding[3]

cdef struct packet_t:
    uint8_t* buffer         # BUFFER_SIZE bytes
    uint8_t* frame          # first byte of the Ethernet header, inside buffer
    uint32_t size           # bytes present, from frame
    uint32_t length         # bytes on the wire, from frame; >= size
    # parsed: see packet_parse
    uint32_t ip_length      # IP header and payload, as the header says
    uint32_t thoff          # offset of what follows the IP header and its extensions
    uint32_t l4             # offset of the transport header from frame; 0 = none in sight
    uint16_t ethertype
    uint8_t family          # 4, 6; 0 = not IP
    uint8_t proto           # transport protocol
    uint8_t ttl             # hop limit
    uint8_t tos             # traffic class
    uint8_t tcp_flags
    uint8_t is_fragment     # offset or more-fragments set
    uint8_t has_authentication  # an IPv6 authentication header stands before what it carries
    uint8_t is_first        # fragment offset is 0
    uint8_t dont_fragment
    uint8_t has_ports       # sport and dport were read
    uint8_t checksum        # ChecksumState
    uint16_t fragment_offset    # in units of 8 bytes
    uint16_t sport, dport   # ICMP: identifier, type << 8 | code
    addr_t src, dst
    # on its way
    uint32_t mark
    uint32_t realms         # of the route by which it arrived or leaves: from << 16 | to
    int32_t connection      # index; -1 = none
    uint16_t zone           # conntrack zone that CT --zone set, before conntrack_in
    uint8_t zone_directions     # it holds for: 1 the original direction, 2 the reply's
    uint8_t zone_is_mark    # the zone is the packet's mark
    uint8_t is_occupied     # it answers what is untracked: no CT rule looks at it (nf_ct_attach)
    uint8_t has_template    # a CT rule said how its connection is to be made
    uint8_t ctinfo          # CtInfo
    uint8_t direction       # 0 original, 1 reply
    uint8_t is_tracked      # conntrack has looked at it
    uint8_t is_local        # sent by the node itself
    uint8_t is_copy         # that a TEE sends: no socket has sent it
    uint8_t is_made         # made by a node on the way: an ICMP error, a reset, an ARP reply
    uint8_t encapsulations
    uint8_t prerouting_done
    uint8_t is_for_port     # its link-layer destination is the bridge port's own
    uint8_t is_looped       # on its way into the loopback device it left by
    uint8_t is_gso          # a segment that its sender's device would have cut up
    uint8_t destination_changed
    uint8_t ignore_df       # skb->ignore_df: it was put together here, and may be cut again
    uint8_t is_listed       # its fragments are remembered: see packet_boundaries
    uint8_t fragment_df     # IPSKB_FRAG_PMTU: fragments of it get the DF bit
    uint16_t listed_from    # of such a packet: bytes of its headers that came with every fragment
    uint32_t fragment_max   # frag_max_size: length of its longest fragment; 0 = it came whole
    int32_t in_device, out_device   # as hooks see them; -1 = none
    int32_t error_device    # whose address an error of IPv6 comes from, if not in_device's; -1
    int32_t entered_by      # device by which it entered this node; -1 = sent by the node
    int32_t must_leave_by   # device that a tunnel is bound to; -1 = any
    int32_t bridge_port     # bridge port whose netfilter hooks it met on entry; -1 = none
    int32_t bridge_port_out  # bridge port that a bridge sends it by; -1 = none, or not known yet
    int32_t node            # where it is
    int32_t route           # by which it leaves; -1 = not routed
    addr_t next_hop         # where the route has no gateway; zero = the destination
    uint8_t generated       # Generated, of a pending packet
    uint8_t is_routed       # a pending packet whose route is known
    uint8_t send_raw        # a pending packet that leaves by out_device as it stands
    ip_options_t options    # as they were read where it came in
    uint8_t is_arriving     # a pending packet that arrives at out_device
    uint16_t refusal        # Reason why its IP header is refused; 0 = it is sound

# RFC 8200 section 4: hop-by-hop 0, routing 43, fragment 44, AH 51, destination options 60.
cdef inline bint is_extension(uint8_t proto) noexcept nogil:
    return proto in (0, 43, 44, 51, 60)

# Where a match that does not ask whether a packet is a fragment finds the transport header: in the
# middle of its payload, and of an IPv6 one in the IPv6 header (ipv6_find_hdr leaves thoff at 0).
cdef inline uint32_t tcp_header(const packet_t* packet) noexcept nogil:
    return ETHER_SIZE if packet.family == 6 and not packet.is_first else packet.thoff

# 0, or the Reason why ip_rcv (ipv6_rcv) refuses the packet.  Reads the frame's network header:
# fills everything down to `dst`.  Leaves family 0 when the frame is not IP.
cdef int packet_parse(packet_t* packet) noexcept nogil
# Cuts what an Ethernet device padded: the frame ends where the IP packet ends.
cdef void packet_trim(packet_t* packet) noexcept nogil

# ChecksumState of the transport checksum, looked at once per packet.
cdef uint8_t packet_checksum(packet_t* packet) noexcept nogil

# nf_reject_verify_csum, nf_checksum: whether a REJECT may answer; of some protocols nobody looks.
# The CRC of an SCTP packet anew, right or wrong before; all of it must be there.
cdef void packet_finish_sctp(packet_t* packet) noexcept nogil
cdef bint packet_sums_up(packet_t* packet, bint has_dccp) noexcept nogil

# nf_ip_checksum sums the IP header with what it carries, taking it to be right: it is not while its
# options are changed.
cdef bint packet_is_spoilt(const packet_t* packet) noexcept nogil
# conntrack had found its checksum right before that.
cdef bint packet_is_verified(const packet_t* packet) noexcept nogil

cdef inline uint8_t initial_ttl(uint8_t ttl) noexcept nogil:
    """The TTL that the sender gave, by the hops it has left: 64, 128 or 255."""
    if ttl <= 64:
        return 64
    return 128 if ttl <= 128 else 255

# skb_checksum_help: what the sender left to a device is done now.
cdef void packet_finish_checksum(packet_t* packet) noexcept nogil

# Each edits the bytes, the checksums that cover them (RFC 1624) and the parsed field.
cdef void packet_set_src(packet_t* packet, addr_t address) noexcept nogil
cdef void packet_set_dst(packet_t* packet, addr_t address) noexcept nogil
cdef void packet_set_sport(packet_t* packet, uint16_t port) noexcept nogil
cdef void packet_set_dport(packet_t* packet, uint16_t port) noexcept nogil
cdef void packet_set_ttl(packet_t* packet, uint8_t ttl) noexcept nogil
cdef void packet_set_tos(packet_t* packet, uint8_t tos) noexcept nogil

# Over the extension headers of an IPv6 packet, from `at`: where its transport header begins and
# what it is (`proto` says what stands at `at`); 0 when `size` ends before it.
cdef uint32_t skip_extensions(const uint8_t* data, uint32_t at, uint32_t size, uint8_t* proto,
                              bint* is_first) noexcept nogil

# Where the first fragment header of an IPv6 packet stands, and the byte that announces it; 0 = it
# has none (find_prev_fhdr).
cdef uint32_t fragment_header(const packet_t* packet, uint32_t* next_header) noexcept nogil
# Bytes of an IPv6 packet's headers that each of its fragments repeats (ip6_find_1stfragopt), and
# the byte of them that says what follows; 0 = its headers are damaged.
cdef uint32_t unfragmentable(const packet_t* packet, uint32_t* next_header) noexcept nogil
# Computes what its sender left to a device (skb_checksum_help).  False if bytes are missing.
cdef bint packet_finish(packet_t* packet) noexcept nogil

# pskb_may_pull: so much of the transport header is wanted in one piece.  A packet whose first
# fragment held less is not cut again where it was (measured on Linux 6.18).
cdef void packet_pull(packet_t* packet, uint32_t wanted) noexcept nogil

cdef void packet_copy(packet_t* to, const packet_t* source) noexcept nogil
# Takes a frame; at most FRAME_MAX bytes of it are kept.
cdef void packet_load(packet_t* packet, const uint8_t* frame, uint32_t size,
                      uint32_t length) noexcept nogil
# Forgets conntrack, mark and devices: a packet that changed its node or its tunnel.
cdef void packet_scrub(packet_t* packet) noexcept nogil

# The transport header carries ports that conntrack and NAT know.
cdef inline bint proto_has_ports(uint8_t proto) noexcept nogil:
    return (proto == PROTO_TCP or proto == PROTO_UDP or proto == PROTO_SCTP
            or proto == PROTO_UDPLITE or proto == PROTO_DCCP)

# Whether the IP packet holds these bytes: 0 no, 1 yes, 2 it does, but the capture does not.
cdef inline int packet_holds(const packet_t* packet, uint32_t at, uint32_t count) noexcept nogil:
    if at + count > ETHER_SIZE + packet.ip_length or at + count < at:
        return 0
    return 1 if at + count <= packet.size else 2

# Where each of its fragments began: bit n says that one began at byte 8 n of the payload.
cdef inline uint8_t* packet_boundaries(const packet_t* packet) noexcept nogil:
    return packet.buffer + HEADROOM + FRAME_MAX

cdef inline uint16_t load16(const uint8_t* data) noexcept nogil:
    return <uint16_t>((data[0] << 8) | data[1])

cdef inline uint32_t load32(const uint8_t* data) noexcept nogil:
    return ((<uint32_t>data[0] << 24) | (<uint32_t>data[1] << 16)
            | (<uint32_t>data[2] << 8) | data[3])

cdef inline uint64_t load48(const uint8_t* data) noexcept nogil:
    return (<uint64_t>load16(data) << 32) | load32(data + 2)

cdef inline uint64_t load64(const uint8_t* data) noexcept nogil:
    return (<uint64_t>load32(data) << 32) | load32(data + 4)

cdef inline void store16(uint8_t* data, uint16_t value) noexcept nogil:
    data[0] = <uint8_t>(value >> 8)
    data[1] = <uint8_t>value

cdef inline void store32(uint8_t* data, uint32_t value) noexcept nogil:
    store16(data, <uint16_t>(value >> 16))
    store16(data + 2, <uint16_t>value)

cdef inline void store48(uint8_t* data, uint64_t value) noexcept nogil:
    store16(data, <uint16_t>(value >> 32))
    store32(data + 2, <uint32_t>value)

cdef inline void store64(uint8_t* data, uint64_t value) noexcept nogil:
    store32(data, <uint32_t>(value >> 32))
    store32(data + 4, <uint32_t>value)

cdef inline uint64_t ether_dst(const packet_t* packet) noexcept nogil:
    return load48(packet.frame)

cdef inline uint64_t ether_src(const packet_t* packet) noexcept nogil:
    return load48(packet.frame + 6)

cdef inline bint is_group_mac(uint64_t mac) noexcept nogil:
    return (mac >> 40) & 1
