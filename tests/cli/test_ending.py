import os
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest

from dataplane.cli.ending import end_with
from dataplane.errors import ParseError, Source
from tests.cli.commands import CLIENT_PCAP, MANIFEST, ROOT, error


@pytest.mark.parametrize(
    ("raised", "status", "said"),
    [
        (ParseError("what", Source("a.yaml", 3)), 2, "dataplane: a.yaml:3: what\n"),
        (ParseError("two\nlines"), 2, "dataplane: two lines\n"),
        (click.UsageError("wrong"), 2, "Error: wrong\n"),
        (click.ClickException("wrong"), 2, "Error: wrong\n"),
        (KeyboardInterrupt(), 130, ""),
        (click.Abort(), 130, ""),
        (OSError(28, "No space left on device"), 2, "dataplane: output: No space left on device\n"),
        (FileNotFoundError(2, "No such file", "x"), 2, "dataplane: x: No such file\n"),
    ],
)
def test_an_error_is_a_line_and_a_status(
    raised: BaseException, status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def run() -> None:
        raise raised

    with pytest.raises(SystemExit) as ended:
        end_with(run)
    assert ended.value.code == status
    assert capsys.readouterr().err == said


@pytest.mark.parametrize(("returned", "status"), [(None, 0), (0, 0), (1, 1)])
def test_what_a_verb_returns_is_the_status(returned: int | None, status: int) -> None:
    with pytest.raises(SystemExit) as ended:
        end_with(lambda: returned)
    assert ended.value.code == status


def test_a_bug_is_a_traceback() -> None:
    def run() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        end_with(run)


REPLAY = [sys.executable, "-m", "dataplane", "replay", "-f", MANIFEST, "-r", CLIENT_PCAP]


def test_a_reader_that_leaves_is_no_error() -> None:
    files = [CLIENT_PCAP] * 20  # more than a pipe holds
    process = subprocess.Popen(
        [*REPLAY, *files], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT
    )
    assert process.stdout is not None
    process.stdout.read(100)
    process.stdout.close()
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0
    assert b"Traceback" not in said
    assert b"Broken pipe" not in said


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_said() -> None:
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(REPLAY, stdout=full, stderr=subprocess.PIPE, cwd=ROOT, check=False)
    assert ended.returncode == 2
    assert ended.stderr.splitlines()[-1] == b"dataplane: output: No space left on device"


def test_an_interrupt_ends_quietly(tmp_path: Path) -> None:
    pipe = tmp_path / "capture"
    os.mkfifo(pipe)  # nobody writes: the command waits
    process = subprocess.Popen(
        [*REPLAY, str(pipe)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT,
        # Whoever runs the tests may have them ignore it, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    assert process.stderr is not None
    process.stderr.readline()  # the first note: it has begun
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"Traceback" not in said


def test_a_broken_manifest_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text("apiVersion: v1\nkind: Pod\nmetadata:\n  name: [\n")
    assert error("replay", "-f", str(path), "-r", CLIENT_PCAP).startswith(f"dataplane: {path}:")
