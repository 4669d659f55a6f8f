"""Tokens of the host's own cluster: what is asked of its API server, and whom its answers name here."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from services.tenancy.hosttokens import AGAIN_S, HostTokens, named
from services.tenancy.verify import TokenRefused
from skerry.errors import BadGateway, ServiceUnavailable
from skerry.member.upstream import WholeAnswer
from tests.tenancy.tokens import NOW, token

ACCOUNT = {
    "username": "system:serviceaccount:apps:deployer",
    "groups": ["system:serviceaccounts", "system:authenticated"],
}


class ApiServer:
    """An API server that knows tokens for some audiences."""

    def __init__(self, *audiences: str, user: Any = None, status: int = 201, aware: bool = True) -> None:
        self.audiences, self.user, self.status, self.aware = audiences, user or ACCOUNT, status, aware
        self.asked: list[list[str]] = []
        self.error: BadGateway | None = None

    async def call(self, method: str, path: str, *, body: bytes = b"") -> WholeAnswer:
        assert (method, path) == ("POST", "/apis/authentication.k8s.io/v1/tokenreviews")
        if self.error is not None:
            raise self.error
        spec = json.loads(body)["spec"]
        self.asked.append(spec.get("audiences", []))
        wanted = spec.get("audiences") or ["https://kubernetes"]
        common = [each for each in wanted if each in self.audiences]
        known = bool(common) or (not self.aware and bool(self.audiences))
        said = {"authenticated": known, "user": self.user if known else {}}
        if known and self.aware:
            said["audiences"] = common
        return WholeAnswer(status=self.status, body=json.dumps({"status": said}).encode())


async def identity(server: ApiServer, text: str = "") -> Any:
    return await HostTokens(server, lambda: NOW).identity(text or token(iss="https://kubernetes"))


async def test_a_service_account_is_known_by_its_namespace_and_name_and_no_group_of_kubernetes() -> None:
    server = ApiServer("skerry")
    known = await identity(server)
    assert (known.user, known.groups) == ("serviceaccount:apps:deployer", ())
    assert (known.issued, known.expires, known.fresh_until) == (NOW - 10, NOW + 300, NOW + AGAIN_S)
    assert server.asked == [["skerry"]]


@pytest.mark.parametrize("aware", [True, False], ids=["a new API server", "one that knows no audiences"])
async def test_the_audience_of_the_api_server_will_do(aware: bool) -> None:
    server = ApiServer("https://kubernetes", aware=aware)
    assert (await identity(server)).user == "serviceaccount:apps:deployer"
    assert server.asked == [["skerry"], []]


async def test_a_token_for_somebody_else_and_one_that_is_none_are_refused() -> None:
    for server in (ApiServer("vault"), ApiServer()):
        with pytest.raises(TokenRefused, match="does not know it"):
            await identity(server)
    server = ApiServer("skerry")
    for text in ("a\nb", "é", "\x00"):
        with pytest.raises(TokenRefused):
            await identity(server, text)
    assert server.asked == []


async def test_an_api_server_that_cannot_be_asked_refuses_nobody() -> None:
    server = ApiServer("skerry")
    server.error = BadGateway("it does not answer")
    with pytest.raises(ServiceUnavailable, match="does not answer"):
        await identity(server)
    with pytest.raises(ServiceUnavailable, match="reviews no tokens"):
        await identity(ApiServer("skerry", status=403))


async def test_an_opaque_token_of_a_person_holds_for_a_minute_at_a_time() -> None:
    server = ApiServer(
        "skerry", user={"username": "alice", "groups": ["ops", "system:masters", "skerry:admin", 7, "ops"]}
    )
    known = await identity(server, "opaque")
    assert (known.user, known.groups, known.issued, known.expires) == ("alice", ("ops",), 0.0, NOW + AGAIN_S)


@pytest.mark.parametrize(
    "user",
    [
        {},
        {"username": ""},
        {"username": "system:admin"},
        {"username": "system:node:a"},
        {"username": "SYSTEM:serviceaccount:a:b"},
        {"username": "skerry:alice"},
        {"username": "serviceaccount:a:b"},
        {"username": "system:serviceaccount:a"},
        {"username": "system:serviceaccount:A:b"},
        {"username": "system:serviceaccount:a:b:c"},
        {"username": "system:serviceaccount::b"},
        {"username": "alice", "groups": [f"g{n}" for n in range(501)]},
    ],
    ids=str,
)
def test_who_is_nobody_here_is_refused(user: dict[str, Any]) -> None:
    with pytest.raises(TokenRefused):
        named(user, "opaque", NOW)


@pytest.mark.parametrize("claims", [{"exp": "never"}, {"exp": True}, {"exp": -1}, {"iat": "now", "exp": None}])
def test_times_that_are_none_are_not_believed(claims: dict[str, Any]) -> None:
    known = named(ACCOUNT, token(**claims), NOW)
    assert known.expires == NOW + AGAIN_S
    assert math.isfinite(known.issued)


def test_a_token_from_long_ago_is_refused() -> None:
    with pytest.raises(TokenRefused, match="days ago"):
        named(ACCOUNT, token(iat=NOW - 1831 * 86400), NOW)
