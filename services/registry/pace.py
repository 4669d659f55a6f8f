"""How often a member's status is written, whatever the member says and however often. Pure.

At most one write a second, with everything that is due then, unless others wait for it. A text whose reason stayed is refreshed at most every half a
minute, and not at all for another time, port or id in it: what it says stays true, and who reads wants a state, no log.
Figures of the inventory are written at most every ten seconds.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from services.registry.inventories import FIELDS
from skerry.api.conditions import conditions_of
from skerry.api.meta import Document

WRITE_S = 1.0
"""Between two writes of one member's status."""
TEXT_S = 30.0
"""Between two texts of a condition whose status and reason stayed."""
FIGURES_S = 10.0
"""Between two inventories."""

_PASSING = re.compile(
    r"""
      \b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?Z?   # RFC 3339
    | \b\d\d?:\d\d(?::\d\d(?:\.\d+)?)?\b               # a time of day
    | \b(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h))+\b        # durations, as Go writes them too
    | (?::|\bport\ )\d{1,5}\b                           # ports
    | \b(?:request|trace)(?:[ -]?id)?[ :=]+"?(?=\S*\d)[\w-]{8,}   # ids of requests
    | \b0x[0-9a-f]+\b
    """,
    re.IGNORECASE | re.VERBOSE,
)
"""What passes in a text. Other numbers, addresses and UIDs are facts: how many checks failed, which cluster it is."""


class WritePlan(NamedTuple):
    """How to treat a difference between what is stored and what is observed."""

    document: Document | None
    """What to store now; None for nothing."""
    again_s: float | None = None
    """In how many seconds something more may be written."""


class Pace:
    """When each member's status was written last. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._written: dict[str, float] = {}
        self._told: dict[str, float] = {}
        self._counted: dict[str, float] = {}

    def plan(self, name: str, stored: Document, observed: Document, now: float, *, at_once: bool = False) -> WritePlan:
        """The part of `observed` that is to be written now; `at_once`: also within a second of the last write."""
        if observed == stored:
            return WritePlan(None)
        news = chosen = _with_texts_of(stored, observed, only_passing=True)
        if news == stored:
            return WritePlan(None)
        text_s = self._told.get(name, float("-inf")) + TEXT_S - now
        figures_s = self._counted.get(name, float("-inf")) + FIGURES_S - now
        if figures_s > 0:
            chosen = _with_figures_of(stored, chosen)
        rest_s = figures_s if chosen != news else float("inf")
        if text_s > 0:
            due, chosen = chosen, _with_texts_of(stored, chosen, only_passing=False)
            rest_s = min(rest_s, text_s) if chosen != due else rest_s
        if chosen == stored:
            return WritePlan(None, rest_s)
        write_s = self._written.get(name, float("-inf")) + WRITE_S - now
        if write_s > 0 and not at_once:
            return WritePlan(None, write_s)
        return WritePlan(chosen, None if chosen == news else rest_s)

    def written(self, name: str, before: Document, after: Document, now: float) -> None:
        """`before` was replaced by `after`."""
        self._written[name] = now
        if _texts(before) != _texts(after):
            self._told[name] = now
        if _figures(before) != _figures(after):
            self._counted[name] = now

    def forget(self, name: str) -> None:
        """The member was removed."""
        self._written.pop(name, None)
        self._told.pop(name, None)
        self._counted.pop(name, None)


def same_words(one: str, other: str) -> bool:
    """True if two texts differ by times, ports and ids alone."""
    return one == other or _PASSING.sub("#", one) == _PASSING.sub("#", other)


def _texts(document: Document) -> dict[str, str]:
    return {str(each.get("type")): str(each.get("message")) for each in conditions_of(document)}


def _figures(document: Document) -> Document:
    status = document.get("status") or {}
    return {field: status[field] for field in (*FIELDS, "observed") if field in status}


def _with_figures_of(stored: Document, observed: Document) -> Document:
    """`observed` with the stored inventory."""
    rest = {field: value for field, value in observed["status"].items() if field not in (*FIELDS, "observed")}
    return {**observed, "status": rest | _figures(stored)}


def _with_texts_of(stored: Document, observed: Document, *, only_passing: bool) -> Document:
    """`observed` with the stored text of each condition whose status and reason stayed; with `only_passing` of those whose
    text says the same but for times, ports and ids."""
    before = {each.get("type"): each for each in conditions_of(stored)}

    def kept(new: Document) -> Document:
        old = before.get(new.get("type"))
        if old is None or any(old.get(field) != new.get(field) for field in ("status", "reason")):
            return new
        if only_passing and not same_words(str(old.get("message")), str(new.get("message"))):
            return new
        return {**new, "message": old.get("message")}

    conditions = [kept(each) for each in conditions_of(observed)]
    if not conditions:
        return observed
    return {**observed, "status": {**observed["status"], "conditions": conditions}}
