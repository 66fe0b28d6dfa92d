"""Forms of addresses and of what is translated to them: see iptables_forms."""

from ipaddress import AddressValueError, IPv4Address

from dataplane.node.iptables_forms import valued
from dataplane.node.iptables_rules import Option
from dataplane.node.iptables_values import (
    dotted,
    found_ipv4,
    found_network,
    network_text,
    parse_network,
    parse_port,
)


def address(option: Option) -> Option:
    return valued(option, address_text(option.values[0]))


def found_address(option: Option) -> Option:
    """As getaddrinfo reads one: `16` is 0.0.0.16, and 010.0.0.1 begins with an 8."""
    text = option.values[0]
    if ":" in text:
        return address(option)
    try:
        return valued(option, str(IPv4Address(found_ipv4(text))))
    except AddressValueError:
        raise ValueError("an address was expected") from None


def address_text(text: str) -> str:
    """An address without a mask, as inet_ntop writes it."""
    if "/" in text:
        raise ValueError("an address without a mask was expected")
    if dotted(text) is not None:
        return text
    return network_text(parse_network(text)).partition("/")[0]


def address_list(option: Option) -> Option:
    return valued(option, ",".join(map(address_text, option.values[0].split(","))))


def tested_address(option: Option) -> Option:
    """Host bits stay, and a mask of all ones is not printed."""
    written, slash, _ = option.values[0].partition("/")
    network = found_network(option.values[0])
    shown = network_text(found_network(written)).partition("/")[0]
    if not slash or network.prefixlen == network.max_prefixlen:
        return valued(option, shown)
    return valued(option, f"{shown}/{network.prefixlen}")


def masked_address(option: Option) -> Option:
    """Host bits stay, and the length is always printed."""
    length = parse_network(option.values[0]).prefixlen
    return valued(option, f"{address_text(option.values[0].partition('/')[0])}/{length}")


def mapped_network(option: Option) -> Option:
    return valued(option, network_text(parse_network(option.values[0])))


def address_range(option: Option) -> Option:
    first, dash, last = option.values[0].partition("-")
    if "/" in option.values[0]:
        raise ValueError("an address range FIRST-LAST was expected")
    low = address_text(first)
    return valued(option, f"{low}-{address_text(last) if dash else low}")


def prefix_length(option: Option, family: int) -> Option:
    """A length, or a mask of that length."""
    anywhere = "0.0.0.0" if family == 4 else "::"
    return valued(option, str(parse_network(f"{anywhere}/{option.values[0]}").prefixlen))


def nat_range(option: Option) -> Option:
    """DNAT and SNAT: `ADDRESS[-ADDRESS][:PORT[-PORT[/BASE]]]`, IPv6 addresses in [] before a
    port."""
    addresses, ports_text = _split_range(option.values[0])
    if not addresses and not ports_text:
        raise ValueError("an address or a port was expected")
    span = _address_span(addresses) if addresses else ""
    if not ports_text:
        return valued(option, span)
    bracketed = f"[{span}]" if ":" in span else span
    return valued(option, f"{bracketed}:{_port_span(ports_text)}")


def to_ports(option: Option) -> Option:
    """REDIRECT and MASQUERADE: `80` or `80-90`."""
    return valued(option, _port_span(option.values[0]))


def _split_range(text: str) -> tuple[str, str]:
    if text.startswith("["):
        addresses, close, rest = text[1:].partition("]")
        if not close or (rest and rest[0] != ":"):
            raise ValueError("[ADDRESS]:PORT was expected")
        return addresses, rest[1:]
    if text.count(":") > 1:
        return text, ""
    addresses, _, rest = text.partition(":")
    return addresses, rest


def _address_span(text: str) -> str:
    first, dash, last = text.partition("-")
    low, high = address_text(first), address_text(last if dash else first)
    return low if low == high else f"{low}-{high}"


def _port_span(text: str) -> str:
    """`80`, `80-90`, or `80-90/8080`, which shifts ports from 8080 on to 80 on."""
    span, slash, base = text.partition("/")
    first, dash, last = span.partition("-")
    low = parse_port(first)
    high = parse_port(last) if dash else low
    if low > high:
        raise ValueError("a port range FIRST-LAST was expected, the smaller first")
    shown = str(low) if low == high else f"{low}-{high}"
    return f"{shown}/{parse_port(base)}" if slash else shown
