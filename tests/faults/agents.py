"""Agents that are a connection and heartbeats and nothing else, with real credentials; and what a registry says of members,
held against when their agents were there.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from services.agent.desired import DesiredState
from services.registry.model import SUSPECT_S
from skerry import subjects
from skerry.api.conditions import DESIRED_APPLIED, FLAPPING, Verdict, condition_of
from skerry.api.decode import decoded
from skerry.api.kinds import CLUSTER
from skerry.api.messages import Heartbeat, HeartbeatAnswer
from skerry.backoff import Backoff
from skerry.bus import Bucket, Connection, Entry, Settings, connect
from skerry.errors import StatusError
from skerry.identity.creds import Credentials
from skerry.storage.documents import unseal

ANSWER_S = 10.0
_encode = msgspec.json.Encoder().encode


@dataclass(slots=True)
class Absence:
    """A time in which an agent had no connection; seconds since the epoch."""

    since: float
    until: float = math.inf
    goodbye: bool = False
    """Whether it said that it goes."""


@dataclass(slots=True)
class BareAgent:
    """One agent of a member."""

    settings: Settings
    credentials: Credentials
    name: str
    """The member's."""
    cluster_uid: str
    connection: Connection | None = None
    absences: list[Absence] = field(default_factory=list)
    starts: int = 0
    gate: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))
    """How many of those that share it connect at once: agents of one process are no machine each."""
    desired: DesiredState | None = None
    """What it keeps besides, as an agent does: must be run by whoever gives it."""
    heard: float = 0.0
    """When a heartbeat of this connection was answered first; seconds since the epoch, 0 for not yet."""

    async def come(self) -> Connection:
        """Connect as a new process would, and be heard. StatusError."""
        self.starts += 1
        async with self.gate:
            connection = await self._connected()
        try:
            await self._attached(connection)
            await self.beat(connection)
        except BaseException:
            connection.abort()
            raise
        self.connection = connection
        self.here()
        return connection

    async def _connected(self) -> Connection:
        """Another connection, named as an agent names its own."""
        name = f"{self.credentials.public}/interactive/{self.starts}"
        return await connect(msgspec.structs.replace(self.settings, name=name), self.credentials)

    async def _attached(self, connection: Connection) -> None:
        if self.desired is not None:
            await self.desired.attach(connection)

    def here(self) -> None:
        """It is there from now on."""
        if self.absences:
            self.absences[-1].until = time.time()

    async def go(self, *, goodbye: bool = False) -> None:
        """Leave, with or without a word."""
        connection, self.connection, self.heard = self.connection, None, 0.0
        self.absences.append(Absence(time.time(), goodbye=goodbye))
        if connection is not None:
            try:
                if goodbye:
                    await self.beat(connection, leaving=True)
            finally:
                connection.abort()

    async def beat(self, connection: Connection, **changes: object) -> HeartbeatAnswer:
        """One heartbeat, answered. StatusError."""
        beat = Heartbeat(
            agent=self.credentials.public,
            epoch=str(self.starts),
            version="0.1.0",
            kubernetes_version="v1.36.3",
            cluster_uid=self.cluster_uid,
            nodes=3,
            desired=None if self.desired is None else self.desired.progress,
        )
        if changes:
            beat = msgspec.structs.replace(beat, **changes)
        reply = await connection.request(subjects.heartbeat(self.name), _encode(beat), timeout_s=ANSWER_S)
        answer = decoded(reply.data, HeartbeatAnswer)
        self.heard = self.heard or time.time()
        if self.desired is not None:
            self.desired.directed(answer.desired)
        return answer

    async def serve(self, beat_s: float, first_s: float = 0.0) -> None:
        """Be there for ever, as an agent is: a lost connection is followed by another one, an unanswered heartbeat by the next.
        The first heartbeat after a connection that is there already comes after `first_s`."""
        pauses, wait_s = Backoff(longest_s=self.settings.longest_pause_s), first_s
        while True:
            if self.connection is None:
                try:
                    async with self.gate:
                        self.connection = await self._connected()
                    await self._attached(self.connection)
                except StatusError:
                    await asyncio.sleep(pauses.next())
                    continue
                wait_s = 0.0
                self.here()
            connection = self.connection
            while not connection.lost.done():
                if wait_s:
                    await asyncio.wait((connection.lost,), timeout=wait_s)
                wait_s = beat_s
                with contextlib.suppress(StatusError):
                    await self.beat(connection)
                    pauses.reset()
            await self.go()
            await asyncio.sleep(pauses.next())


@dataclass(frozen=True, slots=True)
class Written:
    """A Cluster as it was stored, and when: seconds since the epoch."""

    created: float
    ready: Verdict
    flapping: Verdict
    desired: Verdict


class Statuses:
    """What is stored of each member while `follow` runs."""

    def __init__(self) -> None:
        self.of: defaultdict[str, list[Written]] = defaultdict(list)
        self.filled = asyncio.Event()

    async def follow(self, bucket: Bucket) -> None:
        """Until cancelled."""
        prefix = subjects.key(CLUSTER.group, CLUSTER.kind, "", "")
        async with bucket.watch(f"{prefix.rpartition('.')[0]}.*") as watch:
            async for event in watch:
                if isinstance(event, Entry):
                    self.take(event)
                else:
                    self.filled.set()

    def take(self, entry: Entry) -> None:
        """A Cluster was stored."""
        if entry.value is not None:
            document = unseal(entry.value, entry.revision).document()
            verdicts = (condition_of(document, kind) for kind in ("Ready", FLAPPING, DESIRED_APPLIED))
            self.of[document["metadata"]["name"]].append(Written(entry.created, *verdicts))

    def ready(self, name: str) -> bool:
        """Whether a member is ready by the last that is known."""
        return name in self.of and self.of[name][-1].ready.status == "True"

    def settled(self, name: str) -> bool:
        """Whether a member is ready, and it is clear whether anything can be kept in place on it: the last that is written of
        one that came."""
        return self.ready(name) and self.of[name][-1].desired.reason not in ("", "Applying", "Behind")


def closest_s(written: Sequence[Written]) -> float:
    """Seconds between the two writes of one member that lie closest; infinite if there are not two. What joining stores is
    not counted: it is another's write."""
    moments = [each.created for each in written[1:]]
    return min((later - earlier for earlier, later in itertools.pairwise(moments)), default=math.inf)


def wrongly(written: Sequence[Written], absences: Sequence[Absence], lag_s: float) -> list[Written]:
    """What calls a member not ready that was there: neither away for long enough, nor gone with a word, within the last
    `lag_s` before. So much may lie between what happens and its write."""
    return [
        each
        for each in written
        if each.ready.status == "False" and not any(_explains(absence, each.created, lag_s) for absence in absences)
    ]


def _explains(absence: Absence, moment: float, lag_s: float) -> bool:
    if absence.since > moment or absence.until < moment - lag_s:
        return False
    return absence.goodbye or min(absence.until, moment) - absence.since >= SUSPECT_S - 0.1
