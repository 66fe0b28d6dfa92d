"""Labels and annotations, as metadata and selectors write them."""

from dataplane.cluster.fields import Fields
from dataplane.cluster.validate import label_key, label_value
from dataplane.cluster.wording import dotted, template_hint


def label_map(fields: Fields, key: str) -> dict[str, str]:
    """Labels at `key`: syntax checked, strings only."""
    found = fields.string_map(key)
    for name, value in found.items():
        try:
            label_key(name)
            label_value(value)
        except ValueError as error:
            where = dotted((*fields.path, key))
            fields.fail(f"{where}: {error}{template_hint(value)}", key, name)
    return found


def annotation_map(fields: Fields, key: str) -> dict[str, str]:
    """Annotations at `key`: names like labels' but in any case; values are free text."""
    found = fields.string_map(key)
    for name in found:
        try:
            label_key(name.lower())
        except ValueError as error:
            fields.fail(f"{dotted((*fields.path, key))}: {error}", key, name)
    return found
