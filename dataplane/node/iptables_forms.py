"""Forms: each takes an option as it was written and returns it as iptables-save prints it.

None is returned for an option that would not be printed, since it says nothing.  A form
raises ValueError saying what was expected.
"""

from dataplane.node.iptables_names import (
    DSCP_CLASSES,
    LOG_LEVELS,
    TCP_FLAGS,
    TOS_NAMES,
)
from dataplane.node.iptables_rules import Option
from dataplane.node.iptables_values import (
    integer,
    normal_ports,
    parse_network,
    parse_port,
    parse_protocol,
)

WORD = 0xFFFFFFFF
PROBABILITY_UNIT = 1 << 31  # xt_statistic.c keeps a fraction of 31 bits
UNIT_SECONDS = {"day": 86400, "hour": 3600, "min": 60, "sec": 1}
UNITS = {"sec": "second", "min": "minute", "hour": "hour", "day": "day"}
LIMIT_SCALE = 10_000  # XT_LIMIT_SCALE
HASHLIMIT_SCALE = 1_000_000  # XT_HASHLIMIT_SCALE_v2


def valued(option: Option, *values: str, name: str = "") -> Option:
    return Option(name or option.name, values, option.negated)


# Numbers.


def number(option: Option, most: int = WORD) -> Option:
    return valued(option, str(integer(option.values[0], most)))


def number_range(option: Option, most: int = 65535) -> Option:
    """`5`, `5:`, `:5`, `5:9`."""
    first, colon, last = option.values[0].partition(":")
    if not colon:
        return number(option, most)
    low, high = integer(first or "0", most), integer(last or str(most), most)
    if low > high:
        raise ValueError("a range FIRST:LAST was expected, the smaller first")
    return valued(option, f"{low}:{high}")


def ports(option: Option) -> Option | None:
    written = normal_ports(option.values[0])
    return None if written == "0:65535" and not option.negated else valued(option, written)


def every_port(option: Option) -> Option:
    return valued(option, normal_ports(option.values[0]))


def port_list(option: Option) -> Option:
    """multiport: up to 15 ports, a range counting as two."""
    found = [port_or_range(part) for part in option.values[0].split(",")]
    if sum(1 + (":" in port) for port in found) > 15:
        raise ValueError("at most 15 ports were expected")
    return valued(option, ",".join(found))


def port_or_range(text: str) -> str:
    first, colon, last = text.partition(":")
    if not colon:
        return str(parse_port(first))
    low, high = parse_port(first), parse_port(last)
    if low >= high:
        raise ValueError("a port range FIRST:LAST was expected, the smaller first")
    return f"{low}:{high}"


def to_ports(option: Option) -> Option:
    """REDIRECT and MASQUERADE: `80` or `80-90`."""
    return valued(option, _port_span(option.values[0]))


def probability(option: Option) -> Option:
    """Rounded to what the kernel keeps, and printed as that fraction."""
    try:
        wanted = float(option.values[0])
    except ValueError:
        wanted = -1.0
    if not 0 <= wanted <= 1:
        raise ValueError("a probability from 0 to 1 was expected")
    kept = int(wanted * PROBABILITY_UNIT + 0.5)
    return valued(option, f"{kept / PROBABILITY_UNIT:.11f}")


# Marks and other masked values.


def masked(text: str, most: int = WORD) -> tuple[int, int]:
    """`VALUE` or `VALUE/MASK`; the mask is all ones when it is not written."""
    value, slash, mask = text.partition("/")
    return integer(value, most), integer(mask, most) if slash else most


def mark(option: Option) -> Option:
    value, mask = masked(option.values[0])
    return valued(option, hex(value) if mask == WORD else f"{value:#x}/{mask:#x}")


def masked_mark(option: Option) -> Option:
    value, mask = masked(option.values[0])
    return valued(option, f"{value:#x}/{mask:#x}")


def set_xmark(verb: str, option: Option) -> Option:
    """Every way to change a mark is `mark = (mark & ~MASK) ^ VALUE` (xt_mark.c, mark_tg)."""
    value, mask = masked(option.values[0])
    value, mask = {
        "xset": (value, mask),
        "set": (value, value | mask),
        "and": (0, ~value & WORD),
        "or": (value, value),
        "xor": (value, 0),
    }[verb]
    return valued(option, f"{value:#x}/{mask:#x}", name="--set-xmark")


def hex_mask(option: Option) -> Option:
    return valued(option, hex(integer(option.values[0], WORD)))


def tos(option: Option) -> Option:
    text = option.values[0]
    named = TOS_NAMES.get(text.lower())
    value, mask = masked(text, 255) if named is None else (named, 0x3F)
    return valued(option, f"0x{value:02x}/0x{mask:02x}")


def set_tos(verb: str, option: Option) -> Option:
    value = integer(option.values[0], 255)
    value, mask = {"and": (0, ~value & 255), "or": (value, value), "xor": (value, 0)}[verb]
    return valued(option, f"0x{value:02x}/0x{mask:02x}", name="--set-tos")


def dscp(option: Option) -> Option:
    return valued(option, f"0x{integer(option.values[0], 63):02x}")


