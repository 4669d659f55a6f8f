"""nats-server reads its certificate when it starts: one that serves another than that of Secret `skerry-nats` is told to reload.

Connections stay. Kubelet brings a new Secret into the pod within a minute or two; a server that reloads before that serves what
it served, and is told again by the next look.
"""

from __future__ import annotations

import asyncio
import datetime

import msgspec

from skerry.api.decode import decoded
from skerry.bus import Message, Settings, connect
from skerry.errors import StatusError
from skerry.identity import x509
from skerry.identity.federation import Authority

VARZ, RELOAD = "$SYS.REQ.SERVER.PING.VARZ", "$SYS.REQ.SERVER.{}.RELOAD"
ANSWERS_S = 2.0
"""For so long the answers of all servers are awaited."""


class _Server(msgspec.Struct, frozen=True):
    id: str = ""
    name: str = ""


class _Variables(msgspec.Struct, frozen=True):
    tls_cert_not_after: datetime.datetime | None = None


class _Varz(msgspec.Struct, frozen=True):
    server: _Server = _Server()
    data: _Variables = _Variables()


async def reload_servers(settings: Settings, authority: Authority, certificate: bytes) -> list[str]:
    """Tell servers that serve another certificate than this, PEM; returns their names. StatusError: none can be asked."""
    connection = await connect(settings, authority.system_credentials(300))
    try:
        answers: list[Message] = []
        inbox = connection.inbox()
        await connection.subscribe(inbox, answers.append)
        await connection.publish(VARZ, b"", reply=inbox)
        await asyncio.sleep(ANSWERS_S)
        stale = {server.name: server.id for server in _stale(answers, certificate)}
        for each in stale.values():
            await connection.request(RELOAD.format(each), timeout_s=settings.connect_timeout_s)
        return sorted(stale)
    finally:
        connection.abort()


def _stale(answers: list[Message], certificate: bytes) -> list[_Server]:
    expiry = x509.expires(certificate)
    servers = []
    for answer in answers:
        try:
            varz = decoded(answer.data, _Varz)
        except msgspec.DecodeError:
            continue
        if varz.server.id and varz.data.tls_cert_not_after not in (None, expiry):
            servers.append(varz.server)
    return servers


async def told(settings: Settings, authority: Authority, certificate: bytes) -> list[str]:
    """`reload_servers` as lines for people. Before the bus is there nobody is to be told."""
    try:
        names = await reload_servers(settings, authority, certificate)
    except StatusError:
        return []
    return [f"{each} was told to take its new certificate" for each in names]
