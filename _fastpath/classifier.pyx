"""Long chains, indexed by tuple space search.

Srinivasan, Suri, Varghese: Packet Classification Using Tuple Space Search (SIGCOMM 1999), with
prefixes shortened as TupleMerge does, so that the patterns stay few.  A scan of the chain is its
specification: the walk asks each rule that is found in full.

A rule is found by its addresses, its protocol, and its destination port where that is what its
first match asks for.  A packet without a whole transport header would be dropped by such a match:
it is walked rule by rule.
"""

from libc.stdint cimport uint64_t

from _fastpath.choice cimport fold
from _fastpath.image cimport classifier_t, pattern_key_t, pattern_t
from _fastpath.packet cimport is_extension, packet_t, proto_has_ports


cdef inline uint64_t hash_of(const pattern_t* pattern, const packet_t* packet) noexcept nogil:
    cdef uint64_t h = fold(0, packet.src.hi & pattern.src_mask.hi)
    h = fold(h, packet.src.lo & pattern.src_mask.lo)
    h = fold(h, packet.dst.hi & pattern.dst_mask.hi)
    h = fold(h, packet.dst.lo & pattern.dst_mask.lo)
    return fold(h, (<uint64_t>packet.proto << 16 if pattern.has_proto else 0)
                | (packet.dport if pattern.has_dport else 0))


cdef const pattern_key_t* find_key(const walk_t* walk, const pattern_t* pattern) noexcept nogil:
    cdef uint64_t h = hash_of(pattern, walk.packet)
    cdef const uint32_t* slots = walk.image.pattern_slots + pattern.slot_start
    cdef uint32_t slot = <uint32_t>h & pattern.slot_mask
    cdef const pattern_key_t* key
    while slots[slot]:
        key = &walk.image.pattern_keys[slots[slot] - 1]
        if key.hash == h:
            return key
        slot = (slot + 1) & pattern.slot_mask
    return NULL


cdef uint32_t first_from(const uint32_t* rules, uint32_t count, uint32_t at,
                         uint32_t none) noexcept nogil:
    cdef uint32_t low = 0, high = count, middle
    while low < high:
        middle = (low + high) >> 1
        if rules[middle] < at:
            low = middle + 1
        else:
            high = middle
    return rules[low] if low < count else none


cdef uint32_t next_candidate(const walk_t* walk, uint32_t at) noexcept nogil:
    cdef const packet_t* packet = walk.packet
    cdef uint32_t number = walk.image.rule_classifiers[at]
    cdef const classifier_t* classifier
    cdef const pattern_t* pattern
    cdef const pattern_key_t* key
    cdef uint32_t i, best
    if number == 0:
        return at
    if proto_has_ports(packet.proto) and not (packet.has_ports and packet.is_first):
        return at
    if packet.family == 6 and (packet.has_authentication or is_extension(packet.proto)):
        return at                       # its protocol is not the same to every rule
    classifier = &walk.image.classifiers[number - 1]
    best = classifier.end
    for i in range(classifier.pattern_start,
                   classifier.pattern_start + classifier.pattern_count):
        pattern = &walk.image.patterns[i]
        if pattern.first_rule >= best:
            break
        if pattern.last_rule < at:
            continue
        key = find_key(walk, pattern)
        if key != NULL:
            best = min(best, first_from(walk.image.classifier_rules + key.start, key.count,
                                        at, best))
    return best
