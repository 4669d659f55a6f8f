"""The host's own account on a member: made once, with what serving needs, and a token at a time."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from skerry.errors import BadGateway, Forbidden, NotFound
from skerry.http.exchange import Exchange
from skerry.member import account
from skerry.member.upstream import Upstream
from tests.member.apiserver import JSON, ApiServer

pytestmark = pytest.mark.integration

SECRETS = "/api/v1/namespaces/skerry-system/secrets"
ACCOUNTS = "/api/v1/namespaces/skerry-system/serviceaccounts"
ROLES = "/apis/rbac.authorization.k8s.io/v1/clusterroles"


class Objects:
    """What the stand-in keeps of the paths that an account needs."""

    def __init__(self, api: ApiServer, *, fills: bool = True) -> None:
        self.kept: dict[str, dict[str, Any]] = {}
        self.patched: list[str] = []
        self._fills = fills
        self._api = api
        for path in ("/api/v1/namespaces", ACCOUNTS, ROLES, SECRETS):
            api.routes[path] = self._collection
        api.routes[f"{ROLES}/skerry%3Adirect"] = self._patch
        api.routes[f"{ACCOUNTS}/skerry-direct/token"] = self._requested

    async def _collection(self, exchange: Exchange) -> None:
        path = exchange.head.target.partition(b"?")[0].decode()
        if exchange.head.method == b"GET":
            items = [each for where, each in self.kept.items() if where.startswith(path + "/")]
            await exchange.respond(200, JSON, msgspec.json.encode({"items": items}))
            return
        document = msgspec.json.decode(await exchange.body(1 << 20))
        where = f"{path}/{document['metadata']['name']}"
        if where in self.kept:
            await exchange.respond(409, JSON, b'{"message":"already exists"}')
            return
        if path == SECRETS:
            document["data"] = (
                {"token": base64.b64encode(b"made-" + where[-8:].encode()).decode()} if self._fills else {}
            )
            self._api.routes[where] = self._one
        self.kept[where] = document
        await exchange.respond(201, JSON, msgspec.json.encode(document))

    async def _one(self, exchange: Exchange) -> None:
        path = exchange.head.target.decode()
        if path not in self.kept:
            raise NotFound("gone")
        found = self.kept.pop(path) if exchange.head.method == b"DELETE" else self.kept[path]
        await exchange.respond(200, JSON, msgspec.json.encode(found))

    async def _patch(self, exchange: Exchange) -> None:
        self.patched.append(exchange.head.target.decode())
        await exchange.respond(200, JSON, await exchange.body(1 << 20))

    async def _requested(self, exchange: Exchange) -> None:
        asked = msgspec.json.decode(await exchange.body(1 << 20))
        assert asked["spec"]["expirationSeconds"] == account.YEAR_S
        await exchange.respond(201, JSON, b'{"status":{"token":"requested"}}')

    @property
    def secrets(self) -> list[str]:
        return [path.rsplit("/", 1)[1] for path in self.kept if path.startswith(SECRETS + "/")]


async def test_the_account_is_made_with_its_token(api: ApiServer, upstream: Upstream) -> None:
    objects = Objects(api)
    made = await account.create(upstream)
    assert made.token.startswith("made-")
    assert objects.secrets == [made.secret]
    assert "skerry:direct" in api.bindings
    labelled = [each["metadata"]["labels"] for each in objects.kept.values()]
    assert all(labels == {"skerry.dev/installed": "direct"} for labels in labelled)


async def test_a_second_time_repairs_the_role_and_makes_another_token(api: ApiServer, upstream: Upstream) -> None:
    objects = Objects(api)
    first = await account.create(upstream)
    second = await account.create(upstream)
    assert objects.patched == [f"{ROLES}/skerry%3Adirect"]
    assert sorted(objects.secrets) == sorted([first.secret, second.secret])
    await account.forget_tokens(upstream, second.secret)
    assert objects.secrets == [second.secret]


async def test_a_missing_permission_is_named(api: ApiServer, upstream: Upstream) -> None:
    Objects(api)
    api.refuse[ROLES] = Forbidden("you may not")
    with pytest.raises(BadGateway, match=r"ClusterRole skerry:direct.*you may not"):
        await account.create(upstream)


async def test_without_a_controller_a_token_is_asked_for(
    api: ApiServer, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account, "FILLED_S", 0.3)
    objects = Objects(api, fills=False)
    assert await account.create(upstream) == account.AccountToken("requested", "")
    assert objects.secrets == []


def test_the_documentation_has_the_same_table() -> None:
    """Row by row: verbs, resources and names, and nothing that the table has not."""
    text = (Path(__file__).parents[2] / "docs" / "security.md").read_text()
    rows = dict(re.findall(r"^\| (requests|the mark|the bindings|the inventory|tenancy) \| (.+) \|$", text, re.M))
    assert len(rows) == 5
    for row, cell in rows.items():
        rights = [each for each in account.RIGHTS if each.purpose == row.removeprefix("the ")]
        words = {word for each in rights for word in (*each.verbs.split(), *each.resources.split(), *each.names)}
        words |= {*account.PATHS} if row == "the inventory" else set()
        for word in words:
            assert word in cell, (row, word)
        verbs = {"get", "list", "watch", "create", "update", "patch", "delete", "bind", "impersonate", "escalate"}
        assert {verb for verb in verbs if re.search(rf"\b{verb}\b", cell)} <= words | {"get"}


def test_it_may_what_its_table_says_and_nothing_by_wildcard() -> None:
    """Each line as an attacker would read it: impersonation makes it an administrator; the rest is what it uses."""
    assert not any("*" in str(rule) for rule in account.rules())
    written = {
        (verb, resource, ",".join(right.names))
        for right in account.RIGHTS
        for verb in right.verbs.split()
        for resource in right.resources.split()
        if verb not in ("get", "list", "watch", "impersonate")
    }
    rbac = {
        (verb, kind, "") for verb in ("create", "patch", "delete") for kind in ("rolebindings", "clusterrolebindings")
    }
    assert written == rbac | {
        ("patch", "namespaces", "kube-system"),
        ("create", "namespaces", ""),
        ("patch", "namespaces", ""),
        ("delete", "namespaces", ""),
        ("bind", "clusterroles", "view,edit,admin,cluster-admin,skerry:namespaces"),
        ("create", "clusterroles", ""),
        ("patch", "clusterroles", "skerry:namespaces"),
        ("delete", "clusterroles", "skerry:namespaces"),
    }
    assert {right.purpose for right in account.RIGHTS} == {"requests", "mark", "bindings", "inventory", "tenancy"}
