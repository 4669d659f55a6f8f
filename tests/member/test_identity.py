"""Which cluster answers: asked on each new connection, so that another one at the same address gets nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from skerry.errors import BadGateway, ServiceUnavailable, StatusError
from skerry.http.errors import Cut
from skerry.http.exchange import Exchange
from skerry.httpwire.head import RequestHead, ResponseHead
from skerry.member import kubeconfig
from skerry.member.credentials import source
from skerry.member.identity import KUBE_SYSTEM, Expected, RightsMissing, TakenOver, Unproved, WrongCluster
from skerry.member.role import HOST
from skerry.member.upstream import WRONG_S, Upstream
from tests.fixtures.nats import eventually
from tests.member.apiserver import JSON, ApiServer

pytestmark = pytest.mark.integration

ASKED = KUBE_SYSTEM.encode()
DEADLINE_S = 10.0


@pytest.fixture
def bound(upstream: Upstream) -> Upstream:
    """A way to the cluster that joined as m1, and to no other."""
    upstream.expect(Expected("uid-1", "m1"))
    return upstream


async def healed(upstream: Upstream) -> None:
    """Wait until it answers again."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            try:
                await upstream.call("GET", "/version")
            except WrongCluster:
                await asyncio.sleep(0.05)
            else:
                return


async def test_a_new_connection_is_asked_first_and_a_warm_one_is_not(api: ApiServer, bound: Upstream) -> None:
    for _ in range(3):
        assert (await bound.call("GET", "/version")).status == 200
    assert api.targets == [ASKED, b"/version", b"/version", b"/version"]


async def test_another_cluster_at_its_address_gets_no_request_and_both_are_named(
    api: ApiServer, bound: Upstream
) -> None:
    await bound.call("GET", "/version")
    await api.replaced("uid-2")
    with pytest.raises(WrongCluster, match=r"uid-2.*'m1' \(uid-1\).*skerry cluster remove m1") as caught:
        await bound.call("POST", "/api/v1/namespaces", body=b"{}")
    assert (caught.value.code, caught.value.found) == (503, "uid-2")
    assert set(api.targets) == {ASKED}


async def test_a_cluster_that_another_host_took_over_gets_no_request_until_it_is_taken_back(
    api: ApiServer, upstream: Upstream
) -> None:
    upstream.expect(Expected(api.uid, "m1", "host-uid"))
    api.annotations["skerry.dev/host"] = "host-uid"
    assert (await upstream.call("GET", "/version")).status == 200
    api.annotations |= {"skerry.dev/host": "other-uid", "skerry.dev/host-name": "other\x1b[31m"}
    with pytest.raises(TakenOver, match=r"'other \[31m' \(UID other-uid\).* skerry cluster remove m1"):
        await upstream.identify()
    with pytest.raises(TakenOver):
        await upstream.call("GET", "/version")
    await eventually(lambda: api.connections == 0)
    del api.annotations["skerry.dev/host"]
    await asyncio.sleep(WRONG_S)
    assert (await upstream.call("GET", "/version")).status == 200


async def test_it_is_not_asked_again_for_every_request(api: ApiServer, bound: Upstream) -> None:
    await api.replaced("uid-2")
    for _ in range(20):
        with pytest.raises(WrongCluster):
            await bound.call("GET", "/version")
    assert len(api.targets) <= 2


async def test_when_the_right_one_is_back_it_serves_by_itself(api: ApiServer, bound: Upstream) -> None:
    await api.replaced("uid-2")
    with pytest.raises(WrongCluster):
        await bound.call("GET", "/version")
    await api.replaced("uid-1")
    await healed(bound)


async def test_a_cluster_that_changes_under_its_connections_is_cut(api: ApiServer, bound: Upstream) -> None:
    async def watch(exchange: Exchange) -> None:
        await exchange.start(ResponseHead(status=200, headers=JSON), length=None)
        await exchange.write(b"{}")
        await asyncio.Event().wait()

    api.routes["/api/v1/pods"] = watch
    credential = await bound.credential()
    headers = [(b"authorization", credential.authorization)]
    head = RequestHead(method=b"GET", target=b"/api/v1/pods", headers=headers)
    response = await bound.send(credential, head, None, DEADLINE_S)
    assert await response.read() == b"{}"
    assert (await bound.identify())["uid"] == "uid-1"
    api.uid = "uid-2"
    with pytest.raises(WrongCluster):
        await bound.identify()
    with pytest.raises(Cut):
        await response.read()


@pytest.mark.parametrize("code", [429, 500, 503, 404])
async def test_who_does_not_say_is_sent_nothing(api: ApiServer, bound: Upstream, code: int) -> None:
    class Busy(StatusError):
        pass

    error = Busy("not now")
    error.code = code
    api.refuse[KUBE_SYSTEM] = error
    with pytest.raises(Unproved, match="not now"):
        await bound.call("GET", "/version")
    assert api.targets == [ASKED]
    api.refuse.clear()
    assert (await bound.call("GET", "/version")).status == 200


async def test_an_account_that_may_not_read_it_is_told_what_to_allow(api: ApiServer, bound: Upstream) -> None:
    class Denied(ServiceUnavailable):
        code, reason = 403, "Forbidden"

    api.refuse[KUBE_SYSTEM] = Denied("no")
    with pytest.raises(RightsMissing, match="allow the agent's account `get`"):
        await bound.call("GET", "/version")


@pytest.mark.parametrize(
    "rubbish", [b"[]", b"", b"{", b'{"metadata": ["uid-1"]}', b'{"metadata": {"uid": null}}', b"\xff"]
)
async def test_who_answers_rubbish_is_sent_nothing(api: ApiServer, bound: Upstream, rubbish: bytes) -> None:
    api.routes[KUBE_SYSTEM] = lambda exchange: exchange.respond(200, JSON, rubbish)
    with pytest.raises(Unproved):
        await bound.call("GET", "/version")


async def test_a_server_that_breaks_off_is_unreachable_and_nothing_was_executed(
    api: ApiServer, bound: Upstream
) -> None:
    async def gone(exchange: Exchange) -> None:
        raise ConnectionError

    api.routes[KUBE_SYSTEM] = gone
    with pytest.raises((BadGateway, Unproved)):
        await bound.call("GET", "/version")
    assert set(api.targets) == {ASKED}


async def test_a_token_that_rotated_meanwhile_is_read_before_it_is_asked_again(api: ApiServer, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(api.token)
    target = kubeconfig.load(str(api.kubeconfig(tokenFile=str(path))))
    upstream = Upstream(target, source(target), role=HOST, expected=Expected("uid-1", "m1"))
    await upstream.call("GET", "/version")
    api.token = "another"
    path.write_text("another")
    assert (await upstream.call("GET", "/version")).status == 200
    assert api.targets[2:] == [b"/version", ASKED, b"/version"]
    await api.replaced("uid-1")
    api.token = "a-third"
    path.write_text("a-third")
    assert (await upstream.call("GET", "/version")).status == 200
    assert (api.targets[:2], api.targets[-2:]) == ([ASKED, ASKED], [ASKED, b"/version"])
    await upstream.close()


async def test_nothing_is_asked_where_nothing_is_expected(api: ApiServer, upstream: Upstream) -> None:
    await upstream.call("GET", "/version")
    assert api.targets == [b"/version"]
