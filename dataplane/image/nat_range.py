"""Translations as rows: ranges of addresses and ports."""

from ipaddress import ip_address, ip_network

from _fastpath.image import RangeFlag, TargetKind
from dataplane.image.encode import ZERO, Pair, pair
from dataplane.image.pools import Pools
from dataplane.image.target_rows import Options, Row, only
from dataplane.node.iptables import Option
from dataplane.node.iptables_values import dotted


def netmap(options: Options, family: int, pools: Pools) -> tuple[int, Row]:
    network = ip_network(only(options, "--to").values[0], strict=False)
    if network.version != family:
        raise ValueError(network)
    ends = pair(network.network_address), pair(network.broadcast_address)
    return TargetKind.TARGET_NETMAP, (*ends, 0, 0, 0, 0, RangeFlag.RANGE_MAP_IPS)


def dnat(options: Options, family: int, pools: Pools) -> tuple[int, Row]:
    return TargetKind.TARGET_DNAT, _range(options, "--to-destination", "")


def snat(options: Options, family: int, pools: Pools) -> tuple[int, Row]:
    return TargetKind.TARGET_SNAT, _range(options, "--to-source", "")


def masquerade(options: Options, family: int, pools: Pools) -> tuple[int, Row]:
    return TargetKind.TARGET_MASQUERADE, _range(options, "", "--to-ports")


def redirect(options: Options, family: int, pools: Pools) -> tuple[int, Row]:
    return TargetKind.TARGET_REDIRECT, _range(options, "", "--to-ports")


FLAGS = {
    "--random": RangeFlag.RANGE_PROTO_RANDOM,
    "--random-fully": RangeFlag.RANGE_PROTO_RANDOM_FULLY,
    "--persistent": RangeFlag.RANGE_PERSISTENT,
}


def _range(options: dict[str, Option], address_option: str, port_option: str) -> Row:
    flags, address, ports = 0, "", ""
    for name, option in options.items():
        if name in FLAGS:
            flags |= FLAGS[name]
        elif name == address_option:
            address, ports = _split(option.values[0])
        elif name == port_option:
            ports = option.values[0]
        else:
            raise KeyError(name)
    if address_option and not address and not ports:
        raise ValueError("no address: the rule's revision is newer than the tool that saved it")
    ends = ZERO, ZERO
    if address:
        first, _, last = address.partition("-")
        low_end = _pair(first)
        ends = low_end, _pair(last) if last else low_end
        if ends[0] > ends[1]:
            raise ValueError(address)
        flags |= RangeFlag.RANGE_MAP_IPS
    low, high, base = 0, 0, 0
    if ports:
        low, high, shifted = _ports(ports, address_option == "--to-destination")
        flags |= RangeFlag.RANGE_PROTO_SPECIFIED
        if shifted is not None:
            base = shifted
            flags |= RangeFlag.RANGE_PROTO_OFFSET
    return (*ends, base, 0, low, high, flags)


def _pair(text: str) -> Pair:
    number = dotted(text)
    return pair(ip_address(text)) if number is None else (0, number)


def _ports(text: str, may_shift: bool) -> tuple[int, int, int | None]:
    """First, last, and the port that stands for the first, of `80`, `80-90`, `80-90/1080`."""
    span, slash, base = text.partition("/")
    first, dash, last = span.partition("-")
    numbers = [int(first), int(last if dash else first), int(base) if slash else 0]
    if not numbers[0] <= numbers[1] or not all(0 <= number <= 65535 for number in numbers):
        raise ValueError(text)
    if slash and not (may_shift and dash):
        raise ValueError(text)
    return numbers[0], numbers[1], numbers[2] if slash else None


def _split(text: str) -> tuple[str, str]:
    """(address, ports) of `10.0.0.1:80-90`, `[fd00::1]:80`, `fd00::1`, `:80`."""
    if text.startswith("["):
        address, _, ports = text[1:].partition("]")
        return address, ports.removeprefix(":")
    if text.count(":") > 1:
        return text, ""
    address, _, ports = text.partition(":")
    return address, ports
