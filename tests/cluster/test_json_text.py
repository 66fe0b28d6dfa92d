import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.cluster.json_text import documents, line_of
from dataplane.errors import ParseError


def values(text):
    return [document.value for document in documents(text, "d.json")]


LOGS = """\
{"a": 1}
==== START logs for container web of pod default/web-1 ====
{"level": "info"}
not json {
==== END logs for container web of pod default/web-1 ====
{"b": 2}
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \n\ufeff{}", [{}]),
        ('{"a": 1}{"b": 2}\n\n{"c": 3}', [{"a": 1}, {"b": 2}, {"c": 3}]),
        ('{"a": 1}\n---\n{"b": 2}\n---\n', [{"a": 1}, {"b": 2}]),
        (LOGS, [{"a": 1}, {"b": 2}]),
        ('{"a": 1}\n==== START logs for container x ====\ncut off', [{"a": 1}]),
        ('{"a": 1, "a": 2}', [{"a": 2}]),  # as encoding/json: the last one counts
    ],
)
def test_documents(text, expected):
    assert values(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1}\n{"b" 2}', "d.json:2: not JSON: expecting ':' delimiter"),
        ('{"a": 1}\nnoise', "d.json:2: not JSON: expecting value"),
        ('{"a": NaN}', "d.json:1: not JSON: NaN"),
        ('{"a": ' + "9" * 5000 + "}", "d.json:1: not JSON: an integer of thousands of digits"),
        ('{"a":' * 300 + "1" + "}" * 300, "d.json:1: not JSON: nested more than 256 deep"),
        ('{"a":' * 1_000_000, "d.json:1: not JSON: nested too deep"),
        ('{"a": "x', "d.json:1: not JSON: unterminated string starting at"),
    ],
)
def test_what_is_refused(text, message):
    with pytest.raises(ParseError) as error:
        values(text)
    assert str(error.value) == message


TEXT = """\
{"x": 0}
{
  "kind": "List",
  "items": [
    {"a": "]}\\" \\u00e9",
     "b": [1,
           {"c" : 2}]},
    {}
  ]
}
"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ((), 2),
        (("kind",), 3),
        (("items",), 4),
        (("items", 0, "b"), 6),
        (("items", 0, "b", 1, "c"), 7),
        (("items", 1), 8),
        (("items", 1, "missing"), 8),
        (("missing", 3), 2),
        (("kind", "deeper"), 3),
    ],
)
def test_lines_of_fields(path, line):
    second = list(documents(TEXT, "d.json"))[1]
    assert line_of(TEXT, second.start, path) == line


def test_entries_of_items_know_their_lines():
    second = list(documents(TEXT, "d.json"))[1]
    assert second.line == 2
    assert second.item_lines == [5, 8]


TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=12,
)


def paths(tree, path=()):
    yield path
    children = (
        tree.items()
        if isinstance(tree, dict)
        else enumerate(tree)
        if isinstance(tree, list)
        else ()
    )
    for key, child in children:
        yield from paths(child, (*path, key))


@given(st.dictionaries(st.text(max_size=4), TREES, max_size=4))
def test_every_value_of_an_indented_document_is_found_on_its_line(tree):
    text = json.dumps(tree, indent=1)
    # indent=1 opens each value on a line of its own, so lines follow the order of the walk
    opened = [line_of(text, 0, path) for path in paths(tree)]
    assert opened == sorted(set(opened))


@given(
    st.lists(
        st.sampled_from(
            ['{"a":', "1", "}", "[", "]", ",", '"', "\\", "---\n", "==== START logs for ", "NaN"]
        )
    ).map("".join)
    | st.text()
)
def test_hostile_text_raises_nothing_but_parse_error(text):
    try:
        values(text)
    except ParseError as error:
        assert str(error).startswith("d.json:")
        assert "\n" not in str(error)
