"""Packet parse and edit: the kernel equals the specification, and checksums keep their truth.

A right checksum stays right, a wrong one stays wrong by the same amount, a partial one
stays partial, and UDP's zero stays zero.
"""

from ipaddress import ip_address

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from _fastpath import packet as kernel
from _fastpath.peek import peek
from _fastpath.reason import Reason
from dataplane.reference.checksum import checksum, crc32c, ones_sum, pseudo_header
from dataplane.reference.headers import refusal
from dataplane.reference.packet import CHECKSUM_AT, Packet

from . import frames as fr
from .strategies import (
    DCCP,
    FAMILIES,
    ICMP,
    ICMPV6,
    IPV4,
    IPV6,
    SCTP,
    TCP,
    UDP,
    UDPLITE,
    addr,
    addresses,
    damaged_frames,
    framed,
    frames,
    ports,
    summed,
)

CHECKED = [TCP, UDP, ICMPV6, DCCP, UDPLITE]  # their checksums cover a pseudo-header


# ----------------------------------------------------------------------------------- parse


def parsed(frame, length):
    """What `kernel.parse` gives, by the specification."""
    packet = Packet(frame, length)
    if len(frame) < 14:
        return Reason.FRAME_TOO_SHORT, None
    if not packet.family:
        return 0, {"family": 0}
    refused = refusal(packet)
    if refused:
        return refused.reason, None
    fields = ("family", "ttl", "tos", "sport", "dport", "tcp_flags", "length", "is_fragment")
    found = {name: getattr(packet, name) for name in fields}
    return 0, found | {
        "proto": packet.protocol,
        "src": addr(packet.src),
        "dst": addr(packet.dst),
        "size": len(frame),
        "has_ports": packet.has_transport,
    }


def check_parse(frame, length):
    reason, fields = kernel.parse(frame, length)
    expected_reason, expected = parsed(frame, length)
    assert reason == expected_reason
    if expected:
        assert {name: fields[name] for name in expected} == expected


@given(frames() | damaged_frames(), st.sampled_from([0, 0, 1, 7]), st.sampled_from([0, 0, 20]))
def test_what_is_only_looked_at_is_what_is_parsed(frame, more, missing):
    """Where it lies in the capture; and it is data of an established connection."""
    frame += bytes(more)
    found = peek(frame, len(frame) + missing)
    if not found:
        return
    reason, fields = kernel.parse(frame, len(frame) + missing)
    is_sound = fields["checksum"] in ("CHECKSUM_RIGHT", "CHECKSUM_NONE")
    assert not reason and found.pop("is_sound") == is_sound
    assert addr(ip_address(found.pop("src"))) == fields["src"]
    assert found == {name: fields[name] for name in found}
    assert not fields["is_fragment"] and fields["has_ports"]
    assert (found["proto"], found["tcp_flags"] & ~fr.PSH) in ((UDP, 0), (TCP, fr.ACK))


def test_an_extension_header_that_ends_behind_the_packet():
    """Nothing is summed: its transport header would stand behind the last byte."""
    packet = fr.ipv6("fd00::1", "fd00::2", 51, bytes((6, 200)) + bytes(22))
    check_parse(fr.ether("02:00:00:00:00:01", "02:00:00:00:00:02", b"\x86\xdd", packet), 0)


@given(frames())
def test_parse_equals_reference(frame):
    check_parse(frame, len(frame))


@given(damaged_frames(), st.sampled_from([0, 0, 1, 20, 1400]))
def test_parse_of_damaged_frames_equals_reference(frame, missing):
    check_parse(frame, len(frame) + missing)


@given(frames(), st.data())
def test_parse_of_a_cut_frame_equals_reference(frame, more):
    kept = more.draw(st.integers(0, len(frame)))
    check_parse(frame[:kept], len(frame))


@given(st.binary(max_size=120))
def test_parse_of_anything_equals_reference(data):
    check_parse(data, len(data))


@given(damaged_frames() | frames())
def test_checksum_state_equals_reference(frame):
    reason, fields = kernel.parse(frame)
    assume(reason == 0 and fields["family"])
    packet = Packet(frame)
    assert (fields["checksum"] == "CHECKSUM_PARTIAL") == packet.is_partial
    # Conntrack does not look at theirs, nor at what is too short for its header.
    if packet.has_transport and packet.protocol not in (DCCP, UDPLITE):
        assert (fields["checksum"] == "CHECKSUM_WRONG") == packet.is_checksum_wrong()


SYN = fr.tcp(IPV4[0], 1000, IPV4[1], 80)


