"""Elements of a set: `10.0.0.0/8,tcp:80,10.1.0.1` to SetElements, and back.

A range or prefix where the type holds single addresses stands for each of them, as ipset
prints them again.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address, summarize_address_range
from itertools import product
from math import prod

from dataplane.node import ipset_words as words
from dataplane.node.ipset_rows import Ipset, SetElement
from dataplane.node.iptables_values import integer, parse_interface

ELEMENTS_MAX = 1 << 20  # IPSET_MAX_RANGE
WORD = 0xFFFFFFFF
Parts = dict[str, object]  # members of SetElement


@dataclass(frozen=True)
class Masks:
    """What a set's options say of its elements' addresses and marks."""

    address: int  # of the first address: netmask, bitmask
    mark: int  # markmask
    bounds: tuple[int, int]  # `range` of a bitmap: first, last


@lru_cache(maxsize=256)
def masks_of(type_: str, family: int, options: tuple[tuple[str, str], ...]) -> Masks:
    found = dict(options)
    width = 32 if family == 4 else 128
    mask = (1 << width) - 1
    if "netmask" in found:
        mask ^= (1 << (width - int(found["netmask"]))) - 1
    if "bitmask" in found:
        mask = int(ip_address(found["bitmask"]))
    bounds = (0, (1 << 128) - 1)
    if "range" in found and type_ == "bitmap:port":
        bounds = words.port_range(found["range"])
    elif "range" in found:
        bounds = words.first_and_last(found["range"], 4)
    return Masks(mask, int(found.get("markmask", "0xffffffff"), 0), bounds)


def parse(text: str, owner: Ipset) -> list[SetElement]:
    """The elements that an `add` line puts into its set.

    raises  ValueError saying what was expected
    """
    kind = owner.type
    if kind == "list:set":
        return [SetElement(set_name=text)]
    masks = masks_of(kind, owner.family, owner.options)
    if kind == "bitmap:port":
        return [SetElement(port=port) for port in _bounded(_bitmap_ports(text), masks)]
    parts, written = owner.parts, text.split(",")
    if kind == "bitmap:ip,mac" and len(written) == 1:
        parts = ("ip",)  # the MAC address is learned from the first packet
    if len(written) != len(parts):
        raise ValueError(f"{kind.partition(':')[2]} was expected, not {text!r}")
    choices = [list(_part(part, written[at], at, owner, masks)) for at, part in enumerate(parts)]
    if prod(map(len, choices)) > ELEMENTS_MAX:
        raise ValueError(f"at most {ELEMENTS_MAX} elements were expected of one line")
    return list(dict.fromkeys(map(_element, product(*choices))))


def _element(combination: tuple[Parts, ...]) -> SetElement:
    members: Parts = {}
    for part in combination:
        members |= part
    return SetElement(**members)  # type: ignore[arg-type]


def _bitmap_ports(text: str) -> range:
    """bitmap:port keeps no protocol, whatever was written."""
    _, first, last = words.ports(text) if ":" in text else (6, *words.port_range(text))
    return range(first, last + 1)


def _bounded(found: range, masks: Masks) -> range:
    if found and not (masks.bounds[0] <= found[0] and found[-1] <= masks.bounds[1]):
        raise ValueError("an element inside the set's range was expected")
    return found


def _part(part: str, text: str, at: int, owner: Ipset, masks: Masks) -> list[Parts]:
    if part == "ip" and at == 0:
        return [{"network": found} for found in _addresses(text, owner, masks)]
    if part == "ip":
        first, last = words.first_and_last(text, owner.family)
        if first != last:
            raise ValueError(f"one address was expected, not {text!r}")
        return [{"second": words.one(first, owner.family)}]
    if part == "net":
        member = "network" if at == 0 else "second"
        return [{member: found} for found in _networks(text, owner, masks)]
    if part == "port":
        protocol, low, high = words.ports(text)
        if protocol == (words.ICMPV6 if owner.family == 4 else words.ICMP):
            raise ValueError(f"a protocol of IPv{owner.family} was expected")
        return [{"protocol": protocol, "port": port} for port in range(low, high + 1)]
    if part == "mac":
        mac = words.mac(text)
        if owner.type == "hash:mac" and not mac.strip("0:"):
            raise ValueError("a MAC address other than the null one was expected")
        return [{"mac": mac}]
    if part == "mark":
        return [{"mark": integer(text, WORD) & masks.mark}]
    name = text.removeprefix("physdev:")
    return [{"device": parse_interface(name), "is_physical": name != text}]


def _addresses(text: str, owner: Ipset, masks: Masks) -> Iterator[words.Network]:
    first, last = words.first_and_last(text, owner.family)
    # Masked addresses repeat with the mask's lowest bit: no need to meet each one.
    step = masks.address & -masks.address or 1
    if (last - first) // step >= ELEMENTS_MAX or (owner.family == 6 and first != last):
        raise ValueError(f"fewer addresses were expected than {text!r} holds")
    is_bitmap = owner.type.startswith("bitmap")
    if is_bitmap and not (masks.bounds[0] <= first <= last <= masks.bounds[1]):
        raise ValueError("an element inside the set's range was expected")
    found = {number & masks.address for number in range(first, last + 1, step)}
    found.add(last & masks.address)
    if owner.type == "hash:ip" and 0 in found:
        raise ValueError("an address other than the null one was expected")
    return (words.one(number, owner.family) for number in sorted(found))


def _networks(text: str, owner: Ipset, masks: Masks) -> list[words.Network]:
    """A range is cut into the fewest prefixes that make it up (ip_set_range_to_cidr)."""
    family = owner.family
    if "-" in text:
        first, last = (words.address(end, family) for end in words.first_and_last(text, family))
        return list(summarize_address_range(first, last))
    found = words.network(text, family)
    if found.prefixlen == 0 and owner.type != "hash:net,iface":
        raise ValueError("a prefix longer than /0 was expected")
    masked = int(found.network_address) & masks.address
    if masked != int(found.network_address):
        found = type(found)((masked, found.prefixlen))
    return [found]


def render(element: SetElement, parts: tuple[str, ...]) -> str:
    return ",".join(filter(None, (_text(element, part, at) for at, part in enumerate(parts))))


def _text(element: SetElement, part: str, at: int) -> str:
    if part in ("ip", "net"):
        found = element.network if at == 0 else element.second
        return words.text_of_network(found) if found else ""
    if part == "port" and element.port is not None:
        if element.protocol is None:
            return str(element.port)
        return words.text_of_port(element.protocol, element.port)
    if part == "mac":
        return (element.mac or "").upper()
    if part == "mark":
        return f"0x{element.mark or 0:08x}"
    if part == "iface":
        return f"{'physdev:' if element.is_physical else ''}{element.device}"
    return element.set_name or ""
