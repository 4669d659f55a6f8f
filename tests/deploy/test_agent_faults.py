"""What a person must mend ends an agent's container with one line, the same in its log and in its termination message, which pods show:
with the account and the settings of the chart, against a real API server and a real host.
"""

from __future__ import annotations

import base64
import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from skerry.identity import jointoken
from skerry.member import account
from tests.deploy.agentchart import NAMESPACE
from tests.deploy.test_agent_install import Installed, health
from tests.e2e.federation import Host, eventually, free_port
from tests.kube.contents import delete_namespaces
from tests.kube.member import Member

pytestmark = [pytest.mark.kube, pytest.mark.timeout(240)]

NAME, ELSEWHERE = "faults", "22222222-0000-0000-0000-000000000002"
MARKS = ("skerry.dev/host", "skerry.dev/host-name")


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    with Host(tmp_path_factory.mktemp("host")) as started:
        started.up()
        yield started


@pytest.fixture(scope="module")
def text(host: Host) -> str:
    """A token that is good."""
    return host.token(NAME)


@pytest.fixture(scope="module")
def applied(host: Host, plain_cluster: Member) -> Iterator[None]:
    """The agent's objects, by kubectl."""
    plain_cluster.kubectl("apply", "-f", "-", stdin=host.ok("join", NAME, "--print").encode())
    yield
    for scope in (
        ("deploy,cm,secret,sa,role,rolebinding,networkpolicy,pdb", "-n", NAMESPACE),
        ("clusterrole,clusterrolebinding",),
    ):
        plain_cluster.kubectl("delete", *scope, "-l", "skerry.dev/installed=agent")
    delete_namespaces(plain_cluster, NAMESPACE)


@pytest.fixture
def installed(applied: None, host: Host, plain_cluster: Member, tmp_path: Path) -> Iterator[Installed]:
    """The objects as they were, whatever a test did to them, and no pod left."""
    made = Installed(Path("helm"), plain_cluster, host, tmp_path)
    yield made
    for pod in made.pods:
        pod.stop(signal.SIGKILL)
    plain_cluster.kubectl("annotate", "namespace", "kube-system", *(f"{each}-" for each in MARKS))
    _rules(plain_cluster, account.rules())
    _patch(plain_cluster, "secret", "skerry-agent-state", {"data": None})


def _patch(member: Member, kind: str, name: str, patch: dict[str, Any]) -> None:
    scope = [] if kind.startswith("cluster") else ["-n", NAMESPACE]
    member.kubectl("patch", kind, name, *scope, "--type=merge", "-p", json.dumps(patch))


def _rules(member: Member, rules: list[dict[str, Any]]) -> None:
    _patch(member, "clusterrole", "skerry:agent", {"rules": rules})


def _token(member: Member, text: str) -> None:
    data = {"token": base64.b64encode(text.encode()).decode()}
    _patch(member, "secret", "skerry-agent-token", {"data": data})


def _changed(text: str, **fields: Any) -> str:
    return jointoken.encode(msgspec.structs.replace(jointoken.decode(text, 0), **fields))


def _state(member: Member, **files: str) -> None:
    data = {name: base64.b64encode(content.encode()).decode() for name, content in files.items()}
    _patch(
        member, "secret", "skerry-agent-state", {"data": {name.replace("_", "."): each for name, each in data.items()}}
    )


Fault = Callable[[Host, Member, str], str]
"""Makes it on the cluster; the token that is tried with it."""


def _marked(host: Host, member: Member, text: str) -> str:
    member.kubectl("annotate", "namespace", "kube-system", f"{MARKS[0]}={ELSEWHERE}", f"{MARKS[1]}=moor")
    return text


def _without_impersonation(host: Host, member: Member, text: str) -> str:
    _rules(member, [rule for rule in account.rules() if rule["verbs"] != ["impersonate"]])
    return text


def _damaged(host: Host, member: Member, text: str) -> str:
    _state(member, agent_json="{")
    return text


def _newer(host: Host, member: Member, text: str) -> str:
    _state(member, agent_json='{"format": 99}')
    return text


def _revoked(host: Host, member: Member, text: str) -> str:
    gone = host.token("gone")
    listed = [each.rsplit("/", 1)[-1] for each in host.ok("token", "list", "-o", "name").split()]
    host.ok("token", "revoke", next(each for each in listed if each.startswith("gone-")))
    return gone


FAULTS: tuple[tuple[str, Fault, str], ...] = (
    ("a garbled token", lambda host, member, text: text[:40], "token"),
    ("a revoked token", _revoked, "token"),
    ("a token for another cluster", lambda host, member, text: host.token(NAME, "--cluster-uid", ELSEWHERE), ELSEWHERE),
    ("a cluster of another host", _marked, "moor"),
    ("a missing right", _without_impersonation, "may not impersonate"),
    ("damaged state", _damaged, "skerry-agent-state"),
    ("state of a newer version", _newer, "skerry-agent-state"),
)


@pytest.mark.parametrize(("fault", "says"), [each[1:] for each in FAULTS], ids=[each[0] for each in FAULTS])
def test_what_a_person_must_mend_ends_it_with_one_line(
    installed: Installed, host: Host, plain_cluster: Member, text: str, fault: Fault, says: str
) -> None:
    _token(plain_cluster, fault(host, plain_cluster, text))
    agent, _ = installed.pod()
    assert agent.exits() != 0
    lines = agent.said().splitlines()
    termination = (agent.log.parent / "termination").read_text().strip()
    assert "\n" not in termination
    assert says in termination, termination
    assert termination in lines[-1], "the last line of the log says the same"
    assert len([line for line in lines if termination in line]) == 1
    assert "Traceback" not in agent.said()
    assert text not in agent.said()
    assert host.cluster(NAME) == {}


def test_what_may_pass_by_itself_is_waited_for_and_readiness_says_why(
    installed: Installed, host: Host, plain_cluster: Member, text: str
) -> None:
    _token(plain_cluster, _changed(text, servers=[f"tls://127.0.0.1:{free_port()}"]))
    agent, url = installed.pod()
    eventually(lambda: "Connection refused" in health(url)[1], "its readiness says why")
    assert health(url)[0] == 503
    assert agent.process.poll() is None
    assert not (agent.log.parent / "termination").exists()
    assert agent.stop() == 0
