"""Connection tracking: the kernels follow what the specification, and a real Linux, followed."""

import gzip
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from _fastpath.conntrack_tcp import TcpState
from dataplane.node import conntrack
from dataplane.reference.conntrack_window import TcpState as ReferenceTcpState
from dataplane.reference.engine import Engine as ReferenceEngine
from dataplane.replay.after import connections, order
from dataplane.replay.fast import FastEngine

from . import frames as fr
from .reference.one_node import CLIENT, MS, SECOND, SERVER, nat, node, send, states, table
from .reference.test_conntrack import FLAGS, NAMES, RECORDED_SEQUENCES, entry_of, sequences

ORACLE = Path(__file__).parents[2] / "shared" / "oracle" / "conntrack"
START = 10**18

# ---------------------------------------------------------------- equal to the specification

ports = st.sampled_from([1000, 1001])
numbers = st.sampled_from([0, 1, 1000, 1001, 1003, 0xFFFFFFFF])
flags = st.sampled_from([
    fr.SYN, fr.SYN | fr.ACK, fr.ACK, fr.FIN | fr.ACK, fr.RST, fr.RST | fr.ACK, 0, fr.FIN,
    fr.SYN | fr.FIN, fr.SYN | 32, fr.ACK | fr.PSH, 0xC0 | fr.SYN,
])  # fmt: skip
windows = st.sampled_from([64240, 64240, 0, 1, 10])
options = st.sampled_from([
    b"", b"", b"\x02\x04\x05\xb4\x04\x02\x01\x03\x03\x07", b"\x03\x03\x0f", b"\x04\x02\x03\x03\x01",
    b"\x01\x01\x05\x0a\x00\x00\x03\xe8\x00\x00\x03\xeb", b"\x03", b"\x05\x12" + bytes(9),
    b"\x01\x01\x08\x0a" + bytes(8),
])  # fmt: skip
TCP_FLAGS_SENT_MOST = st.sampled_from([fr.SYN, fr.SYN | fr.ACK, fr.ACK, fr.FIN | fr.ACK, fr.RST])
SETTINGS = {
    "nf_conntrack_tcp_loose": ["0", "1"],
    "nf_conntrack_tcp_be_liberal": ["0", "1"],
    "nf_conntrack_tcp_ignore_invalid_rst": ["0", "1"],
    "nf_conntrack_tcp_max_retrans": ["0", "1"],
    "nf_conntrack_tcp_timeout_unacknowledged": ["20", "1000000"],
    "nf_conntrack_checksum": ["0", "1"],
    "nf_conntrack_max": ["1", "2", "1000"],
    "nf_conntrack_buckets": ["1", "65536"],
    "nf_conntrack_acct": ["0", "1"],
    "nf_conntrack_tcp_timeout_syn_sent": ["2"],
    "nf_conntrack_udp_timeout_stream": ["10"],
    "nf_conntrack_generic_timeout": ["0", "5"],
}


tags = st.sampled_from([0, 7, 8])
chunks = (
    st.builds(fr.sctp_init, tags, st.sampled_from([1, 2]))
    | st.builds(
        lambda kind, flags: bytes([kind, flags, 0, 4]),
        st.sampled_from([0, 3, 4, 5, 6, 7, 8, 9, 10, 11, 14, 192]), st.sampled_from([0, 1]),
    )
    | st.just(bytes(4))
)  # fmt: skip


def associations(sport, dport):
    """One SCTP packet."""
    return st.builds(
        lambda some, vtag, is_summed: fr.sctp(
            sport, dport, *some, vtag=vtag, is_summed=is_summed
        ),
        st.lists(chunks, min_size=1, max_size=3), tags, st.booleans(),
    )  # fmt: skip


@st.composite
def sctp_conversations(draw):
    """Packets of one association, most of one chunk."""
    sequence = [(fr.sctp_init(7), True, 0), (fr.sctp_init(8, 2), False, 7),
                (b"\x0a\0\0\4", True, 8), (b"\x0b\0\0\4", False, 7)]  # fmt: skip
    sequence = sequence[: draw(st.integers(0, 4))]
    sequence += draw(st.lists(st.tuples(chunks, st.booleans(), tags), max_size=8))
    sent = []
    for chunk, from_client, vtag in sequence:
        src, dst = (CLIENT, SERVER) if from_client else (SERVER, CLIENT)
        ports_of = (1000, 80) if from_client else (80, 1000)
        pause = draw(st.sampled_from([0, MS, SECOND, 4 * SECOND]))
        sent.append((132, fr.sctp(*ports_of, chunk, vtag=vtag), src, dst, pause))
    return sent


