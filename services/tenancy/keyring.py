"""The keys of identity providers, as one replica has them: asked for, kept as long as their provider says, asked for again.

A provider is asked for its configuration (OpenID Connect Discovery 1.0), which names where its keys are. They live as their
cache header says, within bounds; a token that names a key which is not there has them fetched again, not more often than
every ten seconds. A provider that is away takes nobody's access for a day: its old keys serve.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

import msgspec

from services.tenancy.providers import on_this_machine
from services.tenancy.verify import KeysById, keys_of
from skerry.api.conditions import NO_VERDICT, Verdict
from skerry.api.decode import decoded
from skerry.api.identities import LEEWAY_S, IdentityProviderSpec
from skerry.api.times import rfc3339
from skerry.backoff import Backoff
from skerry.errors import SkerryError
from skerry.http.outbound import Fetched, OutboundError, OutboundPolicy, fetch
from skerry.httpwire.addresses import AddressPolicy
from skerry.httpwire.head import Headers, first

log = logging.getLogger("skerry.tenancy")

SHORTEST_S, USUAL_S, LONGEST_S = 300.0, 3600.0, 86400.0
"""For how long keys are fresh: at least, where nothing is said, at most."""
AWAY_S = 86400.0
"""Keys that were fresh serve so long while their provider is away."""
AGAIN_S = 10.0
"""Between two fetches because of keys that are not known."""
RETRY_S = (1.0, 60.0)
"""The first and the longest pause after a fetch that failed."""
SAID_S = 3600.0
"""What tokens showed to be wrong with a provider is told for so long."""
DISCOVERY = "/.well-known/openid-configuration"
READY = "KeysFetched"

_MAX_AGE = re.compile(r"(?:^|[\s,])max-age\s*=\s*\"?(\d{1,9})")
_FORBIDS = re.compile(r"(?:^|[\s,])no-(?:store|cache)\b")

FetchKeys = Callable[..., Awaitable[Fetched]]
"""`skerry.http.outbound.fetch`."""


class ProviderProblem(SkerryError):
    """A provider whose keys could not be fetched. `reason` is that of the condition."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class FetchedKeys(NamedTuple):
    """What one look at a provider brought."""

    keys: KeysById
    unusable: int
    fresh_s: float
    ahead_s: float
    """By how much its clock is ahead of ours."""


def policy(spec: IdentityProviderSpec) -> OutboundPolicy:
    """What may be dialled for a provider: this machine only for one that says that it is there."""
    here = on_this_machine(spec.issuer)
    return OutboundPolicy(addresses=AddressPolicy(private=True, loopback=here), plain_on_loopback=here)


async def look(spec: IdentityProviderSpec, now: float, fetching: FetchKeys = fetch) -> FetchedKeys:
    """Ask a provider for its keys. ProviderProblem."""
    allowed = policy(spec)
    discovery = await _document(spec.issuer.rstrip("/") + DISCOVERY, spec, allowed, "DiscoveryFailed", fetching)
    configuration = discovery.document
    if configuration.get("issuer") != spec.issuer:
        raise ProviderProblem(
            "DiscoveryFailed", f"it calls itself {configuration.get('issuer')!r:.200}: spec.issuer must be exactly that"
        )
    where = configuration.get("jwks_uri")
    if not isinstance(where, str):
        raise ProviderProblem("DiscoveryFailed", "its configuration does not say where its keys are (jwks_uri)")
    answer = await _document(where, spec, allowed, "KeysFailed", fetching)
    try:
        keys, unusable = keys_of(answer.document)
    except ValueError as error:
        raise ProviderProblem("KeysFailed", f"{where} is no set of keys: {error}") from error
    if not keys:
        raise ProviderProblem("NoKeys", f"{where} has no key that can be used ({unusable} that cannot)")
    return FetchedKeys(keys, unusable, fresh_s(answer.headers), _ahead_s(answer.headers, now))


class _Answer(NamedTuple):
    document: dict[str, Any]
    headers: Headers


