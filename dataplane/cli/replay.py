"""dataplane replay"""

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dataplane.cli import differing, ending, inputs, options, output, packets, progress
from dataplane.cli.tally import Tally
from dataplane.node.folder import write_node
from dataplane.replay.capture_stream import Windows
from dataplane.replay.coded import Words
from dataplane.replay.difference import Difference
from dataplane.replay.replay import Options, replay, replay_windows
from dataplane.replay.result import Result
from dataplane.replay.tap_files import TapFiles
from dataplane.trace.describe import Describer
from dataplane.trace.summary import summary

if TYPE_CHECKING:
    from dataplane.replay.parquet import ParquetFiles


@click.command(cls=options.Greedy)
@options.MANIFESTS
@options.NODES
@options.IMAGE
@options.CAPTURES
@options.FORMAT
@click.option("-w", "--write", "tap_folder", metavar="DIR", help="Write a capture per device.")
@click.option(
    "--parquet", "table_folder", metavar="DIR", help="Write tables: packets, steps, flows."
)
@click.option("--state", "state_folder", metavar="DIR", help="Write what each node holds then.")
@click.option("--at", metavar="NODE:DEVICE", help="With --raw: where every frame enters.")
@click.option("--raw", "is_raw", is_flag=True, help="Inject every frame as it stands.")
@click.option(
    "--listed", "is_listed", is_flag=True, help="Begin with the connections that the nodes list."
)
@click.option("--one-way", "is_one_way", is_flag=True, help="Inject initiators' packets only.")
@options.CLIENTS
@options.CHOOSE
@options.SEED
@options.ENGINE
@options.WINDOW
@options.LENIENT
@options.PROXY_MODE
@click.option("-q", "--quiet", "is_quiet", is_flag=True, help="The summary only, and no notes.")
def command(
    files: tuple[str, ...],
    folders: tuple[str, ...],
    image_file: str | None,
    captures: tuple[str, ...],
    form: str,
    tap_folder: str | None,
    table_folder: str | None,
    state_folder: str | None,
    at: str | None,
    is_raw: bool,
    is_listed: bool,
    is_one_way: bool,
    clients: tuple[str, ...],
    choice_file: str | None,
    seed: int,
    engine: str,
    window_bytes: int,
    is_lenient: bool,
    proxy_mode: str | None,
    is_quiet: bool,
) -> int:
    """Replay captures through a cluster, and print what became of each packet.

    \b
    dataplane replay -f cluster.yaml -r client.pcap
    dataplane replay --node node-a=dump/a --node node-b=dump/b -r client.pcap -o jsonl
    """
    warn = output.warner(is_quiet)
    given = inputs.read(files, folders, proxy_mode, warn, is_lenient, image_file)
    chosen = Options(
        seed=seed,
        choices=options.choices(choice_file, given.nodes),
        clients=given.addresses(clients),
        one_way=is_one_way,
        listed=is_listed,
        raw=is_raw,
        at=inputs.place(at) if at else None,
        taps="all" if tap_folder else (),
    )
    try:
        if engine == "fast":
            windows = Windows(captures, window_bytes)
            results = replay_windows(given.assembled, windows, chosen, warn=warn)
            if progress.is_wanted(is_quiet):
                results = progress.watched(results, windows)
        else:
            results = iter([replay(given.assembled, captures, chosen, engine=engine, warn=warn)])
        describer = Describer(given.nodes, given.cluster)
        with Told(describer, form, tap_folder, table_folder, state_folder, is_quiet) as told:
            for result in results:
                told.take(result)
            told.finish()
    except Difference as difference:
        return differing.tell(difference)
    return ending.DONE


class Told(ExitStack):
    """What is told of a replay, and where, window by window."""

    def __init__(
        self,
        describer: Describer,
        form: str,
        tap_folder: str | None,
        table_folder: str | None,
        state_folder: str | None,
        is_quiet: bool,
    ):
        super().__init__()
        self._taps = self.enter_context(TapFiles(tap_folder)) if tap_folder else None
        words = Words(describer)
        self._tables = self._enter_tables(table_folder, words) if table_folder else None
        self._states = Path(state_folder) if state_folder else None
        self._packets = None if is_quiet else packets.writer(form, words)
        self._tally = Tally(describer) if form == "text" else None
        self._end = "" if is_quiet else "\n"
        self._reader_left: BrokenPipeError | None = None
        self._last: Result | None = None

    def _enter_tables(self, folder: str, words: Words) -> "ParquetFiles":
        from dataplane.replay.parquet import ParquetFiles  # pyarrow is slow to load, and optional

        return self.enter_context(ParquetFiles(folder, words))

    def take(self, result: Result) -> None:
        self._last = result
        if self._taps:
            self._taps.take(result)
        if self._tables:
            self._tables.take(result)
        if self._packets:
            self._print(self._packets, result)
        if self._tally:
            self._tally.take(result)

    def _print(self, write: packets.Write, result: Result) -> None:
        try:
            write(result)
        except BrokenPipeError as error:  # who reads has enough; files are still to be written
            if not (self._taps or self._tables or self._states):
                raise
            self._reader_left, self._packets = error, None

    def finish(self) -> None:
        if self._taps:
            self._taps.finish()
        if self._tables:
            self._tables.finish(self._last)
        if self._states and self._last:
            _write_states(self._last, self._states)
        if self._reader_left:
            raise self._reader_left
        if self._tally:
            output.text_writer()(f"{self._end}{summary(self._tally.summary())}")


def _write_states(result: Result, folder: Path) -> None:
    for name, state in result.states().items():
        write_node(state, folder / inputs.folder_name(name), counters=True)
