"""Forms of what is looked for in a packet's bytes, by `string`, `u32` and `bpf`: see
iptables_forms."""

import re

from dataplane.node.iptables_forms import WORD, valued
from dataplane.node.iptables_rules import Option
from dataplane.node.iptables_values import integer

LONGEST = 128  # XT_STRING_MAX_PATTERN_SIZE
HEX_BLOCK = re.compile(r" *((?:[0-9a-fA-F]{2} ?)+)\Z")
U32_TEST = re.compile(
    r"(?P<start>\w+)(?P<steps>(?:(?:&|<<|>>|@)\w+)*)=(?P<values>\w+(?::\w+)?(?:,\w+(?::\w+)?)*)\Z"
)
U32_STEP = re.compile(r"(&|<<|>>|@)(\w+)")


def text_pattern(option: Option) -> Option:
    return _pattern(option, option.values[0].encode(errors="surrogateescape"))


def hex_pattern(option: Option) -> Option:
    """`GET |2f 00|`: hexadecimal between bars, and a backslash before a letter as it stands
    (libxt_string.c, parse_hex_string, v1.8.9)."""
    return _pattern(option, b"".join(_hex_parts(option.values[0])))


def _hex_parts(text: str) -> list[bytes]:
    parts: list[bytes] = []
    while text:
        if text[0] == "|":
            block, closed, text = text[1:].partition("|")
            digits = HEX_BLOCK.match(block)
            if not digits or not closed:
                raise ValueError("hexadecimal digits between two | were expected")
            parts.append(bytes.fromhex(digits[1]))
            continue
        at = 1 if text[0] == "\\" else 0
        if at == len(text):
            raise ValueError("a letter was expected after a backslash")
        parts.append(text[at].encode(errors="surrogateescape"))
        text = text[at + 1 :]
    return parts


def _pattern(option: Option, pattern: bytes) -> Option:
    """In hexadecimal if a byte cannot be printed, or if the last is a backslash."""
    if len(pattern) > LONGEST:
        raise ValueError(f"at most {LONGEST} bytes were expected")
    if all(0x20 <= byte < 0x7F for byte in pattern) and not pattern.endswith(b"\\"):
        return valued(option, pattern.decode("ascii"), name="--string")
    return valued(option, f"|{pattern.hex()}|", name="--hex-string")


def u32_tests(option: Option) -> Option:
    """`START [OPERATOR NUMBER …] = VALUES && …`: in hexadecimal, without spaces."""
    tests = "".join(option.values[0].split()).split("&&")
    return valued(option, "&&".join(map(_u32_test, tests)))


def _u32_test(text: str) -> str:
    found = U32_TEST.match(text)
    if not found:
        raise ValueError("tests such as 6&0xff=1:5 were expected")
    steps = (f"{sign}{_hex(word)}" for sign, word in U32_STEP.findall(found["steps"]))
    values = ",".join(map(_u32_span, found["values"].split(",")))
    return f"{_hex(found['start'])}{''.join(steps)}={values}"


def _u32_span(text: str) -> str:
    first, colon, last = text.partition(":")
    low, high = _hex(first), _hex(last if colon else first)
    return low if low == high else f"{low}:{high}"


def _hex(text: str) -> str:
    return hex(integer(text, WORD))


def bytecode(option: Option) -> Option:
    """`COUNT,CODE TRUE FALSE K,…`."""
    count, *steps = option.values[0].split(",")
    words = [step.split() for step in steps if step.strip()]
    if not all(len(step) == 4 and all(word.isdecimal() for word in step) for step in words):
        raise ValueError("a program COUNT,CODE TRUE FALSE K,… was expected")
    if not count.strip().isdecimal() or int(count) != len(words):
        raise ValueError(f"a program of {count} steps was expected")
    shown = (" ".join(str(int(word)) for word in step) for step in words)
    return valued(option, ",".join([str(len(words)), *shown]))
