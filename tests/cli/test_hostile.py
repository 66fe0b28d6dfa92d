"""Whatever the command is given, it ends with 0, 1 or 2 and one line; never with a traceback.

Inputs are the recorded ones with a few bytes changed, cut, repeated or put elsewhere: far
enough inside the formats to get past the first check.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataplane.node.folder import FILES
from tests.cli.commands import CASE, CLIENT_PCAP, MANIFEST, run

CAPTURE = Path(CLIENT_PCAP).read_bytes()[:1500]  # a dozen frames
YAML = Path(MANIFEST).read_bytes()
DUMPS = {
    file: (CASE / "node-a" / file).read_bytes()
    for file in FILES
    if (CASE / "node-a" / file).is_file()
}
WORDS = [b"", b"\0", b"\xff" * 4, b"0", b"-1", b"4294967296", b"!", b'"', b"\n", b"{", b"[" * 50,
         b"null", b"- ", b": ", b"-j", b"-A KUBE-SERVICES", b"\xc3", b"../../x"]  # fmt: skip


@st.composite
def changed(draw: st.DrawFn, original: bytes) -> bytes:
    """A few places of `original` are something else."""
    data = original
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        length = draw(st.sampled_from([0, 1, 2, 4, 16, 100, len(data)]))
        piece = draw(st.sampled_from(WORDS) | st.binary(max_size=8))
        if draw(st.booleans()):  # something of its own, elsewhere
            origin = draw(st.integers(0, len(data)))
            piece = data[origin : origin + draw(st.sampled_from([1, 8, 60, 400]))]
        data = data[:start] + piece + data[start + length :]
    return data


def check(*args: str, stdin: bytes | None = None) -> None:
    """`run` raises what is not an ending."""
    ended = run(*args, stdin=stdin)
    assert ended.exit_code in (0, 1, 2)
    if ended.exit_code == 2:
        last = ended.stderr.splitlines()[-1]
        assert last.startswith(("dataplane: ", "Error: ")), ended.stderr


@given(changed(CAPTURE), st.sampled_from(["text", "jsonl"]))
def test_hostile_captures(data: bytes, form: str) -> None:
    check("replay", "-f", MANIFEST, "-r", "-", "-o", form, stdin=data)


@given(changed(CAPTURE))
def test_hostile_captures_at_a_device(data: bytes) -> None:
    at = ("--raw", "--at", "node-a:eth0")
    check("replay", "-f", MANIFEST, "-q", "-r", "-", *at, stdin=data)


@given(changed(YAML), st.booleans())
@settings(max_examples=30)
def test_hostile_manifests(data: bytes, only_render: bool) -> None:
    if only_render:
        check("render", "-f", "-", stdin=data)
    else:
        check("trace", "-f", "-", "pod/default/client", "svc/default/web:80", stdin=data)


@pytest.mark.parametrize("file", DUMPS)
@given(data=st.data())
@settings(max_examples=15)
def test_hostile_dumps(file: str, data: st.DataObject) -> None:
    mutated = data.draw(changed(DUMPS[file]))
    with TemporaryDirectory() as folder:
        for name, content in DUMPS.items():
            (Path(folder) / name).write_bytes(mutated if name == file else content)
        node = f"node-a={folder}"
        replay = ("replay", "-f", MANIFEST, "--node", node, "-r", CLIENT_PCAP)
        check(*replay, "-q", "--state", f"{folder}/state", "-w", f"{folder}/taps")
        check("render", "--node", node)


ARGUMENTS = ["pod/client", "svc/web", "svc/", "[::", "1.2.3.4:x", "-r", "-", "0", "\udcff", "\0",
             "--whole", "--seed", "-f", "node/node-a:30080"]  # fmt: skip


@given(st.lists(st.sampled_from(ARGUMENTS), max_size=4))
def test_hostile_arguments(words: list[str]) -> None:
    check("trace", "-f", MANIFEST, *words, stdin=b"")
