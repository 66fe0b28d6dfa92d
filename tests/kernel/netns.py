"""One network namespace of the real kernel, held by a file descriptor.

A namespace made here has no name in /run/netns: it lives as long as a descriptor or a process
of ours refers to it, so the kernel itself takes it away, however the run ends.  Look into one
while it lives with `nsenter --net=/proc/PID/fd/N`, which is what `path` gives.
"""

import ctypes
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CLONE_NEWNET = 0x40000000  # linux/sched.h
LIBC = ctypes.CDLL(None, use_errno=True)


def setns(descriptor: int) -> None:
    if LIBC.setns(descriptor, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


def current() -> int:
    """A descriptor of the namespace that this thread is in."""
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


class Namespace:
    """A network namespace, and the processes started in it."""

    def __init__(self, name: str):
        self.name = name
        self.processes: list[subprocess.Popen[str]] = []
        self.senders: dict[str, socket.socket] = {}
        home = current()
        try:
            if LIBC.unshare(CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "unshare: network namespaces need root")
            self.descriptor = current()
        finally:
            setns(home)
            os.close(home)

    @property
    def path(self) -> str:
        return f"/proc/{os.getpid()}/fd/{self.descriptor}"

    @contextmanager
    def inside(self) -> Iterator[None]:
        """This thread is in the namespace: sockets, children and /proc/sys/net belong to it."""
        home = current()
        setns(self.descriptor)
        try:
            yield
        finally:
            setns(home)
            os.close(home)

    def run(self, *command: str, stdin: str = "", check: bool = True) -> str:
        """What the command prints.  Raises RuntimeError with its own words if it fails."""
        with self.inside():
            done = subprocess.run(command, input=stdin, capture_output=True, text=True)
        if check and done.returncode:
            raise RuntimeError(f"{self.name}: {' '.join(command)}: {done.stderr or done.stdout}")
        return done.stdout

    def start(self, *command: str, **popen: Any) -> "subprocess.Popen[str]":
        """A program that runs until the namespace is closed, or this process ends."""
        # The parent-death signal is for the ends that run no `finally`: SIGKILL, os._exit.
        assert threading.current_thread() is threading.main_thread()
        with self.inside():
            command = ("setpriv", "--pdeathsig", "KILL", "--", *command)
            process = subprocess.Popen(command, text=True, **popen)
        self.processes.append(process)
        return process

    def sysctl(self, name: str, value: str | None = None) -> str | None:
        """Read, or write, one sysctl of this namespace; None if it has none of that name."""
        # In a dotted name a slash stands for a dot: net.ipv4.conf.flannel/1.rp_filter
        path = Path("/proc/sys", name.translate(str.maketrans("./", "/.")))
        with self.inside():
            if not path.exists():
                return None
            if value is not None:
                path.write_text(value)
            return path.read_text().strip()

    def send(self, device: str, frame: bytes) -> None:
        """The frame leaves by the device."""
        if device not in self.senders:  # kept, since closing one waits for an RCU period
            with self.inside():
                sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
                sender.bind((device, 0))
            self.senders[device] = sender
        self.senders[device].send(frame)

    def close(self) -> None:
        for sender in self.senders.values():
            sender.close()
        self.senders.clear()
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            try:
                process.wait(2)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe:
                    pipe.close()
        self.processes.clear()
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1
