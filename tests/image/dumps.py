"""The recorded node's dumps, with something changed in them."""

from pathlib import Path
from tempfile import TemporaryDirectory

from dataplane.image.image import assemble
from dataplane.node.folder import read_node

DUMP = Path(__file__).parents[2] / "pcaps" / "two-nodes" / "node-a"


def node_of(texts):
    """The node whose folder holds these files."""
    with TemporaryDirectory() as folder:
        for name, text in texts.items():
            (Path(folder) / name).write_text(text)
        return read_node("node-a", folder, print)


def dumped(file, old, new):
    """The recorded node with `old` replaced by `new`, once, in one of its files."""
    texts = {path.name: path.read_text() for path in DUMP.iterdir()}
    assert old in texts[file], f"{file} does not hold {old!r}"
    texts[file] = texts[file].replace(old, new, 1)
    return node_of(texts)


def assembled(**nodes):
    return assemble({name.replace("_", "-"): state for name, state in nodes.items()})
