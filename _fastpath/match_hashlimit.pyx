"""-m hashlimit: tables of flows, shared by name and family on a node.

Specified by dataplane.reference.match_hashlimit.  What has expired is collected at ticks that
are multiples of the table's interval; here it is passed over when it is met, and the table is
swept when it is full.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memset

from _fastpath.address cimport addr_equal, addr_t
from _fastpath.choice cimport fold
from _fastpath.image cimport (
    HASHLIMIT_BUCKET_COUNT,
    HASHLIMIT_BUCKETS,
    HASHLIMIT_BURST,
    HASHLIMIT_BYTES,
    HASHLIMIT_COLLECT,
    HASHLIMIT_COST,
    HASHLIMIT_CREDIT,
    HASHLIMIT_CREDIT_CAP,
    HASHLIMIT_DESTINATION,
    HASHLIMIT_DESTINATION_BITS,
    HASHLIMIT_DESTINATION_PORT,
    HASHLIMIT_EXPIRE,
    HASHLIMIT_INTERVAL,
    HASHLIMIT_INVERT,
    HASHLIMIT_MODE,
    HASHLIMIT_RATE,
    HASHLIMIT_RATE_MATCH,
    HASHLIMIT_SOURCE,
    HASHLIMIT_SOURCE_BITS,
    HASHLIMIT_SOURCE_PORT,
    TICK_NS,
    TICKS_PER_SECOND,
)
from _fastpath.matches cimport HOTDROP, NO, UNDECIDED, YES
from _fastpath.packet cimport ETHER_SIZE, load16, packet_holds, packet_t, proto_has_ports
from _fastpath.state cimport hashlimit_t, memory_t

cdef enum:
    CREDITS_PER_TICK_SHIFT = 39     # xt_hashlimit.c, CREDITS_PER_JIFFY
    BYTE_CREDITS_PER_TICK_SHIFT = 24    # CREDITS_PER_JIFFY_BYTES
    PROTO_ESP = 50
    PROTO_AH = 51


cdef struct limits_t:
    memory_t* memory
    hashlimit_t* entries
    uint32_t* buckets
    const uint32_t* words
    uint64_t now            # ticks
    uint64_t collected      # tick of the last collection


cdef inline uint64_t setting(const limits_t* table, uint32_t which) noexcept nogil:
    return table.words[2 * which] | (<uint64_t>table.words[2 * which + 1] << 32)


# ---------------------------------------------------------------------------------- flows


cdef addr_t shortened(addr_t address, uint64_t bits, uint8_t family) noexcept nogil:
    """The first `bits` bits."""
    cdef uint64_t ones = 0xFFFFFFFFFFFFFFFFu
    if family == 4:
        address.lo &= (ones << (32 - bits)) if bits else 0
        return address
    if bits < 64:
        address.hi &= (ones << (64 - bits)) if bits else 0
        address.lo = 0
    elif bits < 128:
        address.lo &= (ones << (128 - bits)) if bits > 64 else 0
    return address


cdef int read_flow(const limits_t* table, const packet_t* packet,
                   hashlimit_t* flow) noexcept nogil:
    """hashlimit_init_dst: what the table tells flows apart by.  YES, HOTDROP or UNDECIDED."""
    cdef uint64_t mode = setting(table, HASHLIMIT_MODE)
    cdef uint32_t at = packet.thoff
    cdef int held
    memset(flow, 0, sizeof(hashlimit_t))
    if mode & HASHLIMIT_SOURCE:
        flow.src = shortened(packet.src, setting(table, HASHLIMIT_SOURCE_BITS), packet.family)
    if mode & HASHLIMIT_DESTINATION:
        flow.dst = shortened(packet.dst, setting(table, HASHLIMIT_DESTINATION_BITS),
                             packet.family)
    if not mode & (HASHLIMIT_SOURCE_PORT | HASHLIMIT_DESTINATION_PORT):
        return YES
    if packet.family == 6 and not packet.is_first:
        return YES                      # ipv6_skip_exthdr stops at the fragment header
    if packet.family == 6 and is_extension(packet.proto):
        return HOTDROP if packet.size >= ETHER_SIZE + packet.ip_length else UNDECIDED
    if packet.proto == PROTO_AH and packet.family == 4:
        at += 4                         # proto_ports_offset: its SPI, as ESP's below
    elif packet.proto != PROTO_ESP and not proto_has_ports(packet.proto):
        return YES
    held = packet_holds(packet, at, 4)
    if held != YES:
        return HOTDROP if held == 0 else UNDECIDED
    if mode & HASHLIMIT_SOURCE_PORT:
        flow.sport = load16(packet.frame + at)
    if mode & HASHLIMIT_DESTINATION_PORT:
        flow.dport = load16(packet.frame + at + 2)
    return YES


cdef inline bint is_extension(uint8_t proto) noexcept nogil:
    """ipv6_ext_hdr, of a header that is the last: what follows cannot be found."""
    return proto in (0, 43, 44, 51, 59, 60)


cdef inline uint32_t bucket_of(const limits_t* table, const hashlimit_t* flow) noexcept nogil:
    cdef uint64_t h = fold(fold(flow.src.hi, flow.src.lo), flow.dst.hi)
    h = fold(fold(h, flow.dst.lo), (<uint64_t>flow.sport << 16) | flow.dport)
    return <uint32_t>(h & (setting(table, HASHLIMIT_BUCKET_COUNT) - 1))


cdef hashlimit_t* find_flow(const limits_t* table, const hashlimit_t* flow) noexcept nogil:
    """Expired or not; NULL if there is none."""
    cdef uint32_t at = table.buckets[bucket_of(table, flow)]
    cdef hashlimit_t* entry
    while at:
        entry = &table.entries[at - 1]
        if (addr_equal(entry.src, flow.src) and addr_equal(entry.dst, flow.dst)
                and entry.sport == flow.sport and entry.dport == flow.dport):
            return entry
        at = entry.next
    return NULL


cdef void put_flow(const limits_t* table, uint32_t at) noexcept nogil:
    cdef uint32_t bucket = bucket_of(table, &table.entries[at])
    table.entries[at].next = table.buckets[bucket]
    table.buckets[bucket] = at + 1


cdef void sweep(limits_t* table) noexcept nogil:
    """htable_selective_cleanup, once per collection."""
    cdef uint32_t i, kept = 0
    if table.memory.previous == table.collected + 1:
        return
    table.memory.previous = table.collected + 1
    memset(table.buckets, 0, setting(table, HASHLIMIT_BUCKET_COUNT) * sizeof(uint32_t))
    for i in range(table.memory.count):
        if table.entries[i].expires <= table.collected:
            continue
        table.entries[kept] = table.entries[i]
        put_flow(table, kept)
        kept += 1
    table.memory.count = kept


# --------------------------------------------------------------------------------- limits


cdef void start_limit(const limits_t* table, hashlimit_t* entry) noexcept nogil:
    """rateinfo_init"""
    entry.previous = table.now
    entry.was_over = 0
    entry.credit = setting(table, HASHLIMIT_CREDIT)
    entry.refills = setting(table, HASHLIMIT_CREDIT_CAP)


cdef hashlimit_t* new_flow(limits_t* table, const hashlimit_t* flow) noexcept nogil:
    """dsthash_alloc_init; NULL when the table is full."""
    cdef hashlimit_t* entry
    if table.memory.count >= table.memory.capacity:
        sweep(table)
    if table.memory.count >= table.memory.capacity:
        return NULL
    entry = &table.entries[table.memory.count]
    entry[0] = flow[0]
    put_flow(table, table.memory.count)
    table.memory.count += 1
    return entry


cdef void refresh(const limits_t* table, hashlimit_t* entry) noexcept nogil:
    """rateinfo_recalc"""
    cdef uint64_t mode = setting(table, HASHLIMIT_MODE)
    cdef uint64_t delta = table.now - entry.previous
    cdef uint64_t interval, before, cap
    if delta == 0:
        return
    if mode & HASHLIMIT_RATE_MATCH:
        interval = setting(table, HASHLIMIT_INTERVAL)
        if delta < interval:
            return
        entry.previous = table.now
        entry.was_over = entry.credit * interval > delta * setting(table, HASHLIMIT_RATE)
        entry.credit = 0
        return
    entry.previous = table.now
    before = entry.credit
    if mode & HASHLIMIT_BYTES:
        cap = <uint64_t>TICKS_PER_SECOND << BYTE_CREDITS_PER_TICK_SHIFT
        entry.credit += delta << BYTE_CREDITS_PER_TICK_SHIFT
        if before >= entry.credit:      # it wrapped
            entry.credit = cap
    else:
        cap = setting(table, HASHLIMIT_CREDIT)
        entry.credit += delta << CREDITS_PER_TICK_SHIFT
    entry.credit = min(entry.credit, cap)


cdef uint64_t byte_cost(const limits_t* table, hashlimit_t* entry,
                        uint32_t length) noexcept nogil:
    """hashlimit_byte_cost: in chunks of 16 bytes; a burst is so many seconds' credit more."""
    cdef uint64_t most = <uint64_t>TICKS_PER_SECOND << BYTE_CREDITS_PER_TICK_SHIFT
    cdef uint64_t cost = min(((length >> 4) + 1) * setting(table, HASHLIMIT_COST), most)
    if entry.credit < cost and entry.refills:
        entry.refills -= 1
        entry.credit = most
    return cost


