"""What is wrong with a join is told by the name of its check, before anything is changed: on a member in a network of its own.

The clock has stories of its own (test_clocks.py), and a host of another version can only be pretended (agent/test_checks.py).
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from skerry.checks.report import JOIN
from skerry.identity import jointoken, x509
from skerry.member import account
from tests.e2e.doctored import DoctoredApi
from tests.e2e.federation import Agent, Host, free_port
from tests.kube.member import Member

pytestmark = [pytest.mark.kube, pytest.mark.timeout(300)]

NEW, TAKEN, ELSEWHERE = "fresh", "taken", "22222222-0000-0000-0000-000000000002"
_RBAC = "rbac.authorization.k8s.io/v1"


class Attempt(NamedTuple):
    """What an agent is given."""

    member: Member
    token: str
    options: tuple[str, ...] = ()


@dataclasses.dataclass
class Stage:
    """A host with one member, `taken`, and another cluster, which may be spoilt and has one token."""

    host: Host
    member: Member
    other: Member
    directory: Path
    text: str
    of_taken: str
    """A token for the name that is taken."""

    def token(self, **changes: Any) -> str:
        """The token, with fields of what is on paper changed."""
        return jointoken.encode(msgspec.structs.replace(jointoken.decode(self.text, 0), **changes))

    def with_kubeconfig(self, change: Callable[[dict[str, Any]], None]) -> Member:
        """The member as another kubeconfig reaches it."""
        shown = self.member.kubectl("config", "view", "--raw", "--flatten", "-o", "json")
        document = json.loads(shown)
        change(document)
        path = self.directory / f"{len(list(self.directory.iterdir()))}.kubeconfig"
        path.touch(mode=0o600)
        path.write_text(json.dumps(document))
        return dataclasses.replace(self.member, kubeconfig=path)

    @contextmanager
    def limited(self, keep: Callable[[dict[str, Any]], bool]) -> Iterator[Member]:
        """The member by an account that has those of the rules that Skerry's own account has."""
        rules = [rule for rule in account.rules() if "nonResourceURLs" in rule or keep(rule)]
        metadata = {"name": "limited"}
        self.member.apply(
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {**metadata, "namespace": "default"}},
            {"apiVersion": _RBAC, "kind": "ClusterRole", "metadata": metadata, "rules": rules},
            {
                "apiVersion": _RBAC,
                "kind": "ClusterRoleBinding",
                "metadata": metadata,
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "limited"},
                "subjects": [{"kind": "ServiceAccount", "name": "limited", "namespace": "default"}],
            },
        )
        token = self.member.kubectl("create", "token", "limited").decode().strip()

        def limit(document: dict[str, Any]) -> None:
            for each in document["users"]:
                each["user"] = {"token": token}

        try:
            yield self.with_kubeconfig(limit)
        finally:
            self.member.kubectl("delete", "clusterrolebinding,clusterrole", "limited")


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, member_one: Member, member_two: Member) -> Iterator[Stage]:
    """Nothing is wrong yet."""
    addresses = tuple(member.host_address for member in (member_one, member_two) if member.isolated)
    directory = tmp_path_factory.mktemp("preflight")
    with Host(directory / "host", addresses) as host:
        host.up()
        made = Stage(host, member_one, member_two, directory / "spoilt", host.token(NEW), host.token(TAKEN))
        made.directory.mkdir()
        host.join(member_two, TAKEN)
        yield made


Spoilt = Callable[[Stage], AbstractContextManager[Attempt]]


@contextmanager
def another_name(stage: Stage) -> Iterator[Attempt]:
    yield Attempt(stage.member, stage.text, ("--name", "other"))


@contextmanager
def unknown_address(stage: Stage) -> Iterator[Attempt]:
    yield Attempt(stage.member, stage.token(servers=["tls://nowhere.invalid:4222"]))


@contextmanager
def closed_port(stage: Stage) -> Iterator[Attempt]:
    yield Attempt(stage.member, stage.token(servers=[f"tls://{stage.member.host_address}:{free_port()}"]))


@contextmanager
def another_authority(stage: Stage) -> Iterator[Attempt]:
    yield Attempt(stage.member, stage.token(ca=x509.create_ca("elsewhere").certificate.decode()))


@contextmanager
def revoked(stage: Stage) -> Iterator[Attempt]:
    text = stage.host.token("ended")
    listed = [each.rsplit("/", 1)[-1] for each in stage.host.ok("token", "list", "-o", "name").split()]
    stage.host.ok("token", "revoke", next(each for each in listed if each.startswith("ended-")))
    yield Attempt(stage.member, text)


