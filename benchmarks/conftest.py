"""`make bench`: one line per measurement, after the commit and the machine it is of.

The same as JSON goes to benchmarks/results/bench.jsonl.
"""

import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.report import HEAD, Measurement, commit, line, machine, save


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


def measurements(benchmarks: list[Any]) -> Iterator[Measurement]:
    for found in benchmarks:
        info = found.extra_info
        if "packets_per_second" not in info:
            continue
        path, _, name = found.fullname.rpartition("::")
        module = Path(path).stem.removeprefix("bench_")
        yield Measurement(
            f"{module}: {name.removeprefix('test_')}", info.get("packets", 0),
            info["ns_per_packet"], str(info["checksum"]),
        )  # fmt: skip


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    session = getattr(config, "_benchmarksession", None)
    if session is not None and session.benchmarks:
        terminalreporter.write_line("")
        for text in table(session.benchmarks):
            terminalreporter.write_line(text)
        save("bench", measurements(session.benchmarks))
