"""The agent's checks before it joins: of its token, its way to the host, what the host says to the join, and its cluster.

The way to the host and the cluster are looked at side by side; results are told in the order of the list. Nothing is written
anywhere, and the token is not used up: the join is asked about, with its bearer, as a dry run.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence

from services.agent import membership as members
from services.agent.settings import Settings
from services.agent.store import AgentStore, Membership
from skerry import __version__, bus, requirements
from skerry.api.messages import JoinAnswer, JoinRequest, Token
from skerry.api.text import clean
from skerry.checks import report
from skerry.checks.bus import BusChecks, clock_of
from skerry.checks.cluster import ClusterChecks
from skerry.checks.report import Check, CheckReport, Outcome, told
from skerry.checks.run import CheckFailed, Checks
from skerry.errors import BadRequest, NotFound, ServiceUnavailable, StatusError
from skerry.identity import jointoken
from skerry.identity.creds import Credentials
from skerry.member import bindings
from skerry.member.upstream import Upstream
from skerry.settings import SettingsError, read_secret

FULL = "maximum account active connections exceeded"
"""What nats-server says of an account that has as many connections as it may."""
ASK_S = 120.0
"""For the host's answer: others may ask with the same token."""
FULL_ATTEMPTS, FULL_PAUSE_S = 30, 1.0
_BUS = ("bus.dns", "bus.tcp", "bus.tls", "bus.auth")
_MAY_PASS = frozenset({"bus.dns", "bus.tcp", "bus.tls", "clock"})
"""Where these fail, the same may work later: a network that comes up, a host that restarts, a clock that is set."""
_OF_HOST = ("clock", "host.version", "host.name", "duplicate")


