"""dataplane trace"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import click

from dataplane.cli import inputs, options, output, packets
from dataplane.cli.inputs import Inputs
from dataplane.errors import UsageError
from dataplane.replay import synthetic
from dataplane.replay.capture import Frames, open_captures
from dataplane.replay.fast import NO_FLOW
from dataplane.replay.replay import Options, replay
from dataplane.replay.result import Result
from dataplane.trace.caption import Caption
from dataplane.trace.describe import Describer
from dataplane.trace.minimal import minimal
from dataplane.trace.text import text


@click.command()
@options.MANIFESTS
@options.NODES
@options.IMAGE
@options.CAPTURE
@options.FORMAT
@click.option("--minimal", "is_minimal", is_flag=True, help="One line per step, to compare.")
@click.option("--reply", "with_reply", is_flag=True, help="And the next packet that comes back.")
@click.option("--whole", "is_whole", is_flag=True, help="Every packet of the connection.")
@options.CLIENTS
@options.CHOOSE
@options.SEED
@options.LENIENT
@options.PROXY_MODE
@options.QUIET
@click.argument("words", nargs=-1, metavar="[FROM TO | NUMBER]")
def command(
    files: tuple[str, ...],
    folders: tuple[str, ...],
    image_file: str | None,
    capture: str | None,
    form: str,
    is_minimal: bool,
    with_reply: bool,
    is_whole: bool,
    clients: tuple[str, ...],
    choice_file: str | None,
    seed: int,
    is_lenient: bool,
    proxy_mode: str | None,
    is_quiet: bool,
    words: tuple[str, ...],
) -> None:
    """Explain one connection, or one packet of a capture, decision by decision.

    \b
    dataplane trace -f cluster.yaml pod/default/client svc/default/web:80
    dataplane trace -f cluster.yaml -r client.pcap 17

    FROM and TO are pod/NS/NAME, svc/NS/NAME:PORT, node/NAME or ADDRESS[:PORT][/udp]; without a
    port it is a ping.  NUMBER counts as tcpdump and Wireshark do.
    """
    warn = output.warner(is_quiet)
    given = inputs.read(files, folders, proxy_mode, warn, is_lenient, image_file)
    frames, index = _frames(given, capture, words)
    if not with_reply and not is_whole:
        frames = _up_to(frames, index)
    chosen = Options(
        seed=seed,
        choices=options.choices(choice_file, given.nodes),
        clients=given.addresses(clients),
        events=True,
    )
    result = replay(given.assembled, frames, chosen, warn=warn)
    wanted = _wanted(result, index, with_reply, is_whole)
    _print(result, wanted, Describer(given.nodes, given.cluster), form, is_minimal)


def _frames(given: Inputs, capture: str | None, words: Sequence[str]) -> tuple[Frames, int]:
    """What is replayed, and the index of the packet that is explained."""
    if capture is None:
        if len(words) != 2:
            raise UsageError("FROM and TO expected, or a capture (-r) and a packet's NUMBER")
        source, destination = (given.reference(word) for word in words)
        return synthetic.frames(synthetic.between(source, destination)), 0
    if len(words) != 1 or not words[0].isdecimal():
        raise UsageError(f"one NUMBER of a packet in {capture} expected")
    frames = open_captures([capture])
    number = int(words[0][:20])
    if not 0 < number <= len(frames):
        raise UsageError(f"packet {words[0][:20]}: {capture} holds {len(frames)}")
    return frames, number - 1


def _up_to(frames: Frames, index: int) -> Frames:
    """What came before decides what becomes of a packet; what comes after does not."""
    stop = index + 1
    return replace(
        frames,
        records=frames.records[:stop],
        source=frames.source[:stop],
        number=frames.number[:stop],
    )


def _wanted(result: Result, index: int, with_reply: bool, is_whole: bool) -> Iterator[int]:
    """The packets to be explained."""
    flow, way = (result.columns[name].tolist() for name in ("flow", "reply"))
    mine = [each for each in range(len(result)) if flow[each] == flow[index] != NO_FLOW]
    if is_whole:
        yield from mine or [index]
        return
    yield index
    back = [each for each in mine if each > index and way[each] != way[index]]
    if with_reply:
        yield from back[:1]


def _print(
    result: Result, wanted: Iterable[int], describer: Describer, form: str, is_minimal: bool
) -> None:
    captions = list(packets.captions(result))
    if form == "jsonl":
        _print_jsonl(result, wanted, describer, captions)
        return
    write, blank = output.text_writer(), ""
    for index in wanted:
        record, caption = result.record(index), captions[index]
        if is_minimal:
            write(f"{blank}{minimal(record, describer)}")
        else:
            write(f"{blank}{text(record, describer, caption)}")
        blank = "\n"


def _print_jsonl(
    result: Result, wanted: Iterable[int], describer: Describer, captions: Sequence[Caption]
) -> None:
    from dataplane.trace.jsonl import JsonLines

    write, lines = output.bytes_writer(), JsonLines(describer)
    for index in wanted:
        write(lines.line(result.record(index), captions[index]))
