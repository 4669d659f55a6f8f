"""How often an agent looks at what, by a clock that the test moves."""

from __future__ import annotations

import asyncio

import pytest

from services.agent.health import ClusterHealth
from skerry.errors import ServiceUnavailable
from skerry.member import upstream as upstreams
from skerry.member.identity import KUBE_SYSTEM, Expected
from skerry.member.membership import MembershipCheck
from skerry.member.upstream import WRONG_S, Upstream
from tests.member.apiserver import BINDINGS, ApiServer
from tests.member.test_credentials import Clock

pytestmark = pytest.mark.integration


class Looked:
    """An agent's health, and what it asked for at each check."""

    def __init__(self, api: ApiServer, upstream: Upstream) -> None:
        self.api, self.clock, self.changed = api, Clock(), False
        upstream.expect(Expected("uid-1", "m1", "host-uid"))
        self.health = ClusterHealth(upstream, MembershipCheck(upstream, "host", "host-uid"), "uid-1", 60.0, self.clock)

    async def after(self, seconds: float) -> set[str]:
        """One check, so many seconds after the one before: the paths that it asked for."""
        self.clock.now += seconds
        self.api.seen.clear()
        self.changed = await self.health.check()
        return {target.decode().partition("/skerry")[0] for target in self.api.targets}


@pytest.fixture
def looked(api: ApiServer, upstream: Upstream) -> Looked:
    return Looked(api, upstream)


async def test_the_cluster_its_rights_and_its_bindings_are_looked_at_each_minute(looked: Looked) -> None:
    assert {KUBE_SYSTEM, BINDINGS, "/version"} <= await looked.after(0)
    for _ in range(5):
        assert await looked.after(11) == {"/readyz", KUBE_SYSTEM}
    assert {KUBE_SYSTEM, BINDINGS, "/version"} <= await looked.after(11)


async def test_a_check_tells_whether_there_is_news_for_the_host(looked: Looked) -> None:
    news = []
    for unready in (False, False, True, True, False):
        looked.api.refuse = {"/readyz": ServiceUnavailable("etcd is away")} if unready else {}
        await looked.after(10)
        news.append(looked.changed)
    assert news == [True, False, True, False, True]  # at first it repaired the bindings


async def test_an_api_server_that_is_slow_lives_and_one_that_says_nothing_is_told(
    looked: Looked, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each answer has its time: all of a look together may take longer."""
    await looked.after(0)
    monkeypatch.setattr(upstreams, "CALL_S", 3.0)
    looked.api.delays_s = dict.fromkeys(("/readyz", KUBE_SYSTEM), 2.0)
    started = asyncio.get_running_loop().time()
    await looked.after(10)
    assert asyncio.get_running_loop().time() - started > 3.0
    assert (looked.health.healthy, looked.health.message) == (True, "")
    looked.api.delays_s = {"/readyz": 6.0}
    await looked.after(10)
    assert not looked.health.healthy
    assert "within 3 s" in looked.health.message


async def test_a_cluster_that_changed_under_an_open_connection_is_found_at_the_next_check(looked: Looked) -> None:
    await looked.after(0)
    looked.api.uid = "uid-2"
    await looked.after(10)
    assert (looked.health.healthy, looked.health.uid) == (False, "uid-2")
    assert looked.api.targets[-1] == KUBE_SYSTEM.encode()


async def test_what_could_not_be_looked_at_is_looked_at_again_at_the_next_check(looked: Looked) -> None:
    await looked.api.__aexit__()
    await looked.after(0)
    assert not looked.health.healthy
    await looked.api.__aenter__()
    assert BINDINGS in await looked.after(1)
    assert looked.health.healthy


async def test_a_cluster_that_another_host_took_over_is_let_go_until_it_is_taken_back(looked: Looked) -> None:
    health, annotations = looked.health, looked.api.annotations
    await looked.after(0)
    annotations |= {"skerry.dev/host": "other-uid", "skerry.dev/host-name": "other"}
    del looked.api.bindings["skerry:view"]
    await looked.after(10)
    await looked.after(60)
    assert (health.taken_over, health.healthy, health.uid) == (True, False, "uid-1")
    assert "another host, 'other' (UID other-uid)" in health.message
    assert "skerry:view" not in looked.api.bindings
    annotations["skerry.dev/host"] = "host-uid"
    await asyncio.sleep(WRONG_S)
    await looked.after(10)
    assert (health.taken_over, health.healthy, health.message) == (False, True, "")
    assert "skerry:view" in looked.api.bindings


async def test_an_endless_uid_is_cut(looked: Looked) -> None:
    looked.api.uid = "u" * 10_000
    await looked.after(0)
    assert len(looked.health.uid) == 128
    assert len(looked.health.message) < 1000
