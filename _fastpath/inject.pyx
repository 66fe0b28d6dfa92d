"""Where recorded frames enter the cluster.  Specified by dataplane.reference.inject.

A capture was taken at some tap, often the client's.  Each flow in it has an initiator: the
one whose SYN, first datagram or echo request is seen first.  Its frames enter where its
address lives.  The responder's recorded frames enter at the endpoint that the flow was
delivered to, rewritten as that endpoint would have sent them, so that both directions are
exercised and conntrack sees a whole conversation.
"""

from libc.string cimport memset

from _fastpath.address cimport addr_equal
from _fastpath.bridge cimport fdb_static
from _fastpath.capture cimport frame_t
from _fastpath.choice cimport fold
from _fastpath.conntrack cimport quoted_transport
from _fastpath.engine cimport Engine, record_begin, record_end, run_packet
from _fastpath.forwarding cimport address_kind, host_of_address
from _fastpath.icmp cimport arp_request_target
from _fastpath.image cimport DEVICE_WIRE, ROUTE_LOCAL, device_t, host_t, image_t
from _fastpath.packet cimport (
    ETHER_ARP,
    ETHER_SIZE,
    FRAME_MAX,
    PROTO_ICMP,
    PROTO_ICMPV6,
    PROTO_TCP,
    TCP_ACK,
    TCP_SYN,
    ether_dst,
    ether_src,
    is_group_mac,
    load16,
    load32,
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
    store48,
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
    REJECTED,
    SKIPPED,
    UNANSWERED,
    UNKNOWN,
)
from _fastpath.state cimport walk_t
from _fastpath.trace cimport record_t, trace_has_room

cdef enum:
    NOWHERE = -0x7FFFFFFF - 1

# The two ends of a packet as its flow knows them.
cdef struct ends_t:
    addr_t src, dst
    uint16_t sport, dport
    uint8_t family, proto


cdef inline bint is_icmp(const packet_t* packet) noexcept nogil:
    return packet.proto == PROTO_ICMP or packet.proto == PROTO_ICMPV6


cdef inline bint is_icmp_query(const packet_t* packet) noexcept nogil:
    cdef uint16_t type = packet.dport >> 8
    if packet.family == 4:
        return type in (0, 8, 13, 14, 15, 16, 17, 18)
    return 128 <= type <= 129 or 139 <= type <= 140


cdef inline bint is_icmp_reply(const packet_t* packet) noexcept nogil:
    cdef uint16_t type = packet.dport >> 8
    if packet.family == 4:
        return type in (0, 14, 16, 18)
    return type == 129 or type == 140


cdef void packet_ends(const packet_t* packet, ends_t* ends) noexcept nogil:
    ends.src = packet.src
    ends.dst = packet.dst
    ends.family = packet.family
    ends.proto = packet.proto
    ends.sport = ends.dport = 0
    if is_icmp(packet):
        ends.sport = ends.dport = packet.sport
    elif proto_has_ports(packet.proto) and packet.has_ports:
        ends.sport = packet.sport
        ends.dport = packet.dport


cdef bint quoted_ends(const packet_t* packet, ends_t* ends) noexcept nogil:
    """The ends of the packet that an ICMP error quotes."""
    cdef uint32_t at
    cdef const uint8_t* ip
    if not packet.has_ports:
        return False
    at = quoted_transport(packet)
    if at == 0:
        return False
    ip = packet.frame + packet.l4 + 8
    ends.family = packet.family
    if packet.family == 4:
        ends.proto = ip[9]
        ends.src = addr_t(0, load32(ip + 12))
        ends.dst = addr_t(0, load32(ip + 16))
    else:
        ends.proto = ip[6]
        ends.src = addr_t(load64(ip + 8), load64(ip + 16))
        ends.dst = addr_t(load64(ip + 24), load64(ip + 32))
    ends.sport = ends.dport = 0
    if ends.proto == PROTO_ICMP or ends.proto == PROTO_ICMPV6:
        ends.sport = ends.dport = load16(packet.frame + at + 4)
    elif proto_has_ports(ends.proto):
        ends.sport = load16(packet.frame + at)
        ends.dport = load16(packet.frame + at + 2)
    return True


