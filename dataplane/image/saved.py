"""An image in one file: written once, mapped in milliseconds by as many workers as there are.

    magic, format, size of the header, size of the file, checksum of the header
    header     JSON: where each section is and its checksum, names, what matches remember
    sections   at multiples of 64 bytes: the arrays as they are in memory, the names of chains,
               and each node's own texts, which are read when somebody asks for its state

Kernels trust an image.  The checksums tell damage of any kind, and nothing else: whoever can
write the file can write checksums too.  So open only images of your own; of others' `check`
says whether the arrays are what the nodes' texts make, which takes as long as assembling them.
"""

import json
import mmap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import astuple, dataclass
from enum import EnumType
from hashlib import blake2b
from operator import index
from pathlib import Path
from struct import Struct
from typing import Any
from zlib import crc32

import numpy as np

from _fastpath import image as numbers
from dataplane.errors import ParseError, Source, UsageError
from dataplane.image.forwarding import RouteName
from dataplane.image.image import Array, Image, Names, assemble
from dataplane.image.memory import MemoryRows
from dataplane.image.rule_names import ChainRows, RuleNames
from dataplane.node import folder
from dataplane.node.state import NodeState

MAGIC = b"dataplane image\n"
FORMAT = 1
HEAD = Struct("<16sIIQI")  # magic, format, size of the header, size of the file, checksum
ALIGNMENT = 64  # a cache line
DAMAGED = "the image is damaged: a checksum does not fit"

Place = tuple[int, int, int]  # of a section, after the header; its size; its checksum


def save_image(image: Image, path: str | Path) -> None:
    """Write it to a file, which appears whole or not at all.

    raises  UsageError where it cannot be written
    """
    sections = _Sections()
    header = {
        "numbers": _numbers(),
        "seed": image.seed,
        "arrays": {
            name: [_layout(array.dtype), len(array), sections.add(array.tobytes())]
            for name, array in image.arrays.items()
        },
        "names": _names_text(image.names),
        "chains": sections.add(_chains_text(image.names.rules)),
        "memory": image.memory,
        "texts": {
            name: {
                file: sections.add(folder.encoded(text))
                for file, text in folder.texts(state, counters=True).items()
                if text
            }
            for name, state in image.states.items()
        },
    }
    try:
        folder.replace_file(Path(path), _file(json.dumps(header).encode(), sections))
    except OSError as error:
        raise UsageError(f"cannot write: {error.strerror}", Source(str(path), 0)) from None


class _Sections:
    """What follows the header; places count from the first section's."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.size = 0

    def add(self, data: bytes) -> Place:
        start = self.size
        padded = data + bytes(-len(data) % ALIGNMENT)
        self.parts.append(padded)
        self.size += len(padded)
        return start, len(data), crc32(data)


def _file(header: bytes, sections: _Sections) -> bytes:
    header += b" " * (-(HEAD.size + len(header)) % ALIGNMENT)
    whole = HEAD.size + len(header) + sections.size
    head = HEAD.pack(MAGIC, FORMAT, len(header), whole, crc32(header))
    return b"".join([head, header, *sections.parts])


def _layout(dtype: np.dtype[Any]) -> str:
    """Names, kinds and places of a row's fields."""
    return f"{dtype.itemsize} {dtype.descr}"


def _numbers() -> str:
    """What the numbers in rows mean: a digest of the enums they are of."""
    found: dict[str, dict[str, int]] = {
        name: {member: kinds[member].value for member in kinds.__members__}
        for name, kinds in sorted(vars(numbers).items())
        if isinstance(kinds, EnumType)
    }
    return blake2b(repr(found).encode(), digest_size=16).hexdigest()


def _names_text(names: Names) -> dict[str, Any]:
    return {
        "nodes": names.nodes,
        "devices": names.devices,
        "routes": [astuple(route) for route in names.routes],
        "neighbours": names.neighbours,
        "sets": names.sets,
        "fdb": names.fdb,
    }


def _chains_text(names: RuleNames) -> bytes:
    return json.dumps(names.chains).encode()


@dataclass(frozen=True)
class Mapped:
    """The sections of an open image."""

    data: memoryview
    source: Source

    def place(self, place: Any) -> Place:
        """It lies within the file.  Raises ValueError, TypeError."""
        start, size, checksum = map(index, place)
        if not 0 <= start <= start + size <= len(self.data):
            raise ValueError(f"bytes {start} to {start + size} of {len(self.data)}")
        return start, size, checksum

    def section(self, start: int, size: int, checksum: int) -> memoryview:
        found = self.data[start : start + size]
        if crc32(found) != checksum:
            raise ParseError(DAMAGED, self.source)
        return found


