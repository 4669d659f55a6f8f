"""Which objects a caller is shown, and may do something to, of a kind whose rights follow from ties.

The ties are declared by kinds. By those that objects state themselves (the subjects of a grant) they are found through an
index, by the others (a cluster that the caller has something on) through the compiled access: nobody's list looks at what
is not theirs. An Event follows the object that it is about.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, lru_cache, partial
from typing import Any, NamedTuple

from services.proxy.hostapi.attributes import Attributes, Authorize
from services.proxy.hostapi.reads import not_found
from services.proxy.hostapi.selectors import Match
from services.proxy.hostapi.shifts import ShiftCursor, Shifts
from services.proxy.hostapi.sight import WHOLE, Moving, Sight
from services.proxy.hostapi.sources import ObjectSource
from skerry.access import Access, Touched, held, keys_of
from skerry.access.asking import could_give
from skerry.access.ties import CLUSTER, given, names_caller, names_given, within, written
from skerry.api.kinds import CLUSTER_ADMIN, Kind, Tie, at
from skerry.api.messages import Caller
from skerry.errors import Forbidden, StatusError
from skerry.informer import Change, Informer
from skerry.informer.index import IndexFunction, ObjectKey
from skerry.storage import Item, decode_document

_OF_MANY = ("create", "deletecollection", "list", "watch")
REMEMBERED_BYTES = 8192
"""Objects up to this size are looked into once for all watchers of a change; 1,024 of them are at most 8 MiB."""
REMEMBERED_S = 0.5


class Viewer(NamedTuple):
    """Who looks, and what they may do at all."""

    caller: Caller
    authorize: Authorize


class Visibility:
    """Works out ties for all kinds that are served."""

    def __init__(
        self, sources: Mapping[Kind, ObjectSource | None], access: Access, shifts: Shifts, now: Callable[[], float]
    ) -> None:
        self._sources = sources
        self._access = access
        self._shifts = shifts
        self._now = now
        self._named = {(kind.group, kind.kind): kind for kind in sources}
        for kind, source in sources.items():
            for tie in ties_of(kind):
                if tie.written and isinstance(source, Informer):
                    source.index(kind, _index(tie), subjects_of(tie))
                    if kind.events and tie.by != "giver":
                        source.add_event_handler(kind, partial(self._note, tie))

    def sight(self, kind: Kind, viewer: Viewer, ties: tuple[Tie, ...]) -> Sight:
        """What a viewer who may read objects of a kind by these ties (none: all of them) is shown of it."""
        caller = viewer.caller
        if not ties:
            return self._whole(kind, viewer)
        stays = not kind.about and all(tie.written and tie.by != "giver" for tie in ties)
        moving = None if stays else self._moving(kind, caller)
        by_name = kind.namespaced and not all(tie.written for tie in ties)

        def keys() -> Iterable[ObjectKey] | None:
            return None if by_name else {key for tie in ties for key in self._keys(tie, kind, caller)}

        return Sight(self._tied_to(kind, viewer, ties), keys, moving)

    def _whole(self, kind: Kind, viewer: Viewer) -> Sight:
        """What a viewer who may read all objects of a kind is shown of it."""
        caller = viewer.caller
        if kind.about:
            changing = None if CLUSTER_ADMIN in caller.groups else self._moving(kind, caller)
            return Sight(lambda item: self._follows(kind, item, viewer), moving=changing)
        # who is shown everything by a grant on the host is so for as long as there is that grant
        return WHOLE if held(caller) or not any(ties_of(kind)) else Sight(moving=self._moving(kind, caller))

    def _tied_to(self, kind: Kind, viewer: Viewer, ties: tuple[Tie, ...]) -> Match:
        """A test of objects: whether one is tied so to a viewer, now."""
        placed = tuple(tie for tie in ties if kind.namespaced and tie.placed)
        others = tuple(tie for tie in ties if tie not in placed)
        mine = OwnNamespaces(placed, viewer.caller, self._access, self._now)

        def match(item: Item) -> bool:
            tied = item.namespace in mine or any(self._tied(tie, kind, item, viewer.caller) for tie in others)
            return tied and (not kind.about or self._follows(kind, item, viewer))

        return match

    def _moving(self, kind: Kind, caller: Caller) -> Moving:
        """How it is told that what a caller is shown of a kind is otherwise, though its objects are not."""
        access, shifts, now = self._access, self._shifts, self._now

        def since(revision: int) -> bool:
            return shifts.since(caller, revision, events=bool(kind.about), ended=access.ended(caller, now()))

        def cursor(nudge: Callable[[], None]) -> ShiftCursor:
            return shifts.cursor(caller, nudge, clusters=not held(caller))

        def ends() -> float:
            return min(
                (access.reach(caller, name, now()).until for name in access.granted(caller, now())), default=math.inf
            )

        by_name = all(tie.by == "cluster" for tie in ties_of(kind))
        return Moving(since, cursor, ends, now, by_name)

    def _note(self, tie: Tie, change: Change) -> None:
        """Who is tied to an object is shown what is told about it."""
        before, after = (
            frozenset() if each is None else frozenset(subjects_of(tie)(each)) for each in (change.old, change.new)
        )
        if before != after:
            self._shifts.note(Touched(subjects=before ^ after), change.revision)

    async def check(self, attributes: Attributes, kind: Kind, viewer: Viewer, ties: tuple[Tie, ...]) -> None:
        """Raise the refusal of a request about one object, which is believed only of a cache that is current: it may just
        have been made. ServiceUnavailable, GatewayTimeout.
        """
        source = self._sources[kind]
        if source is not None and self.refusal(attributes, kind, viewer, ties) is not None:
            await source.current()
            refused = self.refusal(attributes, kind, viewer, ties)
            if refused is not None:
                raise refused

    def refusal(self, attributes: Attributes, kind: Kind, viewer: Viewer, ties: tuple[Tie, ...]) -> StatusError | None:
        """What is answered to a request about one object that `authorize` let through by `ties`, if it is none for the caller:
        NotFound, as for one that does not exist; Forbidden if they may see it.
        """
        if not attributes.name or attributes.verb in _OF_MANY:
            return None
        shown, may = self._shown(kind, viewer, attributes), self.sight(kind, viewer, ties)
        if shown is None and not ties:
            return None
        source = self._sources[kind]
        item = None if source is None else source.get(kind, attributes.name, attributes.namespace)
        if item is None:  # an apply makes what there is not
            makes = attributes.verb == "patch" and (not ties or self._may_create(attributes, kind, viewer))
            return None if makes else not_found(kind, attributes.name)
        if not (shown or may).match(item):
            return not_found(kind, attributes.name)
        return None if not ties or may.match(item) else _not_this_one(attributes, kind, viewer.caller)

    @staticmethod
    def _may_create(attributes: Attributes, kind: Kind, viewer: Viewer) -> bool:
        """True if a viewer may make an object of a namespaced kind where they may patch one."""
        if not kind.namespaced:
            return False
        try:
            viewer.authorize(attributes._replace(verb="create"))
        except StatusError:
            return False
        return True

    def _shown(self, kind: Kind, viewer: Viewer, attributes: Attributes) -> Sight | None:
        """What a viewer is shown of a kind, if it is a part; None if it is everything, or if nothing is ever shown to them."""
        try:
            ties = viewer.authorize(
                Attributes("get", kind.group, kind.plural, "", attributes.namespace, attributes.name)
            )
        except StatusError:
            return None
        sight = self.sight(kind, viewer, ties)
        return None if sight.whole else sight

    # Ties

    def _tied(self, tie: Tie, kind: Kind, item: Item, caller: Caller) -> bool:
        """Whether an object is tied so to a caller now."""
        if tie.by == "giver":
            return could_give(caller, item.document(), self._access, self._now())
        if tie.written:
            return names_caller(frozenset(subjects_of(tie)(item)), caller)
        return given(tie, caller, item.name, self._access, self._now())

    def _keys(self, tie: Tie, kind: Kind, caller: Caller) -> Iterator[ObjectKey]:
        """Namespace and name of what is tied so to a caller now."""
        source = self._sources[kind]
        if not tie.written:
            yield from (("", name) for name in names_given(tie, caller, self._access, self._now()))
        elif isinstance(source, Informer):
            reached = (CLUSTER + name for name in self._access.clusters(caller, self._now()))
            for key in reached if tie.by == "giver" else keys_of(caller):
                yield from ((item.namespace, item.name) for item in source.lookup(kind, _index(tie), key))

    def _follows(self, kind: Kind, item: Item, viewer: Viewer) -> bool:
        """Whether a viewer may get the object that one of these is about."""
        reference = _reference(kind.about, item)
        other = self._named.get((reference.group, reference.kind))
        plural = (reference.kind.lower() or "*") if other is None else other.plural
        namespace = reference.namespace if other is not None and other.namespaced else ""
        try:
            ties = viewer.authorize(Attributes("get", reference.group, plural, "", namespace, reference.name))
        except StatusError:
            return False
        if not ties:
            return True
        source = None if other is None else self._sources[other]
        if other is None or source is None:
            return False
        subject = source.get(other, reference.name, namespace)
        return subject is not None and self.sight(other, viewer, ties).match(subject)


class OwnNamespaces:
    """The namespaces to which `caller` is tied in any of these ways; what was worked out is remembered for REMEMBERED_S at most."""

    def __init__(self, ties: tuple[Tie, ...], caller: Caller, access: Access, now: Callable[[], float]) -> None:
        self._ties, self._caller, self._access, self._now = ties, caller, access, now
        self._known: dict[str, bool] = {}
        self._version, self._until = -1, 0.0

    def __contains__(self, namespace: str) -> bool:
        """True if all that lies there is the caller's."""
        if not self._ties:
            return False
        now = self._now()
        if self._version != self._access.version or self._until <= now:
            self._known.clear()
            self._version, self._until = self._access.version, now + REMEMBERED_S
        known = self._known.get(namespace)
        if known is None:
            tied = (within(tie, self._caller, namespace, self._access, now) for tie in self._ties)
            known = self._known[namespace] = any(each is not None for each in tied)
        return known


