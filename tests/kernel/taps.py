"""Frames in and out of the real kernel: packet sockets at many devices at once.

These are the rings tcpdump uses (AF_PACKET, TPACKET_V2), all held by one process: capture is on
when `Taps()` returns, the kernel copies each frame into the ring as it passes, and whatever is
there when it stops is read.  A plain `recv` would not do: the socket's queue holds a clone that
shares its bytes with the frame, and shows what was written into the header later on.

Not promiscuous, and that matters.  A promiscuous bridge hands a copy of every frame it bridges
to its own node; a frame that br_netfilter translated and readdressed is among them as one for
this host (PACKET_HOST), so the copy is routed, and meets FORWARD a second time as INVALID
(measured on 6.18; br_input.c, br_handle_frame_finish).  `tcpdump -i cni0` does change counters.
"""

import mmap
import socket
import struct
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from tests.kernel.netns import Namespace

ETH_P_ALL = 0x0003  # linux/if_ether.h
SOL_PACKET = 263  # and the rest: linux/if_packet.h
PACKET_ADD_MEMBERSHIP, PACKET_RX_RING, PACKET_STATISTICS, PACKET_VERSION = 1, 5, 6, 10
PACKET_MR_PROMISC, TPACKET_V2 = 1, 1
STATUS_USER, CHECKSUM_NOT_READY, VLAN_VALID = 1 << 0, 1 << 3, 1 << 4
HEADER = struct.Struct("=IIIHHIIHH")  # struct tpacket2_hdr, less its padding
ADDRESS_OFFSET = 32  # struct sockaddr_ll behind it
ADDRESS = struct.Struct("=HHiHB")  # … up to its sll_pkttype
BLOCK_BYTES = 1 << 18
PCAP_NANOSECONDS, PCAP_SNAPLEN, LINKTYPE_ETHERNET = 0xA1B23C4D, 262144, 1


class Frame(NamedTuple):
    """One frame at one tap."""

    time_ns: int  # since the epoch
    data: bytes
    is_outgoing: bool  # leaving by the device, as its owner sees it
    is_partial: bool  # its TCP or UDP checksum covers the pseudo header alone so far
    device_index: int = 0


class Tap:
    """One ring.  `read` gives the frames that came since it was last called.

    device  "" is every device of the namespace, in the order in which frames passed
    """

    def __init__(
        self, namespace: Namespace, device: str, frames: int, frame_bytes: int, promiscuous: bool
    ):
        self.name = f"{namespace.name} {device}"
        self.frame_bytes = frame_bytes
        per_block = BLOCK_BYTES // frame_bytes
        blocks = -(-frames // per_block)
        self.capacity = blocks * per_block
        self.next = 0
        with namespace.inside():
            protocol = 0 if device else socket.htons(ETH_P_ALL)  # 0: none yet
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, protocol)
            index = socket.if_nametoindex(device) if device else 0
        self.socket.setsockopt(SOL_PACKET, PACKET_VERSION, TPACKET_V2)
        ring = struct.pack("=IIII", BLOCK_BYTES, blocks, frame_bytes, self.capacity)
        self.socket.setsockopt(SOL_PACKET, PACKET_RX_RING, ring)
        self.ring = mmap.mmap(self.socket.fileno(), blocks * BLOCK_BYTES)
        if promiscuous:
            request = struct.pack("=iHH8s", index, PACKET_MR_PROMISC, 0, b"")
            self.socket.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, request)
        if device:
            self.socket.bind((device, ETH_P_ALL))

    def read(self) -> Iterator[Frame]:
        while True:
            start = self.next * self.frame_bytes
            status, size, kept, mac, _, seconds, nanoseconds, tci, tpid = HEADER.unpack_from(
                self.ring, start
            )
            if not status & STATUS_USER:
                return
            if kept < size:
                raise RuntimeError(f"{self.name}: a frame of {size} bytes was cut to {kept}")
            data = self.ring[start + mac : start + mac + size]
            if status & VLAN_VALID:  # the kernel holds the tag beside the frame
                data = data[:12] + struct.pack("!HH", tpid or 0x8100, tci) + data[12:]
            _, _, index, _, packet_type = ADDRESS.unpack_from(self.ring, start + ADDRESS_OFFSET)
            struct.pack_into("=I", self.ring, start, 0)  # the slot is the kernel's again
            self.next = (self.next + 1) % self.capacity
            yield Frame(
                seconds * 10**9 + nanoseconds,
                data,
                packet_type == socket.PACKET_OUTGOING,
                bool(status & CHECKSUM_NOT_READY),
                index,
            )

    def check_complete(self) -> None:
        counts = self.socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8)
        if dropped := struct.unpack("=II", counts)[1]:
            raise RuntimeError(f"{self.name}: the ring was full, {dropped} frames lost")

    def close(self) -> None:
        self.ring.close()
        self.socket.close()


class Taps:
    """Captures at every place at once.  places: tap name -> (namespace, device).

    frames       slots in each ring; a full ring is an error, not a gap
    frame_bytes  size of a slot, a power of two; about 80 of them are the kernel's header
    """

    def __init__(
        self,
        places: Mapping[str, tuple[Namespace, str]],
        frames: int = 1024,
        frame_bytes: int = 2048,
        promiscuous: bool = False,
    ):
        self.frames: dict[str, list[Frame]] = {name: [] for name in places}
        self.taps: dict[str, Tap] = {}
        try:
            for name, (namespace, device) in places.items():
                self.taps[name] = Tap(namespace, device, frames, frame_bytes, promiscuous)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Taps":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def drain(self, quiet_seconds: float = 0.02) -> dict[str, list[Frame]]:
        """Every frame so far, per tap, once none has come for `quiet_seconds`."""
        deadline = time.monotonic() + quiet_seconds
        while time.monotonic() < deadline:
            for name, tap in self.taps.items():
                if fresh := list(tap.read()):
                    self.frames[name] += fresh
                    deadline = time.monotonic() + quiet_seconds
            time.sleep(quiet_seconds / 10)
        for tap in self.taps.values():
            tap.check_complete()
        return self.frames

    def close(self) -> None:
        for tap in self.taps.values():
            tap.close()


def inject(namespace: Namespace, device: str, frame: bytes) -> None:
    """The frame leaves `namespace` by `device`; it arrives at whatever is connected there."""
    namespace.send(device, frame)


def write_pcap(path: Path, frames: Iterable[Frame]) -> None:
    """A capture with nanosecond timestamps."""
    header = (PCAP_NANOSECONDS, 2, 4, 0, 0, PCAP_SNAPLEN, LINKTYPE_ETHERNET)
    with path.open("wb") as out:
        out.write(struct.pack("<IHHiIII", *header))
        for frame in frames:
            seconds, nanoseconds = divmod(frame.time_ns, 10**9)
            size = len(frame.data)
            out.write(struct.pack("<IIII", seconds, nanoseconds, size, size) + frame.data)
