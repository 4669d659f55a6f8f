"""The keys of the host that runs here, with the connections that moving what they sign or seal takes."""

from __future__ import annotations

import asyncio
import getpass
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from skerry import __version__, subjects
from skerry.api.kinds import CLUSTER
from skerry.api.messages import HOST
from skerry.api.text import clean
from skerry.bus import Bus
from skerry.cli import bootstrap, hostbus
from skerry.cli.failure import USAGE, Failure
from skerry.cli.keys.accounts import HostBus, HostKey, OperatorSigningKey, SysKey
from skerry.cli.keys.rotation import RotatingKey, Tell
from skerry.cli.keys.secrets import SealedBucket, SecretsKey
from skerry.cli.keys.trust import TrustRootKey
from skerry.cli.plan import Plan, RunStatus, read_plan
from skerry.cli.term import program, say
from skerry.controller.publisher import EventPublisher
from skerry.controller.recorder import Recorder
from skerry.errors import StatusError
from skerry.identity.federation import Authority
from skerry.identity.keyfiles import SECRETS_KEY, KeyFiles
from skerry.identity.services import CONTROLLER_MANAGER
from skerry.storage import Store
from skerry.storage.sealed import SEALED, Keyring

REACHED_S = 20.0
LIFE_S = 3600
TOLD_S = 5.0
"""What is told of a change waits so long at most for the bus to take it."""
SECRETS = "secrets"
"""The registry's bucket of what is sealed."""


@dataclass(frozen=True, kw_only=True)
class HostKeys:
    """What the commands work on."""

    directory: Path
    authority: Authority
    keys: tuple[RotatingKey, ...]
    tell: Tell

    def key(self, name: str) -> RotatingKey:
        """The key of this name. Failure (usage) if there is none."""
        for each in self.keys:
            if each.name == name:
                return each
        raise Failure(f"there is no key {name!r}: use one of {', '.join(each.name for each in self.keys)}", USAGE)


@asynccontextmanager
async def opened(host: Path, status: RunStatus) -> AsyncIterator[HostKeys]:
    """Of the host in the directory `host`. Failure if its bus does not answer."""
    options = status.options
    directory = bootstrap.keys_of(host, options)
    authority = Authority.load(directory)
    settings = hostbus.settings(host, options, "skerry keys")
    async with Bus(settings, partial(authority.service_credentials, CONTROLLER_MANAGER, LIFE_S)) as bus:
        try:
            async with asyncio.timeout(REACHED_S):
                await bus.ready()
        except TimeoutError:
            raise Failure(f"the bus at {', '.join(settings.servers)} cannot be reached: {bus.reason}") from None
        host_bus = HostBus(
            host=host,
            files=KeyFiles(directory),
            authority=authority,
            settings=settings,
            configure=partial(_configure, host, status, authority),
        )
        file = directory / SECRETS_KEY
        keyring, sealed = Keyring(file), await bus.bucket(SECRETS)
        own = [SealedBucket(await bus.bucket(name), Keyring(file, service)) for service, name in SEALED.items()]
        desired, check = await bus.bucket(subjects.DESIRED), partial(_plan, host)
        trust = TrustRootKey(host_bus.files, authority, keyring, sealed, desired, check=check)
        keys = (
            OperatorSigningKey(host_bus),
            HostKey(host_bus),
            SysKey(host_bus),
            trust,
            SecretsKey(SealedBucket(sealed, keyring), *own),
        )
        yield HostKeys(directory=directory, authority=authority, keys=keys, tell=partial(_tell, bus, _person()))


async def _tell(bus: Bus, by: str, reason: str, what: str) -> None:
    """An Event of the Cluster that the host is. What cannot be stored is not told, as of every Event."""
    try:
        resources = await bus.bucket(subjects.RESOURCES)
        host = await Store(resources, CLUSTER).find(HOST)
        publisher = EventPublisher.of(bus, resources, "keys")
        recorder = Recorder(await bus.bucket(subjects.EVENTS), "keys", publisher=publisher)
    except StatusError as error:
        say(f"this is not among the Events of the host: {error.message}")
        return
    if host is None:
        return
    recorder.normal(host.document(), reason, f"{by} {what}")
    recorder.system("KeyRotated", HOST, f"{by} {what}", warning=False, details={"reason": reason})
    storing = asyncio.ensure_future(recorder.run())
    try:
        async with asyncio.timeout(TOLD_S):
            await recorder.flushed()
    except TimeoutError:
        say("this is not among the events of the host: its bus takes none")
    storing.cancel()


def _person() -> str:
    """Who runs this command, for people: the system's user, and who became that one with sudo."""
    user = getpass.getuser()
    before = clean(os.environ.get("SUDO_USER", ""), 64)
    return f"{user} ({before} with sudo)" if before and before != user else user


async def _configure(host: Path, status: RunStatus, authority: Authority) -> str:
    """Our own nats-server; what people have to do where it is another's. Failure if the host must be started anew first."""
    options = status.options
    if options.nats:
        return (
            f"give each server what skerry nats-config --nats-keys {options.nats_keys} prints, start them anew one after "
            "another, and run this again"
        )
    bootstrap.configure_bus(host, _plan(host), authority)
    os.kill(status.pid, signal.SIGUSR1)
    return ""


def _plan(host: Path) -> Plan:
    """What the supervisor was started with. Failure if that was a skerry whose processes know nothing of keys that change."""
    plan = read_plan(host)
    known = plan is not None and plan.version == __version__
    for each in plan.processes if plan is not None else ():
        known = known and "SKERRY_TRUST_ROOT" not in each.env and (each.name != "nats-server" or bool(each.revision))
    if plan is None or not known:
        raise Failure(
            f"this host was started by another version of skerry: {program()} down; {program()} up, then this again"
        )
    return plan
