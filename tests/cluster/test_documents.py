import io
import json
import sys

import pytest

from dataplane.cluster.documents import parse, read
from dataplane.errors import DataplaneError, ObjectError, ParseError, UsageError


def named(documents):
    return [(document.value["metadata"]["name"], str(document.source)) for document in documents]


def manifest(name):
    return f"apiVersion: v1\nkind: Thing\nmetadata: {{name: {name}}}\n"


def test_files_and_directories_are_read_in_order(tmp_path):
    (tmp_path / "b/deep").mkdir(parents=True)
    (tmp_path / "b/deep/z.yml").write_text(manifest("z"))
    (tmp_path / "b/a.yaml").write_text("# comment\n" + manifest("a") + "---\n" + manifest("a2"))
    (tmp_path / "b/c.json").write_text(json.dumps({"kind": "T", "metadata": {"name": "c"}}))
    (tmp_path / "b/README.md").write_text("{{ not read }}")
    (tmp_path / "one.txt").write_text(manifest("one"))
    found = named(read([str(tmp_path / "one.txt"), str(tmp_path / "b")]))
    assert found == [
        ("one", f"{tmp_path}/one.txt:1"),
        ("a", f"{tmp_path}/b/a.yaml:2"),
        ("a2", f"{tmp_path}/b/a.yaml:6"),
        ("c", f"{tmp_path}/b/c.json:1"),
        ("z", f"{tmp_path}/b/deep/z.yml:1"),
    ]


def test_dash_is_stdin(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(manifest("x").encode())))
    assert named(read(["-"])) == [("x", "<stdin>:1")]


def test_text_with_a_byte_order_mark(tmp_path):
    for encoding in ("utf-8-sig", "utf-16"):
        path = tmp_path / encoding
        path.write_text(manifest("x"), encoding=encoding)
        assert named(read([str(path)])) == [("x", f"{path}:1")]


def test_paths_that_cannot_be_read(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "binary.yaml").write_bytes(b"a: 1\nb: \xff\xfe\n")
    cases = [
        (tmp_path / "absent.yaml", UsageError, "absent.yaml: No such file or directory"),
        (tmp_path / "empty", UsageError, f"no *.yaml, *.yml, *.json in {tmp_path}/empty"),
        (tmp_path / "binary.yaml", ParseError, "binary.yaml:2: not text: byte 0xff"),
        ("nul\0", UsageError, "embedded null byte"),
    ]
    for path, kind, message in cases:
        with pytest.raises(kind) as error:
            list(read([str(path)]))
        assert str(error.value).endswith(message)


LIST = """\
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: Thing
  metadata: {name: a}
- kind: Thing
  metadata: {name: b}
"""


def test_lists_are_taken_apart():
    assert named(parse(LIST, "l.yaml")) == [("a", "l.yaml:4"), ("b", "l.yaml:7")]


def test_typed_lists_lend_their_kind_to_their_items():
    text = '{"kind": "PodList", "apiVersion": "v1", "items": [\n{"metadata": {"name": "a"}}]}'
    (document,) = parse(text, "pods.json")
    assert document.value == {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "a"}}
    assert str(document.source) == "pods.json:2"


def test_a_field_of_an_entry_is_found():
    second = list(parse(LIST, "l.yaml"))[1]
    assert str(second.source_of(("metadata", "name"))) == "l.yaml:8"
    assert str(second.source_of(("absent",))) == "l.yaml:7"


def test_braces_are_json_only_if_they_look_like_it():
    (flow,) = parse("{kind: Thing, metadata: {name: y}}", "f.yaml")
    assert flow.value["metadata"]["name"] is True
    (quoted,) = parse('{"kind": "Thing", "n": 017}'.replace("017", "17"), "f.yaml")
    assert quoted.value["n"] == 17


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("- a\n", ObjectError, "x:1: expected an object, found a list"),
        ("# c\nhello\n", ObjectError, 'x:2: expected an object, found "hello"'),
        ("kind: List\nitems: 5\n", ObjectError, "x:2: items: expected a list, found the number 5"),
        (
            "kind: List\nitems:\n- a: 1\n- null\n",
            ObjectError,
            "x:1: items[1]: expected an object, found null",
        ),
        (
            "kind: List\nitems:\n- a: 1\n- []\n",
            ObjectError,
            "x:4: items[1]: expected an object, found a list",
        ),
        ("kind: List\nitems:\n- kind: List\n", ObjectError, "x:3: a list inside a list"),
        (
            '{"metadata": {}, "Items": []}',
            ObjectError,
            "x:1: Go structures of an old `kubectl cluster-info dump`",
        ),
        ("{{ x }}", ParseError, "x:1: a template"),
    ],
)
def test_what_is_refused(text, kind, message):
    with pytest.raises(kind) as error:
        list(parse(text, "x"))
    assert str(error.value).startswith(message)
    assert isinstance(error.value, DataplaneError)


@pytest.mark.parametrize(
    "text", ["kind: List\n", "kind: List\nitems:\n", "kind: PodList\nitems: []\n"]
)
def test_empty_lists_hold_nothing(text):
    assert list(parse(text, "x")) == []
