"""Two members and a host at work on a real server, and watchers of everything: what comes of an attack is what they saw.

`World.effects` gives it as short lines, and knows no attack:

    host SUBJECT      a message of the attacker came to the account HOST, or one that it had sent there by a reply
    victim SUBJECT    one came to the victim's account
    bearer SUBJECT    one came to the account of another join token
    kv BUCKET KEY     a key was written; of objects: their kind and name. Leases and what is told of stored objects (Events, the
                      stream EVENTS, which come when they come) are the host's own work
    streams           a stream was made, or is gone
    heard SUBJECT     the attacker heard what was meant for somebody else
    server reloaded   nats-server has read its configuration again
    victim lost       the victim's connection, or its place on the host, is gone
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable

from services.registry import secrets
from skerry import subjects
from skerry.api.kinds import JOIN_TOKEN
from skerry.api.messages import JoinAnswer
from skerry.bus import Connection, Message
from skerry.errors import StatusError
from skerry.identity import jointoken, jwt, nkey
from skerry.identity.creds import Credentials
from skerry.identity.nkey import KeyType
from skerry.storage.sealed import Keyring
from tests.fixtures.nats import NatsHost
from tests.registry.conftest import Agent, Client, Running, client_of

EVIL = "evil-7c1f"
"""In every message of an attacker."""
WORK = b"work-7c1f"
"""In the host's messages to the victim, which nobody else may hear."""
VICTIM = "victim"
OWN_WORK = {"leaders", "events", "EVENTS"}
"""Buckets and streams in which the host writes at any time; what an attacker writes there is seen as a message."""


