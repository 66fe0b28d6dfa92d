"""IPv6 addresses as sources: what the rules of RFC 6724 ask of each, as flags."""

from _fastpath.image import AddressFlag
from dataplane.node.state import InterfaceAddress, NodeState


def address_flags(address: InterfaceAddress, state: NodeState) -> int:
    """AddressFlag, of an address on a device of the node."""
    if address.local.version == 4:
        return 0
    is_optimistic = "optimistic" in address.flags
    is_avoided = "deprecated" in address.flags or (
        is_optimistic and not _takes_optimistic(state, address.dev)
    )
    wants_temporary = device_setting6(state, address.dev, "use_tempaddr") >= 2
    return int(
        AddressFlag.ADDRESS_UNUSABLE * ("tentative" in address.flags and not is_optimistic)
        | AddressFlag.ADDRESS_AVOIDED * is_avoided
        | AddressFlag.ADDRESS_FITTING * (("temporary" in address.flags) == wants_temporary)
        | AddressFlag.ADDRESS_OPTIMISTIC * is_optimistic
    )


def _takes_optimistic(state: NodeState, device: str) -> bool:
    """ipv6_use_optimistic_addr"""
    return all(
        setting6(state, "all", name) or device_setting6(state, device, name)
        for name in ("optimistic_dad", "use_optimistic")
    )


def setting6(state: NodeState, device: str, name: str, default: int = 0) -> int:
    for written in (device.replace(".", "/"), device):
        words = state.sysctls.get(f"net.ipv6.conf.{written}.{name}", "").split()
        if words:
            return int(words[0])
    return default


def device_setting6(state: NodeState, device: str, name: str) -> int:
    """A device starts with the value of conf.default."""
    return setting6(state, device, name, setting6(state, "default", name))
