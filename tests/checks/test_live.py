"""The checks of a member through a host: a front door that answers as it does when members are well, away, or others."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from skerry.checks.live import MemberChecks
from skerry.checks.member import MEMBER
from skerry.checks.report import Check
from skerry.checks.run import Checks
from skerry.errors import Forbidden, NotFound, ServiceUnavailable, StatusError
from skerry.http.exchange import Exchange
from skerry.member.upstream import Upstream
from tests.member.apiserver import JSON, ApiServer

pytestmark = pytest.mark.integration

CLUSTER: dict[str, Any] = {
    "metadata": {"name": "m1"},
    "spec": {"connection": {"mode": "agent"}},
    "status": {"uid": "u1", "agent": {"replicas": 1}, "conditions": [{"type": "Ready", "status": "True"}]},
}
KUBE_SYSTEM = b'{"metadata": {"uid": "u1", "annotations": {"skerry.dev/host": "host-uid"}}}'
PATHS = {"version": b"{}", "readyz": b"ok", "api/v1/namespaces/kube-system": KUBE_SYSTEM}


def answers(api: ApiServer, **errors: StatusError) -> None:
    """Of the member m1, with these errors by path."""
    for path, body in PATHS.items():
        error = errors.get(path.rpartition("/")[2].replace("-", "_"))

        async def answer(exchange: Exchange, error: StatusError | None = error, body: bytes = body) -> None:
            if error is not None:
                raise error
            await exchange.respond(200, JSON, body)

        api.routes[f"/clusters/m1/{path}"] = answer


async def made(upstream: Upstream, limit_s: float = 20.0) -> dict[str, Check]:
    loop = asyncio.get_running_loop()
    run = Checks("m1", MEMBER, until=loop.time() + limit_s)
    await MemberChecks(upstream, "host-uid", CLUSTER).run(run)
    assert [each.name for each in run.checks] == list(MEMBER)
    return {each.name: each for each in run.checks}


def odd(results: dict[str, Check]) -> dict[str, str]:
    return {each.name: each.result for each in results.values() if each.result in {"warn", "fail"}}


async def test_a_member_that_is_well_passes(api: ApiServer, upstream: Upstream) -> None:
    answers(api)
    results = await made(upstream)
    assert odd(results) == {}
    assert "was answered in" in results["member.tunnel"].found
    assert results["member.owner"].result == "pass"


async def test_a_member_that_is_away_is_tunnel_with_what_the_host_says(api: ApiServer, upstream: Upstream) -> None:
    answers(api, version=ServiceUnavailable("cluster 'm1' is not connected: start its agent"))
    results = await made(upstream)
    assert odd(results) == {"member.tunnel": "fail"}
    assert (results["member.tunnel"].found, results["member.tunnel"].next) == (
        "cluster 'm1' is not connected", "start its agent",
    )  # fmt: skip
    assert results["member.owner"].result == "skip"


async def test_an_api_server_that_is_not_ready_is_api(api: ApiServer, upstream: Upstream) -> None:
    answers(api, readyz=ServiceUnavailable("etcd is away"))
    assert odd(await made(upstream)) == {"member.api": "fail"}


async def test_another_cluster_and_another_hosts_mark_are_named(
    api: ApiServer, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = b'{"metadata": {"uid": "u2", "annotations": {"skerry.dev/host": "x"}}}'
    monkeypatch.setitem(PATHS, "api/v1/namespaces/kube-system", other)
    answers(api)
    assert odd(await made(upstream)) == {"member.identity": "fail"}
    monkeypatch.setitem(PATHS, "api/v1/namespaces/kube-system", other.replace(b"u2", b"u1"))
    answers(api)
    assert odd(await made(upstream)) == {"member.owner": "fail"}


async def test_what_may_not_be_asked_is_skipped(api: ApiServer, upstream: Upstream) -> None:
    answers(api, readyz=NotFound("no"), kube_system=Forbidden("its ceiling"))
    results = await made(upstream)
    assert odd(results) == {}
    assert (results["member.identity"].result, results["member.api"].result) == ("skip", "skip")
    answers(api, version=Forbidden("not you"))
    assert (await made(upstream))["member.tunnel"].result == "skip"
    answers(api, kube_system=ServiceUnavailable("later"))
    assert odd(await made(upstream)) == {"member.identity": "fail"}


async def test_a_member_that_hangs_is_over_in_time(api: ApiServer, upstream: Upstream) -> None:
    released = asyncio.Event()

    async def hangs(exchange: Exchange) -> None:
        await released.wait()
        await exchange.respond(200, JSON, b"{}")

    api.routes["/clusters/m1/version"] = hangs
    loop = asyncio.get_running_loop()
    run = Checks("m1", MEMBER, until=loop.time() + 0.3)
    await MemberChecks(upstream, "host-uid", CLUSTER).run(run)
    released.set()
    assert run.timed_out
    assert odd({each.name: each for each in run.checks}) == {"member.tunnel": "fail"}
