"""Lines of text from columns.  Specified by dataplane.reference.lines."""

from libc.string cimport memcpy


cdef enum:
    PIECES_MAX = 64
    NUMBER_BYTES = 20       # of 2^64 - 1
    TIME_BYTES = 30         # 2554-07-21T23:34:33.709551615Z


# Two digits at a time: half as many divisions, each of which waits for the one before (five digits
# 11.5 -> 10 ns, the piece's own costs included).
cdef const char* PAIRS = (
    b"00010203040506070809101112131415161718192021222324252627282930313233343536373839"
    b"40414243444546474849505152535455565758596061626364656667686970717273747576777879"
    b"8081828384858687888990919293949596979899"
)


cdef inline uint32_t number_write(uint64_t value, uint8_t* out) noexcept nogil:
    cdef uint8_t[NUMBER_BYTES] digits
    cdef uint32_t at = NUMBER_BYTES
    while value >= 100:
        at -= 2
        memcpy(&digits[at], PAIRS + 2 * (value % 100), 2)
        value //= 100
    if value >= 10:
        at -= 2
        memcpy(&digits[at], PAIRS + 2 * value, 2)
    else:
        at -= 1
        digits[at] = <uint8_t>(48 + value)
    memcpy(out, &digits[at], NUMBER_BYTES - at)
    return NUMBER_BYTES - at


cdef inline void two_digits(uint64_t value, uint8_t* out) noexcept nogil:
    memcpy(out, PAIRS + 2 * value, 2)


