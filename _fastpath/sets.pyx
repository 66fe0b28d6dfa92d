"""Sets of addresses, ports and the like.  Specified by dataplane.reference.sets.

ip_set_core.c, ip_set_hash_gen.h, ip_set_bitmap_gen.h, ip_set_list_set.c and xt_set.c, v6.18.
All sets' elements are in one hash table, and elements of one set that are found at the same
place stand in their chain in the order in which they were added.
"""

from libc.stdint cimport uint8_t

from _fastpath.address cimport addr_equal, addr_t
from _fastpath.image cimport (
    PART_IFACE,
    PART_MAC,
    PREFIX_LENGTHS,
    SET_ADD,
    SET_ADD_EXIST,
    SET_ADD_TIMEOUT,
    SET_BITMAP,
    SET_CHANGES,
    SET_COUNTER_EQ,
    SET_COUNTER_GT,
    SET_COUNTER_LT,
    SET_COUNTER_NE,
    SET_COUNTERS,
    SET_DEL,
    SET_FORCEADD,
    SET_LEARNS,
    SET_LIST,
    SET_MAP,
    SET_MAP_MARK,
    SET_MATCH_COUNTERS,
    SET_NOMATCH,
    SET_RETURN_NOMATCH,
    SET_SKBINFO,
    SET_SKIP_COUNTERS,
    SET_SKIP_SUBCOUNTERS,
    SET_TIMEOUT,
    set_t,
)
from _fastpath.matches cimport NO, UNDECIDED, YES
from _fastpath.netfilter cimport WALK_UNKNOWN
from _fastpath.reason cimport TARGET_UNMODELLED
from _fastpath.set_probe cimport PROBE_MADE, PROBE_UNKNOWN, set_probe
from _fastpath.state cimport (
    ELEMENT_IN_USE,
    ELEMENT_NO_MAC,
    ELEMENT_NOMATCH,
    ELEMENT_PHYSICAL,
    ELEMENT_WILDCARD,
)
from _fastpath.trace cimport EVENT_MARK, trace_value

cdef enum:
    SET_TIMEOUT_OWN = 0xFFFFFFFFu
    # What a look-up answers.
    ABSENT = 0
    PRESENT = 1
    EXCEPTED = 2        # -ENOTEMPTY: an element with nomatch
    UNCERTAIN = 3

# What a rule asks of a set: struct ip_set_adt_opt.
cdef struct question_t:
    uint32_t dimension
    uint32_t sources
    uint32_t flags              # SetMatchFlag
    const uint32_t* counters    # packets: operator, two words; bytes: likewise
    uint32_t skbmark, skbmark_mask  # of the element that was found


# ------------------------------------------------------------------------------- elements


cdef inline uint64_t mix(uint64_t a, uint64_t b) noexcept nogil:
    a = (a ^ b) * 0x9E3779B97F4A7C15u
    return a ^ (a >> 29)


cdef bint is_named(const set_t* set) noexcept nogil:
    """The name is part of what an element is found by: MAC addresses, but for bitmap:ip,mac."""
    return set.kind != SET_BITMAP and (set.parts[0] == PART_MAC or set.parts[1] == PART_MAC)


cdef uint32_t bucket_of(const state_t* state, const set_element_t* element) noexcept nogil:
    cdef uint64_t key = mix(element.owner, element.first.hi)
    key = mix(key, element.first.lo)
    key = mix(key, element.second.hi)
    key = mix(key, element.second.lo)
    key = mix(key, (<uint64_t>element.mark << 32) | (<uint64_t>element.port << 16)
              | element.proto)
    key = mix(key, (<uint64_t>element.first_length << 8) | element.second_length)
    return <uint32_t>(key >> 20) & state.set_bucket_mask


cdef bint found_by(const set_element_t* a, const set_element_t* b) noexcept nogil:
    """All but names are equal."""
    return (a.owner == b.owner and a.port == b.port and a.proto == b.proto and a.mark == b.mark
            and a.first_length == b.first_length and a.second_length == b.second_length
            and addr_equal(a.first, b.first) and addr_equal(a.second, b.second))


