/* Bytes of a frame: where things stand, and sums of them.
 *
 * Words are loaded as they lie in memory.  A ones' complement sum does not mind the order of
 * bytes as long as all words are read alike (RFC 1071, section 2 (B)).
 */
#ifndef FLOOR_PACKET_H
#define FLOOR_PACKET_H

#include <stdint.h>
#include <string.h>

#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

enum {
    ETHER_BYTES = 14,
    IPV4_BYTES = 20,
    TUNNEL_BYTES = ETHER_BYTES + IPV4_BYTES + 8 + 8, /* Ethernet, IPv4, UDP, VXLAN */
    TCP = 6,
    UDP = 17,
};

static inline uint16_t load16(const uint8_t *at) { uint16_t v; memcpy(&v, at, 2); return v; }
static inline uint32_t load32(const uint8_t *at) { uint32_t v; memcpy(&v, at, 4); return v; }
static inline uint64_t load64(const uint8_t *at) { uint64_t v; memcpy(&v, at, 8); return v; }
static inline void store16(uint8_t *at, uint16_t v) { memcpy(at, &v, 2); }
static inline void store32(uint8_t *at, uint32_t v) { memcpy(at, &v, 4); }
static inline uint16_t swap16(uint16_t v) { return __builtin_bswap16(v); }

static inline uint32_t fold16(uint32_t sum)
{
    sum = (sum & 0xffff) + (sum >> 16);
    return (sum & 0xffff) + (sum >> 16);
}

/* RFC 1624, equation 3; `delta` is the sum of ~m + m' over the words that changed. */
static inline uint16_t checksum_edit(uint16_t check, uint32_t delta)
{
    return (uint16_t)~fold16((uint16_t)~check + delta);
}

/* The byte before the protocol is the TTL: ~m + (m - 1), whatever m is. */
#define TTL_DELTA 0xfffeu

/* In pieces of 32 bytes: writes and reads up to 31 bytes past the end, where there is room. */
static inline void copy(uint8_t *to, const uint8_t *from, uint32_t size)
{
    uint32_t at = 0;
    do {
        memcpy(to + at, from + at, 32);
        at += 32;
    } while (at < size);
}

#endif