async def _document(
    url: str, spec: IdentityProviderSpec, allowed: OutboundPolicy, reason: str, fetching: FetchKeys
) -> _Answer:
    """A JSON object of the provider."""
    try:
        fetched = await fetching(url, allowed, ca_pem=spec.certificate_authority)
    except OutboundError as error:
        raise ProviderProblem("TLSFailed" if error.problem == "TLS" else reason, str(error)) from error
    try:
        document = decoded(fetched.body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ProviderProblem(reason, f"{url} is no JSON") from error
    if not isinstance(document, dict):
        raise ProviderProblem(reason, f"{url} is no object")
    return _Answer(document, fetched.headers)


def fresh_s(headers: Headers) -> float:
    """For how long an answer with these headers is fresh (RFC 9111, 5.2.2), within our bounds."""
    said = b",".join(value for name, value in headers if name == b"cache-control").decode("latin-1").lower()
    if _FORBIDS.search(said):
        return SHORTEST_S
    match = _MAX_AGE.search(said)
    if match is None:
        return USUAL_S
    age = (first(headers, b"age") or b"0").decode("latin-1")
    left = float(match[1]) - (float(age) if age.isascii() and age.isdigit() and len(age) < 10 else 0.0)
    return min(max(left, SHORTEST_S), LONGEST_S)


def _ahead_s(headers: Headers, now: float) -> float:
    try:
        date = parsedate_to_datetime((first(headers, b"date") or b"").decode("latin-1"))
        return date.replace(tzinfo=date.tzinfo or UTC).timestamp() - now
    except (ValueError, TypeError, OverflowError):
        return 0.0


class KeyRing:
    """The keys of one provider. `now` is Unix time in seconds."""

    def __init__(self, name: str, now: Callable[[], float], fetching: FetchKeys = fetch) -> None:
        self.name = name
        self.keys: KeysById = {}
        self.fetched = 0.0
        """When they were fetched last; 0: never."""
        self.due = 0.0
        """When to fetch them again."""
        self._now, self._fetching = now, fetching
        self._fresh_until = 0.0
        self._looked = 0.0
        self._problem = NO_VERDICT
        self._ahead_s = 0.0
        self._said: dict[str, float] = {}
        self._backoff = Backoff(*RETRY_S)
        self._lock = asyncio.Lock()

    @property
    def usable(self) -> bool:
        """True if tokens can be checked by its keys now."""
        return bool(self.keys) and self._now() < self._fresh_until + AWAY_S

    async def refresh(self, spec: IdentityProviderSpec) -> None:
        """Fetch the keys if they are due. Who comes meanwhile waits for the same."""
        async with self._lock:
            if self._now() >= self.due:
                await self._refreshed(spec)

    async def look_again(self, spec: IdentityProviderSpec) -> None:
        """Fetch the keys because one is not among them, unless that was just done."""
        async with self._lock:
            if self._now() - self._looked >= AGAIN_S:
                await self._refreshed(spec)

    async def _refreshed(self, spec: IdentityProviderSpec) -> None:
        self._looked = self._now()
        try:
            fetched = await look(spec, self._now(), self._fetching)
        except ProviderProblem as error:
            verdict = Verdict("False", error.reason, str(error))
            if verdict != self._problem:
                log.warning("a provider's keys cannot be fetched", extra={"provider": self.name, "error": str(error)})
            self._problem = verdict
            self.due = self._now() + self._backoff.next()
            return
        self._backoff.reset()
        self._problem = NO_VERDICT
        self._ahead_s = fetched.ahead_s
        self.keys, self.fetched = fetched.keys, self._now()
        self._fresh_until = self.due = self.fetched + fetched.fresh_s

    def says(self, reason: str) -> bool:
        """A token showed something to be wrong with the provider, named as a reason below. True if that is new."""
        new = self._now() - self._said.get(reason, 0.0) > SAID_S
        self._said[reason] = self._now()
        return new

    def _told(self, reason: str) -> bool:
        return reason in self._said and self._now() - self._said[reason] <= SAID_S

    @property
    def verdict(self) -> Verdict:
        """The condition Ready: what is worst."""
        problem = self._problem
        if problem.reason and self.usable:
            until = rfc3339(self._fresh_until + AWAY_S)
            return Verdict(
                "True", problem.reason, f"{problem.message}; the keys of {rfc3339(self.fetched)} serve until {until}"
            )
        if problem.reason:
            return problem
        if not self.fetched:
            return Verdict("Unknown", "NotAskedYet", "its keys are being fetched")
        if abs(self._ahead_s) > LEEWAY_S:
            behind = "ahead of" if self._ahead_s > 0 else "behind"
            text = f"its clock is {abs(self._ahead_s):.0f} s {behind} this host's: tokens are refused beyond {LEEWAY_S:.0f} s"
            return Verdict("False", "ClockSkew", text)
        return self._by_tokens()

    def _by_tokens(self) -> Verdict:
        if self._told("ClockSkew"):
            return Verdict("False", "ClockSkew", "its tokens begin in the future: its clock or this host's is wrong")
        if self._told("GroupsLeftOut"):
            text = (
                "it left groups out of tokens, because there are too many (_claim_names): grants to those groups give nothing; "
                "have it send only the groups that are assigned to this client"
            )
            return Verdict("True", "GroupsLeftOut", text)
        return Verdict("True", READY, f"{len(self.keys)} keys")


class KeyRings:
    """The keys of all providers, by name. A provider that has another issuer or authority starts over."""

    def __init__(self, now: Callable[[], float], fetching: FetchKeys = fetch) -> None:
        self._now, self._fetching = now, fetching
        self._rings: dict[str, tuple[tuple[str, str, str], KeyRing]] = {}
        self.changed: Callable[[str], None] = lambda name: None
        """Called with a provider's name when its condition may be another."""

    def ring(self, name: str, uid: str, spec: IdentityProviderSpec) -> KeyRing:
        """The keys of a provider, maybe none yet."""
        whose = uid, spec.issuer, spec.certificate_authority
        known = self._rings.get(name)
        if known is None or known[0] != whose:
            known = self._rings[name] = whose, KeyRing(name, self._now, self._fetching)
        return known[1]

    def forget(self, name: str) -> None:
        """A provider that is gone."""
        self._rings.pop(name, None)
