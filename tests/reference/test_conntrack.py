"""What becomes of connections, against sequences that a real kernel has seen."""

import gzip
import json
from pathlib import Path

import pytest

from _fastpath.reason import Reason, Verdict
from dataplane.reference.conntrack_tuple import Tuple
from tests import frames as fr
from tests.reference.one_node import (
    CLIENT,
    MS,
    SECOND,
    SERVER,
    engine,
    nat,
    send,
    states,
    table,
)

HERE = Path(__file__).parent
ORACLE = HERE.parents[2] / "shared" / "oracle" / "conntrack"
NAMES = ["ESTABLISHED", "RELATED", "NEW", "ESTABLISHED", "RELATED", "INVALID", "UNTRACKED"]
FLAGS = {
    "S": fr.SYN,
    "SA": fr.SYN | fr.ACK,
    "F": fr.FIN | fr.ACK,
    "A": fr.ACK,
    "R": fr.RST | fr.ACK,
    "N": 0,
}


def follow(sequence, settings=None):
    """ctstate of each packet, and the entry left.  Segments are numbered as sound ends do."""
    tracker = engine(nat(), sysctls=settings or {})
    number, seen = {"o": 1000, "r": 5000}, []
    for i, word in enumerate(sequence.split()):
        side, other = word[0], "r" if word[0] == "o" else "o"
        src, dst, sport, dport = (CLIENT, SERVER, 1000, 80)
        if side == "r":
            src, dst, sport, dport = dst, src, dport, sport
        kind = FLAGS[word[1:]]
        ack = number[other] if kind & fr.ACK else 0
        body = fr.tcp(src, sport, dst, dport, kind, seq=number[side], ack=ack)
        number[side] += bool(kind & (fr.SYN | fr.FIN))
        seen += states(send(tracker, 6, body, src, dst, time=i * MS))
    left = tracker.conntrack("n", 10 * MS)
    return [NAMES[state] for state in seen], [entry_of(entry) for entry in left]


def entry_of(entry):
    direction = "o" if entry.original.src == CLIENT else "r"
    return [entry.state, direction, entry.unreplied, entry.assured, entry.timeout]


def sequences(lines):
    return [(row[0], row[1], [row[2]] if row[2] else []) for row in lines]


RECORDED_SEQUENCES = sequences(
    json.loads(line) for line in (HERE / "data" / "tcp_sequences.jsonl").read_text().splitlines()
)


@pytest.mark.parametrize(("sequence", "expected", "left"), RECORDED_SEQUENCES)
def test_tcp_as_linux_6_18(sequence, expected, left):
    assert follow(sequence) == (expected, left)


@pytest.mark.skipif(not ORACLE.exists(), reason="needs the recordings beside the repository")
@pytest.mark.parametrize(
    ("file", "settings"),
    [
        ("tcp_depth3_liberal_6.18", {"net.netfilter.nf_conntrack_tcp_be_liberal": "1"}),
        ("tcp_depth3_6.18", {}),
        ("tcp_depth3_noloose_6.18", {"net.netfilter.nf_conntrack_tcp_loose": "0"}),
    ],
)
def test_tcp_as_all_recorded_sequences(file, settings):
    rows = sequences(json.loads(gzip.decompress((ORACLE / f"{file}.json.gz").read_bytes()))["rows"])
    assert len(rows) == 1884
    assert [row[0] for row in rows if follow(row[0], settings) != row[1:]] == []


