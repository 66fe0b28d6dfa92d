"""What is replayed on: a cluster from manifests, nodes from dumps, or both."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from dataplane.cli.output import Warn
from dataplane.cluster.load import load
from dataplane.cluster.naming import Reference, resolve
from dataplane.cluster.objects import Cluster
from dataplane.control.program import program
from dataplane.errors import UsageError
from dataplane.node.state import Address, NodeState

if TYPE_CHECKING:
    from dataplane.image.image import Image


class Inputs(NamedTuple):
    nodes: Mapping[str, NodeState]
    cluster: Cluster | None  # None: only dumps were given, and nothing has a name but nodes
    image: "Image | None" = None  # of the nodes, where it was saved before

    @property
    def assembled(self) -> "Mapping[str, NodeState] | Image":
        """What a replay takes."""
        return self.nodes if self.image is None else self.image

    def reference(self, text: str) -> Reference:
        """What `text` names.  Raises UsageError."""
        return resolve(text, self.cluster or Cluster())

    def addresses(self, texts: Sequence[str]) -> set[Address]:
        """All addresses of what is named."""
        return {address for text in texts for address in self.reference(text).addresses}


def read(
    files: Sequence[str],
    folders: Sequence[str],
    proxy_mode: str | None,
    warn: Warn,
    is_lenient: bool = False,
    image_file: str | None = None,
) -> Inputs:
    """Nodes of manifests, those of `NAME=FOLDER` in their place or beside them; or of an image.

    raises  DataplaneError of whatever is wrong with them
    """
    if image_file is not None:
        return _saved(image_file, files, folders, warn)
    if not files and not folders:
        raise UsageError("no cluster: give manifests (-f FILE) or nodes (--node NAME=FOLDER)")
    cluster = load(files, warn) if files else None
    nodes = program(cluster, proxy_mode=proxy_mode, warn=warn) if cluster else {}
    for folder in folders:
        from dataplane.node.folder import read_node  # all dialects of a node's tools

        name, path = _node_option(folder)
        nodes[name] = read_node(name, path, warn, is_lenient)
    return Inputs(nodes, cluster)


def _saved(path: str, files: Sequence[str], folders: Sequence[str], warn: Warn) -> Inputs:
    from dataplane.image.saved import load_image

    if folders:
        raise UsageError("--image holds all nodes: --node does not go with it")
    image = load_image(path)
    return Inputs(image.states, load(files, warn) if files else None, image)


def _node_option(text: str) -> tuple[str, str]:
    name, sign, path = text.partition("=")
    if not name or not sign or not path:
        raise UsageError(f"--node {text!r}, but NAME=FOLDER was expected")
    return name, path


def place(text: str) -> tuple[str, str]:
    """NODE:DEVICE, of --at."""
    node, colon, device = text.partition(":")
    if not node or not colon or not device:
        raise UsageError(f"--at {text!r}, but NODE:DEVICE was expected")
    return node, device


def folder_name(node: str) -> str:
    """A node's name as the name of a folder or part of a file's: it stays in its folder."""
    name = "".join("_" if letter in "/\0" else letter for letter in node)
    return f"_{name}" if name in ("", ".", "..") else name
