"""The agent process: `python -m services.agent`, or `skerry agent`. The only place that constructs adapters.

Stored credentials win over a token: a restart with the token still in the command line joins nothing anew. A token is
used when there is no membership, or when the host ended the one there was and the token is another one.
"""

from __future__ import annotations

import functools
import logging
import os
import time

from services.agent import checks
from services.agent import membership as members
from services.agent.controller import Controller
from services.agent.desired import Desired
from services.agent.handlers import Relay
from services.agent.health import Health
from services.agent.membership import JoinRefused, Removed
from services.agent.model import HostClock
from services.agent.settings import Settings
from services.agent.store import Membership, StateError, Store
from skerry import __version__
from skerry.api.messages import JoinRequest, Token
from skerry.api.v1alpha1 import Ceiling
from skerry.errors import BadRequest, StatusError
from skerry.identity import jointoken
from skerry.identity.assertion import Verifier
from skerry.identity.creds import Credentials
from skerry.identity.jointoken import named_problem
from skerry.member import bindings, kubeconfig
from skerry.member import checks as of_member
from skerry.member.credentials import CredentialError
from skerry.member.identity import Expected
from skerry.member.kubeconfig import KubeconfigError
from skerry.member.membership import MembershipCheck
from skerry.member.rotation import Rotation
from skerry.member.upstream import Upstream
from skerry.runtime import Exit, Runtime, run
from skerry.settings import load_or_help, read_secret, redacted

log = logging.getLogger("skerry.agent")


async def main(runtime: Runtime) -> None:
    """Join if need be, then serve until stopped."""
    settings = load_or_help(Settings, "agent")
    runtime.grace_s = settings.grace_s + 5
    log.info("starting", extra={"version": __version__, **redacted(settings)})
    store = Store(settings.agent_state)
    with store.locked():
        await serve(runtime, settings.under(_ceiling(settings, store)), store)


async def serve(runtime: Runtime, settings: Settings, store: Store) -> None:
    """The life of an agent whose state directory is held."""
    upstream = connect_upstream(settings)
    try:
        membership = await _usable(settings, store) or await join(runtime, settings, store, upstream)
        life = Life(runtime)
        try:
            await _member(life, settings, store, membership, upstream)
        except Removed as e:
            store.removed(membership, str(e))
            if life.served or _fresh_token(settings, membership) is None:
                raise
            log.warning("joining anew", extra={"reason": str(e)})
            await _member(life, settings, store, await join(runtime, settings, store, upstream), upstream)
    finally:
        await upstream.close()


def _ceiling(settings: Settings, store: Store) -> Ceiling:
    """What is said now, or what was said last where nothing is: a forgotten flag opens nothing."""
    if not settings.says_ceiling:
        return store.ceiling() or Ceiling()
    ceiling = settings.ceiling
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
        return Upstream.rotating(_rotation(settings), connections=settings.upstream_connections)
    except (KubeconfigError, CredentialError) as e:
        raise Exit(str(e), 4) from e


def _rotation(settings: Settings) -> Rotation:
    if settings.kubeconfig:
        return Rotation(functools.partial(kubeconfig.load, settings.kubeconfig), settings.context)
    return Rotation(lambda _: kubeconfig.in_cluster(os.environ))


async def _usable(settings: Settings, store: Store) -> Membership | None:
    """The stored membership, if it holds. Raises Exit for another name, or one that is over and has no new token.

    One whose end is not proven is left only for a new token, and only if the bus takes none of its credentials: its end may
    have come while this agent was away, and nobody was there to be told.
    """
    membership = store.membership()
    if membership is None:
        return None
    if settings.agent_name and settings.agent_name != membership.member:
        raise Exit(
            f"{store.directory} belongs to cluster {membership.member!r}, not {settings.agent_name!r}: "
            "use another --state, or the right --name"
        )
    fresh = _fresh_token(settings, membership) is not None
    if membership.removed and not fresh:
        raise Exit(membership.removed)
    if not membership.removed and not (fresh and await members.is_refused(store, membership)):
        return membership
    if not membership.removed:
        log.warning("the bus takes no credential of this membership: joining anew with the token that was given")
    return None


