"""Colours for a terminal: what was delivered, what was dropped, what was translated."""

from typing import TextIO

from rich.console import Console
from rich.highlighter import RegexHighlighter
from rich.theme import Theme

from dataplane.cli import output

STYLES = {
    "trace.good": "green",
    "trace.bad": "bold red",
    "trace.unsure": "bold yellow",
    "trace.nat": "cyan",
    "trace.object": "blue",
    "trace.faint": "dim",
    "trace.hop": "bold",
}


class TraceHighlighter(RegexHighlighter):
    """Knows the words of dataplane.trace; the text itself stays as it is."""

    base_style = "trace."
    highlights = [  # noqa: RUF012  rich's own way
        r"(?P<good>\b(DELIVERED|FORWARDED|CONSUMED)\b|✔)",
        r"(?P<bad>\b(DROPPED|REJECTED)\b|✘)",
        r"\b(?P<unsure>UNKNOWN|SKIPPED)\b",
        r"(?P<nat>\b(un-)?[DS]NAT\b)",
        r"(?P<object>\b(pod|svc|node)/[\w./-]+(:[\w-]+)?)",
        r"(?P<faint>SKB_DROP_REASON_\w+)",
        r"(?m)^ (?P<hop>[\w.-]+)(?=$|,|  +from )",
    ]


def colour_writer(stdout: TextIO) -> output.Write:
    console = Console(file=stdout, highlighter=TraceHighlighter(), theme=Theme(STYLES))

    def write(text: str) -> None:
        console.print(text, end="", markup=False, soft_wrap=True)

    return write
