"""Options that several verbs have, and how they are read."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from dataplane.node.state import NodeState

LEAST_WINDOW, MOST_WINDOW = 1 << 16, 1 << 36
Decorated = TypeVar("Decorated", bound=Callable[..., Any])
Decorator = Callable[[Decorated], Decorated]


def _size(ctx: click.Context, param: click.Parameter, text: str) -> int:
    """Bytes, in powers of 1024 with a letter."""
    found = re.fullmatch(r"(\d{1,12})([KMG]?)", text.upper())
    size = int(found[1]) << {"": 0, "K": 10, "M": 20, "G": 30}[found[2]] if found else 0
    if not LEAST_WINDOW <= size <= MOST_WINDOW:
        raise click.BadParameter(f"{text!r}, but a size from 64K to 64G was expected", ctx, param)
    return size


MANIFESTS = click.option(
    "-f",
    "--filename",
    "files",
    multiple=True,
    metavar="FILE…",
    help="Manifests: files, directories, or - for standard input.",
)
NODES = click.option(
    "--node",
    "folders",
    multiple=True,
    metavar="NAME=FOLDER…",
    help="A node as its own tools dumped it; takes the place of the one made from manifests.",
)
IMAGE = click.option(
    "--image",
    "image_file",
    metavar="FILE",
    help="Nodes as `render --image` saved them, ready to run: trust the file as you trust a"
    " program. With -f its objects are named.",
)
LENIENT = click.option(
    "--lenient",
    "is_lenient",
    is_flag=True,
    help="Rules of a node's folder that cannot be read are told, and their outcome is unknown.",
)
PROXY_MODE = click.option(
    "--proxy-mode",
    metavar="MODE",
    help="kube-proxy's mode; the cluster's own configuration says it by default.",
)
CLIENTS = click.option(
    "--client",
    "clients",
    multiple=True,
    metavar="REF…",
    help="Who begins its flows, whatever is seen first: pod/NS/NAME, node/NAME, an address.",
)
CAPTURES = click.option(
    "-r",
    "--read",
    "captures",
    multiple=True,
    required=True,
    metavar="CAPTURE…",
    help="pcap or pcapng, also compressed; - for standard input.",
)
WINDOW = click.option(
    "--window",
    "window_bytes",
    callback=_size,
    default="4M",
    show_default=True,
    metavar="SIZE",
    help="How much of the captures is in memory at a time: 65536, 64K, 16M, 1G.",
)
CAPTURE = click.option(
    "-r", "--read", "capture", metavar="CAPTURE", help="pcap or pcapng, also compressed."
)
CHOOSE = click.option(
    "--choose",
    "choice_file",
    metavar="FILE",
    help="Take these choices instead of drawing: JSON lines.",
)
SEED = click.option(
    "--seed", type=click.IntRange(0, 2**64 - 1), default=0, help="What all chance hangs on."
)
FORMAT = click.option(
    "-o",
    "--output",
    "form",
    type=click.Choice(["text", "jsonl"]),
    default="text",
    help="Text for people, or one JSON object per packet.",
)
ENGINE = click.option(
    "--engine",
    type=click.Choice(["fast", "reference", "both"]),
    default="fast",
    help="The kernels, their specification, or both until they differ.",
)
QUIET = click.option("-q", "--quiet", "is_quiet", is_flag=True, help="Do not say what was assumed.")


def choices(path: str | None, nodes: "Mapping[str, NodeState]") -> dict[int, list[int]]:
    """Of --choose."""
    if path is None:
        return {}
    from dataplane.replay import choose

    return choose.read(path, nodes)


class Greedy(click.Command):
    """An option may be followed by several values, as a shell's `*.pcap` writes them."""

    GREEDY = ("-f", "--filename", "-r", "--read", "--node", "--client", "--services")

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, repeated(args, self.GREEDY))


def repeated(args: Sequence[str], greedy: Sequence[str]) -> list[str]:
    """-f a b c → -f a -f b -f c"""
    found: list[str] = []
    option = ""  # whose further values these are
    is_first = False
    for arg in args:
        if arg.startswith("-") and arg != "-":
            option, is_first = (arg, True) if arg in greedy else ("", False)
            found.append(arg)
        elif option and not is_first:
            found += [option, arg]
        else:
            found.append(arg)
            is_first = False
    return found
