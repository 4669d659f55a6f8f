"""A member's API server, as one process reaches it: one pool of connections and that process's own credential.

The pool belongs to a TLS context, and the context to a client certificate and an authority: when an exec plugin or a file
gives others a new pool is made for new requests, and the old one ends with the requests that it carries. What is expected
to be a certain cluster is asked for its identity on each new connection (skerry/member/identity.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncGenerator
from typing import Any

import msgspec

from skerry.api.decode import decoded
from skerry.errors import BadGateway, StatusError, Unauthorized, from_body
from skerry.http import certificates
from skerry.http.certificates import CertificateEnds
from skerry.http.client import Client, RequestBody, SendRequest
from skerry.http.errors import Cut, HttpError, NoRoom, Unreachable
from skerry.http.limits import ClientLimits
from skerry.http.response import Response
from skerry.httpwire.head import Headers, RequestHead, first
from skerry.httpwire.room import Room
from skerry.member import identity, tls
from skerry.member.credentials import ClientCredential, CredentialSource, source
from skerry.member.identity import Expected, RightsMissing, Unproved, WrongCluster
from skerry.member.kubeconfig import Target
from skerry.member.role import AGENT, ClientRole
from skerry.member.rotation import Rotation

CALL_S = 10.0
"""For an answer: to a call of our own, or to the question which cluster it is."""
WHOLE_S = 3 * CALL_S
"""For a call whose connection is made for it: it is dialled, asked which cluster it is, and then called. An API server that takes
five seconds for each of these lives."""
DRAIN_S = 8 * 3600.0
DRAIN_POLL_S = 30.0
WRONG_S = 1.0
"""After another cluster answered, requests are refused without asking for so long: a storm of them is not one of dials."""
CALL_LIMIT = 4 << 20
"""Largest answer that a call of one's own reads."""


class WholeAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The whole answer to a call of one's own."""

    status: int
    body: bytes
    date: bytes | None = None
    """The header Date."""

    def document(self) -> dict[str, Any]:
        """The body as JSON object; empty if it is none."""
        try:
            document = decoded(self.body)
        except msgspec.DecodeError:
            return {}
        return document if isinstance(document, dict) else {}

    def metadata(self) -> dict[str, Any]:
        """Of the object that the body is; empty if it is none."""
        metadata = self.document().get("metadata")
        return metadata if isinstance(metadata, dict) else {}

    def message(self) -> str:
        """The message of a Status, on one line; else the HTTP status."""
        text = str(self.document().get("message") or f"HTTP status {self.status}")
        return " ".join(text.split())[:500]

    def error(self) -> StatusError:
        """The error that the API server tells; BadGateway if it is none of its own."""
        try:
            status = from_body(self.body)
        except msgspec.DecodeError:
            return BadGateway(f"the API server answered: {self.message()}")
        return status if status.code == self.status else BadGateway(f"the API server answered: {self.message()}")


class CredentialRefused(HttpError):
    """A new connection was not admitted: the API server does not take the credential. Nothing was executed."""


