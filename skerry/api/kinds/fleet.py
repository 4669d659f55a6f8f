"""Cells of the table of clusters that are made of more than one field. Pure."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import msgspec

from skerry.api.kinds.columns import condition
from skerry.api.meta import Document
from skerry.api.quantity import NANO, quantity
from skerry.api.v1alpha1 import Ceiling

CEILING = 60
"""Characters of a ceiling: it may name a hundred namespaces."""
AMOUNTS = 20_000
"""Amounts whose text is remembered: a table of 10,000 members has two of each resource, and is asked for again."""
HOLDS = (("paused", "Paused"), ("unschedulable", "SchedulingDisabled"))
"""Field of spec, and how READY says it: kubectl's word for a cordoned node."""


def readiness(document: Document) -> str:
    """The status of the condition Ready, then what is held back, as kubectl shows nodes: `True,SchedulingDisabled`."""
    status = _ready((document.get("status") or {}).get("conditions"))
    spec = document.get("spec") or {}
    for field, word in HOLDS:
        if spec.get(field) is True:
            status += f",{word}"
    return status


_ready = condition("Ready")


def until_and_why(hold: Any) -> str:
    """From a Hold, for the end of a sentence: ` until 2026-01-01T00:00:00Z: an upgrade`; empty if it says nothing."""
    fields = hold if isinstance(hold, dict) else {}
    until, reason = fields.get("until"), fields.get("reason")
    return (f" until {until}" if until else "") + (f": {reason}" if reason else "")


def platform(fields: Document | None) -> str:
    """From a Platform: `aws/eu-central-1/eks`, as far as it is known."""
    if not fields:
        return ""
    return "/".join([str(part) for key in ("provider", "region", "distribution") if (part := fields.get(key))])


def agents(fields: Document | None) -> str:
    """From an AgentStatus: the version, and how many there are if not one."""
    version, replicas = str((fields or {}).get("version") or ""), (fields or {}).get("replicas", 1)
    return version if replicas == 1 or not version else f"{version} ({replicas})"


def nodes_ready(status: Document | None) -> str:
    """From a status: `11/12`."""
    fields = status or {}
    return f"{fields['nodesReady']}/{fields['nodes']}" if "nodesReady" in fields and "nodes" in fields else ""


def cpu(status: Document | None) -> str:
    """From a status: cores that are asked for, of those that may be had."""
    return _taken(status, "cpu", _cores)


def memory(status: Document | None) -> str:
    """From a status: memory that is asked for, of what may be had."""
    return _taken(status, "memory", _gibibytes)


def _taken(status: Document | None, resource: str, show: Callable[[str], str]) -> str:
    if not status or ("requested" not in status and "allocatable" not in status):
        return ""
    requested, allocatable = (
        _shown((status.get(field) or {}).get(resource), show) for field in ("requested", "allocatable")
    )
    return "" if requested == allocatable == "?" else f"{requested}/{allocatable}"


def _shown(amount: str | None, show: Callable[[str], str]) -> str:
    try:
        return "?" if amount is None else show(amount)
    except ValueError:
        return "?"


@lru_cache(maxsize=AMOUNTS)
def _cores(amount: str) -> str:
    return f"{quantity(amount).nano / NANO:.1f}".removesuffix(".0")


@lru_cache(maxsize=AMOUNTS)
def _gibibytes(amount: str) -> str:
    return f"{quantity(amount).nano / (NANO << 30):.1f}".removesuffix(".0") + "Gi"


def ceiling(fields: Document | None) -> str:
    """From a Ceiling: what its administrator forbids, cut to what fits a table; empty if nothing."""
    text = "" if not fields else msgspec.convert(fields, Ceiling).text
    if text == "open":
        return ""
    return text if len(text) <= CEILING else text[: CEILING - 1] + "…"
