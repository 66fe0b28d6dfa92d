# Does one match of a rule hold?
from libc.stdint cimport int32_t

from _fastpath.image cimport match_t
from _fastpath.state cimport walk_t

cpdef enum Matched:
    NO = 0
    YES = 1
    UNDECIDED = 2       # the match is not modelled, or what it looks at is not known
    HOTDROP = 3         # the packet is malformed: dropped where it stands
    UNDECIDED_DROP = 4  # of a rule: it does not match, or the packet is dropped where it stands
    COUNTED_DROP = 5    # it holds, and once the rule is done with the packet is dropped

cdef int one_match(walk_t* walk, const match_t* match) noexcept nogil
