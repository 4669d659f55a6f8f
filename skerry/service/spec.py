"""What a service is: its kinds with their rules, its controllers, what it answers and hears. And what its parts get.

Everything that a service is made of is a function of its `Context`, which is made anew at each start of the service. What
its parts share (adapters, tables in memory) is its `state`: an asynchronous context manager, entered before anything else.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar

from skerry import subjects
from skerry.admission import Actions, Download, Rules, Searches
from skerry.api.kinds import KINDS, Kind
from skerry.api.messages import WriteRequest
from skerry.api.meta import Document
from skerry.api.searching import SearchRequest
from skerry.bus import Bucket, Bus, Message
from skerry.bus import Settings as BusSettings
from skerry.controller.controller import Controller, Reconcile, ReconcileTracer
from skerry.controller.derivation import Derivation
from skerry.controller.lease import Lease
from skerry.controller.recorder import Recorder
from skerry.controller.timers import Timers
from skerry.informer import Change, View
from skerry.service.endpoints import Typed
from skerry.settings import Settings, SettingsError
from skerry.storage import Item, Store

S = TypeVar("S", bound=Settings)
T = TypeVar("T")
K = TypeVar("K", bound=Hashable)


def named(item: Item) -> Iterable[str]:
    """The key of an object of a cluster-scoped kind: its name."""
    return (item.name,)


@dataclass(kw_only=True)
class Context(Generic[S, T]):
    """The environment of a running service's parts."""

    name: str
    settings: S
    bus: Bus
    asked: Bus
    """Its connection for what outsiders may ask; `bus` where they may ask nothing. What somebody floods waits there, and not in
    front of the store's answers (ADR 27)."""
    heard: Bus
    """Its connection for what outsiders cause; `bus` where it hears nothing of them."""
    bus_settings: BusSettings
    """How the process reaches the bus, for a service that needs another user there."""
    bucket: Bucket
    """Of all objects."""
    informer: View
    """Of the kinds that it owns or needs."""
    recorder: Recorder
    """For what happens and no stored change tells."""
    lease: Lease
    """Of this service; nobody asks for it unless a controller or a store is made with `leader`."""
    timers: Timers
    replicas: int
    """Copies of what is stored."""
    tracer: ReconcileTracer | None
    """Of what controllers do; None while tracing is off."""
    closing: AsyncExitStack
    """What is undone when the service ends."""
    state: T = field(init=False)
    derivation: Derivation | None = None
    """Of the events of its kinds."""
    leads: bool = False
    """Whether the lease is wanted."""

    def store(self, kind: Kind, *, leader: bool = False) -> Store:
        """The store in which the service writes objects of its kind; with `leader` only while it leads, looked at before each write."""
        if leader:
            self.leads = True
        return Store(self.bucket, kind, guard=self.lease.check if leader else None)

    def controller(
        self,
        name: str,
        reconcile: Reconcile[K],
        *,
        workers: int = 1,
        leader: bool = False,
        finishes: bool = True,
        owner: Callable[[K], Hashable] | None = None,
    ) -> Controller[K]:
        """The controller `<service>/<name>`; with `leader` it works only where the service's lease is. For the rest see there."""
        if leader:
            self.leads = True
        return Controller(
            f"{self.name}/{name}",
            reconcile,
            workers=workers,
            leader=self.lease if leader else None,
            finishes=finishes,
            owner=owner,
            timers=self.timers,
            tracer=self.tracer,
        )

    def follow(
        self, kind: Kind, controller: Controller[str], keys: Callable[[Item], Iterable[str]] = named
    ) -> Controller[str]:
        """Have the keys of every object of a kind looked at: those that are there, and each that changes or goes."""

        def changed(change: Change) -> None:
            for item in (change.old, change.new):
                for key in () if item is None else keys(item):
                    controller.add(key)

        for item in self.informer.list(kind):
            for key in keys(item):
                controller.add(key)
        self.closing.callback(self.informer.add_event_handler(kind, changed))
        return controller


Listener = Callable[[Context[S, T], Message], Awaitable[None] | None]


ActionHandler = Callable[[Context[S, T], WriteRequest, Any], Awaitable[Document | Download]]


Rank = Callable[[Context[S, T], WriteRequest, SearchRequest], Awaitable[Iterable[str]]]


@asynccontextmanager
async def nothing(context: Context[Any, Any]) -> AsyncIterator[Any]:
    """The state of a service whose parts share nothing."""
    yield None


