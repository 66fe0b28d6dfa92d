#include "table.h"

#include "memory.h"

/* A line that is full sends what comes after it to the next. */
const entry_t *table_further(const table_t *table, const entry_t *line, const job_t *job)
{
    uint64_t slot = (uint64_t)(line - table->entries);
    for (uint64_t step = 0; step < table->lines * PER_LINE; step++) {
        const entry_t *entry = table->entries + (slot + step) % (table->lines * PER_LINE);
        if (entry->ports == 0)
            return NULL;
        if (entry_is(entry, job->addresses, job->ports))
            return entry;
    }
    return NULL;
}

static table_t table_new(uint64_t flows)
{
    table_t table = {.lines = 2, .shift = 63};
    for (; table.lines < 2 * flows; table.lines *= 2)
        table.shift--;
    table.entries = memory(table.lines * PER_LINE * sizeof(entry_t));
    return table;
}

static entry_t *table_add(table_t *table, uint64_t addresses, uint64_t ports)
{
    uint64_t slot = (uint64_t)(table_line(table, key_hash(addresses, ports)) - table->entries);
    while (table->entries[slot].ports)
        slot = (slot + 1) % (table->lines * PER_LINE);
    table->entries[slot].addresses = addresses;
    table->entries[slot].ports = ports;
    return &table->entries[slot];
}

static uint64_t key_addresses(uint32_t src, uint32_t dst) { return src | (uint64_t)dst << 32; }

static uint64_t key_ports(uint16_t sport, uint16_t dport, uint8_t proto)
{
    return sport | (uint64_t)dport << 16 | (uint64_t)proto << 32;
}

static uint32_t words_changed(uint32_t old, uint32_t new)
{
    return (uint16_t)~old + (uint16_t)~(old >> 16) + (uint16_t)new + (uint16_t)(new >> 16);
}

static void flow_add(tables_t *tables, const flow_t *flow)
{
    uint64_t ports = key_ports(flow->sport, flow->new_dport, flow->proto);
    entry_t *second = table_add(&tables->second, key_addresses(flow->src, flow->new_dst), ports);
    ports = key_ports(flow->sport, flow->dport, flow->proto);
    entry_t *first = table_add(&tables->first, key_addresses(flow->src, flow->dst), ports);
    uint32_t address = words_changed(flow->dst, flow->new_dst);
    uint32_t port = (uint16_t)~flow->dport + (uint32_t)flow->new_dport;
    first->dst = flow->new_dst;
    first->dport = flow->new_dport;
    first->outer_sport = flow->outer_sport;
    first->next = (uint32_t)(second - tables->second.entries);
    first->ip_delta = (uint16_t)fold16(address + TTL_DELTA);
    first->l4_delta = (uint16_t)fold16(address + port);
}

tables_t tables_load(const char *path)
{
    uint64_t size;
    const flow_t *flows = file_read(path, 0, &size);
    uint64_t count = size / sizeof(flow_t);
    tables_t tables = {table_new(count), table_new(count)};
    for (uint64_t i = 0; i < count; i++)
        flow_add(&tables, &flows[i]);
    return tables;
}
