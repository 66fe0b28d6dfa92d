/* The floor: what plain C needs for the bare steps of a packet's way, and no more.
 *
 *     floor MODE CAPTURE PACKETS PASSES [FLOWS LINKS [ID [OUT]] | RULES]
 *
 *     scan      walk the record headers
 *     columns   and write the 5-tuple of each packet into columns
 *     lookup    find each packet's flow (FLOWS)
 *     way       the whole way over two nodes: lookup, DNAT, VXLAN, decapsulation, the flow on the
 *               second node by the link of the first's entry, delivery, a trace record per node
 *     hashed    the same, the second node hashes the packet again
 *     rules     the first rule of an access list that matches, rule by rule (RULES)
 *     services  the same for exact rules: destination, port and protocol in one word
 *
 * Prints nanoseconds of processor time per packet, the mean of PASSES passes after one that does
 * not count; packets in a pass; and a checksum of the answers.  OUT gets the frames of the first pass, identifications
 * from ID on.  No conntrack: no state machine, no windows, no timeouts, no rules on the way.
 * Files are made by benchmarks/peers/floor.py, which says what is in them.
 */
#include <stdlib.h>
#include <time.h>

#include "memory.h"
#include "rules.h"
#include "way.h"

typedef struct {
    const char *mode;
    capture_t capture;
    way_t way;
    list_t list;
    struct {
        uint32_t *src, *dst;
        uint16_t *sport, *dport;
        uint8_t *proto;
    } columns;
    uint64_t packets; /* of the last pass */
} run_t;

static uint64_t scan(run_t *run)
{
    cursor_t cursor = cursor_begin(&run->capture);
    uint64_t sum = 0;
    uint32_t size;
    for (run->packets = 0; cursor_next(&cursor, &size); run->packets++)
        sum += size;
    return sum;
}

static uint64_t columns(run_t *run)
{
    job_t jobs[BATCH];
    cursor_t cursor = cursor_begin(&run->capture);
    uint64_t at = 0;
    uint32_t count;
    while ((count = batch_read(&cursor, jobs)))
        for (uint32_t i = 0; i < count; i++, at++) {
            run->columns.src[at] = (uint32_t)jobs[i].addresses;
            run->columns.dst[at] = (uint32_t)(jobs[i].addresses >> 32);
            run->columns.sport[at] = (uint16_t)jobs[i].ports;
            run->columns.dport[at] = (uint16_t)(jobs[i].ports >> 16);
            run->columns.proto[at] = (uint8_t)(jobs[i].ports >> 32);
        }
    run->packets = at;
    return 0; /* said by columns_sum, after the time is taken */
}

static uint64_t columns_sum(const run_t *run)
{
    uint64_t sum = 0;
    for (uint64_t i = 0; i < run->packets; i++)
        sum += run->columns.src[i] ^ (uint64_t)run->columns.dst[i] << 16
            ^ (uint64_t)run->columns.sport[i] << 8 ^ run->columns.dport[i] ^ run->columns.proto[i];
    return sum;
}

static uint64_t lookup(run_t *run)
{
    job_t jobs[BATCH] __attribute__((aligned(64)));
    cursor_t cursor = cursor_begin(&run->capture);
    const table_t *table = &run->way.tables.first;
    uint64_t sum = 0;
    uint32_t count;
    for (run->packets = 0; (count = batch_read(&cursor, jobs)); run->packets += count) {
        for (uint32_t i = 0; i < count; i++) {
            jobs[i].hash = key_hash(jobs[i].addresses, jobs[i].ports);
            __builtin_prefetch(table_line(table, jobs[i].hash));
        }
        for (uint32_t i = 0; i < count; i++) {
            const entry_t *entry = table_find(table, &jobs[i]);
            sum += LIKELY(entry != NULL) ? entry->dport : 0;
        }
    }
    return sum;
}

static uint64_t whole_way(run_t *run, FILE *out)
{
    uint64_t arrived = way_run(&run->way, out), sum = 0;
    run->packets = arrived + run->way.lost;
    run->way.lost = 0;
    for (uint64_t i = 0; i < BATCH && i < arrived; i++)
        sum = sum * 31 + run->way.traces[2 * i + 1].size;
    return sum ^ arrived << 32;
}

static uint64_t pass(run_t *run, FILE *out)
{
    switch (run->mode[0]) {
    case 'w': case 'h': return whole_way(run, out);
    case 'l': return lookup(run);
    case 'c': return columns(run);
    case 'r': case 's':
        run->packets = run->capture.packets;
        if (run->mode[0] == 'r')
            return list_scan(&run->list);
        return run->mode[1] == 'e' ? list_scan_services(&run->list) : scan(run);
    }
    fail("no such mode", run->mode);
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static void open_columns(run_t *run, uint64_t packets)
{
    run->columns.src = memory(4 * packets);
    run->columns.dst = memory(4 * packets);
    run->columns.sport = memory(2 * packets);
    run->columns.dport = memory(2 * packets);
    run->columns.proto = memory(packets);
}

/* Returns the file that frames go to, or NULL. */
static FILE *open_rest(run_t *run, int count, char **words)
{
    char mode = run->mode[0];
    if (mode == 'c')
        open_columns(run, run->capture.packets);
    if ((mode == 'r' || !strcmp(run->mode, "services")) && count >= 6)
        run->list = list_open(run->capture, words[5]);
    if ((mode == 'w' || mode == 'h' || mode == 'l') && count >= 7) {
        run->way = way_open(run->capture, words[5], words[6]);
        run->way.is_hashed = mode == 'h';
        run->way.next_id = count >= 8 ? (uint16_t)atoi(words[7]) : 1;
    }
    FILE *out = count >= 9 ? fopen(words[8], "wb") : NULL;
    if (count >= 9 && !out)
        fail("cannot be written", words[8]);
    return out;
}

int main(int count, char **words)
{
    if (count < 5)
        fail("MODE CAPTURE PACKETS PASSES …", "expected");
    uint64_t packets = strtoull(words[3], NULL, 10), passes = strtoull(words[4], NULL, 10);
    run_t run = {.mode = words[1], .capture = capture_open(words[2], packets)};
    FILE *out = open_rest(&run, count, words);
    uint64_t answers = pass(&run, out);
    if (out && fclose(out))
        fail("cannot be written", words[8]);
    double start = now();
    for (uint64_t i = 0; i < passes; i++)
        answers = pass(&run, NULL);
    double spent = now() - start;
    answers += run.mode[0] == 'c' ? columns_sum(&run) : 0;
    printf("%.4f %lu %016lx\n", passes ? spent / (double)(passes * run.packets) : 0.0,
           (unsigned long)run.packets, (unsigned long)answers);
    return 0;
}
