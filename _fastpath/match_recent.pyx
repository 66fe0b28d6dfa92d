"""-m recent: tables of addresses, shared by name on a node.

Specified by dataplane.reference.match_recent.  A full table makes room by forgetting whom it
has not used for longest.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from _fastpath.address cimport addr_equal, addr_t
from _fastpath.image cimport (
    RECENT_DESTINATION,
    RECENT_REAP,
    RECENT_REMOVE,
    RECENT_SET,
    RECENT_TTL,
    RECENT_UPDATE,
    TICK_NS,
    TICKS_PER_SECOND,
)
from _fastpath.packet cimport packet_t
from _fastpath.state cimport memory_t, recent_t

# Settings of a table in image.words: its mask in four words, where its stamps begin, and how
# many an entry keeps, a power of two.
cdef enum:
    STAMPS_FIRST = 4
    STAMPS = 5


cdef struct recent_table_t:
    memory_t* memory
    recent_t* entries
    const uint32_t* words


cdef inline uint64_t* stamps_of(const walk_t* walk, const recent_table_t* table,
                                const recent_t* entry) noexcept nogil:
    return (walk.state.recent_stamps + table.words[STAMPS_FIRST]
            + <uint64_t>(entry - table.entries) * table.words[STAMPS])


cdef addr_t masked_address(const recent_table_t* table, const packet_t* packet,
                           uint32_t flags) noexcept nogil:
    cdef addr_t address = packet.dst if flags & RECENT_DESTINATION else packet.src
    cdef const uint32_t* mask = table.words
    if packet.family == 4:      # the mask of an IPv4 address is the first word
        address.lo &= mask[0]
        return address
    address.hi &= (<uint64_t>mask[0] << 32) | mask[1]
    address.lo &= (<uint64_t>mask[2] << 32) | mask[3]
    return address


cdef recent_t* find_entry(const recent_table_t* table, addr_t address, uint8_t family,
                          uint8_t ttl) noexcept nogil:
    """recent_entry_lookup.  `ttl` 0: any."""
    cdef recent_t* entry
    cdef uint32_t i
    for i in range(table.memory.count):
        entry = &table.entries[i]
        if (entry.used and entry.family == family and addr_equal(entry.address, address)
                and (ttl == entry.ttl or ttl == 0 or entry.ttl == 0)):
            return entry
    return NULL


cdef recent_t* oldest_entry(const recent_table_t* table) noexcept nogil:
    cdef recent_t* found = NULL
    cdef uint32_t i
    for i in range(table.memory.count):
        if table.entries[i].used and (found == NULL or table.entries[i].used < found.used):
            found = &table.entries[i]
    return found


cdef recent_t* free_entry(const recent_table_t* table) noexcept nogil:
    cdef uint32_t i
    for i in range(table.memory.count):
        if table.entries[i].used == 0:
            return &table.entries[i]
    if table.memory.count < table.memory.capacity:
        table.memory.count += 1
        return &table.entries[table.memory.count - 1]
    return oldest_entry(table)


cdef void stamp(const walk_t* walk, const recent_table_t* table, recent_t* entry,
                uint64_t now) noexcept nogil:
    """recent_entry_update"""
    entry.index &= table.words[STAMPS] - 1
    stamps_of(walk, table, entry)[entry.index] = now
    entry.index += 1
    entry.stamp_count = max(entry.stamp_count, entry.index)
    table.memory.previous += 1
    entry.used = table.memory.previous


cdef void add_entry(const walk_t* walk, const recent_table_t* table, addr_t address,
                    uint8_t ttl, uint64_t now) noexcept nogil:
    cdef recent_t* entry = free_entry(table)
    entry.address = address
    entry.family = walk.packet.family
    entry.ttl = ttl
    entry.index = entry.stamp_count = 0
    stamp(walk, table, entry, now)


cdef bint was_seen(const walk_t* walk, const recent_table_t* table, const recent_t* entry,
                   const match_t* match, int64_t since) noexcept nogil:
    """So often, and not before `since`, if the rule says so."""
    cdef const uint64_t* stamps = stamps_of(walk, table, entry)
    cdef uint32_t i, hits = 0
    for i in range(entry.stamp_count):
        if match.a and <int64_t>stamps[i] < since:
            continue
        hits += 1
        if hits >= match.b:
            return True
    return False


cdef void reap(const walk_t* walk, const recent_table_t* table, int64_t since) noexcept nogil:
    """recent_entry_reap: at most the one that was not used for longest."""
    cdef recent_t* entry = oldest_entry(table)
    if entry != NULL and <int64_t>stamps_of(walk, table, entry)[entry.index - 1] < since:
        entry.used = 0


cdef int recent_match(walk_t* walk, const match_t* match) noexcept nogil:
    """xt_recent.c, recent_mt"""
    cdef recent_table_t table
    cdef uint64_t now = walk.now_ns // TICK_NS
    cdef int64_t since = <int64_t>now - <int64_t>match.a * TICKS_PER_SECOND
    cdef uint8_t ttl = walk.packet.ttl
    cdef addr_t address
    cdef recent_t* entry
    cdef bint hit = match.invert
    table.memory = &walk.state.memory[match.c]
    table.entries = walk.state.recent + table.memory.first
    table.words = walk.image.words + table.memory.words
    if walk.packet.out_device >= 0 and not walk.packet.is_local:
        ttl += 1        # as it was before it was forwarded
    address = masked_address(&table, walk.packet, match.flags)
    entry = find_entry(&table, address, walk.packet.family,
                       ttl if match.flags & RECENT_TTL else 0)
    if entry == NULL:
        if not match.flags & RECENT_SET:
            return hit
        add_entry(walk, &table, address, ttl, now)
        return not hit
    if match.flags & RECENT_SET:
        hit = not hit
    elif match.flags & RECENT_REMOVE:
        entry.used = 0
        return not hit
    else:
        if was_seen(walk, &table, entry, match, since):
            hit = not hit
        if match.flags & RECENT_REAP:
            reap(walk, &table, since)
    if match.flags & RECENT_SET or (match.flags & RECENT_UPDATE and hit):
        stamp(walk, &table, entry, now)
        entry.ttl = ttl
    return hit
