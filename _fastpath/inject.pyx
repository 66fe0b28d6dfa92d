"""Where recorded frames enter the cluster.  Specified by dataplane.reference.inject.

A capture was taken at some tap, often the client's.  Each flow in it has an initiator: the
one whose SYN, first datagram or echo request is seen first.  Its frames enter where its
address lives.  The responder's recorded frames enter at the endpoint that the flow was
delivered to, rewritten as that endpoint would have sent them, so that both directions are
exercised and conntrack sees a whole conversation.
"""

from libc.string cimport memcpy, memset

from _fastpath.address cimport addr_compare, addr_equal
from _fastpath.fdb cimport fdb_static
from _fastpath.capture cimport frame_t
from _fastpath.conntrack_tuple cimport quoted_transport
from _fastpath.edits cimport LINK_MAX, edit_t
from _fastpath.engine cimport Engine, engine_has_room, record_begin, record_end, run_packet
from _fastpath.established cimport decide, foresee, put, ways_settle
from _fastpath.forwarding cimport address_kind
from _fastpath.image cimport DEVICE_WIRE, ROUTE_LOCAL, device_t, host_t, image_t
from _fastpath.packet cimport (
    ETHER_ARP,
    ETHER_SIZE,
    HEADROOM,
    PROTO_ICMP,
    PROTO_ICMPV6,
    PROTO_TCP,
    TCP_ACK,
    TCP_SYN,
    ether_dst,
    ether_src,
    fragment_header,
    initial_ttl,
    is_group_mac,
    load16,
    load32,
    load48,
    load64,
    packet_load,
    packet_parse,
    packet_set_dport,
    packet_set_dst,
    packet_set_sport,
    packet_set_src,
    packet_set_ttl,
    packet_t,
    proto_has_ports,
    store32,
    store48,
)
from _fastpath.peek cimport (
    BATCH,
    address_digest,
    addresses_turned,
    job_t,
    key_hash,
    look,
    ports_turned,
)
from _fastpath.reason cimport (
    ANSWERED_BY_NODE,
    DELIVERED,
    DROPPED,
    FORWARDED,
    NO_ENTRY,
    NOT_IP,
    ONE_WAY,
    RECORDED_ERROR,
    SKIPPED,
    UNANSWERED,
    UNKNOWN,
)
from _fastpath.prefetch cimport prefetch
from _fastpath.recorded_way cimport (
    EDITS_MAX,
    before_t,
    flow_way_t,
    recorded_way_t,
    way_begin,
    way_record,
    ways_rehash,
    ways_t,
)
from _fastpath.state cimport walk_t
from _fastpath.trace cimport GENERATED_COPY, record_t, trace_t

WAY_SIZE = sizeof(recorded_way_t)
EDIT_SIZE = sizeof(edit_t)

cdef enum:
    NOWHERE = -0x7FFFFFFF - 1

# The two ends of a packet as its flow knows them.
cdef struct ends_t:
    addr_t src, dst
    uint16_t sport, dport
    uint8_t family, proto


cdef inline bint is_own_icmp(uint8_t family, uint8_t proto) noexcept nogil:
    """The other family's ICMP is a protocol like any other."""
    return proto == (PROTO_ICMP if family == 4 else PROTO_ICMPV6)


cdef inline bint is_query_type(uint8_t family, uint16_t type) noexcept nogil:
    """An ICMP query or the reply to one: both carry an identifier."""
    if family == 4:
        return type in (0, 8, 13, 14, 15, 16, 17, 18)
    return type in (128, 129, 139, 140)


cdef inline bint has_icmp(const packet_t* packet) noexcept nogil:
    return packet.has_ports and is_own_icmp(packet.family, packet.proto)


cdef inline bint is_icmp_query(const packet_t* packet) noexcept nogil:
    return has_icmp(packet) and is_query_type(packet.family, packet.dport >> 8)


cdef inline bint is_icmp_reply(const packet_t* packet) noexcept nogil:
    cdef uint16_t type = packet.dport >> 8
    if not has_icmp(packet):
        return False
    if packet.family == 4:
        return type in (0, 14, 16, 18)
    return type == 129 or type == 140


cdef inline bint is_icmp_error(const packet_t* packet) noexcept nogil:
    cdef uint16_t type = packet.dport >> 8
    if not has_icmp(packet):
        return False
    if packet.family == 4:
        return type in (3, 4, 5, 11, 12)        # RFC 1122, section 3.2.2
    return type < 128                           # RFC 4443, section 2.1


cdef void packet_ends(const packet_t* packet, ends_t* ends) noexcept nogil:
    ends.src = packet.src
    ends.dst = packet.dst
    ends.family = packet.family
    ends.proto = packet.proto
    ends.sport = ends.dport = 0
    if is_icmp_query(packet):
        ends.sport = ends.dport = packet.sport
    elif proto_has_ports(packet.proto) and packet.has_ports:
        ends.sport = packet.sport
        ends.dport = packet.dport


