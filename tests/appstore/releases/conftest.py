"""A front door with one member behind it, over TLS: it answers from a table of objects, and says what it was asked."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from services.appstore.delegations import Delegations
from services.appstore.releases.frontdoor import FrontDoor, MemberAccess
from skerry.api.delegations import DelegationAnswer, DelegationRequest, DelegationSubject
from skerry.api.meta import Document
from skerry.errors import StatusError
from skerry.http.exchange import Exchange
from skerry.http.limits import ServerLimits
from skerry.http.server import Server
from skerry.http.tls import server_context
from skerry.identity.x509 import create_ca, issue_server

PREFIX = "/clusters/m1"
OF = DelegationSubject(kind="AppRelease", namespace="shop", name="web", uid="uid")
DELEGATION = DelegationRequest(of=OF, user="ann", groups=("shop",), at="2026-01-01T00:00:00Z", clusters=("m1",))
V1 = {
    "resources": [
        {"name": "configmaps", "kind": "ConfigMap", "namespaced": True},
        {"name": "namespaces", "kind": "Namespace", "namespaced": False},
        {"name": "pods", "kind": "Pod", "namespaced": True},
        {"name": "pods/log", "kind": "Pod", "namespaced": True},
        {"name": "secrets", "kind": "Secret", "namespaced": True},
    ]
}


class Member:
    """What a member has, by path, and what it was asked: (method, path, token, body)."""

    def __init__(self) -> None:
        self.objects: dict[str, Document | StatusError] = {"/api/v1": V1}
        self.asked: list[tuple[str, str, str, Any]] = []
        self.accepted: list[str] = []
        self.port = 0
        self.authority = b""
        self.tokens = 0

    async def answer(self, exchange: Exchange) -> None:
        head = exchange.head
        token = (head.get(b"authorization") or b"").decode().removeprefix("Bearer ")
        body = await exchange.body(1 << 20)
        path = head.target.decode().removeprefix(PREFIX)
        self.asked.append((head.method.decode(), path, token, json.loads(body) if body else None))
        self.accepted.append((head.get(b"accept") or b"").decode())
        there = self.objects.get(path, {"kind": "Status", "code": 404, "reason": "NotFound", "message": "no"})
        if isinstance(there, StatusError):
            await exchange.respond_error(there)
            return
        status = there["code"] if there.get("kind") == "Status" else 200
        await exchange.respond(status, [(b"content-type", b"application/json")], json.dumps(there).encode())

    async def ask(self, request: DelegationRequest) -> DelegationAnswer:
        """Tenancy: another token each time."""
        self.tokens += 1
        return DelegationAnswer(token=f"token-{self.tokens}", expires=1e12)

    @property
    def paths(self) -> list[str]:
        """What it was asked for."""
        return [path for _, path, _, _ in self.asked]


@pytest.fixture
async def member(tmp_path: Path) -> AsyncIterator[Member]:
    """The member, served."""
    ca = create_ca("test")
    pair = issue_server(ca, ("127.0.0.1",))
    (tmp_path / "crt").write_bytes(pair.certificate)
    (tmp_path / "key").write_bytes(pair.key)
    made = Member()
    server = Server(made.answer, server_context(tmp_path / "crt", tmp_path / "key"), ServerLimits())
    await server.start("127.0.0.1", 0)
    made.port, made.authority = server.addresses[0][1], ca.certificate
    yield made
    await server.close()


@pytest.fixture
async def door(member: Member) -> AsyncIterator[FrontDoor]:
    """The way to it."""
    made = FrontDoor(f"https://127.0.0.1:{member.port}", member.authority, Delegations(member.ask, lambda: 0.0))
    yield made
    await made.close()


@pytest.fixture
async def access(door: FrontDoor) -> MemberAccess:
    """As ann."""
    return await door.access(DELEGATION, "m1")
