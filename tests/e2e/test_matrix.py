"""Who may do what: the request itself, both forms of `kubectl auth can-i`, and the explanation agree in every cell, on real API
servers; and nothing that lies on one member names another, or its people.

Identities, verbs, resources with subresources, namespaces, and clusters behind an agent, direct, under a ceiling, and away. The
ordinary run takes a sample that is another each day, the soak all of them.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.e2e.federation import Agent, Host, eventually
from tests.e2e.matrix import NAMESPACES, Asker, Question, questions
from tests.kube.contents import Janitor
from tests.kube.member import Member
from tests.kube.provider import Provider

pytestmark = [pytest.mark.kube, pytest.mark.timeout(900)]

NEAR, FAR = "hidden-faro", "hidden-oslo"
"""Behind an agent, and direct."""
PEOPLE = {
    "nobody": [], "view-a": [], "edit-ab": [], "admin": [], "selected": [], "grouped": ["org:shop"], "expired": [],
    "elevated": [], "revoked": [], "bound": [], "hostview": [], "viewer": ["skerry:view"], "root": ["skerry:cluster-admin"],
    "ws-view": [], "ws-edit": [], "ws-admin": [], "ws-group": ["org:team"], "left": [],
}  # fmt: skip
ACCOUNTS = ("granted", "bare")
"""Service accounts of the host's cluster, in namespace c: one with edit in b, one with nothing."""
API = "/apis/skerry.dev/v1alpha1"
CREDENTIALS, GRANTS, REQUESTS = (f"{API}/{plural}" for plural in ("credentials", "accessgrants", "accessrequests"))
SAMPLE = 50
"""Cells of an ordinary run for each kind of cluster."""


def grant(name: str, who: str, *, kind: str = "User", **spec: Any) -> dict[str, Any]:
    base = {"subjects": [{"kind": kind, "name": who}], "clusters": {"names": [NEAR, FAR]}}
    return {
        "apiVersion": "skerry.dev/v1alpha1", "kind": "AccessGrant", "metadata": {"name": name}, "spec": {**base, **spec},
    }  # fmt: skip


def grants(soon: str) -> list[dict[str, Any]]:
    return [
        grant("view-a", "view-a", role="view", namespaces=["a"]),
        grant("edit-ab", "edit-ab", role="edit", namespaces=["a", "b"]),
        grant("admin", "admin", role="admin"),
        grant("selected", "selected", role="edit", clusters={"selector": {"matchLabels": {"env": "prod"}}}),
        grant("grouped", "org:shop", kind="Group", role="view"),
        grant("expired", "expired", role="edit", expires=soon),
        grant("elevated", "elevated", role="view"),
        grant("revoked", "revoked", role="admin"),
        grant("bound", "bound", groups=["dba"], namespaces=["a"]),
        grant("hostview", "hostview", role="view", clusters={"names": ["host"]}),
        grant("account", f"c:{ACCOUNTS[0]}", kind="ServiceAccount", role="edit", namespaces=["b"]),
    ]


def workspace(called: str, members: dict[str, str], *clusters: str, **namespace: Any) -> dict[str, Any]:
    """With these people (`@` is before a group), and one namespace that is the same on each cluster."""
    people = [
        {"kind": "Group" if who[0] == "@" else "User", "name": who.removeprefix("@"), "role": role}
        for who, role in members.items()
    ]
    places = [{"cluster": each, **namespace} for each in clusters]
    return {
        "apiVersion": "skerry.dev/v1alpha1", "kind": "Workspace", "metadata": {"name": called},
        "spec": {"members": people, "clusters": {"names": [*clusters]}, "namespaces": places},
    }  # fmt: skip


TEAM = {"ws-view": "view", "ws-edit": "edit", "ws-admin": "admin", "@org:team": "edit"}


