"""Tables say what JSON lines say, packet by packet and step by step."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from dataplane.cli.packets import captions
from dataplane.cluster.load import load
from dataplane.control.program import program
from dataplane.errors import UsageError
from dataplane.replay import coded
from dataplane.replay.capture import Frames
from dataplane.replay.replay import Options, replay
from dataplane.replay.result import Result
from dataplane.trace.describe import Describer
from dataplane.trace.jsonl import JsonLines, rfc3339
from tests import random_captures
from tests.cli.commands import CASE, CLIENT_PCAP, MANIFEST, error, output
from tests.clusters import clusters
from tests.test_engines_equal import rule_texts

pa = pytest.importorskip("pyarrow")
from pyarrow import parquet as pq  # noqa: E402

from dataplane.replay import parquet  # noqa: E402


def written(folder: Path, result: Result, describer: Describer) -> dict[str, list[dict[str, Any]]]:
    with parquet.ParquetFiles(folder, coded.Words(describer)) as files:
        files.take(result)
        files.finish(result)
    return tables(folder)


def tables(folder: Path) -> dict[str, list[dict[str, Any]]]:
    found = {}
    for path in sorted(folder.iterdir()):
        table = pq.read_table(path)
        if "time" in table.column_names:
            times = table["time"].cast(pa.int64())
            table = table.set_column(table.column_names.index("time"), "time", times)
        found[path.stem] = table.to_pylist()
    return found


def objects(result: Result, describer: Describer) -> list[dict[str, Any]]:
    lines = JsonLines(describer)
    return [
        json.loads(lines.line(result.record(at), each)) for at, each in enumerate(captions(result))
    ]


def assert_say_the_same(found: dict[str, list[dict[str, Any]]], told: list[dict[str, Any]]) -> None:
    steps: dict[int, list[dict[str, Any]]] = {}
    for step in found["steps"]:
        path, at = step.pop("path"), step.pop("step")
        steps.setdefault(path, []).append({k: v for k, v in step.items() if v is not None})
        assert len(steps[path]) == at + 1
    assert len(found["packets"]) == len(told)
    for row, packet in zip(found["packets"], told, strict=True):
        path, time_ns = row.pop("path"), row.pop("time")
        assert (rfc3339(time_ns) if time_ns is not None else None) == packet.pop("time")
        assert steps.get(path, []) == packet.pop("steps")
        packet |= {f"end_{name}": value for name, value in packet.pop("end").items()}
        del packet["changes"], packet["draws"]
        assert row == packet


@settings(max_examples=40)
@given(random_captures.captures(), random_captures.options(), clusters(rule_texts()))
def test_tables_say_what_lines_say(
    tmp_path_factory: pytest.TempPathFactory, frames: Frames, chosen: Options, nodes: Any
) -> None:
    describer, folder = Describer(nodes), tmp_path_factory.mktemp("tables")
    result = replay(nodes, frames, chosen)
    if int(result.columns["time_ns"].max()) < 2**63:
        assert_say_the_same(written(folder, result, describer), objects(result, describer))


def test_the_recorded_conversation(tmp_path: Path) -> None:
    cluster = load([MANIFEST])
    nodes = program(cluster)
    describer = Describer(nodes, cluster)
    result = replay(nodes, [CLIENT_PCAP, str(CASE / "outside.pcap")])
    found = written(tmp_path, result, describer)
    for row, flow in zip(found["flows"], result.flows, strict=True):
        assert row["flow"] == flow.index and row["packets"] == flow.packets
        assert row["initiator"] == str(flow.initiator)
        assert row["responder_port"] in (flow.responder_port, None)
        assert row["verdict"] == flow.verdict.name
        assert row["end_dst"] in (str(flow.end_dst), None)
        assert (row["node"] or "", row["device"]) == flow.place
    assert_say_the_same(found, objects(result, describer))


def test_small_windows_make_one_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "ROWS", 100)
    whole = ("replay", "-f", MANIFEST, "-r", CLIENT_PCAP, CLIENT_PCAP, "-q")
    output(*whole, "--parquet", str(tmp_path / "small"))
    monkeypatch.setattr(parquet, "ROWS", 1 << 20)
    output(*whole, "--parquet", str(tmp_path / "large"))
    assert tables(tmp_path / "small") == tables(tmp_path / "large")


def test_texts_are_dictionaries(tmp_path: Path) -> None:
    output("replay", "-f", MANIFEST, "-r", CLIENT_PCAP, "-q", "--parquet", str(tmp_path))
    schema = pq.read_schema(tmp_path / "packets.parquet")
    assert schema == parquet.PACKETS
    assert pa.types.is_dictionary(schema.field("verdict").type)


def test_later_than_an_arrow_timestamp() -> None:
    assert parquet._time(parquet.np.array([2**63], "u8")).to_pylist() == [None]


def test_no_half_of_a_table(tmp_path: Path) -> None:
    data = Path(CLIENT_PCAP).read_bytes()
    (tmp_path / "broken.pcap").write_bytes(data + b"\xff" * 100)
    folder = tmp_path / "tables"
    broken = ("replay", "-f", MANIFEST, "-q", "-r", str(tmp_path / "broken.pcap"))
    assert "corrupt at byte" in error(*broken, "--parquet", str(folder))
    assert list(folder.iterdir()) == []
    (tmp_path / "file").write_text("")
    assert "File exists" in error(*broken, "--parquet", str(tmp_path / "file"))


def test_without_pyarrow_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.delitem(sys.modules, "dataplane.replay.parquet")
    with pytest.raises(UsageError, match=r"pip install 'kube-dataplane\[parquet\]'"):
        import dataplane.replay.parquet  # noqa: F401
    found = error("replay", "-f", MANIFEST, "-r", CLIENT_PCAP, "-q", "--parquet", "x")
    assert found.startswith("dataplane: Parquet needs pyarrow")