@st.composite
def bodies(draw, src, dst, sport, dport):
    """(protocol, transport header and payload)"""
    protocol = draw(st.sampled_from([6, 6, 6, 17, 17, 1, 132, 33, 136, 47]))
    payload = draw(st.sampled_from([b"", b"abc"]))
    if protocol == 6:
        kind = draw(TCP_FLAGS_SENT_MOST | flags)
        body = fr.tcp(
            src, sport, dst, dport, kind, seq=draw(numbers), ack=draw(numbers), payload=payload,
            window=draw(windows), options=draw(options),
        )  # fmt: skip
    elif protocol == 17:
        body = fr.udp(src, sport, dst, dport, payload)
    elif protocol == 1:
        body = draw(st.sampled_from([
            fr.echo(1), fr.echo(1, reply=True), b"\x0d" + bytes(7), b"\x2a" + bytes(7),
            fr.icmp_error(3, 3, fr.ipv4(dst, src, 17, fr.udp(dst, dport, src, sport))),
            fr.icmp_error(11, 0, fr.ipv4(dst, src, 6, fr.tcp(dst, dport, src, sport))[:28]),
            fr.icmp_error(3, 1, fr.ipv4(dst, src, 1, fr.echo(1))),
        ]))  # fmt: skip
    elif protocol == 132:
        body = draw(associations(sport, dport))
    elif protocol == 47:
        body = bytes([0, draw(st.sampled_from([0, 1]))]) + draw(
            st.sampled_from([b"\x88\x0b\0\0\0\7", b"\x88\x0b\0\0\0\0", b"\x08\0\0\0\0\1"])
        )
    else:
        body = (
            sport.to_bytes(2)
            + dport.to_bytes(2)
            + draw(st.sampled_from([bytes(8), b"\0\x08\1\2" + bytes(4), b"\0\x0c\0\1" + bytes(4)]))
        )
    cut = draw(st.sampled_from([None, None, None, None, 4, 12]))
    return protocol, body[:cut]


@st.composite
def packets(draw):
    """(protocol, body, src, dst, nanoseconds since the one before)"""
    src, dst, sport, dport = CLIENT, SERVER, draw(ports), 80
    if draw(st.booleans()):
        src, dst, sport, dport = dst, src, dport, sport
    protocol, body = draw(bodies(src, dst, sport, dport))
    return (
        protocol,
        body,
        src,
        dst,
        draw(st.sampled_from([0, MS, SECOND, 3 * SECOND, 130 * SECOND])),
    )


@st.composite
def conversations(draw):
    """Segments of one connection whose numbers are right, or nearly so."""
    number = {True: draw(st.sampled_from([1000, 0xFFFFFFFF, 0x7FFFFFFF])), False: 5000}
    sequence = []
    for kind, from_client in [(fr.SYN, True), (fr.SYN | fr.ACK, False), (fr.ACK, True)][
        draw(st.sampled_from([0, 0, 0, 1, 3])) :
    ]:
        sequence.append((kind, from_client, b"", 0, 0))
    kinds = st.sampled_from([fr.ACK, fr.ACK, fr.ACK | fr.PSH, fr.FIN | fr.ACK, fr.RST, fr.SYN,
                             fr.RST | fr.ACK, fr.SYN | fr.ACK])  # fmt: skip
    off = st.sampled_from([0, 0, 0, 0, -1, 1, 3, 70000, -70000, 1 << 20])
    payload = st.sampled_from([b"", b"", b"abc", b"d" * 1000])
    sequence += draw(st.lists(st.tuples(kinds, st.booleans(), payload, off, off), max_size=12))
    sent = []
    for kind, from_client, data, seq_off, ack_off in sequence:
        ends = (CLIENT, 1000, SERVER, 80) if from_client else (SERVER, 80, CLIENT, 1000)
        body = fr.tcp(
            *ends, kind, payload=data, window=draw(windows), options=draw(options),
            seq=number[from_client] + seq_off & 0xFFFFFFFF,
            ack=number[not from_client] + ack_off & 0xFFFFFFFF if kind & fr.ACK else 0,
        )  # fmt: skip
        if not seq_off:
            number[from_client] += len(data) + bool(kind & (fr.SYN | fr.FIN))
        pause = draw(st.sampled_from([0, MS, SECOND, 130 * SECOND]))
        sent.append((6, body, ends[0], ends[2], pause))
    return sent