def load_image(path: str | Path) -> Image:
    """The image of a file that `save_image` wrote.

    raises  UsageError where there is no such file; ParseError where it is damaged, or was
            written by another version
    """
    source = Source(str(path), 0)
    data = _mapped(path, source)
    header, first = _header(data, source)
    try:
        return _image(header, Mapped(memoryview(data)[first:], source))
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise ParseError(f"not an image that dataplane wrote: {error!r}", source) from None


def _mapped(path: str | Path, source: Source) -> mmap.mmap:
    try:
        with Path(path).open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise UsageError(f"cannot read: {error.strerror}", source) from None
    except ValueError as error:  # of no bytes, or a name with a NUL in it
        raise ParseError(f"not an image: {error}", source) from None


def _header(data: mmap.mmap, source: Source) -> tuple[dict[str, Any], int]:
    """The header, and where the sections begin."""
    if len(data) < HEAD.size or data[: len(MAGIC)] != MAGIC:
        raise ParseError(f"not an image; it would begin with {MAGIC.decode().strip()!r}", source)
    _, version, size, whole, checksum = HEAD.unpack_from(data)
    if version != FORMAT:
        raise ParseError(f"an image of format {version}; this is {FORMAT}: make it anew", source)
    if whole != len(data) or size > whole - HEAD.size:
        raise ParseError(f"{len(data)} bytes of an image of {whole}", source)
    text = data[HEAD.size : HEAD.size + size]
    if crc32(text) != checksum:
        raise ParseError(DAMAGED, source)
    try:
        header: dict[str, Any] = json.loads(text)
        known = header["numbers"] == _numbers()
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ParseError("the image has no header that can be read", source) from None
    if not known:
        raise ParseError("the image is of another version of dataplane: make it anew", source)
    return header, HEAD.size + size


def _image(header: dict[str, Any], mapped: Mapped) -> Image:
    place = mapped.place(header["chains"])

    def chains() -> list[ChainRows]:
        try:
            return [ChainRows(*row) for row in json.loads(bytes(mapped.section(*place)))]
        except (TypeError, ValueError, RecursionError):
            raise ParseError(DAMAGED, mapped.source) from None

    names = header["names"]
    memory = MemoryRows(*header["memory"])
    return Image(
        arrays=_arrays(header["arrays"], mapped),
        names=Names(
            nodes=names["nodes"],
            devices=_tuples(names["devices"]),
            rules=RuleNames(chains),
            routes=[RouteName(*route) for route in names["routes"]],
            neighbours=_tuples(names["neighbours"]),
            sets=_tuples(names["sets"]),
            fdb=_tuples(names["fdb"]),
        ),
        seed=header["seed"],
        memory=memory._replace(rows=[(*row[:-1], tuple(row[-1])) for row in memory.rows]),
        states=States(
            {
                name: {file: mapped.place(place) for file, place in files.items()}
                for name, files in header["texts"].items()
            },
            mapped,
        ),
    )


def _tuples(rows: list[list[Any]]) -> list[Any]:
    return [tuple(row) for row in rows]


def _arrays(places: Mapping[str, tuple[str, int, Place]], mapped: Mapped) -> dict[str, Array]:
    """Views of the mapped file; each of the layout that an image has today."""
    expected = {name: array.dtype for name, array in assemble({}).arrays.items()}
    if expected.keys() != places.keys():
        raise ParseError("the image has other arrays than today's: make it anew", mapped.source)
    arrays = {}
    for name, dtype in expected.items():
        layout, count, place = places[name]
        start, size, checksum = mapped.place(place)
        if layout != _layout(dtype) or count < 1 or size != count * dtype.itemsize:
            raise ParseError(
                f"the image has other {name} than today's: make it anew", mapped.source
            )
        if start % ALIGNMENT:
            raise ValueError(f"{name} at {start}")
        arrays[name] = np.frombuffer(mapped.section(start, size, checksum), dtype)
    return arrays


class States(Mapping[str, NodeState]):
    """Nodes of a saved image, each read from its own texts when it is asked for."""

    def __init__(self, places: Mapping[str, Mapping[str, Place]], mapped: Mapped):
        self._places, self._mapped = places, mapped
        self._read: dict[str, NodeState] = {}

    def __getitem__(self, name: str) -> NodeState:
        if name not in self._read:
            texts = {
                file: folder.decoded(bytes(self._mapped.section(*place)))
                for file, place in self._places[name].items()
            }
            where = Path(self._mapped.source.path) / name
            self._read[name] = folder.parse_texts(name, where, texts, lambda _: None, lenient=True)
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def check(image: Image, warn: Callable[[str], None] = lambda message: None) -> bool:
    """The arrays are those that the nodes make.  Only then may kernels run on another's image.

    raises  DataplaneError for nodes that no kernel would take
    """
    made = assemble(image.states, seed=image.seed, warn=warn)
    return made.memory == image.memory and all(
        array.tobytes() == image.arrays[name].tobytes() for name, array in made.arrays.items()
    )