cdef uint64_t ends_hash(const ends_t* ends) noexcept nogil:
    """The same for both directions."""
    cdef uint64_t one = fold(fold(ends.src.hi, ends.src.lo), ends.sport)
    cdef uint64_t other = fold(fold(ends.dst.hi, ends.dst.lo), ends.dport)
    return fold(one + other, (<uint64_t>ends.proto << 8) | ends.family)


# -------------------------------------------------------------------------------- entries


cdef int32_t node_of_address(const image_t* image, const ends_t* ends) noexcept nogil:
    """The node to which an address is local; -1 if none.  Link-local and loopback are no one's."""
    cdef uint32_t node
    if ends.family == 4 and ends.src.lo >> 24 == 127:
        return -1
    for node in range(image.node_count):
        if address_kind(image, <int32_t>node, ends.family, ends.src, -1) == ROUTE_LOCAL:
            return <int32_t>node
    return -1


cdef int32_t device_of_mac(const image_t* image, uint64_t mac) noexcept nogil:
    cdef uint32_t device
    for device in range(image.device_count):
        if image.devices[device].kind == DEVICE_WIRE and image.devices[device].mac == mac:
            return <int32_t>device
    return -1


cdef int32_t device_of_address(const image_t* image, const ends_t* ends) noexcept nogil:
    """Wire device by which the outside reaches the destination: the one that has the address,
    or the first one of the node where the address lives."""
    cdef uint32_t i, j
    cdef const device_t* device
    cdef int32_t row = host_of_address(image, ends.family, ends.dst)
    cdef int32_t node = -1
    if row >= 0 and image.devices[image.hosts[row].device].kind != DEVICE_WIRE:
        node = image.devices[image.hosts[row].device].node
    for i in range(image.device_count):
        device = &image.devices[i]
        if device.kind != DEVICE_WIRE:
            continue
        if device.node == node:
            return <int32_t>i
        for j in range(device.address_start, device.address_start + device.address_count):
            if (image.addresses[j].family == ends.family
                    and addr_equal(image.addresses[j].address, ends.dst)):
                return <int32_t>i
    return -1


cdef void find_entry(const image_t* image, const ends_t* ends, const packet_t* packet,
                     flow_t* flow) noexcept nogil:
    """Where the initiator's frames enter: its own device, its node, or a wire."""
    cdef int32_t row = host_of_address(image, ends.family, ends.src)
    cdef int32_t node
    flow.host = -1
    if row >= 0 and image.devices[image.hosts[row].device].kind != DEVICE_WIRE:
        flow.host = row
        flow.entry = image.hosts[row].device
        return
    node = node_of_address(image, ends)
    if node >= 0:
        flow.entry = ~node
        return
    flow.entry = device_of_mac(image, ether_dst(packet))
    if flow.entry < 0:
        flow.entry = device_of_address(image, ends)
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
    """MAC address to which a host sends: its neighbour's on its own link, else its gateway's."""
    cdef int32_t row
    cdef int32_t node = image.devices[host.device].node
    if is_on_link(host, destination) and address_kind(
            image, node, host.family, destination, -1) != ROUTE_LOCAL:
        row = host_of_address(image, host.family, destination)
        if row >= 0 and image.devices[image.hosts[row].device].master == (
                image.devices[host.device].master):
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


cdef inline uint8_t initial_ttl(uint8_t ttl) noexcept nogil:
    """The TTL that the sender gave, by the hops it has left: 64, 128 or 255."""
    if ttl <= 64:
        return 64
    return 128 if ttl <= 128 else 255


cdef int32_t turn_round(const image_t* image, const flow_t* flow, packet_t* packet) noexcept nogil:
    """Rewrite a recorded reply as the endpoint would have sent it.  Where it enters."""
    cdef int32_t row
    packet_set_src(packet, flow.end_dst)
    packet_set_dst(packet, flow.end_src)
    if is_icmp(packet):
        packet_set_sport(packet, flow.end_sport)
    elif packet.has_ports:
        packet_set_sport(packet, flow.end_dport)
        packet_set_dport(packet, flow.end_sport)
    packet_set_ttl(packet, initial_ttl(packet.ttl))
    if flow.place < 0:
        return flow.place
    store48(packet.frame, flow.end_ether_src)
    store48(packet.frame + 6, flow.end_ether_dst)
    row = host_of_address(image, flow.family, flow.end_dst)
    if row >= 0 and image.hosts[row].device == flow.place and (
            image.devices[flow.place].kind != DEVICE_WIRE):
        store48(packet.frame, next_hop_mac(image, &image.hosts[row], flow.end_src))
    return flow.place