settings_of_a_node = st.fixed_dictionaries(
    {}, optional={f"net.netfilter.{name}": st.sampled_from(of) for name, of in SETTINGS.items()}
)
# Each drops what it matches, so a difference is seen.
MATCHES = [
    "conntrack --ctproto 6", "conntrack ! --ctproto 6", "conntrack --ctorigsrc 10.0.0.0/24",
    "conntrack ! --ctorigdst 10.0.1.2/32", "conntrack --ctreplsrc 10.0.0.0/24",
    "conntrack --ctstate INVALID,NEW --ctrepldst 10.0.0.2/32", "conntrack --ctorigsrcport 1000",
    "conntrack ! --ctorigdstport 80:90", "conntrack --ctreplsrcport 80",
    "conntrack --ctstate INVALID --ctrepldstport 1001:1002", "conntrack --ctexpire 1:100",
    "conntrack ! --ctexpire 0", "conntrack --ctdir ORIGINAL", "conntrack --ctdir REPLY",
    "conntrack --ctstatus CONFIRMED --ctdir REPLY", "conntrack ! --ctstatus NONE",
    "connmark --mark 0x0/0xff", "connmark ! --mark 0x0",
    "connbytes --connbytes 2:3 --connbytes-mode packets --connbytes-dir both",
    "connbytes --connbytes 60: --connbytes-mode bytes --connbytes-dir original",
    "connbytes ! --connbytes 30:41 --connbytes-mode avgpkt --connbytes-dir reply",
]  # fmt: skip
ZONES = [
    "--zone 5", "--zone-orig 5", "--zone-reply 7", "--zone mark", "--notrack", "--ctevents new",
    "--zone-orig mark", "--helper ftp",
]  # fmt: skip


@st.composite
def matching_rule_sets(draw):
    """Rules that look at connections, some of which are in zones of their own."""
    raw = [
        f"PREROUTING -i {device} -j CT {draw(st.sampled_from(ZONES))}"
        for device in draw(st.sampled_from(["", "a", "ab", "b"]))
    ]
    if raw:
        raw.insert(draw(st.integers(0, len(raw))), "PREROUTING -i a -j MARK --set-xmark 0x10005")
        raw += draw(
            st.sampled_from(
                [[], ["PREROUTING -m conntrack --ctstate NEW -j DROP"], ["PREROUTING -j NOTRACK"]]
            )
        )
    drops = draw(st.lists(st.sampled_from(MATCHES), max_size=3))
    text = nat() if draw(st.booleans()) else nat("POSTROUTING -o b -j MASQUERADE")
    text += table("raw", *raw) if raw else ""
    return text + table("filter", *(f"FORWARD -m {match} -j DROP" for match in drops))


rule_sets = matching_rule_sets() | st.sampled_from([
    nat(),
    nat("POSTROUTING -o b -j MASQUERADE"),
    nat("PREROUTING -d 10.0.1.2/32 -p tcp --dport 80 -j DNAT --to-destination 10.0.1.2:8080"),
    nat() + table("filter", "FORWARD -p udp -m udp --sport 1001 -j DROP"),
])  # fmt: skip


LISTED = """\
tcp 6 100 ESTABLISHED src=10.0.0.2 dst=10.0.1.2 sport=1000 dport=80 src=10.0.1.2 dst=10.0.0.2 sport=80 dport=1000 [ASSURED] mark=1 use=1
tcp 6 10 SYN_SENT src=10.0.1.2 dst=10.0.0.2 sport=80 dport=1001 [UNREPLIED] src=10.0.0.2 dst=10.0.1.2 sport=1001 dport=80 mark=0 use=1
udp 17 3 src=10.0.0.2 dst=10.0.1.2 sport=1000 dport=80 packets=7 bytes=70 src=10.0.1.2 dst=10.0.1.1 sport=80 dport=1000 packets=1 bytes=9 mark=0 use=1
udp 17 20 src=10.0.0.2 dst=10.0.1.9 sport=1001 dport=80 src=10.0.1.2 dst=10.0.0.2 sport=80 dport=1001 [ASSURED] mark=0 zone=5 use=1
sctp 132 200 ESTABLISHED src=10.0.0.2 dst=10.0.1.2 sport=1000 dport=80 src=10.0.1.2 dst=10.0.0.2 sport=80 dport=1000 [ASSURED] mark=0 use=1
icmp 1 25 src=10.0.0.2 dst=10.0.1.2 type=8 code=0 id=1 [UNREPLIED] src=10.0.1.2 dst=10.0.0.2 type=0 code=0 id=1 mark=0 use=1
"""  # noqa: E501
listed_before = st.lists(st.sampled_from(conntrack.parse(LISTED, "x")), max_size=4).map(tuple)


def test_a_listing_is_the_table_at_the_start():
    """And is printed back; its times count from the first packet."""
    entries = conntrack.parse(LISTED, "x")
    acct = {"net.netfilter.nf_conntrack_acct": "1"}
    nodes = {"n": node(nat(), conntrack=entries, sysctls=acct)}
    for engine in (FastEngine(nodes, has_listed=True), ReferenceEngine(nodes, has_listed=True)):
        send(engine, 33, bytes(12), time=START)
        left = [each for each in engine_listing(engine, START + SECOND) if each.protocol != 33]
        assert {each.timeout for each in left} == {99, 9, 2, 19, 199, 24}
        assert [replace(each, timeout=0) for each in left] == [
            replace(each, timeout=0, original=zeros(each.original), reply=zeros(each.reply))
            for each in sorted(entries, key=order)
        ]


