/* A packet's whole way: the first node translates and encapsulates, the second decapsulates and
 * delivers. */
#ifndef FLOOR_WAY_H
#define FLOOR_WAY_H

#include <stdio.h>

#include "table.h"

enum { RING_BYTES = 1 << 20, FRAME_MAX = 2048 };

/* What happened to a packet at a node. */
typedef struct {
    uint32_t packet;
    uint32_t slot;    /* of the connection */
    uint32_t path;
    uint16_t size;    /* of the frame that left */
    uint8_t node, verdict;
} trace_t;

/* What frames carry that no packet changes, from the file of links. */
typedef struct {
    uint8_t outer[TUNNEL_BYTES]; /* lengths, checksum, identification and source port are 0 */
    uint8_t inner_ether[ETHER_BYTES];
    uint8_t pod_ether[ETHER_BYTES];
} links_t;

typedef struct {
    capture_t capture;
    tables_t tables;
    links_t links;
    uint32_t outer_sum; /* of the outer IPv4 header's fixed words */
    uint16_t next_id;   /* identification of the next outer packet, host order */
    uint8_t is_hashed;  /* the second node hashes again instead of following the entry's link */
    uint8_t *wire, *pod; /* rings */
    uint32_t wire_at, pod_at;
    trace_t *traces;
    uint64_t lost; /* no flow, or a tunnel that is not ours */
} way_t;

way_t way_open(capture_t capture, const char *flows, const char *links);

/* All packets.  `out`, unless NULL, gets every frame that left: of each packet that arrived the
 * tunnel's, then the pod's.  Gives how many arrived. */
uint64_t way_run(way_t *way, FILE *out);

#endif
