"""MAC addresses that manifests do not give: derived, so that every run has the same ones."""

from hashlib import sha1
from ipaddress import IPv4Address


def of_address(address: IPv4Address) -> str:
    """0a:58 and the four bytes of the address, as the CNI bridge plugin used to do it."""
    return _text(b"\x0a\x58" + address.packed)


def of_host_veth(namespace: str, pod: str) -> str:
    """0e and five bytes of the pod's name: the end of the cable that stays in the node."""
    return _text(b"\x0e" + sha1(f"{namespace}/{pod}".encode()).digest()[:5])


def host_veth_name(namespace: str, pod: str) -> str:
    return "veth" + sha1(f"{namespace}/{pod}".encode()).hexdigest()[:8]


def _text(octets: bytes) -> str:
    return octets.hex(":")
