"""dataplane render"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from dataplane.cli import inputs, options, output
from dataplane.errors import UsageError
from dataplane.node.folder import texts, write_node
from dataplane.node.state import NodeState


@click.command(cls=options.Greedy)
@options.MANIFESTS
@click.option(
    "--node",
    "nodes",
    multiple=True,
    metavar="NAME[=FOLDER]…",
    help="Only this node; with a folder, the node as its own tools dumped it.",
)
@click.option("-o", "--output", "folder", metavar="DIR", help="Write DIR/NODE/iptables-save, ….")
@click.option("--image", "image_file", metavar="FILE", help="Save the nodes, ready to run.")
@options.LENIENT
@options.PROXY_MODE
@options.QUIET
def command(
    files: tuple[str, ...],
    nodes: tuple[str, ...],
    folder: str | None,
    image_file: str | None,
    is_lenient: bool,
    proxy_mode: str | None,
    is_quiet: bool,
) -> None:
    """Print what the nodes of a cluster are programmed with, as each node's own tools would."""
    dumped = [node for node in nodes if "=" in node]
    named = [node for node in nodes if "=" not in node]
    warn = output.warner(is_quiet)
    found = inputs.read(files, dumped, proxy_mode, warn, is_lenient).nodes
    chosen = _chosen(found, named)
    if image_file is not None:
        _save(chosen, image_file, warn)
    if folder is not None:
        for node in chosen:
            write_node(node, Path(folder) / inputs.folder_name(node.name))
    if folder is None and image_file is None:
        write = output.text_writer()
        for node in chosen:
            _print(node, write)


def _save(nodes: Sequence[NodeState], path: str, warn: output.Warn) -> None:
    from dataplane.image.image import assemble
    from dataplane.image.saved import save_image

    save_image(assemble({node.name: node for node in nodes}, warn=warn), path)


def _chosen(nodes: Mapping[str, NodeState], names: Sequence[str]) -> list[NodeState]:
    for name in names:
        if name not in nodes:
            raise UsageError(f"no node {name!r}; there are {', '.join(nodes)}")
    return [node for name, node in nodes.items() if not names or name in names]


def _print(node: NodeState, write: output.Write) -> None:
    for file, text in texts(node).items():
        if text:
            write(f"# {node.name}/{file}\n")
            write(text if text.endswith("\n") else f"{text}\n")
