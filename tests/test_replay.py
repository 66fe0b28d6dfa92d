"""Replays by either engine, and by both: the same results, and what is told where they differ."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataplane.errors import CaptureError, UsageError
from dataplane.image.image import assemble
from dataplane.node import iptables
from dataplane.node.folder import read_node
from dataplane.replay import both
from dataplane.replay.capture import merge, open_captures
from dataplane.replay.difference import Difference, compare, selected
from dataplane.replay.replay import Options, _Run, replay

from . import capture_files as files
from . import frames as fr
from . import recording
from .captures import START, capture_of, frames_of
from .test_engines_equal import rule_texts
from .two_nodes import (
    CLIENT,
    EMPTY,
    NODE_A,
    NODE_B,
    OUTSIDE,
    RULES,
    WEB,
    WEB1,
    WEB2,
    mac,
    two_nodes,
)

ETHERNET, RAW, COOKED = 1, 101, 113
NAMES = ("node-a", "node-b")
UNKNOWN = "203.0.113.9"
ADDRESSES = [
    CLIENT,
    CLIENT,
    WEB1,
    WEB2,
    WEB,
    WEB,
    EMPTY,
    OUTSIDE,
    NODE_A,
    NODE_B,
    "10.244.1.1",
    UNKNOWN,
]
MACS = [
    mac("10.244.1.1"), mac("10.244.2.1"), mac(CLIENT), mac(WEB1), mac(NODE_A), mac(NODE_B),
    "02:00:00:00:00:99", "00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01",
]  # fmt: skip
PORTS = [40000, 40000, 80, 8080, 30080, 8472]
FLAGS = [fr.SYN, fr.SYN, fr.SYN | fr.ACK, fr.ACK, fr.FIN | fr.ACK, fr.RST]


def dumps():
    return {name: read_node(name, recording.CASE / name, lambda message: None) for name in NAMES}


# The recording.


@pytest.fixture(scope="module")
def results():
    nodes, options = dumps(), Options(taps="all", events=True)
    return {name: replay(nodes, recording.conversation(), options, engine=name)
            for name in ("fast", "reference", "both")}  # fmt: skip


@pytest.mark.parametrize("other", ["reference", "both"])
def test_results_of_either_engine_are_the_same(results, other):
    fast, slow = results["fast"], results[other]
    assert len(fast) == len(slow) > 300
    assert list(fast) == list(slow)
    assert fast.flows == slow.flows
    assert [fast.flow(i) for i in range(len(fast))] == [slow.flow(i) for i in range(len(slow))]
    assert fast.verdicts() == slow.verdicts()
    assert fast.states() == slow.states()
    assert [fast.number(i) for i in range(len(fast))] == [slow.number(i) for i in range(len(slow))]
    assert str(fast.trace(5)) == str(slow.trace(5))


def test_columns_of_either_engine_are_the_same(results):
    fast, slow = results["fast"].columns, results["reference"].columns
    assert fast.dtype == slow.dtype
    for name in fast.dtype.names:
        if name not in ("path", "padding"):
            assert np.array_equal(fast[name], slow[name]), name
    # Paths are numbered as they are met.
    assert results["fast"].paths == results["reference"].paths
    assert np.array_equal(fast["path"], slow["path"])


def test_output_and_events_of_either_engine_are_the_same(results):
    fast, slow = results["fast"], results["reference"]
    for name in ("time_ns", "size", "length", "packet", "device", "outgoing", "generated"):
        assert np.array_equal(fast.output.rows[name], slow.output.rows[name]), name
    assert fast.output.data.tobytes() == slow.output.data.tobytes()
    assert np.array_equal(fast.event_rows, slow.event_rows)


@pytest.mark.parametrize("engine", ["fast", "reference"])
def test_only_frames_at_the_taps_asked_for_are_kept(engine):
    taps = [("node-a", "flannel.1"), ("node-b", "eth0")]
    frame = fr.ether(mac(CLIENT), mac("10.244.1.1"), b"\x08\x00",
                     fr.ipv4(CLIENT, WEB2, 17, fr.udp(CLIENT, 1, WEB2, 2)))  # fmt: skip
    result = replay(two_nodes(), frames_of(frame), Options(taps=taps), engine=engine)
    (record,) = result
    assert [(tap.node, tap.device, tap.outgoing) for tap in record.taps] == [
        ("node-a", "flannel.1", True),
        ("node-b", "eth0", False),
    ]
    assert record.events == ()


def test_an_engine_that_there_is_not():
    with pytest.raises(UsageError, match="no engine 'slow'; there are fast, reference, both"):
        replay(two_nodes(), frames_of(b""), engine="slow")


def test_a_capture_without_packets():
    with pytest.raises(CaptureError, match=r"^empty\.pcap: no packets$"):
        replay(two_nodes(), merge([capture_of([], name="empty.pcap")]))


# Random captures.


@st.composite
def transports(draw, src, dst):
    kind = draw(st.sampled_from(["tcp", "tcp", "tcp", "udp", "echo", "error", "other"]))
    sport, dport = draw(st.sampled_from(PORTS)), draw(st.sampled_from(PORTS))
    if kind == "tcp":
        flags, partial = draw(st.sampled_from(FLAGS)), draw(st.booleans())
        return 6, fr.tcp(src, sport, dst, dport, flags, payload=b"x" * draw(st.integers(0, 3)),
                         partial=partial)  # fmt: skip
    if kind == "udp":
        return 17, fr.udp(src, sport, dst, dport, b"hello", draw(st.booleans()))
    if kind == "echo":
        return 1, fr.echo(draw(st.integers(1, 2)), reply=draw(st.booleans()))
    if kind == "error":
        # Mostly about what the other side may have sent.
        protocol, body = draw(transports(dst, src))
        quoted = fr.ipv4(dst, src, protocol, body)[: draw(st.sampled_from([20, 28, 28, 48, 60]))]
        code = draw(st.sampled_from([(3, 3), (3, 4), (11, 0), (5, 1), (9, 0), (253, 0)]))
        return 1, fr.icmp_error(*code, quoted)
    return draw(st.sampled_from([47, 58, 132])), bytes(draw(st.sampled_from([0, 4, 24])))


@st.composite
def packets(draw):
    """An IPv4 packet; now and then a fragment, or with a header that is refused."""
    src, dst = draw(st.sampled_from(ADDRESSES)), draw(st.sampled_from(ADDRESSES))
    protocol, body = draw(transports(src, dst))
    fragment = draw(st.sampled_from([0x4000, 0x4000, 0x4000, 0x4000, 0, 0x2000, 4]))
    ttl = draw(st.sampled_from([64, 64, 63, 1, 128, 255, 200]))
    packet = fr.ipv4(src, dst, protocol, body, fragment=fragment, ttl=ttl)
    if draw(st.integers(0, 15)) == 0:
        at = draw(st.integers(0, len(packet) - 1))
        packet = packet[:at] + bytes([packet[at] ^ 0x11]) + packet[at + 1 :]
    return packet


@st.composite
def arp_messages(draw):
    sender, target = (draw(st.sampled_from(["0.0.0.0", *ADDRESSES])) for _ in range(2))
    body = fr.ipv4(sender, target, 0, b"")[12:20]  # the two addresses
    hardware = bytes.fromhex(draw(st.sampled_from(MACS)).replace(":", ""))
    operation = draw(st.sampled_from([1, 1, 2, 3]))
    size = draw(st.sampled_from([28, 28, 28, 46, 20]))
    message = bytes([0, 1, 8, 0, 6, 4, 0, operation]) + hardware + body[:4] + bytes(6) + body[4:]
    return (message + bytes(18))[:size]


@st.composite
def link_frames(draw, linktype):
    """(frame, bytes that are cut off its end)"""
    kind = draw(st.sampled_from(["ip"] * 8 + ["arp", "other", "noise"]))
    if kind == "noise":
        return draw(st.binary(max_size=60)), 0
    payload, ethertype = draw(packets()), b"\x08\x00"
    if kind == "arp":
        payload, ethertype = draw(arp_messages()), b"\x08\x06"
    elif kind == "other":
        ethertype = draw(st.sampled_from([b"\x88\xcc", b"\x81\x00", b"\x86\xdd", b"\x00\x20"]))
    cut = draw(st.sampled_from([0] * 8 + [1, 10, 30]))
    if linktype == RAW:
        return payload, cut
    if linktype == COOKED:
        return bytes(14) + ethertype + payload, cut
    src, dst = draw(st.sampled_from(MACS)), draw(st.sampled_from(MACS))
    padding = bytes(draw(st.sampled_from([0, 0, 0, 6])))
    return fr.ether(src, dst, ethertype, payload) + padding, cut


@st.composite
def captures(draw):
    linktype = draw(st.sampled_from([ETHERNET, ETHERNET, ETHERNET, RAW, COOKED]))
    seconds, written = START, []
    for frame, cut in draw(st.lists(link_frames(linktype), min_size=1, max_size=14)):
        seconds += draw(st.sampled_from([0, 0, 1, 40, 130]))
        written.append(files.Written(seconds, 0, frame[: len(frame) - cut], len(frame)))
    return merge([capture_of(written, linktype)])


@st.composite
def options(draw):
    chosen = {
        "seed": draw(st.integers(0, 3)),
        "clients": draw(st.sampled_from([(), (), (CLIENT,), (WEB2, CLIENT)])),
        "one_way": draw(st.sampled_from([False, False, False, True])),
    }
    if draw(st.integers(0, 4)) == 0:
        at = draw(
            st.sampled_from([("node-a", "veth-client"), ("node-a", "eth0"), ("node-b", "eth0")])
        )
        chosen |= {"raw": True, "at": at}
    return Options(**chosen)


@settings(max_examples=300)
@given(captures(), options(), st.one_of(st.just(RULES), rule_texts()))
def test_replay_equals_reference(frames, chosen, rules):
    replay(two_nodes(rules), frames, chosen, engine="both")


# Differences.


def changed(name, old, new):
    """Nodes of which one has another rule."""
    nodes = two_nodes()
    rules = iptables.parse(RULES.replace(old, new), "changed")
    return nodes | {name: replace(nodes[name], iptables=rules)}


def packet_of(sport, src=CLIENT, dst=WEB2):
    segment = fr.udp(src, sport, dst, 53, b"x")
    return fr.ether(mac(CLIENT), mac("10.244.1.1"), b"\x08\x00", fr.ipv4(src, dst, 17, segment))


def runs(nodes, chosen):
    """What starts the kernels on some frames, as `replay` does it."""
    image = assemble(nodes, seed=chosen.seed)
    return lambda frames: _Run(image, frames, replace(chosen, taps="all", events=True))


def difference(reference_nodes, frames, chosen=None, nodes=None):
    """Of kernels that walk `nodes` and a reference engine that walks others."""
    chosen = chosen or Options()
    return both.find(runs(nodes or two_nodes(), chosen), reference_nodes, frames, chosen)


LAST = "-A FORWARD -m conntrack --ctstate NEW -j KUBE-SERVICES"
DROP = f"{LAST}\n-A FORWARD -p udp -m udp --sport 7 -j DROP"


def test_engines_that_agree():
    assert difference(two_nodes(), frames_of(packet_of(1), packet_of(2))) is None


def test_the_first_packet_that_is_seen_differently_is_told():
    frames = frames_of(*(packet_of(sport) for sport in (1, 7, 2, 7)))
    found = difference(changed("node-b", LAST, DROP), frames)
    assert (found.packet, found.found.what) == (1, "steps")
    kernels, reference = found.fast.steps, found.reference.steps
    at = int(found.found.where.removeprefix("step ")) - 1
    assert kernels[:at] == reference[:at]
    assert (kernels[at], reference[at]) == (found.found.fast, found.found.reference)
    assert str(found) == (
        f"test.pcap:2: the engines differ at step {at + 1}: the kernels have"
        " RULE node-b 4 filter FORWARD, the reference RULE node-b 4 filter FORWARD 3"
    )


def test_a_difference_in_what_is_put_out_is_told():
    ttl = {"net.ipv4.ip_default_ttl": "128"}
    nodes = two_nodes()
    nodes["node-a"] = replace(nodes["node-a"], sysctls=nodes["node-a"].sysctls | ttl)
    found = difference(nodes, frames_of(packet_of(1)))
    assert (found.packet, found.found.what, found.found.where) == (0, "taps", "tap 4")
    assert str(found).startswith(
        "test.pcap:1: the engines differ at tap 4: the kernels have node-a eth0 out 0a58c0a8320c"
    )


def test_a_difference_in_what_is_left_behind_is_told():
    nodes = two_nodes()
    timeout = {"net.netfilter.nf_conntrack_udp_timeout": "100"}
    nodes["node-b"] = replace(nodes["node-b"], sysctls=nodes["node-b"].sysctls | timeout)
    found = difference(nodes, frames_of(packet_of(1)))
    assert (found.packet, found.fast, found.reference) == (None, None, None)
    assert (found.found.what, found.found.where) == ("conntrack", "node-b connection 1")
    assert (found.found.fast.timeout, found.found.reference.timeout) == (30, 100)
    assert str(found).startswith("after the last packet: the engines differ at node-b connection 1")


def test_a_case_is_small_and_shows_the_difference_again():
    """Of forty-two packets, the two that the reference needs to see a connection go on."""
    established = "--ctstate RELATED,ESTABLISHED -j "
    other = changed("node-a", f"{established}ACCEPT", f"{established}DROP")
    others = [packet_of(sport, dst=WEB1) for sport in range(20)]
    answer = fr.udp(WEB2, 53, CLIENT, 77, b"x")
    reply = fr.ether(mac(WEB2), mac(CLIENT), b"\x08\x00", fr.ipv4(WEB2, CLIENT, 17, answer))
    frames = frames_of(*others, packet_of(77), *others, reply)
    found = difference(other, frames)
    case = found.case()
    assert found.packet == 41
    assert [case.frames.where(i).line for i in range(len(case.frames))] == [21, 42]
    assert difference(other, case.frames).found == found.found


def test_a_case_as_files_is_read_by_the_command(tmp_path):
    frames = frames_of(*(packet_of(sport) for sport in (1, 2, 7, 3)))
    chosen = Options(seed=5, clients=[CLIENT], one_way=True)
    found = difference(changed("node-a", LAST, DROP), frames, chosen)
    case = found.case()
    arguments = case.write(tmp_path)
    capture = str(tmp_path / "packets.pcap")
    assert arguments == [
        f"--node=node-a={tmp_path}/node-a", f"--node=node-b={tmp_path}/node-b",
        "--engine", "both", "--seed", "5", "--client=10.244.1.2", "--one-way", "-r", capture,
    ]  # fmt: skip
    written = open_captures([capture])
    assert [written.raw(i) for i in range(len(written))] == [packet_of(7)]
    nodes = {name: read_node(name, tmp_path / name, lambda message: None) for name in NAMES}
    assert nodes["node-a"].iptables == found.nodes["node-a"].iptables
    again = difference(nodes, written, chosen)
    assert again.found == found.found


def test_a_case_of_raw_frames_says_where_they_entered(tmp_path):
    chosen = Options(raw=True, at=("node-a", "veth-client"))
    frames = frames_of(packet_of(7))
    found = difference(changed("node-a", LAST, DROP), frames, chosen)
    assert found.case().write(tmp_path)[6:-2] == ["--raw", "--at", "node-a:veth-client"]


@pytest.mark.parametrize("name", ["..", "a/b", ".", ""])
def test_a_case_stays_in_its_folder(tmp_path, name):
    nodes = {name: replace(two_nodes()["node-a"], name=name)}
    odd = {name: replace(nodes[name], iptables=iptables.parse(RULES.replace(
        LAST, DROP), "x"))}  # fmt: skip
    found = difference(odd, frames_of(packet_of(7)), nodes=nodes)
    found.case().write(tmp_path / "case")
    assert {path.name for path in tmp_path.iterdir()} == {"case"}


def test_a_difference_is_raised():
    nodes, other = two_nodes(), changed("node-a", LAST, DROP)
    frames = frames_of(packet_of(7))
    run = runs(nodes, Options())
    both.check(run, nodes, frames, Options())
    with pytest.raises(Difference, match=r"^test\.pcap:1: the engines differ at step \d+"):
        both.check(run, other, frames, Options())


def test_records_that_are_the_same_but_for_one_field():
    (record,) = replay(two_nodes(), frames_of(packet_of(1)))
    found = compare(record, replace(record, end_ttl=record.end_ttl - 1))
    assert (found.what, found.where, found.fast, found.reference) == ("end_ttl", "end_ttl", 62, 61)
    assert compare(record, record) is None


def test_records_that_end_early_differ_where_they_end():
    (record,) = replay(two_nodes(), frames_of(packet_of(1)), Options(taps="all", events=True))
    for name in ("steps", "events", "taps"):
        whole = getattr(record, name)
        found = compare(record, replace(record, **{name: whole[:-1]}))
        assert (found.what, found.fast, found.reference) == (name, whole[-1], None)
        assert found.where == f"{name.removesuffix('s')} {len(whole)}"


def test_selected_frames_keep_their_numbers():
    frames = frames_of(*(packet_of(sport) for sport in range(4)))
    some = selected(frames, [0, 3])
    assert [some.where(i).line for i in range(len(some))] == [1, 4]
    assert [some.raw(i) for i in range(len(some))] == [packet_of(0), packet_of(3)]
