"""The supervisor of the proxy's certificate: any failure is one attempt's."""

from __future__ import annotations

import asyncio
import time

import msgspec
import pytest

from services.proxy.members import signer
from services.proxy.members.signer import AssertionSigner
from skerry.api.messages import CertifyAnswer, CertifyRequest
from skerry.errors import ServiceUnavailable
from skerry.identity import nkey
from skerry.identity.assertion import make_record


class Answered(msgspec.Struct):
    """A reply of the bus."""

    data: bytes


class Registry:
    """Fails in these ways, then certifies."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)

    async def request(self, subject: str, payload: bytes = b"", *, timeout_s: float = 5.0) -> Answered:
        if self.failures:
            raise self.failures.pop(0)
        asked = msgspec.json.decode(payload, type=CertifyRequest)
        expires = int(time.time()) + 3600
        record = make_record(nkey.create(nkey.KeyType.ACCOUNT), asked.proxy, asked.key, expires)
        return Answered(msgspec.json.encode(CertifyAnswer(record=record, expires=expires)))


async def test_whatever_fails_while_a_certificate_is_asked_for_it_is_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(signer, "RETRY_S", (0.001, 0.001))
    made = AssertionSigner(Registry(ServiceUnavailable("away"), RuntimeError("a bug")), "p", time.time)
    task = asyncio.ensure_future(made.keep())
    async with asyncio.timeout(5):
        while not made.ready:
            assert not task.done()
            await asyncio.sleep(0.001)
    assert made.reason == ""
    task.cancel()
    await asyncio.wait([task])