cdef bint same_device(const set_element_t* element, const set_element_t* probe) noexcept nogil:
    """hash_netiface4_data_equal"""
    cdef const uint8_t* wanted = <const uint8_t*>element.name
    cdef const uint8_t* name = <const uint8_t*>probe.name
    cdef int i
    for i in range(16):
        if wanted[i] == 0 and element.flags & ELEMENT_WILDCARD:
            return True
        if wanted[i] != name[i]:
            return False
    return True


cdef bint equal(const set_t* set, const set_element_t* element, const set_element_t* probe,
                bint* several) noexcept nogil:
    if not found_by(element, probe):
        return False
    # The hash holds this too.  No rule of iptables asks for bridge ports.
    if (element.flags ^ probe.flags) & ELEMENT_PHYSICAL:
        return False
    if set.parts[1] == PART_IFACE:
        several[0] = True
        return same_device(element, probe)
    return not is_named(set) or element.name[0] == probe.name[0]


cdef void chain(state_t* state, int32_t index) noexcept nogil:
    """Behind those that are there."""
    cdef uint32_t bucket = bucket_of(state, &state.set_elements[index])
    cdef int32_t at = state.set_buckets[bucket] - 1
    state.set_elements[index].next = -1
    if at < 0:
        state.set_buckets[bucket] = index + 1
        return
    while state.set_elements[at].next >= 0:
        at = state.set_elements[at].next
    state.set_elements[at].next = index


cdef void unchain(state_t* state, int32_t index) noexcept nogil:
    cdef uint32_t bucket = bucket_of(state, &state.set_elements[index])
    cdef int32_t at = state.set_buckets[bucket] - 1
    if at == index:
        state.set_buckets[bucket] = state.set_elements[index].next + 1
        return
    while state.set_elements[at].next != index:
        at = state.set_elements[at].next
    state.set_elements[at].next = state.set_elements[index].next


cdef void count_lengths(state_t* state, const set_element_t* element, int by) noexcept nogil:
    cdef uint32_t* lengths = state.set_lengths + 2 * PREFIX_LENGTHS * element.owner
    lengths[element.first_length] += by
    lengths[PREFIX_LENGTHS + element.second_length] += by


cdef void remove(state_t* state, int32_t index) noexcept nogil:
    cdef set_element_t* element = &state.set_elements[index]
    unchain(state, index)
    count_lengths(state, element, -1)
    state.set_counts[element.owner] -= 1
    element.flags = 0
    element.next = state.set_element_free
    state.set_element_free = index


cdef int32_t take(state_t* state) noexcept nogil:
    """A row that is free; -1 if there is none."""
    cdef int32_t index = state.set_element_free
    if index >= 0:
        state.set_element_free = state.set_elements[index].next
        return index
    if state.set_used[0] >= state.set_element_max:
        return -1
    state.set_used[0] += 1
    return <int32_t>state.set_used[0] - 1


cdef bint is_expired(const walk_t* walk, const set_element_t* element) noexcept nogil:
    return element.expires_ns != 0 and not element.flags & ELEMENT_NO_MAC and (
        walk.now_ns > element.expires_ns)


cdef void sets_begin(state_t* state, uint64_t now_ns) noexcept nogil:
    cdef uint32_t i
    cdef set_element_t* element
    state.has_begun = 1
    for i in range(state.set_used[0]):
        element = &state.set_elements[i]
        if element.flags & ELEMENT_IN_USE and not element.flags & ELEMENT_NO_MAC:
            element.expires_ns += now_ns if element.expires_ns else 0


cdef void sets_rehash(state_t* state) noexcept nogil:
    cdef uint32_t i
    for i in range(state.set_used[0]):
        if state.set_elements[i].flags & ELEMENT_IN_USE:
            chain(state, <int32_t>i)
            count_lengths(state, &state.set_elements[i], 1)
            state.set_counts[state.set_elements[i].owner] += 1


# -------------------------------------------------------------------------------- look-up


cdef bint compare(const uint32_t* wanted, uint64_t count) noexcept nogil:
    """ip_set_match_counter"""
    cdef uint64_t value = (<uint64_t>wanted[1] << 32) | wanted[2]
    if wanted[0] == SET_COUNTER_EQ:
        return count == value
    if wanted[0] == SET_COUNTER_NE:
        return count != value
    if wanted[0] == SET_COUNTER_LT:
        return count < value
    if wanted[0] == SET_COUNTER_GT:
        return count > value
    return True


