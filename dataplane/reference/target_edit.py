"""Targets that change the packet's bytes, or the connection's mark."""

from collections.abc import Callable

from _fastpath.reason import Reason
from _fastpath.trace import EventKind
from dataplane.node.iptables import Option
from dataplane.reference.checksum import replaced
from dataplane.reference.fib_rules import Flow, lookup
from dataplane.reference.forwarding import device_mtu, mtu_of, output_device
from dataplane.reference.packet import TCP, Packet
from dataplane.reference.place import Place
from dataplane.reference.steps import dropped, unknown

CONTINUE = "continue"  # XT_CONTINUE
Options = dict[str, Option]
NOP, MSS, MSS_BYTES = 1, 2, 4
# What TCPOPTSTRIP calls them.
STRIPPED = {"wscale": 3, "mss": 2, "sack-permitted": 4, "sack": 5, "timestamp": 8, "md5": 19}
DEFAULT_MSS = {4: 536, 6: 1220}  # RFC 9293 3.7.1
HEADERS = {4: 40, 6: 60}  # of IP and TCP


def masked(text: str, ones: int = 0xFFFFFFFF) -> tuple[int, int]:
    value, slash, mask = text.partition("/")
    return int(value, 0), int(mask, 0) if slash else ones


def _ttl(place: Place, options: Options, packet: Packet) -> str:
    """xt_HL.c: no further than 0 and 255."""
    ((name, option),) = options.items()
    number = int(option.values[0])
    before = packet.ttl
    after = {"set": number, "inc": before + number, "dec": before - number}[name[-3:]]
    after = max(0, min(after, 255))
    place.trace.event(EventKind.EVENT_TTL, before, after)
    if after != before:
        packet.set_ttl(after)
    return CONTINUE


def _set_tos(place: Place, packet: Packet, value: int, mask: int) -> str:
    before = packet.tos
    after = before & ~mask ^ value
    place.trace.event(EventKind.EVENT_TOS, before, after)
    if after != before:
        packet.set_tos(after)
    return CONTINUE


def _tos(place: Place, options: Options, packet: Packet) -> str:
    return _set_tos(place, packet, *masked(options["--set-tos"].values[0], 0xFF))


def _dscp(place: Place, options: Options, packet: Packet) -> str:
    return _set_tos(place, packet, int(options["--set-dscp"].values[0], 0) << 2, 0xFC)


def _ecn(place: Place, options: Options, packet: Packet) -> str:
    """ipt_ECN.c, --ecn-tcp-remove: ECE and CWR off."""
    if options.keys() != {"--ecn-tcp-remove"}:
        raise unknown(Reason.TARGET_UNMODELLED)
    if packet.protocol != TCP:
        return CONTINUE
    if not packet.is_first:
        raise unknown(Reason.TARGET_UNMODELLED)
    if not packet.has_transport:
        raise dropped(Reason.NETFILTER_DROP)
    _replace_word(packet, 12, packet.word(packet.transport.offset + 12) & 0xFF3F)
    return CONTINUE


def _replace_word(packet: Packet, at: int, value: int) -> None:
    """A word of the TCP header.  A partial checksum covers the pseudo-header alone."""
    start = packet.transport.offset
    old, new = packet.word(start + at).to_bytes(2), value.to_bytes(2)
    packet.frame[start + at : start + at + 2] = new
    if not packet.is_partial:
        check = replaced(packet.word(start + 16), old, new)
        packet.frame[start + 16 : start + 18] = check.to_bytes(2)


def _connmark(place: Place, options: Options, packet: Packet) -> str:
    """xt_connmark.c, connmark_tg."""
    connection = packet.connection
    if connection is None:
        return CONTINUE
    nfmask, ctmask = (
        int(options[name].values[0], 0) if name in options else 0xFFFFFFFF
        for name in ("--nfmask", "--ctmask")
    )
    if "--restore-mark" in options:
        before = packet.mark
        packet.mark = before & ~nfmask ^ (connection.mark & ctmask)
        place.trace.event(EventKind.EVENT_MARK, before, packet.mark)
        return CONTINUE
    mark = packet.mark & nfmask
    if "--set-xmark" in options:
        mark, ctmask = masked(options["--set-xmark"].values[0])
    before = connection.mark
    connection.mark = before & ~ctmask ^ mark
    place.trace.event(EventKind.EVENT_CONNMARK, before, connection.mark)
    return CONTINUE


def _checksum(place: Place, options: Options, packet: Packet) -> str:
    packet.finish_checksum()
    return CONTINUE


# TCPMSS: xt_TCPMSS.c, tcpmss_mangle_packet.


