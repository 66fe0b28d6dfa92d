"""What plain (unquoted) words mean in YAML, to kubectl.

kubectl reads with sigs.k8s.io/yaml, whose goyaml.v2 is YAML 1.1 with exceptions: `y` and
`on` are booleans, integers are written as in Go, there is no base 60 (`1:30` is a string),
and timestamps stay strings.
"""

import re
from typing import Any

# goyaml.v2 resolve.go: the words, and the first letters that can start a number.
_WORDS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE"), True),
    **dict.fromkeys(("on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE"), False),
    **dict.fromkeys(("off", "Off", "OFF"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}
_NUMERIC_START = frozenset("+-.0123456789")
_INTEGER = re.compile(r"[-+]?(0[xX][0-9a-fA-F]+|0[oO]?[0-7]+|0[bB][01]+|[1-9][0-9]*|0)")
_FLOAT = re.compile(r"[-+]?[0-9]*\.?[0-9]+([eE][-+]?[0-9]+)?|[-+]?[0-9]+\.")


def resolve(text: str) -> Any:
    """What a plain (unquoted) scalar means."""
    if text in _WORDS:
        return _WORDS[text]
    return _number(text) if text[0] in _NUMERIC_START else text


def _number(text: str) -> Any:
    digits = text.replace("_", "")
    if len(digits) < 70 and _INTEGER.fullmatch(digits):
        value = _integer(digits)
        if -(2**63) <= value < 2**64:
            return value
    if _FLOAT.fullmatch(digits):
        number = float(digits)
        # JSON, which kubectl sends, has one kind of number: 80.0 goes out as 80.
        return int(number) if number.is_integer() and abs(number) < 1e21 else number
    return text


def _integer(digits: str) -> int:
    """Go's ParseInt with base 0: a leading zero alone means octal."""
    unsigned = digits.lstrip("+-")
    if len(unsigned) > 1 and unsigned[0] == "0" and unsigned[1].isdigit():
        value = int(unsigned, 8)
    else:
        value = int(unsigned, 0)
    return -value if digits[0] == "-" else value