cdef bint extensions_match(walk_t* walk, const set_t* set, set_element_t* element,
                           question_t* question) noexcept nogil:
    """ip_set_match_extensions: counts first, and compares what it counted."""
    if set.flags & SET_TIMEOUT and is_expired(walk, element):
        return False
    if set.flags & SET_COUNTERS:
        if not question.flags & SET_SKIP_COUNTERS:
            element.packets += 1
            element.bytes += walk.packet.ip_length
        if question.flags & SET_MATCH_COUNTERS and not (
                compare(question.counters, element.packets)
                and compare(question.counters + 3, element.bytes)):
            return False
    if set.flags & SET_SKBINFO:
        question.skbmark = element.skbmark
        question.skbmark_mask = element.skbmark_mask
    return True


cdef int search(walk_t* walk, const set_t* set, const set_element_t* probe,
                question_t* question, bint* several) noexcept nogil:
    """The element at one place."""
    cdef state_t* state = walk.state
    cdef int32_t at = state.set_buckets[bucket_of(state, probe)] - 1
    cdef set_element_t* element
    while at >= 0:
        element = &state.set_elements[at]
        if equal(set, element, probe, several):
            if extensions_match(walk, set, element, question):
                return EXCEPTED if element.flags & ELEMENT_NOMATCH else PRESENT
            several[0] = False
        at = element.next
    return ABSENT


cdef addr_t cut(addr_t address, uint32_t length, bint is_ipv4) noexcept nogil:
    if is_ipv4:
        return addr_t(0, address.lo >> (32 - length) << (32 - length))
    if length == 0:
        return addr_t(0, 0)
    if length <= 64:
        return addr_t(address.hi >> (64 - length) << (64 - length), 0)
    return addr_t(address.hi, address.lo >> (128 - length) << (128 - length))


cdef int search_networks(walk_t* walk, const set_t* set, set_element_t* probe,
                         question_t* question) noexcept nogil:
    """mtype_test_cidrs: from the longest prefix that any element has to the shortest; of two
    networks the second's within the first's."""
    cdef const uint32_t* lengths = walk.state.set_lengths + 2 * PREFIX_LENGTHS * probe.owner
    cdef addr_t first = probe.first, second = probe.second
    cdef int longest = probe.first_length, longest_second = probe.second_length
    cdef int i, j, outcome
    cdef bint several = False, is_ipv4 = walk.packet.family == 4
    for i in range(longest, -1, -1):
        if not lengths[i]:
            continue
        probe.first_length = <uint8_t>i
        if longest:
            probe.first = cut(first, i, is_ipv4)
        for j in range(longest_second, -1, -1):
            if not lengths[PREFIX_LENGTHS + j]:
                continue
            probe.second_length = <uint8_t>j
            if longest_second:
                probe.second = cut(second, j, is_ipv4)
            outcome = search(walk, set, probe, question, &several)
            if outcome != ABSENT or several:
                return outcome
    return ABSENT


cdef set_element_t* find(walk_t* walk, const set_t* set,
                         const set_element_t* probe) noexcept nogil:
    """The element itself, expired or not; NULL if there is none."""
    cdef state_t* state = walk.state
    cdef int32_t at = state.set_buckets[bucket_of(state, probe)] - 1
    cdef bint several = False
    while at >= 0:
        if equal(set, &state.set_elements[at], probe, &several):
            return &state.set_elements[at]
        at = state.set_elements[at].next
    return NULL


cdef void count_first(walk_t* walk, const set_t* set, set_element_t* element) noexcept nogil:
    """ip_set_init_counter: the packet that adds an element is its first.  What one that is there
    was given besides goes, `nomatch` too (mtype_data_set_flags)."""
    element.flags &= <uint8_t>~ELEMENT_NOMATCH
    element.packets = 1 if set.flags & SET_COUNTERS else 0
    element.bytes = walk.packet.ip_length if set.flags & SET_COUNTERS else 0
    element.skbmark = element.skbmark_mask = 0


