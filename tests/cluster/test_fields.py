import pytest

from dataplane.cluster.documents import parse
from dataplane.cluster.fields import Fields
from dataplane.errors import ObjectError

TEXT = """\
text: hello
count: 5
flag: true
none: null
list: [a, b]
map: {a: b}
bad-list: [a, 1]
objects: [{x: 1}, {x: 2}]
bad-objects:
- {x: 1}
- x
labels: {app: y}
"""


def fields():
    (document,) = parse(TEXT, "f.yaml")
    return Fields(document, "Thing a", (), document.value)


def test_reading():
    thing = fields()
    assert (thing.string("text"), thing.string("none"), thing.string("absent", "d")) == (
        "hello",
        "",
        "d",
    )
    assert (thing.integer("count"), thing.integer("none", 7)) == (5, 7)
    assert (thing.boolean("flag"), thing.boolean("absent", True)) == (True, True)
    assert (thing.strings("list"), thing.strings("none")) == (("a", "b"), ())
    assert (thing.string_map("map"), thing.string_map("none")) == ({"a": "b"}, {})
    assert [each.integer("x") for each in thing.mappings("objects")] == [1, 2]
    assert thing.mapping("absent").mapping("deeper").string("x") == ""
    assert thing.choice("text", ("hello", "bye"), "bye") == "hello"


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (
            lambda f: f.string("count"),
            "2: Thing a: count: expected a string, found the number 5; quote it",
        ),
        (
            lambda f: f.string("flag"),
            "3: Thing a: flag: expected a string, found the boolean true; unquoted",
        ),
        (lambda f: f.string("list"), "5: Thing a: list: expected a string, found a list"),
        (lambda f: f.required("none"), "4: Thing a: none is missing"),
        (lambda f: f.required("absent"), "1: Thing a: absent is missing"),
        (lambda f: f.integer("text"), '1: Thing a: text: expected an integer, found "hello"'),
        (
            lambda f: f.integer("flag"),
            "3: Thing a: flag: expected an integer, found the boolean true",
        ),
        (
            lambda f: f.boolean("count"),
            "2: Thing a: count: expected true or false, found the number 5",
        ),
        (
            lambda f: f.choice("text", ("a", "b"), "a"),
            '1: Thing a: text: expected a or b, found "hello"',
        ),
        (lambda f: f.strings("text"), '1: Thing a: text: expected a list, found "hello"'),
        (
            lambda f: f.strings("bad-list"),
            "7: Thing a: bad-list[1]: expected a string, found the number 1",
        ),
        (
            lambda f: list(f.mappings("bad-objects")),
            '11: Thing a: bad-objects[1]: expected a mapping, found "x"',
        ),
        (lambda f: f.mapping("list"), "5: Thing a: list: expected a mapping, found a list"),
        (
            lambda f: f.string_map("labels"),
            '12: Thing a: labels "app": expected a string, found the boolean true',
        ),
        (
            lambda f: f.check("text", "{{ x }}", int),
            "1: Thing a: text: invalid literal for int() with base 10: '{{ x }}'; render",
        ),
    ],
)
def test_errors_name_the_field_and_its_line(read, message):
    with pytest.raises(ObjectError) as error:
        read(fields())
    assert str(error.value).startswith(f"f.yaml:{message}")


def test_numbers_in_quotes_and_numbers_too_large():
    (document,) = parse('a: "5"\nb: 2147483648\n', "f.yaml")
    thing = Fields(document, "Thing a", (), document.value)
    with pytest.raises(
        ObjectError, match='a: expected an integer, found "5"; write it without quotes'
    ):
        thing.integer("a")
    with pytest.raises(ObjectError, match="b: expected an integer of 32 bits"):
        thing.integer("b")
