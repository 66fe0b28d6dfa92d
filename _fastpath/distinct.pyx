"""Rows of bytes numbered by what they are.  Specified by dataplane.reference.distinct."""

from libc.string cimport memcmp, memcpy


cdef inline uint64_t word_at(const uint8_t* bytes) noexcept nogil:
    cdef uint64_t word
    memcpy(&word, bytes, 8)
    return word


# A multiplication for each word, and its upper half folded in: enough for addresses, ports and
# small numbers, which differ in few bits (a row of 16 bytes: 5.4 ns among a thousand, 10 among
# 200 000).
cdef inline uint64_t row_hash(const uint8_t* row, uint32_t size, uint64_t tag) noexcept nogil:
    cdef uint64_t hash = (tag + 1) * 0x9E3779B97F4A7C15u
    cdef uint32_t i
    for i in range(0, size, 8):
        hash = (hash ^ word_at(row + i)) * 0x9E3779B97F4A7C15u
        hash ^= hash >> 32
    return hash


cdef uint32_t distinct_number(distinct_t* table, const uint8_t* row, uint64_t tag) noexcept nogil:
    cdef uint32_t size = table.key_bytes - 8
    cdef uint32_t slot = <uint32_t>row_hash(row, size, tag) & table.slot_mask
    cdef uint8_t* key
    cdef uint32_t number
    while table.slots[slot]:
        number = table.slots[slot] - 1
        key = table.keys + <uint64_t>number * table.key_bytes
        if word_at(key + size) == tag and memcmp(key, row, size) == 0:
            return number
        slot = (slot + 1) & table.slot_mask
    if table.count == table.keys_max:
        return table.keys_max
    number = table.count
    key = table.keys + <uint64_t>number * table.key_bytes
    memcpy(key, row, size)
    memcpy(key + size, &tag, 8)
    table.slots[slot] = number + 1
    table.count += 1
    return number


# Rows that were numbered; fewer than `count` when there is no room for a new one.
cdef Py_ssize_t rows_number(distinct_t* table, const uint8_t* rows, Py_ssize_t stride,
                            const uint8_t* tags, Py_ssize_t tag_stride, Py_ssize_t count,
                            uint32_t* numbers) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(count):
        numbers[i] = distinct_number(table, rows + i * stride, tags[i * tag_stride])
        if numbers[i] == table.keys_max:
            return i
    return count


def number_rows(const uint8_t[:, :] rows not None, const uint8_t[:] tags not None,
                uint8_t[:, ::1] keys not None, uint32_t[::1] slots not None, uint32_t count,
                uint32_t[::1] numbers not None):
    """(rows numbered, distinct ones so far): until `keys` is full.  Releases the GIL.

    rows     (n, w) bytes, each row in one piece; w a multiple of 8
    tags     (n,) uint8: part of what a row is, beside it
    keys     (capacity, w + 8) what was seen; the first `count` of it are
    slots    (power of two, at least twice the capacity) zero at first
    numbers  (n,) overwritten
    raises   ValueError for arrays that do not fit together
    """
    cdef distinct_t table
    cdef Py_ssize_t n = rows.shape[0], width = rows.shape[1], done = 0
    if width % 8 or keys.shape[1] != width + 8 or tags.shape[0] != n or numbers.shape[0] != n:
        raise ValueError("rows, tags, keys and numbers do not fit together")
    if rows.strides[1] != 1 and width > 1:
        raise ValueError("a row of bytes is not in one piece")
    if (slots.shape[0] & (slots.shape[0] - 1) or slots.shape[0] < 2 * keys.shape[0]
            or keys.shape[0] >= 0x7FFFFFFF or count > keys.shape[0]):
        raise ValueError("slots are a power of two, and twice as many as keys")
    if n == 0 or keys.shape[0] == 0:
        return 0, count
    table.keys = &keys[0, 0]
    table.slots = &slots[0]
    table.slot_mask = <uint32_t>(slots.shape[0] - 1)
    table.count = count
    table.keys_max = <uint32_t>keys.shape[0]
    table.key_bytes = <uint32_t>(width + 8)
    with nogil:
        done = rows_number(&table, &rows[0, 0], rows.strides[0], &tags[0], tags.strides[0], n,
                           &numbers[0])
    return done, table.count
