"""What a kind's declaration says. One that cannot be served is a ValueError where it stands, naming the kind. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from skerry.api.eventstates import ObjectState, state_of
from skerry.api.kinds.access import CLUSTER_ADMIN, EVERYBODY, OBJECT_VERBS, Access
from skerry.api.kinds.action import ACTION_VERBS, Action
from skerry.api.kinds.columns import Column, fits
from skerry.api.kinds.paths import has
from skerry.api.meta import Document, Struct

RESOURCES, EVENTS = "resources", "events"
"""Buckets that objects lie in."""
EVERY_VERB = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")

Find = Callable[["Kind", str], Document | None]
"""A cluster-scoped object by kind and name, as it is stored."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ViewOf:
    """How objects of another kind are shown as objects of this one, under the same names and revisions. Pure."""

    kind: Kind
    convert: Callable[[Document], Document]
    """From the stored document."""
    always: Callable[[Find], Iterable[Document]] = lambda find: ()
    """Objects that are there whatever is stored, and hide those of the same name."""


class Occurrence(NamedTuple):
    """Something that happened to an object: what an Event says of it."""

    reason: str
    """One CamelCase word."""
    message: str
    """For people."""
    warning: bool = False


Describe = Callable[[Document, Document], Iterator[Occurrence]]
"""What a stored change means, from an object before and after it; an empty document is none. Pure."""


@dataclass(frozen=True, kw_only=True)
class Listing:
    """`skerry <command>`: the table of a kind."""

    command: str
    help: str
    empty: str
    """Said when there are none; `{skerry}` is the program as it was called."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Kind:
    """A kind of the host API. It is declared once, so identity is equality."""

    group: str
    version: str
    kind: str
    plural: str
    singular: str
    short_names: tuple[str, ...] = ()
    namespaced: bool = False
    owner: str
    """The service that takes writes, and answers actions that do not say another."""
    type: type[Struct]
    verbs: tuple[str, ...]
    columns: tuple[Column, ...] = ()
    selectable: tuple[str, ...] = ()
    """Fields that fieldSelector takes besides metadata.name and metadata.namespace: paths such as `spec.role`."""
    categories: tuple[str, ...] = ("skerry",)
    access: tuple[Access, ...] = ()
    """Who may do what, besides host administrators."""
    actions: tuple[Action, ...] = ()
    bucket: str = RESOURCES
    """Where its objects lie; empty for a view, and for questions, which are answered and never stored."""
    view_of: ViewOf | None = None
    events: Describe | None = None
    state: Callable[[Document], ObjectState] = state_of
    """What its events tell of an object before and after."""
    cluster: str = ""
    """Where an object says which cluster it is about, for its events."""
    listing: Listing | None = None
    about: str = ""
    """Field with a reference to the object that one of these is about: it is shown to those who may get that one."""
    actor: str = ""
    """Field that says, of an object on which its owner works on members, who changed it last: `{user, groups, at}`. Tenancy gives
    the owner delegations of that user (ADR 32)."""
    searchable: bool = False
    """Whether a list of it takes `search=`: its owner then says which objects match a text, and in which order."""
    packed: bool = False
    """Whether there are many of them and each is rarely read: in memory they are compressed."""
    labelled: bool = False
    """Whether names are DNS labels of at most 63 characters, because they stand where dots may not: in a subject, or as
    the name of a namespace. Other names are DNS subdomains.
    """

    def __post_init__(self) -> None:
        for problem in self._problems():
            raise ValueError(f"kind {self.kind}: {problem}")

    def _problems(self) -> Iterator[str]:
        yield from self._field_problems()
        for access in self.access:
            yield from self._access_problems(access)
        yield from (f"there is no verb {verb}" for verb in self.verbs if verb not in EVERY_VERB)
        if self.view_of and self.bucket:
            yield f"it is a view of {self.view_of.kind.kind}, so it lies in no bucket of its own"
        if self.searchable and ("list" not in self.verbs or not self.bucket):
            yield "it is searchable, and cannot be listed from what is stored"
        yield from self._action_problems()

    def _action_problems(self) -> Iterator[str]:
        seen = {("status", verb) for verb in ACTION_VERBS}
        for action in self.actions:
            yield from (f"action {action.subresource}: {problem}" for problem in action.problems())
            if action.ties and not (self.namespaced and all(tie.placed for tie in action.ties)):
                yield f"action {action.subresource}: no action follows from a tie but to the namespace of an object"
            if (action.subresource, action.verb) in seen:
                yield f"action {action.subresource}: {action.verb} is declared twice, or is that of status"
            seen.add((action.subresource, action.verb))

    def _field_problems(self) -> Iterator[str]:
        for column in self.columns:
            if not fits(column, self.type):
                yield f"column {column.name}: {self.type.__name__} has no field {column.path!r}"
        if self.about and not has(self.type, self.about):
            yield f"it is about {self.about}: {self.type.__name__} has no such field"
        if self.actor and not all(has(self.type, f"{self.actor}.{name}") for name in ("user", "groups", "at")):
            yield f"its actor is at {self.actor}: {self.type.__name__} has no user, groups and at there"
        for path in self.selectable:
            if not has(self.type, path):
                yield f"selectable field {path}: {self.type.__name__} has no such field"

    def _access_problems(self, access: Access) -> Iterator[str]:
        if not access.groups and not access.ties:
            yield f"{', '.join(access.verbs)} is allowed to nobody"
        yield from (f"access to {verb}: it has no such verb" for verb in access.verbs if verb not in self.verbs)
        for tie in access.ties:
            if not (tie.placed and self.namespaced):
                yield from (f"{verb} cannot follow from a tie" for verb in access.verbs if verb not in OBJECT_VERBS)
            if tie.by in ("giver", "subjects", "user") and not (tie.path and has(self.type, tie.path)):
                yield f"it is tied by {tie.path!r}: {self.type.__name__} has no such field"
            if tie.path and self.view_of:
                yield f"it is a view, and tied by {tie.path!r}: only what is stored is looked up so"

    def allows(self, verb: str, groups: Collection[str]) -> bool:
        """True if who is in these groups may do something with all its objects."""
        return CLUSTER_ADMIN in groups or any(
            verb in access.verbs and (access.groups == EVERYBODY or any(each in groups for each in access.groups))
            for access in self.access
        )

    def action(self, subresource: str, verb: str) -> Action | None:
        """The action that a request with this verb to this subresource is, if it is one."""
        if not subresource:
            return None
        return next((each for each in self.actions if each.subresource == subresource and each.verb == verb), None)

    def answers(self, action: Action) -> str:
        """The service that answers one of its actions."""
        return action.service or self.owner

    @property
    def api_version(self) -> str:
        """`group/version`, or `v1` for the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version
