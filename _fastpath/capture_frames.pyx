"""Frames on their way in, as Ethernet, and out, as pcap records.

`to_ethernet` is specified by dataplane.reference.capture.to_ethernet, `format_records` and
`format_taps` by the scan that reads their output back.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.mem cimport PyMem_Calloc, PyMem_Free
from libc.string cimport memcpy, memset

from _fastpath.capture cimport (
    EN10MB, FRAME_FORMLESS, IPV4, IPV6, LINUX_SLL, LINUX_SLL2, MAX_FRAME, RAW, RAW_BSD,
    RAW_OPENBSD,
)
from _fastpath.trace cimport tap_t


cdef extern from "<endian.h>" nogil:
    uint32_t htole32(uint32_t) noexcept


# EtherType of a cooked frame, host order.  `payload` bytes follow its header on the wire.
cdef inline uint16_t cooked_ethertype(const uint8_t* protocol, uint32_t payload) noexcept nogil:
    cdef uint16_t ethertype = <uint16_t>(protocol[0] << 8 | protocol[1])
    # ETH_P_802_3 and ETH_P_802_2: in an Ethernet header the length stands there instead.
    if ethertype == 1 or ethertype == 4:
        return <uint16_t>payload if payload < 1500 else 1500
    return ethertype


cdef int32_t frame_to_ethernet(const frame_t* frame, const uint8_t* data,
                               uint8_t* out) noexcept nogil:
    cdef uint32_t header = 0
    cdef uint16_t ethertype
    if frame.linktype == EN10MB:
        if frame.captured < 14:
            return -1
        memcpy(out, data, frame.captured)
        return <int32_t>frame.captured
    if frame.linktype == LINUX_SLL or frame.linktype == LINUX_SLL2:
        header = 16 if frame.linktype == LINUX_SLL else 20
        if frame.captured < header:
            return -1
        ethertype = cooked_ethertype(data + (14 if header == 16 else 0), frame.length - header)
    elif frame.captured == 0:
        return -1
    elif frame.linktype == IPV4:
        ethertype = 0x0800
    elif frame.linktype == IPV6:
        ethertype = 0x86DD
    elif frame.linktype == RAW or frame.linktype == RAW_BSD or frame.linktype == RAW_OPENBSD:
        ethertype = 0x0800 if data[0] >> 4 == 4 else (0x86DD if data[0] >> 4 == 6 else 0)
        if ethertype == 0:
            return -1
    else:
        return -1
    memset(out, 0, 12)
    out[12] = <uint8_t>(ethertype >> 8)
    out[13] = <uint8_t>ethertype
    memcpy(out + 14, data + header, frame.captured - header)
    return <int32_t>(frame.captured - header + 14)


cdef uint32_t frame_ethernet_length(const frame_t* frame) noexcept nogil:
    cdef uint64_t length = frame.length
    cdef uint32_t header = 0
    if frame.linktype == EN10MB:
        return frame.length
    if frame.linktype == LINUX_SLL:
        header = 16
    elif frame.linktype == LINUX_SLL2:
        header = 20
    length = 14 + (length - header if length > header else 0)
    return <uint32_t>length if length < 0xFFFFFFFFu else 0xFFFFFFFFu


cdef class Buffers:
    """The bytes of several captures: any objects with the buffer interface."""

    def __cinit__(self, list objects not None):
        self.views = <Py_buffer*>PyMem_Calloc(max(len(objects), 1), sizeof(Py_buffer))
        if self.views is NULL:
            raise MemoryError
        for item in objects:
            PyObject_GetBuffer(item, &self.views[self.count], PyBUF_SIMPLE)
            self.count += 1

    def __dealloc__(self):
        if self.views is not NULL:
            for i in range(self.count):
                PyBuffer_Release(&self.views[i])
            PyMem_Free(self.views)


cdef const uint8_t* frame_bytes(const Py_buffer* views, uint32_t count, uint32_t source,
                                const frame_t* frame) noexcept nogil:
    cdef uint64_t size
    if source >= count:
        return NULL
    size = <uint64_t>views[source].len
    if frame.offset > size or frame.captured > size - frame.offset:
        return NULL
    return <const uint8_t*>views[source].buf + frame.offset


# Frames of which the Ethernet form was written; fewer than `count` if one is out of bounds.
cdef Py_ssize_t frames_to_ethernet(const frame_t* frames, const uint32_t* sources,
                                   Py_ssize_t count, const Py_buffer* views, uint32_t buffers,
                                   uint8_t* out, uint64_t room, frame_t* written) noexcept nogil:
    cdef uint64_t here = 0
    cdef const uint8_t* data
    cdef int32_t size
    cdef Py_ssize_t i
    for i in range(count):
        data = frame_bytes(views, buffers, sources[i], &frames[i])
        if data is NULL or room - here < <uint64_t>frames[i].captured + MAX_GROWTH:
            return i
        size = frame_to_ethernet(&frames[i], data, out + here)
        written[i] = frames[i]
        written[i].offset = here
        written[i].linktype = EN10MB
        written[i].length = frame_ethernet_length(&frames[i])
        written[i].captured = <uint32_t>size if size >= 0 else 0
        if size < 0:
            written[i].flags |= FRAME_FORMLESS
        here += written[i].captured
    return count


def to_ethernet(
    const frame_t[::1] frames not None,
    const uint32_t[::1] sources not None,
    Buffers buffers not None,
    uint8_t[::1] out not None,
    frame_t[::1] written not None,
):
    """Copy frames as Ethernet, one after the other, to `out`.  Releases the GIL.

    frames   (n,) FRAME
    sources  (n,) uint32: which of `buffers` each lies in
    out      bytes; room for the sum of frames.captured + MAX_GROWTH
    written  (n,) FRAME, overwritten: the same frames, in `out`; one that has no Ethernet form
             is FRAME_FORMLESS and has no bytes
    raises   ValueError if lengths differ, a frame is out of bounds or `out` too short
    """
    cdef Py_ssize_t n = frames.shape[0], done
    if sources.shape[0] != n or written.shape[0] != n:
        raise ValueError(f"{n} frames, {sources.shape[0]} sources, room for {written.shape[0]}")
    if n == 0:
        return
    with nogil:
        done = frames_to_ethernet(
            &frames[0], &sources[0], n, buffers.views, buffers.count,
            &out[0] if out.shape[0] else NULL, out.shape[0], &written[0],
        )
    if done < n:
        raise ValueError(f"frame {done} is out of bounds, or there is no room for it")


cdef inline void record_header(uint64_t time_ns, uint32_t captured, uint32_t length,
                               uint8_t* out) noexcept nogil:
    cdef uint32_t[4] header         # seconds, nanoseconds, captured, length
    header[0] = htole32(<uint32_t>(time_ns // 1000000000))
    header[1] = htole32(<uint32_t>(time_ns % 1000000000))
    header[2] = htole32(captured)
    header[3] = htole32(length)
    memcpy(out, header, 16)


# Bytes written; 0 if a frame is out of bounds or has no room.
cdef uint64_t records_write(const frame_t* frames, Py_ssize_t count, const uint8_t* data,
                            uint64_t size, uint8_t* out, uint64_t room) noexcept nogil:
    cdef const frame_t* frame
    cdef uint64_t here = 0
    cdef Py_ssize_t i
    for i in range(count):
        frame = &frames[i]
        if frame.offset > size or frame.captured > size - frame.offset:
            return 0
        if frame.captured > MAX_FRAME or room - here < <uint64_t>frame.captured + 16:
            return 0
        record_header(frame.time_ns, frame.captured, frame.length, out + here)
        if frame.captured > 0:      # `data` may be NULL when there are no bytes at all
            memcpy(out + here + 16, data + frame.offset, frame.captured)
        here += <uint64_t>frame.captured + 16
    return here


def format_records(
    const frame_t[::1] frames not None, const uint8_t[::1] data not None,
    uint8_t[::1] out not None,
):
    """Write `frames` as records of a little-endian nanosecond pcap file.  Releases the GIL.

    frames   (n,) FRAME whose bytes are in `data`; seconds of time_ns below 2^32
    out      overwritten; room for the sum of frames.captured + 16
    returns  bytes written
    raises   ValueError if a frame is out of bounds, longer than MAX_FRAME, or has no room
    """
    cdef uint64_t written
    if frames.shape[0] == 0:
        return 0
    with nogil:
        written = records_write(
            &frames[0], frames.shape[0], &data[0] if data.shape[0] else NULL, data.shape[0],
            &out[0] if out.shape[0] else NULL, out.shape[0],
        )
    if written == 0:
        raise ValueError("a frame is out of bounds, too long, or there is no room for it")
    return written


# The latest time in seconds, or -1 for a row that is of no device or does not lie in the data;
# bytes that the records of each device take are added to `sizes`.
cdef int64_t taps_measure(const tap_t* rows, Py_ssize_t count, uint64_t size, uint64_t* sizes,
                          int32_t devices) noexcept nogil:
    cdef uint64_t latest = 0
    cdef Py_ssize_t i
    for i in range(count):
        if rows[i].device < 0 or rows[i].device >= devices:
            return -1
        if rows[i].offset > size or rows[i].size > size - rows[i].offset:
            return -1
        latest = max(latest, rows[i].time_ns)
        sizes[rows[i].device] += <uint64_t>rows[i].size + 16
    return <int64_t>(latest // 1000000000)


cdef void taps_write(const tap_t* rows, Py_ssize_t count, const uint8_t* data, uint64_t* at,
                     uint8_t* out) noexcept nogil:
    cdef const tap_t* row
    cdef uint8_t* here
    cdef Py_ssize_t i
    for i in range(count):
        row = &rows[i]
        here = out + at[row.device]
        record_header(row.time_ns, row.size, row.length, here)
        memcpy(here + 16, data + row.offset, row.size)
        at[row.device] += <uint64_t>row.size + 16


def measure_taps(const tap_t[::1] rows not None, const uint8_t[::1] data not None,
                 uint64_t[::1] sizes not None):
    """Seconds of the latest time; bytes that each device's records take are added to `sizes`.

    rows    (n,) TAP whose frames are in `data`
    sizes   (devices,) uint64
    raises  ValueError for a row of no device, or a frame that is out of bounds
    """
    cdef int64_t latest = 0
    if rows.shape[0] and sizes.shape[0]:
        with nogil:
            latest = taps_measure(&rows[0], rows.shape[0], data.shape[0], &sizes[0],
                                  <int32_t>sizes.shape[0])
    if latest < 0 or (rows.shape[0] and not sizes.shape[0]):
        raise ValueError("an output frame is of no device, or out of bounds")
    return latest


def format_taps(const tap_t[::1] rows not None, const uint8_t[::1] data not None,
                uint64_t[::1] starts not None, uint8_t[::1] out not None):
    """Write output frames as records of nanosecond pcap files, each device's in one piece.

    rows    (n,) TAP; seconds of time_ns below 2^32
    starts  (devices,) uint64: where in `out` the records of each begin; they end where the next
            ones begin, and are as long as `measure_taps` says.  Moved to their ends.
    raises  ValueError if they are not
    """
    cdef uint64_t[::1] sizes = starts.copy()
    cdef Py_ssize_t i
    measure_taps(rows, data, sizes)
    for i in range(starts.shape[0]):
        if sizes[i] > <uint64_t>(out.shape[0] if i + 1 == starts.shape[0] else starts[i + 1]):
            raise ValueError("the records of a device have no room")
    if rows.shape[0]:
        with nogil:
            taps_write(&rows[0], rows.shape[0], &data[0] if data.shape[0] else NULL, &starts[0],
                       &out[0])
