"""The bytes of a capture file: mapped, and unpacked first if they are compressed.

What cannot be mapped (standard input, a pipe, compressed data) goes through an unnamed
temporary file, so memory stays bounded however much comes out.
"""

import bz2
import gzip
import lzma
import mmap
import sys
import tempfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import IO, NamedTuple

from dataplane.errors import CaptureError, Source

STDIN = "-"
PIECE_BYTES = 1 << 20
# Mapping with MAP_POPULATE and walking reads 8.9 GB/s from the page cache, faulting page by
# page 5.5 GB/s.  Larger files may not fit into memory, so they fault.
POPULATE_BYTES = 1 << 30

FOREIGN = {
    b"snoop\0\0\0": "Solaris snoop",
    b"btsnoop\0": "Bluetooth snoop",
    b"RTSS": "Microsoft Network Monitor 1",
    b"GMBU": "Microsoft Network Monitor 2",
    b"TRSNIFF data": "Sniffer",
    b"XCP\0": "NetXRay",
    b"iptrace ": "AIX iptrace",
    b"PK\3\4": "zip",
}

Bytes = bytes | mmap.mmap | memoryview


# At most so many bytes, from one read of what lies below; none at the end.
Read = Callable[[int], bytes]


class Compression(NamedTuple):
    name: str
    magic: bytes
    open: Callable[[IO[bytes]], Read]


def _zstd(file: IO[bytes]) -> Read:
    read: Read
    try:
        read = import_module("compression.zstd").ZstdFile(file).read1  # Python 3.14
    except ImportError:
        unpacker = import_module("zstandard").ZstdDecompressor()
        read = unpacker.stream_reader(file, read_across_frames=True).read1
    return read


def _lz4(file: IO[bytes]) -> Read:
    read: Read = import_module("lz4.frame").open(file).read1
    return read


COMPRESSIONS = [
    Compression("gzip", b"\x1f\x8b", lambda file: gzip.GzipFile(fileobj=file).read1),
    Compression("xz", b"\xfd7zXZ\0", lambda file: lzma.LZMAFile(file).read1),  # noqa: SIM115
    Compression("bzip2", b"BZh", lambda file: bz2.BZ2File(file).read1),
    Compression("zstd", b"\x28\xb5\x2f\xfd", _zstd),
    Compression("lz4", b"\x04\x22\x4d\x18", _lz4),
]


def read_bytes(path: str) -> tuple[Bytes, list[str]]:
    """The capture's bytes, unpacked, and warnings.  `-` is standard input.

    Raises CaptureError if it cannot be read or unpacked, or is of a format known by name
    and not supported.
    """
    source = Source(path, 0)
    try:
        with _open(path) as file:
            return _unpack(file, source)
    except OSError as error:
        raise CaptureError(error.strerror or str(error), source) from error


def _open(path: str) -> IO[bytes]:
    """A file that can be mapped."""
    if path == STDIN:
        if sys.stdin is None:
            raise CaptureError("standard input is closed", Source(path, 0))
        return _spool(sys.stdin.buffer.read)[0]
    if Path(path).is_fifo() or Path(path).is_char_device():
        with Path(path).open("rb") as pipe:
            return _spool(pipe.read)[0]
    return Path(path).open("rb")


def _unpack(file: IO[bytes], source: Source) -> tuple[Bytes, list[str]]:
    head = file.read(16)
    file.seek(0)
    compression = compression_of(head, source)
    if compression is None:
        return _map(file), []
    unpacked, is_whole = _spool(unpacker(compression, file, source))
    with unpacked:
        return _map(unpacked), [] if is_whole else [ends_early(compression)]


def compression_of(head: bytes, source: Source) -> Compression | None:
    """How a file is compressed that begins like this; None: it is not.

    Raises CaptureError if it is of a format known by name and not supported.
    """
    for magic, name in FOREIGN.items():
        if head.startswith(magic):
            raise CaptureError(f"a {name} file, but only pcap and pcapng are read", source)
    return next((each for each in COMPRESSIONS if head.startswith(each.magic)), None)


def ends_early(compression: Compression) -> str:
    return f"the {compression.name} data ends early"


def unpacker(compression: Compression, file: IO[bytes], source: Source) -> Read:
    """Reads what is in it, and raises EOFError where it ends early, CaptureError elsewhere."""
    try:
        unpack = compression.open(file)
    except ImportError as error:
        message = f"compressed with {compression.name}, and module {error.name} is not installed"
        raise CaptureError(message, source) from error

    def read(size: int) -> bytes:
        try:
            return unpack(size)
        except EOFError:
            raise
        except Exception as error:  # each unpacker has its own
            raise CaptureError(f"not {compression.name} data: {error}", source) from error

    return read


def _spool(read: Read) -> tuple[IO[bytes], bool]:
    """A temporary file with all there is to read, and whether that was all of it."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    is_whole = True
    try:
        while piece := read(PIECE_BYTES):
            file.write(piece)
    except EOFError:  # how the unpackers of the standard library say "truncated"
        is_whole = False
    file.seek(0)
    return file, is_whole


def _map(file: IO[bytes]) -> Bytes:
    size = file.seek(0, 2)
    if size == 0:
        return b""  # there is no such thing as a mapping of nothing
    populate = mmap.MAP_POPULATE if size <= POPULATE_BYTES else 0
    return mmap.mmap(file.fileno(), size, mmap.MAP_SHARED | populate, mmap.PROT_READ)
