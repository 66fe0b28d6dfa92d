"""What is read from a frame, and edits that keep its checksums."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.reference.checksum import checksum
from dataplane.reference.packet import Packet
from tests import frames as fr

A, B, C = (ip_address(f"10.0.0.{host}") for host in (1, 2, 3))
A6, B6, C6 = (ip_address(f"fd00::{host}") for host in (1, 2, 3))
MACS = ("0a:00:00:00:00:01", "0a:00:00:00:00:02")


def four(protocol, body, src=A, dst=B, **fields):
    return Packet(fr.ether(*MACS, b"\x08\x00", fr.ipv4(src, dst, protocol, body, **fields)))


def six(protocol, body, src=A6, dst=B6):
    return Packet(fr.ether(*MACS, b"\x86\xdd", fr.ipv6(src, dst, protocol, body)))


def icmpv6(src, dst, kind=128, identifier=7):
    return fr.summed(src, dst, 58, bytes([kind, 0, 0, 0]) + identifier.to_bytes(2) + b"\0\1", 2)


def is_header_right(packet):
    return packet.family == 6 or checksum(bytes(packet.frame[14:34])) == 0


def test_ethernet():
    packet = four(17, fr.udp(A, 1, B, 2))
    assert (packet.ether_src, packet.ether_dst) == MACS
    packet.ether_dst, packet.ether_src = MACS
    assert packet.frame[:12].hex() == "0a000000000" + "1" + "0a000000000" + "2"


@pytest.mark.parametrize(
    ("packet", "expected"),
    [
        (four(6, fr.tcp(A, 1000, B, 80)), (4, 6, A, 1000, B, 80)),
        (four(17, fr.udp(A, 53, B, 54)), (4, 17, A, 53, B, 54)),
        (four(1, fr.echo(7)), (4, 1, A, 7, B, 8 << 8)),
        (four(1, fr.echo(7, reply=True)), (4, 1, A, 7, B, 0)),
        (four(47, bytes(12)), (4, 47, A, 0, B, 0)),
        (four(132, b"\0\1\0\2" + bytes(8)), (4, 132, A, 1, B, 2)),
        (four(17, fr.udp(A, 53, B, 54), fragment=1), (4, 17, A, 0, B, 0)),
        (four(17, fr.udp(A, 53, B, 54), fragment=0x2000), (4, 17, A, 53, B, 54)),
        (four(6, fr.tcp(A, 1, B, 2)[:19]), (4, 6, A, 0, B, 0)),
        (six(6, fr.tcp(A6, 1000, B6, 80)), (6, 6, A6, 1000, B6, 80)),
        (six(58, icmpv6(A6, B6)), (6, 58, A6, 7, B6, 128 << 8)),
        # hop-by-hop, then destination options, then UDP
        (
            six(0, bytes([60, 0, *bytes(6), 17, 0, *bytes(6)]) + fr.udp(A6, 5, B6, 6)),
            (6, 17, A6, 5, B6, 6),
        ),
        # AH counts in words of four bytes
        (six(51, bytes([17, 2, *bytes(14)]) + fr.udp(A6, 5, B6, 6)), (6, 17, A6, 5, B6, 6)),
        # first and later fragment
        (six(44, bytes([17, 0, 0, 1, *bytes(4)]) + fr.udp(A6, 5, B6, 6)), (6, 17, A6, 5, B6, 6)),
        (six(44, bytes([17, 0, 0, 8, *bytes(4)]) + fr.udp(A6, 5, B6, 6)), (6, 17, A6, 0, B6, 0)),
    ],
)
def test_fields(packet, expected):
    assert packet.fields == expected


def test_not_ip():
    packet = Packet(fr.ether(*MACS, b"\x08\x06", bytes(28)))
    assert (packet.family, packet.fields.family, packet.is_partial) == (0, 0, False)
    assert Packet(b"").family == 0


@pytest.mark.parametrize(
    ("fragment", "is_fragment", "is_first", "dont"),
    [
        (0, False, True, False),
        (0x4000, False, True, True),
        (0x2000, True, True, False),
        (3, True, False, False),
    ],
)
def test_fragments(fragment, is_fragment, is_first, dont):
    packet = four(17, fr.udp(A, 1, B, 2), fragment=fragment)
    assert (packet.is_fragment, packet.is_first, packet.dont_fragment) == (
        is_fragment,
        is_first,
        dont,
    )


def test_trim_cuts_padding():
    padded = four(17, fr.udp(A, 1, B, 2))
    packet = Packet(bytes(padded.frame) + bytes(18))
    packet.trim()
    assert (len(packet.frame), packet.length) == (42, 42)
    cut = Packet(bytes(padded.frame[:40]), 60)
    cut.trim()
    assert (len(cut.frame), cut.length) == (40, 42)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: four(6, fr.tcp(A, 1, B, 2, partial=True)), True),
        (lambda: four(17, fr.udp(A, 1, B, 2, partial=True)), True),
        (lambda: four(6, fr.tcp(A, 1, B, 2)), False),
        (lambda: six(6, fr.tcp(A6, 1, B6, 2, partial=True)), True),
        (lambda: four(6, fr.tcp(A, 1, B, 2, partial=True), fragment=0x2000), False),
        (lambda: four(1, fr.echo(1)), False),
    ],
)
def test_partial_checksums(make, expected):
    packet = make()
    assert packet.is_partial is expected
    assert not packet.is_checksum_wrong()


def test_wrong_checksums():
    body = bytearray(fr.tcp(A, 1, B, 2, payload=b"x"))
    body[-1] ^= 1
    packet = four(6, bytes(body))
    assert packet.is_checksum_wrong()
    assert not Packet(bytes(packet.frame[:-1]), packet.length).is_checksum_wrong()  # not all there
    assert not four(17, fr.udp(A, 1, B, 2)[:6] + b"\0\0").is_checksum_wrong()  # none


BODIES = {
    4: [
        (6, lambda p: fr.tcp(A, 1, B, 2, payload=b"abc", partial=p)),
        (17, lambda p: fr.udp(A, 1, B, 2, b"abc", p)),
        (1, lambda p: fr.echo(1)),
    ],
    6: [
        (6, lambda p: fr.tcp(A6, 1, B6, 2, payload=b"abc", partial=p)),
        (17, lambda p: fr.udp(A6, 1, B6, 2, b"abc", p)),
        (58, lambda p: icmpv6(A6, B6)),
    ],
}
EDITS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["set_src", "set_dst"]), st.sampled_from([0, 1, 2])),
        st.tuples(st.just("set_sport"), st.sampled_from([0, 1, 0xFFFF])),
        st.tuples(st.just("set_dport"), st.sampled_from([0, 1, 0xFFFF])),
        st.tuples(st.just("set_ttl"), st.integers(0, 255)),
        st.tuples(st.just("set_tos"), st.integers(0, 255)),
    ),
    max_size=8,
)


@given(st.sampled_from([4, 6]), st.integers(0, 2), st.booleans(), EDITS)
def test_edits_keep_checksums(family, which, partial, edits):
    protocol, body = BODIES[family][which]
    packet = (four if family == 4 else six)(protocol, body(partial))
    addresses = [A, B, C] if family == 4 else [A6, B6, C6]
    was_partial = packet.is_partial
    for name, value in edits:
        if name == "set_dport" and packet.is_icmp:
            continue
        getattr(packet, name)(addresses[value] if name in ("set_src", "set_dst") else value)
    again = Packet(bytes(packet.frame))
    assert is_header_right(again)
    assert again.is_partial == was_partial
    assert not again.is_checksum_wrong()


def test_udp_zero_means_none_and_stays():
    packet = four(17, fr.udp(A, 1, B, 2)[:6] + b"\0\0")
    packet.set_src(C)
    packet.set_sport(9)
    assert packet.word(packet.transport.offset + 6) == 0


def test_a_udp_sum_of_zero_is_written_as_ones():
    """RFC 768."""
    packet = four(17, fr.udp(A, 1, B, 2))
    check = packet.word(packet.transport.offset + 6)
    packet.set_sport((1 + check) & 0xFFFF)  # takes up all of it
    assert packet.word(packet.transport.offset + 6) == 0xFFFF


def test_ports_of_a_partial_checksum_are_not_in_it():
    packet = four(6, fr.tcp(A, 1, B, 2, partial=True))
    before = packet.word(packet.transport.offset + 16)
    packet.set_sport(9)
    assert packet.word(packet.transport.offset + 16) == before


def test_sctp_is_summed_anew():
    packet = four(132, b"\0\1\0\2" + bytes(8) + b"data")
    packet.set_dport(3)
    packet.set_dport(2)
    first = bytes(packet.frame)
    packet.set_dport(2)
    assert bytes(packet.frame) == first
    assert packet.frame[34 + 8 : 34 + 12] != bytes(4)


def test_copies_are_apart():
    packet = four(17, fr.udp(A, 1, B, 2))
    packet.mark = 5
    other = packet.copy()
    other.set_src(C)
    other.mark = 6
    assert (packet.src, packet.mark, other.src) == (A, 5, C)