def ties_of(kind: Kind) -> Iterator[Tie]:
    """All that a kind declares, each once."""
    yield from dict.fromkeys(tie for access in kind.access for tie in access.ties)


def _index(tie: Tie) -> str:
    return f"{tie.by} {tie.path}"


@cache
def subjects_of(tie: Tie) -> IndexFunction:
    """The keys of the subjects that objects are tied to, by their own words; one function for each tie, as indexes want it."""
    read = written(tie)

    def of(body: bytes) -> frozenset[str]:
        return read(decode_document(body))

    known = lru_cache(maxsize=1024)(of)
    return lambda item: (known if len(item.body) <= REMEMBERED_BYTES else of)(item.body)


class Reference(NamedTuple):
    """The object that another is about."""

    group: str
    kind: str
    namespace: str
    name: str


def _reference(path: str, item: Item) -> Reference:
    return (_known_reference if len(item.body) <= REMEMBERED_BYTES else _referred)(path, item.body)


def _referred(path: str, body: bytes) -> Reference:
    there: Any = at(path)(decode_document(body))
    reference = there if isinstance(there, dict) else {}
    group = str(reference.get("apiVersion") or "").rpartition("/")[0]
    return Reference(group, *(str(reference.get(name) or "") for name in ("kind", "namespace", "name")))


_known_reference = lru_cache(maxsize=1024)(_referred)


def _not_this_one(attributes: Attributes, kind: Kind, caller: Caller) -> Forbidden:
    resource = f"{kind.plural}.{kind.group}" if kind.group else kind.plural
    return Forbidden(
        f'{resource} "{attributes.name}" is forbidden: User "{caller.user}" may see it, and may not {attributes.verb} it: '
        "ask an administrator of the host",
        kind=kind.plural,
        group=kind.group,
        name=attributes.name,
    )
