"""A cluster that is lent is clean, whatever the one before left on it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.kube import pool as lending
from tests.kube.member import Member
from tests.kube.pool import PLAIN, Pool
from tests.kube.provider import OwnClusters

pytestmark = [pytest.mark.kube, pytest.mark.timeout(180)]

_CRD = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "wrecks.sea.example"},
    "spec": {
        "group": "sea.example",
        "scope": "Namespaced",
        "names": {"plural": "wrecks", "singular": "wreck", "kind": "Wreck"},
        "versions": [
            {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
        ],
    },
}


@pytest.fixture(scope="module")
def pool(clusters: Pool, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    """One of its own: tests see its clusters end."""
    if not isinstance(clusters.provider, OwnClusters):
        pytest.skip("these clusters are not started here")
    made = Pool(OwnClusters(lambda line: None, os.environ), lambda: tmp_path_factory.mktemp("lent"))
    yield made
    made.close()


def _wrecked(member: Member) -> None:
    """Everything that a module of tests may forget, some of it with a finalizer that nobody takes away."""
    member.apply(_CRD)
    member.kubectl("wait", "--for=condition=Established", "crd/wrecks.sea.example", "--timeout=30s")
    held = {"finalizers": ["sea.example/held"]}
    member.apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "left"}},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "left", "namespace": "left"}},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "left", "namespace": "default", **held}},
        {"apiVersion": "sea.example/v1", "kind": "Wreck", "metadata": {"name": "left", "namespace": "default", **held}},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": "left"},
            "rules": [],
        },
    )
    member.kubectl("annotate", "namespace", "kube-system", "skerry.dev/host=left")


def test_what_was_left_is_gone_and_the_cluster_is_the_same(pool: Pool) -> None:
    with pool.lease(PLAIN) as first:
        _wrecked(first)
    with pool.lease(PLAIN) as second:
        assert second.uid == first.uid
        for kind in ("namespace", "crd", "clusterrole"):
            assert b"left" not in second.kubectl("get", kind, "--output=name")
            assert b"wrecks" not in second.kubectl("get", kind, "--output=name")
        assert b"left" not in second.kubectl("get", "configmap", "--all-namespaces", "--output=name")
        assert b"skerry" not in second.kubectl("get", "namespace", "kube-system", "--output=yaml")


def test_where_something_is_missing_a_new_cluster_is_lent(pool: Pool) -> None:
    with pool.lease(PLAIN) as first:
        first.kubectl("delete", "clusterrole", "view")
    with pool.lease(PLAIN) as second:
        assert second.uid != first.uid
        assert second.kubectl("get", "clusterrole", "view", "--output=name")


def test_where_more_is_left_than_a_new_cluster_costs_a_new_one_is_lent(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lending, "MANY", 3)
    maps = [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"left-{each}"}} for each in range(4)]
    for count, same in ((3, True), (4, False)):
        with pool.lease(PLAIN) as first:
            first.apply(*maps[:count])
        with pool.lease(PLAIN) as second:
            assert (second.uid == first.uid) is same
            assert b"left" not in second.kubectl("get", "configmap", "--output=name")


def test_one_that_does_not_answer_is_replaced(pool: Pool) -> None:
    with pool.lease(PLAIN) as first:
        (first.kubeconfig.parent / "pki" / "ca.crt").write_bytes(b"")
    with pool.lease(PLAIN) as second:
        assert second.uid != first.uid


def test_a_cluster_is_lent_to_one_at_a_time(pool: Pool) -> None:
    with pool.lease(PLAIN), pytest.raises(AssertionError, match="lent already"), pool.lease(PLAIN):
        pass
    assert pool.idle