@contextmanager
def name_of_another(stage: Stage) -> Iterator[Attempt]:
    yield Attempt(stage.member, stage.of_taken)


@contextmanager
def closed_api(stage: Stage) -> Iterator[Attempt]:
    def elsewhere(document: dict[str, Any]) -> None:
        for each in document["clusters"]:
            each["cluster"]["server"] = "https://127.0.0.1:1"

    yield Attempt(stage.with_kubeconfig(elsewhere), stage.text)


@contextmanager
def old_api(stage: Stage) -> Iterator[Attempt]:
    if not stage.member.token:
        pytest.skip("this cluster was not started by the tests: its token is not known")
    changes = {"/version": lambda told: {**told, "gitVersion": "v1.20.4"}}
    with DoctoredApi(stage.member, changes, stage.directory) as api:
        yield Attempt(stage.with_kubeconfig(api.point), stage.text)


@contextmanager
def without_kube_system(stage: Stage) -> Iterator[Attempt]:
    with stage.limited(
        lambda rule: rule.get("resourceNames") != ["kube-system"] and rule["resources"] != ["namespaces"]
    ) as member:
        yield Attempt(member, stage.text)


@contextmanager
def of_another_host(stage: Stage) -> Iterator[Attempt]:
    stage.member.kubectl(
        "annotate", "namespace", "kube-system", f"skerry.dev/host={ELSEWHERE}", "skerry.dev/host-name=moor"
    )
    try:
        yield Attempt(stage.member, stage.text)
    finally:
        stage.member.kubectl("annotate", "namespace", "kube-system", "skerry.dev/host-", "skerry.dev/host-name-")


@contextmanager
def of_this_host(stage: Stage) -> Iterator[Attempt]:
    yield Attempt(stage.other, stage.text)


@contextmanager
def without_impersonation(stage: Stage) -> Iterator[Attempt]:
    with stage.limited(lambda rule: rule["verbs"] != ["impersonate"]) as member:
        yield Attempt(member, stage.text)


@contextmanager
def without_binding(stage: Stage) -> Iterator[Attempt]:
    with stage.limited(lambda rule: rule["verbs"] != ["bind"]) as member:
        yield Attempt(member, stage.text)


@contextmanager
def read_only(stage: Stage) -> Iterator[Attempt]:
    with stage.limited(
        lambda rule: set(rule["verbs"]) <= {"get", "list", "watch"} or "kube-system" in rule.get("resourceNames", ())
    ) as member:
        yield Attempt(member, stage.text)


@contextmanager
def full_nodes(stage: Stage) -> Iterator[Attempt]:
    member, name = stage.member, "full"
    ready = [{"type": "Ready", "status": "True", "lastHeartbeatTime": None, "lastTransitionTime": None}]
    status = {"allocatable": {"cpu": "50m", "memory": "1Gi", "pods": "10"}, "conditions": ready}
    member.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})
    member.kubectl(
        "patch", "node", name, "--type=merge", "-p", '{"spec": {"taints": null}}'
    )  # an admission gave it some
    member.kubectl("patch", "node", name, "--subresource=status", "--type=merge", "-p", json.dumps({"status": status}))
    cordoned = [member.node] if member.node else []
    try:
        for node in cordoned:
            member.kubectl("cordon", node)
        yield Attempt(member, stage.text)
    finally:
        for node in cordoned:
            member.kubectl("uncordon", node)
        member.kubectl("delete", "node", name)


ROWS: tuple[tuple[str, Spoilt, str, dict[str, str]], ...] = (
    ("a token for another name", another_name, "fail", {"token": "--name says 'other'"}),
    ("a name that DNS does not know", unknown_address, "fail", {"bus.dns": "nowhere.invalid is not known here"}),
    ("a port that nobody listens on", closed_port, "fail", {"bus.tcp": "cannot be reached (Connection refused)"}),
    ("an authority that is not the host's", another_authority, "fail", {"bus.tls": "is not the host's"}),
    ("a revoked token", revoked, "fail", {"bus.auth": ""}),
    ("a name that is taken", name_of_another, "fail", {"host.name": "taken"}),
    ("an API server that does not listen", closed_api, "fail", {"api.reach": ""}),
    ("an old API server", old_api, "warn", {"api.version": "v1.20.4, older than what is tested"}),
    ("kube-system may not be read", without_kube_system, "fail", {"identity": ""}),
    ("a member of another host", of_another_host, "fail", {"owner": "moor"}),
    ("a member under another name", of_this_host, "fail", {"duplicate": TAKEN}),
    ("a credential that may not impersonate", without_impersonation, "fail", {"impersonation": ""}),
    ("a credential that may not bind", without_binding, "fail", {"bindings": ""}),
    ("a read-only credential", read_only, "fail", {"impersonation": "", "bindings": ""}),
    ("full nodes", full_nodes, "warn", {"resources": "most has full, cpu 50m"}),
)
_LINE = re.compile(r"^(pass|warn|fail|skip)  (\S+) +(.*)$")
USUAL = {"bus.tcp", "roles", "resources"}
"""What these clusters are warned of: an address of the host that is for another one, and some have no controller manager or no node."""


