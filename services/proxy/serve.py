"""The proxy service put together: what every process that carries the front door runs (ADR 20: why it is no `Service`).

Readiness has four parts, each with its reason: the bus, the cache of resources, the pair of data-plane connections and
the record that lets members trust this process. At the end: not ready, stop taking, drain, finish within the grace.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import secrets
import time
from collections import Counter, deque
from collections.abc import Iterable
from functools import partial

import msgspec

import skerry
from services.proxy.access import AccessLog
from services.proxy.auditing.log import AuditLog
from services.proxy.authn import Authenticator
from services.proxy.cuts import Cuts
from services.proxy.events import Events, recording
from services.proxy.explaining import Explainer
from services.proxy.front import Front, FrontParts
from services.proxy.hostapi import Forwarder, HostApi
from services.proxy.hostapi.shifts import Shifts
from services.proxy.hostapi.streams import Streams
from services.proxy.members.connections import DialerSupervisor
from services.proxy.members.direct import Direct
from services.proxy.members.directory import Directory, MemberRoute
from services.proxy.members.heartbeats import HeartbeatTable
from services.proxy.members.requests import MemberRequests
from services.proxy.members.signer import AssertionSigner
from services.proxy.metrics import Metrics
from services.proxy.recording.desk import RecordingDesk
from services.proxy.recording.serving import RecordingReader
from services.proxy.recording.store import Recordings
from services.proxy.sessions import Session, Sessions
from services.proxy.settings import ProxySettings, addresses, bus_settings, server_limits, source
from services.proxy.tls import Certificates
from services.proxy.tokens import Tokens
from skerry import bus, heartbeats, subjects
from skerry.access import Access, Touched
from skerry.api.decode import decoder
from skerry.api.kinds import EVENT, KINDS, SERVED
from skerry.api.messages import TokenReview, TokenReviewAnswer
from skerry.api.proxyreports import CutReport, FloodReport
from skerry.errors import ServiceUnavailable, StatusError
from skerry.heartbeats import Hearing
from skerry.http import Server
from skerry.httpwire.room import Room
from skerry.informer import Change, Informer
from skerry.informer.granted import follow
from skerry.link import LinkSettings
from skerry.runtime import Runtime, endless, give_back_freed_memory
from skerry.settings import load_or_help
from skerry.telemetry import MetricsRegistry
from skerry.tracing import Tracer

log = logging.getLogger("skerry.proxy")

STARTING_S, WATCHING_S = 0.05, 1.0
"""How often readiness is looked at, before and after the first time."""
REVIEW_S = 1.0
"""Sessions are reviewed at every change of credentials or members, and so often for those that expire."""
GATHER_S = 0.05
"""Changes of what people may do come in crowds: live requests are decided again once for all that come in so long."""
LEFT_S = 60.0
"""For so long after a member went nothing is kept of it, whatever a request that had begun before does."""
RETRY_S = 0.2
"""Between looks for the bucket of resources, which the registry makes at its first start."""
EVENTS_RETRY_S = 1.0
AFTER_GRACE_S = 5.0
ABOUT = "the front door: clients, and the way to members"
REVIEW_TOKEN_S = 15.0
"""How long an answer about a token is awaited: its provider may have to be asked for keys first."""

_decode_review = decoder(TokenReviewAnswer)


class Proxy:
    """One proxy process. `serve` runs until the runtime's stop event, then drains."""

    def __init__(self, settings: ProxySettings, connected: bus.Bus, bus_settings: bus.Settings) -> None:
        self._settings = settings
        self._bus, self._streaming = connected, connected.another("streams")
        self.id = "P" + secrets.token_hex(8)
        self._changed = asyncio.Event()
        self._cache = Informer(KINDS)
        self._events = Informer((EVENT,))
        self._granted = Access()
        self._touched: list[Touched] = []
        """Whose access may be another than when their live requests were decided."""
        self._shifts = Shifts(time.time, lambda: self._events.revision)
        follow(self._cache, self._granted, self._touch)
        self._left: deque[tuple[float, MemberRoute]] = deque()
        """Members that went, and when: a request that had begun could bring back what is kept of them."""
        self.directory = Directory(self._cache, self._changed.set, self._leaves)
        self.sessions = Sessions(settings, time.time)
        self.heartbeats = HeartbeatTable(
            lambda name: bool(self.directory.uid(name)),
            time.monotonic,
            time.time,
            lambda member: self._flooding(member, "heartbeats"),
        )
        self._hearing = Hearing()
        self._signer = AssertionSigner(connected, self.id, time.time)
        room = Room(settings.head_bytes)
        self._dialers = DialerSupervisor(
            bus_settings,
            lambda: source(settings),
            drain_s=settings.session_s,
            on_flood=lambda member: self._flooding(member, "frames"),
            beating=self.heartbeats.connections,
            link=LinkSettings(budget=settings.budget_bytes, stall_s=settings.stalled_s),
            room=room,
        )
        self._direct = Direct(
            connected,
            self._signer,
            connections=settings.upstream_connections,
            room=room,
            own=settings.host_kubeconfig,
        )
        self._metrics = Metrics(
            MetricsRegistry(), lambda: float(len(self.sessions)), lambda: float(self._dialers.granted)
        )
        recordings = Recordings(connected)
        self.recordings, self._played = RecordingDesk(recordings), RecordingReader(recordings)
        self._access = AccessLog()
        self._cuts = Cuts()
        self._recorder = recording(connected, settings.host_uid)
        self.audit = AuditLog(
            connected, self.id, settings.host_uid, self._signer, self._metrics, self._cache, self._recorder
        )
        self._reports: asyncio.Queue[tuple[str, FloodReport | CutReport]] = asyncio.Queue()
        self._no_store = ""
        self._certificates = Certificates(settings)
        self._tokens = Tokens(
            self._review_token, self.directory.provider, self._cache.current, time.time, time.monotonic
        )
        self._authenticator = Authenticator(
            self.directory.credential,
            time.time,
            provider=self.directory.provider,
            authority=lambda: self._certificates.authority,
            revoked=self.directory.revoked,
            refused=self._tokens.refused,
            own=self.directory.own,
        )
        self._server = Server(
            Front(self._parts()).handle,
            self._certificates.context,
            server_limits(settings),
            by_name=self._certificates.by_name,
            room=room,
            ours=self._certificates.ours,
        )

    def _parts(self) -> FrontParts:
        limits, forwarder = self._settings, Forwarder(self._bus, self._signer.request, self._streaming)
        members = MemberRequests(
            granted=self._granted,
            limits=self._settings,
            directory=self.directory,
            sessions=self.sessions,
            heartbeats=self.heartbeats,
            signer=self._signer,
            dialers=self._dialers,
            direct=self._direct,
            recordings=self.recordings,
            metrics=self._metrics,
        )
        return FrontParts(
            host_uid=self._settings.host_uid,
            authenticator=self._authenticator,
            tokens=self._tokens,
            certificates=self._certificates,
            granted=self._granted,
            sessions=self.sessions,
            members=members,
            host_api=HostApi(
                self._cache,
                forwarder,
                SERVED,
                self.heartbeats.live,
                events=self._events,
                granted=self._granted,
                shifts=self._shifts,
                streams=Streams(uploads=limits.uploads, uploads_per_user=limits.uploads_per_user),
            ),
            events=Events(self._bus),
            explainer=Explainer(members, self._granted, self._cache, self._bus, self.directory),
            metrics=self._metrics,
            recorder=self._recorder,
            access=self._access,
            audit=self.audit,
            cuts=self._cuts,
            recordings=self._played,
            not_ready=self.not_ready,
            caught_up=self._cache.current,
        )

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Where it listens."""
        return self._server.addresses

    def not_ready(self) -> str:
        """Why requests cannot be served now, for people; empty if they can."""
        if self.sessions.draining or self._server.lingering:
            return "stopping"
        if not self._bus.connected:
            return f"bus: {self._bus.reason}"
        if not self._cache.filled.is_set():
            return self._no_store or "the resources are not read yet"
        if not self._dialers.ready:
            return self._dialers.reason
        return self.audit.problem if self._signer.ready else self._signer.reason

    async def serve(self, runtime: Runtime) -> None:
        """Listen at once, be ready when everything is there, drain at the end."""
        runtime.grace_s = self._settings.linger_s + self._settings.grace_s + AFTER_GRACE_S
        for subject in (subjects.HEARTBEATS, subjects.PROBES):
            self._bus.subscribe(subject, self._heard)
        self._bus.serve("proxy", skerry.__version__, {}, description=ABOUT, data=lambda: {"live": len(self.sessions)})
        for host, port in addresses(self._settings.listen):
            await self._server.start(host, port)
        log.info("listening", extra={"addresses": self.addresses, "proxy": self.id})
        async with self._streaming, asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(endless(self._feed, "the front door's resources")),
                group.create_task(endless(self._feed_events, "the front door's events")),
                group.create_task(endless(self._recorder.run, "the front door's own events")),
                group.create_task(endless(self._signer.keep, "the front door's certificate")),
                group.create_task(self._dialers.keep(), name="dialers"),
                group.create_task(endless(self._review, "the front door's review")),
                group.create_task(endless(self._report, "the front door's quarantines")),
                group.create_task(endless(self.audit.keep, "the front door's audit log")),
                group.create_task(endless(partial(self._tell, runtime), "the front door's readiness")),
            ]
            await runtime.stop.wait()
            await self._drain(runtime)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            await self.audit.close()
        await self._direct.close()
        self._cuts.flush()
        self._access.flush()

    async def _feed(self) -> None:
        """The cache, from the moment at which the registry has made the bucket."""
        while True:
            try:
                bucket = await self._bus.bucket(subjects.RESOURCES)
            except StatusError as error:
                self._no_store = error.message
                await asyncio.sleep(RETRY_S)
            else:
                self._no_store = ""
                await self._cache.feed(bucket)

    async def _feed_events(self) -> None:
        """The same for Events. Nothing depends on them: a proxy is ready without."""
        while True:
            try:
                bucket = await self._bus.bucket(subjects.EVENTS)
            except StatusError as error:
                log.debug("the bucket of events is not there yet", extra={"error": error.message})
                await asyncio.sleep(EVENTS_RETRY_S)
            else:
                await self._events.feed(bucket)

    async def _tell(self, runtime: Runtime) -> None:
        was_ready = False
        while True:
            reason = self.not_ready()
            if reason:
                runtime.not_ready(reason)
            else:
                runtime.ready()
                if not was_ready:
                    give_back_freed_memory()
                was_ready = True
            await asyncio.sleep(WATCHING_S if was_ready else STARTING_S)
            if was_ready:
                self._certificates.reload()

    async def _review(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            before = loop.time()
            try:
                async with asyncio.timeout(REVIEW_S):
                    await self._changed.wait()
            except TimeoutError:
                pass
            self._changed.clear()
            if self._hearing.begins(
                self._bus.generation if self._bus.connected else 0, loop.time() - before - REVIEW_S
            ):
                self.heartbeats.forget_all()
            if not self._cache.filled.is_set():
                continue
            cut = self.sessions.review(self._authenticator.holds, self.directory.uid)
            self._tell_cut(cut)
            self._forget(loop.time())
            await self._reconsider()

    async def _review_token(self, token: str) -> TokenReviewAnswer:
        """Ask tenancy whom a token names. StatusError."""
        question = msgspec.json.encode(TokenReview(token=token))
        reply = await self._bus.request(subjects.TOKEN_REVIEWS, question, timeout_s=REVIEW_TOKEN_S)
        try:
            return _decode_review(reply.data)
        except msgspec.DecodeError as error:
            raise ServiceUnavailable("tenancy's answer about a token cannot be read") from error

    def _touch(self, touched: Touched, change: Change) -> None:
        self._shifts.note(touched, change.revision, known=change.old is not None)
        if len(self.sessions) and any(touched):
            self._touched.append(touched)
            self._changed.set()

    async def _reconsider(self) -> None:
        """Decide live requests again, after what changes together has come together."""
        if not self._touched:
            return
        await asyncio.sleep(GATHER_S)
        touched, self._touched = self._touched, []
        self.sessions.reconsider(
            Touched(
                frozenset().union(*(each.subjects for each in touched)),
                frozenset().union(*(each.clusters for each in touched)),
            )
        )

    def _leaves(self, member: MemberRoute) -> None:
        self._left.append((asyncio.get_running_loop().time(), member))

    def _forget(self, now: float) -> None:
        """Drop what is kept of members that went; for a while again and again."""
        for _, member in self._left:
            if not self.directory.uid(member.name):
                self.heartbeats.forget(member.name)
            if not self.directory.has(member):
                self._direct.forget(member.uid)
        while self._left and self._left[0][0] + LEFT_S < now:
            self._left.popleft()

    def _heard(self, message: bus.Message) -> None:
        if self.heartbeats.heard(message.subject, message.data):
            message.mute(heartbeats.AGAIN_S)

    def _flooding(self, member: str, of: str) -> None:
        self._recorder.system("Flooded", member, f"too many {of} of its agents", cluster=member)
        self._reports.put_nowait((subjects.quarantine(member), FloodReport(of=of)))

    def _tell_cut(self, cut: Iterable[Session]) -> None:
        """Who removes a member is told how many live requests ended with it."""
        ended = Counter((each.member, each.uid) for each in cut if each.member and not self.directory.uid(each.member))
        for (member, uid), streams in ended.items():
            self._reports.put_nowait((subjects.cut(member), CutReport(uid=uid, streams=streams)))

    async def _report(self) -> None:
        """Tell the registries of members that flooded us, which are cut off here already, and of requests that were cut."""
        while True:
            subject, report = await self._reports.get()
            try:
                await self._bus.publish(subject, msgspec.json.encode(report))
            except StatusError as error:
                log.warning("a report is lost", extra={"subject": subject, "error": error.message})

    async def _drain(self, runtime: Runtime) -> None:
        runtime.not_ready("stopping")
        self._recorder.system("Draining", self.id, "it takes no new requests", warning=False)
        if self._settings.linger_s > 0:
            log.info("lingering", extra={"linger_s": self._settings.linger_s})
            self._server.linger()
            await asyncio.sleep(self._settings.linger_s)
        self.sessions.drain()
        grace_s = self._settings.grace_s
        await asyncio.gather(self._server.close(grace_s), self._dialers.drain(grace_s))


async def main(runtime: Runtime) -> None:
    """Be a process that runs one proxy until the stop event. Raises SettingsError and what listening raises."""
    settings = load_or_help(ProxySettings, runtime.name)
    gc.freeze()
    addresses(settings.listen)
    how = bus_settings(settings, runtime.name)
    tracer = Tracer() if settings.tracing else None
    async with bus.Bus(how, lambda: source(settings), tracer) as connected:
        await Proxy(settings, connected, how).serve(runtime)
