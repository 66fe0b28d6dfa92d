"""dataplane bench"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from dataplane.cli import bench_output, inputs, options, output
from dataplane.cli.bench_sides import Bench, measure
from dataplane.cli.inputs import Inputs
from dataplane.cluster import synthetic
from dataplane.control.program import program
from dataplane.errors import UsageError
from dataplane.image.image import Image, assemble
from dataplane.replay.replay import Options
from dataplane.replay.stages import Measured
from dataplane.replay.synthetic_flows import SIZES, Talk, established, opening
from dataplane.replay.synthetic_frames import capture, one_after_the_other
from dataplane.trace.describe import Describer

SERVICES = (10, 100, 1_000)
MACS = bytes.fromhex("020000000002 020000000001")  # the replay writes those that belong there
MOST_FLOWS = 1_000_000


@click.command(cls=options.Greedy)
@options.MANIFESTS
@options.NODES
@options.IMAGE
@click.option(
    "-r", "--read", "captures", multiple=True, metavar="CAPTURE…",
    help="Captures to measure with; without them and a cluster: synthetic ones.",
)  # fmt: skip
@click.option(
    "--services", multiple=True, type=click.IntRange(1, synthetic.SERVICES_MAX), metavar="N…",
    help="How many Services the synthetic clusters have.  [default: 10 100 1000]",
)  # fmt: skip
@click.option(
    "--flows", type=click.IntRange(1, MOST_FLOWS), default=2_000, show_default=True,
    help="How many connections the synthetic capture has.",
)  # fmt: skip
@click.option(
    "--frames", "mix", type=click.Choice(list(SIZES)), default="64 B", show_default=True,
    help="How long its frames are: 64 bytes, or 7 of 64, 4 of 594 and 1 of 1464.",
)  # fmt: skip
@click.option(
    "--packets", type=click.IntRange(1), default=50_000, show_default=True,
    help="At most so many packets, the first ones of a capture.",
)  # fmt: skip
@click.option(
    "--runs", type=click.IntRange(1, 1000), default=5, show_default=True,
    help="Of which the medians are taken.",
)  # fmt: skip
@options.CLIENTS
@click.option(
    "--seed", type=click.IntRange(0, 2**64 - 1), default=1519, show_default=True,
    help="What all chance hangs on, and the synthetic capture.",
)  # fmt: skip
@options.FORMAT
@options.WINDOW
@options.LENIENT
@options.PROXY_MODE
@options.QUIET
def command(
    files: tuple[str, ...],
    folders: tuple[str, ...],
    image_file: str | None,
    captures: tuple[str, ...],
    services: tuple[int, ...],
    flows: int,
    mix: str,
    packets: int,
    runs: int,
    clients: tuple[str, ...],
    seed: int,
    form: str,
    window_bytes: int,
    is_lenient: bool,
    proxy_mode: str | None,
    is_quiet: bool,
) -> None:
    """Measure on this machine what a replay costs, stage by stage, and how many rules are met.

    \b
    dataplane bench
    dataplane bench --services 10 10000 --flows 100000 --frames IMIX
    dataplane bench -f cluster.yaml -r client.pcap

    Processor time, medians of several runs.  A share is of what `replay -q` takes.
    """
    say, tell = _sayer(is_quiet), bench_output.writer(form)
    is_own = bool(files or folders or image_file or captures)
    if is_own and services:
        raise UsageError("--services are of synthetic clusters: they do not go with -f or -r")
    if not is_own:
        for count in services or SERVICES:
            with _synthetic(count, flows, packets, mix, seed) as (image, path):
                of = Measured(
                    image, [str(path)], Options(seed=seed), time.process_time_ns,
                    path.stat().st_size, window_bytes,
                )  # fmt: skip
                name = f"{count:,} Services, {mix}"
                tell(measure(Bench(name, of, Describer(image.states, None), seed, runs), say))
        return
    given = _given(captures, inputs.read(
        files, folders, proxy_mode, output.warner(is_quiet), is_lenient, image_file
    ))  # fmt: skip
    image = replace(given.image, seed=seed) if given.image else assemble(given.nodes, seed=seed)
    of = Measured(
        image, captures, Options(seed=seed, clients=given.addresses(clients)),
        time.process_time_ns, packets, window_bytes,
    )  # fmt: skip
    name = ", ".join(Path(path).name for path in captures)
    describer = Describer(given.nodes, given.cluster)
    tell(measure(Bench(name, of, describer, seed, runs), say))


def _given(captures: Sequence[str], given: Inputs) -> Inputs:
    if not captures:
        raise UsageError("no capture: give one (-r CAPTURE), or no cluster for a synthetic one")
    for path in captures:
        if not Path(path).is_file() and (path == "-" or Path(path).exists()):
            raise UsageError(f"{path}: captures are read several times, so each must be a file")
    return given


def _sayer(is_quiet: bool) -> output.Warn:
    def say(message: str) -> None:
        if not is_quiet:
            click.echo(f"dataplane: {message}", err=True)

    return say


@contextmanager
def _synthetic(
    services: int, flows: int, packets: int, mix: str, seed: int
) -> Iterator[tuple[Image, Path]]:
    """A cluster, and a capture of connections that open, and of `packets` packets then."""
    image = assemble(program(synthetic.cluster(services)), seed=seed)
    talk = Talk(
        int(synthetic.CLIENT), int(synthetic.FIRST_SERVICE), services, MACS, synthetic.PORT,
        has_udp=False,
    )  # fmt: skip
    some = talk.flows(min(flows, talk.most_flows))
    phases = [*opening(some), established(some, packets, mix, seed)]
    with TemporaryDirectory() as folder:
        path = Path(folder, "synthetic.pcap")
        path.write_bytes(capture(one_after_the_other(phases)))
        yield image, path
