"""One node of the real kernel between two links, asked fast: thousands of frames a second.

        hosts ──═══ eth0 ┌─node─┐ eth1 ═══── hosts

Both ends outside are one namespace that holds no addresses: whatever is sent there is a raw
frame, and whatever arrives there is kept.  The node knows its neighbours for good, so nobody
asks "who has?", and says nothing by itself.
"""

import socket
from collections.abc import Iterable
from typing import NamedTuple

from tests.kernel.namespaces import quiet_namespace

ETH_P_ALL = 3
SO_RCVBUFFORCE = 33
PACKET_OUTGOING = 4
BUFFER = 64 << 20
SIDES = ("eth0", "eth1")
MACS = {side: f"02:00:00:00:0{i}:01" for i, side in enumerate(SIDES)}  # the node's
HOST_MACS = {side: f"02:00:00:00:0{i}:02" for i, side in enumerate(SIDES)}
HOSTS = range(2, 10)  # last octets of the hosts on each link


def address(side: str, host: int, family: int = 4) -> str:
    number = SIDES.index(side)
    return f"10.0.{number}.{host}" if family == 4 else f"fd00:{number}::{host}"


class Sent(NamedTuple):
    side: str
    frame: bytes


class Router:
    """Close it, or use it as a context, and nothing is left."""

    def __init__(self) -> None:
        self.node = quiet_namespace("node", ipv6=True)
        self.outside = quiet_namespace("outside", ipv6=False)
        self.ears: dict[str, socket.socket] = {}
        # Its addresses are its own at once, and nobody is asked about them.
        for name, value in (
            ("accept_dad", "0"),
            ("dad_transmits", "0"),
            ("addr_gen_mode", "1"),
            ("mldv2_unsolicited_report_interval", "2000000000"),
        ):  # its groups
            self.node.sysctl(f"net.ipv6.conf.default.{name}", value)
        for side in SIDES:
            self._link(side)
        self.node.sysctl("net.ipv4.ip_forward", "1")
        self.node.sysctl("net.ipv6.conf.all.forwarding", "1")

    def __enter__(self) -> "Router":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for ear in self.ears.values():
            ear.close()
        self.outside.close()
        self.node.close()

    def _link(self, side: str) -> None:
        run = self.node.run
        run("ip", "link", "add", "dev", side, "address", MACS[side], "type", "veth", "peer", "name",
            side, "address", HOST_MACS[side], "netns", self.outside.path)  # fmt: skip
        for family in (4, 6):
            length = "24" if family == 4 else "64"
            run("ip", "addr", "add", f"{address(side, 1, family)}/{length}", "dev", side,
                *(("nodad",) if family == 6 else ()))  # fmt: skip
        run("ip", "link", "set", side, "up")
        self.outside.run("ip", "link", "set", side, "up")
        for family in (4, 6):
            for host in HOSTS:
                run("ip", "neigh", "replace", address(side, host, family), "lladdr",
                    HOST_MACS[side], "dev", side, "nud", "permanent")  # fmt: skip
        with self.outside.inside():
            ear = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            ear.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)
            ear.bind((side, ETH_P_ALL))
            ear.setblocking(False)
        self.ears[side] = ear

    def load(self, text: str, family: int = 4, flavour: str = "legacy") -> None:
        tool = "iptables" if family == 4 else "ip6tables"
        self.node.run(f"{tool}-{flavour}-restore", stdin=text)

    def send(self, frames: Iterable[Sent]) -> None:
        """The frames arrive at the node's devices, one after the other."""
        for side, frame in frames:
            self.outside.send(side, frame)

    def heard(self) -> dict[str, list[bytes]]:
        """Frames that left by each device since it was last asked."""
        return {side: list(self._heard(ear)) for side, ear in self.ears.items()}

    def _heard(self, ear: socket.socket) -> Iterable[bytes]:
        while True:
            try:
                frame, sender = ear.recvfrom(65600)
            except BlockingIOError:
                return
            # What is for an IPv6 group the node says by itself (MLD, RFC 2464 7).
            if sender[2] != PACKET_OUTGOING and frame[:2] != b"\x33\x33":
                yield frame


def ether(side: str, packet: bytes, family: int = 4) -> Sent:
    """A packet as a host on that side would send it to the node."""
    head = bytes.fromhex((MACS[side] + HOST_MACS[side]).replace(":", ""))
    return Sent(side, head + (b"\x08\x00" if family == 4 else b"\x86\xdd") + packet)
