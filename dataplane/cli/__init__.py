"""The command: `dataplane VERB …`, one module per verb.

Nothing but click is imported here: `dataplane --help` is there before numpy would be.
A verb's module is loaded when the verb is called.
"""

import os
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import click

from dataplane.cli import ending

# NumPy's threads are for linear algebra, of which there is none here: a trace took 376 ms of
# processor time with them, and takes 257.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

VERBS = {
    "replay": "Replay captures through a cluster, and print what became of each packet.",
    "trace": "Explain one connection, or one packet of a capture, decision by decision.",
    "bench": "Measure what a replay costs on this machine, stage by stage.",
    "render": "Print what the nodes of a cluster are programmed with.",
    "version": "Print versions.",
}


class Verbs(click.Group):
    """A group whose commands are loaded when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in VERBS:
            return None
        from dataplane.node.lasting import lasting

        with lasting():
            command = import_module(f"dataplane.cli.{name}").command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # click would end with 1, which means something else here
            return ending.reader_left()

    def main(  # type: ignore[override]
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = "dataplane",
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Ends the process with 0, 1 or 2 (130 when interrupted), whatever happens but a bug."""

        def run() -> Any:
            return super(Verbs, self).main(args, prog_name, standalone_mode=False, **extra)

        return ending.end_with(run) if standalone_mode else run()


@click.group(
    cls=Verbs,
    name="dataplane",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
def main() -> None:
    """Replay packets through a Kubernetes cluster's dataplane, and explain every decision."""
