"""Which subjects of the stream EVENTS a sink is told of: its types and namespaces, as filters of a consumer. Pure.

A server refuses filters that overlap, so of two of which one holds the other the wider one is left.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from skerry.api.happened import MEMBER, MEMBER_EVENTS, SYSTEM, SYSTEM_EVENTS
from skerry.api.kinds import KINDS
from skerry.api.kinds.reasons import CONDITIONS, reasons_of

DOMAIN = "dev.skerry."
EVERYTHING, NOTHING = "event.>", "event.none"
"""No event has so short a subject; a consumer without a filter would have them all."""
MOST = 50
"""Types, and namespaces, of one sink."""
_TYPE = re.compile(r"dev\.skerry\.(?:\*|([a-z][a-z0-9]{0,62})\.(\*|[a-z][a-z0-9-]{0,62}))")
_TOLD = {kind.kind.lower(): kind for kind in KINDS if kind.events}
_NAMESPACED = {name: kind.namespaced for name, kind in _TOLD.items()}
_OTHERS = {SYSTEM: SYSTEM_EVENTS, MEMBER: MEMBER_EVENTS}
"""What events are about besides kinds: the host itself, and what agents say."""
RULE = f"{DOMAIN}KIND.VERB, {DOMAIN}KIND.* or {DOMAIN}*, for example {DOMAIN}cluster.notready"


def problem(text: str) -> str:
    """Why this is no type of events, for people; empty if it is one."""
    match = _TYPE.fullmatch(text)
    if match is None:
        return f"must be {RULE}"
    if match[1] and match[1] not in _TOLD | _OTHERS:
        return f"there are no events of {match[1]}: there are those of {', '.join(sorted(_TOLD | _OTHERS))}"
    if match[1] and match[2] != "*" and (known := _verbs(match[1])) and match[2] not in known:
        return f"there is no event {match[2]} of {match[1]}: docs/events.md lists them"
    return ""


def _verbs(kind: str) -> frozenset[str]:
    """Of all its events; empty of a kind that has as many as its status has reasons."""
    if kind in _OTHERS:
        return frozenset(map(str.lower, _OTHERS[kind]))
    name = _TOLD[kind].kind
    return frozenset() if name in CONDITIONS else frozenset(map(str.lower, reasons_of(name)))


def filters(types: Sequence[str], namespaces: Sequence[str]) -> tuple[str, ...]:
    """The subjects of these types; no types: all. With namespaces only what lies in one of them. What is no type counts for
    nothing, so that none may be left: then nothing is told.
    """
    subjects = dict.fromkeys(subject for each in types or (f"{DOMAIN}*",) for subject in _subjects(each, namespaces))
    return tuple(sorted(each for each in subjects if not any(_holds(other, each) for other in subjects)))


def _subjects(text: str, namespaces: Sequence[str]) -> Iterator[str]:
    match = _TYPE.fullmatch(text)
    if match is None or problem(text):
        return
    kind, verb = match[1] or "", match[2] or "*"
    if namespaces:
        yield from _placed([kind] if kind else _NAMESPACED, verb, namespaces)
    elif not kind:
        yield EVERYTHING
    elif verb == "*":
        yield f"event.{kind}.>"
    else:
        places = "*.*" if _NAMESPACED.get(kind) else "*"
        yield f"event.{kind}.{places}.{verb}"


def _placed(kinds: Iterable[str], verb: str, namespaces: Sequence[str]) -> Iterator[str]:
    """Of kinds that lie in namespaces."""
    for kind in kinds:
        if _NAMESPACED.get(kind):
            yield from (f"event.{kind}.{namespace}.*.{verb}" for namespace in namespaces)


def _holds(wide: str, narrow: str) -> bool:
    """True if `wide` is another filter that matches whatever `narrow` does."""
    if wide == narrow:
        return False
    first, second = wide.split("."), narrow.split(".")
    if first[-1] == ">":
        first = first[:-1]
        if len(second) <= len(first):
            return False
        second = second[: len(first)]
    return len(first) == len(second) and all(ours in ("*", theirs) for ours, theirs in zip(first, second, strict=True))
