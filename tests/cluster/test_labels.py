import pytest

from dataplane.cluster.documents import parse
from dataplane.cluster.fields import Fields
from dataplane.cluster.labels import annotation_map, label_map
from dataplane.errors import ObjectError


def fields(text):
    (document,) = parse(text, "l.yaml")
    return Fields(document, "Thing a", (), document.value)


def test_labels_and_annotations_are_copies():
    thing = fields("m: {app.kubernetes.io/name: web, empty: ''}\n")
    for read in (label_map, annotation_map):
        found = read(thing, "m")
        assert found == {"app.kubernetes.io/name": "web", "empty": ""}
        found["x"] = "y"
        assert "x" not in thing.value["m"]


def test_what_json_makes_of_odd_entries():
    assert label_map(fields("m: {on: b, null-value: null}\n"), "m") == {
        "true": "b",
        "null-value": "",
    }


def test_annotations_may_hold_any_text_and_any_case():
    found = annotation_map(fields("m:\n  Example.COM/Note: 'a b {{ c }}'\n"), "m")
    assert found == {"Example.COM/Note": "a b {{ c }}"}


@pytest.mark.parametrize(
    ("read", "entry", "message"),
    [
        (label_map, "a: on", 'm "a": expected a string, found the boolean true'),
        (label_map, "a: 1.5", 'm "a": expected a string, found the number 1.5; quote it'),
        (label_map, "a: b c", 'm: "b c" is not a label value'),
        (label_map, "a: '{{ b }}'", 'm: "{{ b }}" is not a label value'),
        (annotation_map, "a b: c", 'm: "a b" is not a label key'),
        (annotation_map, "a: {}", 'm "a": expected a string, found a mapping'),
    ],
)
def test_what_is_refused(read, entry, message):
    thing = fields(f"m:\n  {entry}\n")
    with pytest.raises(ObjectError) as error:
        read(thing, "m")
    assert str(error.value).startswith(f"l.yaml:2: Thing a: {message}")
