"""Members as the host's own front door carries them: everything is done as a release's actor, and judged there like their own requests.

Requests of one's own are few on purpose: so many a second in all, and none to a member that did not answer a moment ago.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from services.appstore.delegations import Delegations
from skerry.api.delegations import DelegationRequest
from skerry.errors import BadGateway, GatewayTimeout, ServiceUnavailable, StatusError
from skerry.httpwire.head import Headers
from skerry.member.credentials import ClientCredential, Fixed
from skerry.member.kubeconfig import Target, Tls
from skerry.member.role import ClientRole
from skerry.member.upstream import Upstream, WholeAnswer
from skerry.settings import SettingsError, variable

RATE = 20.0
"""Requests a second."""
BURST = 40.0
AWAY_S = 10.0
"""A member that did not answer is not asked again for so long."""
CONNECTIONS = 32
ROLE = ClientRole(
    name="the App Store",
    remedy="see the condition HelmReady of AppStore host",
    user_agent=b"skerry-appstore",
    margin_s=0.0,
)
APPLY = b"application/apply-patch+yaml"
UNREACHABLE = (BadGateway, GatewayTimeout, ServiceUnavailable)


@dataclass(frozen=True, kw_only=True)
class MemberAccess:
    """A member, and as whom it is asked."""

    cluster: str
    delegation: DelegationRequest
    token: str = field(repr=False)


class RateLimit:
    """So many requests a second, and a few at once. `now` is in seconds."""

    def __init__(self, rate: float, burst: float, now: Callable[[], float]) -> None:
        self._rate, self._burst, self._now = rate, burst, now
        self._left, self._at = burst, now()

    def wait_s(self) -> float:
        """Take one, and return for how long to wait before it is used."""
        now = self._now()
        self._left = min(self._burst, self._left + (now - self._at) * self._rate) - 1.0
        self._at = now
        return max(0.0, -self._left / self._rate)


class FrontDoor:
    """The host's own API, at an address and with an authority that the composition root gives."""

    def __init__(self, url: str, authority: bytes, delegations: Delegations) -> None:
        """An empty `url`: nobody said where it is, and nothing is done. SettingsError for one that is none."""
        self._is_known = bool(url)
        parts = urlsplit(url or "https://unknown.invalid")
        if parts.scheme != "https" or not parts.hostname:
            raise SettingsError(
                f"{variable('app_store_front_door')}: {url!r} is not the https:// address of the host's front door"
            )
        self._target = Target(
            scheme="https", host=parts.hostname, port=parts.port or 443, tls=Tls(ca=authority), origin="the front door"
        )
        self._upstream = Upstream(self._target, Fixed(ClientCredential()), connections=CONNECTIONS, role=ROLE)
        self._delegations = delegations
        self._limit = RateLimit(RATE, BURST, asyncio.get_running_loop().time)
        self._away: dict[str, tuple[float, StatusError]] = {}

    async def access(self, delegation: DelegationRequest, cluster: str) -> MemberAccess:
        """Access to one of the clusters that a delegation is for. StatusError: Forbidden says why there is none."""
        if not self._is_known:
            raise ServiceUnavailable(
                f"the App Store does not know the front door: set {variable('app_store_front_door')}"
            )
        answer = await self._delegations.get(delegation)
        return MemberAccess(cluster=cluster, delegation=delegation, token=answer.token)

    def target(self, access: MemberAccess) -> Target:
        """The same for Helm."""
        return Target(
            scheme=self._target.scheme,
            host=self._target.host,
            port=self._target.port,
            prefix=f"/clusters/{access.cluster}",
            tls=self._target.tls,
            token=access.token,
            origin=self._target.origin,
        )

    async def get(self, access: MemberAccess, path: str, *, accept: bytes = b"application/json") -> WholeAnswer:
        """The answer to a GET; any status but 200 is raised, as the member or the front door says it."""
        return await self._called(access, "GET", path, headers=[(b"accept", accept)])

    async def apply(self, access: MemberAccess, path: str, body: bytes) -> WholeAnswer:
        """The answer to a server-side apply of a JSON object. StatusError."""
        return await self._called(access, "PATCH", path, body=body, headers=[])

    async def _called(
        self, access: MemberAccess, method: str, path: str, *, body: bytes = b"", headers: Headers
    ) -> WholeAnswer:
        now = asyncio.get_running_loop().time
        until, error = self._away.get(access.cluster, (0.0, None))
        if error is not None and now() < until:
            raise type(error)(error.message)
        if wait_s := self._limit.wait_s():
            await asyncio.sleep(wait_s)
        proof = (b"authorization", f"Bearer {access.token}".encode())
        try:
            answer = await self._upstream.call(
                method, f"/clusters/{access.cluster}{path}", body=body, content_type=APPLY, headers=[*headers, proof]
            )
            if answer.status == 401:
                self._delegations.forget(access.delegation, access.token)
            if answer.status not in (200, 201):
                raise answer.error()
        except UNREACHABLE as error:
            self._away[access.cluster] = now() + AWAY_S, error
            raise
        self._away.pop(access.cluster, None)
        return answer

    async def close(self) -> None:
        """Close all connections."""
        await self._upstream.close()
