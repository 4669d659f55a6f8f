"""The agent process: `python -m services.agent`, or `skerry agent`. The only place that constructs adapters.

Stored credentials win over a token: a restart with the token still in the command line joins nothing anew. A token is
used when there is no membership, or when the host ended the one there was and the token is another one.
"""

from __future__ import annotations

import logging
import sys
import time
from pathlib import Path

import msgspec

from services.agent import approval
from services.agent import membership as members
from services.agent.checks import Preflight
from services.agent.controller import AgentProcess
from services.agent.desired import DesiredState
from services.agent.handlers import StreamResponder
from services.agent.health import ClusterHealth
from services.agent.membership import JoinRefused, Removed
from services.agent.model import HostClock
from services.agent.patience import patiently
from services.agent.secret import SecretStorage
from services.agent.settings import Settings
from services.agent.storage import Directory, StateError, Storage
from services.agent.store import AgentStore, Membership
from services.agent.trust import MembershipTrust
from skerry import __version__
from skerry.api.messages import JoinRequest, Token
from skerry.api.v1alpha1 import Ceiling
from skerry.checks import report
from skerry.checks.report import Check
from skerry.errors import InternalError, StatusError
from skerry.identity import jointoken
from skerry.identity.assertion import Verifier
from skerry.member import bindings
from skerry.member.credentials import CredentialError
from skerry.member.identity import Expected
from skerry.member.kubeconfig import KubeconfigError
from skerry.member.membership import MembershipCheck
from skerry.member.rotation import Rotation
from skerry.member.upstream import Upstream
from skerry.runtime import Exit, Runtime, logs_for_people, run
from skerry.settings import SettingsError, load_or_help, read_secret, redacted

log = logging.getLogger("skerry.agent")


async def main(runtime: Runtime) -> None:
    """Join if need be, then serve until stopped."""
    settings = load_or_help(Settings, "agent")
    runtime.grace_s = settings.grace_s + 5
    log.info("starting", extra={"version": __version__, **redacted(settings)})
    upstream = connect_upstream(settings)
    try:
        storage = _storage(settings, upstream)
        store = AgentStore(storage)
        settings = settings.under(_ceiling(settings, store))
        if settings.dry_run:
            await storage.reload()
            await dry_run(runtime, settings, store, upstream)
            return
        async with storage.locked():
            await serve(runtime, settings, store, upstream)
    finally:
        await upstream.close()


def _storage(settings: Settings, upstream: Upstream) -> Storage:
    secret = settings.secret
    return Directory(settings.agent_state or Path()) if secret is None else SecretStorage(upstream, *secret)


async def serve(runtime: Runtime, settings: Settings, store: AgentStore, upstream: Upstream) -> None:
    """The life of an agent whose state is held."""

    async def begin() -> Membership:
        await store.open(upstream)
        return await _usable(settings, store) or await join(runtime, settings, store, upstream)

    membership = await begin() if settings.secret is None else await patiently(runtime, begin)
    if membership is None:
        return
    life = Life(runtime)
    try:
        await _member(life, settings, store, membership, upstream)
    except Removed as e:
        await store.removed(membership, str(e))
        if life.served or _fresh_token(settings, membership) is None:
            raise
        log.warning("joining anew", extra={"reason": str(e)})
        await _member(life, settings, store, await join(runtime, settings, store, upstream), upstream)


def _ceiling(settings: Settings, store: AgentStore) -> Ceiling:
    """What is said now, or what was said last where nothing is: a forgotten flag opens nothing. In a pod what is said is all
    that holds: nothing is kept, and nothing said is no ceiling that could be known."""
    ceiling = settings.ceiling
    if settings.secret is not None:
        if not settings.says_ceiling:
            raise SettingsError(
                "with SKERRY_STATE_SECRET the whole ceiling is said at each start (SKERRY_READ_ONLY, SKERRY_NO_EXEC, "
                "SKERRY_NAMESPACES, SKERRY_CEILING_DESIRED), or SKERRY_CEILING_OFF=1"
            )
        return ceiling
    if not settings.says_ceiling:
        return store.ceiling() or Ceiling()
    try:
        stored = store.ceiling()
    except StateError as e:
        log.warning("what was said of the ceiling before is replaced", extra={"reason": str(e)})
        stored = None
    if ceiling != stored:
        before = "not said" if stored is None else stored.text
        log.warning("the ceiling is another one", extra={"ceiling": ceiling.text, "before": before})
    return ceiling