# --------------------------------------------------------------------------------- flows


cdef class Injector:
    """The flows of a capture, and the frames through an Engine.

    flows    (capacity,) FLOW
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
    cdef uint32_t flags
    cdef int32_t entry
    cdef object kept

    def __init__(self, Engine engine not None, flow_t[::1] flows not None,
                 int32_t[::1] buckets not None, const addr_t[::1] clients not None,
                 raw=None, bint one_way=False):
        self.engine = engine
        self.flow_count = 0
        self.flags = INJECT_ONE_WAY if one_way else 0
        self.client_count = <uint32_t>clients.shape[0]
        if self.client_count:
            self.clients = &clients[0]
        if raw is not None:
            self.flags |= INJECT_RAW
            self.entry = raw
        self.point_flows(flows, buckets)
        self.kept = (flows, buckets, clients)

    def point_flows(self, flow_t[::1] flows not None, int32_t[::1] buckets not None):
        """Take the addresses of longer arrays.  `buckets` must be all -1: it is filled anew."""
        cdef uint32_t i
        self.flows = &flows[0]
        self.buckets = &buckets[0]
        self.flow_max = <uint32_t>flows.shape[0]
        self.bucket_mask = <uint32_t>buckets.shape[0] - 1
        self.kept = (flows, buckets)
        for i in range(self.flow_count):
            self.link(i)

    cdef void link(self, uint32_t index) noexcept nogil:
        cdef flow_t* flow = &self.flows[index]
        cdef ends_t ends = ends_t(flow.initiator, flow.responder, flow.initiator_port,
                                  flow.responder_port, flow.family, flow.proto)
        cdef uint32_t bucket = <uint32_t>ends_hash(&ends) & self.bucket_mask
        flow.next = self.buckets[bucket]
        self.buckets[bucket] = <int32_t>index

    cdef flow_t* find(self, const ends_t* ends, bint* reply) noexcept nogil:
        cdef int32_t here = self.buckets[<uint32_t>ends_hash(ends) & self.bucket_mask]
        cdef flow_t* flow
        while here >= 0:
            flow = &self.flows[here]
            if flow.family == ends.family and flow.proto == ends.proto:
                reply[0] = False
                if (flow.initiator_port == ends.sport and flow.responder_port == ends.dport
                        and addr_equal(flow.initiator, ends.src)
                        and addr_equal(flow.responder, ends.dst)):
                    return flow
                reply[0] = True
                if (flow.initiator_port == ends.dport and flow.responder_port == ends.sport
                        and addr_equal(flow.initiator, ends.dst)
                        and addr_equal(flow.responder, ends.src)):
                    return flow
            here = flow.next
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
        return not (is_icmp(packet) and is_icmp_reply(packet))

    cdef flow_t* open(self, const packet_t* packet, const ends_t* ends,
                      bint* reply) noexcept nogil:
        cdef flow_t* flow = &self.flows[self.flow_count]
        memset(flow, 0, sizeof(flow_t))
        flow.family = ends.family
        flow.proto = ends.proto
        flow.place = NOWHERE
        reply[0] = not self.begins(packet, ends)
        self.orient(flow, packet, ends, reply[0])
        self.link(self.flow_count)
        self.flow_count += 1
        return flow

    cdef void orient(self, flow_t* flow, const packet_t* packet, const ends_t* ends,
                     bint reply) noexcept nogil:
        cdef ends_t turned = ends[0]
        if reply:
            turned.src, turned.dst = ends.dst, ends.src
            turned.sport, turned.dport = ends.dport, ends.sport
        flow.initiator = turned.src
        flow.responder = turned.dst
        flow.initiator_port = turned.sport
        flow.responder_port = turned.dport
        find_entry(&self.engine.image, &turned, packet, flow)

    cdef void skip(self, record_t* record, uint8_t verdict, uint16_t reason) noexcept nogil:
        record.verdict = verdict
        record.reason = reason
        record.end_src = record.src
        record.end_dst = record.dst
        record.end_sport = record.sport
        record.end_dport = record.dport
        self.engine.trace.count = 0

    cdef void walk(self, record_t* record, int32_t entry, uint32_t number) noexcept nogil:
        record.entry = entry
        run_packet(&self.engine.walk, record.time_ns, entry, number)
        record_end(record, &self.engine.walk)

    cdef void inject_arp(self, record_t* record, uint32_t number) noexcept nogil:
        """ARP of a host enters at its device; what the nodes said themselves is left out."""
        cdef packet_t* packet = &self.engine.packet
        cdef ends_t ends
        cdef int32_t row
        memset(&ends, 0, sizeof(ends_t))
        ends.family = 4
        if packet.size < ETHER_SIZE + 28:
            self.skip(record, SKIPPED, NO_ENTRY)
            return
        ends.src = addr_t(0, load32(packet.frame + ETHER_SIZE + 14))
        row = host_of_address(&self.engine.image, 4, ends.src)
        if row >= 0 and self.engine.image.devices[
                self.engine.image.hosts[row].device].kind != DEVICE_WIRE:
            self.walk(record, self.engine.image.hosts[row].device, number)
        elif node_of_address(&self.engine.image, &ends) >= 0:
            self.skip(record, SKIPPED, ANSWERED_BY_NODE)
        else:
            self.skip(record, SKIPPED, NO_ENTRY)

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
        address_frame(&self.engine.image, flow, packet)
        self.walk(record, flow.entry, number)
        if walk.pending_count:
            flow.is_answered = 1
        if walk.verdict != DELIVERED and walk.verdict != FORWARDED:
            if flow.place == NOWHERE:
                flow.verdict = walk.verdict
            return
        flow.verdict = walk.verdict
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
            self.walk(record, turn_round(&self.engine.image, flow, &self.engine.packet), number)

    cdef void inject_ip(self, record_t* record, uint32_t number) noexcept nogil:
        cdef packet_t* packet = &self.engine.packet
        cdef ends_t ends
        cdef bint reply = False
        cdef flow_t* flow
        if is_icmp(packet) and not is_icmp_query(packet):
            self.inject_error(record, number)
            return
        packet_ends(packet, &ends)
        flow = self.find(&ends, &reply)
        if flow == NULL:
            flow = self.open(packet, &ends, &reply)
        elif reply and packet.proto == PROTO_TCP and (
                packet.tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN and (
                not self.is_client(flow.initiator)):
            # The other side opens a connection of its own with the same ports.
            reply = False
            self.orient(flow, packet, &ends, False)
            flow.place = NOWHERE
        flow.packets += 1
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

    def run(self, const frame_t[::1] frames not None, const uint8_t[::1] data not None,
            record_t[::1] records not None, uint32_t number):
        """Inject frames until they end or room runs out; how many were.  Releases the GIL.

        frames   (n,) FRAME in Ethernet form; offsets are into `data`
        records  (n,) RECORD, overwritten
        number   of the first packet in the run
        raises   IndexError for a frame that does not lie in `data`, ValueError for too few records
        """
        cdef Py_ssize_t i, count = frames.shape[0]
        cdef uint64_t size = <uint64_t>data.shape[0]
        if records.shape[0] < count:
            raise ValueError(f"{count} frames but room for {records.shape[0]} records")
        if not count:
            return 0
        cdef const uint8_t* bytes = &data[0] if size else NULL
        with nogil:
            for i in range(count):
                if frames[i].offset > size or frames[i].captured > size - frames[i].offset:
                    with gil:
                        raise IndexError(f"frame {number + i} does not lie in the data")
                if self.flow_count >= self.flow_max or not trace_has_room(&self.engine.trace):
                    count = i
                    break
                self.inject(&frames[i], bytes, &records[i], number + <uint32_t>i)
        return count