cdef bint quoted_ends(packet_t* packet, ends_t* ends) noexcept nogil:
    """The ends of the packet that an ICMP error quotes, without what pads the frame."""
    cdef uint32_t at, size = packet.size
    cdef const uint8_t* ip
    packet.size = min(size, ETHER_SIZE + packet.ip_length)
    at = quoted_transport(packet, &ends.proto)
    if at and proto_has_ports(ends.proto) and at + 4 > packet.size:
        at = 0
    packet.size = size
    if at == 0:
        return False
    ip = packet.frame + packet.l4 + 8
    ends.family = packet.family
    if packet.family == 4:
        ends.src = addr_t(0, load32(ip + 12))
        ends.dst = addr_t(0, load32(ip + 16))
    else:
        ends.src = addr_t(load64(ip + 8), load64(ip + 16))
        ends.dst = addr_t(load64(ip + 24), load64(ip + 32))
    ends.sport = ends.dport = 0
    if is_own_icmp(ends.family, ends.proto):
        if is_query_type(ends.family, packet.frame[at]):
            ends.sport = ends.dport = load16(packet.frame + at + 4)
    elif proto_has_ports(ends.proto):
        ends.sport = load16(packet.frame + at)
        ends.dport = load16(packet.frame + at + 2)
    return True


cdef inline uint32_t as_in_frames(uint32_t number) noexcept nogil:
    """Of which the bytes in memory, read in network order, are `number`."""
    cdef uint8_t[4] bytes
    store32(&bytes[0], number)
    memcpy(&number, &bytes[0], 4)
    return number


cdef inline uint64_t address_key(uint8_t family, addr_t address) noexcept nogil:
    if family == 4:
        return as_in_frames(<uint32_t>address.lo)
    return address_digest(address.hi, address.lo)


cdef void key_of(const ends_t* ends, flow_way_t* key) noexcept nogil:
    """By what peek.pyx knows the packets from `src` to `dst`."""
    key.family, key.proto = ends.family, ends.proto
    key.addresses = (address_key(ends.family, ends.src)
                     | address_key(ends.family, ends.dst) << 32)
    key.ports = as_in_frames(<uint32_t>ends.sport << 16 | ends.dport)


cdef inline bint is_way_of(const flow_way_t* way, uint64_t addresses, uint32_t ports,
                           uint8_t family, uint8_t proto) noexcept nogil:
    return ((way.addresses == addresses) & (way.ports == ports) & (way.family == family)
            & (way.proto == proto))


# -------------------------------------------------------------------------------- entries


cdef uint32_t first_host(const image_t* image, uint8_t family, addr_t address) noexcept nogil:
    """Where in host_by_address the rows of an address begin, if it has any."""
    cdef uint32_t low = 0, high = image.host_count, middle
    cdef const host_t* host
    cdef int order
    while low < high:
        middle = (low + high) >> 1
        host = &image.hosts[image.host_by_address[middle]]
        order = <int>host.family - <int>family
        if order == 0:
            order = addr_compare(host.address, address)
        if order < 0:
            low = middle + 1
        else:
            high = middle
    return low


cdef int32_t host_behind(const image_t* image, uint8_t family, addr_t address, int32_t device,
                         int32_t bridge) noexcept nogil:
    """Row of the host with an address behind a port; -1 if there is none.

    device, bridge  the port, and the bridge it must be a port of; -1 = any
    """
    cdef uint32_t i
    cdef const host_t* host
    cdef const device_t* port
    for i in range(first_host(image, family, address), image.host_count):
        host = &image.hosts[image.host_by_address[i]]
        if host.family != family or not addr_equal(host.address, address):
            break
        port = &image.devices[host.device]
        if port.kind == DEVICE_WIRE or not host.has_address:
            continue
        if (device < 0 or host.device == device) and (bridge < 0 or port.master == bridge):
            return <int32_t>image.host_by_address[i]
    return -1


cdef bint is_unique(uint8_t family, addr_t address) noexcept nogil:
    """Loopback and link-local addresses do not say where a packet is from."""
    if family == 4:
        return address.lo >> 24 != 127 and address.lo >> 16 != 0xA9FE       # RFC 3927
    if address.hi >> 54 == 0x3FA:
        return False                            # fe80::/10, RFC 4291 section 2.5.6
    return address.hi != 0 or address.lo != 1


cdef int32_t node_of_address(const image_t* image, const ends_t* ends) noexcept nogil:
    """The node to which an address is local; -1 if none."""
    cdef uint32_t node
    if not is_unique(ends.family, ends.src):
        return -1
    for node in range(image.node_count):
        if address_kind(image, <int32_t>node, ends.family, ends.src, -1) == ROUTE_LOCAL:
            return <int32_t>node
    return -1


