"""Values of a release, merged as Helm merges them: mappings within each other, everything else as a whole, null takes away. Pure."""

from __future__ import annotations

TYPE_CHECKING = False  # importing typing takes longer than all of this
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from skerry.api.meta import Document


def merged(layers: Iterable[Document]) -> Document:
    """What a user gives in several places as one: of each key the last layer that has it counts.

    A null stays: it is to take a chart's default away, and whether there is one the chart alone knows.
    """
    whole: Document = {}
    for layer in layers:
        whole = _over(whole, layer)
    return whole


def coalesced(defaults: Document, values: Document) -> Document:
    """What a chart's templates see: values over its defaults, without defaults for which a value is null."""
    seen: Document = {}
    for key, default in defaults.items():
        value: Any = values.get(key, default)
        if value is None and key in values:
            continue
        nested = isinstance(default, dict) and isinstance(value, dict) and key in values
        seen[key] = coalesced(default, value) if nested else value
    return seen | {key: value for key, value in values.items() if key not in defaults}


def _over(below: Document, above: Document) -> Document:
    merged_layer = dict(below)
    for key, value in above.items():
        under: Any = below.get(key)
        merged_layer[key] = _over(under, value) if isinstance(value, dict) and isinstance(under, dict) else value
    return merged_layer
