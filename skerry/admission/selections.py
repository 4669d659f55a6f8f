"""Which clusters people name in a spec: by names, or by a selector. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from skerry.admission import metadata
from skerry.admission.conform import FieldError, forbidden, invalid_value, required
from skerry.api.meta import Document
from skerry.api.validation import is_label

LABEL_RULE = "use a DNS label: a-z, 0-9 and -, at most 63 characters"
MAX_CLUSTERS = 1000


def selection_problems(selection: Document, path: str) -> Iterator[FieldError]:
    """The faults of `{names}` or `{selector}`: exactly one of them."""
    clusters = selection.get("names", [])
    if clusters and "selector" in selection:
        yield forbidden(f"{path}.selector", "may not be set beside names: use exactly one of names and selector")
    elif not clusters and "selector" not in selection:
        yield required(path, "use exactly one of names and selector; selector: {} is every cluster")
    if len(clusters) > MAX_CLUSTERS:
        text = f"Too many: {len(clusters)}: must have at most {MAX_CLUSTERS} items"
        yield FieldError(f"{path}.names", text, "FieldValueTooMany")
        return
    for index, name in enumerate(clusters):
        if not is_label(name):
            yield invalid_value(f"{path}.names[{index}]", name, LABEL_RULE)
    yield from _selector_problems(selection.get("selector") or {}, f"{path}.selector")


def _selector_problems(selector: Document, path: str) -> Iterator[FieldError]:
    for key, value in sorted(selector.get("matchLabels", {}).items()):
        yield from metadata.label_problems(f"{path}.matchLabels", key, value)
    for index, requirement in enumerate(selector.get("matchExpressions", [])):
        where = f"{path}.matchExpressions[{index}]"
        values, operator = requirement.get("values", []), requirement["operator"]
        yield from metadata.label_problems(f"{where}.key", requirement["key"], "")
        if operator in ("In", "NotIn") and not values:
            yield required(f"{where}.values", "must be specified when `operator` is 'In' or 'NotIn'")
        elif operator not in ("In", "NotIn") and values:
            yield forbidden(f"{where}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
