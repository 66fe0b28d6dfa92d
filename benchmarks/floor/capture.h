/* A pcap file in memory, and its packets 64 at a time. */
#ifndef FLOOR_CAPTURE_H
#define FLOOR_CAPTURE_H

#include "packet.h"

enum {
    BATCH = 64,
    RECORD_BYTES = 16,
    AHEAD_BYTES = 5 << 10, /* how far the cache is told ahead: 78 -> 10 ns for large packets */
    SLACK_BYTES = AHEAD_BYTES + 64,
};

typedef struct {
    const uint8_t *bytes; /* the first record; SLACK_BYTES can be read past the end */
    uint64_t size;        /* of all records */
    uint64_t packets;     /* how many to read, at most */
} capture_t;

/* Where a walk over the records is. */
typedef struct {
    const uint8_t *at, *end, *told;
    uint64_t left; /* packets */
} cursor_t;

/* What a packet is, and what was found for it: one cache line. */
typedef struct {
    const uint8_t *frame;
    uint64_t addresses; /* source and destination, as they lie */
    uint64_t ports;     /* source and destination, then the protocol */
    const void *entry;
    uint64_t hash;
    uint32_t size;
    uint32_t is_other; /* not an IPv4 packet with ports */
    uint8_t unused[16];
} job_t;

capture_t capture_open(const char *path, uint64_t packets);

static inline cursor_t cursor_begin(const capture_t *capture)
{
    const uint8_t *start = capture->bytes;
    return (cursor_t){start, start + capture->size, start, capture->packets};
}

/* The next record's frame; NULL at the end. */
static inline const uint8_t *cursor_next(cursor_t *cursor, uint32_t *size)
{
    const uint8_t *at = cursor->at;
    if (UNLIKELY(cursor->left == 0 || cursor->end - at < RECORD_BYTES))
        return NULL;
    *size = load32(at + 8);
    if (UNLIKELY(*size > cursor->end - at - RECORD_BYTES))
        return NULL;
    for (; cursor->told < at + AHEAD_BYTES; cursor->told += 64)
        __builtin_prefetch(cursor->told);
    cursor->at = at + RECORD_BYTES + *size;
    cursor->left--;
    return at + RECORD_BYTES;
}

/* Ethernet, IPv4 without options or fragments, TCP or UDP: tests as values, so that no branch
 * hangs on the packet. */
static inline void job_parse(job_t *job, const uint8_t *frame, uint32_t size)
{
    const uint8_t *ip = frame + ETHER_BYTES;
    uint8_t proto = ip[9];
    uint32_t is_ip = (size >= ETHER_BYTES + IPV4_BYTES + 8) & (load16(frame + 12) == 0x0008)
        & (ip[0] == 0x45) & ((load16(ip + 6) & 0xff3f) == 0)
        & (swap16(load16(ip + 2)) <= size - ETHER_BYTES);
    uint32_t has_ports = (proto == UDP) | ((proto == TCP) & (size >= ETHER_BYTES + 40));
    job->frame = frame;
    job->size = size;
    job->addresses = load64(ip + 12);
    job->ports = (uint64_t)load32(ip + IPV4_BYTES) | (uint64_t)proto << 32;
    job->is_other = !(is_ip & has_ports);
}

static inline uint32_t batch_read(cursor_t *cursor, job_t *jobs)
{
    uint32_t count = 0, size;
    const uint8_t *frame;
    while (count < BATCH && (frame = cursor_next(cursor, &size)))
        job_parse(&jobs[count++], frame, size);
    return count;
}

#endif
