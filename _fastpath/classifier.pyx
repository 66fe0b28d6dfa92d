"""Long chains, indexed by tuple space search.

Srinivasan, Suri, Varghese: Packet Classification Using Tuple Space Search (SIGCOMM 1999), with
their pruning: which prefixes of a packet's addresses any rule has says which patterns are worth a
look.  Prefixes are shortened as TupleMerge does, so that patterns stay few.  A scan of the chain is
its specification: the walk asks each rule that is found in full.

A rule is found by its addresses, its protocol, and its ports where they are what its first match
asks for.  A packet without a whole transport header would be dropped by such a match: it is walked
rule by rule.
"""

from libc.stdint cimport uint8_t, uint16_t

from _fastpath.address cimport addr_t
from _fastpath.image cimport (
    candidate_t,
    classifier_t,
    image_t,
    pattern_t,
    prefix_mask_t,
    rule_t,
)
from _fastpath.packet cimport is_extension, packet_t, proto_has_ports

cdef extern from *:
    """
    #define lowest_bit(x) ((uint32_t)__builtin_ctz(x))
    """
    uint32_t lowest_bit(uint32_t x) noexcept nogil

cdef enum:
    SCANNED_MAX = 16        # candidates of a bucket that are looked through from its start


# Multiplicative hashing: all bits of what is hashed are in the upper bits of the product.
cdef inline uint64_t hash_of(addr_t address, addr_t mask) noexcept nogil:
    return ((address.lo & mask.lo) * <uint64_t>0x9E3779B97F4A7C15u
            + (address.hi & mask.hi) * <uint64_t>0xBF58476D1CE4E5B9u)


cdef uint32_t patterns_of(const image_t* image, uint32_t start, uint32_t count, addr_t address,
                          uint64_t* hashes) noexcept nogil:
    """Those that have the address under their mask, and perhaps others; its hashes."""
    cdef const prefix_mask_t* masks = image.prefix_masks + start
    cdef uint32_t i, found = 0
    for i in range(count):
        hashes[i] = hash_of(address, masks[i].mask)
        found |= masks[i].patterns & image.pattern_filter[
            masks[i].filter_start + <uint32_t>(hashes[i] >> masks[i].filter_shift)]
    return found


cdef inline uint64_t key_of(const cursor_t* cursor, const pattern_t* pattern, uint32_t number,
                            const packet_t* packet) noexcept nogil:
    cdef uint64_t src = cursor.src_hash[pattern.src], dst = cursor.dst_hash[pattern.dst]
    cdef uint64_t h = (<uint64_t>(packet.sport & pattern.sport_mask) << 16
                       | (packet.dport & pattern.dport_mask)) << 8
    h = (h | (packet.proto if pattern.has_proto else 0)) << 8 | number
    h = h * <uint64_t>0x94D049BB133111EBu ^ src ^ (dst >> 32 | dst << 32)
    return (h ^ h >> 32) * <uint64_t>0x9E3779B97F4A7C15u


cdef inline uint32_t first_from(const candidate_t* candidates, uint32_t low, uint32_t high,
                                uint32_t at) noexcept nogil:
    cdef uint32_t middle
    while low < high:
        middle = (low + high) >> 1
        if candidates[middle].rule < at:
            low = middle + 1
        else:
            high = middle
    return low


cdef inline bint may_match(const candidate_t* candidate, const packet_t* packet,
                           uint16_t tag) noexcept nogil:
    return (candidate.tag == tag
            and (candidate.proto == 0 or candidate.proto == packet.proto)
            and <uint16_t>(packet.dport - candidate.dport_low) <= candidate.dport_span
            and <uint16_t>(packet.sport - candidate.sport_low) <= candidate.sport_span)