class Upstream:
    """Sends requests to one API server, with one credential and nobody else's. `role` is who does so, for messages.

    With a `rotation` target and credential follow the files that they were read from. `room` is the process's for large
    heads; its own by default.
    """

    def __init__(
        self,
        target: Target,
        source: CredentialSource,
        *,
        connections: int = 512,
        role: ClientRole = AGENT,
        room: Room | None = None,
        rotation: Rotation | None = None,
        expected: Expected | None = None,
    ) -> None:
        self.role = role
        self._room = room or Room()
        self._target, self._source, self._connections = target, source, connections
        self._rotation = rotation
        self._expected = expected
        self._wrong: WrongCluster | None = None
        self._wrong_until = 0.0
        self._server_ends: float | None = None
        self._client_ends = certificates.ends(target.tls.certificate)
        self._pooled: tuple[Target, bytes] | None = None
        self._client: Client | None = None
        self._retired: dict[Client, asyncio.Task[None]] = {}
        """Pools that take no more requests, with who waits for their last one."""

    @classmethod
    def rotating(cls, rotation: Rotation, *, connections: int) -> Upstream:
        """The agent's way: target and credential are those of `rotation`, now and later."""
        target = rotation.target
        return cls(target, source(target), connections=connections, rotation=rotation)

    def expect(self, expected: Expected) -> None:
        """From now on every new connection is asked which cluster it leads to, and no other one is served."""
        self.reconnect()
        self._expected = expected

    @property
    def url(self) -> str:
        """For messages."""
        return self._target.url

    @property
    def origin(self) -> str:
        """Where the credential comes from, for messages."""
        return self._target.origin

    @property
    def proof(self) -> str:
        """The same, with the files that it was read from."""
        return self.origin if self._rotation is None else f"{self.origin}: {self._rotation.told}"

    async def credential(self) -> ClientCredential:
        """The credential now. Raises CredentialError."""
        if self._rotation is not None and self._rotation.due:
            self._reread()
        return await self._source.get()

    async def renew(self, refused: ClientCredential) -> bool:
        """After a 401: whether there is a newer credential than `refused`. Raises CredentialError.

        Who does not know our credential may be somebody else: what is pooled is not used before it was asked again.
        """
        self.reconnect()
        return self._reread() or await self._source.renew(refused) is not None

    def _reread(self) -> bool:
        """True if files changed since they were read; then target and credential are the new ones."""
        if self._rotation is None or not self._rotation.look():
            return False
        self._target, self._pooled = self._rotation.target, None
        self._source, self._client_ends = source(self._target), certificates.ends(self._target.tls.certificate)
        return True

    async def send(
        self, credential: ClientCredential, head: RequestHead, body: RequestBody, head_timeout_s: float
    ) -> Response:
        """One request; `head` already carries `credential.authorization`.

        Raises the errors of Client.request, Refused, and WrongCluster, Unproved or RightsMissing: nothing was executed.
        """
        if self._wrong is not None and asyncio.get_running_loop().time() < self._wrong_until:
            raise type(self._wrong)(self._wrong.message, self._wrong.found)
        try:
            return await self._pool(credential).request(head, body, head_timeout_s=head_timeout_s)
        except NoRoom:
            raise
        except Unreachable as error:
            if not self._reread():
                raise self._explained(error) from error
        return await self._pool(await self._source.get()).request(head, body, head_timeout_s=head_timeout_s)

    def _explained(self, error: Unreachable) -> Unreachable:
        """With the files, where it may be these that are wrong: TLS was refused, by us or by the API server."""
        if self._rotation is None or not isinstance(error.__cause__, (ssl.SSLError, Cut)):
            return error
        return Unreachable(f"{error} ({self._rotation.told})")

    def target(self, path: bytes) -> bytes:
        """A request target below the server's path prefix."""
        return self._target.prefix.encode() + path

    def _pool(self, credential: ClientCredential) -> Client:
        pooled = self._pooled
        if self._client is None or pooled is None or credential.certificate != pooled[1]:
            old, self._client = self._client, self._made(credential)
            self._pooled = (self._target, credential.certificate)
            if old is not None:
                self._retired[old] = task = asyncio.ensure_future(_ended(old))
                task.add_done_callback(lambda _: self._retired.pop(old, None))
        return self._client

    def _made(self, credential: ClientCredential) -> Client:
        target = self._target
        context: ssl.SSLContext | None = None
        if target.scheme == "https":
            context = tls.context(target.tls, credential, self._shown)
        limits = ClientLimits(connections=self._connections)
        name = target.tls.server_name or None
        return Client(
            target.host, target.port, context, limits, server_hostname=name, room=self._room, admit=self._admit
        )

    # Certificates

    @property
    def certificate_ends(self) -> CertificateEnds:
        """When the certificates end that stand between us and the API server, as far as they were seen."""
        return CertificateEnds(self._server_ends, self._client_ends)

    def reconnect(self) -> None:
        """Use new connections for what comes: what the API server shows may have been renewed since."""
        if self._client is not None:
            self._client.drop_idle()

    def _shown(self, der: bytes) -> None:
        self._server_ends = certificates.chain_ends(der, self._target.tls.ca)

    # Which cluster it is

    async def _admit(self, ask: SendRequest) -> None:
        """Of a new connection, before any request: does it lead to the cluster that joined?"""
        if self._expected is None:
            return
        try:
            async with asyncio.timeout(CALL_S):
                answer = await self._identified(ask)
        except (HttpError, TimeoutError, ValueError) as error:
            why = str(error) or f"no answer within {CALL_S:.0f} s"
            raise Unreachable(f"{self.url} does not say which cluster it is: {why}") from error
        if answer.status == 401:
            raise CredentialRefused(f"{self.url} does not take the credential of {self.proof}")
        self._judge(self._expected, answer)

    async def _identified(self, ask: SendRequest) -> WholeAnswer:
        credential = await self._source.get()
        answer = await self._asked(ask, credential)
        if answer.status != 401 or await self._source.renew(credential) is None:
            return answer
        return await self._asked(ask, await self._source.get())

    async def _asked(self, ask: SendRequest, credential: ClientCredential) -> WholeAnswer:
        head = self._head(credential, "GET", identity.KUBE_SYSTEM, [])
        response = await ask(head)
        return WholeAnswer(status=response.status, body=await response.body(CALL_LIMIT))

    async def identify(self) -> dict[str, Any]:
        """metadata of namespace kube-system, which tells which cluster it is now; asked on a connection as requests are.

        Raises WrongCluster if it is not the expected one, TakenOver if another host's, Unproved, RightsMissing, Unauthorized, BadGateway.
        """
        answer = await self.call("GET", identity.KUBE_SYSTEM)
        if answer.status == 401:
            raise Unauthorized(f"{self.url} refuses the credential of {self.proof}: check it with kubectl")
        if self._expected is not None:
            self._judge(self._expected, answer)
        return answer.metadata()

    def _judge(self, expected: Expected, answer: WholeAnswer) -> None:
        """By an answer about kube-system. Another cluster's connections are cut, with what is on them."""
        if answer.status == 403:
            raise RightsMissing(
                f"{self.url}: namespace kube-system cannot be read ({answer.message()}), which says which cluster it is: "
                f"allow {self.role.name}'s account `get` on it"
            )
        uid = str(answer.metadata().get("uid") or "")
        if answer.status != 200 or not uid:
            raise Unproved(f"{self.url} does not say which cluster it is ({answer.message()}): nothing was sent to it")
        owner, host = identity.owner_of(answer.metadata())
        self._wrong = None
        if uid != expected.uid:
            self._wrong = identity.other(expected, uid, self.url, self.role)
        elif expected.host_uid and owner not in ("", expected.host_uid):
            self._wrong = identity.taken_over(expected, owner, host, self.url, self.role)
        if self._wrong is not None:
            self._wrong_until = asyncio.get_running_loop().time() + WRONG_S
            self._cut()
            raise self._wrong

    def _cut(self) -> None:
        """Everything, also what still runs on pools of earlier credentials."""
        for client in self._pools():
            client.cut()

    # Calls of one's own

    async def call(
        self,
        method: str,
        path: str,
        *,
        body: bytes = b"",
        content_type: bytes = b"application/json",
        headers: Headers | None = None,
    ) -> WholeAnswer:
        """A call of one's own, read whole; a refused credential is renewed once.

        Raises BadGateway (unreachable, slow, cut), CredentialError, WrongCluster, Unproved or RightsMissing.
        """
        sent = [*(headers or ()), *([(b"content-type", content_type)] if body else ())]
        credential = await self.credential()
        answer = await self._called(credential, method, path, body, sent)
        if answer.status == 401 and await self.renew(credential):
            answer = await self._called(await self.credential(), method, path, body, sent)
        return answer

    async def lines(self, path: str, headers: Headers, *, limit: int, head_s: float) -> AsyncGenerator[bytes]:
        """The lines of an answer that does not end by itself, such as a watch's. It is cut when the caller leaves.

        Forbidden, NotFound, Gone; BadGateway (unreachable, slow, cut, a line of more than `limit` bytes); CredentialError.
        """
        try:
            response = await self._opened(path, headers, head_s)
            try:
                if response.status != 200:
                    answer = WholeAnswer(status=response.status, body=await response.body(CALL_LIMIT))
                    raise answer.error()
                rest = b""
                while data := await response.read():
                    *lines, rest = (rest + data).split(b"\n")
                    if len(rest) > limit:
                        raise ValueError(f"a line has more than {limit} bytes")
                    for line in lines:
                        yield line
            finally:
                await response.release()
        except (HttpError, ValueError) as error:
            raise BadGateway(f"the API server {self.url}: {error}") from error

    async def _opened(self, path: str, headers: Headers, head_s: float) -> Response:
        credential = await self.credential()
        response = await self.send(credential, self._head(credential, "GET", path, headers), None, head_s)
        if response.status != 401 or not await self.renew(credential):
            return response
        await response.release()
        credential = await self.credential()
        return await self.send(credential, self._head(credential, "GET", path, headers), None, head_s)

    def _head(self, credential: ClientCredential, method: str, path: str, headers: Headers) -> RequestHead:
        accepted = [] if first(headers, b"accept") else [(b"accept", b"application/json")]
        sent = [*accepted, (b"user-agent", self.role.user_agent), *headers]
        if credential.authorization:
            sent.append((b"authorization", credential.authorization))
        return RequestHead(method=method.encode(), target=self.target(path.encode()), headers=sent)

    async def _called(
        self, credential: ClientCredential, method: str, path: str, body: bytes, headers: Headers
    ) -> WholeAnswer:
        head = self._head(credential, method, path, headers)
        try:
            async with asyncio.timeout(WHOLE_S):
                response = await self.send(credential, head, body or None, CALL_S)
            try:
                async with asyncio.timeout(CALL_S):
                    whole = await response.body(CALL_LIMIT)
                return WholeAnswer(status=response.status, body=whole, date=first(response.headers, b"date"))
            finally:
                await response.release()
        except CredentialRefused:
            return WholeAnswer(status=401, body=b"")
        except Unreachable as e:
            raise BadGateway(f"the API server {self.url} ({e}): check that it runs, and the kubeconfig") from e
        except (HttpError, TimeoutError, ValueError) as e:
            why = str(e) or f"no answer within {CALL_S:.0f} s"
            raise BadGateway(
                f"the API server {self.url} does not answer as it must ({why}): check that it is well"
            ) from e

    async def close(self) -> None:
        """Close all connections."""
        pools = self._pools()
        for task in self._retired.values():
            task.cancel()
        await asyncio.gather(*(client.close() for client in pools))

    def _pools(self) -> list[Client]:
        return [*self._retired, *([] if self._client is None else [self._client])]


async def _ended(client: Client) -> None:
    """Close a pool that takes no more requests, when the last one has ended (at most the session cap)."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_S):
            while client.connections:  # noqa: ASYNC110 - no event tells; idle ones close within a minute
                await asyncio.sleep(DRAIN_POLL_S)
    await client.close()