cdef int32_t wire_of_mac(const image_t* image, uint64_t mac) noexcept nogil:
    cdef uint32_t device
    if mac == 0:                                # of a capture that keeps none
        return -1
    for device in range(image.device_count):
        if image.devices[device].kind == DEVICE_WIRE and image.devices[device].mac == mac:
            return <int32_t>device
    return -1


cdef int32_t wire_of_address(const image_t* image, uint8_t family,
                             addr_t address) noexcept nogil:
    """The wire device that has an address; else the first of the node where its host lives."""
    cdef uint32_t i, j
    cdef const device_t* device
    cdef int32_t row = host_behind(image, family, address, -1, -1)
    for i in range(image.device_count):
        device = &image.devices[i]
        if device.kind != DEVICE_WIRE:
            continue
        for j in range(device.address_start, device.address_start + device.address_count):
            if (image.addresses[j].family == family
                    and addr_equal(image.addresses[j].address, address)):
                return <int32_t>i
    if row < 0:
        return -1
    for i in range(image.device_count):
        device = &image.devices[i]
        if (device.kind == DEVICE_WIRE
                and device.node == image.devices[image.hosts[row].device].node):
            return <int32_t>i
    return -1


cdef void find_entry(const image_t* image, const ends_t* ends, uint64_t mac,
                     flow_t* flow) noexcept nogil:
    """Where the initiator's frames enter: its own device, its node, or a wire.

    mac  to which the outside sent them, as recorded
    """
    cdef int32_t node
    flow.host = host_behind(image, ends.family, ends.src, -1, -1)
    if flow.host >= 0:
        flow.entry = image.hosts[flow.host].device
        return
    node = node_of_address(image, ends)
    if node >= 0:
        flow.entry = ~node
        return
    flow.entry = wire_of_mac(image, mac)
    if flow.entry < 0:
        flow.entry = wire_of_address(image, ends.family, ends.dst)
    if flow.entry < 0:
        flow.entry = NOWHERE


cdef bint is_on_link(const host_t* host, addr_t address) noexcept nogil:
    cdef uint64_t mask_hi = 0, mask_lo = 0
    cdef uint32_t length = host.prefixlen
    if host.family == 4:
        mask_lo = (<uint64_t>0xFFFFFFFFu << (32 - length)) & <uint64_t>0xFFFFFFFFu if length else 0
    else:
        mask_hi = all_ones(min(length, <uint32_t>64))
        mask_lo = all_ones(length - 64) if length > 64 else 0
    return (((host.address.hi ^ address.hi) & mask_hi)
            | ((host.address.lo ^ address.lo) & mask_lo)) == 0


cdef inline uint64_t all_ones(uint32_t bits) noexcept nogil:
    """The top `bits` of 64 set."""
    return 0 if bits == 0 else (~<uint64_t>0) << (64 - bits)


cdef uint64_t next_hop_mac(const image_t* image, const host_t* host,
                           addr_t destination) noexcept nogil:
    """MAC address to which a host sends: its neighbour's on the same bridge, else its gateway's."""
    cdef const device_t* port = &image.devices[host.device]
    cdef int32_t row
    if port.master >= 0 and is_on_link(host, destination):
        row = host_behind(image, host.family, destination, -1, port.master)
        if row >= 0:
            return image.hosts[row].mac
    return host.gateway_mac


cdef bint mac_is_known(const image_t* image, int32_t device, uint64_t mac) noexcept nogil:
    cdef const device_t* dev = &image.devices[device]
    if is_group_mac(mac) or mac == dev.mac:
        return True
    return dev.master >= 0 and fdb_static(image, dev.master, mac) >= 0


cdef void address_frame(const image_t* image, const flow_t* flow, packet_t* packet) noexcept nogil:
    """The link-layer addresses that the frame has here, where the recorded ones mean nothing."""
    cdef const host_t* host
    if flow.entry < 0 or mac_is_known(image, flow.entry, ether_dst(packet)):
        return
    if flow.host < 0:
        store48(packet.frame, image.devices[flow.entry].mac)
        return
    host = &image.hosts[flow.host]
    store48(packet.frame, next_hop_mac(image, host, packet.dst))
    store48(packet.frame + 6, host.mac)


# ----------------------------------------------------------------------------- responders


cdef int32_t turn_round(const image_t* image, const flow_t* flow, packet_t* packet) noexcept nogil:
    """Rewrite a recorded reply as the endpoint would have sent it.  Where it enters."""
    cdef int32_t row
    packet_set_src(packet, flow.end_dst)
    packet_set_dst(packet, flow.end_src)
    if is_icmp_query(packet):
        packet_set_sport(packet, flow.end_sport)
    elif packet.has_ports and proto_has_ports(packet.proto):
        packet_set_sport(packet, flow.end_dport)
        packet_set_dport(packet, flow.end_sport)
    packet_set_ttl(packet, initial_ttl(packet.ttl))
    if flow.place < 0:
        return flow.place
    store48(packet.frame, flow.end_ether_src)
    store48(packet.frame + 6, flow.end_ether_dst)
    row = host_behind(image, flow.family, flow.end_dst, flow.place, -1)
    if row >= 0:
        store48(packet.frame, next_hop_mac(image, &image.hosts[row], flow.end_src))
    return flow.place


