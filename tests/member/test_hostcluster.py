"""The host's own cluster, as its processes reach it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from skerry.errors import StatusError
from skerry.member.hostcluster import connected
from skerry.member.identity import Expected, TakenOver, WrongCluster
from skerry.member.kubeconfig import KubeconfigError
from tests.member.apiserver import ApiServer


def test_outside_of_a_pod_there_is_no_own_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(KubeconfigError, match="no way to the host's own cluster: no kubeconfig was given"):
        connected(None, connections=4)


async def test_a_kubeconfig_names_another_cluster_that_is_asked(tmp_path: Path) -> None:
    file = tmp_path / "k"
    with pytest.raises(KubeconfigError, match=str(file)):
        connected(file, connections=4)
    cluster = {"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}
    context = {"name": "x", "context": {"cluster": "c", "user": "u"}}
    user = {"name": "u", "user": {"token": "t"}}
    file.write_text(json.dumps({"current-context": "x", "clusters": [cluster], "contexts": [context], "users": [user]}))
    server = connected(file, connections=4)
    with pytest.raises(StatusError, match=re.escape("127.0.0.1:1")):
        await server.call("GET", "/version")
    await server.close()


async def test_a_token_that_is_renewed_in_its_file_is_used_and_the_old_one_is_not(
    api: ApiServer, tmp_path: Path
) -> None:
    """As kubelet renews that of a pod: the file is another one, and nobody restarts anything."""
    (file := tmp_path / "token").write_text(api.token)
    server = connected(api.kubeconfig(tokenFile=str(file)), connections=4)
    assert (await server.call("GET", "/readyz")).status == 200
    api.token = "renewed"
    file.write_text(api.token)
    assert (await server.call("GET", "/readyz")).status == 200
    assert api.seen[-1].all(b"authorization") == [b"Bearer renewed"]
    await server.close()


async def test_another_cluster_is_refused_with_the_command_that_says_that_the_host_was_moved(api: ApiServer) -> None:
    server = connected(api.kubeconfig(), connections=4, expected=Expected("uid-0", "host"))
    with pytest.raises(WrongCluster, match=re.escape("annotate cluster host --overwrite skerry.dev/cluster-uid=uid-1")):
        await server.call("GET", "/readyz")
    await server.close()


async def test_a_cluster_that_is_another_hosts_member_is_refused(api: ApiServer) -> None:
    api.annotations = {"skerry.dev/host": "other", "skerry.dev/host-name": "far"}
    server = connected(api.kubeconfig(), connections=4, expected=Expected(api.uid, "host", "ours"))
    with pytest.raises(TakenOver, match="is a member of another host, 'far'"):
        await server.call("GET", "/readyz")
    await server.close()
