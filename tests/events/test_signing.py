"""Secrets and signatures, checked by the reference library of Standard Webhooks."""

from __future__ import annotations

import time

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from services.events.signing import key_of, secret_of, signed

KEY, OTHER = bytes(range(32)), b"o" * 24


@pytest.mark.parametrize("key", [KEY, OTHER, b"x" * 64])
def test_the_reference_library_takes_what_is_signed(key: bytes) -> None:
    headers = signed([key], "resources:7:ready", int(time.time()), b'{"a": 1}')
    assert Webhook(secret_of(key)).verify(b'{"a": 1}', headers) == {"a": 1}


def test_while_a_secret_is_replaced_both_take_it() -> None:
    headers = signed([KEY, OTHER], "id", int(time.time()), b"{}")
    for key in (KEY, OTHER):
        Webhook(secret_of(key)).verify(b"{}", headers)


@pytest.mark.parametrize("change", ["body", "webhook-id", "webhook-timestamp"])
def test_what_was_changed_on_its_way_is_refused(change: str) -> None:
    headers = signed([KEY], "id", int(time.time()), b"{}")
    body = b"{ }" if change == "body" else b"{}"
    changed = {name: "1" + value if name == change else value for name, value in headers.items()}
    with pytest.raises(WebhookVerificationError):
        Webhook(secret_of(KEY)).verify(body, changed)


def test_a_secret_is_read_back() -> None:
    assert key_of(secret_of(KEY)) == KEY


@pytest.mark.parametrize(
    ("secret", "why"),
    [
        ("", "begin"),
        ("hunter2", "begin"),
        ("whsec_", "0 bytes"),
        ("whsec_" + "A" * 28, "21 bytes"),
        (secret_of(b"x" * 65), "65 bytes"),
        ("whsec_!!!", "base64"),
        ("whsec_é", "base64"),
        (secret_of(KEY) + "\n", "base64"),
    ],
    ids=["empty", "no-prefix", "nothing", "short", "long", "letters", "other-letters", "line"],
)
def test_what_is_no_secret_is_told_without_it(secret: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as caught:
        key_of(secret)
    assert len(secret) < 8 or secret.removeprefix("whsec_").strip() not in str(caught.value)
