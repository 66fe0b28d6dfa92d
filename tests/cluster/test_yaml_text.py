import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dataplane.cluster.yaml_text import MAX_ALIASED, MAX_DEPTH, documents, line_of
from dataplane.errors import ParseError


def values(text):
    return [document.value for document in documents(text, "m.yaml")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("# nothing\n---\n---\n", []),
        ("a: 1\n---\nb: 2\n", [{"a": 1}, {"b": 2}]),
        ("'y': \"1\"\n", [{"y": "1"}]),
        ("on: 1\n3: 2\n1.5: 3\n", [{"true": 1, "3": 2, "1.5": 3}]),
        ("a: !!str 1\nb: !!int '2'\nc: !Ref x\n", [{"a": "1", "b": 2, "c": "x"}]),
        ("a: &x [1]\nb: *x\n", [{"a": [1], "b": [1]}]),
        ("a: &x 1\nb: &x 2\nc: *x\n", [{"a": 1, "b": 2, "c": 2}]),  # an anchor defined twice
        (
            "a: &x {k: 1, l: 2}\nb: {<<: *x, l: 3}\n",
            [{"a": {"k": 1, "l": 2}, "b": {"k": 1, "l": 3}}],
        ),
        ("<<: [{a: 1}, {a: 2, b: 3}]\n", [{"a": 1, "b": 3}]),
        ("'<<': 1\n", [{"<<": 1}]),
        ("&k a: 1\nb: *k\n", [{"a": 1, "b": "a"}]),
        ("a: &k b\n*k : 1\n", [{"a": "b", "b": 1}]),
        ("a: |\n  x\n  y\n", [{"a": "x\ny\n"}]),
    ],
)
def test_streams(text, expected):
    assert values(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: {{ .Values.x }}\n", "m.yaml:1: a template ({{ … }}), not YAML; render it first"),
        ("a: 1\n{{- if x }}\nb: 2\n{{- end }}\n", "m.yaml:2: a template"),
        ("a: 1\n  b: 2\n", "m.yaml:2: not YAML: mapping values are not allowed"),
        ("a: 1\nb: 2\na: 3\n", 'm.yaml:3: not YAML: key "a" is set twice'),
        ("a: *x\n", "m.yaml:1: not YAML: *x names no anchor"),
        ("a: &x [*x]\n", "m.yaml:1: not YAML: *x stands inside the value it names"),
        ("a: 1\n---\n? [b]\n: 1\n", "m.yaml:3: not YAML: a mapping or sequence as a key"),
        ("a: &x [1]\n*x : 1\n", "m.yaml:2: not YAML: a mapping or sequence as a key"),
        ("~: 1\n", "m.yaml:1: not YAML: a key is missing before ':'"),
        ("a:\n  <<: 1\n", "m.yaml:2: not YAML: << merges mappings only"),
        ("a: 1\nb: \x07\n", "m.yaml:2: not YAML: control characters are not allowed"),
        ("a: 'x\n", "m.yaml:2: not YAML: found unexpected end of stream"),
        ("\tx: 1\n", "m.yaml:1: not YAML: found character that cannot start any token"),
        ("- " * 500, f"m.yaml:1: not YAML: nested more than {MAX_DEPTH} deep"),
        ("[" * 1_000_000, f"m.yaml:1: not YAML: nested more than {MAX_DEPTH} deep"),
    ],
)
def test_what_is_refused(text, message):
    with pytest.raises(ParseError) as error:
        values(text)
    assert str(error.value).startswith(message)


def test_aliases_that_multiply_are_refused():
    lines = ["a0: &a0 [x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 30)]
    with pytest.raises(ParseError, match=f":[67]: .*aliases stand for more than {MAX_ALIASED}"):
        values("\n".join(lines))


def test_aliases_that_nest_each_other_are_refused():
    deep = "[" * 200
    text = f"a: &a {deep}{']' * 200}\nb: &b {deep}*a{']' * 200}\n"
    with pytest.raises(ParseError, match=f"m.yaml:2: .*nested more than {MAX_DEPTH} deep"):
        values(text)


def test_depth_up_to_the_limit_is_read():
    assert values("[" * MAX_DEPTH + "]" * MAX_DEPTH)


def test_entries_of_items_know_their_lines():
    text = "kind: List\nitems:\n- a: 1\n  b: 2\n- &x {c: 3}\n- *x\n"
    assert next(documents(text, "m.yaml")).item_lines == [3, 5, 6]


@pytest.mark.parametrize(
    ("number", "path", "line"),
    [
        (0, (), 2),
        (0, ("a",), 2),
        (1, ("b", 0, "d"), 6),
        (1, ("b", 1), 7),
        (1, ("b", 1, "missing", "deeper"), 7),
        (1, ("missing",), 4),
        (9, ("a",), 0),
    ],
)
def test_lines_of_fields(number, path, line):
    text = "---\na: 1\n---\nb:\n- c: 1\n  d: 2\n- e: 3\n"
    assert line_of(text, "m.yaml", number, path) == line


SCALARS = st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=6)
TREES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(st.lists(TREES.filter(lambda tree: tree is not None), max_size=3))
def test_parse_inverts_dump(trees):
    assert values(yaml.safe_dump_all(trees, default_style='"')) == trees


FRAGMENTS = ["a", ": ", "\n", "  ", "- ", "[", "]", "{", "}", "&x ", "*x", "<<", "'", '"', "|\n"]
FRAGMENTS += ["? ", "---\n", "!!int ", "{{", "#", ",", "~", "\t", "%", "\x00", "é"]


@given(st.lists(st.sampled_from(FRAGMENTS), max_size=30).map("".join) | st.text())
def test_hostile_text_raises_nothing_but_parse_error(text):
    try:
        values(text)
    except ParseError as error:
        assert str(error).startswith("m.yaml:")
        assert "\n" not in str(error)
