"""The host's chart on a real API server: taken strictly, run as its pods would be."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from tests.deploy.agentchart import NAMESPACE
from tests.deploy.hostchart import manifest
from tests.deploy.test_host_chart import MATRIX
from tests.kube.member import Member

pytestmark = pytest.mark.kube

ELSEWHERE = ("Certificate", "TLSRoute")
"""Kinds of other projects, which this API server has not."""


@pytest.fixture(params=["helm-3", "helm-4"])
def binary(request: pytest.FixtureRequest, helms: Mapping[str, Path]) -> Path:
    return helms[request.param]


def test_a_real_api_server_takes_all_of_it_strictly_and_admits_every_pod(
    binary: Path, plain_cluster: Member, tmp_path: Path
) -> None:
    enforce = {"pod-security.kubernetes.io/enforce": "restricted"}
    plain_cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": enforce}})
    for values in MATRIX.values():
        code, text, err = manifest(binary, values, tmp_path)
        assert code == 0, err
        objects = [each for each in yaml.safe_load_all(text) if each and each["kind"] not in ELSEWHERE]
        accounts = [each for each in objects if each["kind"] == "ServiceAccount"]
        plain_cluster.apply(*accounts)
        templates = {
            each["metadata"]["name"]: each["spec"]["template"]
            for each in objects
            if each["kind"] in ("Deployment", "StatefulSet")
        }
        for name, template in templates.items():
            document = {"apiVersion": "v1", "kind": "Pod", **template}
            spec = {**document["spec"], "volumes": [*document["spec"]["volumes"], {"name": "data", "emptyDir": {}}]}
            if name == "skerry-nats" and values.get("bus", {}).get("persistence", {}).get("enabled", True):
                document["spec"] = spec
            if "priorityClassName" in document["spec"]:
                del document["spec"]["priorityClassName"]  # of the cluster's administrator
            document["metadata"] = {**document["metadata"], "name": name, "namespace": NAMESPACE}
            objects.append(document)
        listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}).encode()
        said = plain_cluster.kubectl(
            "apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-", stdin=listed
        )
        for each in objects:
            assert f"/{each['metadata']['name']} serverside-applied (server dry run)".encode() in said
        plain_cluster.kubectl("delete", "serviceaccount", "-n", NAMESPACE, "-l", "skerry.dev/installed=host")
