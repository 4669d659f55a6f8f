"""Other people's credentials: what a view-only colleague and a stranger can and cannot do."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.e2e.federation import Host

pytestmark = [pytest.mark.kube, pytest.mark.node, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def viewer(federation: Host) -> Path:
    """Alice, who may look."""
    return federation.credential("alice", "skerry:view")


@pytest.fixture(scope="module")
def stranger(federation: Host) -> Path:
    """Mallory, who is known and may nothing."""
    return federation.credential("mallory")


def _get(kubeconfig: Path, path: str) -> tuple[int, bytes]:
    document = json.loads(kubeconfig.read_text())
    cluster = next(each for each in document["clusters"] if each["name"] == "skerry")["cluster"]
    context = ssl.create_default_context(cadata=_pem(cluster["certificate-authority-data"]))
    token = document["users"][0]["user"]["token"]
    request = urllib.request.Request(cluster["server"] + path, headers={"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request, context=context, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def _pem(data: str) -> str:
    import base64

    return base64.b64decode(data).decode()


def test_a_viewer_reads(federation: Host, viewer: Path) -> None:
    federation.kubectl("one", "create", "configmap", "for-alice")
    assert "for-alice" in federation.kubectl("one", "get", "configmaps", kubeconfig=viewer)


def test_a_viewer_cannot_write_and_is_told_who_they_are(federation: Host, viewer: Path) -> None:
    done = federation.kubectl_run("one", "create", "configmap", "by-alice", kubeconfig=viewer)
    assert done.returncode == 1
    assert b"skerry:alice" in done.stderr
    assert b"forbidden" in done.stderr


def test_a_viewer_cannot_impersonate(federation: Host, viewer: Path) -> None:
    done = federation.kubectl_run("one", "get", "configmaps", "--as=skerry:admin", kubeconfig=viewer)
    assert done.returncode == 1
    assert b"mpersonat" in done.stderr


def test_a_viewer_lists_clusters_and_cannot_remove_one(federation: Host, viewer: Path) -> None:
    assert "one" in federation.kubectl(None, "get", "clusters", "-o", "name", kubeconfig=viewer)
    done = federation.kubectl_run(None, "delete", "cluster", "one", kubeconfig=viewer)
    assert done.returncode == 1
    assert b"skerry:cluster-admin" in done.stderr


def test_a_stranger_gets_the_same_403_for_a_cluster_that_exists_and_one_that_does_not(
    federation: Host, stranger: Path
) -> None:
    known, unknown = (_get(stranger, f"/clusters/{name}/api") for name in ("one", "nil"))
    assert known[0] == unknown[0] == 403
    assert known[1].replace(b"one", b"nil") == unknown[1].replace(b"one", b"nil")
    assert b"skerry:view" in known[1]


def test_an_unknown_cluster_is_a_404_status(federation: Host, viewer: Path) -> None:
    code, body = _get(viewer, "/clusters/nil/api")
    status = json.loads(body)
    assert (code, status["kind"], status["reason"]) == (404, "Status", "NotFound")


def test_an_unknown_credential_is_a_401_status(federation: Host, viewer: Path, tmp_path: Path) -> None:
    document = json.loads(viewer.read_text())
    for each in document["users"]:
        each["user"] = {"token": "skerry_" + "A" * 43}
    forged = tmp_path / "forged.kubeconfig"
    forged.write_text(json.dumps(document))
    code, body = _get(forged, "/clusters/one/api")
    assert (code, json.loads(body)["reason"]) == (401, "Unauthorized")


def test_a_revoked_credential_is_refused(federation: Host) -> None:
    bob = federation.credential("bob", "skerry:view")
    assert _get(bob, "/clusters/one/version")[0] == 200
    name = next(line.split()[0] for line in federation.ok("credential", "list").splitlines() if " bob " in line)
    federation.ok("credential", "revoke", name)
    from tests.e2e.federation import eventually

    eventually(lambda: _get(bob, "/clusters/one/version")[0] == 401, "401 after the revocation", 5)