@pytest.mark.parametrize(
    ("sequence", "expected", "state"),
    [
        ("oS rSA oA", "NEW ESTABLISHED ESTABLISHED", "ESTABLISHED"),
        ("oS rSA oA oF", "NEW ESTABLISHED ESTABLISHED ESTABLISHED", "FIN_WAIT"),
        ("oS rSA oA oF rA", "NEW ESTABLISHED ESTABLISHED ESTABLISHED ESTABLISHED", "CLOSE_WAIT"),
        ("oS rSA oA oF rF", "NEW ESTABLISHED ESTABLISHED ESTABLISHED ESTABLISHED", "LAST_ACK"),
        ("oS rSA oA oF rF oA", " ".join(["NEW", *["ESTABLISHED"] * 5]), "TIME_WAIT"),
        ("oS rSA oA rR", "NEW ESTABLISHED ESTABLISHED ESTABLISHED", "CLOSE"),
        # A new SYN after the closing begins anew.
        ("oS rSA oA oF rF oA oS", " ".join(["NEW", *["ESTABLISHED"] * 5, "NEW"]), "SYN_SENT"),
        # A stray SYN in an open connection is ignored; its answer's state is what it was.
        ("oS rSA oA oS", "NEW ESTABLISHED ESTABLISHED ESTABLISHED", "ESTABLISHED"),
        # Both ends open at once.
        ("oS rS", "NEW ESTABLISHED", "SYN_SENT2"),
        ("oS rS oSA rA", "NEW ESTABLISHED ESTABLISHED ESTABLISHED", "ESTABLISHED"),
        # A SYN while the last ACK is awaited: the challenge ACK is not that ACK (RFC 5961).
        ("oS rSA oA rF oF oS rA", None, "LAST_ACK"),
    ],
)
def test_tcp_closing(sequence, expected, state):
    seen, left = follow(sequence)
    assert [entry[0] for entry in left] == [state]
    if expected:
        assert seen == expected.split()


def test_a_repeated_syn_does_not_prolong():
    tracker = engine(nat())
    syn = fr.tcp(CLIENT, 1000, SERVER, 80)
    for seconds in (0, 100):
        send(tracker, 6, syn, time=seconds * SECOND)
    assert [entry.timeout for entry in tracker.conntrack("n", 100 * SECOND)] == [20]
    assert tracker.conntrack("n", 120 * SECOND) == []


@pytest.mark.parametrize(
    ("times", "timeout", "assured"),
    [
        ([0], 30, False),
        ([0, 1], 30, False),  # the first answer is counted before it counts
        ([0, 1, 1.5], 30, False),
        ([0, 1, 2], 30, False),  # not yet: later than two seconds after the first
        ([0, 1, 2.5], 120, True),
    ],
)
def test_udp_becomes_a_stream(times, timeout, assured):
    tracker = engine(nat())
    there, back = fr.udp(CLIENT, 1000, SERVER, 53), fr.udp(SERVER, 53, CLIENT, 1000)
    send(tracker, 17, there, time=0)
    for seconds in times[1:]:
        send(tracker, 17, back, SERVER, CLIENT, time=int(seconds * SECOND))
    (entry,) = tracker.conntrack("n", int(times[-1] * SECOND))
    assert (entry.timeout, entry.assured) == (timeout, assured)


def test_timeouts_are_settings():
    tracker = engine(nat(), sysctls={"net.netfilter.nf_conntrack_udp_timeout": "5"})
    send(tracker, 17, fr.udp(CLIENT, 1000, SERVER, 53))
    assert [entry.timeout for entry in tracker.conntrack("n", 0)] == [5]
    assert states(
        send(tracker, 17, fr.udp(SERVER, 53, CLIENT, 1000), SERVER, CLIENT, time=5 * SECOND)
    ) == [2]


@pytest.mark.parametrize(
    ("protocol", "body", "state"),
    [
        (1, fr.echo(7), 2),
        (1, fr.echo(7, reply=True), 5),  # an answer opens nothing
        (1, b"\x05\x00" + bytes(6), 5),  # a redirect that quotes nothing
        (1, b"\x2a\x00" + bytes(6), 5),  # no such type
        (1, b"\x08\x00", 5),  # cut off
        (47, bytes(8), 2),
        (132, fr.sctp(1000, 80, fr.sctp_init(7), vtag=0), 2),
        (132, fr.sctp(1000, 80, fr.sctp_init(7), vtag=0, is_summed=True)[:-1] + b"x", 5),
        (132, fr.sctp(1000, 80, b"\x00\x03\x00\x04"), 5),  # DATA opens nothing
        (132, (1000).to_bytes(2) + (80).to_bytes(2) + bytes(8), 5),  # no chunk
        (136, fr.udplite(CLIENT, 1, SERVER, 2), 2),
        (136, bytes(4) + b"\0\x08\x12\x34", 5),
        (136, bytes(4) + b"\0\x07\x12\x34", 5),  # covers less than its header
        (136, bytes(4) + b"\0\x08\0\0", 5),  # no checksum
        (47, b"\x00\x01\x88\x0b" + bytes(4), 2),  # PPTP
        (47, b"\x00\x01\x08\x00" + bytes(4), 5),
        (33, bytes(12), 2),
        (132, bytes(4), 5),
        (6, fr.tcp(CLIENT, 1, SERVER, 2)[:18], 5),
        (17, fr.udp(CLIENT, 1, SERVER, 2)[:4] + b"\0\x07\0\0", 5),  # shorter than its header
        (17, fr.udp(CLIENT, 1, SERVER, 2)[:4] + b"\0\x09\0\0", 5),  # longer than its packet
        (17, fr.udp(CLIENT, 1, SERVER, 2)[:6] + b"\x12\x34", 5),  # wrong checksum
        (17, fr.udp(CLIENT, 1, SERVER, 2)[:6] + b"\0\0", 2),  # none
        (17, fr.udp(CLIENT, 1, SERVER, 2, partial=True), 2),  # left to the device
    ],
)
def test_first_packets(protocol, body, state):
    assert states(send(engine(nat()), protocol, body)) == [state]


