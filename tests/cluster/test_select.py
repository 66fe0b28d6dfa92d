import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.cluster.documents import parse
from dataplane.cluster.fields import Fields
from dataplane.cluster.objects import Metadata, Pod
from dataplane.cluster.select import PodsByLabel, Requirement, Selector, decode_selector, matches
from dataplane.errors import ObjectError


@pytest.mark.parametrize(
    ("operator", "values", "labels", "expected"),
    [
        ("In", ("a", "b"), {"k": "a"}, True),
        ("In", ("a", "b"), {"k": "c"}, False),
        ("In", ("a",), {}, False),
        ("In", ("",), {}, False),  # a missing key is not an empty value
        ("In", ("",), {"k": ""}, True),
        ("NotIn", ("a",), {"k": "a"}, False),
        ("NotIn", ("a",), {"k": "b"}, True),
        ("NotIn", ("a",), {}, True),  # lacks the key: matches
        ("Exists", (), {"k": ""}, True),
        ("Exists", (), {"j": "x"}, False),
        ("DoesNotExist", (), {"k": "x"}, False),
        ("DoesNotExist", (), {}, True),
    ],
)
def test_operators(operator, values, labels, expected):
    assert matches(Selector((Requirement("k", operator, values),)), labels) is expected


def test_no_requirements_match_everything_and_all_have_to_hold():
    assert matches(Selector(), {})
    both = Selector((Requirement("a", "Exists"), Requirement("b", "DoesNotExist")))
    assert matches(both, {"a": "1"})
    assert not matches(both, {"a": "1", "b": "1"})


def decode(text):
    (document,) = parse(text, "s.yaml")
    return decode_selector(Fields(document, "Policy default/p", (), document.value))


def test_decode_selector():
    text = "matchLabels: {app: web}\nmatchExpressions:\n- {key: t, operator: In, values: [a, b]}\n"
    assert decode(text) == Selector(
        (Requirement("app", "In", ("web",)), Requirement("t", "In", ("a", "b")))
    )
    assert decode("x: 1\n") == Selector()


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("{operator: In, values: [a]}", "matchExpressions[0].key is missing"),
        ("{key: k}", "matchExpressions[0].operator is missing"),
        ("{key: k, operator: in}", "matchExpressions[0].operator: expected In or NotIn or"),
        ("{key: k, operator: In}", "operator In needs values"),
        ("{key: k, operator: NotIn, values: []}", "operator NotIn needs values"),
        ("{key: k, operator: Exists, values: [a]}", "operator Exists takes no values"),
        ("{key: a b, operator: Exists}", 'matchExpressions[0].key: "a b" is not a label key'),
        ("{key: k, operator: In, values: [y]}", "matchExpressions[0].values[0]: expected a string"),
        ("{key: k, operator: In, values: [a b]}", 'matchExpressions[0].values[0]: "a b" is not'),
    ],
)
def test_selectors_that_an_api_server_refuses(expression, message):
    with pytest.raises(ObjectError) as error:
        decode(f"matchLabels: {{}}\nmatchExpressions:\n- {expression}\n")
    assert str(error.value).startswith(f"s.yaml:3: Policy default/p: {message}")


LABELS = st.dictionaries(st.sampled_from("abc"), st.sampled_from("xy"), max_size=3)
PODS = st.lists(st.tuples(st.sampled_from(["n1", "n2"]), LABELS), max_size=8)


@given(PODS, st.sampled_from(["n1", "n2", "n3"]), LABELS)
def test_pods_by_label_equals_looking_at_every_pod(pods, namespace, selector):
    declared = [
        Pod(Metadata(f"p{number}", where, labels)) for number, (where, labels) in enumerate(pods)
    ]
    requirements = tuple(Requirement(key, "In", (value,)) for key, value in selector.items())
    expected = [
        pod
        for pod in declared
        if pod.metadata.namespace == namespace
        and selector
        and matches(Selector(requirements), pod.metadata.labels)
    ]
    assert PodsByLabel(declared).matching(namespace, selector) == expected
