"""Forms of what is asked of IPv6 extension headers: see iptables_forms."""

from dataplane.node.iptables_forms import span_text, valued
from dataplane.node.iptables_rules import Option
from dataplane.node.iptables_values import integer, parse_protocol

ANY_LENGTH = 255  # of an option: it is not printed
MOST_OPTIONS = 16  # IP6T_OPTS_OPTSNR
# libip6t_mh.c, mh_names: the first that begins so counts, if none is called so.
MH_TYPES = {
    "binding-refresh-request": 0, "brr": 0, "home-test-init": 1, "hoti": 1,
    "careof-test-init": 2, "coti": 2, "home-test": 3, "hot": 3, "careof-test": 4, "cot": 4,
    "binding-update": 5, "bu": 5, "binding-acknowledgement": 6, "ba": 6, "binding-error": 7,
    "be": 7,
}  # fmt: skip
# In the order in which they are printed (libip6t_ipv6header.c).
HEADERS = {
    0: "hop-by-hop", 60: "ipv6-opts", 43: "ipv6-route", 44: "ipv6-frag", 51: "ah", 50: "esp",
    59: "ipv6-nonxt", 255: "protocol",
}  # fmt: skip
SHORT_NAMES = {
    "hop": 0, "dst": 60, "route": 43, "frag": 44, "auth": 51, "none": 59, "prot": 255,
}  # fmt: skip


def headers(option: Option) -> Option:
    given = {_header(part) for part in option.values[0].split(",")}
    if not given <= HEADERS.keys():
        raise ValueError(f"a list of {', '.join(HEADERS.values())} was expected")
    return valued(option, ",".join(name for number, name in HEADERS.items() if number in given))


def _header(text: str) -> int:
    named = SHORT_NAMES | {name: number for number, name in HEADERS.items()}
    return named[text] if text in named else parse_protocol(text)


def mh_type(option: Option) -> Option | None:
    first, colon, last = option.values[0].partition(":")
    low = _mh_number(first or "0")
    high = _mh_number(last or "255") if colon else low
    if low > high:
        raise ValueError("a range FIRST:LAST was expected, the smaller first")
    if (low, high) == (0, 255) and not option.negated:
        return None
    return valued(option, span_text(low, high))


def _mh_number(text: str) -> int:
    if text[:1].isdecimal():
        return integer(text, 255)
    wanted = text.lower()
    for name, number in ({wanted: MH_TYPES[wanted]} if wanted in MH_TYPES else MH_TYPES).items():
        if name.startswith(wanted):
            return number
    raise ValueError(f"a type from 0 to 255, or one of {', '.join(MH_TYPES)}, was expected")


def header_options(option: Option) -> Option:
    """`TYPE[:LENGTH],…` of a hop-by-hop or destination options header."""
    parts = option.values[0].split(",")
    if len(parts) > MOST_OPTIONS:
        raise ValueError(f"at most {MOST_OPTIONS} options were expected")
    return valued(option, ",".join(map(_header_option, parts)))


def _header_option(text: str) -> str:
    kind, colon, length = text.partition(":")
    number = integer(kind, 255)
    size = integer(length, 255) if colon else ANY_LENGTH
    return str(number) if size == ANY_LENGTH else f"{number}:{size}"