class Preflight:
    """The checks of one join. What they found is here when `run` returned; `close` gives up the connection."""

    def __init__(
        self,
        settings: Settings,
        upstream: Upstream,
        tell: Callable[[Check], None] = lambda check: None,
        waiting: Callable[[str, str], None] = lambda name, what: None,
        *,
        store: AgentStore,
        membership: Membership | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`membership`: what it has joined already. `tell` and `waiting` as for Checks."""
        self._settings, self._store, self._membership, self._clock = settings, store, membership, clock
        self.token, self._problem = (None, None) if membership is not None else _token(settings)
        self.connection: bus.Connection | None = None
        named = self.token.name if self.token is not None else ""
        self.name = membership.member if membership is not None else named or settings.agent_name
        """Of the cluster; empty if nobody says."""
        host_uid = (
            membership.host_uid if membership is not None else self.token.host_uid if self.token is not None else ""
        )
        self._run = Checks(self.name or "this cluster", report.JOIN, tell, waiting)
        self.cluster = ClusterChecks(
            upstream, host_uid, take_over=settings.take_over, desired=settings.ceiling.desired != "None"
        )

    @property
    def report(self) -> CheckReport:
        """All of them, and what a join would make."""
        token = self.token
        objects = [] if token is None else [f"Cluster {self.name} on host {token.host}", *bindings.made(token.host)]
        return report.report(self._run.checks, objects)

    async def run(self) -> None:
        """Make them all. What fails is in the results."""
        async with asyncio.TaskGroup() as group:
            cluster = group.create_task(self.cluster.run(self._run))
            await self._host(cluster)

    def raise_failed(self) -> None:
        """CheckFailed for the first that failed, and that a person must mend if one is so."""
        failed = [each for each in self._run.checks if each.result == "fail"]
        lasting = [each for each in failed if each.name not in _MAY_PASS | self._run.unanswered]
        if failed:
            raise CheckFailed((lasting or failed)[0], may_pass=not lasting)

    def close(self) -> None:
        """Give up the connection."""
        if self.connection is not None:
            self.connection.abort("the checks are over")

    async def _host(self, cluster: asyncio.Task[None]) -> None:
        """The way to it, and what it says to this join."""
        run, way = self._run, self._way()
        if way is None:
            self._skip(_BUS, "not looked at, because it is not known where the host is")
            self._without_host("not looked at, because it is not known where the host is")
            return
        await way.reach(run)
        await asyncio.wait([cluster])  # others who join with the same token wait for the connection
        await way.connect(run)
        self.connection = way.connection
        if self.connection is None:
            failed = next(name for name in _BUS if not run.stands(name))
            self._without_host(f"not looked at, because {failed} did not pass", refused=way.was_refused)
        elif self.token is None:
            self._without_host("not asked, because it has joined already")
        else:
            await self._asked(self.connection, self.token)

    def _way(self) -> BusChecks | None:
        if self._membership is not None:
            of, refused = self._membership, "start the agent, which renews them, and see its log"
            try:
                user = self._store.user()
            except StatusError:
                return None
            return BusChecks(
                members.bus_settings(*self._settings.way(of.servers, of.ca), "check"), user, refused, self._clock
            )
        if self.token is None:
            return None
        token = self.token
        refused = f"it was used, revoked, or has expired; make a new one there: skerry token create {token.purpose}"
        settings = members.bus_settings(*self._settings.way(token.servers, token.ca), f"join/{token.jti}")
        return BusChecks(settings, Credentials(token.jwt), refused, self._clock, connect=_connected)

    async def _asked(self, connection: bus.Connection, token: Token) -> None:
        run, question = self._run, _TokenQuestion(connection, token, self._request(token), self._clock)
        await run.run("host.version", question.ask, waits_for=f"the answer of host {token.host}", limit_s=ASK_S)
        if question.answer is None:
            self._without_host("not asked, because the host gave no answer that is understood here")
            return
        refusals = question.answer.refusals
        run.keep("clock", clock_of(question.ahead_s))
        if "token" in refusals:
            run.keep("token", told(refusals["token"]))
            self._without_host("not told, because the token is not good")
            return
        run.keep(
            "token", _good(token, "; the host lets it in once somebody there approves it" * question.answer.pending)
        )
        run.keep("host.name", _told(refusals, "host.name", f"{self.name} is free for this cluster"))
        if self.cluster.uid:
            run.keep("duplicate", _told(refusals, "duplicate", "this cluster has no other name on this host"))
        self._without_host("not looked at, because identity did not pass")

    def _without_host(self, why: str, *, refused: bool = False) -> None:
        """What is not known yet of what the host says is skipped; the token is judged by itself."""
        if not self._run.knows("token"):
            self._run.keep("token", self._token_alone(refused=refused))
        self._skip(_OF_HOST, why)

    def _skip(self, names: Sequence[str], why: str) -> None:
        for name in names:
            if not self._run.knows(name):
                self._run.keep(name, Outcome(why, "skip"))

    def _token_alone(self, *, refused: bool) -> Outcome:
        """Without the host's word: by its end and this machine's clock, which may be wrong."""
        of, token = self._membership, self.token
        if of is not None:
            return Outcome(f"not needed: this agent has joined host {of.host} as {of.member}", "skip")
        if token is None:
            return self._problem or Outcome("it cannot be read", "fail")
        if self._clock() < token.expires:
            return _good(token)
        again = f"make a new one on the host: skerry token create {token.purpose}"
        ended = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(token.expires))
        description = f"for cluster {token.name or token.pattern} of host {token.host}, expired at {ended} UTC by this machine's clock"
        return Outcome(description, "fail" if refused else "warn", f"check the clock; if it is right, {again}")

    def _request(self, token: Token) -> JoinRequest:
        return JoinRequest(
            nkey="",
            dry_run_nkey=self._store.key().public if self._store.has_key else "",
            name=self.name,
            cluster_uid=self.cluster.uid,
            kubernetes_version=self.cluster.version,
            agent_version=__version__,
            ceiling=self._settings.ceiling,
        )


async def _connected(settings: bus.Settings, credentials: bus.Credentials) -> bus.Connection:
    """Wait while others who join with the same token use all connections that it has."""
    attempts = FULL_ATTEMPTS
    while True:
        try:
            return await bus.connect(settings, credentials)
        except ServiceUnavailable as e:
            attempts -= 1
            if FULL not in e.message or not attempts:
                raise
            await asyncio.sleep(FULL_PAUSE_S * (0.5 + random.random()))  # noqa: S311 - jitter


def _token(settings: Settings) -> tuple[Token | None, Outcome | None]:
    """The token given, or what is wrong with it. Whether it has ended is the host's to say: its clock counts."""
    if settings.token_file is None:
        give = "on the host: skerry token create NAME >token; here: skerry agent --token-file token"
        return None, Outcome("this agent has not joined a host, and no token was given", "fail", give)
    try:
        token = jointoken.decode(read_secret(settings.token_file), now=0)
    except (StatusError, SettingsError) as error:
        outcome = told(error.message if isinstance(error, StatusError) else str(error))
        return None, outcome._replace(next=outcome.next or "make one on the host: skerry token create NAME")
    if token.pattern:
        problem = jointoken.named_problem(token, settings.agent_name)
        return (None, told(problem)) if problem else (token, None)
    if settings.agent_name and settings.agent_name != token.name:
        other = f"leave --name out, or make a token for it: skerry token create {settings.agent_name}"
        return None, Outcome(
            f"it is for cluster {token.name!r}, and --name says {settings.agent_name!r}", "fail", other
        )
    return token, None


def _good(token: Token, more: str = "") -> Outcome:
    return Outcome(f"for cluster {token.name or token.pattern} of host {token.host}{more}")


def _told(refusals: dict[str, str], name: str, good: str) -> Outcome:
    return told(refusals[name]) if name in refusals else Outcome(good)


class _TokenQuestion:
    """The host's answer to the dry run, and how far this machine's clock is ahead of it."""

    def __init__(
        self, connection: bus.Connection, token: Token, request: JoinRequest, clock: Callable[[], float]
    ) -> None:
        self._connection, self._token, self._request, self._clock = connection, token, request, clock
        self.answer: JoinAnswer | None = None
        self.ahead_s = 0.0

    async def ask(self) -> Outcome:
        """Ask, and judge the host's version."""
        began = self._clock()
        try:
            self.answer = await members.ask(self._connection, self._token, self._request)
        except (BadRequest, NotFound) as error:
            return Outcome(
                f"older than this agent ({__version__}), or another one ({error.message})", "warn", "update the host"
            )
        self.ahead_s = (began + self._clock()) / 2 - self.answer.host_time
        version = clean(self.answer.host_version, 64)
        match requirements.agent_fit(__version__, version):
            case "old":
                return Outcome(f"{version}, and this agent is {__version__}", "warn", "update the agent")
            case "new":
                return Outcome(f"{version}, and this agent is {__version__}", "warn", "update the host")
            case "unknown":
                return Outcome("it does not say", "warn", "update the host")
        return Outcome(version)