cdef inline uint32_t first_in(const image_t* image, const classifier_t* classifier, uint64_t key,
                              const packet_t* packet, uint32_t at, uint32_t best) noexcept nogil:
    cdef const uint32_t* bucket = (image.candidate_buckets + classifier.bucket_start
                                   + <uint32_t>(key >> classifier.bucket_shift))
    cdef uint32_t i = bucket[0]
    if bucket[1] - i > SCANNED_MAX:
        i = first_from(image.candidates, i, bucket[1], at)
    while i < bucket[1] and image.candidates[i].rule < best:
        if image.candidates[i].rule >= at and may_match(&image.candidates[i], packet,
                                                        <uint16_t>(key >> 16)):
            return image.candidates[i].rule
        i += 1
    return best


cdef uint32_t find_candidate(const walk_t* walk, cursor_t* cursor, uint32_t at) noexcept nogil:
    cdef const packet_t* packet = walk.packet
    cdef const image_t* image = walk.image
    cdef uint32_t number = image.rule_classifiers[at]
    cdef const classifier_t* classifier = &image.classifiers[number - 1]
    cdef const pattern_t* patterns = image.patterns + classifier.pattern_start
    cdef uint32_t left, i, best = classifier.end
    if proto_has_ports(packet.proto) and not (packet.has_ports and packet.is_first):
        return at
    if packet.family == 6 and (packet.has_authentication or is_extension(packet.proto)):
        return at                       # its protocol is not the same to every rule
    if cursor.number != number:
        cursor.number = number
        cursor.patterns = patterns_of(image, classifier.src_start, classifier.src_count,
                                      packet.src, cursor.src_hash)
        cursor.patterns &= patterns_of(image, classifier.dst_start, classifier.dst_count,
                                       packet.dst, cursor.dst_hash)
    left = cursor.patterns
    while left:
        i = lowest_bit(left)
        left &= left - 1
        if patterns[i].first_rule >= best:
            break
        if patterns[i].last_rule >= at:
            best = first_in(image, classifier, key_of(cursor, &patterns[i], i, packet), packet, at,
                            best)
    return best


def find_many(arrays, const uint32_t[::1] src not None, const uint32_t[::1] dst not None,
              const uint16_t[::1] sport not None, const uint16_t[::1] dport not None,
              const uint8_t[::1] proto not None, uint32_t at, uint32_t[::1] found not None):
    """found[i] = the first row at or after row `at`, in its chain, that may match IPv4 packet i.

    arrays  an Image's; the others (n,), addresses in host byte order; `found` is overwritten
    raises  ValueError if the lengths differ, or `at` is not a row of a chain that is indexed
    """
    cdef const rule_t[::1] rules = arrays["rules"]
    cdef const uint32_t[::1] numbers = arrays["rule_classifiers"]
    cdef const classifier_t[::1] classifiers = arrays["classifiers"]
    cdef const pattern_t[::1] patterns = arrays["patterns"]
    cdef const prefix_mask_t[::1] masks = arrays["prefix_masks"]
    cdef const uint32_t[::1] pattern_filter = arrays["pattern_filter"]
    cdef const uint32_t[::1] buckets = arrays["candidate_buckets"]
    cdef const candidate_t[::1] candidates = arrays["candidates"]
    cdef image_t image
    cdef walk_t walk
    cdef packet_t packet
    cdef cursor_t cursor
    cdef Py_ssize_t i, count = found.shape[0]
    if {len(src), len(dst), len(sport), len(dport), len(proto)} != {count}:
        raise ValueError(f"columns of other lengths than {count}")
    if at >= <size_t>numbers.shape[0] or numbers[at] == 0:
        raise ValueError(f"row {at} is in no indexed chain")
    image.rules, image.rule_classifiers = &rules[0], &numbers[0]
    image.classifiers, image.patterns = &classifiers[0], &patterns[0]
    image.prefix_masks, image.pattern_filter = &masks[0], &pattern_filter[0]
    image.candidate_buckets, image.candidates = &buckets[0], &candidates[0]
    walk.image, walk.packet = &image, &packet
    packet.family, packet.has_ports, packet.is_first = 4, 1, 1
    with nogil:
        for i in range(count):
            packet.src, packet.dst = addr_t(0, src[i]), addr_t(0, dst[i])
            packet.sport, packet.dport, packet.proto = sport[i], dport[i], proto[i]
            cursor.number = 0
            found[i] = find_candidate(&walk, &cursor, at)
