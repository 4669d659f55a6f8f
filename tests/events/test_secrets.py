"""Secrets of sinks: which keys sign when, and that nothing shows them."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from services.events.secrets import MOST_PREVIOUS, OVERLAP_S, Secrets, SinkSecrets
from services.events.settings import EventsSettings
from services.events.signing import secret_of
from skerry.errors import SkerryError
from skerry.identity.keyfiles import SECRETS_KEY
from skerry.settings import SettingsError
from skerry.storage.sealed import Keyring, Unreadable
from tests.fixtures.nats import NatsHost

A, B = secret_of(b"a" * 32), secret_of(b"b" * 32)


def test_the_secret_before_signs_for_a_day() -> None:
    secrets = SinkSecrets(secret=A).replaced(B, 100.0)
    assert secrets.keys(100.0) == [b"b" * 32, b"a" * 32]
    assert secrets.keys(100.0 + OVERLAP_S) == [b"b" * 32]
    assert secrets.previous_until == 100.0 + OVERLAP_S
    assert secrets.replaced(B, 200.0) is secrets


def test_of_those_before_only_some_count_and_none_that_is_over() -> None:
    secrets = SinkSecrets(secret=A)
    for number in range(6):
        secrets = secrets.replaced(secret_of(bytes([number]) * 24), float(number))
    assert len(secrets.previous) == MOST_PREVIOUS
    later = secrets.replaced(B, 2 * OVERLAP_S)
    assert [each.secret for each in later.previous] == [secrets.secret]
    assert SinkSecrets(secret=A).previous_until == 0


def test_no_secret_is_in_what_a_log_would_show() -> None:
    secrets = SinkSecrets(secret=A).replaced(B, 0.0)
    assert A not in repr(secrets)
    assert B not in repr(secrets)
    assert A not in repr(secrets.previous)


@pytest.mark.integration
async def test_they_lie_sealed_for_their_sink_and_are_forgotten(nats_host: NatsHost, tmp_path: Path) -> None:
    await nats_host.make_buckets()
    keyring = Keyring(nats_host.keys_dir / SECRETS_KEY, "events")
    async with nats_host.bus("events") as bus:
        bucket = await bus.bucket("sinks")
        secrets = Secrets(bucket, keyring)
        assert await secrets.find("u1") is None
        assert (await secrets.set("u1", A, 1.0)).previous == ()
        await secrets.set("u1", B, 2.0)
        kept = await secrets.find("u1")
        assert kept is not None
        assert (kept.secret, kept.previous[0].secret) == (B, A)
        entry = await bucket.get("u1")
        assert entry is not None
        assert entry.value is not None
        assert B.encode() not in entry.value
        await bucket.create("u2", entry.value)
        with pytest.raises(Unreadable):
            await secrets.find("u2")
        assert (await secrets.set("u2", A, 3.0)) == SinkSecrets(secret=A)
        await bucket.create("u3", keyring.seal("u3", msgspec.json.encode([1])))
        with pytest.raises(Unreadable, match="another version"):
            await secrets.find("u3")
        for uid in ("u1", "u1", "u2", "u3"):
            await secrets.drop(uid)
        assert await secrets.find("u1") is None


def test_it_is_given_one_key_and_not_two(nats_host: NatsHost) -> None:
    file = nats_host.keys_dir / SECRETS_KEY
    for wrong in (EventsSettings(), EventsSettings(events_key_file=file, events_secrets_key_file=file)):
        with pytest.raises(SettingsError, match="SKERRY_EVENTS_KEY_FILE or SKERRY_EVENTS_SECRETS_KEY_FILE"):
            wrong.keyring("events")
    assert issubclass(SettingsError, SkerryError)
    own = EventsSettings(events_key_file=file).keyring("events")
    assert own.opened("k", own.seal("k", b"1")).value == b"1"
