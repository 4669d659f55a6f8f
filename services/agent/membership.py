"""Becoming and staying a member: the join with a token, and new user JWTs while the Cluster exists.

Both are idempotent. The agent's key is stored before it asks, and the registry binds a token to the first key that used
it, so an answer that got lost is asked for again with the same key and gets the same answer.
"""

from __future__ import annotations

import asyncio
import binascii
import contextlib
import logging
import os
import random
import time
from collections.abc import Iterable

import msgspec

from services.agent.model import HostClock
from services.agent.store import AgentStore, Membership
from skerry import bus, subjects
from skerry.api.decode import decoded
from skerry.api.messages import WITH_APPROVAL, JoinAnswer, JoinRequest, RenewAnswer, RenewRequest, Token
from skerry.errors import Gone, ServiceUnavailable, SkerryError, StatusError, TooManyRequests, Unauthorized
from skerry.identity import rekeying
from skerry.identity.creds import Credentials
from skerry.identity.farewell import check_farewell
from skerry.identity.nkey import KeyPair
from skerry.identity.signedtext import Verify

log = logging.getLogger("skerry.agent")

JOIN_TIMEOUT_S = 10.0
ATTEMPTS = 3
PAUSE_S, PATIENCE = 1.0, 60
"""Before a join that was one too many is asked again, half as long to one and a half times; and how often. Fifty agents that
start with one token take ten seconds."""
_encode = msgspec.json.Encoder().encode


class JoinRefused(SkerryError):
    """The host refused the join; asking again with the same token gets the same answer."""


class JoinUnanswered(SkerryError):
    """Nobody answered the join. The key is kept, so the same command may simply be run again."""


class Removed(SkerryError):
    """The host ended this membership; only a new token helps. The message is the host's own and says how to join again."""


def bus_settings(servers: list[str], ca: str, name: str, *, bulk: bool = False) -> bus.Settings:
    """How an agent reaches the bus: pings every 5 s, on bulk connections every 30 s (data-plane.md), twice."""
    return bus.Settings(servers=tuple(servers), ca_pem=ca, name=name, ping_s=30.0 if bulk else 5.0)


async def join(
    connection: bus.Connection, token: Token, request: JoinRequest, timeout_s: float = JOIN_TIMEOUT_S
) -> JoinAnswer:
    """Ask to join, again if the answer was lost. Raises JoinRefused or JoinUnanswered."""
    problem = "no answer"
    for _ in range(ATTEMPTS):
        try:
            return _join_answer(await _patiently(connection, token, request, timeout_s))
        except StatusError as e:
            if e.code < 500 and not isinstance(e, TooManyRequests):
                raise JoinRefused(e.message) from e
            problem = e.message
            if isinstance(e, (ServiceUnavailable, TooManyRequests)):
                break
    raise JoinUnanswered(f"host {token.host!r} did not answer the join ({problem}): run the same command again")


async def ask(connection: bus.Connection, token: Token, request: JoinRequest) -> JoinAnswer:
    """What the host would say to a join: a dry run. BadRequest by one that knows none, ServiceUnavailable, any StatusError."""
    try:
        return decoded(await _patiently(connection, token, request, JOIN_TIMEOUT_S), JoinAnswer)
    except msgspec.DecodeError as error:
        raise ServiceUnavailable("the host's answer cannot be read: are both sides the same version?") from error


async def ask_approval(connection: bus.Connection, membership: Membership, request: bytes) -> JoinAnswer:
    """Whether a membership that waits was approved. JoinUnanswered, JoinRefused, any StatusError; Gone when it is over."""
    subject = subjects.approval(membership.member)
    return _join_answer((await connection.request(subject, request, timeout_s=JOIN_TIMEOUT_S)).data)


def farewell(store: AgentStore, membership: Membership, verify: Verify, data: bytes, ends: str = "") -> str:
    """What the host says when it ends a membership, or one agent, whose key `ends` is: it is believed by its signature, and of this
    membership or key alone. Empty if it is not believed."""
    try:
        return check_farewell(
            membership.member,
            ends or store.user().account,
            data,
            verify,
        )
    except StatusError as error:
        log.warning("a farewell is not believed", extra={"reason": str(error)})
        return ""


async def _patiently(connection: bus.Connection, token: Token, request: JoinRequest, timeout_s: float) -> bytes:
    """The answer, waiting while others ask too. TooManyRequests after PATIENCE, any StatusError."""
    for _ in range(PATIENCE - 1):
        with contextlib.suppress(TooManyRequests):
            return (await connection.request(subjects.join(token.jti), _encode(request), timeout_s=timeout_s)).data
        await asyncio.sleep(PAUSE_S * (0.5 + random.random()))  # noqa: S311 - jitter
    return (await connection.request(subjects.join(token.jti), _encode(request), timeout_s=timeout_s)).data