class Life:
    """Tells readiness, and remembers whether it ever served: who was removed while serving does not join by itself."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.served = False

    def ready(self, is_ready: bool, reason: str) -> None:
        """As the controller says."""
        if is_ready:
            self.served = True
            self.runtime.ready(reason)
        else:
            self.runtime.not_ready(reason)


def connect_upstream(settings: Settings) -> Upstream:
    """The member's API server, as the settings name it. Raises Exit 4 if the kubeconfig cannot be used."""
    try:
        rotation = Rotation.of(settings.kubeconfig, settings.context)
        return Upstream.rotating(rotation, connections=settings.upstream_connections)
    except (KubeconfigError, CredentialError) as e:
        raise Exit(str(e), 4) from e


async def _usable(settings: Settings, store: AgentStore) -> Membership | None:
    """The stored membership, if it holds. Raises Exit for another name or host, or one that is over and has no new token.

    One whose end is not proven is left only for a new token, and only if the bus takes none of its credentials: its end may
    have come while this agent was away, and nobody was there to be told.
    """
    membership = store.membership()
    if membership is None:
        return None
    membership = _reaching(settings, membership)
    if settings.agent_name and settings.agent_name != membership.member:
        raise Exit(
            f"{store.place} belongs to cluster {membership.member!r}, not {settings.agent_name!r}: "
            "use another --state, or the right --name"
        )
    token = _fresh_token(settings, membership)
    if token is None:
        if membership.removed:
            raise Exit(membership.removed)
        return membership
    if membership.removed:
        return None
    if await members.is_refused(store, membership):
        log.warning("the bus takes no credential of this membership: joining anew with the token that was given")
        return None
    if token.host_uid not in ("", membership.host_uid):
        raise Exit(
            f"{store.place} belongs to cluster {membership.member!r} of host {membership.host!r}, and the token is of host "
            f"{token.host!r}: use another --state, or remove it there first: skerry cluster remove {membership.member}"
        )
    return membership


def _reaching(settings: Settings, membership: Membership) -> Membership:
    """With the way to the host that is set now."""
    servers, ca = settings.way(membership.servers, membership.ca)
    return msgspec.structs.replace(membership, servers=servers, ca=ca)


def _fresh_token(settings: Settings, membership: Membership) -> Token | None:
    """The token given, if it is good and not the one that `membership` came from."""
    if settings.token_file is None:
        return None
    try:
        token = jointoken.decode(read_secret(settings.token_file))
    except (StatusError, SettingsError):
        return None
    return None if token.jti == membership.jti else token


async def join(runtime: Runtime, settings: Settings, store: AgentStore, upstream: Upstream) -> Membership:
    """All checks, then the join. Raises with one line that says what to do; leaves nothing half made."""
    over = store.membership()
    preflight = _preflight(runtime, settings, store, upstream, None)
    runtime.not_ready("checking before it joins")
    try:
        await preflight.run()
        preflight.raise_failed()
        token, connection = preflight.token, preflight.connection
        if token is None or connection is None:
            raise InternalError("the checks passed without a token or a way to the host")
        runtime.not_ready(f"joining host {token.host}")
        if over is not None and over.removed:
            await store.forget()
        key = await store.own_key()
        if settings.secret is None and settings.ceiling != Ceiling():
            await store.keep_ceiling(settings.ceiling)  # before it is a member: a start after a crash must not open it
        request = JoinRequest(
            nkey=key.public,
            name=preflight.name,
            cluster_uid=preflight.cluster.uid,
            kubernetes_version=preflight.cluster.version,
            agent_version=__version__,
            ceiling=settings.ceiling,
        )
        answer = await members.join(connection, token, request)
    except JoinRefused:
        if over is None or over.removed:
            await store.forget()
        raise
    finally:
        preflight.close()
    membership = await members.keep(store, token, request, answer, key)
    if not membership.pending:
        await _begun(membership, upstream)
    return _reaching(settings, membership)


