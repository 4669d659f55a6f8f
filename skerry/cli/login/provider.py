"""Talking to an OpenID provider, with the standard library: what `skerry login` needs starts quickly, and is small.

One request a connection, no redirects, no proxy, bounded bodies and times. A form with a secret goes to https alone, or to
this machine itself where the provider is there. Errors never tell what was sent.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from collections.abc import Mapping
from contextlib import closing
from typing import NamedTuple
from urllib.parse import urlencode, urlsplit

from skerry.cli.failure import Failure
from skerry.cli.login.oidc import ProviderMetadata, TokenAnswer, check_url, discovery, refused, shown, token_answer
from skerry.cli.login.parameters import LoginParameters

TIMEOUT_S = 15.0
MAX_BYTES = 1 << 20
_CHUNK = 64 * 1024


class ProviderAway(Failure):
    """It cannot be reached, or makes errors: later it may be there."""


class ProviderRefused(Failure):
    """It gives no tokens for what was shown to it."""


_AWAY = ("server_error", "temporarily_unavailable")


class ProviderAnswer(NamedTuple):
    """A whole answer."""

    status: int
    body: bytes


class Provider:
    """One provider, for one client. What it says of itself is asked for once. Failure from everything."""

    def __init__(self, parameters: LoginParameters, timeout_s: float = TIMEOUT_S) -> None:
        self.parameters = parameters
        self._timeout_s = timeout_s
        self._discovery: ProviderMetadata | None = None
        check_url(parameters.issuer, parameters.issuer)
        self._tls = _tls(parameters) if parameters.issuer.startswith("https:") else None

    @property
    def discovery(self) -> ProviderMetadata:
        """What it says of itself."""
        if self._discovery is None:
            url = f"{self.parameters.issuer.rstrip('/')}/.well-known/openid-configuration"
            answer = self._exchange("GET", url)
            if answer.status != 200:
                raise _unexpected(url, answer.status)
            self._discovery = discovery(answer.body, self.parameters)
        return self._discovery

    def tokens(self, form: Mapping[str, str]) -> TokenAnswer:
        """What the token endpoint gives for a grant. ProviderRefused, ProviderAway or another Failure."""
        answer = self.token_answer(form)
        if not answer.error:
            return answer
        error = refused(self.parameters.issuer, answer.error, answer.error_description)
        raise (ProviderAway if answer.error in _AWAY else ProviderRefused)(error.message)

    def token_answer(self, form: Mapping[str, str]) -> TokenAnswer:
        """What the token endpoint answers to a grant, its own errors too."""
        url = self.discovery.token_endpoint
        answer = self.post(url, form)
        if answer.status >= 500 or answer.status == 429:
            raise _unexpected(url, answer.status)
        result = token_answer(answer.body, self.parameters.issuer)
        if answer.status != 200 and not result.error:
            raise _unexpected(url, answer.status)
        return result

    def post(self, url: str, form: Mapping[str, str]) -> ProviderAnswer:
        """Send a form as this client, which is public: it has no secret."""
        return self._exchange("POST", url, urlencode({"client_id": self.parameters.client_id, **form}))

    def _exchange(self, method: str, url: str, body: str | None = None) -> ProviderAnswer:
        check_url(url, self.parameters.issuer)
        headers = {"Accept": "application/json", "User-Agent": "skerry"}
        if body is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        parts = urlsplit(url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        deadline = time.monotonic() + self._timeout_s
        try:
            with closing(self._connection(parts.scheme, parts.hostname or "", parts.port)) as connection:
                connection.request(method, target, body, headers)
                with connection.getresponse() as response:
                    return ProviderAnswer(response.status, _whole(response, url, deadline))
        except (OSError, http.client.HTTPException) as error:
            raise ProviderAway(f"{shown(url)} cannot be asked: {_why(error)}") from error

    def _connection(self, scheme: str, host: str, port: int | None) -> http.client.HTTPConnection:
        if scheme == "https":
            self._tls = self._tls or _tls(self.parameters)
            return http.client.HTTPSConnection(host, port, timeout=self._timeout_s, context=self._tls)
        return http.client.HTTPConnection(host, port, timeout=self._timeout_s)


def _tls(parameters: LoginParameters) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cadata=parameters.ca or None)
    except (ssl.SSLError, ValueError) as error:
        raise Failure("the authorities of the provider (--ca-data) are no certificates in PEM") from error


def _whole(response: http.client.HTTPResponse, url: str, deadline: float) -> bytes:
    """The body, within bounds. Failure, TimeoutError."""
    if 300 <= response.status < 400:
        raise Failure(
            f"{shown(url)} leads elsewhere ({response.status}), which is not followed: the issuer of the IdentityProvider may "
            "be wrong"
        )
    parts: list[bytes] = []
    size = 0
    while part := response.read1(_CHUNK):
        parts.append(part)
        size += len(part)
        if size > MAX_BYTES:
            raise Failure(f"{shown(url)} answers with more than {MAX_BYTES} bytes: it is no OpenID provider")
        if time.monotonic() > deadline:
            raise TimeoutError
    return b"".join(parts)


def _unexpected(url: str, status: int) -> Failure:
    if status >= 500 or status == 429:
        return ProviderAway(f"{shown(url)} answered with {status}: try again in a moment")
    return Failure(f"{shown(url)} answered with {status}: the issuer of the IdentityProvider may be wrong")


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"its certificate is not trusted ({error.verify_message}): the IdentityProvider must have its authority "
            "(spec.certificateAuthority), and the kubeconfig must be made anew"
        )
    if isinstance(error, ConnectionRefusedError):
        return "the connection is refused: is it running?"
    if isinstance(error, socket.gaierror):
        return "its name cannot be resolved: is there a network?"
    if isinstance(error, TimeoutError):
        return "it does not answer in time: try again in a moment"
    if isinstance(error, OSError):
        return f"{error.strerror or type(error).__name__}: try again in a moment"
    return "it does not speak HTTP"
