"""Captures: where the frames of a pcap or pcapng file lie.  Specified by
dataplane.reference.capture.

pcap: the draft draft-ietf-opsawg-pcap; its odd relatives as libpcap's sf-pcap.c reads
them (1.10).  pcapng: draft-ietf-opsawg-pcapng.
"""

from libc.string cimport memcpy, memset


cdef extern from *:
    """
    #include <endian.h>
    #define prefetch_read(p) __builtin_prefetch((p), 0, 3)
    """
    void prefetch_read(const void*) noexcept nogil
    uint16_t be16toh(uint16_t) noexcept nogil
    uint16_t le16toh(uint16_t) noexcept nogil
    uint32_t be32toh(uint32_t) noexcept nogil
    uint32_t le32toh(uint32_t) noexcept nogil
    uint64_t be64toh(uint64_t) noexcept nogil
    uint64_t le64toh(uint64_t) noexcept nogil
    bint unlikely(bint) noexcept nogil
    ctypedef long long int128_t "__int128"


cdef enum:
    # cursor_t.format
    PCAP = 1
    PCAPNG = 2
    # cursor_t.lengths: which of a record's two lengths is the captured one
    CAPTURED_FIRST = 0
    LENGTH_FIRST = 1        # versions before 2.3
    SMALLER_FIRST = 2       # version 2.3: programs disagreed, the captured one is the smaller
    # pcapng block types
    BLOCK_INTERFACE = 1
    BLOCK_PACKET = 2        # obsolete
    BLOCK_SIMPLE = 3
    BLOCK_ENHANCED = 6
    BLOCK_SECTION = 0x0A0D0D0A
    # Distance of the stream prefetch: on frames of mixed sizes it takes a walk of the
    # headers from 46 to 9 ns a frame, since each header says where the next one is.
    PREFETCH_BYTES = 5120
    LINE_BYTES = 64


cdef inline uint16_t load16(const uint8_t* data, bint big_endian) noexcept nogil:
    cdef uint16_t word
    memcpy(&word, data, 2)
    return be16toh(word) if big_endian else le16toh(word)


cdef inline uint32_t load32(const uint8_t* data, bint big_endian) noexcept nogil:
    cdef uint32_t word
    memcpy(&word, data, 4)
    return be32toh(word) if big_endian else le32toh(word)


cdef inline uint64_t load64(const uint8_t* data, bint big_endian) noexcept nogil:
    cdef uint64_t word
    memcpy(&word, data, 8)
    return be64toh(word) if big_endian else le64toh(word)


cdef inline uint64_t power_of_ten(uint32_t exponent) noexcept nogil:
    cdef uint64_t power = 1
    cdef uint32_t _
    for _ in range(exponent):
        power *= 10
    return power


