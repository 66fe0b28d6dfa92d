"""`make bench`: one line per measurement, after the commit and the machine it is of."""

import platform
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.report import HEAD, line

ROOT = Path(__file__).parent.parent


def commit() -> str:
    words = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    found = subprocess.run(words, capture_output=True, text=True, check=False)
    return found.stdout.strip() or "no commit"


def processor() -> str:
    for text in Path("/proc/cpuinfo").read_text().splitlines():
        if text.startswith("model name"):
            return text.partition(": ")[2]
    return platform.machine()


def table(benchmarks: list[Any]) -> Iterator[str]:
    yield f"commit {commit()}, Python {platform.python_version()}, {processor()}"
    yield HEAD
    module = ""
    for found in benchmarks:
        if "packets_per_second" not in found.extra_info:
            continue
        path, _, name = found.fullname.rpartition("::")
        if path != module:
            module = path
            yield Path(path).stem.removeprefix("bench_")
        yield line(f"  {name.removeprefix('test_')}", found.extra_info)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    session = getattr(config, "_benchmarksession", None)
    if session is not None and session.benchmarks:
        terminalreporter.write_line("")
        for text in table(session.benchmarks):
            terminalreporter.write_line(text)