def told(agent: Agent) -> dict[str, tuple[str, str]]:
    """Check -> its result and what was found, in the order in which they were told."""
    results: dict[str, tuple[str, str]] = {}
    for line in agent.said().splitlines():
        if (match := _LINE.match(line)) is not None:
            results[match[2]] = (match[1], match[3])
        elif line.startswith("{") and (entry := json.loads(line)).get("message") == "checked":
            results[entry["check"]] = (entry["result"], entry["found"])
    return results


def test_nothing_is_wrong_with_a_good_join_and_nothing_is_made(stage: Stage, tmp_path: Path) -> None:
    agent = stage.host.agent(stage.member, stage.text, "--dry-run", state=tmp_path)
    assert agent.exits() == 0, agent.said()
    results = told(agent)
    assert tuple(results) == JOIN
    assert {name for name, (result, _) in results.items() if result != "pass"} <= USUAL
    assert stage.host.cluster(NEW) == {}


@pytest.mark.parametrize(("spoilt", "result", "says"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_what_is_wrong_is_told_by_the_name_of_its_check_alone(
    stage: Stage, tmp_path: Path, spoilt: Spoilt, result: str, says: dict[str, str]
) -> None:
    with spoilt(stage) as attempt:
        agent = stage.host.agent(attempt.member, attempt.token, *attempt.options, "--dry-run", state=tmp_path)
        assert agent.exits() == (1 if result == "fail" else 0), agent.said()
        results = told(agent)
        assert tuple(results) == JOIN, agent.said()
        assert {name for name, (how, _) in results.items() if how == "fail"} == (
            set(says) if result == "fail" else set()
        ), agent.said()
        for name, text in says.items():
            assert results[name][0] == result
            assert text in results[name][1]
            assert re.search(rf"^{result}  {name} .*\n      \S", agent.said(), re.MULTILINE), "no next step"


@pytest.mark.parametrize(
    "spoilt", [closed_port, of_another_host, of_this_host, without_impersonation], ids=lambda each: each.__name__
)
def test_a_join_that_fails_says_the_same_and_leaves_nothing(stage: Stage, tmp_path: Path, spoilt: Spoilt) -> None:
    (says,) = (row[3] for row in ROWS if row[1] is spoilt)
    with spoilt(stage) as attempt:
        agent = stage.host.agent(attempt.member, attempt.token, *attempt.options, state=tmp_path)
        assert agent.exits() == 1, agent.said()
        assert {name for name, (how, _) in told(agent).items() if how == "fail"} == set(says), agent.said()
        assert "Traceback" not in agent.said()
    assert stage.host.cluster(NEW) == {}
    assert b"skerry:" not in stage.member.kubectl("get", "clusterrolebindings", "-o", "name")


def test_its_token_is_good_after_all_that_and_the_name_of_one_that_left_is_anothers(
    stage: Stage, tmp_path: Path
) -> None:
    host = stage.host
    first = host.agent(stage.member, stage.text, state=tmp_path / "first")
    host.wait_ready(NEW, first)
    uid = host.cluster(NEW)["metadata"]["uid"]
    host.ok("cluster", "remove", NEW)
    assert first.exits() == 1
    host.ok("cluster", "remove", TAKEN)
    second = host.agent(stage.other, host.token(NEW), state=tmp_path / "second")
    host.wait_ready(NEW, second)
    again = host.agent(stage.member, None, "--name", NEW, state=tmp_path / "first")
    assert again.exits() == 1
    assert "removed" in again.said()
    cluster = host.cluster(NEW)
    assert cluster["metadata"]["uid"] != uid
    assert cluster["status"]["uid"] == stage.other.uid
    assert host.ready(NEW)