# Nanoseconds since 1970 of a pcapng timestamp.  64-bit ticks times 10^9, and a 64-bit offset
# times 10^9, each stay below 2^94: 128 bits are enough for all of it.
cdef inline uint64_t ticks_to_ns(uint64_t ticks, const interface_t* interface,
                                 uint16_t* flags) noexcept nogil:
    cdef uint32_t exponent = interface.resolution & 0x7F
    cdef int128_t time = <int128_t>ticks
    if interface.resolution & 0x80:
        time = (time * 1000000000) >> exponent
    elif exponent <= 9:
        time = time * power_of_ten(9 - exponent)
    elif exponent <= 28:
        time = <int128_t>(ticks // power_of_ten(exponent - 9))
    else:
        time = 0                # 10^20 ticks a nanosecond: more than 64 bits can count
    time += <int128_t>interface.time_offset_s * 1000000000
    if unlikely(time < 0 or (time >> 64) != 0):
        flags[0] |= FRAME_CLAMPED
        return 0 if time < 0 else <uint64_t>-1
    return <uint64_t>time


# Write the next of `frames`.  `present` bytes of the `captured` ones are in the file.
cdef inline void frame_add(frame_t* frames, cursor_t* at, uint64_t time_ns, uint64_t offset,
                           uint32_t captured, uint64_t present, uint32_t length,
                           uint32_t interface, uint16_t linktype, uint16_t flags) noexcept nogil:
    cdef frame_t* frame = &frames[at.found]
    flags |= FRAME_CUT if present < captured else 0
    flags |= FRAME_RAISED if length < captured else 0
    frame.time_ns = time_ns
    frame.offset = offset
    frame.captured = <uint32_t>present if present < captured else captured
    frame.length = captured if length < captured else length
    frame.interface = interface
    frame.linktype = linktype
    frame.flags = flags
    at.last_ns = time_ns
    at.found += 1


# ---- pcap ----------------------------------------------------------------------------------

cdef Status pcap_open(const uint8_t* data, uint64_t size, uint8_t resolution,
                      interface_t* interfaces, uint32_t capacity, cursor_t* at) noexcept nogil:
    cdef uint16_t major, minor
    if size < 24:
        return TRUNCATED
    if capacity == 0:
        return MORE_INTERFACES
    major = load16(data + 4, at.big_endian)
    minor = load16(data + 6, at.big_endian)
    if major == 2:
        at.lengths = CAPTURED_FIRST if minor > 3 else SMALLER_FIRST if minor == 3 else LENGTH_FIRST
    elif major == 543 and minor == 0:       # DG/UX
        at.lengths = LENGTH_FIRST
    else:
        return BAD_VERSION
    memset(&interfaces[0], 0, sizeof(interface_t))
    interfaces[0].snaplen = load32(data + 16, at.big_endian)
    # The upper half of the word tells the length of a frame check sequence.
    interfaces[0].linktype = load32(data + 20, at.big_endian) & 0xFFFF
    interfaces[0].resolution = resolution
    at.interfaces = 1
    at.format = PCAP
    at.offset = 24
    return MORE


cdef inline Status pcap_record(const uint8_t* data, uint64_t size, const interface_t* interface,
                               frame_t* frames, cursor_t* at) noexcept nogil:
    cdef const uint8_t* record = data + at.offset
    cdef uint64_t left = size - at.offset
    cdef uint64_t time_ns
    cdef uint32_t fraction, captured, length
    cdef uint32_t fraction_ns = 1 if interface.resolution == 9 else 1000
    cdef uint16_t flags
    if unlikely(left < at.record_bytes):
        return DONE if left == 0 else TRUNCATED
    fraction = load32(record + 4, at.big_endian)
    captured = load32(record + 8, at.big_endian)
    length = load32(record + 12, at.big_endian)
    if unlikely(at.lengths != CAPTURED_FIRST):
        if at.lengths == LENGTH_FIRST or captured > length:
            captured, length = length, captured
    if unlikely(captured > MAX_FRAME):
        return BAD_FRAME
    # At most 2^32 s + 2^32 µs: 4.3e18, and 64 bits end at 18.4e18.
    time_ns = load32(record, at.big_endian) * <uint64_t>1000000000
    time_ns += fraction * <uint64_t>fraction_ns
    flags = FRAME_LATE if fraction * <uint64_t>fraction_ns >= 1000000000 else 0
    left -= at.record_bytes
    frame_add(frames, at, time_ns, at.offset + at.record_bytes, captured, left, length, 0,
              interface.linktype, flags)
    if unlikely(left < captured):
        return TRUNCATED
    at.offset += <uint64_t>at.record_bytes + captured
    return MORE


# ---- pcapng --------------------------------------------------------------------------------

cdef Status section_block(const uint8_t* block, uint32_t size, cursor_t* at) noexcept nogil:
    cdef uint16_t minor
    if size < 28:
        return BAD_BLOCK
    minor = load16(block + 14, at.big_endian)
    # libpcap, sf-pcapng.c: 1.2 is the same as 1.0, and was written by mistake.
    if load16(block + 12, at.big_endian) != 1 or (minor != 0 and minor != 2):
        return BAD_VERSION
    at.section = at.interfaces
    return MORE


cdef Status interface_option(const uint8_t* value, uint16_t code, uint16_t size, bint big_endian,
                             interface_t* interface) noexcept nogil:
    if code == 9:               # if_tsresol
        if size != 1:
            return BAD_OPTION
        interface.resolution = value[0]
    elif code == 14:            # if_tsoffset
        if size != 8:
            return BAD_OPTION
        interface.time_offset_s = <int64_t>load64(value, big_endian)
    return MORE


cdef Status interface_block(const uint8_t* block, uint32_t size, interface_t* interfaces,
                            uint32_t capacity, cursor_t* at) noexcept nogil:
    cdef uint32_t here = 16, end = size - 4
    cdef uint16_t code, option_bytes
    cdef interface_t* interface
    if size < 20:
        return BAD_BLOCK
    if at.interfaces == capacity:
        return MORE_INTERFACES
    interface = &interfaces[at.interfaces]
    memset(interface, 0, sizeof(interface_t))
    interface.linktype = load16(block + 8, at.big_endian)
    interface.snaplen = load32(block + 12, at.big_endian)
    interface.resolution = 6
    while end - here >= 4:      # both are multiples of 4, and stay so
        code = load16(block + here, at.big_endian)
        option_bytes = load16(block + here + 2, at.big_endian)
        here += 4
        if code == 0:           # opt_endofopt
            break
        if option_bytes > end - here:
            return BAD_OPTION
        if interface_option(block + here, code, option_bytes, at.big_endian, interface) != MORE:
            return BAD_OPTION
        here += (<uint32_t>option_bytes + 3) & ~<uint32_t>3
    at.interfaces += 1
    return MORE


# Enhanced Packet Block, and the obsolete Packet Block it replaced.  `size` is the block's;
# `left` of it are in the file.
cdef Status packet_block(const uint8_t* block, uint32_t size, uint64_t left, bint enhanced,
                         const interface_t* interfaces, frame_t* frames,
                         cursor_t* at) noexcept nogil:
    cdef uint32_t interface, captured
    cdef uint64_t ticks, time_ns
    cdef uint16_t flags = 0
    if size < 32:
        return BAD_BLOCK
    if left < 28:
        return TRUNCATED
    interface = load32(block + 8, at.big_endian) if enhanced else load16(block + 8, at.big_endian)
    if interface >= at.interfaces - at.section:
        return NO_INTERFACE
    interface += at.section
    captured = load32(block + 20, at.big_endian)
    if captured > MAX_FRAME or captured > size - 32:
        return BAD_FRAME
    ticks = <uint64_t>load32(block + 12, at.big_endian) << 32 | load32(block + 16, at.big_endian)
    time_ns = ticks_to_ns(ticks, &interfaces[interface], &flags)
    frame_add(frames, at, time_ns, at.offset + 28, captured, left - 28,
              load32(block + 24, at.big_endian), interface, interfaces[interface].linktype, flags)
    return MORE


cdef Status simple_block(const uint8_t* block, uint32_t size, uint64_t left,
                         const interface_t* interfaces, frame_t* frames,
                         cursor_t* at) noexcept nogil:
    cdef uint32_t length, captured
    cdef const interface_t* interface = &interfaces[at.section]
    if size < 16:
        return BAD_BLOCK
    if left < 12:
        return TRUNCATED
    if at.interfaces == at.section:
        return NO_INTERFACE
    length = load32(block + 8, at.big_endian)
    captured = interface.snaplen if 0 < interface.snaplen < length else length
    if captured > MAX_FRAME or captured > size - 16:
        return BAD_FRAME
    frame_add(frames, at, at.last_ns, at.offset + 12, captured, left - 12, length, at.section,
              interface.linktype, FRAME_TIMELESS)
    return MORE


# Length of the block at `block`, 0 if it cannot be one.
cdef uint32_t block_size(const uint8_t* block, uint64_t left, bint big_endian) noexcept nogil:
    cdef uint32_t size = load32(block + 4, big_endian)
    if size < 12 or size > MAX_BLOCK or size & 3:
        return 0
    if size <= left and load32(block + size - 4, big_endian) != size:
        return 0
    return size


cdef Status pcapng_block(const uint8_t* data, uint64_t size, frame_t* frames,
                         interface_t* interfaces, uint32_t capacity, cursor_t* at) noexcept nogil:
    cdef const uint8_t* block = data + at.offset
    cdef uint64_t left = size - at.offset
    cdef uint32_t kind, bytes
    cdef Status status = MORE
    if left < 12:
        return DONE if left == 0 else TRUNCATED
    kind = load32(block, at.big_endian)
    if kind == BLOCK_SECTION:           # reads the same both ways: it sets the byte order
        at.big_endian = load32(block + 8, True) == 0x1A2B3C4Du
        if load32(block + 8, at.big_endian) != 0x1A2B3C4Du:
            return BAD_SECTION
    bytes = block_size(block, left, at.big_endian)
    if bytes == 0:
        return BAD_BLOCK
    if kind == BLOCK_ENHANCED or kind == BLOCK_PACKET:
        status = packet_block(block, bytes, left, kind == BLOCK_ENHANCED, interfaces, frames, at)
    elif kind == BLOCK_SIMPLE:
        status = simple_block(block, bytes, left, interfaces, frames, at)
    elif bytes > left:
        return TRUNCATED
    elif kind == BLOCK_SECTION:
        status = section_block(block, bytes, at)
    elif kind == BLOCK_INTERFACE:
        status = interface_block(block, bytes, interfaces, capacity, at)
    if status != MORE:
        return status
    if bytes > left:
        return TRUNCATED
    at.offset += bytes
    return MORE


# ---- both ----------------------------------------------------------------------------------

# Read the file's first bytes, and for pcap the whole file header.
cdef Status capture_open(const uint8_t* data, uint64_t size, interface_t* interfaces,
                         uint32_t capacity, cursor_t* at) noexcept nogil:
    cdef uint32_t magic
    if size < 4:
        return NOT_CAPTURE
    magic = load32(data, True)
    if magic == BLOCK_SECTION:
        at.format = PCAPNG
        return MORE
    at.big_endian = magic == 0xA1B2C3D4u or magic == 0xA1B23C4Du or magic == 0xA1B2CD34u
    magic = load32(data, at.big_endian)
    at.record_bytes = 24 if magic == 0xA1B2CD34u else 16     # Kuznetsov's: ifindex, protocol, type
    if magic == 0xA1B2C3D4u or magic == 0xA1B2CD34u:
        return pcap_open(data, size, 6, interfaces, capacity, at)
    if magic == 0xA1B23C4Du:
        return pcap_open(data, size, 9, interfaces, capacity, at)
    return NOT_CAPTURE


# Fetch the stream up to PREFETCH_BYTES ahead of `here`; `fetched` is how far it has come.
cdef inline uint64_t prefetch_ahead(const uint8_t* data, uint64_t size, uint64_t here,
                                    uint64_t fetched) noexcept nogil:
    if fetched < here:
        fetched = here
    while fetched < here + PREFETCH_BYTES and fetched < size:
        prefetch_read(data + fetched)
        fetched += LINE_BYTES
    return fetched


cdef Status capture_scan(const uint8_t* data, uint64_t size, frame_t* frames, uint32_t capacity,
                         interface_t* interfaces, uint32_t interface_capacity,
                         cursor_t* cursor) noexcept nogil:
    cdef cursor_t at = cursor[0]            # a copy that stays in registers
    cdef uint64_t fetched = at.offset
    cdef Status status = MORE
    at.found = 0
    if at.format == 0:
        status = capture_open(data, size, interfaces, interface_capacity, &at)
    while status == MORE and at.found < capacity:
        fetched = prefetch_ahead(data, size, at.offset, fetched)
        if at.format == PCAP:
            status = pcap_record(data, size, &interfaces[0], frames, &at)
        else:
            status = pcapng_block(data, size, frames, interfaces, interface_capacity, &at)
    cursor[0] = at
    return status


def scan(
    const uint8_t[::1] data not None,
    frame_t[::1] frames not None,
    interface_t[::1] interfaces not None,
    cursor_t[::1] cursor not None,
):
    """(frames found, Status): fill `frames` from where `cursor` stands.  Releases the GIL.

    data        the whole file
    frames      (n,) FRAME, overwritten from the start
    interfaces  (m,) INTERFACE, m >= 1; the cursor counts those described so far
    cursor      (1,) CURSOR, zeroed before the first call, moved on
    raises      ValueError if the cursor was not left by a scan of this file
    """
    cdef cursor_t* at = &cursor[0] if cursor.shape[0] == 1 else NULL
    cdef uint64_t size = data.shape[0]
    cdef uint32_t capacity = <uint32_t>min(<uint64_t>frames.shape[0], 0xFFFFFFFFu)
    cdef uint32_t interface_capacity = <uint32_t>min(<uint64_t>interfaces.shape[0], 0xFFFFFFFFu)
    cdef Status status
    if at is NULL or interface_capacity == 0 or at.offset > size:
        raise ValueError("one cursor within the data, and room for an interface, are needed")
    if at.section > at.interfaces or at.interfaces > interface_capacity:
        raise ValueError(f"the cursor counts {at.interfaces} of {interface_capacity} interfaces")
    if at.format > PCAPNG or (at.format == PCAP and (at.interfaces != 1 or at.record_bytes < 16)):
        raise ValueError("this cursor was not left by a scan")
    with nogil:
        status = capture_scan(
            &data[0] if size else NULL, size, &frames[0] if capacity else NULL, capacity,
            &interfaces[0], interface_capacity, at,
        )
    return at.found, status
