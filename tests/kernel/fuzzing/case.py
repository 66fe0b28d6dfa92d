"""One case of the fuzzer: rules, sysctls and frames; on disk, rules text and hex."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Case:
    flavour: str  # legacy, nft
    family: int
    rules: str  # of iptables-restore
    sysctls: dict[str, str] = field(default_factory=dict)
    frames: tuple[tuple[str, bytes], ...] = ()  # (device of the node at which it arrives, bytes)
    seed: str = ""


def write(case: Case, folder: Path, said: str = "") -> None:
    """rules, frames (a line each: device and hex), case.json, and what differed."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "rules").write_text(case.rules)
    frames = "".join(f"{device} {frame.hex()}\n" for device, frame in case.frames)
    (folder / "frames").write_text(frames)
    rest = {k: v for k, v in asdict(case).items() if k not in ("rules", "frames")}
    (folder / "case.json").write_text(json.dumps(rest, indent=1) + "\n")
    if said:
        (folder / "differs").write_text(said)


def read(folder: Path) -> Case:
    lines = [line.split() for line in (folder / "frames").read_text().splitlines()]
    return Case(
        rules=(folder / "rules").read_text(),
        frames=tuple((device, bytes.fromhex(frame)) for device, frame in lines),
        **json.loads((folder / "case.json").read_text()),
    )
