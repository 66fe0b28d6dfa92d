"""Long chains, indexed by tuple space search.

Srinivasan, Suri, Varghese: Packet Classification Using Tuple Space Search (SIGCOMM 1999).  Prefixes
are shortened as TupleMerge does, so that patterns stay few; a filter of bits says which of them are
worth a look.  A scan of the chain is its specification: the walk asks each rule that is found in
full.

A rule is found by its addresses, its protocol, and its ports where they are what its first match
asks for.  A packet without a whole transport header would be dropped by such a match: it is walked
rule by rule.

What a packet will find cannot be foreseen, and a branch that is foreseen wrongly costs more than to
compare a rule.  So keys of all patterns are made, and the candidates that come first in two buckets
compared, without a branch.  That is right because whatever candidate fits is a rule that may match,
in whichever bucket it lies.  1,000 rules of ClassBench's manner: 73-88 ns a packet before, with
filters of prefixes and one branch per bucket, candidate and field; 34-48 so.
"""

from libc.stdint cimport uint8_t, uint16_t

from _fastpath.address cimport addr_t
from _fastpath.image cimport (
    MASKS_MAX,
    candidate_t,
    classifier_t,
    image_t,
    pattern_t,
    rule_t,
)
from _fastpath.packet cimport is_extension, packet_t, proto_has_ports

cdef extern from *:
    """
    #define lowest_bit(x) ((uint32_t)__builtin_ctz(x))
    /* The compiler knows nothing of x from here on, and makes no branch of how it came about. */
    #define hide(x) __asm__("" : "+r"(x))
    /* All bits of what these are multiplied by are in the upper bits of the products, and of sums
       of such products (multilinear hashing). */
    #define SRC_LOW 0x9E3779B97F4A7C15u
    #define SRC_HIGH 0xBF58476D1CE4E5B9u
    #define DST_LOW 0x94D049BB133111EBu
    #define DST_HIGH 0xD6E8FEB86659FD93u
    #define PORTS 0xA24BAED4963EE407u
    /* Ports and protocol in one word: a bit is free above each. */
    #define GUARDS 0x1000010000100u
    """
    uint32_t lowest_bit(uint32_t x) noexcept nogil
    void hide(uint32_t x) noexcept nogil
    const uint64_t SRC_LOW, SRC_HIGH, DST_LOW, DST_HIGH, PORTS, GUARDS

cdef enum:
    SCANNED_MAX = 16        # candidates of a bucket that are looked through from its start


# ------------------------------------------------------------------ what a packet is found by


cdef inline uint64_t packed(const packet_t* packet) noexcept nogil:
    return <uint64_t>packet.sport << 32 | <uint64_t>packet.dport << 12 | packet.proto


cdef inline uint64_t word_of(addr_t address, uint8_t shift) noexcept nogil:
    """32 bits of it."""
    if shift >= 64:
        return address.hi >> (shift - 64) & <uint64_t>0xFFFFFFFFu
    return (address.lo >> shift | address.hi << 1 << (63 - shift)) & <uint64_t>0xFFFFFFFFu


cdef inline void hash_address(const addr_t* masks, uint32_t count, addr_t address, uint64_t low,
                              uint64_t high, uint64_t* hashes) noexcept nogil:
    cdef uint32_t i
    for i in range(count):
        hashes[i] = (address.lo & masks[i].lo) * low + (address.hi & masks[i].hi) * high


cdef void look(const image_t* image, const classifier_t* classifier, const packet_t* packet,
               cursor_t* cursor) noexcept nogil:
    """Its key under each pattern, and which of the keys some rule may have."""
    cdef const pattern_t* patterns = image.patterns + classifier.pattern_start
    cdef const uint32_t* bits = image.pattern_filter + classifier.filter_start
    cdef uint64_t[MASKS_MAX] src, dst, ports
    cdef uint64_t key
    cdef uint32_t i
    cursor.ports = packed(packet)
    cursor.addresses = (word_of(packet.src, classifier.src_shift) << 32
                        | word_of(packet.dst, classifier.dst_shift))
    hash_address(image.prefix_masks + classifier.src_start, classifier.src_count, packet.src,
                 SRC_LOW, SRC_HIGH, src)
    hash_address(image.prefix_masks + classifier.dst_start, classifier.dst_count, packet.dst,
                 DST_LOW, DST_HIGH, dst)
    for i in range(classifier.port_count):
        ports[i] = (cursor.ports & image.port_masks[classifier.port_start + i]) * PORTS
    cursor.patterns = 0
    for i in range(classifier.pattern_count):
        key = src[patterns[i].src] + dst[patterns[i].dst] + ports[patterns[i].ports]
        key += patterns[i].salt
        cursor.keys[i] = key
        key >>= classifier.filter_shift
        cursor.patterns |= (bits[key >> 5] >> (key & 31) & 1) << i


# ------------------------------------------------------------------------------- candidates


