"""The process of one or more services: what they share is here once, and none takes another down.

    settings → bus → informer → per service: state, rules, controllers, endpoints → ready

A service that fails, at its start or later, is started again after a pause that grows; what all of them stand on (the bus's
supervisor, the informer) ends the process when it ends, whatever the reason. Readiness is looked at, not remembered: each
service says what is wrong with it now, and the process is ready when nothing is.

At the end each service stops taking requests and keys, finishes what runs, within the process's grace, and gives up its
lease; then the informer and the bus end.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, NoReturn

import skerry
from skerry import bus, runtime, subjects
from skerry.admission import Actions, Callers, Rules, Searches, Writes
from skerry.admission.lifecycle import checks
from skerry.api.kinds import KINDS, WORKSPACE
from skerry.api.messages import Write, WriteAnswer
from skerry.backoff import Backoff
from skerry.controller.contents import NamespaceContents
from skerry.controller.controller import Controller, ReconcileTracer
from skerry.controller.garbage import AT_ONCE, Garbage
from skerry.controller.lease import Lease
from skerry.controller.publisher import EventPublisher
from skerry.controller.recorder import Recorder
from skerry.controller.sweep import sweeper
from skerry.controller.timers import Timers
from skerry.errors import SkerryError, StatusError
from skerry.identity import creds
from skerry.identity.services import MAKER
from skerry.identity.trust import Roots
from skerry.informer import Informer
from skerry.runtime import Exit, Runtime, endless
from skerry.service.deriving import derivation
from skerry.service.endpoints import asked_for, described
from skerry.service.metrics import Figures, ServiceFigures, figures
from skerry.service.renewal import renewing
from skerry.service.settings import ProcessSettings, composed, part_of, trust_of
from skerry.service.spec import Context, Service, chosen
from skerry.settings import Settings, load_or_help, redacted
from skerry.storage import Store, make_all
from skerry.tracing import Tracer

log = logging.getLogger("skerry.service")

FIRST_S, LONGEST_S = 0.25, 15.0
"""The pause after a service's first failure, and the longest."""
STABLE_S = 30.0
"""A service that ran so long starts over with the shortest pause."""
STARTING_S, LOOK_S = 0.05, 0.5
"""Between two looks at readiness, before and after the first time."""
RECONNECTED_S = 1.0
"""Between two looks whether the bus is another connection than before."""

Some = Service[Any, Any]


def run(*services: Some, name: str = "") -> NoReturn:
    """Be the process of these services; `name` defaults to that of the first. Exit 2 for settings that are none."""
    name = name or services[0].name
    runtime.run(partial(_main, services), name=name)


async def _main(services: Sequence[Some], life: Runtime) -> None:
    services = chosen(services, os.environ.get("SKERRY_SERVICES", ""))
    settings = load_or_help(composed({each.name: each.settings for each in services}), life.name)
    log.info("starting", extra={"settings": redacted(settings)})
    how = _bus_settings(settings, life.name)
    tracer = Tracer() if settings.tracing else None
    async with bus.Bus(how, lambda: creds.load(settings.bus_credentials_file), tracer) as connected:
        parts = [(each, part_of(settings, each.settings)) for each in services]
        process = Process(
            parts, connected, how, trust_roots=trust_of(settings), replicas=settings.replicas, tracer=tracer
        )
        life.spawn(_tell(process, life), name="readiness")
        if settings.renew:
            life.spawn(renewing(settings.renew), name="renewal")
        await process.serve(life.stop)


def _bus_settings(settings: ProcessSettings, name: str) -> bus.Settings:
    try:
        pem = settings.bus_ca_file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise Exit(f"the authority of the bus cannot be read: {error}", 4) from error
    return bus.Settings(servers=tuple(settings.bus_servers), ca_pem=pem, name=name)


