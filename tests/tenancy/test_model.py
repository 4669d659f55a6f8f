"""Rules of Credentials, pure."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

import pytest

from services.tenancy import model
from services.tenancy.rules import new_token
from skerry.api import duration
from skerry.errors import Invalid

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def document(**spec: Any) -> dict[str, Any]:
    return {"metadata": {}, "spec": {"user": "alice", **spec}}


def test_tokens_have_256_bits_and_a_form_of_their_own() -> None:
    assert all(model.is_token(new_token()) for _ in range(100))
    assert not model.is_token("skerry_short")
    assert not model.is_token(new_token() + "\n")


def test_the_name_is_the_digest() -> None:
    token = new_token()
    assert model.admit(document(), token, NOW)["metadata"]["name"] == hashlib.sha256(token.encode()).hexdigest()[:32]


def test_the_secret_is_not_in_what_is_stored() -> None:
    token = new_token()
    assert token not in str(model.admit(document(), token, NOW))


def test_the_default_life_is_eight_hours() -> None:
    assert model.admit(document(), new_token(), NOW)["status"] == {"expires": "2026-01-01T08:00:00Z"}


def test_the_administrators_credential_lives_thirty_days_from_its_making() -> None:
    found = model.administrator(new_token(), NOW)
    assert found["spec"]["user"] == "admin"
    assert found["spec"]["groups"] == ["skerry:cluster-admin"]
    assert found["status"]["expires"] == "2026-01-31T00:00:00Z"


@pytest.mark.parametrize("user", ["alice", "alice@example.org", "a.b_c-d+e", "A1"])
def test_ordinary_users(user: str) -> None:
    assert model.admit(document(user=user), new_token(), NOW)["spec"]["user"] == user


@pytest.mark.parametrize("user", ["", "system:x", "Skerry:x", "serviceaccount:a:b", "a ", "a\n", "a" * 254])
def test_reserved_and_odd_users_are_refused(user: str) -> None:
    with pytest.raises(Invalid, match=r"spec\.user"):
        model.admit(document(user=user), new_token(), NOW)


def test_repeated_groups_count_once() -> None:
    spec = model.admit(document(groups=["skerry:view", "dev", "skerry:view"]), new_token(), NOW)["spec"]
    assert spec["groups"] == ["skerry:view", "dev"]


@pytest.mark.parametrize(("text", "seconds"), [("30m", 1800), ("1h30m", 5400), ("2d", 172800), ("45s", 45)])
def test_durations(text: str, seconds: int) -> None:
    assert duration.parse(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "h", "1.5h", "-1h", "1h ", "1w", "1h\n", "9999999999s"])
def test_durations_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="must be a duration"):
        duration.parse(text)


@pytest.mark.parametrize("stored", [{}, {"status": {}}, {"status": {"expires": "x"}}, {"status": None}])
def test_a_credential_whose_end_cannot_be_read_has_ended(stored: dict[str, Any]) -> None:
    assert model.expires(stored) == 0.0
