"""Recording: paths are stored once, arrays grow between packets, and nothing is lost or mixed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from _fastpath.engine import Engine
from _fastpath.trace import STEPS_MAX, EventKind, StepKind
from dataplane.image import dtypes
from dataplane.image.image import assemble
from dataplane.image.state import State
from dataplane.replay.fast import FastEngine, path_of

from . import frames as fr
from .reference.one_node import CLIENT, INSIDE, SERVER, nat, node, send, table
from .two_nodes import mac

PORTS = range(1, 41)


def branching():
    """A rule per destination port: as many paths as ports, and one for the others."""
    rules = [f"FORWARD -p tcp -m tcp --dport {port} -j ACCEPT" for port in PORTS]
    return table("filter", *rules)


def syn(port, ttl=64):
    ip = fr.ipv4(CLIENT, SERVER, 6, fr.tcp(CLIENT, 1000, SERVER, port), ttl=ttl)
    return fr.ether(mac(CLIENT), mac(INSIDE), b"\x08\x00", ip)


class Recorder:
    """An engine whose trace is as small as it may be, and the columns of its records."""

    def __init__(self, rules, **wanted):
        self.image = assemble({"n": node(rules)})
        self.state = State(self.image, **wanted)
        self.engine = Engine(self.image.arrays, self.state.arrays)
        self.row = np.zeros(1, dtypes.RECORD)

    def run(self, frame, number=0):
        self.engine.run_one(
            number, frame, len(frame), self.image.device("n", "a"), self.row, number
        )
        return self.row[0].copy()

    def shrink(self, paths):
        """Room for `paths` paths of the longest kind."""
        arrays = self.state.arrays
        arrays["path_start"] = np.zeros(paths + 1, np.uint64)
        arrays["path_hash"] = np.zeros(paths, np.uint64)
        arrays["path_steps"] = np.zeros(paths * STEPS_MAX, np.uint32)
        arrays["path_slots"] = np.zeros(1 << (2 * paths).bit_length(), np.uint32)
        self.engine.point_trace()

    def make_room(self):
        if not self.engine.has_trace_room:
            self.state.grow_paths()
            self.engine.point_trace()


def test_a_path_is_stored_once():
    recorder = Recorder(branching())
    paths = [int(recorder.run(syn(port))["path"]) for port in (1, 2, 1, 3, 2, 1000, 1001)]
    assert paths == [0, 1, 0, 2, 1, 3, 3]
    assert recorder.engine.paths == 4


@given(st.lists(st.sampled_from([*PORTS, 1000]), min_size=1, max_size=80), st.integers(1, 3))
def test_growing_changes_no_path(ports, room):
    small, large = Recorder(branching()), Recorder(branching())
    small.shrink(room)
    found = []
    for port in ports:
        small.make_room()
        one, other = int(small.run(syn(port))["path"]), int(large.run(syn(port))["path"])
        assert one == other
        found.append((one, path_of(large.image, large.state, other)))
    for path, steps in found:
        assert path_of(small.image, small.state, path) == steps
    assert small.engine.paths == len(set(ports)) == len({path for path, _ in found})


def test_without_room_no_packet_is_walked():
    recorder = Recorder(branching())
    recorder.shrink(1)
    recorder.run(syn(1))
    assert not recorder.engine.has_trace_room
    with pytest.raises(ValueError, match="no room"):
        recorder.run(syn(2))
    assert recorder.state.arrays["counters"].sum() == 1 + 40  # the first packet's alone
    recorder.make_room()
    assert recorder.run(syn(2))["path"] == 1


def test_an_entry_that_is_not_there_is_refused():
    recorder = Recorder("")
    for entry in (3, -2, -(2**31), 2**31 - 1):
        with pytest.raises(IndexError, match="entry"):
            recorder.engine.run_one(0, syn(80), 54, entry, recorder.row)


def test_the_record_says_what_came_and_what_became_of_it():
    recorder = Recorder(nat("PREROUTING -p tcp -j DNAT --to-destination 10.0.1.2:8080"))
    row = recorder.run(syn(80, ttl=9), number=7)
    said = {name: int(row[name]) for name in ("packet", "family", "proto", "sport", "length")}
    assert said == {"packet": 7, "family": 4, "proto": 6, "sport": 1000, "length": 54}
    assert (int(row["dport"]), int(row["end_dport"])) == (80, 8080)
    assert (int(row["end_ttl"]), int(row["tcp_flags"])) == (8, fr.SYN)


def events_and_taps(**wanted):
    recorder = Recorder(branching(), **wanted)
    recorder.run(syn(80), number=5)
    events, taps, _ = recorder.engine.taken
    arrays = recorder.state.arrays
    return arrays["events"][:events], arrays["taps"][:taps], recorder


def test_events_are_kept_when_asked_for():
    assert len(events_and_taps()[0]) == 0
    events, _, _ = events_and_taps(events_max=4 * STEPS_MAX)
    assert {EventKind.EVENT_TTL, EventKind.EVENT_ETHER_DST} <= set(events["kind"].tolist())
    assert set(events["packet"].tolist()) == {5}
    ttl = events[events["kind"] == EventKind.EVENT_TTL][0]
    assert (ttl["before"]["lo"], ttl["after"]["lo"]) == (64, 63)


@pytest.mark.parametrize("tapped", [{1}, {2}, {1, 2}])
def test_taps_are_kept_where_asked_for(tapped):
    _, taps, recorder = events_and_taps(taps=frozenset(tapped))
    assert set(taps["device"].tolist()) == tapped
    data = recorder.state.arrays["output"]
    for row in taps:
        frame = data[row["offset"] : row["offset"] + row["size"]].tobytes()
        assert (len(frame), row["length"], row["packet"]) == (54, 54, 5)
        assert frame[22] == (63 if row["outgoing"] else 64)  # TTL


def test_nothing_is_tapped_unasked():
    assert len(events_and_taps()[1]) == 0


def test_taken_output_makes_room():
    _, _, recorder = events_and_taps(taps=frozenset({1}), events_max=STEPS_MAX)
    assert recorder.engine.taken != (0, 0, 0)
    assert not recorder.engine.has_trace_room  # less than one packet might leave
    recorder.engine.clear_output()
    assert recorder.engine.taken == (0, 0, 0)
    assert recorder.engine.has_trace_room


def test_steps_are_those_of_the_packet_alone():
    """A short walk after a long one leaves nothing of the long one."""
    engine = FastEngine({"n": node(branching())})
    long = send(engine, 6, fr.tcp(CLIENT, 1000, SERVER, 80))
    short = engine.run(0, b"\0" * 13, 13, ("n", "a"))
    assert len(long.steps) > 3
    assert [step.kind for step in short.steps] == [StepKind.STEP_DEVICE_IN]
    assert short.events == ()


def test_paths_that_are_not_kept_change_nothing_else():
    recorders = [Recorder(branching()) for _ in range(2)]
    recorders[1].engine.keep_paths(False)
    for port in (1, 2, 1, 99):
        kept, without = (recorder.run(syn(port)) for recorder in recorders)
        assert without["path"] == 0xFFFFFFFF
        without["path"] = kept["path"]
        assert kept == without
    assert recorders[1].engine.paths == 0
    counted = [recorder.state.arrays["counters"].tolist() for recorder in recorders]
    assert counted[0] == counted[1]
    recorders[1].engine.keep_paths(True)
    assert recorders[1].run(syn(3))["path"] == 0
