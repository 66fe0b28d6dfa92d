# Targets that change the packet's bytes, or the connection's mark.
from _fastpath.image cimport rule_t, target_t
from _fastpath.state cimport walk_t

# -1: the walk goes on; else the WalkVerdict that it ends with.
cdef int edit(walk_t* walk, const rule_t* rule, const target_t* target) noexcept nogil
