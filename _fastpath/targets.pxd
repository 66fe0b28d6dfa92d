# What a rule's target does, once the rule matched.
from _fastpath.image cimport rule_t
from _fastpath.state cimport walk_t

# WalkVerdict of a target that ends the walk; -1: the walk goes on with the next rule.
cdef int conclude(walk_t* walk, const rule_t* rule) noexcept nogil