cdef inline uint64_t deadline(walk_t* walk, uint32_t seconds) noexcept nogil:
    return walk.now_ns + <uint64_t>seconds * 1000000000u if seconds else 0


cdef void learn_mac(walk_t* walk, const set_t* set, set_element_t* element,
                    const set_element_t* probe) noexcept nogil:
    """bitmap_ipmac_do_add: the timer starts with the MAC address."""
    element.name[0] = probe.name[0]
    element.flags &= <uint8_t>(~ELEMENT_NO_MAC & 0xFF)
    if element.expires_ns:
        element.expires_ns += walk.now_ns
    count_first(walk, set, element)


cdef int test_bitmap(walk_t* walk, const set_t* set, const set_element_t* probe,
                     question_t* question) noexcept nogil:
    cdef set_element_t* element = find(walk, set, probe)
    if element == NULL:
        return ABSENT
    if set.parts[1] == PART_MAC:
        if element.flags & ELEMENT_NO_MAC:
            learn_mac(walk, set, element, probe)
            return PRESENT
        if element.name[0] != probe.name[0]:
            return ABSENT
    return PRESENT if extensions_match(walk, set, element, question) else ABSENT


cdef bint fits(const walk_t* walk, const set_t* set, uint32_t dimension) noexcept nogil:
    return dimension >= set.dimension and (set.family == 0 or set.family == walk.packet.family)


cdef int test_simple(walk_t* walk, uint32_t index, question_t* question) noexcept nogil:
    cdef const set_t* set = &walk.image.sets[index]
    cdef set_element_t probe
    cdef bint several = False
    cdef int outcome
    if not fits(walk, set, question.dimension):
        return ABSENT
    outcome = set_probe(walk, set, question.sources, &probe)
    if outcome == PROBE_UNKNOWN:
        return UNCERTAIN
    if outcome != PROBE_MADE:
        return ABSENT
    probe.owner = index
    if set.kind == SET_BITMAP:
        return test_bitmap(walk, set, &probe, question)
    if probe.first_length or probe.second_length:
        outcome = search_networks(walk, set, &probe, question)
    else:
        outcome = search(walk, set, &probe, question, &several)
    # --return-nomatch: what is excepted is what is wanted.
    if question.flags & SET_RETURN_NOMATCH and set.flags & SET_NOMATCH and outcome != ABSENT:
        return EXCEPTED if outcome == PRESENT else PRESENT
    return outcome


cdef int test(walk_t* walk, uint32_t index, question_t* question) noexcept nogil:
    """ip_set_test; of a list, list_set_ktest."""
    cdef const set_t* set = &walk.image.sets[index]
    cdef set_element_t* member
    cdef uint32_t i, flags = question.flags
    cdef int outcome = ABSENT
    if set.kind != SET_LIST:
        return test_simple(walk, index, question)
    for i in range(set.member_start, set.member_start + set.member_count):
        member = &walk.state.set_elements[i]
        # "Don't lookup sub-counters at all"
        question.flags = flags & ~SET_MATCH_COUNTERS
        if flags & SET_SKIP_SUBCOUNTERS:
            question.flags |= SET_SKIP_COUNTERS
        outcome = test_simple(walk, member.mark, question)
        question.flags = flags
        if outcome == UNCERTAIN:
            return UNCERTAIN
        if outcome == PRESENT and extensions_match(walk, set, member, question):
            return PRESENT
    return ABSENT


cdef bint is_uncertain(const walk_t* walk, uint32_t index) noexcept nogil:
    cdef const set_t* set = &walk.image.sets[index]
    cdef uint32_t i
    if walk.state.set_uncertain[index]:
        return True
    for i in range(set.member_start, set.member_start + set.member_count):
        if walk.state.set_uncertain[walk.state.set_elements[i].mark]:
            return True
    return False


cdef bint set_is_kept_out(walk_t* walk, const match_t* match) noexcept nogil:
    cdef const set_t* set = &walk.image.sets[match.a]
    cdef uint32_t i
    if not set.flags & SET_CHANGES:
        return False
    walk.state.set_uncertain[match.a] = 1
    for i in range(set.member_start, set.member_start + set.member_count):
        walk.state.set_uncertain[walk.state.set_elements[i].mark] = 1
    return True


