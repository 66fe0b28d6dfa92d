"""Captures and other arrays as files for all sides."""

from pathlib import Path


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def write_all(folder: Path, name: str, parts: list[bytes]) -> list[Path]:
    return [write(folder / f"{name}-{number}", part) for number, part in enumerate(parts)]