def test_wrong_checksums_count_unless_told_otherwise():
    settings = {"net.netfilter.nf_conntrack_checksum": "0"}
    body = fr.udp(CLIENT, 1, SERVER, 2)[:6] + b"\x12\x34"
    assert states(send(engine(nat(), sysctls=settings), 17, body)) == [2]


def test_an_icmp_error_belongs_to_what_it_quotes():
    tracker = engine(nat())
    sent = fr.udp(CLIENT, 1000, SERVER, 53, b"query")
    send(tracker, 17, sent)
    error = fr.icmp_error(3, 3, fr.ipv4(CLIENT, SERVER, 17, sent))
    assert states(send(tracker, 1, error, SERVER, CLIENT)) == [4]
    assert states(send(tracker, 1, error, SERVER, "10.0.0.3")) == [5]  # never sent that
    other = fr.icmp_error(3, 3, fr.ipv4(CLIENT, SERVER, 17, fr.udp(CLIENT, 1001, SERVER, 53)))
    assert states(send(tracker, 1, other, SERVER, CLIENT)) == [5]


def test_a_dropped_packet_opens_nothing():
    tracker = engine(nat() + table("filter", "FORWARD -p udp -j DROP"))
    for _ in range(2):
        record = send(tracker, 17, fr.udp(CLIENT, 1000, SERVER, 53))
        assert (record.verdict, states(record)) == (Verdict.DROPPED, [2])
    assert tracker.conntrack("n", 0) == []


def test_a_full_table_drops():
    tracker = engine(nat(), sysctls={"net.netfilter.nf_conntrack_max": "1"})
    first, second = (fr.udp(CLIENT, port, SERVER, 53) for port in (1000, 1001))
    assert states(send(tracker, 17, first)) == [2]
    record = send(tracker, 17, second)
    assert (record.verdict, record.reason) == (Verdict.DROPPED, Reason.CONNTRACK_FULL)
    assert send(tracker, 17, second, time=31 * SECOND).reason != Reason.CONNTRACK_FULL


def test_untracked_packets_leave_no_step():
    tracker = engine(nat() + table("raw", "PREROUTING -j CT --notrack"))
    assert states(send(tracker, 17, fr.udp(CLIENT, 1000, SERVER, 53))) == []
    assert tracker.conntrack("n", 0) == []


def test_without_rules_that_ask_nothing_is_tracked():
    tracker = engine(table("filter", "FORWARD -j ACCEPT"))
    assert states(send(tracker, 17, fr.udp(CLIENT, 1000, SERVER, 53))) == []


@pytest.mark.parametrize(
    ("own", "inverse"),
    [
        ((6, 1, 2), (6, 2, 1)),
        ((1, 7, 8 << 8), (1, 7, 0)),
        ((1, 7, 3 << 8), None),
        ((58, 7, 128 << 8), (58, 7, 129 << 8)),
    ],
)
def test_inverse_tuples(own, inverse):
    protocol, sport, dport = own
    inverted = Tuple(protocol, CLIENT, sport, SERVER, dport).inverted()
    if inverse is None:
        assert inverted is None
    else:
        assert inverted == Tuple(inverse[0], SERVER, inverse[1], CLIENT, inverse[2])


def test_a_host_that_talks_to_its_own_port():
    tracker = engine(nat())
    body = fr.tcp(CLIENT, 5, CLIENT, 5)
    assert [states(send(tracker, 6, body, CLIENT, CLIENT)) for _ in range(2)] == [[2], [3]]
