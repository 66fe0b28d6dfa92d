"""The progress of a long replay is for a terminal on standard error, and changes no result."""

import io
import os
import sys
from pathlib import Path

import pytest
from rich.console import Console

from dataplane.cli import progress
from dataplane.cluster.load import load
from dataplane.control.program import program
from dataplane.replay.capture_stream import Windows
from dataplane.replay.replay import replay_windows
from tests.cli.commands import CLIENT_PCAP, MANIFEST, output


class Stream(io.StringIO):
    def __init__(self, is_terminal: bool):
        super().__init__()
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal


CASES = [  # stderr, stdout are terminals; quiet; NO_COLOR; TERM: wanted
    (True, False, False, "", "xterm", True),
    (False, False, False, "", "xterm", False),
    (True, True, False, "", "xterm", False),
    (True, False, True, "", "xterm", False),
    (True, False, False, "1", "xterm", False),
    (True, False, False, "", "dumb", False),
]


@pytest.mark.parametrize(("stderr", "stdout", "is_quiet", "no_color", "term", "wanted"), CASES)
def test_when_it_is_shown(
    monkeypatch: pytest.MonkeyPatch, stderr: bool, stdout: bool, is_quiet: bool, no_color: str,
    term: str, wanted: bool,
) -> None:  # fmt: skip
    monkeypatch.setattr(sys, "stderr", Stream(stderr))
    monkeypatch.setattr(sys, "stdout", Stream(stdout))
    monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setenv("TERM", term)
    assert progress.is_wanted(is_quiet) == wanted


def watched(after: float, monkeypatch: pytest.MonkeyPatch) -> tuple[int, str]:
    monkeypatch.setattr(progress, "AFTER_SECONDS", after)
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    windows = Windows([CLIENT_PCAP])
    results = replay_windows(program(load([MANIFEST])), windows)
    count = sum(len(result) for result in progress.watched(results, windows, console))
    return count, console.file.getvalue()  # type: ignore[attr-defined]


def test_speed_and_share_of_a_long_replay(monkeypatch: pytest.MonkeyPatch) -> None:
    count, shown = watched(0.0, monkeypatch)
    assert count == 192
    assert "packets/s" in shown and "100%" in shown


def test_a_short_replay_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert watched(1000.0, monkeypatch) == (192, "")


def test_results_are_the_same_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(progress, "AFTER_SECONDS", 0.0)
    plain = output("replay", "-f", MANIFEST, "-r", CLIENT_PCAP)
    monkeypatch.setattr(progress, "is_wanted", lambda is_quiet: True)
    leader, follower = os.openpty()
    with os.fdopen(follower, "w") as terminal, os.fdopen(leader, "rb", buffering=0) as screen:
        monkeypatch.setattr(progress, "_bar", lambda console: bar_on(terminal))
        assert output("replay", "-f", MANIFEST, "-r", CLIENT_PCAP) == plain
        assert b"packets/s" in screen.read(65536)


make_bar = progress._bar


def bar_on(terminal: object) -> object:
    return make_bar(Console(file=terminal, width=100))  # type: ignore[arg-type]
