"""The agent's checks before it joins: each fails alone, by its name, with the next step; the token is not used up."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from services.agent.checks import Preflight
from services.agent.settings import Settings
from services.agent.storage import Directory
from services.agent.store import AgentStore, Membership
from skerry.checks.report import JOIN, Check
from skerry.checks.run import CheckFailed
from skerry.errors import Forbidden
from skerry.identity import jointoken
from skerry.identity.creds import Credentials
from skerry.member.upstream import Upstream
from tests.agent.standin import Host
from tests.member.apiserver import BINDINGS, ApiServer

pytestmark = pytest.mark.integration


class Joining:
    """A join that is only checked."""

    def __init__(self, directory: Path, upstream: Upstream) -> None:
        self.directory, self._file, self._upstream = directory / "state", directory / "token", upstream
        self.store = AgentStore(Directory(self.directory))
        self.seen: list[str] = []

    @asynccontextmanager
    async def checked(self, token: str, *, clock: float = 0.0, name: str = "") -> AsyncIterator[Preflight]:
        self._file.write_text(token)
        settings = Settings(agent_state=self.directory, token_file=self._file, agent_name=name)
        tell = lambda check: self.seen.append(check.name)  # noqa: E731
        preflight = Preflight(settings, self._upstream, tell, store=self.store, clock=lambda: time.time() + clock)
        try:
            await preflight.run()
            yield preflight
        finally:
            preflight.close()

    async def results(self, token: str, *, clock: float = 0.0, name: str = "") -> dict[str, Check]:
        async with self.checked(token, clock=clock, name=name) as preflight:
            report = preflight.report
        assert [each.name for each in report.checks] == list(JOIN)
        assert not self.directory.exists()
        return {each.name: each for each in report.checks}


@pytest.fixture
def joining(tmp_path: Path, upstream: Upstream) -> Joining:
    """Of a member whose API server is `api`."""
    return Joining(tmp_path, upstream)


def with_(text: str, **changes: object) -> str:
    """A token that says something else."""
    return jointoken.encode(msgspec.structs.replace(jointoken.decode(text, now=0), **changes))


def odd(results: dict[str, Check]) -> dict[str, str]:
    """Those that neither passed nor were skipped."""
    return {each.name: each.result for each in results.values() if each.result in {"warn", "fail"}}


async def test_a_good_join_passes_all_in_order_and_joins_nothing(host: Host, api: ApiServer, joining: Joining) -> None:
    async with joining.checked(await host.token("good-c")) as preflight:
        report = preflight.report
    assert {each.result for each in report.checks} == {"pass"}
    assert joining.seen == list(JOIN)
    assert report.would_make == [
        "Cluster good-c on host test-host",
        *(f"ClusterRoleBinding skerry:{role}" for role in ("view", "edit", "admin", "cluster-admin")),
        "annotations skerry.dev/host and skerry.dev/host-name (test-host) of Namespace kube-system",
    ]
    assert (host.joins, api.bindings, api.annotations) == ([], {}, {})
    assert [(each.nkey, each.cluster_uid) for each in host.questions] == [("", "uid-1")]


@pytest.mark.parametrize(
    ("check", "message"),
    [
        ("host.name", "cluster 'm1' has joined already, with another agent: keep using its state directory"),
        ("duplicate", "this cluster (kube-system UID u) has joined already, as 'other': use that one"),
    ],
)
async def test_what_the_host_refuses_has_its_name(host: Host, joining: Joining, check: str, message: str) -> None:
    host.refusals = {check: message}
    results = await joining.results(await host.token())
    assert odd(results) == {check: "fail"}
    assert f"{results[check].found}: {results[check].next}" == message


async def test_a_token_that_the_host_refuses_is_token_and_nothing_is_told_of_others(
    host: Host, joining: Joining
) -> None:
    host.refusals = {"token": "the join token for 'm1' was used already, by another agent (key U): a token works once"}
    results = await joining.results(await host.token())
    assert odd(results) == {"token": "fail"}
    assert results["token"].next == "a token works once"
    assert (results["host.name"].result, results["duplicate"].result) == ("skip", "skip")


async def test_a_token_that_has_ended_is_auth_and_token(host: Host, joining: Joining) -> None:
    results = await joining.results(await host.token(ttl_s=-60))
    assert odd(results) == {"token": "fail", "bus.auth": "fail"}
    assert "expired at" in results["token"].found
    assert "skerry token create m1" in results["token"].next


async def test_a_clock_that_is_hours_ahead_does_not_end_a_token_that_the_host_takes(
    host: Host, joining: Joining
) -> None:
    results = await joining.results(await host.token(), clock=7200.0)
    assert odd(results) == {"clock": "warn"}
    assert "7200 s ahead of the host's" in results["clock"].found


async def test_a_clock_that_is_behind_is_warned_of(host: Host, joining: Joining) -> None:
    host.skew_s = 90.0
    assert odd(await joining.results(await host.token())) == {"clock": "warn"}


@pytest.mark.parametrize(
    ("text", "says"),
    [("garbled", "this is not a join token"), ("", "is empty"), ("skerry-join-AAAAAAAAAAAA", "garbled")],
)
async def test_a_token_that_is_none_is_token_and_the_cluster_is_looked_at_all_the_same(
    joining: Joining, text: str, says: str
) -> None:
    results = await joining.results(text)
    assert odd(results) == {"token": "fail"}
    assert (says in results["token"].found, bool(results["token"].next)) == (True, True)
    assert (results["bus.dns"].result, results["impersonation"].result) == ("skip", "pass")


async def test_another_name_than_the_tokens_is_token(host: Host, joining: Joining) -> None:
    results = await joining.results(await host.token("m1"), name="m2")
    assert odd(results) == {"token": "fail"}
    assert "skerry token create m2" in results["token"].next


@pytest.mark.parametrize(
    ("check", "changes"),
    [("bus.dns", {"servers": ["tls://no-such-host.invalid:4222"]}), ("bus.tcp", {"servers": ["tls://127.0.0.1:1"]})],
)
async def test_a_way_that_does_not_lead_to_the_host_is_one_failure(
    host: Host, joining: Joining, check: str, changes: dict[str, object]
) -> None:
    results = await joining.results(with_(await host.token(), **changes))
    assert odd(results) == {check: "fail"}
    assert results["clock"].found == f"not looked at, because {check} did not pass"


async def test_a_host_with_another_authority_is_tls(host: Host, api: ApiServer, joining: Joining) -> None:
    results = await joining.results(with_(await host.token(), ca=api.ca.certificate.decode()))
    assert odd(results) == {"bus.tls": "fail"}


@pytest.mark.parametrize(("version", "says"), [("0.9.0", "update the agent"), ("", "update the host")])
async def test_a_host_of_another_version_is_warned_of(host: Host, joining: Joining, version: str, says: str) -> None:
    host.version = version
    results = await joining.results(await host.token())
    assert (odd(results), results["host.version"].next) == ({"host.version": "warn"}, says)


async def test_a_host_that_does_not_answer_is_host_version(host: Host, joining: Joining) -> None:
    token = await host.token()
    await host.__aexit__(None, None, None)
    results = await joining.results(token)
    assert odd(results) == {"host.version": "fail"}
    assert results["host.version"].next


async def test_a_cluster_that_is_down_leaves_the_host_looked_at(host: Host, api: ApiServer, joining: Joining) -> None:
    await api.__aexit__()
    results = await joining.results(await host.token())
    assert odd(results) == {"api.reach": "fail"}
    assert (results["host.name"].result, results["duplicate"].result) == ("pass", "skip")


async def test_a_key_that_asked_before_is_told_to_the_host(host: Host, joining: Joining) -> None:
    key = (await joining.store.own_key()).public
    async with joining.checked(await host.token()):
        assert host.questions[-1].dry_run_nkey == key


async def test_the_first_that_failed_is_the_error(host: Host, api: ApiServer, joining: Joining) -> None:
    api.refuse[BINDINGS] = Forbidden("no")
    host.refusals = {"duplicate": "has joined already: use that one"}
    async with joining.checked(await host.token()) as preflight:
        with pytest.raises(CheckFailed, match="duplicate: has joined already: use that one"):
            preflight.raise_failed()
        assert preflight.report.would_make == []


async def test_one_that_has_joined_is_looked_at_without_a_token(
    host: Host, joining: Joining, upstream: Upstream
) -> None:
    store = joining.store
    key = await store.own_key()
    host.accounts["was-c"] = host.nats.authority.member_account("was-c")
    await host.nats.push(host.accounts["was-c"].jwt)
    membership = Membership(
        member="was-c", host="test-host", host_uid="host-uid", servers=list(host.nats.servers), ca=host.nats.ca_pem,
        assertion_root="", cluster_uid="uid-1",
    )  # fmt: skip
    user = host.credentials("was-c", key.public, key.seed)
    await store.joined(membership, user, Credentials("x", key.seed))
    preflight = Preflight(Settings(agent_state=joining.directory), upstream, store=store, membership=membership)
    await preflight.run()
    preflight.close()
    results = {each.name: each.result for each in preflight.report.checks}
    assert {name for name, result in results.items() if result == "skip"} == {
        "token", "clock", "host.version", "host.name", "duplicate",
    }  # fmt: skip
    assert "fail" not in results.values()
    assert preflight.report.would_make == []
    (joining.directory / "user.creds").unlink()
    preflight = Preflight(Settings(agent_state=joining.directory), upstream, store=store, membership=membership)
    await preflight.run()
    assert {each.name: each.result for each in preflight.report.checks}["bus.auth"] == "skip"
