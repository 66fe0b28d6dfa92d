"""Options of the IPv4 header.  Specified by dataplane.reference.ip_options."""

from libc.string cimport memcpy, memset

from _fastpath.address cimport addr_equal
from _fastpath.checksum cimport checksum_add, checksum_finish
from _fastpath.forwarding cimport address_kind
from _fastpath.image cimport ROUTE_UNICAST
from _fastpath.packet cimport (
    CHECKSUM_RIGHT,
    CHECKSUM_UNSEEN,
    CHECKSUM_WRONG,
    ETHER_SIZE,
    OPTIONS_CHANGED,
    OPTIONS_HIT,
    OPTIONS_WANT_ADDRESS,
    OPTIONS_WANT_STAMP_ADDRESS,
    OPTIONS_WANT_TIME,
    load32,
    store16,
    store32,
)
from _fastpath.source_address cimport leaving_address, recorded_address

cdef enum:
    HEADER = 20             # without options
    OPTION_END = 0
    OPTION_NOOP = 1
    RECORD_ROUTE = 7
    TIMESTAMP = 68
    LOOSE_SOURCE_ROUTE = 131
    CIPSO = 134
    STRICT_SOURCE_ROUTE = 137
    ROUTER_ALERT = 148
    TIME_ONLY = 0
    TIME_AND_ADDRESS = 1
    TIME_PRESPECIFIED = 3
    RIGHT = -1              # of an option's reader: nothing is wrong

# What the readers work on.
cdef struct reader_t:
    const image_t* image
    packet_t* packet
    uint8_t* ip
    int32_t device, route
    uint32_t now_ms         # since midnight UT


