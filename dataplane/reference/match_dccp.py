"""-m dccp: ports, packet types and options (RFC 4340, section 5; xt_dccp.c)."""

from _fastpath.reason import Reason
from dataplane.node.iptables import Option
from dataplane.reference.match_packet import ports_match
from dataplane.reference.match_words import (
    Answer,
    CountedDrop,
    Options,
    Unmodelled,
    by_name,
    flavour,
)
from dataplane.reference.packet import Packet
from dataplane.reference.place import Place
from dataplane.reference.steps import Ended, dropped

NUMBERS = {
    "REQUEST": 0, "RESPONSE": 1, "DATA": 2, "ACK": 3, "DATAACK": 4, "CLOSEREQ": 5, "CLOSE": 6,
    "RESET": 7, "SYNC": 8, "SYNCACK": 9, "INVALID": 10,
}  # fmt: skip
# Bytes between the sequence number and the options (dccp_packet_hdr_len); of others, a reset's.
REQUEST_SIZE, ACK_SIZE, RESET_SIZE = 4, 8, 12
TYPE_SIZES = {0: REQUEST_SIZE, 2: 0, **dict.fromkeys((3, 4, 5, 6, 8, 9), ACK_SIZE)}


def _dccp(place: Place, options: Options, packet: Packet) -> bool:
    asked = by_name(options, "--sport", "--dport", "--dccp-types", "--dccp-option")
    types, wanted = asked.pop("--dccp-types", None), asked.pop("--dccp-option", None)
    if types and not set(types.values[0].split(",")) <= NUMBERS.keys():
        raise Unmodelled
    if wanted and not (wanted.values[0].isdecimal() and 1 <= int(wanted.values[0]) <= 255):
        raise Unmodelled
    return (
        ports_match(place, tuple(asked.values()), packet)
        and (types is None or _has_type(types, packet))
        and (wanted is None or _has_option(place, wanted, packet))
    )


def _has_type(option: Option, packet: Packet) -> bool:
    wanted = {NUMBERS[name] for name in option.values[0].split(",")}
    return (_type(packet) in wanted) != option.negated


def _has_option(place: Place, option: Option, packet: Packet) -> bool:
    try:
        return (int(option.values[0]) in _options(packet)) != option.negated
    except Ended:
        if flavour(place) != "nft" and option.negated:
            raise CountedDrop from None  # dccp_mt turns that answer round as well
        raise


def _type(packet: Packet) -> int:
    return packet.payload[8] >> 1 & 15


def _options(packet: Packet) -> set[int]:
    """dccp_find_option: the options there; raises Ended if they are not all there."""
    header = packet.payload
    is_long = header[8] & 1
    start = 12 + 4 * is_long + TYPE_SIZES.get(_type(packet), RESET_SIZE)
    end = 4 * header[4]
    if end == start:
        return set()
    if end < start or packet.payload_length < end:
        raise dropped(Reason.NETFILTER_DROP)
    if len(header) < end:
        raise Unmodelled  # the capture does not hold them
    found, at = set(), start
    while at < end:
        kind = header[at]
        found.add(kind)
        # 0 and 1 are one byte; for Linux all others say their length.
        length = header[at + 1] if kind > 1 and at + 1 < end else 1
        at += length or 1
    return found


ANSWERS: dict[str, Answer] = {"dccp": _dccp}