def dscp_class(option: Option) -> Option:
    value = DSCP_CLASSES.get(option.values[0].lower())
    if value is None:
        raise ValueError("a DiffServ class such as EF or AF21 was expected")
    name = option.name.removesuffix("-class")
    return valued(option, f"0x{value:02x}", name=name)


# Lists of names.


def names(known: tuple[str, ...], option: Option) -> Option:
    """A comma list, in the order in which it is printed."""
    upper = known[0].isupper()
    given = {part.upper() if upper else part.lower() for part in option.values[0].split(",")}
    if not given <= set(known):
        raise ValueError(f"a list of {', '.join(known)} was expected")
    return valued(option, ",".join(name for name in known if name in given))


def tcp_flags(option: Option) -> Option:
    return valued(option, *(flags(value) for value in option.values))


def flags(text: str) -> str:
    given = {part.upper() for part in text.split(",")}
    if given in ({"NONE"}, {"ALL"}):
        return "NONE" if given == {"NONE"} else ",".join(TCP_FLAGS)
    if not given <= set(TCP_FLAGS):
        raise ValueError(f"a list of {', '.join(TCP_FLAGS)}, or ALL or NONE, was expected")
    return ",".join(flag for flag in TCP_FLAGS if flag in given)


def syn(option: Option) -> Option:
    return valued(option, "FIN,SYN,RST,ACK", "SYN", name="--tcp-flags")


def icmp_type(types: dict[str, str], option: Option) -> Option:
    text = option.values[0]
    if text.lower() in types:
        return valued(option, types[text.lower()])
    number, slash, code = text.partition("/")
    kind = integer(number, 255)
    if kind == 255 and "any" in types and not slash:
        return valued(option, "any")
    return valued(option, f"{kind}/{integer(code, 255)}" if slash else str(kind))


def protocol(option: Option) -> Option:
    return valued(option, str(parse_protocol(option.values[0])))


def log_level(option: Option) -> Option | None:
    text = option.values[0].lower()
    level = LOG_LEVELS[text] if text in LOG_LEVELS else integer(text, 7)
    return None if level == LOG_LEVELS["warning"] else valued(option, str(level))


def upper(option: Option) -> Option:
    return valued(option, option.values[0].upper())


def lower(option: Option) -> Option:
    return valued(option, option.values[0].lower())


def tested_address(option: Option) -> Option:
    """conntrack's addresses: host bits stay, and a mask of all ones is not printed."""
    address, slash, _ = option.values[0].partition("/")
    network = parse_network(option.values[0])
    if not slash or network.prefixlen == network.max_prefixlen:
        return valued(option, address.lower())
    return valued(option, f"{address.lower()}/{network.prefixlen}")


def mapped_network(option: Option) -> Option:
    return valued(option, str(parse_network(option.values[0])))


def address_range(option: Option) -> Option:
    first, dash, last = option.values[0].partition("-")
    for address in (first, last) if dash else (first,):
        if "/" in address:
            raise ValueError("an address range FIRST-LAST was expected")
        parse_network(address)
    return valued(option, f"{first}-{last or first}".lower())


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
    low, high = _one_address(first), _one_address(last if dash else first)
    return low if low == high else f"{low}-{high}"


def _one_address(text: str) -> str:
    if "/" in text:
        raise ValueError("an address without a mask was expected")
    return str(parse_network(text).network_address)


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


def user(option: Option) -> Option:
    """owner's user or group: a name other than root's cannot be known from here."""
    return valued(option, "0") if option.values[0] == "root" else option


def packet_type(option: Option) -> Option:
    text = option.values[0].lower()
    return valued(option, "unicast" if text == "host" else text)


def limit_rate(option: Option) -> Option:
    """`3/s` to `3/sec`, by way of the period that the kernel keeps (libxt_limit.c)."""
    return valued(option, _rate(option.values[0], LIMIT_SCALE))


def hashlimit_rate(option: Option) -> Option:
    text = option.values[0]
    if "b" in text.partition("/")[0]:  # bytes: 512kb/s
        return option
    return valued(option, _rate(text, HASHLIMIT_SCALE))


def _rate(text: str, scale: int) -> str:
    count, slash, written = text.partition("/")
    unit = next((u for u, long in UNITS.items() if long.startswith(written.lower())), None)
    if unit is None or (slash and not written) or not integer(count, WORD):
        raise ValueError("a rate such as 3/minute was expected")
    period = scale * UNIT_SECONDS[unit] // integer(count, WORD)
    if period == 0:
        raise ValueError(f"a rate of at most {scale}/second was expected")
    return _rate_text(period, scale)


def _rate_text(period: int, scale: int) -> str:
    """The smallest unit that loses no more than its rounding (libxt_limit.c, print_rate)."""
    chosen = "day"
    for unit in ("hour", "min", "sec"):
        whole, rest = divmod(scale * UNIT_SECONDS[unit], period)
        if whole == 0 or whole < rest:
            break
        chosen = unit
    return f"{scale * UNIT_SECONDS[chosen] // period}/{chosen}"


def burst(option: Option) -> Option | None:
    packets = integer(option.values[0], 10_000)
    return None if packets == 5 else valued(option, str(packets))
