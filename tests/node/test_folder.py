"""A node's folder: what is written is what is read, and the tools' own output is read too."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given

from dataplane.errors import DataplaneError, ParseError, UsageError
from dataplane.node import iptables
from dataplane.node.folder import FILES, read_node, write_node
from dataplane.node.state import NodeState
from tests.node import strategies

RECORDED = Path(__file__).parent / "fixtures" / "node-a"


def unexpected(message):
    raise AssertionError(message)


@given(strategies.node_states())
def test_read_inverts_write(state):
    with tempfile.TemporaryDirectory() as folder:
        write_node(state, folder)
        if any(Path(folder).iterdir()):
            assert read_node(state.name, folder, unexpected) == state
        else:
            assert state == NodeState(state.name)


def test_what_the_tools_wrote_comes_back(tmp_path):
    state = read_node("node-a", RECORDED, unexpected)
    write_node(state, tmp_path)
    assert read_node("node-a", tmp_path, unexpected) == state
    assert {path.name for path in tmp_path.iterdir()} <= set(FILES)


def test_routes_that_both_files_list_are_read_once():
    state = read_node("node-a", RECORDED, lambda message: None)
    assert len(set(state.routes)) == len(state.routes)
    assert {route.dst.version for route in state.routes} == {4, 6}


def test_a_default_route_is_of_the_family_of_its_file(tmp_path):
    for file in ("routes.json", "routes6.json"):
        (tmp_path / file).write_text('[{"dst": "default", "dev": "eth0"}]')
    state = read_node("node-a", tmp_path, unexpected)
    assert [route.dst.version for route in state.routes] == [4, 6]


def test_counters_are_written_when_asked(tmp_path):
    state = read_node("node-a", RECORDED, lambda message: None)
    write_node(state, tmp_path, counters=True)
    assert "[0:0] -A FORWARD -j ACCEPT" in (tmp_path / "iptables-save").read_text()


def test_writing_again_removes_what_is_gone(tmp_path):
    write_node(read_node("node-a", RECORDED, lambda message: None), tmp_path)
    write_node(NodeState("node-a", sysctls={"a.b": "1"}), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["sysctl"]


def test_bytes_that_are_not_utf8_come_back(tmp_path):
    line = b'-A FORWARD -m comment --comment "caf\xe9"\n'
    text = b"*filter\n:FORWARD ACCEPT [0:0]\n" + line + b"COMMIT\n"
    (tmp_path / "iptables-save").write_bytes(text)
    write_node(read_node("node-a", tmp_path, unexpected), tmp_path)
    assert line in (tmp_path / "iptables-save").read_bytes()


@pytest.mark.parametrize("file", ["ipvsadm-save"])
def test_what_is_not_modelled_is_told(tmp_path, file):
    told = []
    (tmp_path / "sysctl").write_text("net.ipv4.ip_forward = 1\n")
    (tmp_path / file).write_text("\n")
    read_node("node-a", tmp_path, told.append)
    assert told == []
    (tmp_path / file).write_text("create x hash:ip\n")
    read_node("node-a", tmp_path, told.append)
    assert told == [f"{tmp_path / file}: not modelled yet, left out"]


def test_warnings_of_a_save_are_told(tmp_path):
    told = []
    (tmp_path / "iptables-save").write_text("# Warning: iptables-legacy tables present\n")
    read_node("node-a", tmp_path, told.append)
    assert told == [f"{tmp_path / 'iptables-save'}:1: Warning: iptables-legacy tables present"]


@pytest.mark.parametrize("folder", ["", "nowhere"])
def test_no_folder_of_a_node(tmp_path, folder):
    with pytest.raises(UsageError, match=r"at least one of iptables-save, .* was expected in it"):
        read_node("node-a", tmp_path / folder, unexpected)


def test_errors_name_the_file(tmp_path):
    (tmp_path / "links.json").write_text("[\n{}\n,]")
    with pytest.raises(ParseError) as caught:
        read_node("node-a", tmp_path, unexpected)
    assert str(caught.value).startswith(f"{tmp_path / 'links.json'}:3: bad JSON")


def test_families_are_checked(tmp_path):
    rule = "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -s 10.0.0.1/32\nCOMMIT\n"
    (tmp_path / "ip6tables-save").write_text(rule)
    with pytest.raises(ParseError, match="IPv6 was expected"):
        read_node("node-a", tmp_path, unexpected)


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataplaneError, match="cannot write node node-a"):
        write_node(NodeState("node-a"), tmp_path / "file")


def test_nothing_is_left_half_written(tmp_path):
    (tmp_path / "sysctl").mkdir()  # cannot be replaced by a file
    state = NodeState("node-a", sysctls={"a.b": "1"}, iptables=iptables.parse("", "x"))
    with pytest.raises(UsageError):
        write_node(state, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["sysctl"]
