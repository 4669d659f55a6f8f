"""A proxy's signature on one write request: whose it is, good for that request, at its endpoint, once, for a minute.

Any service of the host can make the bus deliver a message where it may not publish (`permissions`), so who could send a
write says nothing about whose it is. Owners believe a signature by a key that the registry certified, as members do
(`assertion`). It covers the endpoint's subject and every byte of the message: object, verb, options, request id, body.
Signing costs 40 us, verifying 100: the record of a proxy's key is verified once.

An assertion is used once. A proxy that repeats a request signs it anew, and the request id makes the two one write
(`skerry.admission`). The memory is each process's own: a copy that was heard by another replica, or before a restart, is
good until its minute is over, for those alone who hear the owner's endpoint. They are the owner (docs/security.md).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets

from skerry.api.messages import HOST, Caller, RequestClaims
from skerry.errors import Unauthorized
from skerry.identity import nkey
from skerry.identity.assertion import CLOCK_SKEW_S, LIFETIME_S, Assertion, Signer, SigningCertificate, opened, timely
from skerry.identity.trust import Roots, is_signed

RECORDS = 1024
"""Verified records that are remembered: one per proxy and day."""
_NONCE_BYTES = 16


def digest(subject: str, payload: bytes) -> bytes:
    """The digest that a signature is bound to: 32 bytes of SHA-256 over the endpoint's subject and the message."""
    sha256 = hashlib.sha256(subject.encode())
    sha256.update(b"\0")
    sha256.update(payload)
    return sha256.digest()


def sign(signer: Signer, caller: Caller, subject: str, payload: bytes, now: float) -> str:
    """The header SIGNATURE of `payload`, sent to `subject` for `caller`. `now` is Unix time in seconds."""
    iat, exp = signer.life(now)
    claims = RequestClaims(
        member=HOST,
        user=caller.user,
        groups=caller.groups,
        extra={},
        proxy=signer.proxy,
        iat=iat,
        exp=exp,
        nonce=secrets.token_bytes(_NONCE_BYTES),
        digest=digest(subject, payload),
    )
    return base64.b64encode(signer.sign(claims)).decode()


class RequestVerifier:
    """One owner's side. `roots` are the public nkeys that are believed to sign the records of proxies' keys.

    The messages of what it raises are constant: a log can count them.
    """

    def __init__(self, roots: Roots) -> None:
        self._roots = roots
        self._records: set[tuple[bytes, bytes]] = set()
        self._by: tuple[str, ...] = ()
        """By whom those are signed."""
        self._used = NonceCache()

    def verify(self, signature: str, subject: str, payload: bytes, now: float) -> Caller:
        """Who asks. Unauthorized if it is not signed by a proxy of this host, for this request, now, for the first time."""
        assertion, record, claims = _read(signature)
        self._check_signatures(assertion, record)
        if claims.proxy != record.proxy or claims.member != HOST or len(claims.nonce) != _NONCE_BYTES:
            raise Unauthorized("the signature of the request was not made for a service of the host")
        if not timely(claims, now) or now >= min(claims.exp, record.exp):
            raise Unauthorized("the signature of the request is out of date: check the clocks of the host's processes")
        if not hmac.compare_digest(claims.digest, digest(subject, payload)):
            raise Unauthorized("the signature is of another request")
        if not self._used.first(claims.nonce, now):
            raise Unauthorized("the signature of the request was used before")
        return Caller(user=claims.user, groups=claims.groups)

    def _check_signatures(self, assertion: Assertion, record: SigningCertificate) -> None:
        certificate, roots = (assertion.record, assertion.record_signature), self._roots()
        if roots != self._by:
            self._records.clear()
            self._by = roots
        if certificate not in self._records:
            if not is_signed(roots, *certificate):
                raise Unauthorized("the request was signed by a proxy that this host's registry did not certify")
            if len(self._records) >= RECORDS:
                self._records.clear()
            self._records.add(certificate)
        if not nkey.verify(record.key, assertion.claims, assertion.claims_signature):
            raise Unauthorized("the request was not signed by the proxy that it names")


class NonceCache:
    """Nonces that were used, for as long as an assertion can live at most: in two halves, of which the older is dropped."""

    def __init__(self, life_s: float = LIFETIME_S + CLOCK_SKEW_S) -> None:
        self._life_s = life_s
        self._turn = 0.0
        self._new: set[bytes] = set()
        self._old: set[bytes] = set()

    def __len__(self) -> int:
        return len(self._new) + len(self._old)

    def first(self, nonce: bytes, now: float) -> bool:
        """True if it is used for the first time."""
        if not self._turn - self._life_s <= now < self._turn:
            self._old = self._new if now < self._turn + self._life_s else set()
            self._new = set()
            self._turn = now + self._life_s
        if nonce in self._new or nonce in self._old:
            return False
        self._new.add(nonce)
        return True


def _read(signature: str) -> tuple[Assertion, SigningCertificate, RequestClaims]:
    if not signature:
        raise Unauthorized("the request is not signed by a proxy")
    try:
        return opened(base64.b64decode(signature, validate=True), RequestClaims)
    except (ValueError, Unauthorized) as e:
        raise Unauthorized("the signature of the request is garbled") from e