cdef inline uint32_t better(const image_t* image, uint32_t i, const cursor_t* cursor, uint32_t at,
                            uint32_t best) noexcept nogil:
    """The candidate's rule if it may match and comes before `best`, which it is otherwise.

    Ports and protocol are compared all at once: what is too low or too high takes its guard away.
    """
    cdef const candidate_t* one = &image.candidates[i]
    cdef uint32_t rule = image.candidate_rules[i]
    cdef uint64_t guards = ((cursor.ports | GUARDS) - one.low) & (one.high - cursor.ports) & GUARDS
    cdef uint64_t differs = (cursor.addresses ^ one.addresses) & one.mask | guards ^ GUARDS
    cdef uint32_t is_none = (differs != 0) | (rule < at)
    hide(is_none)
    rule |= 0 - is_none
    hide(rule)
    is_none = rule >= best
    hide(is_none)
    return rule ^ ((rule ^ best) & (0 - is_none))


cdef inline uint32_t first_from(const uint32_t* rules, uint32_t low, uint32_t high,
                                uint32_t at) noexcept nogil:
    cdef uint32_t middle
    while low < high:
        middle = (low + high) >> 1
        if rules[middle] < at:
            low = middle + 1
        else:
            high = middle
    return low


cdef inline uint32_t best_of_rest(const image_t* image, const uint32_t* bucket,
                                  const cursor_t* cursor, uint32_t at,
                                  uint32_t best) noexcept nogil:
    """Behind the first two of the bucket.  Those behind its last are other rules, or none."""
    cdef uint32_t i = bucket[0] + 2, end = bucket[1]
    if end > i + SCANNED_MAX:
        i = first_from(image.candidate_rules, i, end, at)
    while i < end and image.candidate_rules[i] < best:
        best = better(image, i, cursor, at, best)
        best = better(image, i + 1, cursor, at, best)
        best = better(image, i + 2, cursor, at, best)
        best = better(image, i + 3, cursor, at, best)
        i += 4
    return best


cdef inline uint32_t best_of_two(const image_t* image, const classifier_t* classifier,
                                 const cursor_t* cursor, uint32_t pattern, uint32_t other,
                                 uint32_t at, uint32_t best) noexcept nogil:
    cdef const uint32_t* buckets = image.candidate_buckets + classifier.bucket_start
    cdef const uint32_t* one = buckets + (cursor.keys[pattern] >> classifier.bucket_shift)
    cdef const uint32_t* two = buckets + (cursor.keys[other] >> classifier.bucket_shift)
    best = better(image, one[0], cursor, at, best)
    best = better(image, one[0] + 1, cursor, at, best)
    best = better(image, two[0], cursor, at, best)
    best = better(image, two[0] + 1, cursor, at, best)
    best = best_of_rest(image, one, cursor, at, best)
    return best_of_rest(image, two, cursor, at, best)


cdef uint32_t find_candidate(const walk_t* walk, cursor_t* cursor, uint32_t at) noexcept nogil:
    cdef const packet_t* packet = walk.packet
    cdef const image_t* image = walk.image
    cdef uint32_t number = image.rule_classifiers[at]
    cdef const classifier_t* classifier = &image.classifiers[number - 1]
    cdef const pattern_t* patterns = image.patterns + classifier.pattern_start
    cdef uint32_t left, one, other, best = classifier.end
    if proto_has_ports(packet.proto) and not (packet.has_ports and packet.is_first):
        return at
    if packet.family == 6 and (packet.has_authentication or is_extension(packet.proto)):
        return at                       # its protocol is not the same to every rule
    if cursor.number != number:
        cursor.number = number
        look(image, classifier, packet, cursor)
    left = cursor.patterns
    while left:
        one = lowest_bit(left)
        if patterns[one].first_rule >= best:
            break
        left &= left - 1
        other = lowest_bit(left) if left else one
        left &= left - 1
        best = best_of_two(image, classifier, cursor, one, other, at, best)
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
    cdef const addr_t[::1] masks = arrays["prefix_masks"]
    cdef const uint64_t[::1] port_masks = arrays["port_masks"]
    cdef const uint32_t[::1] pattern_filter = arrays["pattern_filter"]
    cdef const uint32_t[::1] buckets = arrays["candidate_buckets"]
    cdef const candidate_t[::1] candidates = arrays["candidates"]
    cdef const uint32_t[::1] candidate_rules = arrays["candidate_rules"]
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
    image.prefix_masks, image.port_masks = &masks[0], &port_masks[0]
    image.pattern_filter, image.candidate_buckets = &pattern_filter[0], &buckets[0]
    image.candidates, image.candidate_rules = &candidates[0], &candidate_rules[0]
    walk.image, walk.packet = &image, &packet
    packet.family, packet.has_ports, packet.is_first = 4, 1, 1
    with nogil:
        for i in range(count):
            packet.src, packet.dst = addr_t(0, src[i]), addr_t(0, dst[i])
            packet.sport, packet.dport, packet.proto = sport[i], dport[i], proto[i]
            cursor.number = 0
            found[i] = find_candidate(&walk, &cursor, at)