async def _begun(membership: Membership, upstream: Upstream) -> None:
    """The host let it in: what serving needs is made on the member."""
    log.info("joined", extra={"cluster": membership.member, "host": membership.host})
    await bindings.ensure(upstream, membership.host_uid)


async def dry_run(runtime: Runtime, settings: Settings, store: AgentStore, upstream: Upstream) -> None:
    """Only the checks, on stdout; nothing is written anywhere. Exit 1 if one fails."""
    membership = await _usable(settings, store)
    preflight = _preflight(runtime, settings, store, upstream, membership, aloud=False)
    try:
        await preflight.run()
    finally:
        preflight.close()
    result = preflight.report
    if settings.output:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(result), indent=2).decode() + "\n")
    else:
        sys.stdout.write("".join(f"{line}\n" for each in result.checks for line in report.lines(each)))
        sys.stderr.write("".join(f"would make: {each}\n" for each in result.would_make))
    if result.result == "fail":
        failed = [each.name for each in result.checks if each.result == "fail"]
        raise Exit(f"{', '.join(failed)} failed; nothing was changed")


def _preflight(
    runtime: Runtime, settings: Settings, store: AgentStore, upstream: Upstream, membership: Membership | None, *,
    aloud: bool = True,
) -> Preflight:  # fmt: skip
    """The checks, told as they come where `aloud`; who waits for one is always told."""

    def waiting(name: str, what: str) -> None:
        runtime.not_ready(f"waiting for check {name} ({what})" if what else f"waiting for check {name}")

    tell = _tell if aloud else _not_aloud
    return Preflight(settings, upstream, tell, waiting, store=store, membership=membership)


def _tell(check: Check) -> None:
    """A check as it comes: a line for people, or one of the log where a program reads that."""
    if logs_for_people():
        sys.stderr.write("".join(f"{line}\n" for line in report.lines(check)))
        sys.stderr.flush()
    else:
        fields = {"check": check.name, "result": check.result, "found": check.found, "next": check.next, "ms": check.ms}
        log.log(logging.INFO if check.result in {"pass", "skip"} else logging.WARNING, "checked", extra=fields)


def _not_aloud(check: Check) -> None:
    """Its line comes with the others."""


async def _member(
    life: Life, settings: Settings, store: AgentStore, membership: Membership, upstream: Upstream
) -> None:
    if settings.secret is None:
        await store.keep_ceiling(settings.ceiling)
    await store.finish_rekey()
    if membership.pending:
        approved = await approval.approved(life.runtime, store, membership)
        if approved is None:
            return
        membership = approved
        await _begun(membership, upstream)
    clock = HostClock(time.time() - time.monotonic())
    if settings.take_over:
        await bindings.take_over(upstream, membership.host, membership.host_uid)
        await bindings.ensure(upstream, membership.host_uid)
        log.info("the cluster is this host's now", extra={"host": membership.host})
    upstream.expect(Expected(membership.cluster_uid, membership.member, membership.host_uid))
    check = MembershipCheck(
        upstream, membership.host, membership.host_uid, kept=lambda name: desired.keeps_binding(name)
    )
    health = ClusterHealth(upstream, check, membership.cluster_uid, settings.look_s)
    trust = MembershipTrust(store, membership)
    verifier = Verifier(trust, membership.member)
    relay = StreamResponder(upstream, verifier, settings.ceiling, clock)
    desired = DesiredState(
        membership, trust.is_signed, upstream, settings.ceiling, lambda: clock.host(time.monotonic()), check.end
    )
    life.ready(False, f"connecting to host {membership.host}")
    controller = AgentProcess(
        settings, store, membership, trust, health, desired, upstream, clock, relay.handle, life.ready
    )
    await controller.run(life.runtime.stop)


if __name__ == "__main__":
    run(main, name="agent")