cdef inline uint32_t milliseconds(uint64_t now_ns) noexcept nogil:
    """inet_current_timestamp"""
    return <uint32_t>(now_ns // 1000000 % 86400000)


cdef uint32_t options_read(const image_t* image, packet_t* packet, int32_t device, int32_t route,
                           uint64_t now_ns) noexcept nogil:
    cdef reader_t reader
    cdef uint8_t* ip = packet.frame + ETHER_SIZE
    cdef uint32_t at = HEADER, last = (ip[0] & 15) * 4
    cdef int wrong
    memset(&packet.options, 0, sizeof(ip_options_t))
    reader.image, reader.packet, reader.ip = image, packet, ip
    reader.device, reader.route, reader.now_ms = device, route, milliseconds(now_ns)
    while at < last and ip[at] != OPTION_END:
        if ip[at] == OPTION_NOOP:
            at += 1
            continue
        if last - at < 2 or ip[at + 1] < 2 or ip[at + 1] > last - at:
            return at
        wrong = read_option(&reader, at, ip[at + 1])
        if wrong != RIGHT:
            return at + wrong
        at += ip[at + 1]
    while at < last:
        if ip[at]:
            ip[at] = 0
            packet.options.flags |= OPTIONS_CHANGED
        at += 1
    return 0


# Each reader gives what is wrong, as an offset into the option.


cdef int read_option(reader_t* reader, uint32_t at, uint32_t size) noexcept nogil:
    cdef ip_options_t* options = &reader.packet.options
    cdef uint8_t kind = reader.ip[at]
    if kind == LOOSE_SOURCE_ROUTE or kind == STRICT_SOURCE_ROUTE:
        return read_source_route(reader, at, size)
    if kind == RECORD_ROUTE:
        return read_record(reader, at, size)
    if kind == TIMESTAMP:
        return read_timestamp(reader, at, size)
    if kind == ROUTER_ALERT:
        return 1 if size < 4 else RIGHT
    if kind == CIPSO:               # no domain of interpretation is known
        if options.cipso_at:
            return 0
        options.cipso_at = <uint8_t>at
        return 1 if size < 8 else 2
    return RIGHT


cdef int read_source_route(reader_t* reader, uint32_t at, uint32_t size) noexcept nogil:
    if size < 3:
        return 1
    if reader.ip[at + 2] < 4:
        return 2
    if reader.packet.options.source_at:
        return 0
    reader.packet.options.source_at = <uint8_t>at
    return RIGHT


cdef void write_own(reader_t* reader, uint32_t at) noexcept nogil:
    cdef addr_t own = addr_t(0, 0)
    recorded_address(reader.image, reader.packet, reader.device, reader.route, &own)
    store32(reader.ip + at, <uint32_t>own.lo)


cdef int read_record(reader_t* reader, uint32_t at, uint32_t size) noexcept nogil:
    cdef ip_options_t* options = &reader.packet.options
    cdef uint32_t pointer
    if options.record_at:
        return 0
    if size < 3:
        return 1
    pointer = reader.ip[at + 2]
    if pointer < 4:
        return 2
    if pointer <= size:
        if pointer + 3 > size:
            return 2
        write_own(reader, at + pointer - 1)
        reader.ip[at + 2] = <uint8_t>(pointer + 4)
        options.flags |= OPTIONS_CHANGED | OPTIONS_WANT_ADDRESS
    options.record_at = <uint8_t>at
    return RIGHT


cdef int read_timestamp(reader_t* reader, uint32_t at, uint32_t size) noexcept nogil:
    cdef ip_options_t* options = &reader.packet.options
    cdef uint8_t* option = reader.ip + at
    cdef int wrong
    if options.stamp_at:
        return 0
    if size < 4:
        return 1
    if option[2] < 5:
        return 2
    if option[2] <= size:
        wrong = stamp(reader, at, size)
        if wrong != RIGHT:
            return wrong
    elif option[3] & 15 != TIME_PRESPECIFIED:
        if option[3] >> 4 == 15:
            return 3
        option[3] = <uint8_t>(option[3] + 16)       # one more that found no place
        options.flags |= OPTIONS_CHANGED
    options.stamp_at = <uint8_t>at
    return RIGHT


cdef int stamp(reader_t* reader, uint32_t at, uint32_t size) noexcept nogil:
    """There is a place left."""
    cdef ip_options_t* options = &reader.packet.options
    cdef uint8_t* option = reader.ip + at
    cdef uint32_t pointer = option[2]
    cdef uint8_t flag = option[3] & 15
    if pointer + 3 > size:
        return 2
    if flag == TIME_ONLY:
        store32(option + pointer - 1, reader.now_ms)
        option[2] = <uint8_t>(pointer + 4)
        options.flags |= OPTIONS_CHANGED | OPTIONS_WANT_TIME
        return RIGHT
    if flag != TIME_AND_ADDRESS and flag != TIME_PRESPECIFIED:
        return RIGHT
    if pointer + 7 > size:
        return 2
    if flag == TIME_AND_ADDRESS:
        write_own(reader, at + pointer - 1)
        options.flags |= OPTIONS_WANT_STAMP_ADDRESS
    elif is_elsewhere(reader.image, reader.packet, option + pointer - 1):
        return RIGHT
    store32(option + pointer + 3, reader.now_ms)
    option[2] = <uint8_t>(pointer + 8)
    options.flags |= OPTIONS_CHANGED | OPTIONS_WANT_TIME
    return RIGHT


cdef bint is_elsewhere(const image_t* image, const packet_t* packet,
                       const uint8_t* address) noexcept nogil:
    """The address is that of some host, but not of this one."""
    return address_kind(image, packet.node, 4, addr_t(0, load32(address)), -1) == ROUTE_UNICAST


# --------------------------------------------------------------------------- source routes


cdef int options_hop(const packet_t* packet, uint32_t* at, addr_t* address) noexcept nogil:
    cdef const uint8_t* ip = packet.frame + ETHER_SIZE
    cdef uint32_t start = packet.options.source_at
    cdef uint32_t end = start + ip[start + 1]
    if at[0] == 0:
        at[0] = start + ip[start + 2] - 1
    else:
        at[0] += 4
    if at[0] >= end:
        return 0
    if at[0] + 4 > end:
        return 2
    address[0] = addr_t(0, load32(ip + at[0]))
    return 1


cdef bint options_strict(const packet_t* packet) noexcept nogil:
    return packet.options.source_at and (
        packet.frame[ETHER_SIZE + packet.options.source_at] == STRICT_SOURCE_ROUTE)


cdef void options_set_dst(packet_t* packet, addr_t address) noexcept nogil:
    store32(packet.frame + ETHER_SIZE + 16, <uint32_t>address.lo)
    packet.dst = address
    if packet.checksum == CHECKSUM_RIGHT or packet.checksum == CHECKSUM_WRONG:
        packet.checksum = CHECKSUM_UNSEEN


# ----------------------------------------------------------------------------- forwarding


cdef void options_forward(const image_t* image, packet_t* packet, int32_t device,
                          int32_t route) noexcept nogil:
    cdef ip_options_t* options = &packet.options
    cdef uint8_t* ip = packet.frame + ETHER_SIZE
    cdef uint32_t size = (ip[0] & 15) * 4
    if options.flags & OPTIONS_WANT_ADDRESS:
        write_leaving(image, packet, device, route,
                      options.record_at + ip[options.record_at + 2] - 5)
    if options.flags & OPTIONS_HIT:
        take_hop(image, packet, device, route)
        if options.flags & OPTIONS_WANT_STAMP_ADDRESS:
            write_leaving(image, packet, device, route,
                          options.stamp_at + ip[options.stamp_at + 2] - 9)
    if options.flags & OPTIONS_CHANGED:
        options.flags &= ~<uint8_t>OPTIONS_CHANGED
        store16(ip + 10, 0)
        store16(ip + 10, checksum_finish(checksum_add(0, ip, size)))


cdef void write_leaving(const image_t* image, packet_t* packet, int32_t device, int32_t route,
                        uint32_t at) noexcept nogil:
    cdef addr_t own = addr_t(0, 0)
    leaving_address(image, packet, device, route, &own)
    store32(packet.frame + ETHER_SIZE + at, <uint32_t>own.lo)


cdef void take_hop(const image_t* image, packet_t* packet, int32_t device,
                   int32_t route) noexcept nogil:
    """The packet goes on to the next address of its source route, and this node's takes its
    place."""
    cdef uint8_t* option = packet.frame + ETHER_SIZE + packet.options.source_at
    cdef uint32_t at = 0
    cdef addr_t address
    while options_hop(packet, &at, &address) == 1:
        if addr_equal(address, packet.options.next_hop):
            options_set_dst(packet, address)
            write_leaving(image, packet, device, route, at)
            option[2] = <uint8_t>(at - packet.options.source_at + 5)
            return


# -------------------------------------------------------------------------------- answers


cdef bint options_echo(const image_t* image, const packet_t* packet, echo_t* echo) noexcept nogil:
    memset(echo, 0, sizeof(echo_t))
    if packet.options.record_at and not echo_record(packet, echo):
        return False
    if packet.options.stamp_at and not echo_stamp(image, packet, echo):
        return False
    if packet.options.source_at and not echo_source_route(packet, echo):
        return False
    if packet.options.cipso_at:
        take(packet, echo, packet.options.cipso_at)
    echo.size = (echo.size + 3) & ~<uint32_t>3
    return True


cdef uint8_t* take(const packet_t* packet, echo_t* echo, uint32_t at) noexcept nogil:
    """A copy of the option; the options of a packet, padded, are no longer than its own."""
    cdef const uint8_t* option = packet.frame + ETHER_SIZE + at
    cdef uint8_t* copy = echo.data + echo.size
    memcpy(copy, option, option[1])
    echo.size += option[1]
    return copy


cdef bint echo_record(const packet_t* packet, echo_t* echo) noexcept nogil:
    cdef uint8_t* option
    echo.options.record_at = <uint8_t>(HEADER + echo.size)
    option = take(packet, echo, packet.options.record_at)
    if packet.options.flags & OPTIONS_WANT_ADDRESS and option[2] <= option[1]:
        if option[2] + 3 > option[1]:
            return False
        option[2] = <uint8_t>(option[2] + 4)
        echo.options.flags |= OPTIONS_WANT_ADDRESS
    return True


cdef bint echo_stamp(const image_t* image, const packet_t* packet, echo_t* echo) noexcept nogil:
    cdef uint8_t flags = packet.options.flags
    cdef uint8_t* option
    cdef uint32_t pointer, size
    echo.options.stamp_at = <uint8_t>(HEADER + echo.size)
    option = take(packet, echo, packet.options.stamp_at)
    pointer, size = option[2], option[1]
    if pointer > size:
        return True
    if flags & OPTIONS_WANT_STAMP_ADDRESS:
        if pointer + 3 > size:
            return False
        echo.options.flags |= OPTIONS_WANT_STAMP_ADDRESS
        pointer += 4
    if flags & OPTIONS_WANT_TIME:
        if pointer + 3 > size:
            return False
        if option[3] & 15 != TIME_PRESPECIFIED:
            echo.options.flags |= OPTIONS_WANT_TIME
            pointer += 4
        elif pointer + 7 <= size and not is_elsewhere(image, packet, option + pointer - 1):
            echo.options.flags |= OPTIONS_WANT_TIME
            pointer += 8
    option[2] = <uint8_t>pointer
    return True


cdef bint echo_source_route(const packet_t* packet, echo_t* echo) noexcept nogil:
    """The way it came, turned round; the last place is for the one that is answered.  What would
    go to 0.0.0.0 first never leaves the node."""
    cdef const uint8_t* option = packet.frame + ETHER_SIZE + packet.options.source_at
    cdef uint8_t* copy = echo.data + echo.size
    cdef int pointer = min(<int>option[2], <int>option[1] + 1) - 4
    cdef uint32_t size = 0, first
    if pointer <= 3:
        return True
    first = load32(option + pointer - 1)
    while pointer - 4 > 3:
        pointer -= 4
        memcpy(copy + 3 + size, option + pointer - 1, 4)
        size += 4
    size += 4
    # RFC 1812 5.2.4.1: a source route that begins with its source is put right.
    if load32(option + pointer - 1) == packet.src.lo:
        size -= 4
    if size == 0:
        return True
    copy[0], copy[1], copy[2] = option[0], <uint8_t>(size + 3), 4
    echo.first_hop = addr_t(0, first)
    echo.options.source_at = <uint8_t>(HEADER + echo.size)
    echo.size += size + 3
    return first != 0


cdef void options_build(echo_t* echo, addr_t src, addr_t dst, uint64_t now_ns) noexcept nogil:
    cdef ip_options_t* options = &echo.options
    cdef uint8_t* option
    if options.source_at:
        option = echo.data + options.source_at - HEADER
        store32(option + option[1] - 4, <uint32_t>dst.lo)
    if options.flags & OPTIONS_WANT_ADDRESS:
        option = echo.data + options.record_at - HEADER
        store32(option + option[2] - 5, <uint32_t>src.lo)
    option = echo.data + max(options.stamp_at, <uint8_t>HEADER) - HEADER
    if options.flags & OPTIONS_WANT_STAMP_ADDRESS:
        store32(option + option[2] - 9, <uint32_t>src.lo)
    if options.flags & OPTIONS_WANT_TIME:
        store32(option + option[2] - 5, milliseconds(now_ns))
