"""Label selectors: which objects are meant.

A selector's requirements all have to hold; one without requirements matches everything.
NotIn and DoesNotExist also match objects that lack the key (apimachinery labels/selector.go).
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from dataplane.cluster.fields import Fields
from dataplane.cluster.labels import label_map
from dataplane.cluster.objects import Labels, Pod
from dataplane.cluster.validate import label_key, label_value

OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist")


@dataclass(frozen=True)
class Requirement:
    key: str
    operator: str  # In | NotIn | Exists | DoesNotExist
    values: tuple[str, ...] = ()


@dataclass(frozen=True)
class Selector:
    """A LabelSelector; matchLabels are In with one value."""

    requirements: tuple[Requirement, ...] = ()


def matches(selector: Selector, labels: Labels) -> bool:
    return all(_holds(requirement, labels) for requirement in selector.requirements)


def decode_selector(fields: Fields) -> Selector:
    """The LabelSelector that `fields` stands on.

    raises  ObjectError: unknown operator, values missing or too many, bad keys and values
    """
    equal = tuple(
        Requirement(key, "In", (value,)) for key, value in label_map(fields, "matchLabels").items()
    )
    expressions = tuple(_requirement(entry) for entry in fields.mappings("matchExpressions"))
    return Selector(equal + expressions)


class PodsByLabel:
    """The pods of a cluster, found by the labels of a Service's selector."""

    def __init__(self, pods: Iterable[Pod]):
        self._pods: dict[tuple[str, str, str], list[Pod]] = defaultdict(list)
        for pod in pods:
            for key, value in pod.metadata.labels.items():
                self._pods[pod.metadata.namespace, key, value].append(pod)

    def matching(self, namespace: str, selector: Labels) -> list[Pod]:
        """Pods of the namespace that have all labels; none if the selector is empty.

        Goes through the rarest label's pods only: 10,000 Services over 10,000 pods are usual.
        """
        if not selector:
            return []
        candidates = [self._pods.get((namespace, *label), []) for label in selector.items()]
        rarest = min(candidates, key=len)
        return [pod for pod in rarest if selector.items() <= pod.metadata.labels.items()]


def _holds(requirement: Requirement, labels: Labels) -> bool:
    value = labels.get(requirement.key)
    match requirement.operator:
        case "In":
            return value in requirement.values
        case "NotIn":
            return value not in requirement.values
        case "Exists":
            return value is not None
        case _:
            return value is None


def _requirement(entry: Fields) -> Requirement:
    key = entry.check("key", entry.required("key"), label_key)
    entry.required("operator")
    operator = entry.choice("operator", OPERATORS, "")
    values = entry.strings("values")
    needs_values = operator in ("In", "NotIn")
    if needs_values and not values:
        entry.fail(f"operator {operator} needs values", "values")
    if values and not needs_values:
        entry.fail(f"operator {operator} takes no values", "values")
    for index, value in enumerate(values):
        entry.check("values", value, label_value, index)
    return Requirement(key, operator, values)
