"""How this proxy vouches for its callers: a key made at start, certified by the registry, renewed before it ends.

Members trust the registry's assertion root, which they pinned when they joined or were told since; the registry signs a record of this
process's public key, and the record travels with every assertion. The key never leaves the process. Without a record
the proxy is not ready, and it asks for ever.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Protocol

import msgspec

from skerry import subjects
from skerry.access import Allowed
from skerry.api.decode import decoder
from skerry.api.messages import Caller, CertifyAnswer, CertifyRequest
from skerry.errors import ServiceUnavailable, StatusError
from skerry.identity import nkey, requests
from skerry.identity.assertion import Signer

log = logging.getLogger("skerry.proxy")

_decode = decoder(CertifyAnswer)
AGAIN_S = 10.0
"""Between two questions: the trust root may have been replaced, and what was signed by the old one is worth nothing then."""
RETRY_S = (0.2, 5.0)
"""First and longest pause between attempts; the pauses in between double and are jittered."""


class BusReply(Protocol):
    """The answer to a request on the bus."""

    @property
    def data(self) -> bytes: ...


class BusRequests(Protocol):
    """The part of the bus that is needed here."""

    async def request(self, subject: str, payload: bytes = b"", *, timeout_s: float = 5.0) -> BusReply: ...


class AssertionSigner:
    """Makes assertions while it holds a record. `now` is Unix time in seconds."""

    def __init__(self, bus: BusRequests, proxy: str, now: Callable[[], float]) -> None:
        self._bus = bus
        self._proxy = proxy
        self._now = now
        self._key = nkey.create(nkey.KeyType.USER)
        self._signer: Signer | None = None
        self._record = self._root = ""
        self._expires = 0.0
        self.reason = "the registry has not certified this proxy's key yet"
        """Why there is no valid record, for people; empty if there is one."""

    @property
    def ready(self) -> bool:
        """True if assertions can be made now."""
        return self._signer is not None and self._expires > self._now()

    def assertion(self, member: str, allowed: Allowed) -> bytes:
        """The signed statement of an identity for `member`. ServiceUnavailable while there is no valid record."""
        return self._certified_signer().assertion(
            member, allowed.user, allowed.groups, dict(allowed.extra), self._now()
        )

    def request(self, caller: Caller, subject: str, payload: bytes) -> str:
        """The signature of one write request to a service of the host. ServiceUnavailable as above."""
        return requests.sign(self._certified_signer(), caller, subject, payload, self._now())

    def sign_audit(self, data: bytes) -> bytes:
        """A signature of this process's key, under a text that no assertion is."""
        return self._key.sign(data)

    @property
    def root(self) -> str:
        """The public key that certified this process; empty before the first time, and of older registries."""
        return self._root

    def _certified_signer(self) -> Signer:
        if self._signer is None or not self.ready:
            raise ServiceUnavailable(f"this proxy cannot vouch for anybody: {self.reason}; nothing was sent")
        return self._signer

    @property
    def record(self) -> str:
        """The signed record that certifies this process's key. ServiceUnavailable while there is no valid record."""
        if not self.ready:
            raise ServiceUnavailable(f"this proxy is not certified: {self.reason}; nothing was sent")
        return self._record

    def unseal(self, data: bytes) -> bytes:
        """Open what was sealed to this process's key. BadRequest if it was not."""
        return self._key.unseal(data)

    async def keep(self) -> None:
        """Get a record, and ask again every ten seconds, for ever; ends only by being cancelled."""
        pause = RETRY_S[0]
        while True:
            if await self._certified():
                pause = RETRY_S[0]
                await asyncio.sleep(min(max((self._expires - self._now()) * 2 / 3, 1.0), AGAIN_S))
            else:
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, not a secret
                pause = min(pause * 2, RETRY_S[1])

    async def _certified(self) -> bool:
        """One attempt; what fails, fails this attempt alone."""
        try:
            await self.certify()
        except StatusError as error:
            self.reason = error.message
            log.warning("the proxy's key could not be certified", extra={"error": error.message})
        except Exception:
            self.reason = "internal error while its key was certified, see the log"
            log.exception("the proxy's key could not be certified")
        else:
            return True
        return False

    async def certify(self) -> None:
        """Ask the registry once. What it had holds while it is by the same root and has a third of its life left: members
        verify what is new to them. StatusError if it refuses or cannot be reached."""
        ask = CertifyRequest(proxy=self._proxy, key=self._key.public)
        reply = await self._bus.request(subjects.CERTIFY, msgspec.json.encode(ask), timeout_s=5.0)
        try:
            answer = _decode(reply.data)
        except msgspec.DecodeError as error:
            raise ServiceUnavailable("the registry's answer about this proxy's key cannot be read") from error
        now = self._now()
        if self.ready and answer.root == self._root and self._expires - now > (answer.expires - now) / 3:
            return
        self._root = answer.root
        self._signer = Signer(self._proxy, self._key, answer.record)
        self._record = answer.record
        self._expires = float(answer.expires)
        self.reason = ""
