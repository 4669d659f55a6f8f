"""The client's half of OpenID Connect: what is asked, and what of an answer is believed. Pure.

OpenID Connect Core 1.0, PKCE (RFC 7636), the issuer in answers (RFC 9207), device codes (RFC 8628). A token comes from the
token endpoint over TLS, so its signature need not be checked here (Core 3.1.3.7, 6): the host does. Whom it is from and for,
until when, and that it is the answer to our question is checked.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

import msgspec

from skerry.api.decode import decoded
from skerry.cli.failure import Failure
from skerry.cli.login.cache import MAX_TIME
from skerry.cli.login.parameters import LoginParameters
from skerry.httpwire.addresses import is_loopback

MAX_TOKEN = 16 * 1024
"""Of an ID token: the host takes none that is longer."""
LEEWAY_S = 60.0
SLOWER_S = 5.0
"""How much longer to wait after slow_down."""
POLL_S = 5.0
MAX_POLL_S = 60.0
_SHOWN = 200


class ProviderMetadata(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider says of itself, as far as a client needs it."""

    issuer: str
    token_endpoint: str
    authorization_endpoint: str | None = None
    device_authorization_endpoint: str | None = None
    revocation_endpoint: str | None = None
    authorization_response_iss_parameter_supported: bool | None = None


class TokenAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of a token endpoint, or its error."""

    id_token: str | None = None
    refresh_token: str | None = None
    error: str | None = None
    error_description: str | None = None


class DeviceAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What to show, and how often to ask."""

    device_code: str
    user_code: str
    verification_uri: str
    verification_uri_complete: str | None = None
    expires_in: float = 600.0
    interval: float | None = None


class IdClaims(msgspec.Struct, frozen=True, kw_only=True):
    """Claims of an ID token that a client looks at."""

    iss: str
    sub: str
    aud: str | list[str]
    exp: float
    azp: str | None = None
    nonce: str | None = None
    email: Any = None
    preferred_username: Any = None


class SignedIn(NamedTuple):
    """Tokens that are the answer to what was asked."""

    id_token: str
    claims: IdClaims
    refresh_token: str
    """Empty if none was given."""

    @property
    def name(self) -> str:
        """Who signed in, for people."""
        claims = self.claims
        names = (claims.email, claims.preferred_username, claims.sub)
        return shown(next(name for name in names if isinstance(name, str) and (name or name is claims.sub)))


class Question(NamedTuple):
    """What one login makes up so that only its own answer fits."""

    state: str
    nonce: str
    verifier: str

    @property
    def challenge(self) -> str:
        """S256 of the verifier."""
        return base64.urlsafe_b64encode(hashlib.sha256(self.verifier.encode()).digest()).rstrip(b"=").decode()


def question() -> Question:
    """A new one."""
    return Question(secrets.token_urlsafe(32), secrets.token_urlsafe(32), secrets.token_urlsafe(48))


def shown(text: str) -> str:
    """Text of a provider as a terminal may show it: one line, no control characters, not for ever."""
    printable = "".join(each if each.isprintable() else "?" for each in text[: _SHOWN + 1])
    return printable if len(printable) <= _SHOWN else printable[:_SHOWN] + "…"


def discovery(body: bytes, parameters: LoginParameters) -> ProviderMetadata:
    """The configuration of a provider. Failure if it is none, or that of another, or leads out of TLS."""
    try:
        metadata = decoded(body, ProviderMetadata)
    except msgspec.DecodeError as error:
        raise Failure(f"{parameters.issuer} does not describe itself as an OpenID provider: {error}") from error
    if metadata.issuer != parameters.issuer:
        raise Failure(
            f"{parameters.issuer} calls itself {shown(metadata.issuer)}: the issuer of the IdentityProvider must be the same to "
            "the character"
        )
    for name in ("token", "authorization", "device_authorization", "revocation"):
        endpoint = getattr(metadata, f"{name}_endpoint")
        if endpoint:
            check_url(endpoint, parameters.issuer)
    return metadata


def check_url(url: str, issuer: str) -> None:
    """Refuse an address where a secret would go in the clear, or that is none. Failure."""
    problem = f"{issuer} leads to {shown(url)}, which is no https:// address"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise Failure(problem) from error
    if not url.isascii() or not url.isprintable() or " " in url or not host or "@" in parts.netloc or parts.fragment:
        raise Failure(problem)
    if parts.scheme == "https" or (parts.scheme == "http" and on_this_machine(host) and issuer.startswith("http:")):
        return
    raise Failure(problem)


def on_this_machine(host: str) -> bool:
    """True if a name or address in a URL is this machine's own."""
    try:
        return host == "localhost" or is_loopback(host)
    except ValueError:
        return False


def authorization_url(endpoint: str, parameters: LoginParameters, asked: Question, redirect: str) -> str:
    """The page at which somebody signs in."""
    query = {
        "response_type": "code",
        "client_id": parameters.client_id,
        "redirect_uri": redirect,
        "scope": " ".join(parameters.scopes),
        "state": asked.state,
        "nonce": asked.nonce,
        "code_challenge": asked.challenge,
        "code_challenge_method": "S256",
    }
    return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(query)}"


