# Lines of text, a row of columns each: numbers are formatted here, whatever else there is to say
# was put into words before, once for all rows that have it.
from libc.stdint cimport uint8_t, uint32_t, uint64_t

cpdef enum PieceKind:
    PIECE_LITERAL = 0       # the same in every line
    PIECE_TEXT = 1          # one of some texts, by a column of numbers
    PIECE_NUMBER = 2        # decimal; `null` where it is not shown
    PIECE_TIME = 3          # RFC 3339 in UTC, nanoseconds

# A piece of every line.
cdef struct piece_t:
    uint32_t kind           # PieceKind
    uint32_t size           # of a literal
    const uint8_t* text     # of a literal; all texts, end to end
    const uint64_t* starts  # text i is text[starts[i]:starts[i + 1]]
    const uint32_t* codes   # which text
    const uint64_t* values  # numbers, times in nanoseconds since 1970
    const uint8_t* shown    # NULL = all

# Line `row` to `out`.  Its bytes; more than `room` if it may be longer than that.
cdef uint64_t line_write(const piece_t* pieces, uint32_t count, uint64_t row, uint8_t* out,
                         uint64_t room) noexcept nogil
