from pathlib import Path

import pytest

from dataplane.cli import inputs
from dataplane.errors import UsageError
from dataplane.node.folder import write_node
from dataplane.node.state import NodeState
from tests.cli.commands import CASE, MANIFEST


def read(files: list[str], folders: list[str]) -> inputs.Inputs:
    return inputs.read(files, folders, None, lambda message: None)


def test_manifests_program_nodes() -> None:
    given = read([MANIFEST], [])
    assert list(given.nodes) == ["node-a", "node-b"]
    assert given.cluster is not None


def test_dumps_alone_have_no_cluster() -> None:
    given = read([], [f"node-a={CASE / 'node-a'}"])
    assert list(given.nodes) == ["node-a"]
    assert given.cluster is None
    assert [str(each) for each in given.addresses(["192.0.2.1"])] == ["192.0.2.1"]
    with pytest.raises(UsageError, match="no pod default/client"):
        given.reference("pod/client")


def test_a_dump_takes_the_place_of_a_programmed_node(tmp_path: Path) -> None:
    write_node(NodeState("node-b", sysctls={"net.ipv4.ip_forward": "0"}), tmp_path)
    given = read([MANIFEST], [f"node-b={tmp_path}"])
    assert given.nodes["node-b"].sysctls == {"net.ipv4.ip_forward": "0"}
    assert given.nodes["node-a"] == read([MANIFEST], []).nodes["node-a"]


def test_names_are_looked_up_in_the_cluster() -> None:
    given = read([MANIFEST], [])
    found = given.addresses(["pod/client", "node/node-a"])
    assert {str(each) for each in found} == {"10.244.1.2", "192.168.50.11"}


@pytest.mark.parametrize("text", ["node-a", "=folder", "node-a=", ""])
def test_what_is_no_node(text: str) -> None:
    with pytest.raises(UsageError, match="NAME=FOLDER was expected"):
        read([], [text])


def test_nothing_to_replay_on() -> None:
    with pytest.raises(UsageError, match="give manifests"):
        read([], [])


@pytest.mark.parametrize("text", ["node-a", "node-a:", ":eth0", ""])
def test_what_is_no_place(text: str) -> None:
    with pytest.raises(UsageError, match="NODE:DEVICE was expected"):
        inputs.place(text)


def test_a_device_may_have_a_colon() -> None:
    assert inputs.place("node-a:eth0:1") == ("node-a", "eth0:1")


@pytest.mark.parametrize(
    ("name", "folder"), [("node-a", "node-a"), ("a/../b", "a_.._b"), ("..", "_.."), ("", "_")]
)
def test_a_nodes_name_stays_in_its_folder(name: str, folder: str) -> None:
    assert inputs.folder_name(name) == folder
