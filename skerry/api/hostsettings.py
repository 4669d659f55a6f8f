"""What a host's administrators may set while it runs, the kind Setting: a table of names, defaults and grammars. Pure.

A setting without an object has its default: who reads one asks `value_of`, so that absence is no case of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from skerry.api import duration
from skerry.api.meta import Document


class Grammar(NamedTuple):
    """The values that a setting may have."""

    rule: str
    """For people."""
    allows: Callable[[str], bool]


def _is_duration(text: str) -> bool:
    try:
        return bool(duration.bounded(text, *_DURATIONS))
    except ValueError:
        return False


_DURATIONS = ("30d", "1m")
_MOST = 10
DURATION = Grammar(f"must be a duration from {_DURATIONS[1]} to {_DURATIONS[0]}, such as 8h or 1h30m", _is_duration)
COUNT = Grammar(f"must be a number from 1 to {_MOST}", [str(number) for number in range(1, _MOST + 1)].__contains__)
BOOLEAN = Grammar("must be true or false", ("true", "false").__contains__)


@dataclass(frozen=True, kw_only=True)
class HostSetting:
    """One setting."""

    name: str
    default: str
    grammar: Grammar
    description: str

    def value_of(self, document: Document | None) -> str:
        """Its value by its object; the default where that is not there or says what this version does not know."""
        value = str(((document or {}).get("spec") or {}).get("value", self.default))
        return value if self.grammar.allows(value) else self.default

    def is_on(self, document: Document | None) -> bool:
        """True if its value is `true`."""
        return self.value_of(document) == "true"


JOIN_APPROVAL = HostSetting(
    name="join.approval",
    default="false",
    grammar=BOOLEAN,
    description="whether every cluster that joins through an agent waits until somebody approves it",
)
SELF_APPROVAL = HostSetting(
    name="access.self-approval",
    default="false",
    grammar=BOOLEAN,
    description="whether who asks for access may approve it, where they could give it",
)
APPROVALS = HostSetting(
    name="access.approvals",
    default="1",
    grammar=COUNT,
    description="how many people have to approve an AccessRequest",
)
LONGEST = HostSetting(
    name="access.longest",
    default="8h",
    grammar=DURATION,
    description="for how long access may be asked for, and approved, at most",
)
HOST_SETTINGS = {setting.name: setting for setting in (JOIN_APPROVAL, SELF_APPROVAL, APPROVALS, LONGEST)}
"""By name."""