async def _tell(process: Process, life: Runtime) -> None:
    """Tell, until cancelled, whether the process serves."""
    pause_s = STARTING_S
    while True:
        reason = "stopping" if life.stop.is_set() else process.problem
        if reason:
            life.not_ready(reason)
        else:
            life.ready()
            pause_s = LOOK_S
        await asyncio.sleep(pause_s)


class Process:
    """Services beside each other, on one bus and one informer."""

    def __init__(
        self,
        services: Sequence[tuple[Some, Settings]],
        connected: bus.Bus,
        bus_settings: bus.Settings,
        *,
        trust_roots: Roots,
        replicas: int = 1,
        timers: Timers | None = None,
        tracer: ReconcileTracer | None = None,
    ) -> None:
        """`bus_settings` are those of `connected`, for services that need another user there; `trust_roots` are the public keys
        that certify proxies; `tracer` is that of `connected`."""
        self.bus, self.bus_settings, self.replicas = connected, bus_settings, replicas
        self.trust_roots = trust_roots
        self.timers = timers or asyncio.get_running_loop()
        self.tracer = tracer
        read = [kind for service, _ in services for kind in (*service.rules, *service.needs)]
        if any(kind.namespaced for service, _ in services for kind in service.rules):
            read.append(WORKSPACE)  # its namespaces
        self.informer = Informer(dict.fromkeys(read), reduced=KINDS)
        self.bucket: bus.Bucket | None = None
        """Of all objects, when it is open."""
        self._no_store = ""
        self.parts = [RunningService(self, service, settings) for service, settings in services]

    @property
    def problem(self) -> str:
        """Why not everything serves, for people; empty if it does."""
        if not self.bus.connected:
            return f"the bus is not connected: {self.bus.reason}"
        return self._no_store or "; ".join(f"{each.name}: {each.problem}" for each in self.parts if each.problem)

    def services(self) -> list[ServiceFigures]:
        """How each is."""
        return [
            ServiceFigures(service=each.name, ready=not each.problem, failures=each.failures) for each in self.parts
        ]

    def metrics(self) -> list[Figures]:
        """Of all controllers."""
        return figures(controller for part in self.parts for controller in part.controllers)

    async def serve(self, stop: asyncio.Event) -> None:
        """Run all services until `stop`, then drain them. What a part of the process raises, if one ends."""
        async with asyncio.TaskGroup() as group:
            shared = [
                group.create_task(endless(self._feed, "the informer")),
                group.create_task(endless(self._retry, "the look for a new connection")),
            ]
            tasks = {part: group.create_task(part.keep(stop), name=part.name) for part in self.parts}
            await stop.wait()
            for part, task in tasks.items():
                if not part.serving:
                    task.cancel()
            await asyncio.wait(tasks.values())
            for task in shared:
                task.cancel()

    async def _feed(self) -> None:
        """The informer, as soon as the store can be opened."""
        backoff = Backoff(FIRST_S, LONGEST_S)
        while self.bucket is None:
            await self.bus.ready()
            try:
                if any(each.name == MAKER for each in self.parts):
                    await make_all(self.bus, self.replicas)
                self.bucket = await self.bus.bucket(subjects.RESOURCES)
            except StatusError as error:
                self._no_store = error.message
                await asyncio.sleep(backoff.next())
        self._no_store = ""
        await self.informer.feed(self.bucket)

    async def _retry(self) -> None:
        """What failed while the bus was away is tried again as soon as it is back, not when its pause is over."""
        generation = self.bus.generation
        while True:
            await asyncio.sleep(RECONNECTED_S)
            if self.bus.generation != generation and self.bus.connected:
                generation = self.bus.generation
                for part in self.parts:
                    for controller in part.controllers:
                        controller.retry()


