/* Flows by their 5-tuple: two entries to a cache line, two lines to a flow.
 *
 * An entry holds what a packet of the flow needs: the translation, the checksum's change that
 * comes of it, and where the flow's entry on the next node is, which saves the second hash.
 */
#ifndef FLOOR_TABLE_H
#define FLOOR_TABLE_H

#include "capture.h"

enum { PER_LINE = 2 };

typedef struct {
    uint64_t addresses, ports; /* as job_t; ports 0: nobody is here */
    uint32_t dst;              /* after translation, as it lies */
    uint16_t dport;
    uint16_t outer_sport;
    uint32_t next;             /* slot of the flow on the next node */
    uint16_t ip_delta, l4_delta;
} entry_t;

typedef struct {
    entry_t *entries;
    uint32_t shift; /* of a hash, to the number of its line */
    uint64_t lines;
} table_t;

/* A row of the file of flows; everything as it lies in a packet. */
typedef struct {
    uint32_t src, dst;
    uint16_t sport, dport;
    uint8_t proto, unused[3];
    uint32_t new_dst;
    uint16_t new_dport, outer_sport;
    uint32_t reserved[2];
} flow_t;

typedef struct {
    table_t first, second; /* node by node */
} tables_t;

tables_t tables_load(const char *path);

static inline uint64_t key_hash(uint64_t addresses, uint64_t ports)
{
    uint64_t h = addresses * 0x9e3779b97f4a7c15ull ^ ports * 0xc2b2ae3d27d4eb4full;
    return (h ^ h >> 32) * 0x165667b19e3779f9ull;
}

static inline const entry_t *table_line(const table_t *table, uint64_t hash)
{
    return table->entries + (hash >> table->shift) * PER_LINE;
}

static inline uint64_t entry_is(const entry_t *entry, uint64_t addresses, uint64_t ports)
{
    return (entry->addresses == addresses) & (entry->ports == ports);
}

const entry_t *table_further(const table_t *table, const entry_t *line, const job_t *job);

/* Which of the two is chosen by arithmetic: a branch here is mispredicted every other time. */
static inline const entry_t *table_find(const table_t *table, const job_t *job)
{
    const entry_t *line = table_line(table, job->hash);
    uint64_t is_first = entry_is(line, job->addresses, job->ports);
    uint64_t is_second = entry_is(line + 1, job->addresses, job->ports);
    if (UNLIKELY(!(is_first | is_second)))
        return table_further(table, line, job);
    return line + is_second;
}

#endif
