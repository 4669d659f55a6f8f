"""The registry as one coroutine, for its own process or for the controller-manager."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

import skerry
from services.registry import secrets
from services.registry.connecting import Connections
from services.registry.controller import Controller
from services.registry.handlers import ClusterRules, Handlers, TokenRules, wall_and_mono
from services.registry.model import Now, Presence
from services.registry.prober import Prober
from services.registry.quarantine import Quarantine
from services.registry.settings import RegistrySettings
from services.registry.store import Registry
from skerry import subjects
from skerry.admission import Writes
from skerry.api.kinds import CLUSTER, JOIN_TOKEN, KINDS, owned_by
from skerry.bus import BucketConfig, Bus
from skerry.controller.events import record_events
from skerry.controller.garbage import Garbage
from skerry.controller.recorder import Recorder
from skerry.identity.federation import Authority
from skerry.identity.resolver import Resolver
from skerry.informer import Cache
from skerry.runtime import endless, look
from skerry.storage import Store, events_bucket

SERVICE = "registry"


async def run(
    bus: Bus,
    system: Bus,
    settings: RegistrySettings,
    authority: Authority,
    ca_pem: str,
    ready: Callable[[str], None],
    stop: asyncio.Event,
    clock: Callable[[], Now] = wall_and_mono,
) -> None:
    """Serve until `stop`. `system` is a connection in the account SYS; `ready(reason)` is told why it is not ready, and
    `""` when it is. Conflict if the bus has another host; any StatusError if it cannot start.
    """
    ready("waiting for the bus")
    await bus.ready()
    config = BucketConfig(replicas=settings.replicas)
    bucket = await bus.bucket(subjects.RESOURCES, create=config)
    registry = Registry(
        settings=settings,
        authority=authority,
        ca_pem=ca_pem,
        clusters=Store(bucket, CLUSTER),
        tokens=Store(bucket, JOIN_TOKEN),
        cache=Cache(KINDS),
        secrets=secrets.Secrets(
            await bus.bucket(secrets.BUCKET, create=config),
            secrets.load_key(settings.secrets_key_file or settings.keys_dir / "secrets.key"),
        ),
        resolver=Resolver(system),
    )
    await registry.claim_host(clock())
    async with asyncio.TaskGroup() as tasks:
        feeding = tasks.create_task(endless(partial(registry.cache.feed, bucket), "the registry's cache"))
        ready("reading the store")
        await registry.cache.filled.wait()
        recorder = Recorder(await events_bucket(bus, settings.replicas), SERVICE)
        record_events(registry.cache, recorder, owned_by(SERVICE))
        telling = tasks.create_task(endless(recorder.run, "the registry's recorder"))
        await _serve(bus, registry, recorder, ready, stop, clock)
        for task in (feeding, telling):
            task.cancel()


async def _serve(
    bus: Bus,
    registry: Registry,
    recorder: Recorder,
    ready: Callable[[str], None],
    stop: asyncio.Event,
    clock: Callable[[], Now],
) -> None:
    presence = Presence()
    controller = Controller(registry, presence, bus, clock)
    quarantine = Quarantine(registry, clock)
    handlers = Handlers(registry, presence, controller.changed, quarantine.heartbeats, clock)
    prober = Prober(registry, bus, clock)
    connections = Connections(registry, prober.changed)
    controller.start()
    quarantine.start()
    await controller.restore_accounts()
    cluster_rules, token_rules = ClusterRules(controller.evict), TokenRules(registry)
    endpoints = {
        **handlers.endpoints(),
        **connections.endpoints(),
        **Writes(registry.clusters, cluster_rules).endpoints(),
        **Writes(registry.tokens, token_rules).endpoints(),
    }
    owned = {registry.clusters: cluster_rules, registry.tokens: token_rules}
    garbage = Garbage(registry.cache, owned, recorder)
    served = [
        bus.subscribe(subjects.HEARTBEATS, handlers.heartbeat),
        bus.subscribe(subjects.CONNECTS, handlers.connected),
        bus.subscribe(subjects.DISCONNECTS, handlers.disconnected),
        bus.subscribe(subjects.QUARANTINES, quarantine.reported),
        bus.serve(SERVICE, skerry.__version__, endpoints, description="clusters, join tokens, presence"),
    ]
    try:
        async with asyncio.TaskGroup() as tasks:
            works = (controller.write, controller.watch, controller.tidy, prober.run, quarantine.keep, garbage.run)
            working = [tasks.create_task(endless(work, f"the registry's {work.__qualname__}")) for work in works]
            await bus.ready()
            working.append(tasks.create_task(look(lambda: controller.problem, ready)))
            await stop.wait()
            working.pop().cancel()
            ready("stopping")
            for task in working:
                task.cancel()
    finally:
        for registration in served:
            registration.stop()
