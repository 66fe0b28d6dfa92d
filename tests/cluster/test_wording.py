import pytest

from dataplane.cluster.wording import describe, dotted, printable, quoted, quoting_hint


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "null"),
        (True, "the boolean true"),
        (5, "the number 5"),
        (1.5, "the number 1.5"),
        (10**40, "a huge number"),
        (float("nan"), "a huge number"),
        ("x", '"x"'),
        ("x" * 80, '"' + "x" * 70 + '…"'),
        ([1], "a list"),
        ({}, "a mapping"),
    ],
)
def test_describe(value, words):
    assert describe(value) == words


def test_nothing_printed_can_move_a_cursor():
    assert quoted("a\n\x1b[2J\u2028é") == '"a\\n\\x1b[2J\\u2028é"'
    assert printable("abcdef", limit=3) == "abc…"


def test_paths_and_hints():
    assert dotted(("spec", "ports", 0, "port")) == "spec.ports[0].port"
    assert quoting_hint(True).startswith("; unquoted true, yes, y, on")
    assert quoting_hint(5) == "; quote it"
    assert quoting_hint([]) == ""
