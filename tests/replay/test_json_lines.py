"""JSON lines of windows are those of dataplane.trace.jsonl, byte for byte."""

from typing import Any

import pytest
from hypothesis import given, settings

from dataplane.cli.packets import captions
from dataplane.cluster.load import load
from dataplane.cluster.objects import Cluster
from dataplane.control.program import program
from dataplane.replay import coded, json_lines
from dataplane.replay.capture import Frames
from dataplane.replay.capture_stream import Windows
from dataplane.replay.replay import Options, replay, replay_windows
from dataplane.replay.result import Result
from dataplane.trace.describe import Describer
from dataplane.trace.jsonl import JsonLines
from tests import random_captures
from tests.cli.commands import CASE, MANIFEST
from tests.clusters import clusters
from tests.test_engines_equal import rule_texts


def expected(result: Result, describer: Describer) -> list[bytes]:
    lines = JsonLines(describer)
    return [lines.line(result.record(at), each) for at, each in enumerate(captions(result))]


class Written(list[bytes]):
    """What a JsonWindows writes."""

    def __init__(self, describer: Describer):
        super().__init__()
        words = coded.Words(describer)
        self.windows = json_lines.JsonWindows(words, lambda piece: self.append(bytes(piece)))

    def lines(self) -> list[bytes]:
        return b"".join(self).splitlines(keepends=True)


@settings(max_examples=60)
@given(random_captures.captures(), random_captures.options(), clusters(rule_texts()))
def test_lines_equal_those_of_records(frames: Frames, chosen: Options, nodes: Any) -> None:
    describer = Describer(nodes)
    result = replay(nodes, frames, chosen)
    written = Written(describer)
    written.windows.take(result)
    if not len(result.event_rows):
        assert written.lines() == expected(result, describer)


@pytest.fixture(scope="module")
def recorded() -> tuple[Any, Cluster]:
    cluster = load([MANIFEST])
    return program(cluster), cluster


@pytest.mark.parametrize("window", [1 << 16, 1 << 24])
def test_names_of_objects(
    recorded: tuple[Any, Cluster], window: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ports of Services and nodes have names of their own; tables grow from window to window."""
    monkeypatch.setattr(coded, "KEYS", 2)
    monkeypatch.setattr(json_lines, "OUT_BYTES", 64)
    nodes, cluster = recorded
    describer = Describer(nodes, cluster)
    captures = [str(CASE / name) for name in ("client.pcap", "outside.pcap")]
    written = Written(describer)
    for result in replay_windows(nodes, Windows(captures, window)):
        written.windows.take(result)
    whole = replay(nodes, captures)
    assert written.lines() == expected(whole, describer)
    assert b'"to":"svc/default/web:http"' in written.lines()[0]
