from dataclasses import replace
from pathlib import Path

import pytest

from _fastpath.reason import Reason, Verdict
from dataplane.cli import differing
from dataplane.replay import capture, synthetic
from dataplane.replay.capture import Frames
from dataplane.replay.difference import Difference, compare
from dataplane.replay.replay import Options, replay
from tests.cli.commands import run
from tests.trace.records import two_nodes


def test_it_is_told_with_a_case_that_shows_it_again(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The engines agree; a record is changed by hand as if they did not."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    nodes, _ = two_nodes()
    connection = synthetic.Connection(
        "UDP", nodes["node-a"].addresses[-1].local, nodes["node-b"].addresses[-1].local, 53
    )
    frames = synthetic.frames(connection)
    fast = replay(nodes, frames, Options()).record(0)
    dropped = int(Verdict.DROPPED), int(Reason.NO_ROUTE)
    other = replace(fast, steps=fast.steps[:1], verdict=dropped[0], reason=dropped[1])
    found = compare(fast, other)
    assert found is not None

    def again(some: Frames) -> Difference | None:
        return difference if 0 in some.number - 1 else None

    difference = Difference(found, nodes, frames, Options(), again, 0, fast, other)
    assert differing.tell(difference) == 1
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith("dataplane: synthetic:1: the engines differ at step 2: ")
    assert "--- kernels" in said
    assert said[said.index("--- reference") + 3] == "= DROPPED NO_ROUTE " + " ".join(
        word for word in other.place if word
    )
    command = said[-1].removeprefix("see it again: dataplane ").split()
    assert len(capture.open_captures([command[-1]])) == 1
    assert run(*command).exit_code == 0  # they do agree