def _fresh_token(settings: Settings, membership: Membership) -> Token | None:
    """The token given, if it is good and not the one that `membership` came from."""
    if settings.token_file is None:
        return None
    try:
        token = jointoken.decode(read_secret(settings.token_file))
    except StatusError:
        return None
    return None if token.jti == membership.jti else token


async def join(runtime: Runtime, settings: Settings, store: Store, upstream: Upstream) -> Membership:
    """All checks, then the join. Raises with one line that says what to do; leaves nothing half made."""
    token, over = _token(settings), store.membership()
    runtime.not_ready(f"joining host {token.host}")
    _report("token", f"for cluster {token.name or token.pattern} of host {token.host}")
    bearer = Credentials(token.jwt)
    bus_settings = members.bus_settings(token.servers, token.ca, f"join/{token.jti}")
    connection = await checks.reach_bus(bus_settings, token, bearer)
    try:
        _report("bus", token.servers[0])
        cluster = await of_member.member(upstream, token.host_uid, _report)
        if over is not None and over.removed:
            store.forget()
        key = store.key()
        if settings.ceiling != Ceiling():
            store.keep_ceiling(settings.ceiling)  # before it is a member: a start after a crash must not open it
        request = JoinRequest(
            nkey=key.public,
            name=token.name or settings.agent_name,
            cluster_uid=cluster.uid,
            kubernetes_version=cluster.version,
            agent_version=__version__,
            ceiling=settings.ceiling,
        )
        answer = await members.join(connection, token, request)
    except JoinRefused:
        if over is None or over.removed:
            store.forget()
        raise
    finally:
        connection.abort("the join is over")
    membership = members.keep(store, token, request, answer, key)
    _report("joined", f"cluster {membership.member} of host {membership.host}")
    skew = time.time() - answer.host_time
    if abs(skew) > 5:
        log.warning("this machine's clock differs from the host's", extra={"seconds": round(skew, 1)})
    await bindings.ensure(upstream)
    return membership


def _token(settings: Settings) -> Token:
    if settings.token_file is None:
        raise Exit(
            f"{settings.agent_state} holds no membership and no token was given: on the host, "
            "skerry token create NAME >token; here, skerry agent --token-file token"
        )
    token = jointoken.decode(read_secret(settings.token_file))
    if token.pattern:
        problem = named_problem(token, settings.agent_name)
        if problem:
            raise BadRequest(problem)
    elif settings.agent_name and settings.agent_name != token.name:
        raise BadRequest(
            f"the token is for cluster {token.name!r}, and --name says {settings.agent_name!r}: "
            f"leave --name out, or make a token for it: skerry token create {settings.agent_name}"
        )
    return token


def _report(check: str, result: str) -> None:
    log.info("checked", extra={"check": check, "found": result})


async def _member(life: Life, settings: Settings, store: Store, membership: Membership, upstream: Upstream) -> None:
    store.keep_ceiling(settings.ceiling)
    clock = HostClock(time.time() - time.monotonic())
    upstream.expect(Expected(membership.cluster_uid, membership.member))
    check = MembershipCheck(upstream, membership.host, membership.host_uid)
    health = Health(upstream, check, membership.cluster_uid, settings.look_s)
    verifier = Verifier(membership.assertion_root, membership.member)
    relay = Relay(upstream, verifier, settings.ceiling, clock)
    desired = Desired(membership, upstream, settings.ceiling, lambda: clock.host(time.monotonic()))
    life.ready(False, f"connecting to host {membership.host}")
    controller = Controller(settings, store, membership, health, desired, upstream, clock, relay.handle, life.ready)
    await controller.run(life.runtime.stop)


if __name__ == "__main__":
    run(main, name="agent")