cdef bint has_answers(const walk_t* walk) noexcept nogil:
    cdef uint32_t i
    for i in range(walk.pending_count):
        if walk.pending[i].generated != GENERATED_COPY:
            return True
    return False


cdef bint arrived(const walk_t* walk) noexcept nogil:
    """The packet came to somebody; it, and not one that it carried: a tunnel's packets are not
    answered by who is in it."""
    cdef const packet_t* packet = walk.packet
    return ((walk.verdict == DELIVERED or walk.verdict == FORWARDED)
            and packet.frame == packet.buffer + HEADROOM)


cdef bint ends_as_before(const flow_t* flow, const walk_t* walk) noexcept nogil:
    """It arrived where the one before did, as it did."""
    cdef const packet_t* packet = walk.packet
    return (flow.place == walk.place and addr_equal(flow.end_src, packet.src)
            and addr_equal(flow.end_dst, packet.dst) and flow.end_sport == packet.sport
            and flow.end_dport == packet.dport and flow.end_ether_src == ether_src(packet)
            and flow.end_ether_dst == ether_dst(packet))


# --------------------------------------------------------------------------------- flows


cdef enum:
    HEADS = 64          # first fragments that are remembered

# A first fragment: whose flow the others of its packet belong to.
cdef struct head_t:
    ends_t ends
    uint32_t id
    uint32_t flow
    bint reply


cdef uint32_t identification(const packet_t* packet) noexcept nogil:
    cdef uint32_t at, field = 0
    if packet.family == 4:
        return load16(packet.frame + ETHER_SIZE + 4)
    at = fragment_header(packet, &field)
    return load32(packet.frame + at + 4) if at and at + 8 <= packet.size else 0


