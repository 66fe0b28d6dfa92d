"""Forms of names, and of lists of them in the order in which they are printed: see
iptables_forms."""

from dataplane.node.iptables_forms import WORD, valued
from dataplane.node.iptables_names import (
    LOG_LEVELS,
    PACKET_TYPES,
    SCTP_CHUNKS,
    SCTP_FLAGS,
    TCP_FLAGS,
)
from dataplane.node.iptables_rules import Option
from dataplane.node.iptables_values import integer, parse_protocol
from dataplane.node.protocols import protocol_name


def names(known: tuple[str, ...], option: Option) -> Option:
    """A comma list, in the order in which it is printed."""
    given = {part.upper() for part in option.values[0].split(",")}
    if not given <= set(known):
        raise ValueError(f"a list of {', '.join(known)} was expected")
    return valued(option, ",".join(name for name in known if name in given))


def begun_names(known: tuple[str, ...], option: Option) -> Option:
    """The same of names that may be cut short: the first that begins so."""
    given = {_begun(known, part.upper()) for part in option.values[0].split(",")}
    return valued(option, ",".join(name for name in known if name in given))


def _begun(known: tuple[str, ...], begin: str) -> str:
    found = next((name for name in known if begin and name.startswith(begin)), None)
    if found is None:
        raise ValueError(f"a list of {', '.join(known)} was expected")
    return found


def statuses(known: tuple[str, ...], option: Option) -> Option:
    """conntrack's: NONE stands alone, or says nothing."""
    found = begun_names(known, option)
    return valued(found, found.values[0].removeprefix("NONE,"))


def exact_names(known: tuple[str, ...], option: Option) -> Option:
    given = set(option.values[0].replace("|", ",").split(","))
    if not given <= set(known):
        raise ValueError(f"a list of {', '.join(known)} was expected")
    return valued(option, ",".join(name for name in known if name in given))


def one_name(known: tuple[str, ...], option: Option) -> Option:
    """One of them, however it is written."""
    text = option.values[0].lower()
    for name in known:
        if name.lower() == text:
            return valued(option, name)
    raise ValueError(f"one of {', '.join(known)} was expected")


def numbers_of(named: dict[str, int], option: Option) -> Option:
    """A list of names or numbers, as numbers in order."""
    parts = option.values[0].split(",")
    found = {named[part] if part in named else integer(part, 255) for part in parts}
    return valued(option, ",".join(map(str, sorted(found))))


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
    """A name, or the beginning of one; TYPE or TYPE/CODE."""
    text = option.values[0].lower()
    found = [text] if text in types else [name for name in types if name.startswith(text)]
    if len(found) == 1:
        return valued(option, types[found[0]])
    if len(found) > 1:
        raise ValueError(f"{found[0]} or {found[1]}?")
    number, slash, code = text.partition("/")
    kind = integer(number, 255)
    detail = integer(code, 255) if slash else None
    if kind == 255 and "any" in types:
        return valued(option, "any")
    return valued(option, str(kind) if detail is None else f"{kind}/{detail}")


def sctp_chunks(option: Option) -> Option:
    how, chunks = option.values
    if how.lower() not in ("all", "any", "only"):
        raise ValueError("one of all, any, only was expected")
    if chunks.upper() in ("ALL", "NONE"):
        return valued(option, how.lower(), chunks.upper())
    flags: dict[str, set[str]] = {}
    for part in chunks.split(","):
        name, _, letters = part.partition(":")
        flags.setdefault(_sctp_chunk(name), set()).update(letters)
    shown = [_sctp_text(name, flags[name]) for name in SCTP_CHUNKS if name in flags]
    return valued(option, how.lower(), ",".join(shown))


def _sctp_chunk(text: str) -> str:
    if text.upper() not in SCTP_CHUNKS:
        raise ValueError(f"a list of {', '.join(SCTP_CHUNKS)}, or ALL or NONE, was expected")
    return text.upper()


def _sctp_text(name: str, letters: set[str]) -> str:
    """A capital letter: the flag is set; a small one: it is not."""
    known = SCTP_FLAGS.get(name, "")
    if not {letter.upper() for letter in letters} <= set(known):
        raise ValueError(f"flags of {name}, of {known or 'none'}, were expected")
    shown = (flag if flag in letters else flag.lower() for flag in known)
    text = "".join(flag for flag in shown if flag in letters)
    return f"{name}:{text}" if text else name


def protocol(option: Option) -> Option:
    return valued(option, str(parse_protocol(option.values[0])))


def named_protocol(option: Option) -> Option:
    return valued(option, protocol_name(parse_protocol(option.values[0])))


def log_level(option: Option) -> Option | None:
    text = option.values[0].lower()
    level = LOG_LEVELS[text] if text in LOG_LEVELS else integer(text, 7)
    return None if level == LOG_LEVELS["warning"] else valued(option, str(level))


def lower(option: Option) -> Option:
    return valued(option, option.values[0].lower())


def packet_type(option: Option) -> Option:
    text = option.values[0].lower()
    if text not in PACKET_TYPES:
        raise ValueError(f"one of {', '.join(PACKET_TYPES)} was expected")
    return valued(option, PACKET_TYPES[text])


def mac(option: Option) -> Option:
    parts = option.values[0].split(":")
    if len(parts) != 6 or not all(0 < len(part) <= 2 for part in parts):
        raise ValueError("a MAC address was expected")
    return valued(option, ":".join(f"{integer('0x' + part, 255):02x}" for part in parts))


def handle(option: Option) -> Option:
    """CLASSIFY's MAJOR:MINOR, in hexadecimal."""
    major, colon, minor = option.values[0].partition(":")
    if not colon:
        raise ValueError("MAJOR:MINOR was expected")
    numbers = (integer(f"0x{part}", WORD) & 0xFFFF for part in (major, minor))
    return valued(option, ":".join(f"{number:04x}" for number in numbers))