cdef bint is_under(const limits_t* table, hashlimit_t* entry, uint32_t length,
                   uint32_t mode) noexcept nogil:
    cdef uint64_t cost
    if mode & HASHLIMIT_RATE_MATCH:
        entry.credit += length if mode & HASHLIMIT_BYTES else 1
        return not entry.was_over and entry.credit <= setting(table, HASHLIMIT_BURST)
    if mode & HASHLIMIT_BYTES:
        cost = byte_cost(table, entry, length)
    else:
        cost = setting(table, HASHLIMIT_COST)
    if entry.credit < cost:
        return False
    entry.credit -= cost
    return True


cdef int hashlimit_match(walk_t* walk, const match_t* match) noexcept nogil:
    """xt_hashlimit.c, hashlimit_mt_common"""
    cdef limits_t table
    cdef hashlimit_t flow
    cdef hashlimit_t* entry
    cdef int outcome
    table.memory = &walk.state.memory[match.c]
    table.entries = walk.state.hashlimit + table.memory.first
    table.words = walk.image.words + table.memory.words
    table.buckets = walk.state.hashlimit_buckets + setting(&table, HASHLIMIT_BUCKETS)
    table.now = walk.now_ns // TICK_NS
    table.collected = table.now - table.now % setting(&table, HASHLIMIT_COLLECT)
    # The fields of an entry lie over each other, by what its table counts.
    if ((match.flags ^ setting(&table, HASHLIMIT_MODE))
            & (HASHLIMIT_BYTES | HASHLIMIT_RATE_MATCH)):
        table.memory.is_uncertain = 1
        return UNDECIDED
    outcome = read_flow(&table, walk.packet, &flow)
    if outcome == UNDECIDED:
        table.memory.is_uncertain = 1
    if outcome != YES:
        return outcome
    entry = find_flow(&table, &flow)
    if entry == NULL:
        entry = new_flow(&table, &flow)
        if entry == NULL:
            return HOTDROP
        start_limit(&table, entry)
    elif entry.expires <= table.collected:
        start_limit(&table, entry)
    else:
        refresh(&table, entry)
    entry.expires = table.now + setting(&table, HASHLIMIT_EXPIRE)
    if is_under(&table, entry, walk.packet.ip_length, match.flags):
        return NO if match.flags & HASHLIMIT_INVERT else YES
    return YES if match.flags & HASHLIMIT_INVERT else NO
