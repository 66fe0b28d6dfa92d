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
from dataplane.replay.replay import Options, replay
from dataplane.replay.run import Run
from dataplane.replay.slow import SlowEngine, frame_of

from . import frames as fr
from . import random_captures, recording
from .captures import capture_of, frames_of
from .clusters import clusters
from .test_engines_equal import rule_texts
from .two_nodes import (
    CLIENT,
    RULES,
    WEB1,
    WEB2,
    mac,
    two_nodes,
)

ETHERNET, RAW, COOKED = 1, 101, 113
NAMES = ("node-a", "node-b")


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


# Where every device is up and every entry there, flows live long enough to be answered.
shaken = st.one_of(st.builds(two_nodes), st.builds(two_nodes, rule_texts()), clusters(rule_texts()))


@settings(max_examples=300)
@given(random_captures.captures(), random_captures.options(), shaken)
def test_replay_equals_reference(frames, chosen, nodes):
    replay(nodes, frames, chosen, engine="both")


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
    """What starts the kernels, as `replay` does it."""
    image = assemble(nodes, seed=chosen.seed)
    return lambda: Run(image, replace(chosen, taps="all", events=True))


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


def test_what_is_left_behind_is_compared_in_full():
    """The reference has met a packet more."""
    frames = frames_of(packet_of(1))
    rows, data = frames.ethernet()
    fast, slow = replay(two_nodes(), frames), SlowEngine(two_nodes(), Options())
    slow.inject(*frame_of(rows[0], data))
    assert both.left_behind(fast, slow) is None
    slow.injector.flows[0].packets += 1
    assert both.left_behind(fast, slow).where == "flow 1"
    slow.inject(*frame_of(rows[0], data))
    found = both.left_behind(fast, slow)
    assert (found.what, found.fast, found.reference) == ("counters", (1, 29), (2, 58))
    assert found.where == "node-a 4 filter FORWARD 1"


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