@pytest.mark.parametrize(
    "frame, length, reason",
    [
        (b"", 0, Reason.FRAME_TOO_SHORT),
        (b"\0" * 13, 0, Reason.FRAME_TOO_SHORT),
        (b"\0" * 12 + b"\x88\xcc", 0, Reason.NONE),
        (framed(fr.ipv4(IPV4[0], IPV4[1], TCP, SYN)), 0, Reason.NONE),
        (framed(fr.ipv4(IPV4[0], IPV4[1], TCP, SYN))[:33], 0, Reason.IP_HEADER_INVALID),
        (framed(fr.ipv4(IPV4[0], IPV4[1], TCP, SYN))[:33], 54, Reason.CAPTURE_CUT),
        (framed(fr.ipv4(IPV4[0], IPV4[1], TCP, SYN))[:53], 0, Reason.IP_HEADER_INVALID),
        (framed(fr.ipv4(IPV4[0], IPV4[1], TCP, SYN))[:53], 54, Reason.CAPTURE_CUT),
        (framed(fr.ipv4(IPV4[0], IPV4[1], TCP, SYN[:19])), 0, Reason.NONE),
        (framed(fr.ipv4(IPV4[0], IPV4[1], TCP, SYN, id=1)[:10] + b"\0\0" + b"\0" * 8), 0,
         Reason.IP_HEADER_INVALID),
        (framed(fr.ipv6(IPV6[0], IPV6[1], TCP, SYN))[:53], 0, Reason.IP_HEADER_INVALID),
        (framed(fr.ipv6(IPV6[0], IPV6[1], TCP, SYN))[:73], 74, Reason.CAPTURE_CUT),
    ],
)  # fmt: skip
def test_parse_names_what_is_wrong(frame, length, reason):
    assert Reason(kernel.parse(frame, length)[0]) == reason


def test_a_wrong_header_checksum_is_named():
    frame = bytearray(framed(fr.ipv4(IPV4[0], IPV4[1], TCP, SYN)))
    frame[24] ^= 1
    assert kernel.parse(bytes(frame))[0] == Reason.IP_CHECKSUM_WRONG


# ------------------------------------------------------------------------------------ edit


@st.composite
def edits(draw, family):
    """Some fields, and what they become."""
    wanted = {
        "src": addresses(family),
        "dst": addresses(family),
        "sport": ports,
        "dport": ports,
        "ttl": st.sampled_from([0, 1, 63, 255]),
        "tos": st.sampled_from([0, 3, 0xC0, 0xFF]),
    }
    names = draw(st.sets(st.sampled_from(sorted(wanted)), min_size=1))
    return {name: draw(wanted[name]) for name in sorted(names)}


def apply_kernel(frame, fields):
    pairs = {name: addr(value) for name, value in fields.items() if name in ("src", "dst")}
    return kernel.edit(frame, **fields | pairs)


def apply_reference(frame, fields):
    packet = Packet(frame)
    for name in ("src", "dst", "sport", "dport", "ttl", "tos"):
        has_it = packet.has_transport and not (name == "dport" and packet.is_icmp)
        if name in fields and (name not in ("sport", "dport") or has_it):
            getattr(packet, f"set_{name}")(fields[name])
    return bytes(packet.frame)


@st.composite
def edited(draw, **wanted):
    """(frame, fields); `wanted` as for ip_packets"""
    family = wanted.pop("family", None) or draw(FAMILIES)
    return draw(frames(family=family, **wanted)), draw(edits(family))


@given(edited())
def test_edit_equals_reference(case):
    frame, fields = case
    assert apply_kernel(frame, fields) == apply_reference(frame, fields)


@given(edited())
def test_edit_inverts_edit(case):
    frame, fields = case
    packet = Packet(frame)
    assume(packet.protocol != SCTP)  # its checksum is computed anew, right or wrong before
    before = {name: getattr(packet, name) for name in fields}
    if not packet.has_transport:
        before |= {name: 0 for name in fields if name in ("sport", "dport")}
    back = apply_kernel(apply_kernel(frame, fields), before)
    assert differing(frame, back) <= checksum_bytes(packet)
    for name in fields:
        assert getattr(Packet(back), name) == getattr(packet, name)


def differing(one, other):
    assert len(one) == len(other)
    return {at for at in range(len(one)) if one[at] != other[at]}


def checksum_bytes(packet):
    """Offsets of the transport checksum: 0 and 0xFFFF are one sum, and edits may swap them."""
    at = CHECKSUM_AT.get(packet.protocol)
    start = packet.transport.offset + (at or 0)
    return set() if at is None else {start, start + 1}


