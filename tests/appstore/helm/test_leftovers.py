"""What an uninstallation leaves, and how it is deleted."""

from __future__ import annotations

import json
import shlex
from typing import Any

from services.appstore.helm.leftovers import MOST, Leftover, leftovers
from services.appstore.helm.manifest import ManifestObject, objects


def made(api: str, kind: str, name: str, annotations: dict[str, str] | None = None, **more: Any) -> ManifestObject:
    metadata = {"name": name, "annotations": annotations or {}}
    (only,) = objects(json.dumps({"apiVersion": api, "kind": kind, "metadata": metadata, **more}))
    return only


def stateful(**spec: Any) -> ManifestObject:
    return made("apps/v1", "StatefulSet", "db", spec={"volumeClaimTemplates": [{}], **spec})


SELECTOR = {"matchLabels": {"app": "db", "tier": "a"}}


def test_the_volumes_of_a_stateful_set_stay_and_are_chosen_by_its_labels() -> None:
    line = "kubectl -n shop delete persistentvolumeclaim -l app=db,tier=a"
    assert leftovers([stateful(selector=SELECTOR)], "shop") == (Leftover("Volumes", "volumes of StatefulSet/db", line),)
    assert leftovers([stateful()], "shop") == (Leftover("Volumes", "volumes of StatefulSet/db", ""),)


def test_volumes_that_go_with_it_do_not_stay() -> None:
    deleted = stateful(selector=SELECTOR, persistentVolumeClaimRetentionPolicy={"whenDeleted": "Delete"})
    assert leftovers([deleted, made("apps/v1", "StatefulSet", "db", spec={})], "shop") == ()
    assert leftovers([made("apps/v1", "StatefulSet", "db")], "shop") == ()


def test_what_its_chart_keeps_stays() -> None:
    kept = made("networking.k8s.io/v1", "Ingress", "front", {"helm.sh/resource-policy": "keep"})
    assert leftovers([kept, made("v1", "ConfigMap", "gone")], "shop", context="m1") == (
        Leftover("Kept", "Ingress/front", "kubectl --context m1 -n shop delete ingress.networking.k8s.io front"),
    )


def test_definitions_of_crds_stay_and_those_of_templates_do_not() -> None:
    definition = made("apiextensions.k8s.io/v1", "CustomResourceDefinition", "ships.sea.io")
    line = "kubectl delete customresourcedefinition.apiextensions.k8s.io ships.sea.io"
    assert leftovers([definition._replace(source="web/crds/ships.yaml")], "shop") == (
        Leftover("CustomResources", "CustomResourceDefinition/ships.sea.io", line),
    )
    assert leftovers([definition._replace(source="web/templates/ships.yaml")], "shop") == ()


def test_objects_of_hooks_stay_unless_they_are_deleted_when_they_have_succeeded() -> None:
    for policy, stays in (("", True), ("before-hook-creation", True), ("hook-succeeded,hook-failed", False)):
        hook = made("batch/v1", "Job", "migrate", {"helm.sh/hook": "pre-upgrade", "helm.sh/hook-delete-policy": policy})
        assert bool(leftovers([hook], "shop")) is stays, policy
    assert leftovers([made("v1", "Pod", "check", {"helm.sh/hook": "test"})], "shop") == ()


def test_a_namespace_that_was_made_for_it_stays() -> None:
    (only,) = leftovers([], "shop", created_namespace=True)
    assert only.command == "kubectl delete namespace shop"


def test_a_hostile_name_is_no_command() -> None:
    hostile = made("v1", "ConfigMap", "a; rm -rf /", {"helm.sh/resource-policy": "keep"})
    (only,) = leftovers([hostile], "shop")
    assert shlex.split(only.command)[-1] == "a; rm -rf /"


def test_a_name_is_there_once_and_not_all_are_listed() -> None:
    kept = [made("v1", "ConfigMap", f"c{n}", {"helm.sh/resource-policy": "keep"}) for n in range(MOST + 5)]
    assert len(leftovers([*kept, *kept], "shop")) == MOST
    assert len(leftovers([kept[0], kept[0]], "shop")) == 1
    unnamed = made("v1", "ConfigMap", "x", {"helm.sh/resource-policy": "keep"})
    assert leftovers([unnamed._replace(identity=unnamed.identity._replace(name=""))], "shop") == ()