cdef int set_match(walk_t* walk, const match_t* match) noexcept nogil:
    """xt_set.c, set_match_v4"""
    cdef question_t question
    cdef int outcome
    question.dimension = match.b >> 8
    question.sources = match.b & 0xFF
    question.flags = match.d
    question.counters = walk.image.words + match.c
    question.skbmark = question.skbmark_mask = 0
    if ((match.d & SET_MATCH_COUNTERS or walk.image.sets[match.a].flags & SET_LEARNS)
            and is_uncertain(walk, match.a)):
        return UNDECIDED
    outcome = test(walk, match.a, &question)
    if outcome == UNCERTAIN:
        return UNDECIDED
    return (outcome == PRESENT) ^ match.invert


# ------------------------------------------------------------------------------ SET target


cdef void as_stored(walk_t* walk, const set_t* set, set_element_t* probe) noexcept nogil:
    """A network that a packet adds or deletes is as long as the longest that is there
    (INIT_CIDR)."""
    cdef const uint32_t* lengths = walk.state.set_lengths + 2 * PREFIX_LENGTHS * probe.owner
    cdef bint is_ipv4 = walk.packet.family == 4
    cdef int i
    if walk.state.set_counts[probe.owner] == 0:
        return
    if probe.first_length:
        for i in range(PREFIX_LENGTHS - 1, -1, -1):
            if lengths[i]:
                break
        probe.first_length = <uint8_t>i
        probe.first = cut(probe.first, i, is_ipv4)
    if probe.second_length:
        for i in range(PREFIX_LENGTHS - 1, -1, -1):
            if lengths[PREFIX_LENGTHS + i]:
                break
        probe.second_length = <uint8_t>i
        probe.second = cut(probe.second, i, is_ipv4)


cdef uint32_t collect(walk_t* walk, uint32_t index) noexcept nogil:
    """mtype_gc_do: a set that is full looks for what has expired."""
    cdef uint32_t i, freed = 0
    for i in range(walk.state.set_used[0]):
        if (walk.state.set_elements[i].owner == index
                and walk.state.set_elements[i].flags & ELEMENT_IN_USE
                and is_expired(walk, &walk.state.set_elements[i])):
            remove(walk.state, <int32_t>i)
            freed += 1
    return freed


cdef int add_simple(walk_t* walk, uint32_t index, const uint32_t* words) noexcept nogil:
    """mtype_add: YES if it was added, NO if not, UNDECIDED."""
    cdef const set_t* set = &walk.image.sets[index]
    cdef set_element_t probe
    cdef set_element_t* element
    cdef uint32_t seconds = words[SET_ADD_TIMEOUT]
    cdef int32_t row
    cdef int made
    if not fits(walk, set, words[SET_ADD + 1]):
        return NO
    made = set_probe(walk, set, words[SET_ADD + 2], &probe)
    if made != PROBE_MADE:
        return UNDECIDED if made == PROBE_UNKNOWN else NO
    probe.owner = index
    as_stored(walk, set, &probe)
    if seconds == SET_TIMEOUT_OWN:
        seconds = set.timeout
    if not set.flags & SET_TIMEOUT:
        seconds = 0
    if set.kind != SET_BITMAP and walk.state.set_counts[index] >= set.maxelem:
        if set.flags & SET_TIMEOUT:
            collect(walk, index)
    element = find(walk, set, &probe)
    if element != NULL and element.flags & ELEMENT_NO_MAC:
        if seconds != set.timeout or not element.expires_ns:
            element.expires_ns = <uint64_t>seconds * 1000000000u
        learn_mac(walk, set, element, &probe)
        return YES
    if element != NULL:
        if not words[SET_ADD_EXIST] and not is_expired(walk, element):
            return NO
        if set.kind == SET_BITMAP and set.parts[1] == PART_MAC:
            element.name[0] = probe.name[0]
        count_first(walk, set, element)
        element.expires_ns = deadline(walk, seconds)
        return YES
    if set.kind != SET_BITMAP and walk.state.set_counts[index] >= set.maxelem:
        # forceadd puts it in the place of one that the hash's seed decides.
        return UNDECIDED if set.flags & SET_FORCEADD else NO
    row = take(walk.state)
    if row < 0:
        return UNDECIDED
    element = &walk.state.set_elements[row]
    element[0] = probe
    element.flags = ELEMENT_IN_USE
    element.expires_ns = deadline(walk, seconds)
    count_first(walk, set, element)
    chain(walk.state, row)
    count_lengths(walk.state, element, 1)
    walk.state.set_counts[index] += 1
    return YES


