"""Rules that may match or not: both ways are followed.  Specified by dataplane.reference.ways.

Nothing is changed meanwhile: no counter, no step, no mark; a target that would change something
makes a difference.  The way that is furthest behind goes on first, so ways that lead to the same
rule meet there.
"""

from libc.stdint cimport uint8_t, uint32_t

from _fastpath.image cimport (
    TARGET_ACCEPT,
    TARGET_DROP,
    TARGET_GOTO,
    TARGET_JUMP,
    TARGET_NONE,
    TARGET_REJECT,
    TARGET_RETURN,
)
from _fastpath.matches cimport COUNTED_DROP, HOTDROP, NO, UNDECIDED, UNDECIDED_DROP, YES
from _fastpath.netfilter cimport (
    WALK_ACCEPT,
    WALK_DROP,
    WALK_REJECT,
    WALK_UNKNOWN,
    rule_matches,
)
from _fastpath.reason cimport MATCH_UNMODELLED, NETFILTER_DROP, NETFILTER_REJECT
from _fastpath.trace cimport STEP_RULE, STEP_UNDECIDED, trace_step


cdef struct ways_t:
    way_t[WAYS_MAX] ways
    uint32_t count
    uint32_t rules          # met so far
    bint has_end            # a way has ended,
    bint differs            # or two have, differently; or there is too much to follow
    uint8_t end_kind        # TargetKind: accepted, dropped, rejected
    uint32_t end_target
    uint32_t end_rule       # the first that was found to conclude so


cdef bint follow(const rule_t* rules, const hook_t* hook, way_t* way) noexcept nogil:
    cdef const rule_t* rule = &rules[way.at]
    if rule.kind == TARGET_NONE:
        way.at += 1
    elif rule.kind == TARGET_JUMP:
        way.callers[way.depth] = way.at + 1
        way.depth += 1
        way.at = rule.target
    elif rule.kind == TARGET_GOTO:      # leaves no way back to this chain
        way.at = rule.target
    elif rule.kind == TARGET_RETURN:
        if way.depth == 0:
            way.at = hook.underflow
        else:
            way.depth -= 1
            way.at = way.callers[way.depth]
    else:
        return False
    return True


cdef int compare(const way_t* a, const way_t* b) noexcept nogil:
    """Which is behind: negative for `a`, 0 where they are one.  A chain comes before what its
    caller goes on with."""
    cdef uint32_t i, mine, other
    for i in range(min(a.depth, b.depth) + 1):
        mine = a.callers[i] if i < a.depth else a.at
        other = b.callers[i] if i < b.depth else b.at
        if mine != other:
            return -1 if mine < other else 1
    return <int>b.depth - <int>a.depth


cdef void add_way(ways_t* ways, const way_t* way) noexcept nogil:
    cdef uint32_t i
    for i in range(ways.count):
        if compare(&ways.ways[i], way) == 0:
            return
    if ways.count == WAYS_MAX:
        ways.differs = True
        return
    ways.ways[ways.count] = way[0]
    ways.count += 1


cdef way_t take_hindmost(ways_t* ways) noexcept nogil:
    """The way that is furthest behind, taken out."""
    cdef uint32_t i, found = 0
    cdef way_t way
    for i in range(1, ways.count):
        if compare(&ways.ways[i], &ways.ways[found]) < 0:
            found = i
    way = ways.ways[found]
    ways.count -= 1
    ways.ways[found] = ways.ways[ways.count]
    return way


cdef void add_end(ways_t* ways, uint8_t kind, uint32_t target, uint32_t rule) noexcept nogil:
    if not ways.has_end:
        ways.has_end = True
        ways.end_kind = kind
        ways.end_target = target
        ways.end_rule = rule
    elif ways.end_kind != kind or ways.end_target != target:
        ways.differs = True


cdef void meet(ways_t* ways, const rule_t* rules, const hook_t* hook, const way_t* way,
               int outcome) noexcept nogil:
    """A rule's outcome on one way: the ways and ends that follow."""
    cdef const rule_t* rule = &rules[way.at]
    cdef way_t following = way[0]
    ways.rules += 1
    if ways.rules > WAYS_RULES_MAX:
        ways.differs = True
        return
    if outcome == UNDECIDED or outcome == UNDECIDED_DROP:
        following.at += 1
        add_way(ways, &following)
        following.at -= 1
    if outcome == COUNTED_DROP and rule.kind not in (
            TARGET_NONE, TARGET_RETURN, TARGET_JUMP, TARGET_GOTO, TARGET_ACCEPT, TARGET_DROP):
        ways.differs = True         # its target does something first
    elif outcome == HOTDROP or outcome == UNDECIDED_DROP or outcome == COUNTED_DROP:
        add_end(ways, TARGET_DROP, 0, way.at)
    elif follow(rules, hook, &following):
        add_way(ways, &following)
    elif rule.kind == TARGET_ACCEPT or rule.kind == TARGET_DROP or rule.kind == TARGET_REJECT:
        add_end(ways, rule.kind, rule.target if rule.kind == TARGET_REJECT else 0, way.at)
    else:
        ways.differs = True


cdef int end_of(walk_t* walk, const ways_t* ways) noexcept nogil:
    if ways.end_kind == TARGET_ACCEPT:
        return WALK_ACCEPT
    if ways.end_kind == TARGET_DROP:
        walk.reason = NETFILTER_DROP
        return WALK_DROP
    walk.reason = NETFILTER_REJECT
    return WALK_REJECT


cdef int either_way(walk_t* walk, const hook_t* hook, way_t* way, int outcome,
                    uint32_t* rule) noexcept nogil:
    cdef const rule_t* rules = walk.image.rules
    cdef ways_t ways
    cdef way_t at
    ways.count = ways.rules = 0
    ways.has_end = ways.differs = False
    meet(&ways, rules, hook, way, outcome)
    while not ways.differs and (ways.count > 1 or (ways.count and ways.has_end)):
        at = take_hindmost(&ways)
        outcome = YES
        if not rules[at.at].is_policy:
            outcome = rule_matches(walk, &rules[at.at], False)
        if outcome == NO:
            at.at += 1
            add_way(&ways, &at)
        else:
            meet(&ways, rules, hook, &at, outcome)
    if ways.differs:
        trace_step(walk.trace, STEP_RULE, way.at)
        walk.reason = MATCH_UNMODELLED
        return WALK_UNKNOWN
    trace_step(walk.trace, STEP_UNDECIDED, way.at)
    if ways.count == 0:
        rule[0] = ways.end_rule
        return end_of(walk, &ways)
    way[0] = ways.ways[0]
    return -1
