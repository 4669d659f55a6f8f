"""Where and how somebody signs in: what a kubeconfig says of it in the arguments of its exec plugin. No secret. Pure.

Imported before each request of kubectl: the standard library alone, and little of it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from typing import NamedTuple

FLOWS = ("Auto", "Browser", "Device")
MAX_TEXT = 2048
MAX_CA = 256 * 1024
EXEC = ("login", "--exec")
"""What the arguments of the plugin begin with."""
_OPTIONS = ("--issuer", "--client-id", "--scopes", "--flow", "--ca-data")


class ParameterError(ValueError):
    """Arguments that say nothing. The message names the argument."""


class LoginParameters(NamedTuple):
    """At which provider, as which client, for which scopes."""

    issuer: str
    """As its tokens say it."""
    client_id: str
    scopes: tuple[str, ...] = ("openid",)
    flow: str = "Auto"
    """One of FLOWS."""
    ca: str = ""
    """PEM of the authorities that alone count; empty: those of the system."""

    @property
    def digest(self) -> str:
        """Names what is kept of it: the same for all who ask for the same."""
        text = json.dumps([self.issuer, self.client_id, sorted(self.scopes)])
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def arguments(self) -> list[str]:
        """Of the exec plugin."""
        ca = [f"--ca-data={base64.b64encode(self.ca.encode()).decode()}"] if self.ca else []
        scopes = " ".join(self.scopes)
        return [
            *EXEC, f"--issuer={self.issuer}", f"--client-id={self.client_id}", f"--scopes={scopes}", f"--flow={self.flow}", *ca
        ]  # fmt: skip


def parameters(issuer: str, client_id: str, scopes: str = "", flow: str = "", ca_data: str = "") -> LoginParameters:
    """From the values of the arguments; scopes are separated by blanks, and openid is always one. ParameterError."""
    for option, text in zip(_OPTIONS, (issuer, client_id, scopes, flow), strict=False):
        if len(text) > MAX_TEXT or not text.isascii() or not (text.isprintable() or not text):
            raise ParameterError(f"{option} must be printable ASCII of at most {MAX_TEXT} characters")
    if not issuer or not client_id:
        raise ParameterError(f"{'--client-id' if issuer else '--issuer'} is missing")
    if not issuer.startswith(("https://", "http://")) or any(each in issuer for each in ' "<>\\^`{|}?#@'):
        raise ParameterError(f"--issuer {issuer!r} is no URL of a provider: https://…")
    if flow and flow not in FLOWS:
        raise ParameterError(f"--flow {flow!r}: use one of {', '.join(FLOWS)}")
    named = tuple(dict.fromkeys(("openid", *scopes.split())))
    return LoginParameters(issuer, client_id, named, flow or FLOWS[0], _pem(ca_data))


def _pem(data: str) -> str:
    try:
        if len(data) > MAX_CA:
            raise ValueError("it is too large")
        pem = base64.b64decode(data, validate=True).decode("ascii")
    except (binascii.Error, ValueError) as error:
        raise ParameterError("--ca-data must be base64 of certificates in PEM") from error
    if pem and "-----BEGIN CERTIFICATE-----" not in pem:
        raise ParameterError("--ca-data must be base64 of certificates in PEM")
    return pem


def of_arguments(words: list[str]) -> LoginParameters | None:
    """The parameters in the arguments of an exec plugin; None if it is not ours. ParameterError if it is and they say nothing."""
    if tuple(words[:2]) != EXEC:
        return None
    values = dict.fromkeys(_OPTIONS, "")
    rest = iter(words[2:])
    for word in rest:
        option, equals, value = word.partition("=")
        if option not in values:
            raise ParameterError(f"{option[:80]!r} is no argument of login --exec")
        values[option] = value if equals else next(rest, "")
    return parameters(*values.values())
