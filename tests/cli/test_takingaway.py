"""What `cluster remove` with a kubeconfig of the member looks at before anything is removed, and what it deletes then."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from skerry.cli.agentmanifest import AgentInstallation, manifests
from skerry.cli.commands.direct import HostIdentity
from skerry.cli.commands.takingaway import MemberCleanup
from skerry.cli.failure import Failure
from skerry.errors import Forbidden
from skerry.member import kubeconfig
from skerry.member.objects import PLACES
from tests.cli.test_agentjoin import BINDING, DEPLOYMENT, answers, refuses
from tests.member.apiserver import BINDINGS, ApiServer

pytestmark = pytest.mark.integration

FOUR = [f"{BINDINGS}/skerry%3A{role}" for role in ("view", "edit", "admin", "cluster-admin")]

RBAC = "/apis/rbac.authorization.k8s.io/v1"
OURS, THEIRS = "host-1", "host-2"
ACCOUNT = "/api/v1/namespaces/skerry-system"
EMPTY: dict[str, Any] = {"metadata": {}, "items": []}


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[ApiServer]:
    async with ApiServer(tmp_path) as server:
        server.annotations = {"skerry.dev/host": OURS, "skerry.dev/host-name": "isle"}
        for path in FOUR:
            answers(server, path, 404, {})
        for path in (f"{RBAC}/rolebindings", BINDINGS, f"{RBAC}/clusterroles", f"{ACCOUNT}/secrets",
                     f"{ACCOUNT}/serviceaccounts"):  # fmt: skip
            answers(server, path, 200, EMPTY)
        yield server


def cleanup(api: ApiServer, *, mode: str = "agent", uid: str = "") -> MemberCleanup:
    cluster = {
        "metadata": {"name": "m1"},
        "spec": {"connection": {"mode": mode}},
        "status": {"uid": uid or api.uid},
    }
    target = kubeconfig.load(str(api.kubeconfig()))
    return MemberCleanup(target, "skerry-system", cluster, HostIdentity(OURS, "isle"))


def agents() -> list[str]:
    documents = manifests(AgentInstallation(token="", replicas=2))
    return [PLACES[each["apiVersion"], each["kind"]].path(each) for each in documents]


def deleted(api: ApiServer) -> list[str]:
    return [seen.target.decode() for seen in api.seen if seen.method == b"DELETE"]


async def test_another_cluster_is_refused_and_named(api: ApiServer) -> None:
    with pytest.raises(
        Failure, match=r"another cluster \(kube-system UID uid-1\) than m1 \(uid-2\): nothing was removed"
    ):
        await cleanup(api, uid="uid-2").check()


async def test_one_that_another_host_has_now_is_left_to_it(api: ApiServer) -> None:
    api.annotations = {"skerry.dev/host": THEIRS, "skerry.dev/host-name": "far"}
    with pytest.raises(Failure, match="m1 is a member of host 'far' now: nothing was removed"):
        await cleanup(api).check()


async def test_one_that_does_not_answer_is_told_before_anything_is_removed(api: ApiServer) -> None:
    made = cleanup(api)
    await api.__aexit__()
    with pytest.raises(Failure, match=r"cannot be asked which cluster it is: .*nothing was removed"):
        await made.check()
    await api.__aenter__()


async def test_an_agent_that_helm_installed_is_helms(api: ApiServer) -> None:
    metadata = {"labels": {"app.kubernetes.io/managed-by": "Helm"}}
    answers(api, BINDING, 200, {"metadata": metadata, "subjects": [{"namespace": "skerry-system"}]})
    with pytest.raises(Failure, match="was installed by Helm: go on with that: helm uninstall skerry-agent"):
        await cleanup(api).check()


async def test_an_agents_objects_go_the_pods_first_and_what_is_gone_is_no_error(api: ApiServer) -> None:
    for number, path in enumerate(agents()):
        answers(api, path, 404 if number % 2 else 200, {})
    answers(api, BINDING, 200, {"metadata": {}, "subjects": [{"namespace": "skerry-system"}]})
    made = cleanup(api)
    await made.check()
    assert deleted(api) == []
    assert await made.run(keep=False) == ["the agent is deleted in namespace skerry-system, which stays"]
    assert deleted(api)[0] == DEPLOYMENT
    assert set(deleted(api)) == set(agents())


async def test_what_the_hosts_services_left_goes_unless_it_is_to_stay(api: ApiServer) -> None:
    item = {"metadata": {"name": "skerry:edit", "namespace": "shop", "labels": {"skerry.dev/host": OURS}}}
    answers(api, f"{RBAC}/rolebindings", 200, {"metadata": {}, "items": [item]})
    answers(api, f"{RBAC}/namespaces/shop/rolebindings/skerry%3Aedit", 200, {})
    assert await cleanup(api, mode="direct").run(keep=True) == []
    assert deleted(api) == []
    assert await cleanup(api, mode="direct").run(keep=False) == []
    assert deleted(api)[0] == f"{RBAC}/namespaces/shop/rolebindings/skerry%3Aedit"
    assert deleted(api)[1:] == FOUR
    listed = [seen.target for seen in api.seen if b"labelSelector=skerry.dev%2Fhost%3Dhost-1" in seen.target]
    assert len(listed) == 3


async def test_the_account_of_a_direct_member_goes(api: ApiServer) -> None:
    item = {"metadata": {"name": "skerry-direct-1", "namespace": "skerry-system"}}
    answers(api, f"{ACCOUNT}/secrets", 200, {"metadata": {}, "items": [item]})
    answers(api, f"{ACCOUNT}/secrets/skerry-direct-1", 200, {})
    said = await cleanup(api, mode="direct").run(keep=True)
    assert said == ["the host's account is deleted in namespace skerry-system, which stays"]
    assert deleted(api) == [f"{ACCOUNT}/secrets/skerry-direct-1"]


async def test_the_mark_goes_and_anothers_stays(api: ApiServer) -> None:
    await cleanup(api, mode="direct").run(keep=True)
    marking = [seen for seen in api.seen if seen.method == b"PATCH"]
    assert b'"skerry.dev/host":null' in marking[0].body
    api.annotations = {"skerry.dev/host": THEIRS}
    await cleanup(api, mode="direct").run(keep=True)
    assert len([seen for seen in api.seen if seen.method == b"PATCH"]) == 1


async def test_what_cannot_be_deleted_is_named(api: ApiServer) -> None:
    refuses(api, DEPLOYMENT, Forbidden("you may not"))
    with pytest.raises(Failure, match="Deployment skerry-agent cannot be deleted there: you may not"):
        await cleanup(api).run(keep=False)
    refuses(api, f"{RBAC}/rolebindings", Forbidden("you may not"))
    with pytest.raises(Failure, match="rolebindings cannot be listed there: you may not"):
        await cleanup(api, mode="direct").run(keep=False)
    api.unmarkable = True
    with pytest.raises(Failure, match="the mark on namespace kube-system cannot be taken off"):
        await cleanup(api, mode="direct").run(keep=True)
