#include "rules.h"

#include "memory.h"

static uint64_t service_word(uint32_t dst, uint16_t dport, uint8_t proto)
{
    return (uint64_t)dst << 32 | (uint64_t)dport << 16 | proto;
}

list_t list_open(capture_t capture, const char *path)
{
    uint64_t size;
    list_t list = {.capture = capture, .rules = file_read(path, 0, &size)};
    list.count = size / sizeof(rule_t);
    list.services = memory((list.count + 1) * sizeof(uint64_t));
    for (uint64_t i = 0; i < list.count; i++) {
        const rule_t *rule = &list.rules[i];
        list.services[i] = service_word(rule->dst, rule->dport_low, rule->proto);
    }
    return list;
}

typedef struct {
    uint32_t src, dst;
    uint16_t sport, dport;
    uint8_t proto;
} asked_t;

static inline asked_t asked(const job_t *job)
{
    return (asked_t){
        __builtin_bswap32((uint32_t)job->addresses),
        __builtin_bswap32((uint32_t)(job->addresses >> 32)),
        swap16((uint16_t)job->ports), swap16((uint16_t)(job->ports >> 16)),
        (uint8_t)(job->ports >> 32)};
}

/* All comparisons, then one branch: which of them fails first cannot be foreseen. */
static inline uint32_t matches(const rule_t *rule, const asked_t *packet)
{
    return ((packet->src & rule->src_mask) == rule->src)
        & ((packet->dst & rule->dst_mask) == rule->dst)
        & ((uint16_t)(packet->sport - rule->sport_low)
           <= (uint16_t)(rule->sport_high - rule->sport_low))
        & ((uint16_t)(packet->dport - rule->dport_low)
           <= (uint16_t)(rule->dport_high - rule->dport_low))
        & ((packet->proto & rule->proto_mask) == rule->proto);
}

static inline uint64_t first_match(const list_t *list, const job_t *job)
{
    asked_t packet = asked(job);
    for (uint64_t i = 0; i < list->count; i++)
        if (UNLIKELY(matches(&list->rules[i], &packet)))
            return i;
    return list->count;
}

static inline uint64_t first_service(const list_t *list, const job_t *job)
{
    asked_t packet = asked(job);
    uint64_t word = service_word(packet.dst, packet.dport, packet.proto);
    for (uint64_t i = 0; i < list->count; i++)
        if (UNLIKELY(list->services[i] == word))
            return i;
    return list->count;
}

#define SCAN(first)                                                     \
    job_t jobs[BATCH] __attribute__((aligned(64)));                     \
    cursor_t cursor = cursor_begin(&list->capture);                     \
    uint64_t sum = 0;                                                   \
    uint32_t count;                                                     \
    while ((count = batch_read(&cursor, jobs)))                         \
        for (uint32_t i = 0; i < count; i++)                            \
            sum += first(list, &jobs[i]);                               \
    return sum;

uint64_t list_scan(const list_t *list) { SCAN(first_match) }
uint64_t list_scan_services(const list_t *list) { SCAN(first_service) }
