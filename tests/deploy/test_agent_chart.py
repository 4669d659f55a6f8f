"""The agent's chart, rendered by Helm 3 and 4: what is in it, whatever the values, and what wrong values are told."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

import skerry
from services.agent.settings import Settings
from skerry import requirements
from skerry.demand import amounts
from skerry.member import account, bindings
from skerry.settings import PREFIX, RUNTIME_NAMES, load, variable
from tests.deploy.agentchart import CHART, NAMESPACE, ROOT, check_schema, rendered, template, values_table

pytestmark = pytest.mark.integration

Objects = dict[tuple[str, str], dict[str, Any]]
MATRIX: dict[str, dict[str, Any]] = {
    "nothing": {},
    "token": {"token": "skerry-join-x"},
    "secret": {"tokenSecret": "mine", "name": "m1"},
    "ceiling": {"ceiling": {"readOnly": True, "noExec": True, "namespaces": ["a", "b"]}},
    "access": {"ceiling": {"desired": "Access"}, "rbac": {"grants": False}},
    "replicas": {"replicas": 3, "podLabels": {"team": "sea"}, "podAnnotations": {"a": "b"}, "priorityClassName": "high"},
    "image": {"image": {"registry": "r.example:5000/x", "digest": "sha256:ab"}, "imagePullSecrets": [{"name": "pull"}]},
    "way": {"bus": {"servers": ["tls://a:443", "tls://b:443"], "ca": "-----BEGIN CERTIFICATE-----\nab\n"}},
    "placed": {
        "nodeSelector": {"a": "b"}, "tolerations": [{"operator": "Exists"}], "affinity": {"podAffinity": {}},
        "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule"}],
        "extraEnv": [{"name": "SKERRY_HEARTBEAT_S", "value": "5"}], "graceSeconds": 30, "logLevel": "debug",
        "networkPolicy": {"egress": [{"ports": [{"port": 443}]}]},
    },
    "open": {"networkPolicy": {"enabled": False}, "resources": {"limits": {"cpu": 2, "memory": "1Gi"}}},
}  # fmt: skip
LEFT_OUT = {
    "SKERRY_AGENT_STATE": "a directory of a machine: a pod has a Secret",
    "SKERRY_DRY_RUN": "a command for people",
    "SKERRY_OUTPUT": "of the dry run",
    "SKERRY_KUBECONFIG": "a pod has its service account",
    "SKERRY_CONTEXT": "of the kubeconfig",
    "SKERRY_CEILING_OFF": "each part of the ceiling is stated, also what is off",
    "SKERRY_TAKE_OVER": "said once, by whoever knows why (extraEnv)",
    "SKERRY_HEARTBEAT_S": "the host counts with its default",
    "SKERRY_LOOK_S": "for tests",
    "SKERRY_ECHO_S": "for tests",
    "SKERRY_SESSION_CAP_S": "the host counts with its default",
    "SKERRY_UPSTREAM_CONNECTIONS": "its default is what the resources carry",
    "SKERRY_PARENT_PID": "kubelet is the parent",
}


@pytest.fixture(params=["helm-3", "helm-4"])
def helm(request: pytest.FixtureRequest, helms: Mapping[str, Path]) -> Path:
    return helms[request.param]


@pytest.fixture
def objects(helm: Path, tmp_path: Path) -> Objects:
    """With a token."""
    return rendered(helm, MATRIX["token"], tmp_path)


def environment(objects: Objects) -> dict[str, str]:
    """What the container gets."""
    data: dict[str, str] = objects["ConfigMap", "skerry-agent"]["data"]
    return data


def spec(objects: Objects) -> dict[str, Any]:
    """Of the pods."""
    found: dict[str, Any] = objects["Deployment", "skerry-agent"]["spec"]["template"]["spec"]
    return found


@pytest.mark.parametrize("values", MATRIX)
def test_the_same_values_give_the_same_bytes(helm: Path, values: str, tmp_path: Path) -> None:
    one, other = (template(helm, MATRIX[values], tmp_path) for _ in range(2))
    assert (one.returncode, one.stdout) == (0, other.stdout), one.stderr


@pytest.mark.parametrize("values", MATRIX)
def test_there_is_one_image_no_hook_and_the_labels_by_which_it_is_seen(helm: Path, values: str, tmp_path: Path) -> None:
    objects = rendered(helm, MATRIX[values], tmp_path)
    for each in objects.values():
        labels, annotations = each["metadata"]["labels"], each["metadata"].get("annotations", {})
        assert labels["skerry.dev/installed"] == "agent"
        assert labels["app.kubernetes.io/part-of"] == "skerry"
        assert "app.kubernetes.io/managed-by" not in labels, "it is Helm's, who writes it"
        assert not [name for name in annotations if "hook" in name]
    pod = spec(objects)
    assert [name for name in pod if name.endswith("ontainers")] == ["containers"]
    assert len(pod["containers"]) == 1
    image = "r.example:5000/x/skerry-agent@sha256:ab" if values == "image" else f"skerry-agent:{skerry.__version__}"
    assert pod["containers"][0]["image"] == image


def test_templates_ask_for_nothing_that_differs_from_time_to_time() -> None:
    text = "".join(path.read_text() for path in sorted((CHART / "templates").iterdir()))
    actions = re.findall(r"{{(?!- /\*).*?}}", text, re.S)
    assert not [
        each for each in actions if re.search(r"\b(lookup|rand\w+|gen\w*(Cert|CA|Key)\w*|now|uuidv4|htpasswd)\b", each)
    ]
    assert not (CHART / "charts").exists()
    assert not (CHART / "crds").exists()


def test_the_agents_rules_are_those_of_its_account_and_no_other(helm: Path, tmp_path: Path) -> None:
    for grants in (True, False):
        objects = rendered(helm, {"rbac": {"grants": grants}}, tmp_path)
        assert ordered(objects["ClusterRole", "skerry:agent"]["rules"]) == ordered(account.rules(grants=grants))
        assert objects["Role", "skerry-agent"]["rules"] == [
            {
                "apiGroups": [""],
                "resources": ["secrets"],
                "resourceNames": ["skerry-agent-state"],
                "verbs": ["get", "update"],
            }
        ]


def ordered(rules: list[dict[str, list[str]]]) -> list[str]:
    return sorted(json.dumps({key: sorted(values) for key, values in rule.items()}, sort_keys=True) for rule in rules)


def test_the_four_bindings_are_those_that_joining_makes(objects: Objects) -> None:
    for role in ("view", "edit", "admin", "cluster-admin"):
        made, wanted = objects["ClusterRoleBinding", f"skerry:{role}"], bindings.binding(role)
        assert bindings.is_right(role, made)
        assert (made["roleRef"], made["subjects"]) == (wanted["roleRef"], wanted["subjects"])


@pytest.mark.parametrize("values", MATRIX)
def test_the_environment_makes_settings_with_the_whole_ceiling(helm: Path, values: str, tmp_path: Path) -> None:
    given = environment(rendered(helm, MATRIX[values], tmp_path))
    assert given["SKERRY_STRICT"] == "1"
    settings = load(Settings, given)
    assert settings.secret == (NAMESPACE, "skerry-agent-state")
    assert settings.says_ceiling
    said = MATRIX[values].get("ceiling", {})
    assert settings.ceiling.read_only is said.get("readOnly", False)
    assert settings.ceiling.no_exec is said.get("noExec", False)
    assert settings.ceiling.namespaces == said.get("namespaces", [])
    assert settings.ceiling.desired == (said.get("desired") or ("Access" if said.get("readOnly") else "All"))
    way = MATRIX[values].get("bus", {"servers": [], "ca": ""})
    assert (list(settings.bus_servers), settings.bus_ca) == (way["servers"], way["ca"])
    assert (settings.token_file is not None) == (values in {"token", "secret"})


def test_every_setting_is_set_or_left_out_for_a_reason(objects: Objects) -> None:
    known = {variable(field.name) for field in msgspec.structs.fields(Settings)} | set(RUNTIME_NAMES)
    given = {name for name in environment(objects) if name.startswith(PREFIX)}
    assert (given | set(LEFT_OUT), given & set(LEFT_OUT)) == (known, set())


def test_resources_are_those_of_the_requirements(objects: Objects) -> None:
    resources, table = spec(objects)["containers"][0]["resources"], requirements.workload("agent")
    assert amounts(resources["limits"]) == table.limits
    assert amounts(resources["requests"]).items() <= table.requests.items()
    assert objects["Deployment", "skerry-agent"]["spec"]["replicas"] == table.replicas


def test_a_pod_may_nothing_that_it_does_not_need(objects: Objects) -> None:
    pod = spec(objects)
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["runAsUser"] == 65532
    assert pod["containers"][0]["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    assert pod["enableServiceLinks"] is False
    assert objects["ServiceAccount", "skerry-agent"]["automountServiceAccountToken"] is False
    assert objects["NetworkPolicy", "skerry-agent"]["spec"]["policyTypes"] == ["Ingress"]
    assert "ingress" not in objects["NetworkPolicy", "skerry-agent"]["spec"]


def test_a_pod_gets_the_grace_that_the_agent_gives(helm: Path, tmp_path: Path) -> None:
    objects = rendered(helm, MATRIX["placed"], tmp_path)
    assert spec(objects)["terminationGracePeriodSeconds"] > float(environment(objects)["SKERRY_GRACE_S"]) + 10


def test_the_state_is_made_empty_so_that_no_upgrade_touches_it(objects: Objects) -> None:
    assert not {"data", "stringData"} & objects["Secret", "skerry-agent-state"].keys()
    assert base64.b64decode(objects["Secret", "skerry-agent-token"]["data"]["token"]) == b"skerry-join-x"


def test_another_token_or_setting_rolls_the_pods_and_replicas_do_not(helm: Path, tmp_path: Path) -> None:
    def mark(**values: Any) -> Any:
        return rendered(helm, values, tmp_path)["Deployment", "skerry-agent"]["spec"]["template"]

    first = mark(token="a")
    assert mark(token="b") != first
    assert mark(token="a", ceiling={"readOnly": True}) != first
    assert mark(token="a", replicas=2) == first


def test_replicas_have_a_budget_for_disruptions_and_one_has_none(helm: Path, tmp_path: Path) -> None:
    for replicas in (1, 2, 3):
        objects = rendered(helm, {"replicas": replicas}, tmp_path)
        assert (("PodDisruptionBudget", "skerry-agent") in objects) == (replicas > 1)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"token": "SECRET-a", "tokenSecret": "mine"}, "/tokenSecret"),
        ({"tokne": "SECRET-a"}, "tokne"),
        ({"token": 7}, "/token"),
        ({"token": ["SECRET-a"]}, "/token"),
        ({"replicas": 4}, "/replicas"),
        ({"replicas": "2"}, "/replicas"),
        ({"ceiling": {"readonly": True}}, "readonly"),
        ({"ceiling": {"desired": "Some"}}, "/ceiling/desired"),
        ({"ceiling": {"namespaces": ["*"]}}, "/ceiling/namespaces/0"),
        ({"bus": {"servers": ["nats://h:4222"]}}, "/bus/servers/0"),
        ({"image": {"pullPolicy": "Sometimes"}}, "/image/pullPolicy"),
        ({"graceSeconds": 0}, "/graceSeconds"),
    ],
    ids=str,
)
def test_wrong_values_are_told_by_their_place_and_no_secret_is_printed(
    helm: Path, values: dict[str, Any], says: str, tmp_path: Path
) -> None:
    done = template(helm, values, tmp_path)
    assert done.returncode != 0
    assert says in done.stderr
    assert "SECRET-a" not in done.stderr + done.stdout


def test_every_value_is_described_and_has_the_default_of_the_chart() -> None:
    check_schema(CHART)
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert "pattern" not in schema["properties"]["token"], "helm prints the value"


def test_the_documentation_has_the_table_of_the_schema() -> None:
    assert values_table() in (ROOT / "docs" / "agent.md").read_text()


def test_the_chart_has_the_version_of_what_it_installs() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["version"] == chart["appVersion"] == skerry.__version__
    assert chart["kubeVersion"] == f">={requirements.oldest_kubernetes()}.0-0"
    assert chart.get("dependencies") is None


def test_the_documentation_has_the_rights_rule_by_rule(objects: Objects) -> None:
    rules = [*objects["ClusterRole", "skerry:agent"]["rules"], *objects["Role", "skerry-agent"]["rules"]]
    assert sorted(rights_of_page()) == sorted(
        (
            each["verbs"],
            [group for group in each.get("apiGroups", []) if group],
            each.get("resources") or each["nonResourceURLs"],
            each.get("resourceNames", []),
        )
        for each in rules
    )


def rights_of_page() -> list[tuple[list[str], ...]]:
    """Verbs, API groups, resources and names of each rule in docs/agent.md."""
    page = (ROOT / "docs" / "agent.md").read_text()
    part = page[page.index("## Its rights") : page.index("## State")]
    rows = [line.split("|")[1:5] for line in part.splitlines() if line.startswith("| `")]
    return [tuple(re.findall(r"`([^`]+)`", cell) for cell in row) for row in rows]