class World:
    """Made by `world`."""

    def __init__(self, host: NatsHost, client: Client, everything: Connection, system: Connection) -> None:
        self.host, self.client, self.everything, self._system = host, client, everything, system
        self.victim = Agent(host, VICTIM)
        self.mallory = Agent(host, "mallory")
        self.answers: dict[str, JoinAnswer] = {}
        self.tokens: dict[str, str] = {}
        """Texts of join tokens that nobody has used: `bearer` is the attacker's."""
        self.recorded: dict[str, bytes] = {}
        """What the victim asked, by subject, as it went over the wire."""
        self.seen: set[str] = set()
        self.connection: Connection
        """The victim's."""
        self._before: dict[str, int] = {}
        self._loaded = ""

    async def wide(self, member: str, ttl_s: float = 3600) -> Credentials:
        """A user of a member's account without any permission of its own, as the stolen seed of the account makes one."""
        async with self.host.bus("registry") as bus:
            bucket = await bus.bucket(secrets.BUCKET)
            found = await secrets.Secrets(bucket, Keyring(self.host.keys_dir / "secrets.key")).member(member)
        assert found is not None
        key = nkey.create(KeyType.USER)
        nats = {"issuer_account": found.account, "type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1}
        signer, expires = nkey.from_seed(found.seed.encode()), int(time.time() + ttl_s)
        return Credentials(jwt.encode(signer, key.public, "wide", nats, expires=expires), key.seed)

    async def token(self, name: str, **spec: object) -> None:
        """Make the JoinToken of that name."""
        document = {"metadata": {"name": name}, "spec": spec}
        self.tokens[name] = (await self.client.write(JOIN_TOKEN, "create", document=document))["status"]["token"]

    def jti(self, name: str) -> str:
        """Of a join token that was made here."""
        return jointoken.decode(self.tokens[name], 0).jti

    def bearer(self, name: str) -> Credentials:
        """Who holds a join token that was made here."""
        return Credentials(jointoken.decode(self.tokens[name], 0).jwt)

    def record(self, message: Message) -> None:
        """The first of each subject."""
        self.recorded.setdefault(message.subject, message.data)

    def named(self, subject: str) -> str:
        """The subject with a word for what is another one in each run."""
        for name in self.tokens:
            subject = subject.replace(self.jti(name), name)
        if subject.startswith("$KV.resources."):
            _, kind, _, name = subjects.parse_key(subject.removeprefix("$KV.resources."))
            return f"$KV.resources.{kind} {name}"
        return next((first for first in ("_INBOX", "_R_") if subject.startswith(f"{first}.")), subject)

    def watches(self, where: str, theirs: Callable[[Message], bool]) -> Callable[[Message], None]:
        """A handler that notes what is an attacker's."""

        def note(message: Message) -> None:
            said = EVIL in message.subject or EVIL.encode() in message.data or EVIL in str(message.headers)
            if said or theirs(message):
                name = self.named(message.subject)
                self.seen.add(f"kv {name[4:].replace('.', ' ', 1)}" if name.startswith("$KV.") else f"{where} {name}")

        return note

    async def revisions(self) -> dict[str, int]:
        """Every stream and its last sequence."""
        answer = json.loads((await self.everything.request("$JS.API.STREAM.LIST", timeout_s=5)).data)
        return {each["config"]["name"]: each["state"]["last_seq"] for each in answer["streams"]}

    async def loaded(self) -> str:
        """When the server has read its configuration last."""
        answer = json.loads((await self._system.request("$SYS.REQ.SERVER.PING.VARZ", timeout_s=5)).data)
        return str(answer["data"]["config_load_time"])

    @property
    def server(self) -> str:
        """The id of the server."""
        return str(self.everything._wire._server_info["server_id"])

    async def calm(self) -> None:
        """Forget what was seen, also what is still on its way to a watcher: an attack begins."""
        self._loaded = await self.loaded()
        await self.everything.flush()
        self.seen.clear()
        self._before = await self.revisions()

    async def effects(self) -> set[str]:
        """What came of what was done since `calm`."""
        await self.connection.flush()
        await self.everything.flush()
        after = await self.revisions()
        seen = set(self.seen)
        if set(after) != set(self._before):
            seen.add("streams")
        told = {line.split()[1] for line in seen if line.startswith("kv ")} | OWN_WORK
        moved = {name.removeprefix("KV_") for name in after if after[name] != self._before.get(name, after[name])}
        seen |= {f"kv {bucket} ?" for bucket in moved - told}
        if await self.loaded() != self._loaded:
            seen.add("server reloaded")
        try:
            await self.victim.beat(self.connection)
            await self.client.ready(VICTIM, "True")
        except (StatusError, TimeoutError):
            seen.add("victim lost")
        return seen

    async def working(self) -> None:
        """The host sends the victim something of every sort, as long as this runs."""
        while True:
            for subject in (subjects.open_any(VICTIM, "i"), subjects.to_agent(VICTIM, "A", "P", "1")):
                self.everything.publish_now(subject, WORK)
            await self.victim.beat(self.connection)
            await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def world(host: NatsHost) -> AsyncIterator[World]:
    """Made anew: an attack may leave anything behind."""
    async with (
        Running(host).running(),
        client_of(host) as client,
        host.connection(host.anybody(), "everything") as everything,
        host.connection(host.system(), "system") as system,
        contextlib.AsyncExitStack() as held,
    ):
        one = World(host, client, everything, system)
        for agent in (one.victim, one.mallory):
            one.answers[agent.name] = await agent.join(await client.token(agent.name))
        for name in ("somebody", "bearer"):
            await one.token(name, clusterName=name)
        one.connection = await held.enter_async_context(
            host.connection(one.victim.credentials(one.answers[VICTIM]), "victim")
        )
        await one.connection.subscribe(f"down.{VICTIM}.>", lambda _: None)
        watcher = await held.enter_async_context(host.connection(await one.wide(VICTIM), "watcher"))
        await watcher.subscribe(">", one.watches("victim", lambda m: WORK not in m.data and not _own(m)))
        bystander = await held.enter_async_context(host.connection(one.bearer("somebody"), "bystander"))
        await bystander.subscribe(f"{bystander.inbox().rpartition('.')[0]}.>", one.watches("bearer", lambda m: True))
        await everything.subscribe(">", one.watches("host", _foreign))
        await everything.subscribe(f"up.{VICTIM}.>", one.record)
        await one.victim.renew(one.answers[VICTIM])
        await one.victim.beat(one.connection)
        await client.ready(VICTIM, "True")
        async with asyncio.TaskGroup() as tasks:
            work = tasks.create_task(one.working())
            yield one
            work.cancel()


def _own(message: Message) -> bool:
    """The victim's own heartbeats and what comes back of them, and what the host wants on it."""
    own = (f"up.{VICTIM}.hb", f"up.{VICTIM}.svc", f"down.{VICTIM}.desired", "_INBOX.", "_R_.")
    return message.subject.startswith(own)


def _foreign(message: Message) -> bool:
    """Not of the host's making, in the account HOST, where nobody writes anything while an attack runs."""
    if message.subject.startswith((f"down.{VICTIM}.open", f"down.{VICTIM}.a.")):
        return WORK not in message.data
    if message.subject.startswith("$KV."):
        return not message.subject.startswith(("$KV.leaders.", "$KV.events."))
    return message.subject.startswith(("registry.", "tenancy.", "direct.", "probe.", "quarantine.", "cut."))
