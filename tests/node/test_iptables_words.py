"""The quoting of iptables, which is no shell's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.node.iptables_words import (
    _split_quoted,
    always_quoted,
    as_it_stands,
    save_string,
    split,
)

CASES = [
    ("-A INPUT  -j\tDROP\r", ["-A", "INPUT", "-j", "DROP"]),
    ('--comment "a b"', ["--comment", "a b"]),
    ('--comment ""', ["--comment", ""]),
    (r'--comment "a \"b\" it\'s \\ -A !"', ["--comment", 'a "b" it\'s \\ -A !']),
    (r"--match-set weave-;r|$!#[\a src", ["--match-set", r"weave-;r|$!#[\a", "src"]),
    ('a"b c"d', ["ab cd"]),
    ('"a""b" c', ["ab", "c"]),
    ("it's", ["it's"]),
    ("a\xa0b", ["a\xa0b"]),
    ("", []),
]


@pytest.mark.parametrize(("line", "words"), CASES)
def test_split(line, words):
    assert split(line) == words


@pytest.mark.parametrize("line", ['"', 'a "b', r'"a\"', 'a" "b" "c"'])
def test_an_open_quote_is_refused(line):
    with pytest.raises(ValueError, match='a closing " is missing'):
        split(line)


@given(st.lists(st.text(alphabet="ab \"'\\!-\t;", max_size=4), max_size=4))
def test_split_inverts_quoting(words):
    for quote in (save_string, always_quoted, as_it_stands):
        assert split(" ".join(quote(word) for word in words)) == words


@given(st.text(alphabet='ab "\\', max_size=12))
def test_the_short_way_is_the_long_way(line):
    try:
        expected = _split_quoted(line)
    except ValueError:
        with pytest.raises(ValueError, match="missing"):
            split(line)
    else:
        assert split(line) == expected


@pytest.mark.parametrize(
    ("value", "quoted"),
    [("plain_word-1", "plain_word-1"), ("a/b", '"a/b"'), ("it's", r'"it\'s"'), ("", '""')],
)
def test_save_string(value, quoted):
    assert save_string(value) == quoted
