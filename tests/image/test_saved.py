"""Images in files: what is saved comes back, and whatever else a file holds is refused."""

import json
from struct import pack_into
from zlib import crc32

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.errors import DataplaneError, ParseError, UsageError
from dataplane.image.image import assemble
from dataplane.image.saved import HEAD, check, load_image, save_image
from dataplane.node import iptables
from dataplane.node.state import NodeState
from tests.node import strategies
from tests.two_nodes import two_nodes

IMAGE = assemble(two_nodes())


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "two.image"
    save_image(IMAGE, path)
    return path


def assert_equal(found, image):
    assert found.names == image.names
    assert found.memory == image.memory
    assert found.seed == image.seed
    assert found.arrays.keys() == image.arrays.keys()
    for name, array in image.arrays.items():
        assert found.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(found.arrays[name], array)
    assert dict(found.states) == dict(image.states)


def test_what_is_saved_comes_back(saved):
    found = load_image(saved)
    assert_equal(found, IMAGE)
    assert check(found)
    assert found.device("node-b", "eth0") == IMAGE.device("node-b", "eth0")
    assert [found.step(number) for number in range(50)] == [IMAGE.step(n) for n in range(50)]


@given(strategies.rulesets(4, loadable=True))
def test_load_inverts_save(tmp_path_factory, ruleset):
    state = NodeState("n", iptables=ruleset)
    try:
        image = assemble({"n": state})
    except DataplaneError:
        return
    path = tmp_path_factory.mktemp("saved") / "some.image"
    save_image(image, path)
    found = load_image(path)
    assert_equal(found, image)
    assert check(found)


def test_counters_and_rules_that_nobody_could_read_come_back(tmp_path):
    text = "*filter\n:INPUT ACCEPT [7:9]\n[3:5] -A INPUT -j DROP\n-A INPUT -s nowhere\nCOMMIT\n"
    ruleset = iptables.parse(text, "x", 4, lenient=True)
    save_image(assemble({"n": NodeState("n", iptables=ruleset)}), tmp_path / "x")
    found = load_image(tmp_path / "x").states["n"].iptables
    assert iptables.render(found, counters=True) == iptables.render(ruleset, counters=True)


def test_arrays_are_aligned_and_cannot_be_written(saved):
    for array in load_image(saved).arrays.values():
        assert array.ctypes.data % 64 == 0
        assert not array.flags.writeable


def refused(path, data):
    path.write_bytes(data)
    with pytest.raises(ParseError) as error:
        image = load_image(path)
        _ = len(image.names.rules), dict(image.states)
    assert str(error.value).startswith(f"{path}: ")
    return str(error.value)


@pytest.mark.parametrize("kept", [0, 1, 15, HEAD.size - 1, HEAD.size, 1000, -1])
def test_a_file_that_is_cut_is_refused(saved, tmp_path, kept):
    refused(tmp_path / "cut", saved.read_bytes()[:kept])


def test_what_is_appended_is_refused(saved, tmp_path):
    refused(tmp_path / "longer", saved.read_bytes() + b"\0")


def of_content(data):
    """Places of bytes that mean something: not those between sections."""
    size = HEAD.unpack_from(data)[2]
    header = json.loads(data[HEAD.size : HEAD.size + size])
    first = HEAD.size + size
    places = [place for _, _, place in header["arrays"].values()]
    places += [header["chains"]]
    places += [place for files in header["texts"].values() for place in files.values()]
    return [range(first), *(range(first + at, first + at + n) for at, n, _ in places)]


@given(st.data())
def test_any_damage_is_found(saved, tmp_path_factory, data):
    content = bytearray(saved.read_bytes())
    at = data.draw(st.sampled_from(of_content(content)).flatmap(st.sampled_from))
    content[at] ^= 1 << data.draw(st.integers(0, 7))
    refused(tmp_path_factory.mktemp("damaged") / "image", bytes(content))


def forged(data, change):
    """The file with another header, whose checksum fits."""
    _, _, size, _, _ = HEAD.unpack_from(data)
    header = json.loads(data[HEAD.size : HEAD.size + size])
    change(header)
    text = json.dumps(header).encode()
    text += b" " * (-(HEAD.size + len(text)) % 64)
    whole = bytearray(data[: HEAD.size] + text + data[HEAD.size + size :])
    pack_into("<IQI", whole, 20, len(text), len(whole), crc32(text))
    return bytes(whole)


def set_place(header, *place):
    header["arrays"]["rules"][2] = list(place)


CHANGES = {
    "an array that is missing": lambda header: header["arrays"].pop("rules"),
    "one too many": lambda header: header["arrays"].update(more=header["arrays"]["rules"]),
    "a place beyond the end": lambda h: set_place(h, 1 << 40, h["arrays"]["rules"][2][1], 0),
    "a place before the start": lambda h: set_place(h, -64, h["arrays"]["rules"][2][1], 0),
    "a place between": lambda h: set_place(h, 1, h["arrays"]["rules"][2][1], 0),
    "another size": lambda header: set_place(header, 0, 64, 0),
    "no rows": lambda header: header["arrays"].update(rules=["", 0, [0, 0, 0]]),
    "another layout": lambda header: header["arrays"]["rules"].__setitem__(0, "64 x"),
    "other numbers": lambda header: header.update(numbers="x"),
    "names that are none": lambda header: header.update(names=[]),
    "memory that is none": lambda header: header.update(memory=[1]),
    "texts that are none": lambda header: header.update(texts=[1]),
    "nothing": lambda header: header.clear(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_header_that_does_not_fit_is_refused(saved, tmp_path, change):
    refused(tmp_path / "forged", forged(saved.read_bytes(), CHANGES[change]))


def test_another_format_is_refused(saved, tmp_path):
    data = bytearray(saved.read_bytes())
    pack_into("<I", data, 16, 99)
    assert "format 99" in refused(tmp_path / "newer", bytes(data))


def test_what_is_no_file_is_refused(tmp_path):
    with pytest.raises(UsageError, match="No such file"):
        load_image(tmp_path / "nothing")
    with pytest.raises(UsageError, match="directory"):
        load_image(tmp_path)
    with pytest.raises(UsageError, match="cannot write"):
        save_image(IMAGE, tmp_path / "no" / "folder")


def test_an_image_that_its_nodes_do_not_make_is_told(saved):
    found = load_image(saved)
    found.arrays["rules"] = found.arrays["rules"].copy()
    found.arrays["rules"]["match_count"] = 9
    assert not check(found)
