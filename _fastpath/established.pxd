# Established flows take the recorded way: what one packet of a flow met, the next ones meet too, as
# long as nothing that it hung on has changed.  Conntrack's own duties are still done.
#
# A batch goes through three passes: look (peek.pyx: each frame by itself), decide (in their order:
# the only pass that changes state), put (records and output frames, each by itself).
from libc.stdint cimport uint32_t

from _fastpath.peek cimport job_t
from _fastpath.recorded_way cimport flow_way_t, ways_t
from _fastpath.state cimport walk_t
from _fastpath.trace cimport record_t, trace_t

# Ask memory for what `decide` will read.
cdef void foresee(const ways_t* ways, const flow_way_t* flow, const walk_t* walk) noexcept nogil
# Carry a packet by the recorded way of its flow: all but its record and its output frames, for
# which there is room.  False: it must go the long way, and nothing has happened.
cdef bint decide(const ways_t* ways, flow_way_t* flow, walk_t* walk, job_t* job) noexcept nogil
# Its record, and its output frames.  `number`: of the packet in the run.
cdef void put(const ways_t* ways, const trace_t* trace, const job_t* job, uint32_t number,
              record_t* record) noexcept nogil
# Put down what the rules of the ways taken have counted.
cdef void ways_settle(walk_t* walk) noexcept nogil
