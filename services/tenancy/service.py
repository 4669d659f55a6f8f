"""Tenancy as one coroutine, for its own process or for the controller-manager."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

import skerry
from services.tenancy.controller import Controller
from services.tenancy.handlers import CredentialRules, GrantRules, WorkspaceRules
from services.tenancy.settings import TenancySettings
from skerry import subjects
from skerry.admission import Rules, Writes
from skerry.api.kinds import ACCESS_GRANT, CREDENTIAL, KINDS, WORKSPACE, owned_by
from skerry.bus import BucketConfig, Bus
from skerry.controller.events import record_events
from skerry.controller.garbage import Garbage
from skerry.controller.recorder import Recorder
from skerry.informer import Cache
from skerry.runtime import endless, look
from skerry.storage import Store, events_bucket

SERVICE = "tenancy"


async def run(bus: Bus, settings: TenancySettings, ready: Callable[[str], None], stop: asyncio.Event) -> None:
    """Serve until `stop`. `ready(reason)` is told why it is not ready, and `""` when it is. StatusError if it fails."""
    ready("waiting for the bus")
    await bus.ready()
    bucket = await bus.bucket(subjects.RESOURCES, create=BucketConfig(replicas=settings.replicas))
    cache = Cache(KINDS)
    rules: dict[Store, Rules] = {
        Store(bucket, CREDENTIAL): CredentialRules(),
        Store(bucket, WORKSPACE): WorkspaceRules(),
        Store(bucket, ACCESS_GRANT): GrantRules(),
    }
    controller = Controller(tuple(rules), cache, settings.admin_token_file)
    async with asyncio.TaskGroup() as tasks:
        feeding = tasks.create_task(endless(partial(cache.feed, bucket), "tenancy's cache"))
        ready("reading the store")
        await cache.filled.wait()
        await controller.round()
        endpoints = {
            subject: handler
            for store, admission in rules.items()
            for subject, handler in Writes(store, admission).endpoints().items()
        }
        service = bus.serve(SERVICE, skerry.__version__, endpoints, description="credentials, workspaces, grants")
        recorder = Recorder(await events_bucket(bus, settings.replicas), SERVICE)
        collecting = tasks.create_task(endless(Garbage(cache, rules, recorder).run, "tenancy's garbage collection"))
        record_events(cache, recorder, owned_by(SERVICE))
        telling = tasks.create_task(endless(recorder.run, "tenancy's recorder"))
        try:
            working = tasks.create_task(endless(controller.run, "tenancy's controller"))
            await bus.ready()
            looking = tasks.create_task(look(lambda: controller.problem, ready))
            await stop.wait()
            looking.cancel()
            ready("stopping")
        finally:
            service.stop()
        for task in (feeding, collecting, telling, working):
            task.cancel()