# Howard Hinnant, chrono-compatible low-level date algorithms, civil_from_days: the year begins in
# March, so that the leap day is its last.
cdef void date_write(uint64_t days, uint8_t* out) noexcept nogil:
    cdef uint64_t z = days + 719468
    cdef uint64_t era = z // 146097
    cdef uint64_t of_era = z - era * 146097
    cdef uint64_t year = (of_era - of_era // 1460 + of_era // 36524 - of_era // 146096) // 365
    cdef uint64_t of_year = of_era - (365 * year + year // 4 - year // 100)
    cdef uint64_t month = (5 * of_year + 2) // 153
    cdef uint64_t day = of_year - (153 * month + 2) // 5 + 1
    month = month + 3 if month < 10 else month - 9
    year += era * 400 + (1 if month <= 2 else 0)
    two_digits(year // 100, out)
    two_digits(year % 100, out + 2)
    out[4] = out[7] = 45            # -
    two_digits(month, out + 5)
    two_digits(day, out + 8)


cdef inline void time_write(uint64_t time_ns, uint8_t* out) noexcept nogil:
    cdef uint64_t seconds = time_ns // 1000000000, fraction = time_ns % 1000000000
    cdef uint64_t of_day = seconds % 86400
    cdef int i
    date_write(seconds // 86400, out)
    out[10] = 84                    # T
    two_digits(of_day // 3600, out + 11)
    two_digits(of_day // 60 % 60, out + 14)
    two_digits(of_day % 60, out + 17)
    out[13] = out[16] = 58          # :
    out[19] = 46                    # .
    for i in range(27, 20, -2):
        two_digits(fraction % 100, out + i)
        fraction //= 100
    out[20] = <uint8_t>(48 + fraction)
    out[29] = 90                    # Z


cdef uint64_t line_write(const piece_t* pieces, uint32_t count, uint64_t row, uint8_t* out,
                         uint64_t room) noexcept nogil:
    cdef const piece_t* piece
    cdef const uint8_t* text
    cdef uint64_t here = 0, size
    cdef uint32_t i
    for i in range(count):
        piece = &pieces[i]
        if piece.kind == PIECE_NUMBER or piece.kind == PIECE_TIME:
            if room - here < TIME_BYTES:
                return room + 1
            if piece.shown != NULL and not piece.shown[row]:
                memcpy(out + here, b"null", 4)
                here += 4
            elif piece.kind == PIECE_NUMBER:
                here += number_write(piece.values[row], out + here)
            else:
                time_write(piece.values[row], out + here)
                here += TIME_BYTES
            continue
        text, size = piece.text, piece.size
        if piece.kind == PIECE_TEXT:
            text += piece.starts[piece.codes[row]]
            size = piece.starts[piece.codes[row] + 1] - piece.starts[piece.codes[row]]
        if room - here < size:
            return room + 1
        memcpy(out + here, text, size)
        here += size
    return here


# Whether each code is that of a text.
cdef bint codes_fit(const uint32_t* codes, Py_ssize_t count, Py_ssize_t texts) noexcept nogil:
    cdef uint32_t most = 0
    cdef Py_ssize_t i
    for i in range(count):
        most = max(most, codes[i])
    return count == 0 or <Py_ssize_t>most < texts


# Whether texts lie end to end within `size` bytes.
cdef bint starts_fit(const uint64_t* starts, Py_ssize_t count, uint64_t size) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(1, count):
        if starts[i] < starts[i - 1]:
            return False
    return starts[count - 1] <= size


cdef class Lines:
    """The pieces of lines, in their order, for `rows` lines.

    What is added is checked, and kept in place.
    """

    cdef piece_t[PIECES_MAX] pieces
    cdef uint32_t count
    cdef Py_ssize_t rows
    cdef list kept

    def __init__(self, Py_ssize_t rows):
        self.rows = rows
        self.count = 0
        self.kept = []

    def add(self, uint32_t kind, rows=None):
        if self.count == PIECES_MAX:
            raise ValueError(f"more than {PIECES_MAX} pieces")
        if rows is not None and rows != self.rows:
            raise ValueError(f"{rows} rows, but {self.rows} lines")
        self.pieces[self.count] = piece_t(kind, 0, NULL, NULL, NULL, NULL, NULL)
        self.count += 1

    def literal(self, bytes text not None):
        cdef const uint8_t[::1] view = text if len(text) else b"\0"
        self.add(PIECE_LITERAL)
        self.pieces[self.count - 1].text = &view[0]
        self.pieces[self.count - 1].size = <uint32_t>len(text)
        self.kept.append(view)

    def text(self, const uint32_t[::1] codes not None, const uint64_t[::1] starts not None,
             const uint8_t[::1] texts not None):
        """Text codes[i], which is texts[starts[codes[i]]:starts[codes[i] + 1]]."""
        cdef piece_t* piece
        if starts.shape[0] < 1 or not starts_fit(&starts[0], starts.shape[0], texts.shape[0]):
            raise ValueError("texts do not lie end to end")
        if codes.shape[0] and not codes_fit(&codes[0], codes.shape[0], starts.shape[0] - 1):
            raise ValueError("a code of no text")
        self.add(PIECE_TEXT, codes.shape[0])
        piece = &self.pieces[self.count - 1]
        piece.text = &texts[0] if texts.shape[0] else <const uint8_t*>b""
        piece.starts = &starts[0]
        piece.codes = &codes[0] if codes.shape[0] else NULL
        self.kept.append((codes, starts, texts))

    def number(self, const uint64_t[::1] values not None, const uint8_t[::1] shown=None):
        """values[i] in decimal; `null` where shown[i] is 0."""
        self.add(PIECE_NUMBER, values.shape[0])
        self.point(values, shown)

    def time(self, const uint64_t[::1] values not None):
        """Nanoseconds since 1970, as RFC 3339 has them."""
        self.add(PIECE_TIME, values.shape[0])
        self.point(values, None)

    def point(self, const uint64_t[::1] values, const uint8_t[::1] shown):
        cdef piece_t* piece = &self.pieces[self.count - 1]
        if shown is not None and shown.shape[0] != values.shape[0]:
            raise ValueError(f"{values.shape[0]} values, {shown.shape[0]} of them shown or not")
        if values.shape[0]:
            piece.values = &values[0]
            piece.shown = &shown[0] if shown is not None else NULL
        self.kept.append((values, shown))

    def write(self, Py_ssize_t first, uint8_t[::1] out not None):
        """(next row, bytes): lines from row `first` on, as many as have room.  Releases the GIL."""
        cdef uint64_t size = 0, here = 0, room = out.shape[0]
        cdef Py_ssize_t row = max(first, 0)
        if row >= self.rows or room == 0:
            return row, 0
        cdef uint8_t* start = &out[0]
        with nogil:
            while row < self.rows:
                size = line_write(self.pieces, self.count, row, start + here, room - here)
                if size > room - here:
                    break
                here += size
                row += 1
        return row, here