cdef class Injector:
    """The flows of a capture, and the frames through an Engine.

    flows    (capacity,) FLOW
    ways     (capacity * 2,) FLOW_WAY, zero: the two directions of each
    buckets  (power of two,) int32, all -1
    clients  (n,) ADDR: those who are initiators whatever is seen first
    raw      entry of every frame (a device, or ~node), or None
    """

    cdef Engine engine
    cdef flow_t* flows
    cdef int32_t* buckets
    cdef const addr_t* clients
    cdef uint32_t flow_max, bucket_mask, client_count
    cdef readonly uint32_t flow_count
    cdef ways_t ways
    cdef before_t before
    cdef job_t[64] jobs             # BATCH
    cdef edit_t[16] draft           # EDITS_MAX
    cdef readonly uint64_t taken    # packets that took a recorded way
    cdef uint32_t flags
    cdef int32_t entry
    cdef head_t[HEADS] heads
    cdef uint32_t head_count        # how many there ever were
    cdef object kept, kept_ways, kept_clients

    def __init__(self, Engine engine not None, flow_t[::1] flows not None,
                 flow_way_t[::1] ways not None, int32_t[::1] buckets not None,
                 const addr_t[::1] clients not None, raw=None, bint one_way=False):
        memset(&self.ways, 0, sizeof(ways_t))
        memset(self.jobs, 0, sizeof(self.jobs))
        memset(&self.before, 0, sizeof(before_t))
        self.ways.draft = self.draft
        self.engine = engine
        self.flow_count = self.head_count = 0
        self.flags = INJECT_ONE_WAY if one_way else 0
        self.client_count = <uint32_t>clients.shape[0]
        if self.client_count:
            self.clients = &clients[0]
        if raw is not None:
            self.flags |= INJECT_RAW
            self.entry = raw
        self.point_flows(flows, ways, buckets)
        self.kept_clients = clients

    def point_flows(self, flow_t[::1] flows not None, flow_way_t[::1] ways not None,
                    int32_t[::1] buckets not None):
        """Take the addresses of longer arrays.  `buckets` must be all -1: it is filled anew."""
        cdef uint32_t i
        if ways.shape[0] < 2 * flows.shape[0]:
            raise ValueError(f"{ways.shape[0]} ways for {flows.shape[0]} flows")
        self.flows = &flows[0]
        self.ways.flows = &ways[0]
        self.buckets = &buckets[0]
        self.flow_max = <uint32_t>flows.shape[0]
        self.bucket_mask = <uint32_t>buckets.shape[0] - 1
        self.kept = (flows, ways, buckets)
        for i in range(self.flow_count):
            self.link(i)

    @property
    def recorded(self):
        """(ways, output frames of ways) that are kept."""
        return self.ways.way_count, self.ways.edit_count

    def point_ways(self, uint8_t[::1] ways not None, uint32_t[::1] slots not None,
                   uint8_t[::1] edits not None):
        """Where ways are recorded; nothing is before.  Beyond what there is room for none is.

        ways   (n * WAY_SIZE,), those of before and zeros
        slots  (power of two, more than n,), zero: filled anew
        edits  (output frames * EDIT_SIZE,): of all ways together
        """
        self.ways.ways = <recorded_way_t*>&ways[0]
        self.ways.way_max = <uint32_t>(ways.shape[0] // <Py_ssize_t>sizeof(recorded_way_t))
        if <uint32_t>slots.shape[0] <= self.ways.way_max:
            raise ValueError(f"{slots.shape[0]} slots for {self.ways.way_max} ways")
        self.ways.slots = &slots[0]
        self.ways.slot_mask = <uint32_t>slots.shape[0] - 1
        self.ways.edits = <edit_t*>&edits[0]
        self.ways.edit_max = <uint32_t>(edits.shape[0] // <Py_ssize_t>sizeof(edit_t))
        ways_rehash(&self.ways)
        # What is told of values, or chosen from outside, is told and chosen packet by packet.
        self.ways.is_on = (self.engine.trace.event_max == 0
                           and self.engine.state.choice_count == 0
                           and not self.flags & INJECT_RAW)
        self.kept_ways = (ways, slots, edits)

    cdef void name(self, uint32_t index) noexcept nogil:
        """The keys of a flow's directions."""
        cdef const flow_t* flow = &self.flows[index]
        cdef flow_way_t* way = &self.ways.flows[2 * index]
        cdef ends_t ends = ends_t(flow.initiator, flow.responder, flow.initiator_port,
                                  flow.responder_port, flow.family, flow.proto)
        key_of(&ends, way)
        way[1].family, way[1].proto = way.family, way.proto
        way[1].addresses = addresses_turned(way.addresses)
        way[1].ports = ports_turned(way.ports)

    cdef void link(self, uint32_t index) noexcept nogil:
        cdef flow_way_t* way = &self.ways.flows[2 * index]
        cdef uint32_t bucket = key_hash(
            way.addresses, way.ports, way.proto) & self.bucket_mask
        way.next = self.buckets[bucket]
        self.buckets[bucket] = <int32_t>index

    cdef flow_t* find(self, const ends_t* ends, bint* reply) noexcept nogil:
        cdef flow_way_t key
        cdef flow_t* flow
        cdef int32_t here
        cdef uint32_t direction
        key_of(ends, &key)
        here = self.buckets[
            key_hash(key.addresses, key.ports, key.proto) & self.bucket_mask]
        while here >= 0:
            flow = &self.flows[here]
            for direction in range(2):
                if is_way_of(&self.ways.flows[2 * here + direction], key.addresses, key.ports,
                             key.family, key.proto) and (
                        addr_equal(flow.responder if direction else flow.initiator, ends.src)
                        and addr_equal(flow.initiator if direction else flow.responder, ends.dst)):
                    reply[0] = direction != 0
                    return flow
            here = self.ways.flows[2 * here].next
        return NULL

    cdef void remember(self, const packet_t* packet, const ends_t* ends, const flow_t* flow,
                       bint reply) noexcept nogil:
        """The first fragment alone has ports: those that follow belong where it belongs."""
        cdef head_t* head = &self.heads[self.head_count % HEADS]
        if not packet.is_fragment or not packet.is_first:
            return
        head.ends = ends[0]
        head.id = identification(packet)
        head.flow = <uint32_t>(flow - self.flows)
        head.reply = reply
        self.head_count += 1

    cdef flow_t* flow_of_fragment(self, const packet_t* packet, const ends_t* ends,
                                  bint* reply) noexcept nogil:
        cdef const head_t* head
        cdef uint32_t back
        if packet.is_first:
            return NULL
        for back in range(min(self.head_count, <uint32_t>HEADS)):
            head = &self.heads[(self.head_count - 1 - back) % HEADS]
            if (head.id == identification(packet) and head.ends.family == ends.family
                    and head.ends.proto == ends.proto and addr_equal(head.ends.src, ends.src)
                    and addr_equal(head.ends.dst, ends.dst)):
                reply[0] = head.reply
                return &self.flows[head.flow]
        return NULL

    cdef bint is_client(self, addr_t address) noexcept nogil:
        cdef uint32_t i
        for i in range(self.client_count):
            if addr_equal(self.clients[i], address):
                return True
        return False

    cdef bint begins(self, const packet_t* packet, const ends_t* ends) noexcept nogil:
        """The sender of a flow's first packet is its initiator."""
        if self.is_client(ends.src):
            return True
        if self.is_client(ends.dst):
            return False
        if packet.proto == PROTO_TCP and packet.tcp_flags & TCP_SYN:
            return not packet.tcp_flags & TCP_ACK
        return not is_icmp_reply(packet)

    cdef flow_t* open(self, const packet_t* packet, const ends_t* ends,
                      bint* reply) noexcept nogil:
        cdef flow_t* flow = &self.flows[self.flow_count]
        memset(flow, 0, sizeof(flow_t))
        flow.family = ends.family
        flow.proto = ends.proto
        flow.place = NOWHERE
        reply[0] = not self.begins(packet, ends)
        self.orient(flow, packet, ends, reply[0])
        memset(self.way_of(flow, False), 0, 2 * sizeof(flow_way_t))
        self.name(self.flow_count)
        self.link(self.flow_count)
        self.flow_count += 1
        return flow

    cdef void orient(self, flow_t* flow, const packet_t* packet, const ends_t* ends,
                     bint reply) noexcept nogil:
        cdef ends_t turned = ends[0]
        cdef uint64_t mac = ether_dst(packet)
        if reply:
            mac = ether_src(packet)             # the wire is where the answer came from
            turned.src, turned.dst = ends.dst, ends.src
            turned.sport, turned.dport = ends.dport, ends.sport
        flow.initiator = turned.src
        flow.responder = turned.dst
        flow.initiator_port = turned.sport
        flow.responder_port = turned.dport
        find_entry(&self.engine.image, &turned, mac, flow)

    cdef void skip(self, record_t* record, uint8_t verdict, uint16_t reason) noexcept nogil:
        record.verdict = verdict
        record.reason = reason
        record.end_src = record.src
        record.end_dst = record.dst
        record.end_family = record.family
        record.end_sport = record.sport
        record.end_dport = record.dport
        self.engine.trace.count = 0

    cdef void walk(self, record_t* record, int32_t entry, uint32_t number) noexcept nogil:
        record.entry = entry
        run_packet(&self.engine.walk, record.time_ns, entry, number)
        record_end(record, &self.engine.walk)

    cdef void begin_recording(self, bint reply) noexcept nogil:
        if self.ways.is_on:
            way_begin(&self.engine.walk, &self.engine.packet, reply, &self.before)

    cdef void end_recording(self, const flow_t* flow, const record_t* record) noexcept nogil:
        if self.ways.is_on:
            way_record(&self.ways, self.way_of(flow, record.reply), &self.engine.walk,
                       &self.before, record)

    cdef flow_way_t* way_of(self, const flow_t* flow, bint reply) noexcept nogil:
        return &self.ways.flows[(flow - self.flows) * 2 + reply]

    cdef void forget_ways(self, const flow_t* flow) noexcept nogil:
        self.way_of(flow, False).way = self.way_of(flow, True).way = 0

    cdef void inject_arp(self, record_t* record, uint32_t number) noexcept nogil:
        """What hosts and the outside ask and say.  Nodes speak for themselves."""
        cdef packet_t* packet = &self.engine.packet
        cdef const uint8_t* arp = packet.frame + ETHER_SIZE
        cdef ends_t ends
        cdef flow_t flow
        memset(&ends, 0, sizeof(ends_t))
        ends.family = 4
        # RFC 826, of IPv4 on Ethernet; a probe (RFC 5227) has no sender.
        if (packet.size < ETHER_SIZE + 28 or load32(arp) != 0x00010800
                or load16(arp + 4) != 0x0604 or load32(arp + 14) == 0):
            self.skip(record, SKIPPED, NO_ENTRY)
            return
        if ether_src(packet) == 0:
            # The capture keeps no MAC addresses, but the message does.
            store48(packet.frame + 6, load48(arp + 8))
            store48(packet.frame, <uint64_t>0xFFFFFFFFFFFFu if load16(arp + 6) == 1
                    else load48(arp + 18))
        ends.src = addr_t(0, load32(arp + 14))
        ends.dst = addr_t(0, load32(arp + 24))
        find_entry(&self.engine.image, &ends, ether_dst(packet), &flow)
        if flow.entry == NOWHERE:
            self.skip(record, SKIPPED, NO_ENTRY)
        elif flow.entry < 0:
            self.skip(record, SKIPPED, ANSWERED_BY_NODE)
        else:
            self.walk(record, flow.entry, number)

    cdef void inject_error(self, record_t* record, uint32_t number) noexcept nogil:
        """A recorded ICMP error enters only if the initiator of the flow it quotes sent it."""
        cdef packet_t* packet = &self.engine.packet
        cdef ends_t ends
        cdef bint reply = False
        cdef flow_t* flow
        if not quoted_ends(packet, &ends):
            self.skip(record, SKIPPED, RECORDED_ERROR)
            return
        flow = self.find(&ends, &reply)
        if flow == NULL:
            self.skip(record, SKIPPED, RECORDED_ERROR)
            return
        record.flow = <uint32_t>(flow - self.flows)
        if not reply:
            # It quotes the initiator's packet: the other side, or a node, sent it.
            self.skip(record, SKIPPED, ANSWERED_BY_NODE if flow.is_answered else RECORDED_ERROR)
            record.reply = 1
        elif flow.entry == NOWHERE:
            self.skip(record, SKIPPED, NO_ENTRY)
        else:
            address_frame(&self.engine.image, flow, packet)
            self.walk(record, flow.entry, number)

    cdef void inject_initiator(self, record_t* record, flow_t* flow,
                               uint32_t number) noexcept nogil:
        cdef packet_t* packet = &self.engine.packet
        cdef walk_t* walk = &self.engine.walk
        if flow.entry == NOWHERE:
            self.skip(record, SKIPPED, NO_ENTRY)
            return
        self.begin_recording(False)
        address_frame(&self.engine.image, flow, packet)
        self.walk(record, flow.entry, number)
        self.end_recording(flow, record)
        if has_answers(walk):
            flow.is_answered = 1
        if not arrived(walk):
            if flow.place == NOWHERE:
                flow.verdict = walk.verdict
            return
        flow.verdict = walk.verdict
        if not packet.is_first and flow.place != NOWHERE:
            return                              # it has no ports to answer to
        if self.ways.is_on and not ends_as_before(flow, walk):
            self.way_of(flow, True).way = 0     # replies come from elsewhere now
        flow.place = walk.place
        flow.end_src = packet.src
        flow.end_dst = packet.dst
        flow.end_sport = packet.sport
        flow.end_dport = packet.dport
        flow.end_ether_src = ether_src(packet)
        flow.end_ether_dst = ether_dst(packet)

    cdef void inject_responder(self, record_t* record, flow_t* flow,
                               uint32_t number) noexcept nogil:
        record.reply = 1
        if self.flags & INJECT_ONE_WAY:
            self.skip(record, SKIPPED, ONE_WAY)
        elif flow.place == NOWHERE:
            self.skip(record, SKIPPED, ANSWERED_BY_NODE if flow.is_answered else UNANSWERED)
        else:
            self.begin_recording(True)
            self.walk(record, turn_round(&self.engine.image, flow, &self.engine.packet), number)
            self.end_recording(flow, record)

    cdef void inject_ip(self, record_t* record, uint32_t number) noexcept nogil:
        cdef packet_t* packet = &self.engine.packet
        cdef ends_t ends
        cdef bint reply = False
        cdef flow_t* flow
        if is_icmp_error(packet):
            self.inject_error(record, number)
            return
        packet_ends(packet, &ends)
        flow = self.flow_of_fragment(packet, &ends, &reply)
        if flow == NULL:
            flow = self.find(&ends, &reply)
        if flow == NULL:
            flow = self.open(packet, &ends, &reply)
        elif reply and packet.proto == PROTO_TCP and (
                packet.tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN and (
                not self.is_client(flow.initiator)):
            # The other side opens a connection of its own with the same ports.
            reply = False
            self.forget_ways(flow)
            self.orient(flow, packet, &ends, False)
            self.name(<uint32_t>(flow - self.flows))
            flow.place = NOWHERE
            flow.verdict = flow.is_answered = 0
            flow.end_src = flow.end_dst = addr_t(0, 0)
            flow.end_sport = flow.end_dport = 0
            flow.end_ether_src = flow.end_ether_dst = 0
        flow.packets += 1
        self.remember(packet, &ends, flow, reply)
        record.flow = <uint32_t>(flow - self.flows)
        if reply:
            self.inject_responder(record, flow, number)
        else:
            self.inject_initiator(record, flow, number)

    cdef void inject(self, const frame_t* frame, const uint8_t* data, record_t* record,
                     uint32_t number) noexcept nogil:
        cdef packet_t* packet = &self.engine.packet
        cdef int reason
        packet_load(packet, data + frame.offset, frame.captured, frame.length)
        reason = packet_parse(packet)
        record_begin(record, packet, number)
        record.time_ns = frame.time_ns
        self.engine.walk.pending_count = 0
        if self.flags & INJECT_RAW:
            self.walk(record, self.entry, number)
        elif reason:
            self.skip(record, UNKNOWN if reason >= 200 else DROPPED, <uint16_t>reason)
        elif packet.family:
            self.inject_ip(record, number)
        elif packet.ethertype == ETHER_ARP:
            self.inject_arp(record, number)
        else:
            self.skip(record, SKIPPED, NOT_IP)

    # --------------------------------------------------------------------------------- batches

    cdef void look_at(self, const frame_t* frames, const uint8_t* data,
                      uint32_t count) noexcept nogil:
        """What flows the frames of a batch belong to, as far as it can be seen at once.

        Everything is asked of memory for all frames before the first answer is read: with a
        million flows, it is in no cache."""
        cdef job_t* job
        cdef uint32_t i
        for i in range(count):
            job = &self.jobs[i]
            look(job, data + frames[i].offset, frames[i].captured, frames[i].length)
            job.time_ns, job.is_taken = frames[i].time_ns, 0
            prefetch(&self.buckets[job.hash & self.bucket_mask])
        for i in range(count):
            job = &self.jobs[i]
            job.flow = <uint32_t>self.buckets[job.hash & self.bucket_mask]
            if <int32_t>job.flow >= 0:
                prefetch(&self.ways.flows[2 * job.flow])
                prefetch(&self.ways.flows[2 * job.flow + 1])
        for i in range(count):
            job = &self.jobs[i]
            job.is_known = job.can_take and self.belongs(job)
            if job.is_known:
                foresee(&self.ways, &self.ways.flows[job.flow], &self.engine.walk)

    cdef bint belongs(self, job_t* job) noexcept nogil:
        """To a flow that is known: job.flow, with its direction."""
        cdef int32_t here = self.buckets[job.hash & self.bucket_mask]
        cdef const flow_way_t* way
        cdef bint is_reply
        while here >= 0:
            way = &self.ways.flows[2 * here]
            is_reply = not is_way_of(way, job.addresses, job.ports, job.family, job.proto)
            if not is_reply or is_way_of(way + 1, job.addresses, job.ports, job.family, job.proto):
                job.flow = 2 * <uint32_t>here + is_reply
                return job.family == 4 or self.has_addresses(job)
            here = way.next
        return False

    cdef bint has_addresses(self, const job_t* job) noexcept nogil:
        """IPv6: its key is but a hash."""
        cdef const flow_t* flow = &self.flows[job.flow >> 1]
        cdef const uint8_t* ip = job.frame + ETHER_SIZE
        cdef addr_t src = addr_t(load64(ip + 8), load64(ip + 16))
        cdef addr_t dst = addr_t(load64(ip + 24), load64(ip + 32))
        if job.flow & 1:
            return addr_equal(flow.responder, src) and addr_equal(flow.initiator, dst)
        return addr_equal(flow.initiator, src) and addr_equal(flow.responder, dst)

    cdef inline bint take(self, job_t* job) noexcept nogil:
        cdef flow_way_t* way
        # A packet of the same batch may have opened its flow, or turned it round: see inject_ip.
        if not job.is_known and not self.belongs(job):
            return False
        way = &self.ways.flows[job.flow]
        return (is_way_of(way, job.addresses, job.ports, job.family, job.proto)
                and self.has_room_to_take(job)
                and decide(&self.ways, way, &self.engine.walk, job))

    cdef inline bint has_room_to_take(self, const job_t* job) noexcept nogil:
        cdef const trace_t* trace = &self.engine.trace
        return (trace.tap_max == 0 or (
            trace.tap_count + <uint32_t>EDITS_MAX <= trace.tap_max
            and trace.output_size + EDITS_MAX * (job.size + <uint64_t>LINK_MAX)
            <= trace.output_max))

    cdef uint32_t carry(self, const frame_t* frames, const uint8_t* data, record_t* records,
                        uint32_t number, uint32_t count) noexcept nogil:
        """A batch of frames, in their order, until room runs out; how many were carried."""
        cdef job_t* job
        cdef uint32_t i, done = count
        if self.ways.is_on:
            self.look_at(frames, data, count)
        for i in range(count):
            job = &self.jobs[i]
            job.is_taken = job.can_take and self.take(job)
            if job.is_taken:
                continue
            if self.flow_count >= self.flow_max or not engine_has_room(self.engine):
                done = i
                break
            self.inject(&frames[i], data, &records[i], number + i)
        for i in range(done):
            if self.jobs[i].is_taken:
                put(&self.ways, &self.engine.trace, &self.jobs[i], number + i, &records[i])
                self.taken += 1
        return done

    def run(self, const frame_t[::1] frames not None, const uint8_t[::1] data not None,
            record_t[::1] records not None, uint32_t number):
        """Inject frames until they end or room runs out; how many were.  Releases the GIL.

        frames   (n,) FRAME in Ethernet form; offsets are into `data`
        records  (n,) RECORD, overwritten
        number   of the first packet in the run
        raises   IndexError for a frame that does not lie in `data`, ValueError for too few records
        """
        cdef uint32_t done = 0, part, count = <uint32_t>frames.shape[0], outside
        cdef uint64_t size = <uint64_t>data.shape[0]
        if records.shape[0] < frames.shape[0]:
            raise ValueError(f"{count} frames but room for {records.shape[0]} records")
        if not count:
            return 0
        cdef const uint8_t* bytes = &data[0] if size else NULL
        outside = first_outside(&frames[0], count, size)
        if outside < count:
            raise IndexError(f"frame {number + outside} does not lie in the data")
        with nogil:
            while done < count:
                part = self.carry(&frames[done], bytes, &records[done], number + done,
                                  min(count - done, <uint32_t>BATCH))
                done += part
                if part == 0:
                    break
            ways_settle(&self.engine.walk)
        return done


cdef uint32_t first_outside(const frame_t* frames, uint32_t count, uint64_t size) noexcept nogil:
    """The first frame that does not lie in so many bytes."""
    cdef uint32_t i
    for i in range(count):
        if frames[i].offset > size or frames[i].captured > size - frames[i].offset:
            return i
    return count
