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
from skerry.identity.assertion import check_record, make_record


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


class Rooted:
    """A registry whose root a test replaces."""

    def __init__(self) -> None:
        self.root, self.life_s = nkey.create(nkey.KeyType.ACCOUNT), 3600.0

    async def request(self, subject: str, payload: bytes = b"", *, timeout_s: float = 5.0) -> Answered:
        asked = msgspec.json.decode(payload, type=CertifyRequest)
        expires = int(time.time() + self.life_s)
        record = make_record(self.root, asked.proxy, asked.key, expires)
        return Answered(msgspec.json.encode(CertifyAnswer(record=record, expires=expires, root=self.root.public)))


async def test_a_record_is_kept_while_it_is_by_the_same_root_and_far_from_its_end() -> None:
    registry, now = Rooted(), [time.time()]
    made = AssertionSigner(registry, "p", lambda: now[0])
    await made.certify()
    first = made.record
    await made.certify()
    assert made.record == first
    now[0] += 3000
    registry.life_s = 7200.0
    await made.certify()
    assert made.record != first


async def test_a_root_that_was_replaced_is_a_reason_for_another_record() -> None:
    registry = Rooted()
    made = AssertionSigner(registry, "p", time.time)
    await made.certify()
    registry.root = nkey.create(nkey.KeyType.ACCOUNT)
    await made.certify()
    assert check_record((registry.root.public,), made.record, time.time()).proxy == "p"


async def test_the_registry_is_asked_again_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signer, "AGAIN_S", 0.001)
    registry = Rooted()
    made = AssertionSigner(registry, "p", time.time)
    task = asyncio.ensure_future(made.keep())
    async with asyncio.timeout(5):
        while not made.ready:
            await asyncio.sleep(0.001)
        first, registry.root = made.record, nkey.create(nkey.KeyType.ACCOUNT)
        while made.record == first:
            assert not task.done()
            await asyncio.sleep(0.001)
    task.cancel()
    await asyncio.wait([task])
