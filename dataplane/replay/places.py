"""Devices that options name, as numbers."""

from collections.abc import Collection
from typing import TYPE_CHECKING

from dataplane.errors import UsageError
from dataplane.image.image import Image

if TYPE_CHECKING:
    from dataplane.replay.replay import Options


def entry_of(image: Image, options: "Options") -> int | None:
    if options.raw != (options.at is not None):
        raise UsageError("frames enter as they stand at a device: --raw and --at go together")
    if options.at is None:
        return None
    return _device(image, options.at)


def _device(image: Image, name: tuple[str, str]) -> int:
    device = image.device(*name)
    if device < 0:
        node, wanted = name
        if node not in image.names.nodes:
            raise UsageError(f"no node {node!r}; there are {', '.join(image.names.nodes)}")
        known = ", ".join(found for owner, found in image.names.devices if owner == node)
        raise UsageError(f"node {node} has no device {wanted!r}; it has {known}")
    return device


def tapped(image: Image, taps: Collection[tuple[str, str]] | str) -> frozenset[int]:
    if taps == "all":
        return frozenset(range(len(image.names.devices)))
    assert not isinstance(taps, str)
    return frozenset(_device(image, tap) for tap in taps)