def _tcpmss(place: Place, options: Options, packet: Packet) -> str:
    if not packet.is_first:
        return CONTINUE
    size = (packet.payload[12] >> 4) * 4 if packet.has_transport else 0
    if size < 20 or packet.payload_length < size:
        raise dropped(Reason.NETFILTER_DROP)
    if not packet.is_whole:
        raise unknown(Reason.CAPTURE_CUT)
    wanted = _wanted_mss(place, options, packet)
    at = _mss_option(packet.payload[:size])
    if at is not None:
        _lower_mss(place, packet, at, wanted)
    elif packet.payload_length == size and size < 60:  # no room, or no place for it
        _add_mss(place, packet, min(wanted, DEFAULT_MSS[packet.family]))
    return CONTINUE


def _wanted_mss(place: Place, options: Options, packet: Packet) -> int:
    if "--set-mss" in options:
        return int(options["--set-mss"].values[0])
    if place.out_device is None:
        raise unknown(Reason.TARGET_UNMODELLED)
    back = lookup(place.node, Flow(packet.src))
    mtu = place.mtu or device_mtu(place.node, place.out_device, packet.family)
    leaves_by = output_device(place.node, back) if back is not None else None
    if back is not None and leaves_by is not None:
        mtu = min(mtu, mtu_of(place.node, back, leaves_by))
    if mtu <= HEADERS[packet.family]:
        raise dropped(Reason.NETFILTER_DROP)
    return mtu - HEADERS[packet.family]


def _mss_option(header: bytes) -> int | None:
    at = 20
    while at + MSS_BYTES <= len(header):
        kind, size = header[at], header[at + 1]
        if (kind, size) == (MSS, MSS_BYTES):
            return at
        at += 1 if kind <= 1 or size == 0 else size
    return None


def _lower_mss(place: Place, packet: Packet, at: int, wanted: int) -> None:
    """Never raised: who has a large one must have reasons."""
    before = packet.word(packet.transport.offset + at + 2)
    if before > wanted:
        place.trace.event(EventKind.EVENT_MSS, before, wanted)
        _replace_word(packet, at + 2, wanted)


def _add_mss(place: Place, packet: Packet, mss: int) -> None:
    """The option is put first, and the packet grows by it."""
    start, length = packet.transport.offset, packet.payload_length
    option = bytes([MSS, MSS_BYTES]) + mss.to_bytes(2)
    check = packet.word(start + 16)
    lengths = length.to_bytes(2), (length + MSS_BYTES).to_bytes(2)
    if packet.is_partial:
        check = ~replaced(~check & 0xFFFF, *lengths) & 0xFFFF
    else:
        check = replaced(check, *lengths)
        check = replaced(replaced(check, bytes(2), option[:2]), bytes(2), option[2:])
    packet.frame[start + 16 : start + 18] = check.to_bytes(2)
    is_partial = packet.is_partial
    packet.frame[start + 20 : start + 20] = option
    packet.length += MSS_BYTES
    packet.is_partial = is_partial
    _replace_word(packet, 12, packet.word(start + 12) + 0x1000)
    packet.set_ip_length(packet.ip_length + MSS_BYTES)
    place.trace.event(EventKind.EVENT_MSS, 0, mss)


# TCPOPTSTRIP: xt_TCPOPTSTRIP.c, tcpoptstrip_mangle_packet.


def _tcpoptstrip(place: Place, options: Options, packet: Packet) -> str:
    """Options become NOPs."""
    wanted = _stripped(options)
    if not packet.is_first:
        return CONTINUE
    size = (packet.payload[12] >> 4) * 4 if packet.has_transport else 0
    if size < 20 or packet.payload_length < size:
        raise dropped(Reason.NETFILTER_DROP)
    if len(packet.payload) < size:
        raise unknown(Reason.CAPTURE_CUT)
    at = 20
    while at + 1 < size:
        kind, length = packet.payload[at], packet.payload[at + 1]
        length = length if kind > NOP and length else 1
        if at + length > size:
            break
        if kind in wanted:
            place.trace.event(EventKind.EVENT_OPTION, kind, NOP)
            for offset in range(at, at + length):
                _replace_byte(packet, offset, NOP)
        at += length
    return CONTINUE


def _stripped(options: Options) -> set[int]:
    names = options["--strip-options"].values[0].split(",") if options else []
    kinds = [STRIPPED.get(name) or (int(name) if name.isdecimal() else -1) for name in names]
    if not kinds or not all(2 <= kind <= 255 for kind in kinds):
        raise unknown(Reason.TARGET_UNMODELLED)
    return set(kinds)


def _replace_byte(packet: Packet, at: int, value: int) -> None:
    """Of the TCP header: the checksum sums words."""
    even = at & ~1
    word = bytearray(packet.frame[packet.transport.offset + even :][:2])
    word[at & 1] = value
    _replace_word(packet, even, int.from_bytes(word))


TARGETS: dict[str, Callable[[Place, Options, Packet], str]] = {
    "CHECKSUM": _checksum,
    "CONNMARK": _connmark,
    "DSCP": _dscp,
    "ECN": _ecn,
    "HL": _ttl,
    "TCPMSS": _tcpmss,
    "TCPOPTSTRIP": _tcpoptstrip,
    "TOS": _tos,
    "TTL": _ttl,
}
