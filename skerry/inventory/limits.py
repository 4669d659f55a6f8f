"""How much of an inventory is kept, and the check of one that comes from a member. Pure.

A member decides what it says, not how much: so many resources, so long names, so large amounts, and only what prints.
"""

from __future__ import annotations

import re

from skerry.api.messages import Inventory
from skerry.api.quantity import NANO, quantity
from skerry.api.text import clean
from skerry.api.v1alpha1 import APIVersions, Platform

RESOURCES = 24
"""Of an amount; those that every node has come first."""
EXTRA = 50
"""Group versions that are not Kubernetes' own."""
ARCHITECTURES = 8
NODES = 20_000
"""Four times what Kubernetes is tested with."""
LONGEST = 100
"""Characters of the name of a resource, of a group version, of a provider."""
LARGEST = (1 << 63) - 1
"""Units of an amount; no API server keeps more."""
COUNTED = 1_000_000
"""Nodes or group versions, as a number."""
_FIRST = ("cpu", "memory", "pods", "ephemeral-storage")
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9./_-]*[A-Za-z0-9])?")
_DIGEST = re.compile(r"[0-9a-f]{16}")


def rank(name: str) -> tuple[int, str]:
    """The order in which resources are shown and kept."""
    return (_FIRST.index(name) if name in _FIRST else len(_FIRST), name)


def bounded(inventory: Inventory) -> Inventory:
    """What may be kept of what a member says; an amount or a number that cannot be is left out."""
    return Inventory(
        platform=_platform(inventory.platform),
        nodes=_number(inventory.nodes),
        nodes_ready=_number(inventory.nodes_ready),
        capacity=_amounts(inventory.capacity),
        allocatable=_amounts(inventory.allocatable),
        requested=_amounts(inventory.requested),
        used=_amounts(inventory.used),
        api_versions=None if inventory.api_versions is None else _versions(inventory.api_versions),
    )


def nano_of(text: str) -> int | None:
    """Billionths in an amount; None for one that no cluster has."""
    try:
        nano = quantity(text).nano
    except ValueError:
        return None
    return nano if 0 <= nano <= LARGEST * NANO else None


def _platform(platform: Platform) -> Platform:
    return Platform(
        provider=clean(platform.provider, LONGEST),
        region=clean(platform.region, LONGEST),
        distribution=clean(platform.distribution, LONGEST),
        arch=[clean(each, LONGEST) for each in platform.arch[:ARCHITECTURES]],
        source="nodes",
    )


def _number(count: int | None) -> int | None:
    return count if count is not None and 0 <= count < COUNTED else None


def _amounts(texts: dict[str, str] | None) -> dict[str, str] | None:
    if texts is None:
        return None
    names = sorted((name for name in texts if _is_name(name) and nano_of(texts[name]) is not None), key=rank)
    return {name: texts[name] for name in names[:RESOURCES]}


def _is_name(name: str) -> bool:
    return len(name) <= LONGEST and _NAME.fullmatch(name) is not None


def _versions(versions: APIVersions) -> APIVersions:
    return APIVersions(
        count=_number(versions.count) or 0,
        digest=versions.digest if _DIGEST.fullmatch(versions.digest) else "",
        extra=[name for name in versions.extra[: 2 * EXTRA] if _is_name(name)][:EXTRA],
    )
