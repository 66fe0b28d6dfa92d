"""Arrays of another layout than the C structs never reach a kernel."""

import numpy as np
import pytest

from _fastpath.engine import Engine
from _fastpath.inject import Injector
from dataplane.image import dtypes
from dataplane.image.image import assemble
from dataplane.image.state import State
from tests.two_nodes import two_nodes

IMAGE = assemble(two_nodes())
STATE = State(IMAGE, events_max=8, taps=frozenset({0}))
REFUSED = r"Buffer dtype mismatch|bytes, not|xpected"


def structs(arrays):
    return sorted(name for name, array in arrays.items() if array.dtype.names)


def shortened(array):
    """The last field left out, as before a struct grew."""
    fields = [(name, array.dtype.fields[name][0]) for name in array.dtype.names]
    return np.zeros(len(array), np.dtype(fields[:-1], align=array.dtype.isalignedstruct))


def shifted(array):
    """The first field made twice as wide: everything after it moves."""
    fields = [(name, array.dtype.fields[name][0]) for name in array.dtype.names]
    return np.zeros(len(array), np.dtype([("new", "u8"), *fields], align=True))


@pytest.mark.parametrize("change", [shortened, shifted])
@pytest.mark.parametrize("name", structs(IMAGE.arrays))
def test_an_image_of_another_layout_is_refused(name, change):
    arrays = IMAGE.arrays | {name: change(IMAGE.arrays[name])}
    with pytest.raises(ValueError, match=REFUSED):
        Engine(arrays, STATE.arrays)


@pytest.mark.parametrize("change", [shortened, shifted])
@pytest.mark.parametrize("name", structs(STATE.arrays))
def test_a_state_of_another_layout_is_refused(name, change):
    array = STATE.arrays[name] if len(STATE.arrays[name]) else np.zeros(1, STATE.arrays[name].dtype)
    with pytest.raises(ValueError, match=REFUSED):
        Engine(IMAGE.arrays, STATE.arrays | {name: change(array)})


def test_every_plain_array_has_the_width_that_kernels_read():
    for arrays, owner in ((IMAGE.arrays, "image"), (STATE.arrays, "state")):
        for name, array in arrays.items():
            if array.dtype.names or name == "counts":
                continue
            other = array.astype("f8")
            changed = (
                (arrays | {name: other}, STATE.arrays)
                if owner == "image"
                else (IMAGE.arrays, STATE.arrays | {name: other})
            )
            with pytest.raises(ValueError, match="Buffer dtype mismatch"):
                Engine(*changed)


@pytest.mark.parametrize("dtype", [dtypes.RECORD, dtypes.FLOW, dtypes.FLOW_WAY])
def test_records_and_flows_of_another_layout_are_refused(dtype):
    engine = Engine(IMAGE.arrays, State(IMAGE).arrays)
    wrong = shortened(np.zeros(1, dtype))
    with pytest.raises(ValueError, match="Buffer dtype mismatch"):
        if dtype is dtypes.RECORD:
            engine.run_one(0, b"", 0, 0, wrong)
        else:
            flows, ways = np.zeros(1, dtypes.FLOW), np.zeros(2, dtypes.FLOW_WAY)
            flows, ways = (wrong, ways) if dtype is dtypes.FLOW else (flows, wrong)
            Injector(engine, flows, ways, np.full(2, -1, np.int32), np.zeros(0, dtypes.ADDR))


def test_layouts_are_those_of_c():
    """Natural alignment: no struct of the kernels is packed."""
    for name, dtype in vars(dtypes).items():
        if isinstance(dtype, np.dtype) and dtype.names:
            again = np.dtype([(n, dtype.fields[n][0]) for n in dtype.names], align=True)
            assert dtype == again, name
            assert dtype.itemsize == again.itemsize, name