class Rig:
    """A host with two members, people with tokens, and what they were granted."""

    def __init__(self, host: Host, near: Member, far: Member) -> None:
        self.host, self.near, self.far = host, near, far
        self.tokens: dict[str, str] = {}
        self._agent: Agent | None = None
        self._state = ""

    @property
    def administrator(self) -> str:
        """Their token."""
        return (self.host.state / "host" / "admin.token").read_text().strip()

    def have(self, state: str) -> str:
        """The name of a cluster in this state."""
        if state == "direct":
            return FAR
        if state == self._state:
            return NEAR
        self._state = state
        if self._agent is not None:
            self._agent.stop()
        if state == "away":
            eventually(lambda: not self._answers(), "the agent is away")
            return NEAR
        token = self.host.token(NEAR) if self._agent is None else None
        options = ("--read-only", "--namespaces", "a,b") if state == "ceiling" else ("--ceiling-off",)
        self._agent = self.host.agent(self.near, token, *options)
        limited = state == "ceiling"
        eventually(lambda: self._answers() and self._limited() == limited, f"{NEAR}: {state}", 90)
        return NEAR

    def _answers(self) -> bool:
        return self.host.get(f"/clusters/{NEAR}/version") is not None

    def _limited(self) -> bool:
        return "readOnly" in self.host.cluster(NEAR)["status"].get("ceiling", {})

    def settle(self) -> None:
        """Wait until all that was granted is in place on both."""
        for name in (NEAR, FAR):
            self.host.ok("desired", "wait", name, "--timeout", "90s")


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory, plain_cluster: Member, kube: Provider) -> Iterator[Rig]:
    with kube.plain(tmp_path_factory.mktemp(FAR), FAR) as far:
        reviewer = {"SKERRY_TOKEN_REVIEW_KUBECONFIG": str(far.kubeconfig)}
        with Host(tmp_path_factory.mktemp("matrix"), environment=reviewer) as host:
            yield from _rigged(host, plain_cluster, far)


