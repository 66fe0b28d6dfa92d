"""What Linux put out at every tap of the recorded conversation, the emulator puts out too.

Byte for byte, in order per flow and direction; rule counters and connections are compared as
well.  Only what Linux chose at random is fed in, by a `--choose` file: recording.RANDOM names
each kind.
"""

import json
from collections import defaultdict

import pytest

from _fastpath.reason import Reason, Verdict
from dataplane.cluster.load import load
from dataplane.control.program import program
from dataplane.node.folder import read_node
from dataplane.replay import choose
from dataplane.replay.replay import Options, replay

from . import recording
from .recording import CASE, RANDOM

NODES = ("node-a", "node-b")
# The listing was made a moment after the last packet.
TIMEOUT_SLACK_S = 3


def silent(message):
    """No warning matters here."""


def dumped():
    return {name: read_node(name, CASE / name, silent) for name in NODES}


def programmed():
    return program(load([str(CASE / "cluster.yaml")], silent), warn=silent)


@pytest.fixture(scope="module", params=[programmed, dumped])
def nodes(request):
    return request.param()


@pytest.fixture(scope="module")
def choices(nodes, tmp_path_factory):
    path = tmp_path_factory.mktemp("recording") / "choices.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in recording.choices()))
    return choose.read(str(path), nodes)


@pytest.fixture(scope="module")
def result(nodes, choices):
    return replay(nodes, recording.conversation(), Options(taps="all", choices=choices))


def by_flow(frames):
    found = defaultdict(list)
    for frame in frames:
        found[recording.parse(frame).flow].append(frame)
    return dict(found)


def put_out(result, tap):
    """The frames that the emulator has at a tap."""
    frames = [(result.output.rows["device"][i], result.output.frame(i))
              for i in range(len(result.output.rows))]  # fmt: skip
    if tap.node:
        device = result.image.device(tap.node, tap.device)
        return [frame for place, frame in frames if place == device]
    # The outside host's own device: what it sends and gets on the wire.
    mac = bytes.fromhex("0a58c0a83264")
    wires = [result.image.device(node, "eth0") for node in NODES]
    return [frame for place, frame in frames if place in wires and mac in (frame[:6], frame[6:12])]


def test_every_packet_is_accounted_for(result):
    assert result.verdicts() == {
        (Verdict.DELIVERED, Reason.HOST): 313,
        (Verdict.FORWARDED, Reason.LEFT_BY_DEVICE): 59,
        (Verdict.REJECTED, Reason.NETFILTER_REJECT): 1,  # a Service without endpoints
        (Verdict.SKIPPED, Reason.ANSWERED_BY_NODE): 1,  # the ICMP error that Linux made then
    }


@pytest.mark.parametrize("tap", recording.taps(), ids=lambda tap: tap.file.removesuffix(".pcap"))
def test_frames_equal_those_of_linux(result, tap):
    recorded = recording.frames(tap.file)
    assert recorded
    assert by_flow(put_out(result, tap)) == by_flow(recorded)


def test_the_comparison_covers_the_conversation(result):
    taps = [tap for tap in recording.taps() if tap.node]
    assert sum(len(put_out(result, tap)) for tap in taps) == len(result.output.rows)
    assert sum(len(recording.frames(tap.file)) for tap in taps) > 1000


def counters(ruleset):
    """(table, chain, number; 0 = policy): packets, bytes"""
    return {
        (table.name, chain.name, number): (counted.packets, counted.bytes)
        for table in ruleset.tables.values()
        for chain in table.chains.values()
        for number, counted in enumerate((chain, *chain.rules))
    }


@pytest.mark.parametrize("name", NODES)
def test_rule_counters_equal_those_of_linux(result, name):
    recorded = counters(dumped()[name].iptables)
    assert counters(result.states()[name].iptables) == recorded
    assert sum(packets > 0 for packets, _ in recorded.values()) > 20


def connections(entries):
    """Without what differs by the moment at which one looks."""
    return sorted(
        (e.protocol, str(e.original), str(e.reply), e.state, e.unreplied, e.assured, e.mark)
        for e in entries
    )


def timeouts(entries):
    return {(e.protocol, e.original): e.timeout for e in entries}


@pytest.mark.parametrize("name", NODES)
def test_connections_equal_those_of_linux(result, name):
    recorded, ours = dumped()[name].conntrack, result.states()[name].conntrack
    assert len(recorded) > 50
    assert connections(ours) == connections(recorded)
    left = timeouts(ours)
    assert {
        key: (seconds, left[key])
        for key, seconds in timeouts(recorded).items()
        if abs(left[key] - seconds) > TIMEOUT_SLACK_S
    } == {}


def test_only_what_linux_draws_at_random_was_fed_in():
    kinds = {line["choice"] for line in recording.choices()}
    assert kinds == set(RANDOM)
    assert all(set(line) == {"choice", "node", "flow", "value"} for line in recording.choices())


def test_every_choice_fed_in_was_used(result, choices):
    fed, used = result.state.arrays["choices"], result.state.arrays["choice_used"]
    assert len(fed) == len(choices) > 100
    unused = {int(row["key"]) for row, count in zip(fed, used, strict=True) if count < row["count"]}
    assert unused == set()


def differing(result):
    """Taps with a frame that Linux did not have there."""
    taps = [tap for tap in recording.taps() if tap.node]
    return {
        tap.file
        for tap in taps
        if by_flow(put_out(result, tap)) != by_flow(recording.frames(tap.file))
    }


@pytest.mark.parametrize("kind", RANDOM)
def test_without_a_kind_of_choice_frames_differ(nodes, kind):
    """The comparison can fail, and nothing is fed in that need not be."""
    lines = [line for line in recording.choices() if line["choice"] != kind]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    rest = choose.parse(text, "choices", nodes)
    result = replay(nodes, recording.conversation(), Options(taps="all", choices=rest))
    assert differing(result)


def test_with_all_of_them_none_differs(result):
    assert not differing(result)
