"""State: arrays of a capacity given from above, and what grows between packets."""

import numpy as np
import pytest

from _fastpath.engine import Engine
from dataplane.image.image import assemble
from dataplane.image.state import State
from dataplane.replay.after import connections
from dataplane.replay.fast import FastEngine
from tests import frames as fr
from tests.reference.one_node import CLIENT, SECOND, SERVER, nat, node, send, states

IMAGE = assemble({"n": node(nat())})


def is_power_of_two(number):
    return number > 0 and number & (number - 1) == 0


@pytest.mark.parametrize("wanted", [1, 2, 3, 1000, 4096])
def test_hash_tables_are_powers_of_two_and_half_empty(wanted):
    arrays = State(IMAGE, connections=wanted).arrays
    assert len(arrays["connections"]) == len(arrays["free_list"]) == wanted
    for name, held in (("buckets", wanted), ("source_buckets", wanted), ("path_slots", 1024)):
        assert is_power_of_two(len(arrays[name]))
        assert len(arrays[name]) >= 2 * held
    assert sorted(arrays["free_list"].tolist()) == list(range(wanted))


def test_output_has_room_only_where_it_is_wanted():
    assert len(State(IMAGE).arrays["output"]) == 1
    assert len(State(IMAGE).arrays["events"]) == 1
    tapped = State(IMAGE, taps=frozenset({1}), events_max=9).arrays
    assert tapped["tap_wanted"].tolist() == [0, 1, 0]
    assert (len(tapped["events"]), len(tapped["taps"]) > 1) == (9, True)


def test_choices_are_sorted_by_key():
    arrays = State(IMAGE, choices={9: [1, 2], 3: [7], 5: []}).arrays
    rows = [(int(row["key"]), int(row["start"]), int(row["count"])) for row in arrays["choices"]]
    assert rows == [(3, 0, 1), (9, 1, 2)]
    assert arrays["choice_values"].tolist() == [7, 1, 2]
    assert len(State(IMAGE).arrays["choices"]) == 0


def engine_with_room_for(wanted):
    engine = FastEngine({"n": node(nat())})
    engine.state = State(engine.image, connections=wanted)
    engine.engine = Engine(engine.image.arrays, engine.state.arrays)
    return engine


def test_connections_survive_growing():
    """More connections than there is room for at first; each answer finds its own."""
    engine = engine_with_room_for(64)
    ports = range(1000, 1200)
    for port in ports:
        assert states(send(engine, 17, fr.udp(CLIENT, port, SERVER, 53))) == [2]
    assert len(engine.state.arrays["connections"]) > 64
    for port in ports:
        back = send(engine, 17, fr.udp(SERVER, 53, CLIENT, port), SERVER, CLIENT)
        assert states(back) == [3]
    assert len(list(connections(engine.image, engine.state, "n", 0))) == len(ports)


def test_connections_whose_time_is_up_make_room_for_others():
    engine = engine_with_room_for(1024)
    for minute in range(3):
        for port in range(1000, 1700):
            body = fr.udp(CLIENT, port + 700 * minute, SERVER, 53)
            send(engine, 17, body, time=60 * SECOND * minute)
    assert len(engine.state.arrays["connections"]) == 1024


def test_grown_arrays_are_all_there():
    state = State(IMAGE, connections=8)
    before = {name: len(array) for name, array in state.arrays.items()}
    assert state.grow_connections(3) == 11
    assert sorted(state.arrays["free_list"][:11].tolist()) == sorted(
        [*range(8, 16), *np.arange(7, -1, -1)[:3].tolist()]
    )
    assert len(state.arrays["connections"]) == 2 * before["connections"]
    assert (state.arrays["buckets"] == -1).all()
    state.grow_paths()
    assert len(state.arrays["path_hash"]) == 2 * before["path_hash"]