def zeros(direction):
    return replace(direction, packets=direction.packets or 0, bytes=direction.bytes or 0)


def engine_listing(engine, now):
    if isinstance(engine, ReferenceEngine):
        return sorted(engine.conntrack("n", now), key=order)
    return list(listed(engine, now))


sequences_sent = st.lists(packets(), max_size=14) | conversations() | sctp_conversations()


@given(rule_sets, settings_of_a_node, listed_before, sequences_sent)
def test_sequences_equal_reference(rules, settings, before, sequence):
    nodes = {"n": node(rules, sysctls=settings, conntrack=before)}
    fast, slow = (each(nodes, has_listed=True) for each in (FastEngine, ReferenceEngine))
    now = START
    for protocol, body, src, dst, pause in sequence:
        now += pause
        mine, its = (send(e, protocol, body, src, dst, time=now) for e in (fast, slow))
        assert (states(mine), mine.verdict, mine.reason) == (states(its), its.verdict, its.reason)
        assert list(listed(fast, now)) == sorted(slow.conntrack("n", now), key=order)


@pytest.mark.parametrize(("kernel", "port"), [("", 0), ("6.15.2", 1000)])
def test_ports_of_dccp_are_known_to_older_kernels_only(kernel, port):
    """What is not known is not touched either when the address is translated."""
    nodes = {"n": node(nat("POSTROUTING -o b -j MASQUERADE"), kernel=kernel)}
    body = (1000).to_bytes(2) + (80).to_bytes(2) + bytes(12)
    for engine in (FastEngine(nodes), ReferenceEngine(nodes)):
        record = send(engine, 33, body, time=START)
        assert (record.end_sport, record.end_dport) == (1000, 80)
        assert engine_listing(engine, START)[0].original.sport == port


def listed(engine, now):
    return connections(engine.image, engine.state, "n", now)


def test_states_of_tcp_have_the_same_numbers():
    mine = {int(state): state.name.removeprefix("TCP_") for state in TcpState}
    its = {int(state): state.name for state in ReferenceTcpState}
    assert mine == its | {10: "MAX"}  # sIV: Linux uses the number of states for it


# ---------------------------------------------------------------------- equal to a real Linux


def follow(nodes, sequence):
    """ctstate of each packet, and the entry left, as tests.reference.test_conntrack.follow."""
    engine = FastEngine(nodes)
    number, seen = {"o": 1000, "r": 5000}, []
    for i, word in enumerate(sequence.split()):
        side, other = word[0], "r" if word[0] == "o" else "o"
        ends = (CLIENT, 1000, SERVER, 80) if side == "o" else (SERVER, 80, CLIENT, 1000)
        kind = FLAGS[word[1:]]
        ack = number[other] if kind & fr.ACK else 0
        body = fr.tcp(*ends, kind, seq=number[side], ack=ack)
        number[side] += bool(kind & (fr.SYN | fr.FIN))
        seen += states(send(engine, 6, body, ends[0], ends[2], time=i * MS))
    return [NAMES[state] for state in seen], [entry_of(entry) for entry in listed(engine, 10 * MS)]


@pytest.mark.parametrize(("sequence", "expected", "left"), RECORDED_SEQUENCES)
def test_tcp_as_linux_6_18(sequence, expected, left):
    assert follow({"n": node(nat())}, sequence) == (expected, left)


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
    text = gzip.decompress((ORACLE / f"{file}.json.gz").read_bytes())
    rows, nodes = sequences(json.loads(text)["rows"]), {"n": node(nat(), sysctls=settings)}
    assert len(rows) == 1884
    assert [row[0] for row in rows if follow(nodes, row[0]) != row[1:]] == []


def test_the_first_answer_of_a_listed_connection_answers_nothing_that_was_ignored():
    """Its windows are not known, but that no SYN was passed over is."""
    known = conntrack.parse(LISTED_TCP, "x")
    answer = fr.tcp(SERVER, 80, CLIENT, 1000, fr.SYN | fr.ACK, seq=0)
    nodes = {"n": node(nat(), conntrack=tuple(known))}
    left = []
    for kind in (FastEngine, ReferenceEngine):
        engine = kind(nodes, has_listed=True)
        send(engine, 6, answer, SERVER, CLIENT, time=START)
        left.append([entry.state for entry in engine_listing(engine, START)])
    assert left == [["ESTABLISHED"], ["ESTABLISHED"]]


LISTED_TCP = (
    "tcp 6 100 ESTABLISHED src=10.0.0.2 dst=10.0.1.2 sport=1000 dport=80 "
    "src=10.0.1.2 dst=10.0.0.2 sport=80 dport=1000 [ASSURED] mark=0 use=1\n"
)
