"""Whose write it is: the first thing that an owner looks at, before it reads a byte of what is asked."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import msgspec

from skerry.api.decode import decoder
from skerry.api.messages import AUDIT_ID, SIGNATURE, Write, WriteRequest
from skerry.api.names import is_audit_id
from skerry.bus import Message
from skerry.errors import BadRequest, Unauthorized
from skerry.identity.requests import RequestVerifier
from skerry.identity.trust import Roots
from skerry.storage.origin import TRACEPARENT, Origin

log = logging.getLogger("skerry.admission")

QUIET_S = 60.0
"""The same refusal is logged once in so long: whoever can send one can send many."""

_decode = decoder(Write)


def origin_of_request(request: WriteRequest, message: Message) -> Origin:
    """On whose behalf the answer to a request stores what it stores."""
    return Origin(request.caller.user, request.audit_id, message.headers.get(TRACEPARENT, ""))


class Callers:
    """Reads the write requests of a process. `trust_roots` are the public keys that certify proxies; `clock` is Unix time."""

    def __init__(
        self,
        trust_roots: Roots,
        clock: Callable[[], float] = time.time,
        refused: Callable[[str, str], object] = lambda subject, reason: None,
    ) -> None:
        """`refused(subject, reason)` hears of requests that nobody signed who may."""
        self._verifier = RequestVerifier(trust_roots)
        self._clock, self._tell = clock, refused
        self._quiet: dict[str, float] = {}

    def read(self, message: Message, subject: str) -> WriteRequest:
        """The request of a message that came to the endpoint `subject`, and whose it is.

        Unauthorized if no proxy of this host signed it (skerry/identity/requests.py), BadRequest if it is no request.
        """
        try:
            caller = self._verifier.verify(message.headers.get(SIGNATURE, ""), subject, message.data, self._clock())
        except Unauthorized as error:
            self._refused(subject, error.message)
            raise
        try:
            write = _decode(message.data)
        except msgspec.DecodeError as error:
            raise BadRequest(f"this is not a write request: {error}") from error
        audit_id = message.headers.get(AUDIT_ID, "")
        fields = {name: getattr(write, name) for name in write.__struct_fields__}
        return WriteRequest(**fields, caller=caller, audit_id=audit_id if is_audit_id(audit_id) else "")

    def _refused(self, subject: str, reason: str) -> None:
        now = self._clock()
        if self._quiet.get(reason, 0.0) <= now:
            self._quiet[reason] = now + QUIET_S
            log.warning("a request was refused", extra={"subject": subject, "reason": reason})
            self._tell(subject, reason)
