"""CustomResourceDefinitions made from the declarations of the host's kinds, for a real API server."""

from __future__ import annotations

from typing import Any

from skerry.api.kinds import Kind
from skerry.api.structural import LABEL_NAME, structural


def definition(kind: Kind) -> dict[str, Any]:
    """The CustomResourceDefinition that behaves as the host API should behave for `kind`."""
    schema = structural(kind.type)
    if kind.labelled:
        schema["properties"]["metadata"] = {"type": "object", "properties": {"name": LABEL_NAME}}
    version = {
        "name": kind.version,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}} if "status" in schema["properties"] else {},
        **({"selectableFields": [{"jsonPath": f".{path}"} for path in kind.selectable]} if kind.selectable else {}),
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{kind.group}"},
        "spec": {
            "group": kind.group,
            "names": {
                "kind": kind.kind,
                "plural": kind.plural,
                "singular": kind.singular,
                "shortNames": list(kind.short_names),
                "categories": list(kind.categories),
            },
            "scope": "Namespaced" if kind.namespaced else "Cluster",
            "versions": [version],
        },
    }
