"""What a person is told who joins with a token that is not for this, or makes, approves and revokes what cannot be: one line with the
next step, its exit code, and nothing is half made. On a host as it runs; the cluster that is to join is a stand-in.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from skerry import subjects
from skerry.api.messages import JoinRequest
from skerry.bus import Settings, connect
from skerry.cli.__main__ import main
from skerry.cli.term import program
from skerry.identity import jointoken, nkey
from skerry.identity.creds import Credentials
from skerry.identity.nkey import KeyType
from tests.e2e.federation import Done, Host
from tests.fixtures.nats import eventually
from tests.member.apiserver import ApiServer

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

API = "/apis/skerry.dev/v1alpha1"
SPECS: dict[str, dict[str, Any]] = {
    "late": {"clusterName": "late", "ttl": "1s"},
    "m1": {"clusterName": "m1"},
    "crowd": {"pattern": "crowd-*", "uses": 2},
    "edge": {"pattern": "edge-*", "uses": 3},
    "pinned": {"clusterName": "pinned", "clusterUID": "uid-of-another"},
    "revoked": {"clusterName": "revoked"},
    "more": {"clusterName": "nobody", "replica": True},
    "taken": {"clusterName": "m1"},
    "again": {"clusterName": "again"},
}
"""Tokens by name. That of m1 is used, those of crowd are all used, `again` is for the cluster that joined as m1."""


class Ground:
    """A host to which m1 has joined, and a cluster that is nobody's."""

    def __init__(self, host: Host, api: ApiServer) -> None:
        self.host, self.api = host, api
        self.tokens: dict[str, str] = {"garbled": "skerry-join-AAAA00000000", "none": "hello", "empty": ""}
        self.key = nkey.create(KeyType.USER).public
        """Of the one agent of m1."""

    async def skerry(self, *words: str, stdin: str | None = None) -> Done:
        """Run the command line, as a process."""
        done = await asyncio.to_thread(self.host.skerry, *words, stdin=stdin)
        done.stderr = re.sub(r"\S+/skerry ", "skerry ", done.stderr)  # as it was called
        return done

    async def asked(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """What the host answers to its administrator."""
        admin = (self.host.state / "host" / "admin.token").read_text().strip()
        return await asyncio.to_thread(self.host.ask, method, f"{API}/{path}", body, admin)

    async def uses(self, token: str, name: str, key: str, uid: str) -> None:
        """An agent joins with a token, and does no more."""
        decoded = jointoken.decode(self.tokens[token], 0)
        settings = Settings(servers=tuple(decoded.servers), ca_pem=decoded.ca, name="join")
        request = JoinRequest(nkey=key, name=name, cluster_uid=uid, kubernetes_version="v1.36.3", agent_version="0.1.0")
        connection = await connect(settings, Credentials(decoded.jwt))
        try:
            await connection.request(subjects.join(decoded.jti), msgspec.json.encode(request), timeout_s=30)
        finally:
            connection.abort()

    async def made(self) -> tuple[set[str], dict[str, Any], dict[str, Any], bool]:
        """What there is: Clusters, what was written on the cluster that is nobody's, and whether an agent has left anything."""
        names = {each["metadata"]["name"] for each in (await self.asked("GET", "clusters"))["items"]}
        return names, dict(self.api.bindings), dict(self.api.annotations), (self.host.directory / "theirs").exists()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ground(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ground]:
    directory = tmp_path_factory.mktemp("refused")
    async with AsyncExitStack() as stack:
        host = stack.enter_context(
            Host(directory, environment={"SKERRY_LOG_FORMAT": "human", "SKERRY_LOG_LEVEL": "error"})
        )
        await asyncio.to_thread(host.up)
        ground = Ground(host, await stack.enter_async_context(ApiServer(directory / "free", uid="uid-free")))
        for name, spec in SPECS.items():
            body = {"apiVersion": "skerry.dev/v1alpha1", "kind": "JoinToken", "metadata": {"name": name}, "spec": spec}
            ground.tokens[name] = (await ground.asked("POST", "jointokens", body))["status"]["token"]
        await ground.uses("m1", "m1", ground.key, "uid-m1")
        for number in (1, 2):
            await ground.uses("crowd", f"crowd-{number}", nkey.create(KeyType.USER).public, f"uid-{number}")
        assert (await ground.skerry("token", "revoke", "revoked")).returncode == 0
        over = datetime.fromtimestamp(jointoken.decode(ground.tokens["late"], 0).expires, UTC) + timedelta(seconds=1)
        await eventually(lambda: datetime.now(UTC) > over)
        yield ground


@pytest.mark.parametrize(
    ("token", "options", "code", "line"),
    [
        ("none", "", 1, r"this is not a join token \(it starts with skerry-join-\): copy the whole token again, or make a new one: skerry token create NAME"),
        ("garbled", "", 1, r"the join token is garbled: copy the whole token again, or make a new one: skerry token create NAME"),
        ("empty", "", 1, r"the token file - is empty: make a token with: skerry token create NAME"),
        ("late", "", 1, r"token: the join token for 'late' expired at \S+Z by the host's clock: make a new one on the host: skerry token create late"),
        ("m1", "", 1, r"token: the join token for 'm1' was used already, by another agent \(key U\w+\): a token works once; make a new one on the host: skerry token create m1"),
        ("crowd", "--name crowd-3", 1, r"token: the join token for 'crowd-\*' is exhausted: 2 agents joined with it; make a new one on the host: skerry token create crowd-3"),
        ("again", "--name other", 1, r"the token is for cluster 'again', not 'other': leave --name out, or make another token"),
        ("edge", "", 2, r"the token is for clusters named 'edge-\*': say which one this is with --name"),
        ("edge", "--name x", 1, r"the token is for clusters named 'edge-\*', and --name says 'x': use another --name, or make a token for it: skerry token create x"),
        ("pinned", "", 1, r"token: the join token is for the cluster with kube-system UID uid-of-another, this one has uid-free: use the kubeconfig of that one, or make a new one on the host: skerry token create pinned"),
        ("revoked", "", 1, r"bus.auth: the host does not take it \(.*\): it was used, revoked, or has expired; make a new one there: skerry token create revoked"),
        ("more", "", 1, r"host.name: this token is for one more agent of 'nobody', and no such cluster has joined: use a token made without --replica"),
        ("taken", "", 1, r"host.name: the name 'm1' belongs to another cluster .*skerry cluster remove m1"),
    ],
)  # fmt: skip
async def test_a_join_that_cannot_be_is_one_line_and_makes_nothing(
    ground: Ground, token: str, options: str, code: int, line: str
) -> None:
    before, state = await ground.made(), str(ground.host.directory / "theirs")
    words = ("agent", "--token-file", "-", "--kubeconfig", str(ground.api.kubeconfig()), "--state", state)
    done = await ground.skerry(*words, *options.split(), stdin=ground.tokens[token])
    said = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert re.fullmatch(f"(agent|error): {line}", said[-1]), said[-1]
    assert all(re.match(r"(pass|warn|fail|skip)  |  +\S", each) for each in said[:-1]), done.stderr
    assert await ground.made() == before


@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        ("token create --pattern *", 1, r".*matches every name.*"),
        ("token create --pattern h*", 1, r".*it matches host, the host's own name: narrow it, for example h-\*.*"),
        ("token create --pattern *st", 1, r".*it matches host.*for example edge-\*.*"),
        ("token create host", 1, r".*this name belongs to the host itself.*"),
        ("token create a.b", 1, r".*use a DNS label: a-z, 0-9 and -, at most 63 characters.*"),
        ("token create m2 --uses 3", 2, r"--uses needs --pattern: a token for one name works once. For one more agent of m2: skerry token create m2 --replica"),
        ("cluster approve m1", 1, r"cluster 'm1' does not wait for approval: .*"),
        ("cluster deny m1", 1, r"cluster 'm1' does not wait for approval: .*"),
        ("cluster approve nobody", 1, r".*nobody.*not found.*"),
        ("cluster revoke-agent m1 UNOBODY", 1, r"cluster 'm1' has no agent 'UNOBODY'; there is: KEY"),
        ("cluster revoke-agent m1 KEY", 1, r"KEY is the last agent of cluster 'm1': remove the cluster instead: skerry cluster remove m1"),
        ("cluster revoke-agent host U", 1, r".*cluster 'host' is the host itself and has no agent"),
        ("keys rotate signing --root /nowhere", 4, r"the operator's root seed is needed and /nowhere is not there: name the file of its safe copy with --root FILE"),
        ("keys finish sys", 1, r"no rotation of key sys is open: begin one with: skerry keys rotate sys"),
    ],
)  # fmt: skip
async def test_what_cannot_be_done_is_one_line_and_changes_nothing(
    ground: Ground,
    words: str,
    code: int,
    line: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SKERRY_STATE", str(ground.host.state))
    monkeypatch.setenv("KUBECONFIG", "")
    before = await ground.made(), (await ground.asked("GET", "jointokens"))["items"]
    done = await asyncio.to_thread(main, words.replace("KEY", ground.key[:10]).split())
    said = capsys.readouterr()
    assert (done, said.out) == (code, ""), said.err
    err = said.err.replace(ground.key[:10], "KEY").replace(program(), "skerry")
    assert re.fullmatch(f"error: {line}\n", err), err
    assert (await ground.made(), (await ground.asked("GET", "jointokens"))["items"]) == before
