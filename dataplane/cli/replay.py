"""dataplane replay"""

from pathlib import Path

import click

from dataplane.cli import differing, ending, inputs, options, output, packets
from dataplane.cli.tally import tally
from dataplane.node.folder import write_node
from dataplane.replay import choose, tap_files
from dataplane.replay.difference import Difference
from dataplane.replay.replay import Options, replay
from dataplane.replay.result import Result
from dataplane.trace.describe import Describer
from dataplane.trace.summary import summary


@click.command(cls=options.Greedy)
@options.MANIFESTS
@options.NODES
@options.CAPTURES
@options.FORMAT
@click.option("-w", "--write", "tap_folder", metavar="DIR", help="Write a capture per device.")
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
@options.LENIENT
@options.PROXY_MODE
@click.option("-q", "--quiet", "is_quiet", is_flag=True, help="The summary only, and no notes.")
def command(
    files: tuple[str, ...],
    folders: tuple[str, ...],
    captures: tuple[str, ...],
    form: str,
    tap_folder: str | None,
    state_folder: str | None,
    at: str | None,
    is_raw: bool,
    is_listed: bool,
    is_one_way: bool,
    clients: tuple[str, ...],
    choice_file: str | None,
    seed: int,
    engine: str,
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
    given = inputs.read(files, folders, proxy_mode, warn, is_lenient)
    chosen = Options(
        seed=seed,
        choices=choose.read(choice_file, given.nodes) if choice_file else {},
        clients=given.addresses(clients),
        one_way=is_one_way,
        listed=is_listed,
        raw=is_raw,
        at=inputs.place(at) if at else None,
        taps="all" if tap_folder else (),
    )
    try:
        result = replay(given.nodes, captures, chosen, engine=engine, warn=warn)
    except Difference as difference:
        return differing.tell(difference)
    if tap_folder:
        tap_files.write(result, tap_folder)
    if state_folder:
        _write_states(result, Path(state_folder))
    _print(result, Describer(given.nodes, given.cluster), form, is_quiet)
    return ending.DONE


def _write_states(result: Result, folder: Path) -> None:
    for name, state in result.states().items():
        write_node(state, folder / inputs.folder_name(name), counters=True)


def _print(result: Result, describer: Describer, form: str, is_quiet: bool) -> None:
    if form == "jsonl":
        write_bytes = output.bytes_writer()
        for line in packets.json_lines(result, describer) if not is_quiet else ():
            write_bytes(line)
        return
    write = output.text_writer()
    for text in packets.text_lines(result, describer) if not is_quiet else ():
        write(text)
    blank = "" if is_quiet else "\n"
    write(f"{blank}{summary(tally(result, describer))}")
