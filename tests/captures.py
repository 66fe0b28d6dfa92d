"""Captures for tests: frames of chosen link types, one after the other, as `replay` takes them."""

from dataplane.replay import capture
from dataplane.replay.capture import Capture, Frames

from . import capture_files as files

SECOND = 10**9
START = 1_700_000_000


def capture_of(packets: list[files.Written], linktype: int = 1, name: str = "test.pcap") -> Capture:
    data = files.pcap(packets, magic=files.NANO, linktype=linktype, snaplen=262144)
    found = capture.scan(data)
    return Capture(name, data, found.frames, found.interfaces, [])


def frames_of(*frames: bytes, linktype: int = 1) -> Frames:
    """A millisecond apart."""
    packets = [files.frame(data, START, i * 1_000_000) for i, data in enumerate(frames)]
    return capture.merge([capture_of(packets, linktype)])
