"""The command, run in this process."""

import json
from pathlib import Path

from click.testing import CliRunner, Result

from dataplane.cli import main

ROOT = Path(__file__).resolve().parents[2]
CASE = ROOT / "pcaps" / "two-nodes"
MANIFEST = str(CASE / "cluster.yaml")
CLIENT_PCAP = str(CASE / "client.pcap")


def run(*args: str, stdin: bytes | None = None) -> Result:
    """Whatever it is given, the command ends by itself."""
    result = CliRunner().invoke(main, args, input=stdin)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def output(*args: str, stdin: bytes | None = None) -> str:
    result = run(*args, stdin=stdin)
    assert result.exit_code == 0, result.stderr
    return result.stdout


def objects(*args: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in output(*args, "-o", "jsonl").splitlines()]


def error(*args: str) -> str:
    """The one line that a failing command says last."""
    result = run(*args)
    assert result.exit_code == 2, (result.exit_code, result.stdout, result.stderr)
    assert result.stdout == ""
    return result.stderr.splitlines()[-1]
