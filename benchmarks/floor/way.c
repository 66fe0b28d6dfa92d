#include "way.h"

#include "memory.h"

enum { DELIVERED = 1, FORWARDED = 2, PATH_FIRST = 1, PATH_SECOND = 2 };

way_t way_open(capture_t capture, const char *flows, const char *links)
{
    uint64_t size;
    way_t way = {.capture = capture, .tables = tables_load(flows), .next_id = 1};
    const void *found = file_read(links, 0, &size);
    if (size != sizeof(links_t))
        fail("not a file of links", links);
    memcpy(&way.links, found, sizeof(links_t));
    for (uint32_t at = 0; at < IPV4_BYTES; at += 2)
        way.outer_sum += load16(way.links.outer + ETHER_BYTES + at);
    way.wire = memory(RING_BYTES);
    way.pod = memory(RING_BYTES);
    way.traces = memory(2 * (capture.packets + BATCH) * sizeof(trace_t));
    return way;
}

/* Where the next frame is written: the ring begins anew before it is too short for one. */
static inline uint8_t *ring_take(uint8_t *ring, uint32_t *at, uint32_t size)
{
    if (UNLIKELY(*at + FRAME_MAX > RING_BYTES))
        *at = 0;
    uint8_t *found = ring + *at;
    *at += (size + 63) & ~63u;
    return found;
}

/* UDP's 0 is "no checksum", and stays; a sum that becomes 0 is written as 0xffff. */
static inline uint16_t transport_checksum(uint16_t check, uint32_t delta, uint32_t is_udp)
{
    uint16_t edited = checksum_edit(check, delta);
    uint16_t as_udp = edited ? edited : 0xffff;
    as_udp = check ? as_udp : 0;
    return is_udp ? as_udp : edited;
}

static inline void translate(uint8_t *frame, const entry_t *entry, uint32_t is_udp)
{
    uint8_t *ip = frame + ETHER_BYTES, *l4 = ip + IPV4_BYTES;
    uint8_t *check = l4 + (is_udp ? 6 : 16);
    ip[8]--;
    store16(ip + 10, checksum_edit(load16(ip + 10), entry->ip_delta));
    store32(ip + 16, entry->dst);
    store16(l4 + 2, entry->dport);
    store16(check, transport_checksum(load16(check), entry->l4_delta, is_udp));
}

static inline void encapsulate(way_t *way, uint8_t *outer, const entry_t *entry, uint32_t size)
{
    uint8_t *ip = outer + ETHER_BYTES, *udp = ip + IPV4_BYTES;
    uint16_t length = swap16((uint16_t)(size + 36)), id = swap16(way->next_id);
    way->next_id = (uint16_t)(way->next_id + 1);
    way->next_id = way->next_id ? way->next_id : 1; /* Linux gives no packet identification 0 */
    memcpy(outer, way->links.outer, TUNNEL_BYTES);
    store16(ip + 2, length);
    store16(ip + 4, id);
    store16(ip + 10, (uint16_t)~fold16(way->outer_sum + length + id));
    store16(udp, entry->outer_sport);
    store16(udp + 4, swap16((uint16_t)(size + 16)));
}

/* Is it a tunnel's packet for this node?  Port and VNI are the ones that were written. */
static inline uint32_t is_ours(const way_t *way, const uint8_t *outer)
{
    const uint8_t *ours = way->links.outer;
    uint32_t at = ETHER_BYTES + IPV4_BYTES;
    return (load32(outer + ETHER_BYTES + 16) == load32(ours + ETHER_BYTES + 16))
        & (outer[ETHER_BYTES + 9] == UDP) & (load16(outer + at + 2) == load16(ours + at + 2))
        & (load64(outer + at + 8) == load64(ours + at + 8));
}

static inline uint8_t *first_node(way_t *way, const job_t *job, uint32_t number, uint32_t *size)
{
    const entry_t *entry = job->entry;
    uint32_t is_udp = (uint8_t)(job->ports >> 32) == UDP;
    *size = ETHER_BYTES + swap16(load16(job->frame + ETHER_BYTES + 2)); /* without padding */
    uint8_t *outer = ring_take(way->wire, &way->wire_at, *size + TUNNEL_BYTES);
    uint8_t *inner = outer + TUNNEL_BYTES;
    copy(inner, job->frame, *size);
    memcpy(inner, way->links.inner_ether, ETHER_BYTES);
    translate(inner, entry, is_udp);
    encapsulate(way, outer, entry, *size);
    way->traces[2 * number] = (trace_t){
        number, (uint32_t)(entry - way->tables.first.entries), PATH_FIRST,
        (uint16_t)(*size + TUNNEL_BYTES), 0, FORWARDED};
    return outer;
}

