"""The host's chart, rendered by Helm 3 and 4: what is in it, whatever the values, and what wrong values are told."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

import skerry
from services.appstore.service import SERVICE as APP_STORE
from services.audit.service import SERVICE as AUDIT
from services.events.service import SERVICE as EVENTS
from services.proxy.settings import ProxyLimits, ProxySettings
from services.registry.service import SERVICE as REGISTRY
from services.tenancy.service import SERVICE as TENANCY
from skerry import requirements
from skerry.cli.incluster.derived import SERVICES
from skerry.cli.incluster.keys import REGISTRY_FILES
from skerry.demand import amounts
from skerry.member import account, bindings
from skerry.service.settings import composed
from skerry.settings import PREFIX, RUNTIME_NAMES, Settings, load, variable
from tests.deploy.agentchart import NAMESPACE, ROOT, check_schema, values_table
from tests.deploy.hostchart import CHART, Objects, environment, manifest, objects_of, pods
from tests.deploy.test_agent_chart import ordered

pytestmark = pytest.mark.integration

MATRIX: dict[str, dict[str, Any]] = {
    "nothing": {},
    "addresses": {"name": "Isle of Skerries", "addresses": ["host.example:8443", "2001:db8::1"], "bus": {"addresses": ["192.0.2.1:4443"]}},
    "available": {"tower": {"replicas": 2}, "bus": {"replicas": 3}, "controllerManager": {"replicas": 3}},
    "external": {"bus": {"mode": "external", "external": {"servers": ["tls://n1:4222", "tls://n2:4222"], "caSecret": "bus-ca"}}, "keys": {"existingSecret": "mine"}},
    "external-own": {"bus": {"mode": "external", "replicas": 3, "addresses": ["n.example"], "external": {"servers": ["tls://n1:4222"]}}},
    "apart": {"standalone": ["registry", "tenancy"]},
    "apart-store": {"standalone": ["appstore", "events"], "tokenReview": False, "manageHost": False},
    "tls": {"tower": {"tls": {"existingSecret": "front"}, "clientCASecret": "people", "ingress": {"enabled": True, "className": "nginx", "hosts": ["host.example"], "tlsSecret": "front", "annotations": {"a": "b"}}}},
    "issuer": {"addresses": ["host.example:443", "192.0.2.1", "[2001:db8::1]:443"], "tower": {"tls": {"issuerRef": {"name": "le", "kind": "ClusterIssuer"}}, "gateway": {"enabled": True, "parentRefs": [{"name": "edge"}], "hostnames": ["host.example"]}}},
    "image": {"image": {"registry": "r.example:5000/x", "digest": "sha256:ab"}, "imagePullSecrets": [{"name": "pull"}], "bus": {"image": "r.example:5000/nats:2.15.1"}},
    "placed": {
        "controllerManager": {"nodeSelector": {"a": "b"}, "tolerations": [{"operator": "Exists"}], "priorityClassName": "high", "extraEnv": [{"name": "SKERRY_LOOK_S", "value": "5"}]},
        "tower": {"affinity": {"podAffinity": {}}, "podLabels": {"team": "sea"}, "podAnnotations": {"a": "b"}, "graceSeconds": 30, "limits": {"streams": 5, "budgetBytes": 201326592}, "extraEnv": [{"name": "SKERRY_X", "value": "1"}],
                  "service": {"type": "NodePort", "nodePort": 30443, "port": 8443, "annotations": {"c": "d"}, "externalTrafficPolicy": "Local"}},
        "bus": {"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule"}], "persistence": {"size": "20Gi", "storageClass": "fast"}, "resources": {"limits": {"memory": "512Mi"}},
                "service": {"loadBalancerClass": "x", "loadBalancerSourceRanges": ["192.0.2.0/24"], "nodePort": 30222}, "extraEnv": [{"name": "A", "value": "b"}]},
        "networkPolicy": {"egress": [{"ports": [{"port": 443}]}]}, "logLevel": "debug", "tracing": True,
    },
    "bare": {"networkPolicy": {"ingress": False}, "podDisruptionBudget": False, "bus": {"persistence": {"enabled": False}, "service": {"type": "ClusterIP"}}, "tower": {"service": {"type": "ClusterIP"}}},
}  # fmt: skip
LEFT_OUT = {
    "SKERRY_AGENT_TTL_S": "agents count with its default",
    "SKERRY_APP_STORE_FETCH_S": "its default is for the internet's repositories (extraEnv)",
    "SKERRY_APP_STORE_SECRETS_KEY_FILE": "the App Store has its own key alone",
    "SKERRY_APP_STORE_WORKERS": "its default is what the resources carry",
    "SKERRY_BUS_PUBLIC": "a file, which follows a load balancer's address",
    "SKERRY_APP_STORE_LOOK_S": "for tests",
    "SKERRY_EVENTS_SECRETS_KEY_FILE": "the service has its own key alone",
    "SKERRY_HOST_KUBECONFIG": "a pod has its service account",
    "SKERRY_LOOK_S": "for tests",
    "SKERRY_PROBE_S": "for tests",
    "SKERRY_PARENT_PID": "kubelet is the parent",
    "SKERRY_SECRETS_KEY_FILE": "it is with the keys",
    "SKERRY_TOKEN_REVIEW_KUBECONFIG": "a pod has its service account",
    "SKERRY_TRUST_ROOT": "a file, which follows the keys",
}
CODE: dict[str, Any] = {
    "registry": REGISTRY,
    "tenancy": TENANCY,
    "appstore": APP_STORE,
    "events": EVENTS,
    "audit": AUDIT,
}


@pytest.fixture(params=["helm-3", "helm-4"])
def helm(request: pytest.FixtureRequest, helms: Mapping[str, Path]) -> Path:
    return helms[request.param]


def settings_of(workload: str, values: dict[str, Any]) -> type[Settings]:
    """What the process of a workload reads."""
    apart = values.get("standalone", [])
    name = workload.removeprefix("skerry-")
    if name == "tower":
        return ProxySettings
    services = [name] if name in apart else [each for each in SERVICES if each not in apart]
    return composed({each: CODE[each].settings for each in services})


def ours(objects: Objects) -> dict[str, dict[str, Any]]:
    """Pods whose process is one of ours that stays."""
    return {name: pod for name, pod in pods(objects).items() if name not in ("skerry-nats", "skerry-test")}


@pytest.mark.parametrize("values", MATRIX)
def test_the_same_values_give_the_same_bytes(helm: Path, values: str, tmp_path: Path) -> None:
    one, other = (manifest(helm, MATRIX[values], tmp_path) for _ in range(2))
    assert (one[0], one[1]) == (0, other[1]), one[2]


@pytest.mark.parametrize("values", MATRIX)
def test_there_are_the_images_of_the_values_and_the_labels_by_which_all_is_seen(
    helm: Path, values: str, tmp_path: Path
) -> None:
    objects = objects_of(helm, MATRIX[values], tmp_path)
    for (kind, name), each in objects.items():
        labels, annotations = each["metadata"]["labels"], each["metadata"].get("annotations", {})
        assert labels["skerry.dev/installed"] == "host"
        assert labels["app.kubernetes.io/part-of"] == "skerry"
        assert "app.kubernetes.io/managed-by" not in labels, "it is Helm's, who writes it"
        hooks = {key: value for key, value in annotations.items() if "hook" in key}
        assert hooks.get("helm.sh/hook", "test") == "test"
        assert bool(hooks) == ((kind, name) == ("Pod", "skerry-test"))
    image = "r.example:5000/x/skerry@sha256:ab" if values == "image" else f"skerry:{skerry.__version__}"
    bus = MATRIX[values].get("bus", {}).get("image", image)
    for name, pod in pods(objects).items():
        for container in pod["containers"]:
            assert container["image"] == (bus if name == "skerry-nats" else image)
        assert all(each["image"] == image for each in pod.get("initContainers", ()))


def test_templates_ask_for_nothing_that_differs_from_time_to_time() -> None:
    text = "".join(path.read_text() for path in sorted((CHART / "templates").iterdir()))
    actions = re.findall(r"{{(?!- /\*).*?}}", text, re.S)
    assert not [
        each for each in actions if re.search(r"\b(lookup|rand\w+|gen\w*(Cert|CA|Key)\w*|now|uuidv4|htpasswd)\b", each)
    ]
    assert not (CHART / "charts").exists()
    assert not (CHART / "crds").exists()


@pytest.mark.parametrize("values", MATRIX)
def test_the_environment_of_each_process_makes_its_settings(helm: Path, values: str, tmp_path: Path) -> None:
    for workload, pod in ours(objects_of(helm, MATRIX[values], tmp_path)).items():
        variables = environment(pod)
        variables.pop("SKERRY_X", None)
        assert variables["SKERRY_STRICT"] == "1"
        settings: Any = load(settings_of(workload, MATRIX[values]), variables)
        assert settings.bus_servers == (MATRIX[values].get("bus", {}).get("external", {}).get("servers")
                                        or [f"tls://skerry-bus.{NAMESPACE}.svc:4222"])  # fmt: skip


@pytest.mark.parametrize("values", ["nothing", "apart", "apart-store", "tls"])
def test_every_setting_is_set_or_left_out_for_a_reason(helm: Path, values: str, tmp_path: Path) -> None:
    sometimes = {
        "SKERRY_RENEW": "the controller-manager's", "SKERRY_CLIENT_CA_FILE": "tower.clientCASecret",
        "SKERRY_MEMBERS_CERT_FILE": "tower.tls", "SKERRY_MEMBERS_KEY_FILE": "tower.tls",
    }  # fmt: skip
    for workload, pod in ours(objects_of(helm, MATRIX[values], tmp_path)).items():
        known = {variable(field.name) for field in msgspec.structs.fields(settings_of(workload, MATRIX[values]))}
        known |= RUNTIME_NAMES.keys()
        given = {name for name in environment(pod) if name.startswith(PREFIX)}
        assert given <= known
        assert known - given <= LEFT_OUT.keys() | sometimes.keys()
        assert not given & LEFT_OUT.keys()
    with_tls = environment(pods(objects_of(helm, MATRIX["tls"], tmp_path))["skerry-tower"])
    assert sometimes.keys() - {"SKERRY_RENEW"} <= with_tls.keys()


def test_resources_are_those_of_the_requirements(helm: Path, tmp_path: Path) -> None:
    objects = objects_of(helm, {}, tmp_path)
    for kind, name, container in (
        ("Deployment", "skerry-controller-manager", "controller-manager"),
        ("Deployment", "skerry-tower", "tower"),
        ("StatefulSet", "skerry-nats", "nats-server"),
    ):
        table, workload = requirements.workload(container), objects[kind, name]
        pod = workload["spec"]["template"]["spec"]
        assert [each["name"] for each in pod["containers"]] == [container]
        for each in (*pod["containers"], *pod.get("initContainers", ())):
            assert amounts(each["resources"]["limits"]) == table.limits
            assert amounts(each["resources"]["requests"]).items() <= table.requests.items()
        assert workload["spec"]["replicas"] == table.replicas


@pytest.mark.parametrize("values", MATRIX)
def test_a_pod_may_nothing_that_it_does_not_need(helm: Path, values: str, tmp_path: Path) -> None:
    objects = objects_of(helm, MATRIX[values], tmp_path)
    locked = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    for name, pod in pods(objects).items():
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["enableServiceLinks"] is False
        assert all(each["securityContext"] == locked for each in (*pod["containers"], *pod.get("initContainers", ())))
        assert objects["ServiceAccount", pod["serviceAccountName"]]["automountServiceAccountToken"] is False
        asks = {"skerry-controller-manager"}
        asks |= {"skerry-tower"} if MATRIX[values].get("manageHost", True) else set()
        asks |= {"skerry-registry", "skerry-tenancy"} if values == "apart" else set()
        assert pod["automountServiceAccountToken"] is (name in asks)
        assert not [each for each in json.dumps(pod).split() if "subPath" in each]
    assert (("NetworkPolicy", "skerry-tower") in objects) == (values != "bare")


def test_who_holds_which_keys(helm: Path, tmp_path: Path) -> None:
    """The root key is mounted by nobody, and the keys by whoever runs the registry, without that of the authority."""
    for values in MATRIX.values():
        objects = objects_of(helm, values, tmp_path)
        for name, pod in pods(objects).items():
            mounted = {
                each["secret"]["secretName"]: each["secret"] for each in pod.get("volumes", ()) if "secret" in each
            }
            assert "skerry-root" not in mounted
            keys = values.get("keys", {}).get("existingSecret", "skerry-keys")
            assert (keys in mounted) == (name == "skerry-registry")
            if keys in mounted:
                assert {each["key"] for each in mounted[keys]["items"]} == set(REGISTRY_FILES)
            assert ("skerry-admin" in mounted) == (
                name in ("skerry-test", "skerry-tenancy")
                or (name == "skerry-controller-manager" and "tenancy" not in values.get("standalone", ()))
            )


def test_the_bootstrap_may_what_it_does_and_no_more(helm: Path, tmp_path: Path) -> None:
    objects = objects_of(helm, MATRIX["apart"], tmp_path)
    rules = objects["Role", "skerry-bootstrap"]["rules"]
    assert [rule["verbs"] for rule in rules] == [["create"], ["get", "update"], ["get"], ["get"]]
    assert set(rules[1]["resourceNames"]) == {
        "skerry-nats", "skerry-controller-manager", "skerry-tower", "skerry-admin", "skerry-registry", "skerry-tenancy",
    }  # fmt: skip
    assert rules[2]["resourceNames"] == ["skerry-root", "skerry-keys"]
    own = objects_of(helm, MATRIX["external"], tmp_path)["Role", "skerry-bootstrap"]["rules"]
    assert own[2]["resourceNames"] == ["mine"]
    assert "*" not in json.dumps([each["rules"] for (kind, _), each in objects.items() if kind.endswith("Role")])


def test_cluster_wide_rights_have_one_holder_each(helm: Path, tmp_path: Path) -> None:
    def holders(values: dict[str, Any]) -> dict[str, str]:
        objects = objects_of(helm, values, tmp_path)
        assert {name for kind, name in objects if kind == "ClusterRole"} <= {
            name for kind, name in objects if kind == "ClusterRoleBinding"
        }
        return {
            name: each["subjects"][0]["name"] for (kind, name), each in objects.items() if kind == "ClusterRoleBinding"
        }

    groups = {f"skerry:{role}": f"skerry:{role}" for role in ("view", "edit", "admin", "cluster-admin")}
    host = {"skerry:host": "skerry-controller-manager"}
    managed = {"skerry:host-cluster": "skerry-controller-manager", "skerry:host-requests": "skerry-tower", **groups}
    assert holders({}) == {**host, **managed, "skerry:token-review": "skerry-controller-manager"}
    assert holders({"tokenReview": False, "manageHost": False}) == host
    assert holders(MATRIX["apart"]) == {
        "skerry:host": "skerry-controller-manager", "skerry:token-review": "skerry-tenancy",
        "skerry:host-cluster": "skerry-registry", "skerry:host-requests": "skerry-tower", **groups,
    }  # fmt: skip


def test_the_bindings_of_a_managed_host_are_those_that_joining_makes(helm: Path, tmp_path: Path) -> None:
    objects = objects_of(helm, MATRIX["apart"], tmp_path)
    for role in ("view", "edit", "admin", "cluster-admin"):
        assert bindings.is_right(role, objects["ClusterRoleBinding", f"skerry:{role}"])
    for name, rules in (("cluster", account.rules()), ("requests", account.front_door_rules())):
        assert ordered(objects["ClusterRole", f"skerry:host-{name}"]["rules"]) == ordered(rules)


def test_a_pod_gets_the_grace_that_its_process_gives(helm: Path, tmp_path: Path) -> None:
    for values in ("nothing", "placed"):
        pod = pods(objects_of(helm, MATRIX[values], tmp_path))["skerry-tower"]
        variables = environment(pod)
        given = float(variables["SKERRY_GRACE_S"]) + float(variables["SKERRY_LINGER_S"])
        assert pod["terminationGracePeriodSeconds"] > given + 10


def test_the_limits_of_the_front_door_are_all_of_its_own_with_their_defaults(helm: Path, tmp_path: Path) -> None:
    variables = environment(pods(objects_of(helm, {}, tmp_path))["skerry-tower"])
    default = load(ProxySettings, {key: variables[key] for key in variables if key.startswith("SKERRY_BUS")})
    given = load(ProxySettings, variables)
    for field in msgspec.structs.fields(ProxyLimits):
        if field.name not in ("grace_s", "linger_s"):
            assert variable(field.name) in variables
            assert getattr(given, field.name) == getattr(default, field.name)
    placed = load(ProxySettings, {k: v for k, v in environment(pods(objects_of(helm, MATRIX["placed"], tmp_path))["skerry-tower"]).items() if k != "SKERRY_X"})  # fmt: skip
    assert (placed.streams, placed.budget_bytes, placed.session_s) == (5, 201326592, default.session_s)


def test_several_servers_know_each_other_and_one_knows_none(helm: Path, tmp_path: Path) -> None:
    def servers(values: str) -> tuple[list[str], dict[str, Any], dict[str, Any]]:
        objects = objects_of(helm, MATRIX[values], tmp_path)
        workload = objects["StatefulSet", "skerry-nats"]["spec"]
        pod = workload["template"]["spec"]
        peers = [each for each in pod["initContainers"][0]["args"] if each.startswith("--peer")]
        return peers, pod, environment(pods(objects)["skerry-controller-manager"])

    peers, pod, manager = servers("available")
    assert peers == [f"--peer=skerry-nats-{number}.skerry-nats.{NAMESPACE}.svc" for number in range(3)]
    assert pod["topologySpreadConstraints"][0]["whenUnsatisfiable"] == "DoNotSchedule"
    assert "preStop" in pod["containers"][0]["lifecycle"]
    assert manager["SKERRY_REPLICAS"] == "3"
    peers, pod, manager = servers("nothing")
    assert (peers, "lifecycle" in pod["containers"][0], manager["SKERRY_REPLICAS"]) == ([], False, "1")


@pytest.mark.parametrize(("memory", "limit"), [("1Gi", "921MiB"), ("512Mi", "460MiB"), (1073741824, None)])
def test_the_memory_of_the_bus_is_told_to_its_collector(
    helm: Path, memory: str | int, limit: str | None, tmp_path: Path
) -> None:
    pod = pods(objects_of(helm, {"bus": {"resources": {"limits": {"memory": memory}}}}, tmp_path))["skerry-nats"]
    assert environment(pod).get("GOMEMLIMIT") == limit


def test_no_family_of_addresses_is_fixed(helm: Path, tmp_path: Path) -> None:
    for values in MATRIX.values():
        for (kind, _), each in objects_of(helm, values, tmp_path).items():
            if kind == "Service":
                assert each["spec"]["ipFamilyPolicy"] == "PreferDualStack"
                assert "ipFamilies" not in each["spec"]


def test_a_certificate_is_asked_for_every_address(helm: Path, tmp_path: Path) -> None:
    spec = objects_of(helm, MATRIX["issuer"], tmp_path)["Certificate", "skerry-tower-tls"]["spec"]
    assert spec["dnsNames"] == ["host.example"]
    assert spec["ipAddresses"] == ["192.0.2.1", "2001:db8::1"]
    assert spec["issuerRef"] == {"name": "le", "kind": "ClusterIssuer", "group": "cert-manager.io"}


def test_replicas_have_a_budget_for_disruptions_and_one_has_none(helm: Path, tmp_path: Path) -> None:
    def budgets(values: str) -> set[str]:
        return {name for kind, name in objects_of(helm, MATRIX[values], tmp_path) if kind == "PodDisruptionBudget"}

    assert budgets("nothing") == {"skerry-controller-manager"}
    assert budgets("available") == {"skerry-controller-manager", "skerry-tower", "skerry-nats"}
    assert budgets("bare") == set()


@pytest.mark.parametrize(
    ("values", "place"),
    [
        ({"naem": "x"}, "naem"),
        ({"name": "a,b"}, "/name"),
        ({"addresses": ["https://h"]}, "/addresses/0"),
        ({"addresses": ["h,i"]}, "/addresses/0"),
        ({"bus": {"addresses": ["tls://h"]}}, "/bus/addresses/0"),
        ({"bus": {"mode": "external"}}, "/bus/external/servers"),
        ({"bus": {"external": {"servers": ["nats://h:4222"]}}}, "/bus/external/servers/0"),
        ({"bus": {"replicas": 2}}, "/bus/replicas"),
        ({"standalone": ["proxy"]}, "/standalone/0"),
        ({"standalone": ["registry", "tenancy", "appstore", "events", "audit"]}, "/standalone"),
        ({"tower": {"limits": {"stream": 1}}}, "stream"),
        ({"tower": {"limits": {"streams": "many"}}}, "/tower/limits/streams"),
        ({"tower": {"replicas": 0}}, "/tower/replicas"),
        ({"tower": {"service": {"type": "ExternalName"}}}, "/tower/service/type"),
        ({"keys": {"root": "SECRET-a"}}, "root"),
        ({"image": {"pullPolicy": "Sometimes"}}, "/image/pullPolicy"),
    ],
    ids=str,
)
def test_wrong_values_are_told_by_their_place(helm: Path, values: dict[str, Any], place: str, tmp_path: Path) -> None:
    code, out, err = manifest(helm, values, tmp_path)
    assert code != 0
    assert place in err
    assert "SECRET-a" not in err + out


def test_every_value_is_described_and_has_the_default_of_the_chart() -> None:
    check_schema(CHART)


def test_the_documentation_has_the_table_of_the_schema() -> None:
    assert values_table(CHART) in (ROOT / "docs" / "install.md").read_text()


def test_the_chart_has_the_version_of_what_it_installs() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["version"] == chart["appVersion"] == skerry.__version__
    assert chart["kubeVersion"] == f">={requirements.oldest_kubernetes()}.0-0"
    assert chart.get("dependencies") is None
