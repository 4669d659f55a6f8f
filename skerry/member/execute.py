"""One request, executed by a member's API server as the identity that somebody vouched for.

The same for an agent and for the host on a direct member: the identity is checked, the head is built anew, a refused
credential is renewed once, and each failure says whether anything was executed.
"""

from __future__ import annotations

import contextlib
import logging
from asyncio import timeout
from collections.abc import AsyncIterator, Callable

from skerry.api.messages import Claims
from skerry.errors import BadGateway, GatewayTimeout, TooManyRequests
from skerry.http.client import RequestBody
from skerry.http.errors import HttpError, NoAnswer, NoRoom, Unreachable
from skerry.http.response import Response
from skerry.httpwire.apps import app_base
from skerry.httpwire.head import BODILESS, Headers, RequestHead, first
from skerry.httpwire.headers import announced, clean_response
from skerry.member import impersonation
from skerry.member.credentials import ClientCredential, CredentialError
from skerry.member.upstream import CredentialRefused, Upstream
from skerry.relay import Answer, OpenRequest

log = logging.getLogger("skerry.member")

INLINE = 48 * 1024
"""Answers up to this size are one message: below the window of an interactive stream with its head."""
SETTLE_S = 0.01
"""How long the rest of a small answer of unknown length is waited for before its head leaves alone."""

Rest = Callable[[], AsyncIterator[bytes]]
"""Gives the request body when it does not travel with the head, the inline part included."""


class Executor:
    """Executes requests on one API server."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream, self._role = upstream, upstream.role

    async def execute(
        self, request: OpenRequest, claims: Claims, rest: Rest, received: Headers | None = None
    ) -> Response:
        """The API server's response to `request`, made as `claims` say; `received` replaces the request's headers.

        Forbidden (an identity that never reaches a member), TooManyRequests, BadGateway, GatewayTimeout, WrongCluster,
        Unproved: before any head. The caller releases the response.
        """
        impersonation.check(claims)
        received = request.headers if received is None else received
        credential = await self._credential()
        response = await self._send(request, claims, rest, received, credential)
        if response is None and request.end and await self._renewed(credential):
            response = await self._send(request, claims, rest, received, await self._credential())
        if response is None:
            raise BadGateway(
                f"the API server refused {self._role.name}'s own credential ({self._upstream.proof}), not yours: "
                f"{self._role.remedy}"
            )
        return response

    async def _credential(self) -> ClientCredential:
        try:
            return await self._upstream.credential()
        except CredentialError as e:
            raise BadGateway(f"{self._role.name} cannot prove itself to the API server: {e}") from e

    async def _renewed(self, credential: ClientCredential) -> bool:
        try:
            return await self._upstream.renew(credential)
        except CredentialError as e:
            log.warning("the credential cannot be renewed", extra={"reason": str(e)})
            return False

    async def _send(
        self, request: OpenRequest, claims: Claims, rest: Rest, received: Headers, credential: ClientCredential
    ) -> Response | None:
        """The response; None if the API server does not take our credential."""
        head = self._head(request, claims, received, credential)
        body: RequestBody = None
        if head.upgrade is None:
            body = (request.body or None) if request.end else rest()
        try:
            limit_s = 0.0 if request.long_running else request.deadline_s + self._role.margin_s
            response = await self._upstream.send(credential, head, body, limit_s)
        except CredentialRefused:
            return None
        except NoRoom as e:
            raise TooManyRequests(f"{self._role.name}: {e}, its limit; nothing was executed, repeat it later") from e
        except Unreachable as e:
            raise BadGateway(
                f"the member's API server cannot be reached by {self._role.name}: {e}; nothing was executed"
            ) from e
        except NoAnswer as e:
            raise GatewayTimeout(f"the member's API server did not answer in time: {e}; {_outcome(request)}") from e
        except HttpError as e:
            raise BadGateway(f"the member's API server did not answer as it must: {e}; {_outcome(request)}") from e
        if response.status != 401 or b"/proxy" in request.target:
            return response
        await response.release()
        return None

    def _head(
        self, request: OpenRequest, claims: Claims, received: Headers, credential: ClientCredential
    ) -> RequestHead:
        mine = impersonation.identity(claims)
        headers = impersonation.headers(
            received, mine, credential.authorization, request.id, cookies=bool(app_base(request.target))
        )
        return RequestHead(
            method=request.method,
            target=self._upstream.target(request.target),
            headers=headers,
            upgrade=first(request.headers, b"upgrade"),
        )


def _outcome(request: OpenRequest) -> str:
    return "nothing was changed" if request.repeatable else "outcome unknown"


async def begun(request: OpenRequest, response: Response) -> Answer:
    """The response's head as it may travel on, with what of the body leaves along with it. BadGateway if it breaks off.

    After 101 (`response.raw`) both directions are raw.
    """
    body, end = b"", False
    headers = clean_response(response.headers, cookies=bool(app_base(request.target)))
    if response.raw is None:
        body, end = await _beginning(request, response)
        if not end or response.trailers:  # trailers travel with the end, which then is a message of its own
            end = False
            headers += announced(response.headers)
    return Answer(
        status=response.status,
        reason=response.head.reason,
        headers=headers,
        length=None if response.raw is not None else response.length,
        body=body,
        end=end,
    )


async def _beginning(request: OpenRequest, response: Response) -> tuple[bytes, bool]:
    if request.method == b"HEAD" or response.status in BODILESS:
        return b"", True
    try:
        return await _first_part(request, response)
    except HttpError as e:
        raise BadGateway(f"the member's API server answered {response.status} and broke off: {e}") from e


async def _first_part(request: OpenRequest, response: Response) -> tuple[bytes, bool]:
    """What of the body leaves with the head, and whether that is all of it.

    A short body of known length is read whole. One of unknown length that is not long-running is read as far as it
    comes without delay: the API server sends all but the shortest objects chunked.
    """
    if response.length == 0:
        return await response.read(), True
    if request.long_running or (response.length or 0) > INLINE:
        return b"", False
    if response.complete:
        return await response.read(), True
    pieces: list[bytes] = []
    size = 0
    with contextlib.suppress(TimeoutError):
        while size < INLINE:
            piece = await _soon(response)
            if not piece:
                return b"".join(pieces), True
            pieces.append(piece)
            size += len(piece)
    return b"".join(pieces), False


async def _soon(response: Response) -> bytes:
    if response.complete or response.length is not None:
        return await response.read()
    async with timeout(SETTLE_S):
        return await response.read()
