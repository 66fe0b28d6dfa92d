# Captures: where each frame of a pcap or pcapng file lies.
#
# Nothing here is trusted: every length is compared with the bytes that are left
# before anything is read, and whatever leaves this room is in bounds.  A scan ends
# on any input, because each step consumes at least 12 bytes or stops.
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cpdef enum Status:
    DONE = 0                # the end, and nothing amiss
    MORE = 1                # `frames` is full: call again
    MORE_INTERFACES = 2     # `interfaces` is full: call again with a longer one
    TRUNCATED = 3           # the last record ends early; what is there of its frame is kept
    # Below: corrupt at cursor.offset.
    NOT_CAPTURE = 4         # neither pcap nor pcapng
    BAD_VERSION = 5         # a format version nobody has described
    BAD_FRAME = 6           # more than MAX_FRAME, or more than its block holds
    BAD_BLOCK = 7           # a block length that is too short, unaligned, huge or contradicted
    BAD_SECTION = 8         # a section header without a byte-order magic
    BAD_OPTION = 9          # an option that leaves its block, or of the wrong length
    NO_INTERFACE = 10       # a packet of an interface that its section does not describe

cpdef enum FrameFlag:
    FRAME_CUT = 1           # the file ends within the frame
    FRAME_LATE = 2          # its fraction was one second or more: carried into the seconds
    FRAME_TIMELESS = 4      # Simple Packet Block: it takes the time of the frame before
    FRAME_CLAMPED = 8       # its time does not fit into time_ns
    FRAME_RAISED = 16       # said to be shorter than what was captured of it: `length` raised
    FRAME_FORMLESS = 32     # no Ethernet form (capture_frames.pyx sets it)

cpdef enum LinkType:
    EN10MB = 1
    RAW_BSD = 12            # DLT_RAW, written as it is by old programs; OpenBSD's is 14
    RAW_OPENBSD = 14
    RAW = 101
    LINUX_SLL = 113
    IPV4 = 228
    IPV6 = 229
    LINUX_SLL2 = 276

cpdef enum:
    MAX_FRAME = 262144      # libpcap's MAXIMUM_SNAPLEN
    MAX_BLOCK = 16777216    # libpcap's and Wireshark's limit for a pcapng block

cdef struct frame_t:
    uint64_t time_ns        # since 1970
    uint64_t offset         # of the frame's first byte in the buffer
    uint32_t captured       # bytes present; never more than `length` or MAX_FRAME
    uint32_t length         # bytes on the wire
    uint32_t interface      # index into the interfaces of the file
    uint16_t linktype       # LINKTYPE_* without the FCS bits; any value
    uint16_t flags          # FrameFlag

# An Interface Description Block; the header of a pcap file describes interface 0.
cdef struct interface_t:
    int64_t time_offset_s   # if_tsoffset
    uint32_t snaplen        # 0 = unlimited
    uint16_t linktype
    uint8_t resolution      # if_tsresol: 10^-n, or 2^-n with the top bit set
    uint8_t unused

# Where a scan stands.  All zero: at the start of a file.
cdef struct cursor_t:
    uint64_t offset         # of the next record or block; of the bad one after an error
    uint64_t last_ns        # time of the last frame
    uint32_t found          # frames that the last call wrote
    uint32_t interfaces     # described so far, over all sections
    uint32_t section        # index of the first interface of this section
    uint8_t format          # 0 before the file header is read; see capture.pyx
    uint8_t big_endian
    uint8_t record_bytes    # pcap: size of a record header
    uint8_t lengths         # pcap: see capture.pyx

# Fill `frames` from where `cursor` stands.
cdef Status capture_scan(const uint8_t* data, uint64_t size, frame_t* frames, uint32_t capacity,
                         interface_t* interfaces, uint32_t interface_capacity,
                         cursor_t* cursor) noexcept nogil
