"""What each account that Skerry has on a cluster may do there, attempt by attempt: as accounts.txt says, by a real API server's word.

They are those of the host's pods, with the host's own cluster managed and not, that of an agent on a member, and the one that
`--create-service-account` makes for a direct member. Whoever steals a token of one has its rows; who may impersonate users may do
everything by that, so those rows matter most (docs/adr/0043). A change of rights shows here line by line: read each new one as an
attacker would, then write the file anew (SKERRY_TEST_WRITE_TABLE=1).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from skerry.api.meta import Document
from skerry.member import account
from tests.deploy import agentchart, hostchart
from tests.deploy.agentchart import NAMESPACE, make_namespace
from tests.deploy.test_agent_chart import MATRIX
from tests.kube.member import Member

pytestmark = pytest.mark.kube

TABLE = Path(__file__).with_name("accounts.txt")
RBAC = "rbac.authorization.k8s.io"
SECRETS = (
    "skerry-root", "skerry-keys", "skerry-nats", "skerry-controller-manager", "skerry-tower", "skerry-admin",
    "skerry-agent-state", "somebodys",
)  # fmt: skip
ATTEMPTS = (
    "impersonate users", "impersonate groups", "impersonate serviceaccounts", "impersonate uids.authentication.k8s.io",
    "impersonate userextras.authentication.k8s.io/scopes", "impersonate userextras.authentication.k8s.io/skerry.dev/user",
    *(f"{verb} secrets -n {NAMESPACE} {name}" for name in SECRETS for verb in ("get", "update", "delete")),
    *(f"{verb} secrets -n {namespace}" for namespace in (NAMESPACE, "kube-system") for verb in ("list", "create")),
    *(f"{verb} namespaces kube-system" for verb in ("get", "patch", "delete")),
    "list namespaces", "create namespaces", "list nodes", "patch nodes", "get nodes/proxy",
    *(f"{verb} pods -n {NAMESPACE}" for verb in ("list", "get", "create", "delete")),
    f"create pods/exec -n {NAMESPACE}", f"get pods/log -n {NAMESPACE}", f"create serviceaccounts/token -n {NAMESPACE}",
    f"patch deployments.apps -n {NAMESPACE}", f"list configmaps -n {NAMESPACE}",
    *(f"{verb} clusterrolebindings.{RBAC}" for verb in ("list", "create", "delete")),
    *(f"{verb} rolebindings.{RBAC} -n default" for verb in ("list", "create", "delete")),
    *(f"{verb} clusterroles.{RBAC}" for verb in ("list", "create", "escalate")),
    *(f"{verb} clusterroles.{RBAC} {role}" for role in ("cluster-admin", "admin", "system:node") for verb in ("bind", "patch")),
    "create tokenreviews.authentication.k8s.io", "create subjectaccessreviews.authorization.k8s.io",
    "create certificatesigningrequests.certificates.k8s.io",
    "create mutatingwebhookconfigurations.admissionregistration.k8s.io",
)  # fmt: skip


class Account(NamedTuple):
    """A ServiceAccount, and all from which it may have rights."""

    name: str
    user: str
    objects: list[Document]


def accounts(helm: Path, directory: Path) -> Iterator[Account]:
    """All of them."""
    for managed in (False, True):
        objects = [*hostchart.objects_of(helm, {"manageHost": managed}, directory).values()]
        for workload in ("controller-manager", "tower", "nats"):
            yield Account(f"{workload}{', host managed' * managed}", f"skerry-{workload}", objects)
    yield Account("agent", "skerry-agent", [*agentchart.rendered(helm, MATRIX["token"], directory).values()])
    role = {
        "apiVersion": f"{RBAC}/v1",
        "kind": "ClusterRole",
        "metadata": {"name": account.ROLE},
        "rules": account.rules(),
    }
    binding = {
        "apiVersion": f"{RBAC}/v1", "kind": "ClusterRoleBinding", "metadata": {"name": account.ROLE},
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": account.ROLE},
        "subjects": [{"kind": "ServiceAccount", "name": account.NAME, "namespace": NAMESPACE}],
    }  # fmt: skip
    yield Account("direct", account.NAME, [role, binding])


def review(user: str, attempt: str) -> Document:
    """The question whether that account may do this: `VERB RESOURCE[.GROUP][/SUBRESOURCE] [-n NAMESPACE] [NAME]`."""
    verb, resource, *rest = attempt.split()
    namespace = rest.pop(1) if rest[:1] == ["-n"] else ""
    resource, _, subresource = resource.partition("/")
    plural, _, group = resource.partition(".")
    asked = {
        "verb": verb, "group": group, "resource": plural, "subresource": subresource, "namespace": namespace,
        "name": rest[-1] if rest and rest[-1] != "-n" else "",
    }  # fmt: skip
    return {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "metadata": {},
        "spec": {
            "user": f"system:serviceaccount:{NAMESPACE}:{user}",
            "groups": ["system:serviceaccounts", f"system:serviceaccounts:{NAMESPACE}", "system:authenticated"],
            "resourceAttributes": asked,
        },
    }


def answers(member: Member, reviews: list[Document]) -> list[bool]:
    """What the API server says to each."""
    asked = json.dumps({"apiVersion": "v1", "kind": "List", "items": reviews}).encode()
    lines = member.kubectl("create", "-f", "-", "-o", 'jsonpath={.status.allowed}{"\\n"}', stdin=asked).split()
    assert len(lines) == len(reviews)
    return [each == b"true" for each in lines]


def test_each_account_may_do_what_its_rows_say_and_nothing_else(
    plain_cluster: Member, helms: Mapping[str, Path], tmp_path: Path
) -> None:
    make_namespace(plain_cluster)
    rows = []
    for each in accounts(helms["helm-4"], tmp_path):
        rights = [document for document in each.objects if "rbac" in document["apiVersion"]]
        plain_cluster.apply(*rights)
        allowed = answers(plain_cluster, [review(each.user, attempt) for attempt in ATTEMPTS])
        rows += [f"{each.name}: {attempt}" for attempt, may in zip(ATTEMPTS, allowed, strict=True) if may]
        items = json.dumps({"apiVersion": "v1", "kind": "List", "items": rights}).encode()
        plain_cluster.kubectl("delete", "-f", "-", stdin=items)
    if os.environ.get("SKERRY_TEST_WRITE_TABLE"):
        TABLE.write_text("\n".join(rows) + "\n")
    assert rows == TABLE.read_text().splitlines()


def test_nobody_reads_secrets_who_takes_requests_from_outside() -> None:
    """The front door and the bus have no right of their own but what the table says, and no account may do all at once."""
    rows = [row.split(": ", 1) for row in TABLE.read_text().splitlines()]
    for name, attempt in rows:
        assert "secrets" not in attempt or not name.startswith(("tower", "nats", "direct")), (name, attempt)
        assert not attempt.startswith(("escalate", "create certificatesigningrequests", "create mutatingwebhook"))
    assert not [name for name, _ in rows if name.startswith("nats") or name == "tower"]
