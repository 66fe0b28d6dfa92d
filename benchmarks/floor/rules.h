/* Access lists, looked through rule by rule. */
#ifndef FLOOR_RULES_H
#define FLOOR_RULES_H

#include "capture.h"

/* A rule of an access list; host order. */
typedef struct {
    uint32_t src, src_mask, dst, dst_mask;
    uint16_t sport_low, sport_high, dport_low, dport_high;
    uint8_t proto, proto_mask, unused[6];
} rule_t;

typedef struct {
    capture_t capture;
    const rule_t *rules;
    uint64_t *services; /* destination, port and protocol of each rule in one word */
    uint64_t count;
} list_t;

list_t list_open(capture_t capture, const char *path);

/* Sum over all packets of the number of the first rule that matches, `count` if none does. */
uint64_t list_scan(const list_t *list);

/* The same, for rules that ask for one destination, port and protocol, as a Service's. */
uint64_t list_scan_services(const list_t *list);

#endif
