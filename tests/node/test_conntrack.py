from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.errors import DataplaneError, ParseError
from dataplane.node import conntrack
from dataplane.node.state import ConntrackEntry, ConntrackTuple
from tests.node import strategies

FIXTURES = Path(__file__).parent / "fixtures"
A, B, C = map(ip_address, ("10.0.0.1", "10.0.0.2", "10.0.0.3"))


@given(strategies.connections)
def test_parse_inverts_render(found):
    assert conntrack.parse(conntrack.render(found), "x") == found


def test_what_conntrack_prints_comes_back_letter_for_letter():
    text = (FIXTURES / "node-a" / "conntrack").read_text()
    assert conntrack.render(conntrack.parse(text, "x")) == text


def test_extended_output_says_the_same():
    plain = conntrack.parse((FIXTURES / "node-a" / "conntrack").read_text(), "x")
    assert conntrack.parse((FIXTURES / "conntrack-extended").read_text(), "x") == plain


LINES = [
    (
        "tcp      6 99 ESTABLISHED src=10.0.0.1 dst=10.0.0.2 sport=1 dport=2 src=10.0.0.3"
        " dst=10.0.0.1 sport=3 dport=4 [ASSURED] mark=5 use=1",
        ConntrackEntry(
            6,
            ConntrackTuple(A, B, 1, 2),
            ConntrackTuple(C, A, 3, 4),
            99,
            "ESTABLISHED",
            assured=True,
            mark=5,
        ),
    ),
    (
        "ipv4     2 udp      17 29 src=10.0.0.1 dst=10.0.0.2 sport=1 dport=2 packets=1 bytes=84"
        " [UNREPLIED] src=10.0.0.2 dst=10.0.0.1 sport=2 dport=1 packets=0 bytes=0 mark=0 zone=0"
        " use=2",
        ConntrackEntry(
            17,
            ConntrackTuple(A, B, 1, 2, packets=1, bytes=84),
            ConntrackTuple(B, A, 2, 1, packets=0, bytes=0),
            29,
            unreplied=True,
            use=2,
        ),
    ),
    (
        "ipv4     2 udp      17 29 src=10.0.0.1 dst=10.0.0.2 sport=1 dport=2 zone-orig=5"
        " src=10.0.0.2 dst=10.0.0.1 sport=2 dport=1 mark=0 use=1",
        ConntrackEntry(17, ConntrackTuple(A, B, 1, 2, zone=5), ConntrackTuple(B, A, 2, 1), 29),
    ),
    (
        "tcp      6 ESTABLISHED src=10.0.0.1 dst=10.0.0.2 sport=1 dport=2"
        " src=10.0.0.2 dst=10.0.0.1 sport=2 dport=1 [OFFLOAD] mark=0 secctx=null zone=6 use=2",
        ConntrackEntry(
            6,
            ConntrackTuple(A, B, 1, 2, zone=6),
            ConntrackTuple(B, A, 2, 1, zone=6),
            0,
            "ESTABLISHED",
            assured=True,
            use=2,
            secctx="null",
            offload="OFFLOAD",
        ),
    ),
    (
        "icmp     1 29 src=10.0.0.1 dst=10.0.0.2 type=8 code=0 id=7 src=10.0.0.2 dst=10.0.0.1"
        " type=0 code=0 id=7 mark=0 use=1 id=878350281",
        ConntrackEntry(
            1,
            ConntrackTuple(A, B, icmp_type=8, icmp_id=7),
            ConntrackTuple(B, A, icmp_id=7),
            29,
        ),
    ),
    (
        "ipv4     2 gre      47 99 timeout=0, stream_timeout=0 src=10.0.0.1 dst=10.0.0.2"
        " srckey=0x1 dstkey=0x2 [UNREPLIED] src=10.0.0.2 dst=10.0.0.1 srckey=0x2 dstkey=0x1"
        " mark=0 zone=0 use=2",
        ConntrackEntry(
            47, ConntrackTuple(A, B, 1, 2), ConntrackTuple(B, A, 2, 1), 99, unreplied=True, use=2
        ),
    ),
]


@pytest.mark.parametrize(("line", "entry"), LINES)
def test_lines(line, entry):
    assert conntrack.parse(f"{line}\n", "x") == (entry,)


UDP = "udp 17 29 src=10.0.0.1 dst=10.0.0.2 sport=1 dport=2 src=10.0.0.2 dst=10.0.0.1 "
REFUSED = [
    ("what is this", "'PROTOCOL NUMBER SECONDS [STATE] src=… dst=… …' was expected"),
    ("udp 17 29", "was expected"),
    ("udp 17 29 src=10.0.0.1 dst=10.0.0.2", "two tuples were expected, but src= stands 1 times"),
    (UDP.replace("10.0.0.2", "10.0.0"), "bad dst='10.0.0'; an IP address expected"),
    (f"{UDP} sport=65536", "bad sport='65536'; a number up to 65535 expected"),
    (f"{UDP} dport=65536", "bad dport='65536'; a number up to 65535 expected"),
    (f"{UDP} mark=x", "bad mark='x'"),
    (f"{UDP} zone=65536", "bad zone='65536'"),
    (UDP.replace("17", "256"), "bad number '256'; at most 255 expected"),
]


@pytest.mark.parametrize(("line", "message"), REFUSED)
def test_refused(line, message):
    with pytest.raises(ParseError) as caught:
        conntrack.parse(f"\n{line}\n", "x")
    assert str(caught.value).startswith("x:2: ")
    assert message in str(caught.value)


WORDS = (
    "udp 17 29 ", "icmp 1 9 ", "src=10.0.0.1 ", "dst=::1 ", "sport=1 ", "mark=0x5 ", "mark= ",
    "use=²", "[ASSURED] ", "X ", "\n", "9" * 5000, "id=-1 ", "zone=0 ", "type=", " ",
)  # fmt: skip


@given(st.lists(st.sampled_from(WORDS)).map("".join) | st.text())
def test_parse_raises_nothing_but_errors_with_a_place(text):
    try:
        found = conntrack.parse(text, "x")
    except DataplaneError as error:
        assert str(error).startswith("x:")
    else:
        assert conntrack.parse(conntrack.render(found), "x") == found