class RunningService:
    """One service of a process: started, and started again when it fails."""

    def __init__(self, process: Process, service: Some, settings: Settings) -> None:
        self.name = service.name
        self._process, self._service, self._settings = process, service, settings
        self._phase = "starting"
        self.serving = False
        """Whether it has something to drain; before that, a stop of the process simply ends it."""
        self.controllers: tuple[Controller[Any], ...] = ()
        self._own: tuple[bus.Bus, ...] = ()
        """Its connections besides the process's."""
        self.failures = 0

    @property
    def problem(self) -> str:
        """Why it does not serve, or which keys do not get done; empty if all is well."""
        if self._phase:
            return self._phase
        problems = [
            f"one of its connections to the bus is lost: {each.reason}" for each in self._own if not each.connected
        ]
        return "; ".join([*problems, *(each.problem for each in self.controllers if each.problem)])

    async def keep(self, stop: asyncio.Event) -> None:
        """Run until `stop`, again after each failure, with growing pauses."""
        loop, backoff = asyncio.get_running_loop(), Backoff(FIRST_S, LONGEST_S)
        while not stop.is_set():
            started = loop.time()
            self._phase = await self._once(stop)
            self.controllers, self._own, self.serving = (), (), False
            if stop.is_set():
                return
            if loop.time() - started > STABLE_S:
                backoff.reset()
            await _until(stop, backoff.next())

    async def _once(self, stop: asyncio.Event) -> str:
        """Why it ended, in words for people; a bug is logged in full and named without its text."""
        try:
            await self._live(stop)
        except Exception as error:
            self.failures += 1
            known = expected(error)
            if known is not None:
                log.error("a service failed", extra={"service": self.name, "error": str(known)})  # noqa: TRY400
                return str(known)
            log.critical("a service ended by a bug", extra={"service": self.name}, exc_info=error)
            return "it failed; the log says why"
        return "stopping"

    async def _live(self, stop: asyncio.Event) -> None:
        """From start to stop."""
        async with AsyncExitStack() as closing:
            await self._serve(await self._opened(closing), stop)

    async def _opened(self, closing: AsyncExitStack) -> Context[Any, Any]:
        process = self._process
        self._phase = "waiting for the bus"
        await process.bus.ready()
        self._phase = "reading the store"
        await process.informer.filled.wait()
        if process.bucket is None:
            raise AssertionError("the informer was filled from a bucket")
        self._phase = "starting"
        events, leaders = await asyncio.gather(
            process.bus.bucket(subjects.EVENTS), process.bus.bucket(subjects.LEADERS)
        )
        asked = await self._another(closing, "asked") if self._service.admits else process.bus
        heard = await self._another(closing, "heard") if self._service.hears_outsiders else process.bus
        context: Context[Any, Any] = Context(
            name=self.name,
            settings=self._settings,
            bus=process.bus,
            asked=asked,
            heard=heard,
            bus_settings=process.bus_settings,
            bucket=process.bucket,
            informer=process.informer.view(self.name, (*self._service.rules, *self._service.needs)),
            recorder=Recorder(events, self.name, publisher=EventPublisher.of(process.bus, process.bucket, self.name)),
            lease=Lease(leaders, self.name, _holder(), timers=process.timers),
            timers=process.timers,
            replicas=process.replicas,
            tracer=process.tracer,
            closing=closing,
        )
        context.derivation = await derivation(context, self._service.rules)
        context.state = await closing.enter_async_context(self._service.state(context))
        return context

    async def _another(self, closing: AsyncExitStack, name: str) -> bus.Bus:
        """A connection of this service alone."""
        made = await closing.enter_async_context(self._process.bus.another(f"{self.name}-{name}"))
        self._own = (*self._own, made)
        return made

    async def _serve(self, context: Context[Any, Any], stop: asyncio.Event) -> None:
        service = self._service
        stores = {context.store(kind): make(context) for kind, make in service.rules.items()}
        self.controllers = (*(make(context) for make in service.controllers), *self._collectors(context, stores))
        works = [context.recorder.run, context.informer.fails, *(make(context) for make in service.tasks)]
        works += [context.derivation.run] if context.derivation else []
        works += [context.lease.run] if context.leads else []
        self.serving = True
        async with asyncio.TaskGroup() as group:
            working: list[asyncio.Task[Any]] = [
                group.create_task(endless(work, f"{self.name}'s {work.__qualname__}")) for work in works
            ]
            working += [group.create_task(each.run(), name=each.name) for each in self.controllers]
            registrations = self._registered(
                context,
                [
                    Writes(store, rules, check_namespace=checks(self._process.informer))
                    for store, rules in stores.items()
                ],
            )
            try:
                await asyncio.gather(*(each.ready() for each in (context.bus, context.asked, context.heard)))
                self._phase = ""
                await stop.wait()
            finally:
                for registration in registrations:
                    registration.stop()
            self._phase = "stopping"
            await asyncio.gather(*(each.drain() for each in self.controllers))
            for task in working:
                task.cancel()
        if context.leads:
            await context.lease.release()

    def _collectors(self, context: Context[Any, Any], stores: Mapping[Store, Rules]) -> list[Controller[Any]]:
        """What takes away objects of the service's kinds that are deleted, that lack their owners, or their namespaces."""
        sweeping = context.controller("sweep", sweeper(context.informer, stores))
        for store in stores:
            sweeping.add(store.kind.plural)
        # owners can be of any kind, also of one that the service does not read
        collecting = partial(context.controller, "garbage", workers=AT_ONCE)
        garbage = Garbage(self._process.informer, stores, context.recorder, collecting)
        context.closing.callback(garbage.stop)
        controllers: list[Controller[Any]] = [sweeping, garbage.controller]
        if any(store.kind.namespaced for store in stores):
            emptying = partial(context.controller, "namespaces")
            contents = NamespaceContents(self._process.informer, stores, emptying)
            context.closing.callback(contents.stop)
            controllers.append(contents.controller)
        return controllers

    def _registered(self, context: Context[Any, Any], writes: Sequence[Writes]) -> list[bus.Registration]:
        """What the service answers and hears, from now on."""
        service = self._service
        endpoints: dict[str, bus.EndpointHandler] = {each.subject: each.bound(context) for each in service.typed}
        metadata: dict[str, bus.Metadata] = {each.subject: each.metadata for each in service.typed}
        callers = Callers(self._process.trust_roots, refused=partial(context.recorder.system, "AttackRefused"))
        asked: list[Writes | Actions | Searches] = [*writes, *service.acts(context), *service.finds(context)]
        for owned in asked:
            answered = owned.endpoints(callers)
            endpoints |= answered
            answers = {} if isinstance(owned, Writes) else owned.answers()
            metadata |= {
                each: partial(described, asked_for(each), Write, answers.get(each, WriteAnswer)) for each in answered
            }
        served = context.bus.serve(
            self.name,
            skerry.__version__,
            endpoints,
            description=service.description,
            metadata=metadata,
            data=lambda: figures(self.controllers),
            admits={each.subject: each.admits(context) for each in service.typed if each.admit is not None},
            asked=context.asked,
        )
        heard = [
            connection.subscribe(subject, partial(handler, context))
            for connection, hears in ((context.bus, service.hears), (context.heard, service.hears_outsiders))
            for subject, handler in hears.items()
        ]
        return [served, *heard]


def expected(error: BaseException) -> SkerryError | None:
    """The error on purpose inside `error`, if there is nothing else in it."""
    if isinstance(error, BaseExceptionGroup):
        errors = [expected(inner) for inner in error.exceptions]
        return next((each for each in errors if each is not None), None) if all(errors) else None
    return error if isinstance(error, SkerryError) else None


async def _until(stop: asyncio.Event, pause_s: float) -> None:
    try:
        async with asyncio.timeout(pause_s):
            await stop.wait()
    except TimeoutError:
        return


def _holder() -> str:
    """The name of one lease of this process, for people who look who leads: machine, process, and what no other one has."""
    return f"{socket.gethostname()[:63]}/{os.getpid()}/{secrets.token_hex(8)}"
