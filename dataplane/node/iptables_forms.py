"""Forms: each takes an option as it was written and returns it as iptables-save prints it.

None is returned for an option that would not be printed, since it says nothing.  A form
raises ValueError saying what was expected.
"""

from dataplane.node.iptables_names import (
    DSCP_CLASSES,
    TOS_NAMES,
)
from dataplane.node.iptables_rules import Option
from dataplane.node.iptables_values import (
    decimal_port,
    integer,
    normal_ports,
    parse_port,
)

WORD = 0xFFFFFFFF
PROBABILITY_UNIT = 1 << 31  # xt_statistic.c keeps a fraction of 31 bits


def valued(option: Option, *values: str, name: str = "") -> Option:
    return Option(name or option.name, values, option.negated)


def unless(option: Option) -> Option | None:
    """An option that says something only if it is negated."""
    return option if option.negated else None


# Numbers.


def number(option: Option, most: int = WORD) -> Option:
    return valued(option, str(integer(option.values[0], most)))


def decimal(option: Option) -> Option:
    """As atoi reads a number: leading zeros say nothing."""
    if not option.values[0].isdecimal() or not option.values[0].isascii():
        raise ValueError("a decimal number was expected")
    return number(valued(option, str(int(option.values[0]))))


def number_unless(option: Option, silent: int, most: int = WORD) -> Option | None:
    """A number that is not printed if it is the one that is meant without it."""
    value = integer(option.values[0], most)
    return None if value == silent else valued(option, str(value))


def hex_number(option: Option, digits: int, most: int = WORD) -> Option:
    return valued(option, f"0x{integer(option.values[0], most):0{digits}x}")


def number_range(option: Option, most: int = 65535) -> Option:
    """`5`, `5:`, `:5`, `5:9`; one whose ends are exchanged never matches."""
    return valued(option, span_text(*_span(option.values[0], most)))


def ordered_range(option: Option, most: int = 65535) -> Option:
    low, high = _span(option.values[0], most)
    if low > high:
        raise ValueError("a range FIRST:LAST was expected, the smaller first")
    return valued(option, span_text(low, high))


def range_unless_all(option: Option, most: int = WORD) -> Option | None:
    low, high = _span(option.values[0], most)
    if (low, high) == (0, most) and not option.negated:
        return None
    return valued(option, span_text(low, high))


def open_range(option: Option, most: int = (1 << 64) - 1) -> Option:
    """connbytes: without an end where there is none.  Its ends are exchanged to say that it is
    negated, which is lost where they are equal (libxt_connbytes.c)."""
    first, _, last = option.values[0].partition(":")
    low, high = integer(first or "0", most), integer(last, most) if last else most
    if low > high:
        raise ValueError("a range FIRST:LAST was expected, the smaller first")
    shown = str(low) if high == most else f"{low}:{high}"
    return Option(option.name, (shown,), option.negated and low != high)


def _span(text: str, most: int) -> tuple[int, int]:
    first, colon, last = text.partition(":")
    low = integer(first or "0", most)
    return low, integer(last, most) if last else most if colon else low


def span_text(low: int, high: int) -> str:
    return str(low) if low == high else f"{low}:{high}"


def id_range(option: Option) -> Option:
    """owner's user or group: a name other than root's cannot be known from here."""
    text = option.values[0]
    first, dash, last = text.partition("-")
    if text == "root":
        return valued(option, "0")
    if not first[:1].isdecimal() or (dash and not last[:1].isdecimal()):
        return option
    low = integer(first, WORD - 1)
    high = integer(last, WORD - 1) if dash else low
    return valued(option, str(low) if low == high else f"{low}-{high}")


def ports(option: Option) -> Option | None:
    written = normal_ports(option.values[0])
    return None if written == "0:65535" and not option.negated else valued(option, written)


def every_port(option: Option) -> Option:
    return valued(option, normal_ports(option.values[0]))


def found_ports_unless_all(option: Option) -> Option | None:
    found = found_ports(option)
    return None if found.values == ("0:65535",) and not option.negated else found


def found_port(option: Option) -> Option:
    return valued(option, str(decimal_port(option.values[0])))


def found_ports(option: Option) -> Option:
    first, colon, last = option.values[0].partition(":")
    low = decimal_port(first) if first else 0
    high = (decimal_port(last) if last else 65535) if colon else low
    return valued(option, span_text(low, high))


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


def named_mark(named: str, option: Option) -> Option:
    """devgroup's and realm's: zero has a name of its own (/etc/iproute2)."""
    text = "0" if option.values[0] == named else option.values[0]
    if not text[:1].isdecimal():
        return option
    value, mask = masked(text)
    return valued(option, named) if (value, mask) == (0, WORD) else mark(valued(option, text))


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
