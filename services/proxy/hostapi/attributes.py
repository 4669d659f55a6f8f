"""What the host API asks of its surroundings: who may do what, and the cells that only a proxy knows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

from skerry.api.explanations import ExplanationSpec, ExplanationStatus
from skerry.api.kinds import Tie


class Attributes(NamedTuple):
    """One request as authorization sees it, in the words of Kubernetes' authorizer.Attributes."""

    verb: str
    """get, list, watch, create, update, patch, delete or deletecollection; for discovery the HTTP method."""
    group: str = ""
    resource: str = ""
    """The plural; empty for a path that is no resource (discovery): `path` has it."""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""


class Rule(NamedTuple):
    """A right of the caller, as RBAC writes rules: with resources of groups, or with paths. `*` is all."""

    verbs: tuple[str, ...]
    groups: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()


Authorize = Callable[[Attributes], tuple[Tie, ...]]
"""Raises Forbidden. What is allowed is allowed with all objects, or with those alone to which the caller is tied in one of the
ways that are returned.
"""

Live = Callable[[str], Mapping[str, object]]
"""From an object's name to the values of the columns that declare `live`; empty where nothing is known."""

Explain = Callable[[ExplanationSpec], Awaitable[ExplanationStatus]]
"""The answer to an AccessExplanation of the caller. Raises StatusError."""
