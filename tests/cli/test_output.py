import os
import pty
import subprocess
import sys

import pytest

from tests.cli.commands import MANIFEST, ROOT

TRACE = [sys.executable, "-m", "dataplane", "trace", "-f", MANIFEST, "pod/client", "svc/empty"]
ESCAPE = b"\x1b["


def on_a_terminal(**environment: str) -> bytes:
    """What a terminal would be sent."""
    ours, theirs = pty.openpty()
    names = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    process = subprocess.Popen(
        TRACE,
        stdout=theirs,
        stderr=subprocess.DEVNULL,
        cwd=ROOT,
        env={**names, "TERM": "xterm-256color", **environment},
    )
    os.close(theirs)
    sent = b""
    try:
        while piece := os.read(ours, 65536):
            sent += piece
    except OSError:  # how Linux says that the other end is closed
        pass
    os.close(ours)
    assert process.wait(60) == 0
    return sent


def captured(**environment: str) -> bytes:
    return subprocess.run(
        TRACE, capture_output=True, cwd=ROOT, check=True, env={**os.environ, **environment}
    ).stdout


def test_a_terminal_gets_colours_and_the_same_text() -> None:
    sent = on_a_terminal()
    assert ESCAPE in sent
    plain = []
    for piece in sent.split(ESCAPE):
        plain.append(piece.partition(b"m")[2] if plain else piece)
    assert b"".join(plain).replace(b"\r\n", b"\n") == captured()


def test_no_color_is_heeded() -> None:
    assert ESCAPE not in on_a_terminal(NO_COLOR="1")


def test_a_pipe_gets_no_colours() -> None:
    assert ESCAPE not in captured()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_letters_that_an_encoding_lacks_do_not_stop_it(encoding: str) -> None:
    text = captured(PYTHONIOENCODING=encoding)
    assert b"10.244.1.2:40000 ? 10.96.10.99:80" in text