static inline const entry_t *second_entry(const way_t *way, const job_t *job)
{
    if (way->is_hashed)
        return NULL;
    return way->tables.second.entries + ((const entry_t *)job->entry)->next;
}

/* The inner packet says which flow it is; what the link led to must be of that flow. */
static inline const entry_t *second_lookup(const way_t *way, const uint8_t *ip, const entry_t *at)
{
    job_t inner = {.addresses = load64(ip + 12),
                   .ports = (uint64_t)load32(ip + IPV4_BYTES) | (uint64_t)ip[9] << 32};
    if (LIKELY(at && entry_is(at, inner.addresses, inner.ports)))
        return at;
    inner.hash = key_hash(inner.addresses, inner.ports);
    return table_find(&way->tables.second, &inner);
}

static inline uint8_t *second_node(way_t *way, const uint8_t *outer, const job_t *job,
                                   uint32_t number, uint32_t size)
{
    const uint8_t *inner = outer + TUNNEL_BYTES;
    const entry_t *entry = second_lookup(way, inner + ETHER_BYTES, second_entry(way, job));
    if (UNLIKELY(!is_ours(way, outer) || !entry))
        return NULL;
    uint8_t *frame = ring_take(way->pod, &way->pod_at, size), *ip = frame + ETHER_BYTES;
    copy(frame, inner, size);
    memcpy(frame, way->links.pod_ether, ETHER_BYTES);
    ip[8]--;
    store16(ip + 10, checksum_edit(load16(ip + 10), TTL_DELTA));
    way->traces[2 * number + 1] = (trace_t){
        number, (uint32_t)(entry - way->tables.second.entries), PATH_SECOND, (uint16_t)size, 1,
        DELIVERED};
    return frame;
}

static void keep(FILE *out, const uint8_t *frame, uint32_t size)
{
    if (fwrite(frame, size, 1, out) != 1)
        fail("cannot be written", "--out");
}

static inline uint32_t carry(way_t *way, const job_t *job, uint32_t number, FILE *out)
{
    uint32_t size;
    if (UNLIKELY(!job->entry))
        return 0;
    const uint8_t *outer = first_node(way, job, number, &size);
    const uint8_t *frame = second_node(way, outer, job, number, size);
    if (UNLIKELY(out != NULL) && frame) {
        keep(out, outer, size + TUNNEL_BYTES);
        keep(out, frame, size);
    }
    return frame != NULL;
}

/* Hashes and prefetches for the whole batch before the first entry is looked at. */
static inline void find_all(way_t *way, job_t *jobs, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        jobs[i].hash = key_hash(jobs[i].addresses, jobs[i].ports);
        __builtin_prefetch(table_line(&way->tables.first, jobs[i].hash));
    }
    for (uint32_t i = 0; i < count; i++) {
        const entry_t *entry = UNLIKELY(jobs[i].is_other)
            ? NULL : table_find(&way->tables.first, &jobs[i]);
        jobs[i].entry = entry;
        if (UNLIKELY(!entry))
            continue;
        if (!way->is_hashed) {
            __builtin_prefetch(way->tables.second.entries + entry->next);
            continue;
        }
        uint64_t addresses = (jobs[i].addresses & 0xffffffff) | (uint64_t)entry->dst << 32;
        uint64_t ports = (jobs[i].ports & ~0xffff0000ull) | (uint64_t)entry->dport << 16;
        __builtin_prefetch(table_line(&way->tables.second, key_hash(addresses, ports)));
    }
}

uint64_t way_run(way_t *way, FILE *out)
{
    job_t jobs[BATCH] __attribute__((aligned(64)));
    cursor_t cursor = cursor_begin(&way->capture);
    uint64_t arrived = 0;
    uint32_t number = 0, count;
    while ((count = batch_read(&cursor, jobs))) {
        find_all(way, jobs, count);
        for (uint32_t i = 0; i < count; i++)
            arrived += carry(way, &jobs[i], number + i, out);
        number += count;
    }
    way->lost += number - arrived;
    return arrived;
}