def error_of(packet):
    """By how much the transport checksum is wrong, modulo 0xFFFF."""
    covered = packet.payload
    if packet.protocol != ICMP:
        head = pseudo_header(packet.src, packet.dst, packet.protocol, packet.payload_length)
        covered = head + covered
    return ones_sum(covered) % 0xFFFF


def is_covered(packet):
    """Its transport checksum is there, complete, and of its family."""
    foreign = ICMPV6 if packet.family == 4 else ICMP
    if packet.protocol not in CHECKSUM_AT or packet.protocol == foreign:
        return False
    return packet.has_transport and not packet.is_partial


@given(edited(protocols=[TCP, UDP, ICMP, ICMPV6, DCCP, UDPLITE], truths=["right", "wrong"]))
def test_edit_keeps_a_checksum_as_wrong_as_it_was(case):
    frame, fields = case
    packet = Packet(frame)
    assume(is_covered(packet) and not has_no_checksum(packet))
    assert error_of(Packet(apply_kernel(frame, fields))) == error_of(packet)


@given(edited(family=4))
def test_edit_keeps_the_ipv4_header_right(case):
    frame, fields = case
    after = apply_kernel(frame, fields)
    assert checksum(after[14 : Packet(after).transport.offset]) == 0


@given(edited(protocols=[TCP, UDP], truths=["partial"]))
def test_edit_keeps_a_partial_checksum_partial(case):
    frame, fields = case
    packet = Packet(frame)
    assume(packet.is_partial)
    after = Packet(apply_kernel(frame, fields))
    at = after.transport.offset + CHECKSUM_AT[after.protocol]
    head = pseudo_header(after.src, after.dst, after.protocol, after.payload_length)
    assert after.word(at) == ones_sum(head)


def has_no_checksum(packet):
    return packet.protocol == UDP and packet.word(packet.transport.offset + 6) == 0


@given(edited(protocols=[UDP]))
def test_edit_keeps_udp_zero_zero_and_makes_none(case):
    frame, fields = case
    packet = Packet(frame)
    assume(packet.has_transport)
    assert has_no_checksum(Packet(apply_kernel(frame, fields))) == has_no_checksum(packet)


def udp_that_becomes_zero():
    """A datagram whose checksum would be 0 once its source port is 53."""
    body = fr.udp(IPV4[0], 53, IPV4[1], 53, b"\0\0")
    missing = Packet(framed(fr.ipv4(IPV4[0], IPV4[1], UDP, body)))
    value = missing.word(missing.transport.offset + 6)
    return fr.udp(IPV4[0], 54, IPV4[1], 53, value.to_bytes(2))


def test_a_udp_checksum_of_zero_is_written_as_all_ones():
    """RFC 768: zero would say that there is none."""
    frame = framed(fr.ipv4(IPV4[0], IPV4[1], UDP, udp_that_becomes_zero()))
    after = Packet(kernel.edit(frame, sport=53))
    assert after.word(after.transport.offset + 6) == 0xFFFF


@pytest.mark.parametrize("field", ["sport", "dport"])
def test_sctp_ports_are_followed_by_a_new_crc(field):
    """nf_nat_proto.c, sctp_manip_pkt: the CRC32c covers the ports, and is not incremental."""
    body = b"\x03\xe8\0\x50" + bytes(8) + b"abcd"
    frame = framed(fr.ipv4(IPV4[0], IPV4[1], SCTP, body))
    after = bytearray(Packet(kernel.edit(frame, **{field: 4000})).payload)
    found = int.from_bytes(after[8:12], "little")
    after[8:12] = bytes(4)
    assert found == crc32c(bytes(after))


@pytest.mark.parametrize("protocol", CHECKED)
def test_ipv6_addresses_are_in_the_pseudo_header(protocol):
    body = summed(IPV6[0], IPV6[1], protocol, b"\x03\xe8\0\x50" + bytes(16))
    frame = framed(fr.ipv6(IPV6[0], IPV6[1], protocol, body))
    after = Packet(kernel.edit(frame, src=addr(IPV6[2]), dst=addr(IPV6[3])))
    assert (after.src, after.dst) == (IPV6[2], IPV6[3])
    assert error_of(after) == 0


@pytest.mark.parametrize("frame", [b"", b"\0" * 60, framed(fr.ipv4(IPV4[0], IPV4[1], 6, SYN))[:40]])
def test_edit_refuses_what_is_no_ip_packet(frame):
    with pytest.raises(ValueError, match="not a parseable IP frame"):
        kernel.edit(frame, ttl=1)
