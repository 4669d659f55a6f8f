"""Signing in on another device: a code to type in there, and asking until somebody did (RFC 8628)."""

from __future__ import annotations

import time
from collections.abc import Callable

from skerry.cli.failure import TIMED_OUT, Failure
from skerry.cli.login.oidc import (
    SLOWER_S,
    DeviceAnswer,
    SignedIn,
    device_answer,
    interval,
    refused,
    shown,
    signed_in,
)
from skerry.cli.login.provider import Provider, ProviderAway
from skerry.cli.term import say

GRANT = "urn:ietf:params:oauth:grant-type:device_code"


def by_device(
    provider: Provider,
    timeout_s: float,
    *,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> SignedIn:
    """Have somebody sign in on another device. Failure if it is refused, or nobody does within the time."""
    parameters, discovery = provider.parameters, provider.discovery
    if not discovery.device_authorization_endpoint:
        raise Failure(f"{parameters.issuer} gives no codes for other devices: use --browser")
    answer = provider.post(discovery.device_authorization_endpoint, {"scope": " ".join(parameters.scopes)})
    started = device_answer(answer.body, parameters.issuer)
    say(_prompt(started))
    pause, deadline = interval(started), clock() + min(timeout_s, started.expires_in)
    while clock() + pause < deadline:
        sleep(pause)
        result, more = _asked(provider, started.device_code)
        if result is not None:
            return result
        pause += more
    raise _nobody(parameters.issuer)


def _asked(provider: Provider, code: str) -> tuple[SignedIn | None, float]:
    """The result, if there is one; and how much longer to wait from now on. Failure."""
    issuer = provider.parameters.issuer
    try:
        answer = provider.token_answer({"grant_type": GRANT, "device_code": code})
    except ProviderAway:
        return None, SLOWER_S
    if not answer.error:
        return signed_in(answer, provider.parameters, time.time()), 0.0
    if answer.error == "expired_token":
        raise _nobody(issuer)
    if answer.error not in ("authorization_pending", "slow_down"):
        raise refused(issuer, answer.error, answer.error_description)
    return None, SLOWER_S if answer.error == "slow_down" else 0.0


def _prompt(answer: DeviceAnswer) -> str:
    code = shown(answer.user_code)
    if answer.verification_uri_complete:
        return f"Log in with any browser at {answer.verification_uri_complete} and compare the code there: {code}"
    return f"Log in with any browser at {answer.verification_uri} with this code: {code}"


def _nobody(issuer: str) -> Failure:
    return Failure(f"nobody logged in at {issuer} in time: log in again", TIMED_OUT)