def _join_answer(data: bytes) -> JoinAnswer:
    try:
        answer = decoded(data, JoinAnswer)
    except msgspec.DecodeError as e:
        raise JoinUnanswered("the host's answer to the join cannot be read: are both sides the same version?") from e
    if answer.format > WITH_APPROVAL:
        raise JoinRefused(
            f"the host speaks format {answer.format}, this agent {WITH_APPROVAL}: use a newer skerry here"
        )
    return answer


async def keep(store: AgentStore, token: Token, request: JoinRequest, answer: JoinAnswer, key: KeyPair) -> Membership:
    """Store what the join gave; returns the membership."""
    membership = Membership(
        member=answer.member,
        host=answer.host,
        host_uid=answer.host_uid,
        servers=token.servers,
        ca=token.ca,
        assertion_root=answer.assertion_root,
        cluster_uid=request.cluster_uid,
        jti=token.jti,
        pending=answer.pending,
    )
    user = Credentials(answer.user_jwt, key.seed)
    await store.joined(membership, user, Credentials(answer.renewal_jwt, key.seed))
    return membership


async def renew(store: AgentStore, membership: Membership, clock: HostClock) -> Credentials:
    """A new user JWT, stored. Raises Removed, or a StatusError (try again later).

    A credential for renewal that was made in the account JOIN is replaced by the one that comes with the answer.
    """
    await store.finish_rekey()
    renewal, key, member = store.renewal(), store.key(), membership.member
    subject = subjects.renewal(member) if renewal.may_publish(subjects.renewal(member)) else subjects.renew(member)
    connection = await bus.connect(_renewing(membership, key), renewal)
    try:
        answer = await _renewed(connection, subject, _encode(_challenge(member, key, clock)))
    finally:
        connection.abort()
    renewed = Credentials(answer.user_jwt, key.seed)
    await store.renewed(renewed, Credentials(answer.renewal_jwt, key.seed) if answer.renewal_jwt else None)
    return renewed


async def rekey(connection: bus.Connection, store: AgentStore, membership: Membership, clock: HostClock) -> None:
    """Another key in the place of the agent's own, stored before it is asked for. Asked again after whatever happened in between
    it ends the same. Raises Removed, or a StatusError (try again later)."""
    old, new, member = store.key(), await store.next_key(), membership.member
    request = rekeying.rekey_request(member, old, new, clock.host(time.monotonic()), _nonce())
    answer = await _renewed(connection, subjects.rekey(member), _encode(request))
    user, renewal = Credentials(answer.user_jwt, new.seed), Credentials(answer.renewal_jwt, new.seed)
    if user.public != new.public or renewal.public != new.public:
        raise ServiceUnavailable("the host answered with credentials of another key than was asked for")
    await store.rekeyed(user, renewal)


async def retire(
    connection: bus.Connection, store: AgentStore, membership: Membership, used: Iterable[str], clock: HostClock
) -> None:
    """Say that of the keys which the agent's own replaced only these are used. StatusError if it was not heard."""
    member = membership.member
    request = rekeying.retire_request(member, store.key(), used, clock.host(time.monotonic()), _nonce())
    await connection.request(subjects.retire(member), _encode(request), timeout_s=JOIN_TIMEOUT_S)


async def _renewed(connection: bus.Connection, subject: str, request: bytes) -> RenewAnswer:
    try:
        reply = await connection.request(subject, request, timeout_s=JOIN_TIMEOUT_S)
        return decoded(reply.data, RenewAnswer)
    except Gone as e:
        raise Removed(e.message) from e
    except msgspec.DecodeError as e:
        raise ServiceUnavailable("the host's answer about new credentials cannot be read") from e


def _nonce() -> str:
    return os.urandom(12).hex()


def _renewing(membership: Membership, key: KeyPair) -> bus.Settings:
    return bus_settings(membership.servers, membership.ca, f"{key.public}/renewal/0")


async def is_refused(store: AgentStore, membership: Membership) -> bool:
    """True if the bus takes neither credential of a membership. That is no proof of its end: the bus may have lost its
    accounts, and get them back."""
    try:
        for credentials in (store.user(), store.renewal()):
            try:
                connection = await bus.connect(_renewing(membership, store.key()), credentials)
            except Unauthorized:
                continue
            connection.abort()
            return False
    except SkerryError:
        return False
    return True


def _challenge(member: str, key: KeyPair, clock: HostClock) -> RenewRequest:
    text = f"{member} {key.public} {int(clock.host(time.monotonic()))} {_nonce()}"
    signature = binascii.b2a_base64(key.sign(text.encode()), newline=False).translate(_URL_SAFE).rstrip(b"=")
    return RenewRequest(nkey=key.public, challenge=text, signature=signature.decode())


_URL_SAFE = bytes.maketrans(b"+/", b"-_")
