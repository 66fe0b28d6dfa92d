# HMARK: a mark that is a hash.
from _fastpath.image cimport target_t
from _fastpath.state cimport walk_t

# xt_HMARK.c.  -1: the walk goes on; else the WalkVerdict that it ends with.
cdef int set_hash_mark(walk_t* walk, const target_t* target) noexcept nogil
