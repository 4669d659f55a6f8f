"""The client of short-lived commands: what it sends, and what becomes of each answer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from skerry.api.meta import ListMeta, Struct
from skerry.errors import AlreadyExists, BadGateway, Conflict, Forbidden, NotFound, StatusError
from skerry.http.exchange import Exchange
from skerry.member.objects import APPLY, ObjectClient, files_of
from tests.member.apiserver import JSON, ApiServer

pytestmark = pytest.mark.integration

SECRETS = "/api/v1/namespaces/ns/secrets"
CERTIFICATES = "/apis/cert-manager.io/v1"


class SecretPage(Struct, frozen=True, kw_only=True):
    metadata: ListMeta = ListMeta()
    items: list[dict[str, Any]] = []


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[ApiServer]:
    async with ApiServer(tmp_path) as server:
        yield server


@pytest.fixture
async def client(api: ApiServer) -> AsyncIterator[ObjectClient]:
    async with api.client() as client:
        yield client


def secret(name: str = "a", **more: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": "ns"}, **more}


def certificate() -> dict[str, Any]:
    return {"apiVersion": "cert-manager.io/v1", "kind": "Certificate", "metadata": {"name": "c:d", "namespace": "ns"}}


def answers(api: ApiServer, path: str, *bodies: bytes, status: int = 200) -> list[bytes]:
    """Answer with one body after another, the last one again and again; what was sent there comes into the list."""
    left, sent = list(bodies), list[bytes]()

    async def route(exchange: Exchange) -> None:
        sent.append(await exchange.body(1 << 20))
        await exchange.respond(status, JSON, left.pop(0) if len(left) > 1 else left[0])

    api.routes[path] = route
    return sent


def refuses(api: ApiServer, path: str, error: StatusError) -> None:
    answers(api, path, error.body(), status=error.code)


def target(api: ApiServer) -> tuple[bytes, str]:
    """Of the last request."""
    return api.seen[-1].method, api.seen[-1].target.decode()


async def test_what_is_not_there_is_none_and_what_may_not_be_read_an_error(
    api: ApiServer, client: ObjectClient
) -> None:
    refuses(api, f"{SECRETS}/a", NotFound("secrets a not found"))
    assert await client.get(secret()) is None
    refuses(api, f"{SECRETS}/a", Forbidden("you may not"))
    with pytest.raises(Forbidden, match="you may not"):
        await client.get(secret())


@pytest.mark.parametrize("body", [b"", b"x", b"[]", b"\xff", b"{}", b'{"metadata":[]}'])
async def test_what_is_no_object_is_an_error(api: ApiServer, client: ObjectClient, body: bytes) -> None:
    answers(api, f"{SECRETS}/a", body)
    with pytest.raises(BadGateway, match="is no Secret"):
        await client.get(secret())


async def test_writes_are_in_the_manager_s_name(api: ApiServer, client: ObjectClient) -> None:
    document = secret(data={})
    sent = answers(api, SECRETS, b"{}", status=201)
    await client.create(document)
    assert target(api) == (b"POST", f"{SECRETS}?fieldManager=tester")
    assert msgspec.json.decode(sent[-1]) == document
    answers(api, f"{SECRETS}/a", b"{}")
    await client.replace(document)
    assert target(api) == (b"PUT", f"{SECRETS}/a?fieldManager=tester")
    await client.apply(document)
    assert target(api) == (b"PATCH", f"{SECRETS}/a?fieldManager=tester&force=true")
    assert api.seen[-1].all(b"content-type") == [APPLY]


async def test_a_dry_run_says_so(api: ApiServer, client: ObjectClient) -> None:
    answers(api, SECRETS, b"{}", status=201)
    await client.create(secret(), dry_run=True)
    assert "dryRun=All" in target(api)[1]
    answers(api, f"{SECRETS}/a", b"{}", status=201)
    await client.apply(secret(), dry_run=True)
    assert "dryRun=All" in target(api)[1]


@pytest.mark.parametrize("error", [AlreadyExists("is there"), Conflict("is another"), NotFound("no namespace ns")])
async def test_a_write_that_is_refused_is_the_error_that_the_api_server_tells(
    api: ApiServer, client: ObjectClient, error: StatusError
) -> None:
    for path in (SECRETS, f"{SECRETS}/a"):
        refuses(api, path, error)
    for write in (client.create, client.replace, client.apply):
        with pytest.raises(type(error), match=error.message):
            await write(secret())


async def test_an_error_that_is_no_status_is_a_bad_gateway(api: ApiServer, client: ObjectClient) -> None:
    answers(api, SECRETS, b"<html>teapot</html>", status=418)
    with pytest.raises(BadGateway, match="HTTP status 418"):
        await client.create(secret())


async def test_deleting_tells_whether_it_was_there(api: ApiServer, client: ObjectClient) -> None:
    answers(api, f"{SECRETS}/a", b"{}", status=202)
    assert await client.delete(secret()) is True
    refuses(api, f"{SECRETS}/a", NotFound("gone"))
    assert await client.delete(secret()) is False
    refuses(api, f"{SECRETS}/a", Forbidden("you may not"))
    with pytest.raises(Forbidden):
        await client.delete(secret())


async def test_a_list_is_read_page_by_page(api: ApiServer, client: ObjectClient) -> None:
    first = {"metadata": {"continue": "a&b"}, "items": [secret("a")]}
    answers(api, SECRETS, msgspec.json.encode(first), msgspec.json.encode({"items": [secret("b")]}))
    pages = [page async for page in client.pages(SECRETS, SecretPage, {"labelSelector": "x=y"})]
    assert [each["metadata"]["name"] for page in pages for each in page.items] == ["a", "b"]
    assert target(api)[1] == f"{SECRETS}?labelSelector=x%3Dy&limit=500&continue=a%26b"


@pytest.mark.parametrize("body", [b"", b"[]", b'{"items": 1}', b'{"metadata": {"continue": 1}}'])
async def test_a_list_that_cannot_be_read_is_an_error(api: ApiServer, client: ObjectClient, body: bytes) -> None:
    answers(api, SECRETS, body)
    with pytest.raises(BadGateway, match=f"has at {SECRETS}"):
        [page async for page in client.pages(SECRETS, SecretPage)]


async def test_a_kind_that_is_not_kubernetes_own_is_asked_for_once(api: ApiServer, client: ObjectClient) -> None:
    served = [{"name": "certificates/status", "kind": "Certificate"}, {"name": "certificates", "kind": "Certificate", "namespaced": True}]  # fmt: skip
    sent = answers(api, CERTIFICATES, msgspec.json.encode({"resources": served}))
    for _ in range(2):
        assert await client.path(certificate()) == f"{CERTIFICATES}/namespaces/ns/certificates/c%3Ad"
    assert len(sent) == 1


async def test_a_kind_that_is_not_served_is_an_error(api: ApiServer, client: ObjectClient) -> None:
    for served in (b"{}", b'{"resources": [{"kind": "Issuer", "name": "issuers"}]}'):
        answers(api, CERTIFICATES, served)
        with pytest.raises(NotFound, match=r"serves no Certificate of cert-manager\.io/v1: install what brings it"):
            await client.path(certificate())
    refuses(api, CERTIFICATES, NotFound("no"))
    with pytest.raises(NotFound, match="serves no Certificate"):
        await client.path(certificate())
    refuses(api, CERTIFICATES, Forbidden("you may not"))
    with pytest.raises(Forbidden):
        await client.path(certificate())


def test_what_lies_in_a_secret_is_bytes() -> None:
    assert files_of(secret(data={"a": "AP8=", "b": ""})) == {"a": b"\x00\xff", "b": b""}
    assert files_of(secret()) == files_of(secret(data=None)) == {}


@pytest.mark.parametrize("data", ["x", [1], {"a": 1}, {"a": "%"}, {"a": None}, {"a": "AA"}])
def test_what_is_no_secret_is_an_error(data: Any) -> None:
    with pytest.raises(BadGateway, match="is no Secret"):
        files_of(secret(data=data))
