"""-m physdev: the bridge ports that a packet came by and leaves by, as bridge netfilter tells.

xt_physdev.c, physdev_mt.  What came by no bridge port, or past the hooks, has neither; where it
leaves is known once the bridge itself has forwarded it.
"""

from dataplane.node.iptables import Option
from dataplane.reference.match_words import Answer, Options, Unmodelled, by_name
from dataplane.reference.packet import Packet
from dataplane.reference.place import Place

NAMES = ("in", "out", "is-bridged", "is-in", "is-out")
KNOWN = tuple(f"--physdev-{name}" for name in NAMES)


def _physdev(place: Place, options: Options, packet: Packet) -> bool:
    asked = by_name(options, *KNOWN)
    if not asked:
        raise Unmodelled  # the kernel refuses it
    if packet.bridge_port is None:
        return all(option.negated for option in options)
    return all(_holds(option, packet) for option in options)


def _holds(option: Option, packet: Packet) -> bool:
    if option.name == "--physdev-out" and packet.bridge_port_out is None:
        return False  # `!` or not
    found = {
        "--physdev-in": _is_named(packet.bridge_port, option),
        "--physdev-out": _is_named(packet.bridge_port_out, option),
        "--physdev-is-bridged": packet.bridge_port_out is not None,
        "--physdev-is-in": True,
        "--physdev-is-out": packet.bridge_port_out is not None,
    }[option.name]
    return found != option.negated


def _is_named(device: str | None, option: Option) -> bool:
    if device is None or not option.values:
        return False
    wanted = option.values[0]
    return device.startswith(wanted[:-1]) if wanted.endswith("+") else device == wanted


ANSWERS: dict[str, Answer] = {"physdev": _physdev}
