"""`dataplane bench`: what it says, not what it measures."""

import json
import re
from pathlib import Path

import pytest

from dataplane.replay.synthetic_frames import PCAP_HEADER
from tests.cli.commands import CLIENT_PCAP, MANIFEST, error, objects, output, run

OWN = ("bench", "-f", MANIFEST, "-r", CLIENT_PCAP, "--runs", "1")
SYNTHETIC = ("bench", "--services", "2", "--flows", "6", "--packets", "40", "--runs", "1")
TIMED = ("ns_per_packet", "share")


def untimed(found: list[dict[str, object]]) -> list[dict[str, object]]:
    return [{key: value for key, value in row.items() if key not in TIMED} for row in found]


def test_a_table_of_stages() -> None:
    lines = output(*OWN, "-q").splitlines()
    assert lines[0] == "client.pcap: 192 packets"
    assert lines[1].split() == ["packets", "ns", "each", "packets/s", "share"]
    assert re.fullmatch(r"  read the capture +192 +[\d,.]+ +[\d,]+ +\d+%", lines[2])
    assert any(line.startswith("  on the recorded way: ") for line in lines)
    assert re.search(r"records [0-9a-f]{8}$", "\n".join(lines).strip())


def test_an_object_per_figure() -> None:
    found = objects(*SYNTHETIC)
    stages = [row["stage"] for row in found]
    assert stages[:3] == ["read", "5-tuples", "first packets"]
    assert {"established", "text", "jsonl", "captures", "rules", "ways"} <= set(stages)
    assert {row["bench"] for row in found} == {"2 Services, 64 B"}
    assert {row["seed"] for row in found} == {1519}
    shares = [row["share"] for row in found if row["stage"] in ("read", "first packets")]
    assert all(isinstance(share, float) and 0 <= share <= 1 for share in shares)
    ways = found[-1]
    assert ways["packets"] == 4 * 6 + 40
    assert isinstance(ways["recorded"], int) and ways["recorded"] > 20


def test_everything_but_times_is_the_same_again() -> None:
    assert untimed(objects(*SYNTHETIC)) == untimed(objects(*SYNTHETIC))


def test_other_seeds_are_other_packets() -> None:
    first, second = (objects(*SYNTHETIC, "--seed", seed)[0]["checksum"] for seed in ("1", "2"))
    assert first != second


def test_a_table_for_each_size() -> None:
    found = output("bench", "-q", "--services", "2", "3", "--flows", "4", "--packets", "9",
                   "--runs", "1")  # fmt: skip
    assert [line for line in found.splitlines() if "Services" in line] == [
        "2 Services, 64 B: 25 packets",
        "3 Services, 64 B: 25 packets",
    ]


def test_frames_of_mixed_sizes() -> None:
    assert objects(*SYNTHETIC, "--frames", "IMIX")[0]["bench"] == "2 Services, IMIX"


def test_only_the_first_packets() -> None:
    assert objects(*OWN, "--packets", "10")[0]["packets"] == 10


def test_progress_goes_to_standard_error() -> None:
    result = run(*OWN)
    assert "run 1 of 1" in result.stderr
    assert "run 1" not in result.stdout
    assert run(*OWN, "-q").stderr == ""


def test_a_saved_image(tmp_path: Path) -> None:
    path = str(tmp_path / "image")
    output("render", "-q", "-f", MANIFEST, "--image", path)
    by_image = ("bench", "--image", path, "-r", CLIENT_PCAP, "--runs", "1")
    assert objects(*by_image)[0]["checksum"] == objects(*OWN)[0]["checksum"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("-f", MANIFEST), "no capture: give one (-r CAPTURE)"),
        (("-r", CLIENT_PCAP), "no cluster: give manifests (-f FILE)"),
        (("-f", MANIFEST, "-r", "-"), "-: captures are read several times"),
        (("-f", MANIFEST, "-r", "/dev/null"), "/dev/null: captures are read several times"),
        (("-f", MANIFEST, "-r", "nothing.pcap"), "nothing.pcap: No such file"),
        (("-f", MANIFEST, "-r", CLIENT_PCAP, "--services", "3"), "--services are of synthetic"),
        (("--services", "0"), "0 is not in the range"),
        (("--runs", "0"), "0 is not in the range"),
        (("--packets", "0"), "0 is not in the range"),
        (("--frames", "9000"), "'9000' is not one of"),
    ],
)
def test_errors(words: tuple[str, ...], said: str) -> None:
    assert said in error("bench", "-q", *words)


def test_no_packets(tmp_path: Path) -> None:
    path = tmp_path / "none.pcap"
    path.write_bytes(PCAP_HEADER)
    assert error("bench", "-q", "-f", MANIFEST, "-r", str(path)).endswith("none.pcap: no packets")


def test_objects_are_one_to_a_line() -> None:
    assert all(json.loads(line) for line in output(*SYNTHETIC, "-o", "jsonl").splitlines())
