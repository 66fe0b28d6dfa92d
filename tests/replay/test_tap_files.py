from pathlib import Path

import pytest

from dataplane.cluster.naming import resolve
from dataplane.errors import UsageError
from dataplane.replay import capture, synthetic, tap_files
from dataplane.replay.replay import Options, replay
from dataplane.replay.result import Result
from tests.trace.records import two_nodes


def result(taps: str | list[tuple[str, str]]) -> Result:
    nodes, cluster = two_nodes()
    ends = resolve("pod/client", cluster), resolve("pod/web-2", cluster)
    connection = synthetic.between(*ends)
    return replay(nodes, synthetic.frames(connection), Options(taps=taps))


def test_each_device_has_its_frames_in_order(tmp_path: Path) -> None:
    found = result("all")
    written = tap_files.write(found, tmp_path)
    assert written == sorted(str(path) for path in tmp_path.iterdir())
    rows = found.output.rows
    assert len(rows) > 0
    for index in set(rows["device"].tolist()):
        name = tap_files.file_name(*found.image.names.devices[index])
        read = capture.open_captures([str(tmp_path / name)])
        expected = [
            found.output.frame(at) for at in range(len(rows)) if rows["device"][at] == index
        ]
        assert [read.raw(at) for at in range(len(read))] == expected


def test_only_devices_asked_for(tmp_path: Path) -> None:
    written = tap_files.write(result([("node-a", "flannel.1")]), tmp_path)
    assert [Path(path).name for path in written] == ["node-a-flannel.1.pcap"]


def test_no_name_leads_out_of_the_folder() -> None:
    assert tap_files.file_name("../a", "b/c\0") == ".._a-b_c_.pcap"


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="file: File exists"):
        tap_files.write(result("all"), tmp_path / "file")