@dataclass(frozen=True, kw_only=True)
class Service(Generic[S, T]):
    """One service. ValueError or TypeError, naming service and part, for one that cannot be."""

    name: str
    description: str = ""
    settings: type[S]
    rules: Mapping[Kind, Callable[[Context[S, T]], Rules]] = field(default_factory=dict)
    """Admission by kind: the kinds that it owns."""
    controllers: tuple[Callable[[Context[S, T]], Controller[Any]], ...] = ()
    tasks: tuple[Callable[[Context[S, T]], Callable[[], Awaitable[object]]], ...] = ()
    """What runs for as long as the service does, and ends only with it."""
    endpoints: Mapping[str, Callable[..., Awaitable[Any]]] = field(default_factory=dict)
    """Requests that one replica answers: `async def (context, request, *tokens) -> answer` with their types. A name is asked
    on `<service>.<name>`; what has a dot is a whole subject, whose wildcards are the tokens."""
    admits: Mapping[str, Callable[..., None]] = field(default_factory=dict)
    """`def (context, *tokens, pending)` for endpoints that whoever is outside may ask: whether a request may be read, by its subject
    alone, of which so many run and wait. What it raises is the answer."""
    actions: Mapping[tuple[Kind, str, str], ActionHandler[S, T]] = field(default_factory=dict)
    """(kind, subresource, verb) -> `async def (context, request, body) -> document`: for each that its kinds declare, and each
    of other kinds that says this service. A streamed body is an Upload, a streamed answer a Download."""
    searches: Mapping[Kind, Rank[S, T]] = field(default_factory=dict)
    """`async def (context, request, question) -> keys, the best first`: for each kind it owns that can be searched."""
    hears: Mapping[str, Listener[S, T]] = field(default_factory=dict)
    """Subjects that every replica hears."""
    hears_outsiders: Mapping[str, Listener[S, T]] = field(default_factory=dict)
    """The same of what comes from outside the host, or is caused there."""
    needs: tuple[Kind, ...] = ()
    """Kinds that it reads besides its own."""
    state: Callable[[Context[S, T]], AbstractAsyncContextManager[T]] = nothing
    """What its parts share, made before them. What it raises is a failure of the service's start."""
    typed: tuple[Typed, ...] = field(init=False)

    def __post_init__(self) -> None:
        foreign = [kind.kind for kind in self.rules if kind.owner != self.name]
        if foreign:
            raise ValueError(f"service {self.name} has rules for {', '.join(foreign)}, which another service owns")
        if idle := self.admits.keys() - self.endpoints.keys():
            raise ValueError(
                f"service {self.name} admits requests to {', '.join(sorted(idle))}, which it does not answer"
            )
        self.acts(None)
        self.finds(None)
        typed = tuple(
            Typed.of(self.name, name, handler, self.admits.get(name)) for name, handler in self.endpoints.items()
        )
        object.__setattr__(self, "typed", typed)

    def acts(self, context: Any) -> list[Actions]:
        """The endpoints of the actions that it answers. ValueError for one that it has to and does not, or may not."""
        foreign = [
            f"{verb} of {each}"
            for kind, each, verb in self.actions
            if kind.owner == self.name and kind not in self.rules
        ]
        if foreign:
            raise ValueError(f"service {self.name} answers {', '.join(foreign)} of a kind that it has no rules for")
        lent = (kind for kind in KINDS if any(action.service == self.name for action in kind.actions))
        return [
            Actions(
                self.name,
                kind,
                {
                    (subresource, verb): partial(handler, context)
                    for (owner, subresource, verb), handler in self.actions.items()
                    if owner is kind
                },
                None if context is None else partial(context.bus.objects, subjects.UPLOADS),
            )
            for kind in dict.fromkeys((*self.rules, *lent, *(kind for kind, _, _ in self.actions)))
        ]

    def finds(self, context: Any) -> list[Searches]:
        """The endpoints of the searches that it answers. ValueError for one that it has to and does not, or may not."""
        missing = [kind.kind for kind in self.rules if kind.searchable and kind not in self.searches]
        if missing:
            raise ValueError(f"service {self.name} answers no searches of {', '.join(missing)}, which it declares")
        return [Searches(self.name, kind, partial(find, context)) for kind, find in self.searches.items()]


def chosen(services: Sequence[Service[Any, Any]], names: str) -> Sequence[Service[Any, Any]]:
    """Those of `services` that `names`, comma separated, names; all if it is empty. SettingsError for one that is not there."""
    selected = {name.strip() for name in names.split(",")} - {""}
    if missing := selected - {each.name for each in services}:
        raise SettingsError(
            f"SKERRY_SERVICES names {', '.join(sorted(missing))}: this process has {', '.join(each.name for each in services)}"
        )
    return [each for each in services if not selected or each.name in selected]
