"""Whatever it is fed, the library answers or says what is wrong: no traceback, no crash, no hang.

Inputs are recorded ones with bytes changed, cut, repeated or put elsewhere: far enough inside
the formats to get past the first check.  tests/cli asks the same of the command.
"""

import subprocess
import sys
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from _fastpath.reason import Reason, Verdict
from dataplane.cluster.load import loads
from dataplane.control.program import program
from dataplane.errors import CaptureError, DataplaneError
from dataplane.image.image import assemble
from dataplane.node.folder import read_node
from dataplane.reference.engine import Engine as ReferenceEngine
from dataplane.replay.capture import Capture, merge, read, scan
from dataplane.replay.fast import FastEngine
from dataplane.replay.replay import Options, replay

CASE = Path(__file__).parent.parent / "pcaps" / "two-nodes"
NAMES = ("node-a", "node-b")
CAPTURES = ["client.pcap", "node-a-eth0.pcap", "outside.pcap", "node-b-flannel.1.pcap"]
PIECES = [b"", b"\0", b"\xff" * 4, b"\x00\x00\x00\x00", b"\x45\x00", b"\x60", b"\x4f", b"\x08\x00"]


@cache
def recorded_nodes():
    return {name: read_node(name, CASE / name, print) for name in NAMES}


@cache
def recorded_frames():
    """One frame of each length and protocol at several taps, ICMP errors and VXLAN among them."""
    found = {}
    for name in CAPTURES:
        data = (CASE / name).read_bytes()
        for row in scan(data).frames:
            start, size = int(row["offset"]), int(row["captured"])
            frame = data[start : start + size]
            found.setdefault((frame[23], frame[34:38], size), frame)
    return sorted(found.values(), key=len)[:60]


@st.composite
def changed(draw, original, pieces=PIECES):
    """A few places of `original` are something else."""
    data = original
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(data)))
        piece = draw(st.sampled_from(pieces) | st.binary(min_size=1, max_size=4))
        removed = draw(st.sampled_from([len(piece), len(piece), 0, 1, len(data)]))
        data = data[:start] + piece + data[start + removed :]
    return data


@st.composite
def hostile_frames(draw):
    """(frame, length on the wire)"""
    frame = draw(st.sampled_from(recorded_frames()).flatmap(changed))
    if draw(st.booleans()):  # past the header checksum, which most changes make wrong
        frame = with_right_header(frame)
    return frame, len(frame) + draw(
        st.sampled_from([0, 0, 0, 1, 1500, 70_000, 2**32 - 1 - len(frame)])
    )


def with_right_header(frame):
    from dataplane.reference.checksum import checksum

    size = (frame[14] & 15) * 4 if len(frame) > 33 else 0
    if size < 20 or len(frame) < 14 + size:
        return frame
    header = frame[14:24] + b"\0\0" + frame[26 : 14 + size]
    return frame[:24] + checksum(header).to_bytes(2) + frame[26:]


@cache
def entries():
    image = assemble(recorded_nodes())
    return [*image.names.devices, *((name, None) for name in NAMES)]


def is_sound(record):
    Verdict(record.verdict), Reason(record.reason)
    node, device = record.place
    return node in NAMES and (device is None or (node, device) in entries())


@given(st.lists(st.tuples(hostile_frames(), st.sampled_from(entries())), max_size=6))
def test_hostile_frames_at_any_place(traffic):
    fast, slow = FastEngine(recorded_nodes()), ReferenceEngine(recorded_nodes())
    for number, ((frame, length), entry) in enumerate(traffic):
        record = fast.run(number, frame, length, entry)
        assert is_sound(record)
        expected = slow.run(number, frame, length, entry)
        assert (record.verdict, record.reason) == (expected.verdict, expected.reason)
        assert list(record.steps) == list(expected.steps)
        assert list(record.taps) == list(expected.taps)


