"""A token for somebody: the one that is kept, else a new one by the refresh token, else by asking.

One process of a user does so at a time; the others wait for it and take what it gets, its failure too: twenty requests
that begin together open one browser, and one that is closed unanswered stays closed (docs/adr/0028).
"""

from __future__ import annotations

import time
from collections.abc import Callable

from skerry.cli.failure import TIMED_OUT, Failure, exit_code
from skerry.cli.login.cache import CacheError, LoginCache, StoredLogin, directory
from skerry.cli.login.oidc import SignedIn, signed_in
from skerry.cli.login.parameters import LoginParameters, ParameterError
from skerry.cli.login.parameters import parameters as parameters_of
from skerry.cli.login.provider import Provider, ProviderRefused
from skerry.cli.term import program
from skerry.errors import SkerryError

WAIT_S = 120.0
"""How long to wait for another process that logs in."""
QUIET_S = 300.0
"""For so long a login that nobody answered is not tried again by plugins."""

AskProvider = Callable[[Provider], SignedIn]
"""Has somebody sign in. SkerryError."""


def cache_of(parameters: LoginParameters) -> LoginCache:
    """Where a login is kept. Failure."""
    try:
        return LoginCache(directory(), parameters.digest)
    except CacheError as error:
        raise Failure(str(error)) from error


def token(
    parameters: LoginParameters,
    cache: LoginCache,
    ask: AskProvider | None,
    *,
    plugin: bool = False,
    wait_s: float = WAIT_S,
    now: Callable[[], float] = time.time,
) -> StoredLogin:
    """A login whose token can be handed out. `ask` is None where nobody can be asked. Failure."""
    began = now()
    try:
        login = cache.read()
        if login.holds(began):
            return login
        lock = cache.lock(wait_s)
        if lock is None:
            raise Failure(
                f"another process has been logging in at {parameters.issuer} for {wait_s:.0f} s: end it, and try again",
                TIMED_OUT,
            )
        with lock:
            cached = cache.read()
            waited_for = cached.id_token != login.id_token and cached.expires > now()
            if cached.holds(now()) or waited_for:
                return cached
            if cached.failed >= began:
                raise Failure(cached.failure, cached.failure_code)
            return _obtained(parameters, cache, cached, ask, plugin=plugin, now=now)
    except CacheError as error:
        raise Failure(str(error)) from error


def _obtained(
    parameters: LoginParameters,
    cache: LoginCache,
    login: StoredLogin,
    ask: AskProvider | None,
    *,
    plugin: bool,
    now: Callable[[], float],
) -> StoredLogin:
    """As `token`, by who has the lock and has looked at what is kept: `login`."""
    provider = Provider(parameters)
    if login.refresh_token:
        try:
            return _refreshed(provider, cache, login, now)
        except ProviderRefused:
            login = login._replace(id_token="", refresh_token="")
            cache.write(login)
        except Failure as error:
            if login.expires > now():
                return login
            _tell_others(cache, login, error, now())
            raise
    if ask is None:
        raise Failure(_unasked(parameters))
    if plugin and login.failure_code == TIMED_OUT and now() - login.failed < QUIET_S:
        raise Failure(_unasked(parameters, ", and nobody answered the last time"))
    try:
        signed = ask(provider)
    except (SkerryError, KeyboardInterrupt) as error:
        _tell_others(cache, login, error, now())
        raise
    return _kept(cache, parameters, signed, signed.refresh_token)


def _refreshed(provider: Provider, cache: LoginCache, login: StoredLogin, now: Callable[[], float]) -> StoredLogin:
    """A new token without a word. Refused, if the provider gives none or one that is not believed; Failure."""
    answer = provider.tokens({"grant_type": "refresh_token", "refresh_token": login.refresh_token})
    try:
        signed = signed_in(answer, provider.parameters, now(), subject=login.subject)
    except Failure as error:
        raise ProviderRefused(error.message) from error
    return _kept(cache, provider.parameters, signed, signed.refresh_token or login.refresh_token)


def _kept(cache: LoginCache, parameters: LoginParameters, signed: SignedIn, refresh_token: str) -> StoredLogin:
    where = {"issuer": parameters.issuer, "clientID": parameters.client_id, "ca": parameters.ca}
    expires = float(signed.claims.exp)
    login = StoredLogin(signed.id_token, expires, refresh_token, signed.claims.sub, signed.name, parameters=where)
    cache.write(login)
    return login


def _tell_others(cache: LoginCache, login: StoredLogin, error: BaseException, at: float) -> None:
    """Have those that wait know that this login failed."""
    message = str(error) if isinstance(error, SkerryError) else "the login was interrupted: log in again"
    cache.write(login._replace(failed=at, failure=message, failure_code=exit_code(error)))


def _unasked(parameters: LoginParameters, more: str = "") -> str:
    return (
        f"you are not logged in at {parameters.issuer}{more}: run {program()} login (with the --context or --kubeconfig "
        "that you gave)"
    )


def ended(cache: LoginCache) -> str:
    """Forget a login, and have its provider end it where it can. What is left to say, for people; empty if nothing. Failure."""
    try:
        lock = cache.lock(0.0)
        if lock is None:
            raise Failure(f"a process is logging in with {cache.path}: end it first")
        with lock:
            login = cache.read()
            cache.remove()
    except CacheError as error:
        raise Failure(str(error)) from error
    return _revoked(login) if login.refresh_token else ""


def _revoked(login: StoredLogin) -> str:
    """Have the provider forget the refresh token (RFC 7009)."""
    issuer = login.parameters.get("issuer", "")
    try:
        known = parameters_of(issuer, login.parameters.get("clientID", ""))
        provider = Provider(known._replace(ca=login.parameters.get("ca", "")))
        endpoint = provider.discovery.revocation_endpoint
        if not endpoint:
            return f"{issuer} offers no way to end logins: it ends there by itself"
        form = {"token": login.refresh_token, "token_type_hint": "refresh_token"}
        status = provider.post(endpoint, form).status
    except (Failure, ParameterError) as error:
        return f"{issuer} was not told, so the login ends there by itself: {error}"
    return "" if status == 200 else f"{issuer} answered with {status}, so the login ends there by itself"