def is_answer(answer: Mapping[str, str], asked: Question) -> bool:
    """True if a redirect is the answer to this question, whatever it says."""
    return secrets.compare_digest(answer.get("state", "").encode(), asked.state.encode())


def code_of(answer: Mapping[str, str], found: ProviderMetadata) -> str:
    """The code in a redirect that is the answer to our question. Failure if it was refused, or is another provider's."""
    issuer = answer.get("iss")
    if issuer != found.issuer and (issuer is not None or found.authorization_response_iss_parameter_supported):
        raise Failure(
            f"the answer came from {shown(issuer or 'nobody')} instead of {found.issuer} and was not taken: log in again, and "
            "if it stays so tell an administrator"
        )
    if error := answer.get("error"):
        raise refused(found.issuer, error, answer.get("error_description"))
    if not (code := answer.get("code")):
        raise Failure(f"{found.issuer} answered without a code: log in again, and if it stays so tell an administrator")
    return code


def refused(issuer: str, error: str, description: str | None) -> Failure:
    """A provider's own refusal, with what can be done about it."""
    why = shown(f"{error}: {description}" if description else error)
    hints = {
        "access_denied": "log in again, or ask an administrator of the provider",
        "invalid_client": "the client of the IdentityProvider must be registered there as a public one",
        "unauthorized_client": "the client of the IdentityProvider must be allowed to log in this way there",
        "invalid_scope": "the scopes of the IdentityProvider must be known there",
        "redirect_uri_mismatch": "register http://127.0.0.1/callback for the client there, whatever the port",
    }
    return Failure(f"{issuer} refused the login ({why}): {hints.get(error, 'log in again')}")


def token_answer(body: bytes, issuer: str) -> TokenAnswer:
    """The answer of a token endpoint. Failure if it is none."""
    try:
        return decoded(body, TokenAnswer)
    except msgspec.DecodeError as error:
        raise Failure(f"{issuer} answered with something else than tokens: {error}") from error


def signed_in(
    answer: TokenAnswer, parameters: LoginParameters, now: float, *, nonce: str = "", subject: str = ""
) -> SignedIn:
    """The tokens in an answer. `nonce`: what it must carry; `subject`: whom it must be about. Failure; never with a token."""
    issuer, text = parameters.issuer, answer.id_token
    if not text:
        raise Failure(f"{issuer} gave no ID token: openid must be among the scopes of its client")
    claims = _claims(text, issuer)
    audiences = [claims.aud] if isinstance(claims.aud, str) else claims.aud
    problems = {
        f"is from {shown(claims.iss)}": claims.iss != issuer,
        f"is not for client {parameters.client_id}": parameters.client_id not in audiences,
        f"was made for another client, {shown(claims.azp or '')}": claims.azp not in (None, parameters.client_id),
        "is not the answer to this login": bool(nonce) and claims.nonce != nonce,
        "is about somebody else than before": bool(subject) and claims.sub != subject,
    }
    problem = next((text for text, there in problems.items() if there), "")
    if problem:
        raise Failure(f"the ID token of {issuer} {problem}: log in again, and if it stays so tell an administrator")
    if not now - LEEWAY_S < claims.exp < MAX_TIME:
        raise Failure(f"the ID token of {issuer} has ended already by the clock of this machine: set the clock")
    return SignedIn(text, claims, answer.refresh_token or "")


def _claims(text: str, issuer: str) -> IdClaims:
    parts = text.split(".")
    try:
        if len(text) > MAX_TOKEN or len(parts) != 3 or not text.isascii() or not text.isprintable() or " " in text:
            raise ValueError(f"three parts of base64url, at most {MAX_TOKEN} bytes together")
        payload = base64.b64decode(parts[1] + "=" * (-len(parts[1]) % 4), altchars=b"-_", validate=True)
        return decoded(payload, IdClaims)
    except (ValueError, msgspec.DecodeError) as error:
        raise Failure(f"the ID token of {issuer} cannot be read: {error}") from error


def device_answer(body: bytes, issuer: str) -> DeviceAnswer:
    """What a provider answers to who asks for a code on another device. Failure if it is that it has none to give."""
    try:
        answer = decoded(body, DeviceAnswer)
    except msgspec.DecodeError as error:
        problem = token_answer(body, issuer)
        if problem.error:
            raise refused(issuer, problem.error, problem.error_description) from error
        raise Failure(f"{issuer} gave no code for another device: {error}") from error
    for url in (answer.verification_uri, answer.verification_uri_complete):
        if url:
            check_url(url, issuer)
    return answer


def interval(answer: DeviceAnswer) -> float:
    """Seconds between two questions, as a provider wants it."""
    seconds = answer.interval
    return POLL_S if seconds is None or not 0 < seconds <= MAX_POLL_S else seconds