def _rigged(host: Host, plain_cluster: Member, far: Member) -> Iterator[Rig]:
    """`far` is the cluster of the host, too."""
    host.up()
    made = Rig(host, plain_cluster, far)
    for member in (plain_cluster, far):
        member.apply(*({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": each}} for each in NAMESPACES))
    plain_cluster.kubectl("create", "rolebinding", "own", "-n", "b", "--clusterrole=edit", "--user=skerry:bound")
    host.ok("cluster", "join", FAR, "--direct", "--kubeconfig", str(far.kubeconfig))
    made.have("agent")
    host.kubectl(None, "label", "cluster", NEAR, FAR, "env=prod")
    soon = datetime.now(UTC) + timedelta(seconds=8)
    team = [workspace("team", {**TEAM, **more}, NEAR, FAR, name="a", adopt=True) for more in ({"left": "edit"}, {})]
    host.kubectl(None, "apply", "-f", "-", stdin=_list([*grants(soon.strftime("%Y-%m-%dT%H:%M:%SZ")), team[0]]))
    made.tokens = asyncio.run(_tokens(made)) | {each: _issued(far, each) for each in ACCOUNTS}
    host.ok("credential", "revoke", "--user", "revoked", "--for-good")
    asyncio.run(_elevated(made, "elevated", "a", NEAR, FAR))
    host.kubectl(None, "wait", "workspace/team", "--for=condition=Ready", "--timeout=60s")
    host.kubectl(None, "apply", "-f", "-", stdin=_list(team[1:]))
    eventually(lambda: datetime.now(UTC) > soon, "the grant has ended", 60)
    made.settle()
    yield made
    host.ok("cluster", "remove", FAR)
    host.skerry("cluster", "remove", NEAR)


def _issued(member: Member, account: str) -> str:
    """A token of a service account that is made."""
    member.kubectl("create", "serviceaccount", account, "-n", "c")
    issue = ("create", "token", account, "-n", "c", "--audience", "skerry", "--duration", "8h")
    return member.kubectl(*issue).decode().strip()


async def _tokens(rig: Rig) -> dict[str, str]:
    asker = Asker(rig.host.listen, rig.host.tls(), "")
    try:
        return await _made(asker, rig.administrator, PEOPLE)
    finally:
        await asker.close()


async def _elevated(rig: Rig, who: str, namespace: str, *clusters: str, reason: str = "INC-1") -> None:
    """Somebody asks to be admin in a namespace for a while, and the administrator approves it."""
    asker = Asker(rig.host.listen, rig.host.tls(), "")
    try:
        token = rig.tokens.get(who) or (await _made(asker, rig.administrator, {who: []}))[who]
        spec = {"clusters": {"names": [*clusters]}, "namespaces": [namespace], "role": "admin", "reason": reason}
        head = {"apiVersion": "skerry.dev/v1alpha1", "kind": "AccessRequest", "metadata": {"generateName": "req-"}}
        status, asked = await asker.ask(token, "POST", REQUESTS, json.dumps({**head, "spec": spec}).encode())
        assert status == 201, asked
        path = f"{REQUESTS}/{asked['metadata']['name']}/approve"
        assert (await asker.ask(rig.administrator, "POST", path, b"{}"))[0] == 201
    finally:
        await asker.close()


async def _made(asker: Asker, admin: str, people: dict[str, list[str]]) -> dict[str, str]:
    """A token for each, with their groups."""
    made = {}
    for who, groups in people.items():
        spec = {"user": who, "groups": groups, "ttl": "8h"}
        body = {"apiVersion": "skerry.dev/v1alpha1", "kind": "Credential", "metadata": {}, "spec": spec}
        status, document = await asker.ask(admin, "POST", CREDENTIALS, json.dumps(body).encode())
        assert status == 201, document
        made[who] = document["status"]["token"]
    return made


def _list(items: list[dict[str, Any]]) -> bytes:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": items}).encode()


def cells(rig: Rig, state: str, number: int = 0) -> list[tuple[str, str, Question]]:
    """All of them, or so many, which are others each day."""
    everything = [(who, token, question) for who, token in rig.tokens.items() for question in questions()]
    chance = random.Random(f"{datetime.now(UTC).date()} {state}")
    if not number:
        return everything
    accounts = [cell for cell in everything if cell[0] in ACCOUNTS]
    return [*chance.sample(everything, number), *chance.sample(accounts, number // 5)]


async def disagreements(rig: Rig, state: str, number: int = 0) -> None:
    cluster = rig.have(state)
    asker = Asker(rig.host.listen, rig.host.tls(), cluster)
    try:
        outcomes = await asker.cells(cells(rig, state, number))
    finally:
        await asker.close()
    wrong = {key: outcome for key, outcome in outcomes.items() if not outcome.agrees}
    allowed = sum(outcome.real for outcome in outcomes.values())
    lines = [f"{who} {question}: {outcome}" for (who, question), outcome in list(wrong.items())[:12]]
    assert not wrong, f"{len(wrong)} of {len(outcomes)} on {state}:\n" + "\n".join(lines)
    assert (allowed == 0) == (state == "away")
    assert allowed < len(outcomes)


STATES = ("direct", "agent", "ceiling", "away")


@pytest.mark.parametrize("state", STATES)
async def test_requests_reviews_and_explanations_agree(rig: Rig, state: str) -> None:
    await disagreements(rig, state, SAMPLE)


@pytest.mark.soak
@pytest.mark.parametrize("state", STATES)
async def test_requests_reviews_and_explanations_agree_in_each_cell(rig: Rig, state: str) -> None:
    assert len(STATES) * len(cells(rig, state)) >= 3000
    await disagreements(rig, state)


def test_the_command_says_it_in_the_clusters_own_words(rig: Rig) -> None:
    rig.have("agent")
    file = rig.host.credential("view-a")

    def explained(*words: str) -> tuple[int, list[str]]:
        asked = ("explain", "access", "--kubeconfig", str(file), "--context", "skerry", "--cluster", NEAR, *words)
        done = rig.host.skerry(*asked)
        return done.returncode, done.stdout.splitlines()

    code, lines = explained("-n", "a", "delete", "deploy", "x")
    assert (code, lines[0]) == (1, f"denied: view-a may not delete deploy x in namespace a on {NEAR}")
    assert lines[2:] == [
        "  basis     AccessGrant view-a gives view in namespace a",
        "  member    no: delete on deployments.apps needs edit (binding a/skerry:view is in place)",
        "  ceiling   none",
        "  missing   edit in namespace a",
        f"  next      skerry request create edit --cluster {NEAR} -n a --reason …   (admin, root, ws-admin can approve)",
    ]
    code, lines = explained("-n", "a", "get", "po/log")
    assert (code, lines[0]) == (0, f"allowed: view-a may get po/log in namespace a on {NEAR}")
    assert 'RBAC: allowed by RoleBinding "skerry:view/a"' in lines[3]


async def test_what_changes_while_a_member_is_away_is_right_when_it_is_back(rig: Rig) -> None:
    """200 grants come and one goes: who lost theirs never gets anything in between, whatever still lies on the member."""
    rig.have("agent")
    admin, asker = rig.administrator, Asker(rig.host.listen, rig.host.tls(), NEAR)
    pods = f"/clusters/{NEAR}/api/v1/namespaces/{{}}/pods".format
    try:
        leaver = (await _made(asker, admin, {"leaver": []}))["leaver"]
        await asker.ask(admin, "POST", GRANTS, json.dumps(_mine("leaver", "c")).encode())
        await _until(asker, {leaver: pods("c")}, 200)
        await asyncio.to_thread(rig.have, "away")
        await asker.ask(admin, "DELETE", f"{GRANTS}/leaver")
        places = {f"late{number}": NAMESPACES[number % 3] for number in range(200)}
        tokens = await _made(asker, admin, {name: [] for name in places if int(name[4:]) < 9})
        made = await asyncio.gather(
            *(asker.ask(admin, "POST", GRANTS, json.dumps(_mine(who, place)).encode()) for who, place in places.items())
        )
        assert {status for status, _ in made} == {201}
        back = asyncio.create_task(asyncio.to_thread(rig.have, "agent"))
        answers = []
        while not back.done():
            answers.append((await asker.ask(leaver, "GET", pods("c")))[0])
        await back
        await _until(asker, {token: pods(places[who]) for who, token in tokens.items()}, 200)
        answers += [(await asker.ask(leaver, "GET", pods("c")))[0] for _ in range(20)]
        assert set(answers) <= {403}
    finally:
        await asker.close()


def _mine(who: str, namespace: str) -> dict[str, Any]:
    return grant(who, who, role="view", namespaces=[namespace], clusters={"names": [NEAR]})


async def _until(asker: Asker, targets: dict[str, str], status: int) -> None:
    """Wait until each of these tokens gets this answer from its target."""
    async with asyncio.timeout(60):
        for token, target in targets.items():
            while (await asker.ask(token, "GET", target))[0] != status:
                await asyncio.sleep(0.05)


FILTERS = (
    "", "?labelSelector=", "?labelSelector=%20", "?labelSelector=a", "?labelSelector=kubernetes.io/metadata.name!%3Da",
    "?labelSelector=kubernetes.io%2Fmetadata.name+in+(b)&labelSelector=kubernetes.io%2Fmetadata.name+in+(c)",
    "?labelSelector=kubernetes.io/metadata.name%20notin%20(a)", "?labelSelector=x)%2Ckubernetes.io/metadata.name+in+(b",
    "?label%53elector=kubernetes.io/metadata.name%20in%20(b)", "?LabelSelector=x", "?labelSelector=a;labelSelector=b",
    "?labelSelector=%zz", "?labelSelector=a%26labelSelector%3Db", "?fieldSelector=metadata.name%3Db",
    "?fieldSelector=metadata.name!%3Da", "?resourceVersion=0", "?resourceVersion=0&limit=1", "?limit=1", "?limit=500&continue=NEXT",
    "?limit=1&resourceVersion=0&resourceVersionMatch=NotOlderThan", "?watch=true&timeoutSeconds=1",
    "?watch=1&timeoutSeconds=1&resourceVersion=0&labelSelector=kubernetes.io/metadata.name!%3Da",
    "?watch=1&timeoutSeconds=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true",
    "?watch=true&watch=false&timeoutSeconds=1", "?watch=true&timeoutSeconds=1&fieldSelector=metadata.name%3Db",
)  # fmt: skip
"""What somebody may try who has one namespace and wants to see others."""
FORMS = (
    b"application/json",
    *(b"application/json;as=%b;v=v1;g=meta.k8s.io" % each for each in (b"Table", b"PartialObjectMetadataList")),
)


@pytest.mark.parametrize("state", ["direct", "agent"])
async def test_whatever_is_selected_a_list_of_namespaces_has_ones_own_alone(rig: Rig, state: str) -> None:
    name, mine = rig.have(state), rig.tokens["view-a"]
    asker = Asker(rig.host.listen, rig.host.tls(), name)
    path = f"/clusters/{name}/api/v1/{{}}namespaces{{}}".format
    others = [
        each["metadata"]["name"] for each in (await asker.ask(rig.administrator, "GET", path("", "")))[1]["items"]
    ]
    others.remove("a")
    _, page = await asker.ask(rig.administrator, "GET", path("", "?limit=1"))
    queries = [each.replace("NEXT", page["metadata"]["continue"]) for each in FILTERS]
    targets = [(target, form) for query in queries for target in _lists(path, query) for form in FORMS]
    try:
        answers = await asyncio.gather(*(asker.raw(mine, "GET", target, None, b"", form) for target, form in targets))
    finally:
        await asker.close()
    leaks = [
        (asked, name)
        for asked, (code, body) in zip(targets, answers, strict=True)
        for name in others
        if code == 200 and f'"{name}"'.encode() in body
    ]
    assert leaks == []
    shown = sum(b'"name":"a"' in body for _, body in answers)
    assert shown > len(FILTERS)
    assert {code for code, _ in answers} <= {200, 400, 403, 410}


def _lists(path: Callable[..., str], query: str) -> Iterator[str]:
    """Where a list with this query is asked for: as it is, and as a watch, in the old way too."""
    yield path("", query)
    if "watch" not in query:
        yield path("watch/", f"{query}{'&' if query else '?'}timeoutSeconds=1")


@pytest.mark.parametrize("side", ["agent", pytest.param("direct", marks=pytest.mark.soak)])
def test_nothing_on_a_member_names_another_or_its_people(rig: Rig, side: str) -> None:
    """Somebody who has something on the other alone, by a grant, a workspace and a request that tell its name."""
    rig.have("agent")
    host, member, other = rig.host, *((rig.near, FAR) if side == "agent" else (rig.far, NEAR))
    who, name, group, reason = f"zacharias-{side}", f"sunken-{side}", f"org:pirates-{side}", f"bullion-{side}"
    there: dict[str, Any] = {"clusters": {"names": [other]}, "namespaces": ["b"]}
    made = [
        workspace(name, {who: "edit"}, other, name=name),
        grant(name, who, role="edit", **there),
        grant(f"{name}-both", group, kind="Group", role="view"),
    ]
    host.kubectl(None, "apply", "-f", "-", stdin=_list(made))
    asyncio.run(_elevated(rig, who, "b", other, reason=reason))
    host.kubectl(None, "wait", f"workspace/{name}", "--for=condition=Ready", "--timeout=60s")
    rig.settle()
    kubeconfig = host.credential(who, group)
    assert host.kubectl(other, "get", "pods", "-n", "b", kubeconfig=kubeconfig) == ""
    janitor = Janitor(member)
    try:
        dump = janitor.dump()
    finally:
        janitor.close()
    assert "skerry:edit" in dump
    assert "skerry.dev/host" in dump
    assert [word for word in (other, who, name, group, reason, "req-") if word in dump] == []


def test_a_workspace_that_is_deleted_while_its_member_is_away_is_gone_at_once_and_there_when_it_is_back(
    rig: Rig,
) -> None:
    """It waits for nobody; its namespace is another's once the member has given it back."""
    rig.have("agent")
    host, bob = rig.host, rig.host.credential("bob")

    def state(name: str) -> str:
        status = json.loads(host.kubectl(None, "get", "workspace", name, "-o", "json")).get("status") or {}
        return "".join(each["state"] for each in status.get("namespaces") or ())

    def may() -> bool:
        return host.kubectl_run(NEAR, "get", "configmaps", "-n", "wreck", kubeconfig=bob).returncode == 0

    first = workspace("first", {"bob": "edit"}, NEAR, name="wreck", whenRemoved="Delete")
    host.kubectl(None, "apply", "-f", "-", stdin=_list([first]))
    eventually(may, "bob works there", 60)
    uid = rig.near.kubectl("get", "namespace", "wreck", "-o", "jsonpath={.metadata.uid}")
    rig.have("away")
    host.kubectl(None, "delete", "workspace", "first", "--timeout=10s")
    host.kubectl(None, "apply", "-f", "-", stdin=_list([workspace("second", {"bob": "view"}, NEAR, name="wreck")]))
    eventually(lambda: state("second") in ("Waiting", "Away"), "the namespace is not free", 30)
    assert rig.near.kubectl("get", "namespace", "wreck", "-o", "name")
    rig.have("agent")
    host.kubectl(None, "wait", "workspace/second", "--for=condition=Ready", "--timeout=120s")
    assert rig.near.kubectl("get", "namespace", "wreck", "-o", "jsonpath={.metadata.uid}") != uid
    labels = json.loads(rig.near.kubectl("get", "namespace", "wreck", "-o", "json"))["metadata"]["labels"]
    assert labels["skerry.dev/workspace"] == "second"
    eventually(may, "bob sees it", 60)
    host.kubectl(None, "delete", "workspace", "second")
