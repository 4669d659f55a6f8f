"""Cells of the table of clusters that are made of more than one field. Pure."""

from __future__ import annotations

from typing import Any

from skerry.api.conditions import condition_of
from skerry.api.meta import Document

HOLDS = (("paused", "Paused"), ("unschedulable", "SchedulingDisabled"))
"""Field of spec, and how READY says it: kubectl's word for a cordoned node."""


def readiness(document: Document) -> str:
    """The status of the condition Ready, then what is held back, as kubectl shows nodes: `True,SchedulingDisabled`."""
    spec = document.get("spec") or {}
    held = [word for field, word in HOLDS if spec.get(field) is True]
    return ",".join((condition_of(document, "Ready").status, *held))


def until_and_why(hold: Any) -> str:
    """From a Hold, for the end of a sentence: ` until 2026-01-01T00:00:00Z: an upgrade`; empty if it says nothing."""
    fields = hold if isinstance(hold, dict) else {}
    until, reason = fields.get("until"), fields.get("reason")
    return (f" until {until}" if until else "") + (f": {reason}" if reason else "")
