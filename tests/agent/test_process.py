"""The process as users run it: join, restart, renewal, removal, and every refusal with its line and exit code."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from services.agent.membership import join
from skerry import subjects
from skerry.api.messages import Heartbeat, Inventory, JoinRequest
from skerry.checks.report import JOIN
from skerry.errors import Conflict, Forbidden, ServiceUnavailable
from skerry.http.exchange import Exchange
from skerry.httpwire.head import ResponseHead
from skerry.identity import creds, jointoken
from skerry.identity.creds import Credentials
from skerry.identity.farewell import make_farewell
from skerry.identity.nkey import KeyType, create, from_seed
from skerry.identity.trust import make_statement
from skerry.link import Dialer
from skerry.link.call import OpenVerdict
from skerry.localkube.certificates import CertificateAuthority
from skerry.member.identity import KUBE_SYSTEM
from skerry.relay import OpenRequest
from skerry.tunnel.codes import RejectCode
from tests.agent.conftest import DEADLINE_S, Agent
from tests.agent.standin import Host
from tests.fixtures.nats import NatsHost, eventually
from tests.member.apiserver import BINDINGS, ApiServer
from tests.member.test_inventory import Cluster, node, pod

pytestmark = pytest.mark.integration

SERVED = b"/api/v1/nodes"
"""What the agent itself does not ask for on each check."""
IDLE_LIMIT_KIB = 64 * 1024


async def test_it_joins_reports_and_leaves_in_order(agent: Agent, host: Host, api: ApiServer) -> None:
    agent.token(await host.token("join-a"))
    await agent.start(SKERRY_NO_EXEC="1")
    beat = await host.beat(3)
    assert host.joins[0].cluster_uid == "uid-1"
    assert host.joins[0].kubernetes_version == "v1.36.3"
    assert (beat.healthy, beat.kubernetes_version) == (True, "v1.36.3")
    assert any(each.nodes == 3 for each in host.beats)
    assert beat.ceiling.no_exec
    assert beat.expires > time.time()
    assert beat.rtt_ms is not None
    assert len(api.bindings) == 4
    assert api.annotations["skerry.dev/host"] == "host-uid"
    assert await agent.stop() == 0
    assert host.beats[-1].leaving


async def test_what_was_on_its_way_to_an_agent_that_leaves_is_told_to_go_elsewhere(agent: Agent, host: Host) -> None:
    agent.token(await host.token("leaving-a"))
    await agent.start()
    await host.beat()
    async with dialing(host) as dialer:
        assert await status(dialer, host, "leaving-a", SERVED) == 200
        connection = dialer.connections[1]
        ((_, remote), peer) = next(iter(connection.peers.items()))
        assert remote in (await host.beat()).connections
        stopping = asyncio.create_task(agent.stop())
        await eventually(lambda: peer.draining, DEADLINE_S)
        verdict, request = OpenVerdict.TAKEN, reading(host, "leaving-a", SERVED)
        while verdict is OpenVerdict.TAKEN:
            call = connection._send_open("leaving-a", connection._members["leaving-a"], remote, request, 0)
            verdict = await call.verdict(1.0)
            call.close()
        assert call.refusal is not None
        assert (verdict, call.refusal.code) == (OpenVerdict.REFUSED, RejectCode.GOAWAY)
        assert await stopping == 0


async def test_a_ceiling_holds_over_starts_that_say_nothing_and_only_another_one_replaces_it(
    agent: Agent, host: Host
) -> None:
    agent.token(await host.token("kept-a"))
    for said, holds in (
        ({"SKERRY_READ_ONLY": "1"}, "read-only"),
        ({}, "read-only"),
        ({"SKERRY_NAMESPACES": "a,b"}, "namespaces a b"),
        ({"SKERRY_CEILING_DESIRED": "None"}, "desired None"),
        ({}, "desired None"),
        ({"SKERRY_READ_ONLY": "0"}, "open"),
        ({"SKERRY_NO_EXEC": "1"}, "no exec"),
        ({"SKERRY_CEILING_OFF": "1"}, "open"),
        ({}, "open"),
    ):
        host.beats.clear()
        await agent.start(**said)
        assert (await host.beat(1)).ceiling.text == holds, said
        await agent.stop()
    await agent.start(SKERRY_CEILING_OFF="1", SKERRY_NO_EXEC="0")
    code, line = await agent.ended()
    assert (code, "leave out one of them" in line) == (2, True)
    (agent.state / "ceiling.json").write_text("{")
    await agent.start()
    code, line = await agent.ended()
    assert (code, "say the whole ceiling anew" in line) == (1, True)


async def inventory(host: Host, fits: Callable[[Inventory], bool]) -> int:
    """Wait for a heartbeat that says what the cluster has, as it should be; how many there were until then."""
    async with asyncio.timeout(DEADLINE_S):
        while not (host.beats and (found := host.beats[-1].inventory) is not None and fits(found)):
            await host.beat()
    return len(host.beats)


async def test_what_the_cluster_has_is_said_once_and_at_once_when_it_changes(
    agent: Agent, host: Host, api: ApiServer
) -> None:
    cluster = Cluster(api)
    agent.token(await host.token("has-a"))
    await agent.start()
    first = await inventory(host, lambda found: (found.nodes, found.nodes_ready) == (2, 2))
    await host.beat(3)
    cluster.change("MODIFIED", node("a", ready=False))
    second = await inventory(host, lambda found: (found.nodes, found.nodes_ready) == (2, 1))
    assert {each.inventory for each in host.beats[first : second - 1]} == {None}


async def test_a_host_that_did_not_answer_is_told_again(agent: Agent, host: Host, api: ApiServer) -> None:
    Cluster(api)
    host.error = ServiceUnavailable("not yet")
    agent.token(await host.token("deaf-a"))
    await agent.start()
    await eventually(lambda: host.refused > 2)
    host.error = None
    await inventory(host, lambda found: found.nodes == 2)


async def test_no_secret_is_logged(agent: Agent, host: Host) -> None:
    token = await host.token("log-a")
    agent.token(token)
    await agent.start(SKERRY_LOG_LEVEL="debug")
    await host.beat(2)
    await agent.stop()
    log = agent.log.read_text()
    assert (agent.state / "seed").read_text().strip() not in log
    assert token not in log
    assert jointoken.decode(token).jwt not in log
    assert "agent-token" not in log


async def test_a_restart_keeps_the_identity_and_needs_no_token(agent: Agent, host: Host) -> None:
    agent.token(await host.token("again-a"))
    await agent.start()
    first = await host.beat()
    await agent.stop()
    del agent.environment["SKERRY_TOKEN_FILE"]
    await agent.start()
    second = await host.beat()
    assert (first.agent, len(host.joins)) == (second.agent, 1)
    assert first.epoch != second.epoch
    await agent.stop()


async def test_stored_credentials_win_over_a_token(agent: Agent, host: Host) -> None:
    agent.token(await host.token("win-a"))
    await agent.start()
    await host.beat()
    await agent.stop()
    agent.token(await host.token("win-a", jti="jti2"))
    await agent.start()
    await host.beat()
    assert len(host.joins) == 1
    await agent.stop()


async def test_a_refused_join_leaves_nothing_behind(agent: Agent, host: Host, api: ApiServer) -> None:
    host.refuse_join = Conflict("this cluster has joined already, as 'other'")
    agent.token(await host.token("refused-a"))
    await agent.start()
    code, line = await agent.ended()
    assert (code, "has joined already" in line) == (1, True)
    assert not agent.state.exists()
    assert api.bindings == {}


async def test_a_failed_check_leaves_nothing_behind(agent: Agent, host: Host, api: ApiServer) -> None:
    await api.__aexit__()
    agent.token(await host.token("down-a"))
    await agent.start()
    code, line = await agent.ended()
    assert (code, "api.reach: " in line) == (1, True)
    assert not agent.state.exists()
    assert host.joins == []


async def test_checks_are_told_as_they_come_in_their_order(agent: Agent, host: Host) -> None:
    agent.token(await host.token("told-a"))
    await agent.start(SKERRY_LOG_FORMAT="human")
    await host.beat()
    await agent.stop()
    lines = [line.split() for line in agent.log.read_text().splitlines() if line.startswith("pass ")]
    assert [line[1] for line in lines] == list(JOIN)
    agent.token(await host.token("told-b", jti="told-b"))
    agent.environment["SKERRY_AGENT_STATE"] += "-b"
    await agent.start(SKERRY_LOG_FORMAT="json")
    await host.beat()
    await agent.stop()
    records = [json.loads(line) for line in agent.log.read_text().splitlines()]
    assert [each["check"] for each in records if each["message"] == "checked"] == list(JOIN)


async def test_where_nobody_is_to_be_taken_over_or_no_mark_may_be_written_it_says_so_and_joins(
    agent: Agent, host: Host, api: ApiServer
) -> None:
    agent.token(await host.token("alone-a"))
    await agent.start(SKERRY_LOG_FORMAT="human", SKERRY_TAKE_OVER="1")
    await host.beat()
    await agent.stop()
    assert "pass  owner          it is no host's member yet, so there is nobody to take" in agent.log.read_text()
    assert api.annotations["skerry.dev/host"]
    api.annotations.clear()
    api.unmarkable = True
    agent.token(await host.token("alone-b", jti="alone-b"))
    agent.environment["SKERRY_AGENT_STATE"] += "-b"
    await agent.start(SKERRY_LOG_FORMAT="human")
    await host.beat()
    await agent.stop()
    assert "warn  owner          it is no host's member yet, and cannot be marked as one" in agent.log.read_text()
    assert api.annotations == {}


async def test_a_dry_run_prints_the_checks_and_joins_nothing(agent: Agent, host: Host, api: ApiServer) -> None:
    agent.token(await host.token("dry-a"))
    await agent.start(SKERRY_DRY_RUN="1", SKERRY_OUTPUT="json", SKERRY_LOG_LEVEL="error")
    assert (await agent.ended())[0] == 0
    document = json.loads(agent.log.read_text())
    assert (document["result"], document["wouldMake"][0]) == ("pass", "Cluster dry-a on host test-host")
    assert [(each["where"], each["name"]) for each in document["checks"]] == [("dry-a", name) for name in JOIN]
    assert (host.joins, api.bindings, api.annotations) == ([], {}, {})
    assert not agent.state.exists()


async def test_a_dry_run_that_fails_says_what_and_exits_with_1(agent: Agent, host: Host, api: ApiServer) -> None:
    await api.__aexit__()
    agent.token(await host.token("dry-b"))
    await agent.start(SKERRY_DRY_RUN="1", SKERRY_LOG_LEVEL="error")
    assert await agent.ended() == (1, "agent: api.reach failed; nothing was changed")
    assert f"\nfail  api.reach      the API server https://127.0.0.1:{api.port}" in agent.log.read_text()
    assert not agent.state.exists()


async def test_a_dry_run_of_one_that_runs_looks_with_what_it_has(agent: Agent, host: Host) -> None:
    agent.token(await host.token("dry-c"))
    await agent.start()
    await host.beat()
    running, agent.process = agent.process, None
    agent.log = agent.directory / "dry"
    await agent.start(SKERRY_DRY_RUN="1", SKERRY_LOG_LEVEL="error")
    assert (await agent.ended())[0] == 0
    assert "skip  token          not needed: this agent has joined host test-host as dry-c" in agent.log.read_text()
    agent.process = running
    await agent.stop()


@pytest.mark.parametrize(
    ("text", "name", "says"),
    [
        ("garbled", "", "not a join token"),
        ("expired", "", "expired"),
        ("good", "other", "--name says 'other'"),
        ("", "", "is empty"),
    ],
)
async def test_a_token_that_cannot_be_used_is_refused_with_its_own_line(
    agent: Agent, host: Host, text: str, name: str, says: str
) -> None:
    texts = {"good": await host.token("x"), "expired": await host.token("x", ttl_s=-60)}
    agent.token(texts.get(text, text))
    await agent.start(SKERRY_AGENT_NAME=name)
    code, line = await agent.ended()
    assert (code, says in line) == (1, True)
    assert not agent.state.exists()


async def test_a_token_of_another_host_is_not_used_while_this_one_has_the_member(agent: Agent, host: Host) -> None:
    agent.token(await host.token("mine-a"))
    await agent.start()
    await host.beat()
    await agent.stop()
    agent.token(await host.token("mine-a", jti="theirs", host_uid="another-host"))
    await agent.start()
    code, line = await agent.ended()
    assert (code, "skerry cluster remove mine-a" in line) == (1, True)
    assert (agent.state / "agent.json").exists()
    assert len(host.joins) == 1


async def test_with_a_token_for_a_pattern_the_agent_says_its_name(agent: Agent, host: Host) -> None:
    agent.token(await host.token(pattern="edge-*"))
    for name, says in (("", "say which one this is with --name"), ("m1", "use another --name")):
        await agent.start(SKERRY_AGENT_NAME=name)
        code, line = await agent.ended()
        assert (code, says in line) == (1, True)
    assert (host.joins, agent.state.exists()) == ([], False)
    await agent.start(SKERRY_AGENT_NAME="edge-7")
    await host.beat()
    assert host.joins[0].name == "edge-7"
    await agent.stop()


async def test_without_token_and_state_the_two_commands_are_told(agent: Agent, host: Host) -> None:
    await agent.start()
    code, line = await agent.ended()
    assert (code, "skerry token create NAME" in line) == (1, True)


async def test_a_kubeconfig_without_the_context_is_a_missing_prerequisite(agent: Agent, host: Host) -> None:
    agent.token(await host.token("ctx-a"))
    await agent.start(SKERRY_CONTEXT="absent")
    code, line = await agent.ended()
    assert (code, "it has: member" in line) == (4, True)


async def test_a_second_agent_on_the_same_state_is_refused(agent: Agent, host: Host) -> None:
    agent.token(await host.token("lock-a"))
    await agent.start()
    await host.beat()
    first, agent.process = agent.process, None
    agent.log = agent.directory / "second"
    await agent.start()
    code, line = await agent.ended()
    assert (code, "another agent" in line) == (1, True)
    agent.process = first
    await agent.stop()


async def test_a_removed_member_ends_and_says_how_to_join_again(agent: Agent, host: Host) -> None:
    agent.token(await host.token("gone-a"))
    await agent.start()
    await host.beat()
    await host.evict("gone-a")
    code, line = await agent.ended()
    assert (code, "was removed from host" in line) == (1, True)
    await agent.start()
    code, line = await agent.ended()
    assert (code, "was removed from host" in line) == (1, True)
    assert len(host.joins) == 1


async def test_a_removed_member_joins_again_with_a_new_token_and_a_new_key(agent: Agent, host: Host) -> None:
    agent.token(await host.token("back-a"))
    await agent.start()
    old = await host.beat()
    await host.evict("back-a")
    await agent.ended()
    del host.accounts["back-a"]
    agent.token(await host.token("back-a", jti="jti2"))
    await agent.start()
    new = await host.beat()
    assert new.agent != old.agent
    await agent.stop()


async def test_a_member_that_was_removed_while_its_agent_was_away_goes_on_asking_and_joins_with_a_new_token(
    agent: Agent, host: Host
) -> None:
    """Being refused proves nothing, so it does not end by itself; a new token says that somebody knows better."""
    agent.token(await host.token("away-a"))
    await agent.start()
    old = await host.beat()
    await agent.stop()
    await host.bury("away-a")
    await agent.start()
    await agent.logged("credentials cannot be renewed yet")
    await agent.stop()
    assert (agent.state / "agent.json").exists()
    del host.accounts["away-a"]
    agent.token(await host.token("away-a", jti="jti2"))
    host.refuse_join = Conflict("not yet")
    await agent.start()
    code, line = await agent.ended()
    assert (code, "not yet" in line) == (1, True)
    assert (agent.state / "agent.json").exists(), "what is not proven to be over is kept"
    host.refuse_join = None
    await agent.start()
    assert (await host.beat()).agent == old.agent
    await agent.stop()


async def test_a_farewell_that_the_host_did_not_sign_or_of_another_membership_ends_nobody(
    agent: Agent, host: Host
) -> None:
    agent.token(await host.token("stay-a"))
    await agent.start()
    await host.beat()
    root, account = host.nats.authority.assertion_root, host.accounts["stay-a"].public
    forger, earlier = create(KeyType.ACCOUNT), create(KeyType.ACCOUNT).public
    texts = (
        b"",
        make_farewell("stay-a", account, "x", forger.sign),
        make_farewell("stay-a", earlier, "x", root.sign),
        make_farewell("stay-b", account, "x", root.sign),
    )
    for count, text in enumerate(texts, 1):
        await host.bus.publish(subjects.farewell("stay-a"), text)
        async with asyncio.timeout(DEADLINE_S):
            while agent.log.read_text().count("a farewell is not believed") < count:
                await asyncio.sleep(0.02)
    await host.beat(2)
    assert await agent.stop() == 0


async def test_an_agent_of_older_days_moves_to_its_own_account_at_its_next_renewal(agent: Agent, host: Host) -> None:
    host.user_ttl_s = 6
    agent.token(await host.token("moves-a"))
    await agent.start()
    await host.beat()
    await agent.stop()
    key = from_seed((agent.state / "seed").read_bytes())
    host.nats.old_renewal("moves-a", key).save(agent.state / "renewal.creds")
    host.is_old = True
    await agent.start()
    await eventually(lambda: host.asked, DEADLINE_S)
    host.is_old = False
    await eventually(lambda: "up.moves-a.svc.renew" in host.asked, 2 * DEADLINE_S)
    await agent.stop()
    assert host.asked[0] == "renew.moves-a", "with a host of older days it stays where it is"
    assert creds.load(agent.state / "renewal.creds").account == host.accounts["moves-a"].public


async def test_credentials_that_ran_out_while_away_are_renewed(agent: Agent, host: Host) -> None:
    host.user_ttl_s = 2
    agent.token(await host.token("late-a"))
    await agent.start()
    last = await host.beat()
    await agent.stop()
    async with asyncio.timeout(DEADLINE_S):
        while time.time() < last.expires + 1:
            await asyncio.sleep(0.1)
    host.user_ttl_s = 3600
    before = len(host.renewals)
    await agent.start()
    beat = await host.beat()
    assert beat.expires > time.time() + 1000
    assert len(host.renewals) > before
    await agent.stop()


async def test_credentials_are_renewed_before_they_end(agent: Agent, host: Host) -> None:
    host.user_ttl_s = 6
    agent.token(await host.token("renew-a"))
    await agent.start()
    first = await host.beat()
    host.user_ttl_s = 3600
    while (beat := await host.beat()).expires == first.expires:
        assert time.time() < first.expires
    assert beat.expires > first.expires + 1000
    assert beat.epoch == first.epoch
    await agent.stop()


async def test_a_bus_that_swallows_heartbeats_is_given_up(agent: Agent, host: Host) -> None:
    agent.token(await host.token("dog-a"))
    await agent.start()
    await host.beat(2)
    host.silent = True
    await agent.logged("nothing comes back from the host")
    host.silent = False
    await host.beat(2)
    await agent.stop()


async def test_an_agent_comes_back_after_the_bus_was_killed(agent: Agent, fresh_nats_host: NatsHost) -> None:
    async with Host(fresh_nats_host) as host:
        agent.token(await host.token("kill-a"))
        await agent.start()
        first = await host.beat(2)
        fresh_nats_host.restart()
        again = await host.beat(2)
        assert again.epoch == first.epoch
        await agent.stop()


async def test_a_member_whose_api_server_is_down_says_so_and_recovers(agent: Agent, host: Host, api: ApiServer) -> None:
    agent.token(await host.token("sick-a"))
    await agent.start()
    await host.beat()
    await api.__aexit__()
    while (beat := await host.beat()).healthy:
        continue
    assert "cannot be reached" in beat.message
    async with ApiServer(api.directory / "again") as other:
        other.token, other.uid = "other", "uid-1"
    await agent.stop()


@asynccontextmanager
async def dialing(host: Host) -> AsyncIterator[Dialer]:
    """A proxy."""
    async with AsyncExitStack() as stack:
        proxy = host.nats.service("proxy")
        pair = [await stack.enter_async_context(host.nats.connection(proxy, c)) for c in ("i", "b")]
        dialer = Dialer(pair[0], pair[1])
        task = asyncio.ensure_future(dialer.run())
        try:
            yield dialer
        finally:
            task.cancel()
            await asyncio.wait([task])


def reading(host: Host, member: str, target: bytes) -> OpenRequest:
    """A GET."""
    assertion = host.signer().assertion(member, "skerry:a", ("skerry:view",), {}, host.now)
    return OpenRequest(id="a", assertion=assertion, method=b"GET", target=target, headers=[], class_="bulk")


async def status(dialer: Dialer, host: Host, member: str, target: bytes = b"/version") -> int:
    """Of a GET through the agent."""
    with await dialer.open(member, reading(host, member, target)) as stream:
        answer = await stream.response()
        while not answer.end and (data := await stream.receive()):
            stream.consumed(len(data))
        return answer.status


async def test_a_member_whose_clock_is_wrong_by_an_hour_serves(agent: Agent, host: Host) -> None:
    host.skew_s = 3600.0
    agent.token(await host.token("skew-a"))
    await agent.start()
    await host.beat(2)
    async with dialing(host) as dialer:
        assert await status(dialer, host, "skew-a") == 200
    await agent.stop()


async def test_another_cluster_behind_the_same_kubeconfig_is_not_served(
    agent: Agent, host: Host, api: ApiServer
) -> None:
    agent.token(await host.token("swap-a"))
    await agent.start()
    await host.beat()
    await agent.stop()
    api.uid = "uid-2"
    await agent.start()
    while (beat := await host.beat()).healthy:
        continue
    assert "another cluster" in beat.message
    async with dialing(host) as dialer:
        assert await status(dialer, host, "swap-a") == 503
    await agent.stop()


async def test_another_cluster_that_takes_its_place_is_served_nothing_and_told_and_it_heals_by_itself(
    agent: Agent, host: Host, api: ApiServer
) -> None:
    agent.token(await host.token("rebuilt-a"))
    await agent.start()
    await host.beat()
    async with dialing(host) as dialer:
        assert await status(dialer, host, "rebuilt-a", SERVED) == 200
        await api.replaced("uid-2")
        assert await status(dialer, host, "rebuilt-a", SERVED) == 503
        while (beat := await host.beat()).cluster_uid != "uid-2":
            continue
        assert not beat.healthy
        for part in ("uid-2", "'rebuilt-a' (uid-1)", "skerry cluster remove rebuilt-a"):
            assert part in beat.message
        assert await status(dialer, host, "rebuilt-a", SERVED) == 503
        assert set(api.targets) == {KUBE_SYSTEM.encode()}
        await api.replaced("uid-1")
        while not (beat := await host.beat()).healthy:
            continue
        assert beat.cluster_uid == "uid-1"
        async with asyncio.timeout(DEADLINE_S):
            while await status(dialer, host, "rebuilt-a", SERVED) != 200:
                await asyncio.sleep(0.05)
    await agent.stop()


async def test_a_binding_that_was_deleted_is_made_again_and_told(agent: Agent, host: Host, api: ApiServer) -> None:
    agent.token(await host.token("tidied-a"))
    await agent.start(SKERRY_LOOK_S="0.3")
    assert (await host.beat(2)).repaired == ""
    del api.bindings["skerry:cluster-admin"]
    while not (beat := await host.beat()).repaired:
        continue
    assert "ClusterRoleBinding skerry:cluster-admin" in beat.repaired
    assert beat.missing == ""
    assert "skerry:cluster-admin" in api.bindings
    await agent.logged("something was taken away")
    await agent.stop()


async def test_a_right_that_was_taken_away_is_told_until_it_is_back(agent: Agent, host: Host, api: ApiServer) -> None:
    agent.token(await host.token("narrowed-a"))
    await agent.start(SKERRY_LOOK_S="0.3")
    await host.beat()
    del api.bindings["skerry:edit"]
    api.refuse[BINDINGS] = Forbidden("RBAC says no")
    while not (beat := await host.beat()).missing:
        continue
    assert "kubectl create clusterrolebinding skerry:edit --clusterrole=edit --group=skerry:edit" in beat.missing
    assert beat.healthy
    api.refuse.clear()
    while (beat := await host.beat()).missing:
        continue
    await agent.stop()


async def test_an_authority_that_is_replaced_with_its_certificate_is_used_without_a_restart(
    agent: Agent, host: Host, api: ApiServer, tmp_path: Path
) -> None:
    ca = tmp_path / "pki-ca.crt"
    ca.write_bytes(api.ca.certificate)
    agent.environment["SKERRY_KUBECONFIG"] = str(api.kubeconfig(authority_file=str(ca)))
    agent.token(await host.token("renewed-a"))
    await agent.start()
    await host.beat()
    await api.__aexit__()
    api.certify()
    await api.__aenter__()
    while (beat := await host.beat()).healthy:
        continue
    assert f"{ca}, last read at" in beat.message
    ca.write_bytes(api.ca.certificate)
    while not (beat := await host.beat()).healthy:
        continue
    async with dialing(host) as dialer:
        assert await status(dialer, host, "renewed-a", SERVED) == 200
    await agent.stop()


async def test_a_client_certificate_that_is_renewed_in_place_is_used_and_open_streams_go_on(
    agent: Agent, host: Host, api: ApiServer, tmp_path: Path
) -> None:
    async def watch(exchange: Exchange) -> None:
        await exchange.start(ResponseHead(status=200, headers=[]), length=None)
        await exchange.write(b"one")
        await moved.wait()
        await exchange.write(b"two")
        await exchange.finish()

    moved, authority = asyncio.Event(), CertificateAuthority(tmp_path, "clients")
    pair = authority.client("agent", "agent", ())
    api.routes["/watch"] = watch
    api.trust(authority.pair.certificate.read_bytes())
    api.accepted = pair.certificate.read_bytes()
    await api.replaced("uid-1")
    user = {"client-certificate": str(pair.certificate), "client-key": str(pair.key), "token": api.token}
    agent.environment["SKERRY_KUBECONFIG"] = str(api.kubeconfig(**user))
    agent.token(await host.token("cert-a"))
    await agent.start()
    await host.beat()
    async with dialing(host) as dialer:
        assertion = host.signer().assertion("cert-a", "skerry:a", ("skerry:view",), {}, host.now)
        request = OpenRequest(
            id="w", assertion=assertion, method=b"GET", target=b"/watch", headers=[], class_="bulk", long_running=True
        )
        with await dialer.open("cert-a", request) as stream:
            await stream.response()
            assert await stream.receive() == b"one"
            authority.client("agent", "agent", ())
            api.accepted = pair.certificate.read_bytes()
            assert await status(dialer, host, "cert-a", SERVED) == 200
            moved.set()
            assert await stream.receive() == b"two"
            assert await stream.receive() == b""
    await agent.stop()


async def test_a_lost_answer_to_a_join_is_asked_for_again(host: Host) -> None:
    token, key = jointoken.decode(await host.token("lost-a")), create(KeyType.USER)
    request = JoinRequest(nkey=key.public, name="lost-a", cluster_uid="u", kubernetes_version="v1", agent_version="0")
    host.silent = True
    async with host.nats.connection(Credentials(token.jwt)) as connection:
        answer = await join(connection, token, request, timeout_s=0.3)
    assert answer.member == "lost-a"
    assert [each.nkey for each in host.joins] == [key.public, key.public]


async def test_its_memory_stays_inside_the_contract(
    agent: Agent, host: Host, api: ApiServer, record_property: Callable[[str, object], None]
) -> None:
    data = b"x" * (1 << 20)

    async def big(exchange: object) -> None:
        await exchange.start(head, length=None)  # type: ignore[attr-defined]
        for _ in range(50):
            await exchange.write(data)  # type: ignore[attr-defined]
        await exchange.finish()  # type: ignore[attr-defined]

    head = ResponseHead(status=200, headers=[])
    api.routes["/api/v1/configmaps"] = big
    Cluster(api).pods = [pod(padding=3000)] * 10_000
    agent.token(await host.token("mem-a"))
    await agent.start()
    await inventory(host, lambda found: (found.requested or {}).get("pods") == "10000")
    await host.beat(3)
    idle = agent.memory_kib("VmRSS")
    async with dialing(host) as dialer:
        assert await status(dialer, host, "mem-a", b"/api/v1/configmaps") == 200
    after, peak = agent.memory_kib("VmRSS"), agent.memory_kib("VmHWM")
    record_property("memory", f"idle {idle} KiB, after a 50 MB LIST {after} KiB, peak {peak} KiB")
    sys.stderr.write(f"\nagent RSS: idle {idle} KiB, after a 50 MB LIST {after} KiB, peak {peak} KiB\n")
    assert idle <= IDLE_LIMIT_KIB
    await agent.stop()


async def test_a_kill_leaves_a_state_that_starts_again(agent: Agent, host: Host) -> None:
    agent.token(await host.token("kill9-a"))
    await agent.start()
    await host.beat()
    assert agent.process is not None
    agent.process.send_signal(signal.SIGKILL)
    await agent.ended()
    await agent.start()
    await host.beat()
    assert len(host.joins) == 1
    await agent.stop()


async def test_streams_outlive_a_renewal_of_the_credentials(agent: Agent, host: Host, api: ApiServer) -> None:
    """Renewed credentials make a new pair of connections; the old one keeps its streams until they end."""
    go_on = asyncio.Event()

    async def slow(exchange: Exchange) -> None:
        await exchange.start(ResponseHead(status=200, headers=[]), length=None)
        await exchange.write(b"before")
        await go_on.wait()
        await exchange.write(b"after")
        await exchange.finish()

    api.routes["/api/v1/pods"] = slow
    host.user_ttl_s = 6
    agent.token(await host.token("outlive-a"))
    await agent.start()
    first = await host.beat()
    host.user_ttl_s = 3600
    assertion = host.signer().assertion("outlive-a", "skerry:a", ("skerry:view",), {}, host.now)
    request = OpenRequest(
        id="a", assertion=assertion, method=b"GET", target=b"/api/v1/pods?watch=1", headers=[], class_="interactive",
        long_running=True,
    )  # fmt: skip
    async with dialing(host) as dialer:
        with await dialer.open("outlive-a", request) as stream:
            answer = await stream.response()
            read = answer.body or await stream.receive()
            assert read == b"before"
            stream.consumed(len(read) - len(answer.body))
            while (await host.beat()).expires == first.expires:
                continue
            await host.beat(2)
            go_on.set()
            assert await stream.receive() == b"after"
    await agent.stop()


@pytest.mark.parametrize("damage", ["unreadable", "damaged"])
async def test_stored_credentials_that_cannot_be_read_are_asked_for_anew(agent: Agent, host: Host, damage: str) -> None:
    agent.token(await host.token(f"{damage}-a"))
    await agent.start()
    first = await host.beat()
    user = agent.state / "user.creds"
    if damage == "damaged":
        user.write_bytes(b"\x00")
    else:
        user.unlink()
        user.mkdir()
    await host.nats.push(host.nats.authority.tombstone(f"{damage}-a", host.accounts[f"{damage}-a"].public))
    if damage == "unreadable":
        await agent.logged("credentials cannot be renewed yet")
        user.rmdir()
    await host.nats.push(host.accounts[f"{damage}-a"].jwt)
    beat = await host.beat(2)
    assert (beat.agent, beat.epoch) == (first.agent, first.epoch)
    await agent.stop()


async def test_a_host_that_does_not_know_it_now_is_asked_for_ever(agent: Agent, host: Host) -> None:
    agent.token(await host.token("unknown-a"))
    await agent.start()
    first = await host.beat()
    host.error = ServiceUnavailable("host 'test-host' does not know this agent now")
    await host.bury("unknown-a")
    async with asyncio.timeout(DEADLINE_S):
        while agent.log.read_text().count("credentials cannot be renewed yet") < 3:
            await asyncio.sleep(0.02)
    host.error = None
    await host.nats.push(host.accounts["unknown-a"].jwt)
    beat = await host.beat(2)
    assert (beat.agent, beat.epoch) == (first.agent, first.epoch)
    await agent.stop()


async def test_an_api_server_that_answers_nonsense_does_not_end_the_agent(
    agent: Agent, host: Host, api: ApiServer
) -> None:
    async def nonsense(exchange: Exchange) -> None:
        body = b'{"metadata": {}, "roleRef": ["view"]}'
        await exchange.respond(200, [(b"content-type", b"application/json")], body)

    agent.token(await host.token("nonsense-a"))
    await agent.start()
    first = await host.beat()
    await agent.stop()
    place = f"{BINDINGS}/skerry%3Aview"
    api.routes[place] = nonsense
    await agent.start(SKERRY_LOOK_S="0.2")
    while (beat := await host.beat()).healthy:
        continue
    assert "internal error" in beat.message
    del api.routes[place]
    while not (beat := await host.beat()).healthy:
        continue
    assert beat.agent == first.agent
    await agent.stop()


# The trust root


async def heard(host: Host, fits: Callable[[Heartbeat], bool]) -> Heartbeat:
    """The next heartbeat that fits."""
    async with asyncio.timeout(DEADLINE_S):
        while not fits(beat := await host.beat()):
            pass
    return beat


async def test_a_trust_root_follows_another_over_a_restart_and_the_old_one_is_believed_no_more(
    agent: Agent, host: Host
) -> None:
    old, new, other = host.root, create(KeyType.ACCOUNT), create(KeyType.ACCOUNT)
    agent.token(await host.token("root-a"))
    await agent.start()
    await host.beat()
    both = old.public, new.public
    host.believed, host.statement = both, make_statement(both, old.sign)
    await heard(host, lambda beat: beat.roots == both)
    async with dialing(host) as dialer:
        for host.root, answered in ((old, 200), (new, 200), (other, 401)):
            assert await status(dialer, host, "root-a") == answered
    await agent.stop()
    host.believed, host.statement = (new.public,), make_statement((new.public,), new.sign)
    await agent.start()
    await heard(host, lambda beat: beat.roots == (new.public,))
    async with dialing(host) as dialer:
        for host.root, answered in ((old, 401), (new, 200)):
            assert await status(dialer, host, "root-a") == answered
    host.believed, host.statement = (other.public,), make_statement((other.public,), other.sign)
    lost = await heard(host, lambda beat: not beat.healthy)
    assert "join anew" in lost.message
    assert lost.roots == (new.public,)
    await agent.stop()
