"""Codes for other devices: what is said, how often it is asked, and how it ends."""

from __future__ import annotations

from typing import Any

import pytest

from skerry.cli.failure import FAILED, TIMED_OUT, Failure
from skerry.cli.login.device import GRANT, by_device
from skerry.cli.login.oidc import SignedIn
from skerry.cli.login.provider import Provider
from tests.cli.login.standin import Standin


class Time:
    """A clock that moves by sleeping."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Time:
    return Time()


def started(standin: Standin, **fields: Any) -> None:
    usual = {"device_code": "precious", "user_code": "ABCD-EFGH", "verification_uri": f"{standin.issuer}/device"}
    standin.answer("/device_authorization", {**usual, "expires_in": 300, "interval": 5, **fields})


def signed(standin: Standin, clock: Time, timeout_s: float = 120.0) -> SignedIn:
    return by_device(Provider(standin.parameters), timeout_s, sleep=clock.sleep, clock=clock)


def error(name: str) -> tuple[int, dict[str, str]]:
    return 400, {"error": name}


def test_it_is_asked_until_somebody_signed_in_and_slower_when_told(
    standin: Standin, clock: Time, capsys: pytest.CaptureFixture[str]
) -> None:
    started(standin)
    good = {"id_token": standin.id_token(), "refresh_token": "r"}
    pending = error("authorization_pending")
    standin.answer("/token", pending, error("slow_down"), (503, b""), pending, good)
    assert signed(standin, clock).refresh_token == "r"
    assert clock.slept == [5, 5, 10, 15, 15]
    assert standin.forms("/device_authorization") == [{"client_id": "skerry", "scope": "openid"}]
    assert standin.forms("/token")[0] == {"client_id": "skerry", "grant_type": GRANT, "device_code": "precious"}
    out, err = capsys.readouterr()
    assert (out, err) == ("", f"Log in with any browser at {standin.issuer}/device with this code: ABCD-EFGH\n")


def test_an_address_that_has_the_code_in_it_is_shown_with_the_code_to_compare(
    standin: Standin, clock: Time, capsys: pytest.CaptureFixture[str]
) -> None:
    complete = f"{standin.issuer}/device?user_code=ABCD"
    started(standin, verification_uri_complete=complete, user_code="A\x1b[2JB")
    standin.answer("/token", {"id_token": standin.id_token()})
    signed(standin, clock)
    assert capsys.readouterr().err == f"Log in with any browser at {complete} and compare the code there: A?[2JB\n"


@pytest.mark.parametrize(
    ("said", "code", "told"),
    [
        (error("expired_token"), TIMED_OUT, "nobody logged in"),
        (error("access_denied"), FAILED, "access_denied"),
        (error("invalid_grant"), FAILED, "invalid_grant"),
        (error("something"), FAILED, "something"),
        ((200, {}), FAILED, "no ID token"),
    ],
    ids=range(5),
)
def test_it_ends_with_the_answer(standin: Standin, clock: Time, said: Any, code: int, told: str) -> None:
    started(standin)
    standin.answer("/token", said)
    with pytest.raises(Failure, match=told) as caught:
        signed(standin, clock)
    assert caught.value.code == code
    assert "precious" not in str(caught.value)


@pytest.mark.parametrize(("timeout_s", "expires", "asked"), [(21.0, 300, 4), (120.0, 11, 2)])
def test_when_nobody_answers_it_ends_in_time(
    standin: Standin, clock: Time, timeout_s: float, expires: int, asked: int
) -> None:
    started(standin, expires_in=expires)
    standin.answer("/token", error("authorization_pending"))
    with pytest.raises(Failure, match="nobody logged in") as caught:
        signed(standin, clock, timeout_s)
    assert (caught.value.code, len(standin.forms("/token"))) == (TIMED_OUT, asked)


def test_a_provider_without_it_says_what_to_use(standin: Standin, clock: Time) -> None:
    standin.describe(device_authorization_endpoint=None)
    with pytest.raises(Failure, match="--browser"):
        signed(standin, clock)
