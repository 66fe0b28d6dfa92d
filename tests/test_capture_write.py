import io
import stat
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.errors import CaptureError
from dataplane.replay.capture import FRAME, read, scan
from dataplane.replay.capture_write import write

from .capture_files import payloads

rows = st.lists(
    st.tuples(st.integers(0, 2**32 * 10**9 - 1), payloads, st.sampled_from([0, 1400])), max_size=5
)


def arrays(rows):
    """FRAME array and bytes of (time_ns, frame, bytes cut off by a snaplen)."""
    frames, here = np.zeros(len(rows), FRAME), 0
    for frame, (time, data, cut) in zip(frames, rows, strict=True):
        frame["time_ns"], frame["offset"] = time, here
        frame["captured"], frame["length"] = len(data), len(data) + cut
        here += len(data)
    return frames, b"".join(data for _, data, _ in rows)


@given(rows)
def test_read_inverts_write(tmp_path_factory, rows):
    path = str(tmp_path_factory.mktemp("written") / "out.pcap")
    write(path, *arrays(rows))
    data = Path(path).read_bytes()
    found = scan(data).frames
    read_back = [
        (time, data[offset : offset + captured], length - captured)
        for time, offset, captured, length, *_ in found.tolist()
    ]
    assert read_back == rows
    assert set(found["linktype"].tolist()) <= {1}


def test_many_batches(tmp_path):
    rows = [(i, b"%d" % i, 0) for i in range(40_000)]
    write(str(tmp_path / "out.pcap"), *arrays(rows))
    capture = read(str(tmp_path / "out.pcap"))
    assert capture.frames["time_ns"].tolist() == list(range(40_000))
    assert bytes(capture.data[-5:]) == b"39999"


def test_file_header_is_that_of_tcpdump(tmp_path):
    write(str(tmp_path / "out.pcap"), *arrays([]))
    header = "4d3cb2a1 0200 0400 00000000 00000000 00000400 01000000"
    assert (tmp_path / "out.pcap").read_bytes() == bytes.fromhex(header)


def test_old_file_stays_when_writing_fails(tmp_path):
    path = tmp_path / "out.pcap"
    path.write_bytes(b"old")
    frames, _ = arrays([(0, b"data", 0)])
    with pytest.raises(ValueError, match="out of bounds"):
        write(str(path), frames, b"")
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_time_after_2106_is_refused(tmp_path):
    path = str(tmp_path / "out.pcap")
    with pytest.raises(CaptureError) as error:
        write(path, *arrays([(0, b"", 0), (2**32 * 10**9, b"", 0)]))
    assert str(error.value) == f"{path}: packet 2 is later than 2106: pcap has no such time"


def test_unwritable_path_is_one_error(tmp_path):
    path = str(tmp_path / "missing" / "out.pcap")
    with pytest.raises(CaptureError) as error:
        write(path, *arrays([]))
    assert str(error.value) == f"{path}: No such file or directory"


def test_standard_output(monkeypatch):
    out = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(sys, "stdout", out)
    write("-", *arrays([(1, b"data", 0)]))
    assert out.buffer.getvalue()[-4:] == b"data"


def test_device_is_not_replaced():
    write("/dev/null", *arrays([(1, b"data", 0)]))
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
