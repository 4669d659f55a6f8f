"""The signed statement of an identity for one member, by which a proxy vouches for a caller.

`assertion = msgpack [record, signature by the root, claims, signature by the proxy]`, with `record = msgpack [proxy,
key, exp]`. Record and claims travel together, so an agent that pinned the root at join verifies without a network.
Signing costs 22 us and verifying 59, twice; both sides therefore cache: the proxy per identity and member, the agent
by the exact bytes. Expiry is judged at every use, cached or not, in host time.
"""

from __future__ import annotations

import base64
import binascii
from typing import TypeVar

import msgspec

from skerry.api.messages import Claims
from skerry.errors import Forbidden, Unauthorized
from skerry.identity import nkey
from skerry.identity.nkey import KeyPair
from skerry.identity.trust import Roots, is_signed

LIFETIME_S = 60
RENEW_BEFORE_S = 20
CLOCK_SKEW_S = 30
CACHE_ENTRIES = 4096

Extra = dict[str, tuple[str, ...]]


class SigningCertificate(msgspec.Struct, frozen=True, array_like=True):
    """That `key` (public nkey) speaks for the process `proxy` until `exp`."""

    proxy: str
    key: str
    exp: int


class _Signed(msgspec.Struct, frozen=True, array_like=True):
    record: bytes
    record_signature: bytes


class Assertion(msgspec.Struct, frozen=True, array_like=True):
    """The bytes of an assertion: a record with the root's signature, claims with that of the record's key."""

    record: bytes
    record_signature: bytes
    claims: bytes
    claims_signature: bytes


_encode = msgspec.msgpack.Encoder().encode
C = TypeVar("C", bound=Claims)


def make_record(root_key: KeyPair, proxy: str, proxy_public: str, exp: int) -> str:
    """The record of a proxy's key, signed by the assertion root: text for `CertifyAnswer.record`."""
    record = _encode(SigningCertificate(proxy, proxy_public, exp))
    return base64.urlsafe_b64encode(_encode(_Signed(record, root_key.sign(record)))).decode()


def check_record(roots: tuple[str, ...], record: str, now: float) -> SigningCertificate:
    """The record of a proxy's key as `make_record` wrote it. Unauthorized if none of `roots` signed it, or it has ended."""
    try:
        signed = msgspec.msgpack.decode(base64.urlsafe_b64decode(record), type=_Signed)
        certificate = msgspec.msgpack.decode(signed.record, type=SigningCertificate)
    except (msgspec.DecodeError, ValueError) as e:
        raise Unauthorized("the proxy's record is garbled") from e
    if not is_signed(roots, signed.record, signed.record_signature):
        raise Unauthorized("the proxy's record was not signed by this host's registry")
    if certificate.exp <= now:
        raise Unauthorized("the proxy's record has ended: it must be certified again")
    return certificate


class Signer:
    """One proxy process's side: `record` as the registry answered it. Not expired: the caller renews the record."""

    def __init__(self, proxy: str, key: KeyPair, record: str) -> None:
        self.proxy = proxy
        self._key = key
        self._record = msgspec.msgpack.decode(base64.urlsafe_b64decode(record), type=_Signed)
        self.expires = msgspec.msgpack.decode(self._record.record, type=SigningCertificate).exp
        self._cache: dict[object, tuple[int, bytes]] = {}

    def assertion(self, member: str, user: str, groups: tuple[str, ...], extra: Extra, now: float) -> bytes:
        """The bytes for an OPEN: valid for at least 20 s from `now` (seconds since the epoch, host time)."""
        key = (member, user, groups, tuple(sorted(extra.items())))
        cached = self._cache.get(key)
        if cached is not None and cached[0] - RENEW_BEFORE_S > now:
            return cached[1]
        if len(self._cache) >= CACHE_ENTRIES:
            self._cache.clear()
        iat, exp = self.life(now)
        data = self.sign(
            Claims(member=member, user=user, groups=groups, extra=extra, proxy=self.proxy, iat=iat, exp=exp)
        )
        self._cache[key] = (exp, data)
        return data

    def life(self, now: float) -> tuple[int, int]:
        """`iat` and `exp` of what is signed now: a minute, or as long as the record lasts."""
        return int(now), min(int(now) + LIFETIME_S, self.expires)

    def sign(self, claims: Claims) -> bytes:
        """An assertion of these claims."""
        body = _encode(claims)
        return _encode(Assertion(self._record.record, self._record.record_signature, body, self._key.sign(body)))


class Verifier:
    """One agent's side: `roots` are the public nkeys that it believes, `member` its own name."""

    def __init__(self, roots: Roots, member: str) -> None:
        self._roots = roots
        self._member = member
        self._cache: dict[bytes, tuple[int, Claims]] = {}

    def verify(self, data: bytes, now: float) -> Claims:
        """The claims of an assertion at `now` (host time).

        Unauthorized if it is garbled, not signed along the chain to the root, or expired; Forbidden if it is for
        another member. User and groups are the agent's to check: this says who said it, not what may be said.
        """
        verified = self._cache.get(data)
        if verified is None:
            verified = self._check(data, now)
            if len(self._cache) >= CACHE_ENTRIES:
                self._cache.clear()
            self._cache[data] = verified
        if now >= verified[0]:
            raise Unauthorized("the assertion of the host has expired: try again; check the clocks if it stays")
        return verified[1]

    def _check(self, data: bytes, now: float) -> tuple[int, Claims]:
        assertion, record, claims = opened(data, Claims)
        if not is_signed(self._roots(), assertion.record, assertion.record_signature):
            raise Unauthorized("the assertion was made by a host that this agent did not join")
        if not nkey.verify(record.key, assertion.claims, assertion.claims_signature):
            raise Unauthorized(f"the assertion was not signed by proxy {record.proxy}")
        if claims.proxy != record.proxy:
            raise Unauthorized("the assertion names another proxy than its key")
        if claims.member != self._member:
            raise Forbidden(f"the assertion is for another cluster than {self._member}")
        if not timely(claims, now):
            raise Unauthorized("the assertion's times are not acceptable: check the clocks of host and member")
        return min(claims.exp, record.exp), claims


def opened(data: bytes, kind: type[C]) -> tuple[Assertion, SigningCertificate, C]:
    """The parts of an assertion with claims of this kind; nothing is verified. Unauthorized if it is garbled."""
    try:
        assertion = msgspec.msgpack.decode(data, type=Assertion)
        record = msgspec.msgpack.decode(assertion.record, type=SigningCertificate)
        return assertion, record, msgspec.msgpack.decode(assertion.claims, type=kind)
    except (msgspec.DecodeError, binascii.Error, UnicodeDecodeError) as e:
        raise Unauthorized("the assertion is garbled") from e


def timely(claims: Claims, now: float) -> bool:
    """True if the claims live no longer than they may, and were not made in a future that no clock explains."""
    return claims.exp - claims.iat <= LIFETIME_S and claims.iat <= now + CLOCK_SKEW_S