cdef int delete_simple(walk_t* walk, uint32_t index, const uint32_t* words) noexcept nogil:
    """mtype_del"""
    cdef const set_t* set = &walk.image.sets[index]
    cdef set_element_t probe
    cdef set_element_t* element
    cdef int made
    if not fits(walk, set, words[SET_DEL + 1]):
        return NO
    made = set_probe(walk, set, words[SET_DEL + 2], &probe)
    if made != PROBE_MADE:
        return UNDECIDED if made == PROBE_UNKNOWN else NO
    probe.owner = index
    as_stored(walk, set, &probe)
    element = find(walk, set, &probe)
    if element == NULL:
        return NO
    made = NO if is_expired(walk, element) else YES
    if made == YES or set.kind == SET_BITMAP:
        remove(walk.state, <int32_t>(element - walk.state.set_elements))
    return made


cdef int change(walk_t* walk, uint32_t index, const uint32_t* words, bint adds) noexcept nogil:
    """ip_set_add, ip_set_del; of a list, its first member that takes it."""
    cdef const set_t* set = &walk.image.sets[index]
    cdef set_element_t* member
    cdef uint32_t i
    cdef int outcome
    if set.flags & SET_LEARNS and is_uncertain(walk, index):
        return UNDECIDED
    if set.kind != SET_LIST:
        return add_simple(walk, index, words) if adds else delete_simple(walk, index, words)
    for i in range(set.member_start, set.member_start + set.member_count):
        member = &walk.state.set_elements[i]
        if set.flags & SET_TIMEOUT and is_expired(walk, member):
            continue
        outcome = add_simple(walk, member.mark, words) if adds else (
            delete_simple(walk, member.mark, words))
        if outcome != NO:
            return outcome
    return NO


cdef int map_mark(walk_t* walk, const uint32_t* words) noexcept nogil:
    """The mark of the element that is found: xt_set.c, set_target_v3."""
    cdef question_t question
    cdef uint32_t mark
    cdef int outcome
    question.dimension = words[SET_MAP + 1]
    question.sources = words[SET_MAP + 2]
    question.flags = 0
    question.counters = words
    question.skbmark = question.skbmark_mask = 0
    if (walk.image.sets[words[SET_MAP] - 1].flags & SET_LEARNS
            and is_uncertain(walk, words[SET_MAP] - 1)):
        return UNDECIDED
    outcome = test(walk, words[SET_MAP] - 1, &question)
    if outcome == PRESENT and words[SET_MAP_MARK]:
        mark = (walk.packet.mark & ~question.skbmark_mask) ^ question.skbmark
        if mark != walk.packet.mark:
            trace_value(walk.trace, EVENT_MARK, walk.packet.mark, mark)
        walk.packet.mark = mark
    return UNDECIDED if outcome == UNCERTAIN else YES


cdef int set_target(walk_t* walk, const target_t* target) noexcept nogil:
    """xt_set.c, set_target_v3: adds, then deletes, then looks for a mark."""
    cdef const uint32_t* words = walk.image.words + target.a
    cdef int outcome = YES
    if words[SET_ADD]:
        outcome = change(walk, words[SET_ADD] - 1, words, True)
    if outcome != UNDECIDED and words[SET_DEL]:
        outcome = change(walk, words[SET_DEL] - 1, words, False)
    if outcome != UNDECIDED and words[SET_MAP]:
        outcome = map_mark(walk, words)
    if outcome == UNDECIDED:
        walk.reason = TARGET_UNMODELLED
        return WALK_UNKNOWN
    return -1
