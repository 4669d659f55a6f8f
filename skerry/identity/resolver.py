"""Telling nats-server about accounts, and asking an external server whether it can carry a host.

Account JWTs are pushed over a connection in SYS; the server answers each push, and a refusal is an error here.
Deleting is for accounts that every server is known to hold a tombstone of (see `Authority.tombstone`).
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, TypeVar

import msgspec

from skerry.api.decode import decoded
from skerry.errors import GatewayTimeout, ServiceUnavailable, StatusError
from skerry.identity.federation import Authority

UPDATE = "$SYS.REQ.CLAIMS.UPDATE"
DELETE = "$SYS.REQ.CLAIMS.DELETE"
LIST = "$SYS.REQ.CLAIMS.LIST"
LOOKUP = "$SYS.REQ.ACCOUNT.{}.CLAIMS.LOOKUP"
PING, CONNECTIONS = "$SYS.REQ.SERVER.PING", "$SYS.REQ.SERVER.PING.CONNZ"
PAGE, OVERLAP = 512, 64
"""Connections of one answer (2 KB each). What ends between two pages moves those behind it forward: pages overlap."""
_JSZ = "$SYS.REQ.SERVER.PING.JSZ"
T = TypeVar("T")
_VARZ = "$SYS.REQ.SERVER.PING.VARZ"


class ClientConnection(NamedTuple):
    """A connection of a client."""

    key: str
    """Unique over all servers: `<server>/<number>`, as in the servers' events."""
    account: str
    user: str
    """The nkey that it authenticated with."""
    name: str
    """Of its user, as the issuer wrote it."""
    said: str = ""
    """Its own name, as the client said it: of a member's, anything."""


class _ServerAccounts(msgspec.Struct, frozen=True):
    id: str = ""


class _Statistics(msgspec.Struct, frozen=True):
    active_servers: int = 0


class _Pong(msgspec.Struct, frozen=True):
    statsz: _Statistics = _Statistics()


class _ClientConnection(msgspec.Struct, frozen=True):
    cid: int = 0
    authorized_user: str = ""
    account: str = ""
    name_tag: str = ""
    name: str = ""


class _Connections(msgspec.Struct, frozen=True):
    connections: list[_ClientConnection] = []


class _Page(msgspec.Struct, frozen=True):
    server: _ServerAccounts = _ServerAccounts()
    data: _Connections = _Connections()


class ResolverReply(Protocol):
    """The part of a reply that is read."""

    data: bytes


class Asker(Protocol):
    """`skerry.bus.Connection` or `Bus` with SYS credentials; identity does not import the bus."""

    async def request(self, subject: str, payload: bytes = b"", *, timeout_s: float) -> ResolverReply: ...


class Resolver:
    """Pushes account JWTs to the servers' full resolver."""

    def __init__(self, sys: Asker, *, timeout_s: float = 5.0) -> None:
        self._sys = sys
        self._timeout_s = timeout_s

    async def push(self, account_jwt: str) -> None:
        """Create or update an account; returns when a server has stored it (2-4 ms). ServiceUnavailable if refused."""
        await self._ask(UPDATE, account_jwt, "store the account")

    async def delete(self, authority: Authority, publics: list[str]) -> None:
        """Forget accounts for good."""
        await self._ask(DELETE, authority.deletion(publics), "delete the account")

    async def accounts(self) -> list[str]:
        """Public keys of all accounts that the answering server holds."""
        answer = await self._sys.request(LIST, timeout_s=self._timeout_s)
        return list(_decode(answer.data).get("data") or [])

    async def claims(self, public: str) -> str:
        """The JWT of an account as a server holds it; empty if none does."""
        try:
            answer = await self._sys.request(LOOKUP.format(public), timeout_s=self._timeout_s)
        except GatewayTimeout:
            return ""
        return answer.data.decode(errors="replace")

    async def connections(self) -> list[ClientConnection] | None:
        """All that there are, and some that ended while they were asked for. None where there are several servers: none can
        be known to have told all. ServiceUnavailable."""
        pong = await self._told(PING, b"", _Pong)
        if pong.statsz.active_servers != 1:
            return None
        connections: dict[str, ClientConnection] = {}
        offset, whole = 0, True
        while whole:
            query = msgspec.json.encode({"auth": True, "limit": PAGE, "offset": offset})
            page = await self._told(CONNECTIONS, query, _Page)
            for each in page.data.connections:
                key = f"{page.server.id}/{each.cid}"
                connections[key] = ClientConnection(key, each.account, each.authorized_user, each.name_tag, each.name)
            whole = len(page.data.connections) >= PAGE
            offset += PAGE - OVERLAP
        return list(connections.values())

    async def _told(self, subject: str, payload: bytes, kind: type[T]) -> T:
        answer = await self._sys.request(subject, payload, timeout_s=self._timeout_s)
        try:
            return decoded(answer.data, kind)
        except msgspec.DecodeError as e:
            raise ServiceUnavailable("the bus tells of its connections what cannot be read") from e

    async def _ask(self, subject: str, text: str, what: str) -> None:
        answer = _decode((await self._sys.request(subject, text.encode(), timeout_s=self._timeout_s)).data)
        error = answer.get("error")
        if error or (answer.get("data") or {}).get("code") != 200:
            description = (error or {}).get("description", "no reason given")
            raise ServiceUnavailable(f"the bus refused to {what}: {description}; see the log of nats-server")


async def check_server(sys: Asker, *, timeout_s: float = 5.0) -> list[str]:
    """The faults of an external server, each with the next step; empty if it can carry a host.

    That `sys` could connect at all shows that the server trusts our operator; a refusal of the connection
    (Unauthorized) is the caller's to report: it means that `operator` and `system_account` are not ours.
    """
    missing = []
    if not await _answers(sys, LIST, timeout_s):
        missing.append("the full resolver: set `resolver { type: full, allow_delete: true, … }`")
    jetstream = await _data(sys, _JSZ, timeout_s)
    if jetstream is None or jetstream.get("disabled", False):
        missing.append("JetStream: add a `jetstream { store_dir: … }` block")
    elif not _always(jetstream.get("config") or {}):
        missing.append("durable acknowledgement: set `sync_interval: always` in the `jetstream` block")
    server = await _data(sys, _VARZ, timeout_s)
    if server is not None and server.get("max_payload", 0) < 1024 * 1024:
        missing.append("room for messages: set `max_payload: 2MB`")
    return missing


def _always(config: dict[str, Any]) -> bool:
    return bool(config.get("sync_always")) or not config


async def _answers(sys: Asker, subject: str, timeout_s: float) -> bool:
    try:
        return "data" in _decode((await sys.request(subject, timeout_s=timeout_s)).data)
    except StatusError:
        return False


async def _data(sys: Asker, subject: str, timeout_s: float) -> dict[str, Any] | None:
    try:
        return _decode((await sys.request(subject, timeout_s=timeout_s)).data).get("data")
    except StatusError:
        return None


def _decode(data: bytes) -> dict[str, Any]:
    try:
        return decoded(data, dict[str, Any])
    except msgspec.DecodeError as e:
        raise ServiceUnavailable("the bus gave an answer that is not JSON: is this a nats-server?") from e