@pytest.mark.parametrize("size", [0, 1, 13, 14, 65_535, 66_000, 66_001, 262_144])
@pytest.mark.parametrize("filling", [b"\0", b"\xff", b"\x45", b"\x08\x00", b"\x86\xdd"])
def test_hostile_sizes(filling, size):
    engine = FastEngine(recorded_nodes())
    frame = (filling * (size // len(filling) + 1))[:size]
    for entry in entries():
        assert is_sound(engine.run(0, frame, size, entry))


CAPTURE = (CASE / "client.pcap").read_bytes()


def frames_of(data):
    found = scan(data)
    return merge([Capture("hostile", data, found.frames, found.interfaces, [])])


@settings(max_examples=60)
@given(changed(CAPTURE[:4000]), st.sampled_from([{}, {"raw": True, "at": ("node-a", "eth0")}]))
def test_hostile_captures(data, how):
    try:
        result = replay(
            recorded_nodes(), read_capture(data), Options(taps="all", events=True, **how)
        )
    except CaptureError:
        return
    for record in result:
        Verdict(record.verdict), Reason(record.reason)
    assert len(result) == len(result.frames)
    assert sum(result.verdicts().values()) == len(result)


def read_capture(data):
    with TemporaryDirectory() as folder:
        path = Path(folder) / "hostile.pcap"
        path.write_bytes(data)
        return merge([read(str(path))])


DUMPS = {path.name: path.read_bytes() for path in sorted((CASE / "node-a").iterdir())}
WORDS = [b"", b"\0", b"0", b"-1", b"4294967296", b"99999999999999999999", b"!", b'"', b"\n", b"{",
         b"null", b"[]", b"-j", b"-g KUBE-SERVICES", b"\nCOMMIT\n", b"/33", b"::", b"lo", b"eth0",
         b"external", b"\xc3"]  # fmt: skip


@st.composite
def edited_lines(draw, original):
    """Lines left out, doubled, moved, or with a word changed."""
    lines = original.split(b"\n") if original.count(b"\n") > 1 else original.split(b",")
    glue = b"\n" if original.count(b"\n") > 1 else b","
    for _ in range(draw(st.integers(1, 4))):
        at, to = (draw(st.integers(0, max(len(lines) - 1, 0))) for _ in range(2))
        match draw(st.sampled_from(["leave out", "double", "move", "change"])):
            case "leave out":
                del lines[at : at + 1]
            case "double":
                lines[to:to] = lines[at : at + 1]
            case "move":
                lines[to:to] = [lines.pop(at)] if lines else []
            case "change":
                line = draw(changed(lines[at] if lines else b"", WORDS))
                lines[at : at + 1] = [line]
    return glue.join(lines)


@pytest.mark.parametrize("file", DUMPS)
@settings(max_examples=40)
@given(data=st.data())
def test_hostile_dumps(file, data):
    mutated = data.draw(edited_lines(DUMPS[file]))
    with TemporaryDirectory() as folder:
        for name, content in DUMPS.items():
            (Path(folder) / name).write_bytes(mutated if name == file else content)
        try:
            node = read_node("node-a", folder, lambda _: None)
            nodes = recorded_nodes() | {"node-a": node}
            result = replay(nodes, frames_of(CAPTURE[:6000]), Options(taps="all", events=True))
        except DataplaneError:
            return
    assert len(list(result)) == len(result.frames)
    result.states()


YAML = (CASE / "cluster.yaml").read_bytes()


@settings(max_examples=30)
@given(edited_lines(YAML))
def test_hostile_manifests(data):
    try:
        cluster = loads(data.decode(errors="replace"), "cluster.yaml", lambda _: None)
        result = replay(program(cluster), frames_of(CAPTURE[:3000]))
    except DataplaneError:
        return
    assert len(list(result)) == len(result.frames)


def doubling(depth):
    """Chains that each jump twice into the next one: 2^depth ways through them."""
    chains = [f"X{i}" for i in range(depth)]
    lines = [":FORWARD ACCEPT [0:0]", *(f":{chain} - [0:0]" for chain in chains)]
    lines += ["-A FORWARD -j X0"]
    for i, chain in enumerate(chains[:-1], 1):
        lines += 2 * [f"-A {chain} -j X{i}"]
    return "\n".join(["*filter", *lines, "COMMIT", ""])


def test_a_table_that_doubles_its_way_64_times_is_given_up():
    texts = DUMPS | {"iptables-save": doubling(64).encode()}
    with TemporaryDirectory() as folder:
        for name, content in texts.items():
            (Path(folder) / name).write_bytes(content)
        node = read_node("node-a", folder, print)
    result = replay(recorded_nodes() | {"node-a": node}, frames_of(CAPTURE[:3000]))
    assert (Verdict.UNKNOWN, Reason.TRACE_FULL) in result.verdicts()


# ------------------------------------------------------------------ the command, as a process


def command(*words, data=b""):
    """(exit status, last line of what it says of itself)"""
    ended = subprocess.run(
        [sys.executable, "-m", "dataplane", *words],
        input=data, capture_output=True, timeout=60, cwd=CASE.parent.parent,
    )  # fmt: skip
    assert b"Traceback" not in ended.stderr, ended.stderr
    return ended.returncode, ended.stderr.decode().strip().splitlines()[-1:]


REPLAY = ("replay", "-f", str(CASE / "cluster.yaml"), "-r")


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"", 2),
        (b"\xd4\xc3\xb2\xa1", 2),
        (CAPTURE[:24], 2),  # no packets
        (CAPTURE[:24] + b"\xff" * 16, 2),  # a frame of four gigabytes
        (CAPTURE[:100], 0),  # the last record ends early
        (b"\x0a\x0d\x0d\x0a" + b"\xff" * 28, 2),
    ],
)
def test_a_process_ends_by_its_own_rules(data, status):
    found, said = command(*REPLAY, "-", data=data)
    assert found == status
    assert status == 0 or said[0].startswith("dataplane: ")


def test_a_process_whose_reader_goes_away_says_nothing():
    words = [sys.executable, "-m", "dataplane", *REPLAY, str(CASE / "client.pcap"), "-o", "jsonl"]
    running = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=CASE.parent.parent
    )
    running.stdout.read(10)
    running.stdout.close()
    assert b"Traceback" not in running.stderr.read()
    running.stderr.close()
    assert running.wait(60) in (0, 1, 2, 141)
