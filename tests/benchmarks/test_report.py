"""Measurements as lines of JSON and as a table."""

import json
import zlib
from pathlib import Path

import numpy as np
import pytest

from benchmarks import report
from benchmarks.report import Measurement, checksum, save, table
from benchmarks.side_by_side import interleaved

ROWS = [
    Measurement("whole way", 1000, 40.0, "0badcafe", seed=1519, floor_ns=20.0, linux_ns=4000.0),
    Measurement("whole way", 1_000_000, 90.0, more={"payload": "IMIX"}),
]


def test_each_measurement_is_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "RESULTS", tmp_path / "results")
    for row in ROWS:
        path = save("peers", [row])
    first, second = map(json.loads, path.read_text().splitlines())
    assert (first["ratio_floor"], first["ratio_linux"]) == (2, 100)
    assert (first["bench"], first["size"], first["seed"]) == ("whole way", 1000, 1519)
    assert second["payload"] == "IMIX"
    assert not {"floor_ns", "ratio_floor", "growth", "more"} & second.keys()
    assert {"commit", "machine"} <= second.keys()


def test_the_table_has_the_columns_that_somebody_has() -> None:
    head, empty, names, rule, *rows = table(ROWS)
    assert head.endswith(", seed 1519")
    assert [name.strip() for name in names.strip("|").split("|")] == [
        "bench", "size", "ns_per_packet", "floor_ns", "ratio_floor", "linux_ns", "ratio_linux",
        "checksum",
    ]  # fmt: skip
    assert {len(row) for row in (names, rule, *rows)} == {len(names)}
    assert "1,000,000" in rows[1] and not empty


@pytest.mark.parametrize(
    "answers",
    [(b"abc",), (b"a", b"bc"), (np.frombuffer(b"abc", np.uint8),), (b"abc", np.zeros(0, "u4"))],
)
def test_a_checksum_is_of_all_bytes_in_order(answers) -> None:
    assert checksum(*answers) == f"{zlib.crc32(b'abc'):08x}"


def test_a_checksum_takes_records() -> None:
    rows = np.array([(1, 2), (3, 4)], [("a", "u1"), ("b", "u2")])
    assert checksum(rows) == checksum(rows.tobytes())


def test_sides_take_turns_and_the_first_turn_does_not_count() -> None:
    said = []

    def side(name: str, values: list[float]):
        def run() -> float:
            said.append(name)
            return values.pop(0)

        return run

    found = interleaved({"a": side("a", [99.0, 3, 1, 2]), "b": side("b", [99.0, 5, 5, 6])}, 3)
    assert found == {"a": 2, "b": 5}
    assert said == ["a", "b"] * 4


def test_a_document_takes_a_table_in_its_place(tmp_path: Path) -> None:
    path = tmp_path / "performance.md"
    path.write_text("before\n<!-- way -->\nold\n<!-- /way -->\nafter\n")
    for _ in range(2):
        report.document("way", ROWS, path)
    before, _, *rows, _, after = path.read_text().splitlines()
    assert (before, after) == ("before", "after")
    assert "old" not in rows and sum(row.startswith("| whole way") for row in rows) == 2
    with pytest.raises(ValueError, match="no place for the table 'other'"):
        report.document("other", ROWS, path)
