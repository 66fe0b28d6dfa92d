"""What it costs to tell what became of each packet: text, JSON lines, Parquet, captures per device.

Two kinds of traffic: the recorded conversation again and again, where words are soon known, and
flows of two packets, where they are always new.  Text and lines go nowhere: of a file, most of the
time is the disk's.  Tables and captures are files in a temporary folder.
"""

import os
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from benchmarks.bench_replay import APART_NS, CASE, PACKETS, programmed
from benchmarks.report import report
from benchmarks.traffic import START, tiled
from dataplane.cli.packets import Texts
from dataplane.cli.tally import Tally
from dataplane.cluster.load import load
from dataplane.replay.capture import FRAME, Capture, merge
from dataplane.replay.coded import Words
from dataplane.replay.json_lines import JsonWindows
from dataplane.replay.replay import Options, replay
from dataplane.replay.tap_files import TapFiles
from dataplane.trace.describe import Describer
from tests import frames as fr

TAPPED = 20_000  # packets; each passes seven devices


def conversation(packets):
    return tiled(str(CASE / "client.pcap"), packets, APART_NS)


def short_flows(packets):
    """A datagram and another one of each of many flows."""
    body = fr.ipv4("10.244.1.2", "10.244.2.3", 17, fr.udp("10.244.1.2", 0, "10.244.2.3", 0))
    frame = fr.ether("0a:58:0a:f4:01:02", "0a:58:0a:f4:01:01", b"\x08\x00", body)
    data = np.tile(np.frombuffer(frame, np.uint8), (packets, 1))
    number = np.arange(packets) // 2
    data[:, 34:38] = np.stack(
        [number >> 24, number >> 16 & 255, number >> 8 & 255, number & 255], 1
    )
    data[:, 40:42] = 0  # no checksum
    rows = np.zeros(packets, FRAME)
    rows["time_ns"] = START + np.arange(packets) * 1000
    rows["offset"], rows["linktype"] = np.arange(packets) * len(frame), 1
    rows["captured"] = rows["length"] = len(frame)
    return merge([Capture("short.pcap", data.tobytes(), rows, rows[:0], [])])


TRAFFIC = {"conversation": conversation, "short flows": short_flows}


@cache
def result(kind, packets=PACKETS, taps=()):
    return replay(programmed(), TRAFFIC[kind](packets), Options(taps=taps))


def describer():
    return Describer(programmed(), load([str(CASE / "cluster.yaml")]))


def text(folder, found):
    with Path(os.devnull).open("w") as file:
        file.writelines(Texts(describer()).lines(found))


def jsonl(folder, found):
    with Path(os.devnull).open("wb", buffering=0) as file:
        JsonWindows(Words(describer()), file.write).take(found)


def parquet(folder, found):
    from dataplane.replay.parquet import ParquetFiles

    with ParquetFiles(folder, Words(describer())) as files:
        files.take(found)
        files.finish(found)


def summary(folder, found):
    tally = Tally(describer())
    tally.take(found)
    tally.summary()


SINKS = {"text": text, "jsonl": jsonl, "parquet": parquet, "summary": summary}


@pytest.mark.parametrize("kind", TRAFFIC)
@pytest.mark.parametrize("sink", SINKS)
def test_sink(benchmark, tmp_path, sink, kind):
    if sink == "parquet":
        pytest.importorskip("pyarrow")
    found = result(kind)
    benchmark.pedantic(SINKS[sink], (tmp_path, found), rounds=5, warmup_rounds=1)
    report(benchmark, PACKETS, found.columns)


@pytest.mark.parametrize("kind", TRAFFIC)
def test_captures_per_device(benchmark, tmp_path, kind):
    """Frames a second, not packets: a packet is seen at several devices."""
    found = result(kind, TAPPED, "all")

    def write():
        with TapFiles(tmp_path) as files:
            files.take(found)
            return files.finish()

    benchmark.pedantic(write, rounds=5, warmup_rounds=1)
    report(benchmark, len(found.output.rows), found.output.rows, found.output.data)
