"""`make bench`: one line per measurement, after the commit and the machine it is of."""

import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.report import HEAD, commit, line, machine


def table(benchmarks: list[Any]) -> Iterator[str]:
    yield f"commit {commit()}, Python {platform.python_version()}, {machine()}"
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
