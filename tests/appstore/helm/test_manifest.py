"""A manifest is taken apart as Helm and kubectl do it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from services.appstore.helm.engine import HelmError
from services.appstore.helm.limits import LARGEST_MANIFEST, MOST_OBJECTS, check_manifest
from services.appstore.helm.manifest import Identity, documents, objects

CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"


def test_objects_come_in_order_with_their_templates() -> None:
    manifest = f"""---
# Source: web/templates/a.yaml
{CONFIG}---
# Source: web/templates/empty.yaml
# nothing is wanted
---

--- # Source: none
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  namespace: shop
"""
    assert [(str(each.identity), each.identity.group, each.source) for each in objects(manifest)] == [
        ("ConfigMap/a", "", "web/templates/a.yaml"),
        ("Deployment/shop/web", "apps", ""),
    ]


def test_three_dashes_within_a_text_do_not_end_a_document() -> None:
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  x: |\n    ---\n    kind: Secret\n"
    assert [each.content["data"]["x"] for each in objects(text)] == ["---\nkind: Secret\n"]
    assert len(list(documents("---x: 1\n"))) == 1


def test_hooks_and_tests_are_told_apart() -> None:
    def annotated(name: str, annotations: dict[str, object]) -> str:
        return json.dumps(
            {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "annotations": annotations}}
        )

    manifest = "\n---\n".join(
        (
            annotated("plain", {}),
            annotated(
                "hook",
                {"helm.sh/hook": "pre-install, Pre-Upgrade", "helm.sh/hook-delete-policy": "hook-succeeded"},
            ),
            annotated("test", {"helm.sh/hook": "test-success"}),
            annotated("kept", {"helm.sh/resource-policy": "keep"}),
            annotated("odd", {"helm.sh/hook": 7}),
        )
    )
    seen = {each.identity.name: each for each in objects(manifest)}
    assert seen["hook"].events == ("pre-install", "pre-upgrade")
    assert seen["hook"].delete_policies == ("hook-succeeded",)
    assert {name for name, each in seen.items() if each.is_hook} == {"hook", "test"}
    assert {name for name, each in seen.items() if each.is_test} == {"test"}
    assert {name for name, each in seen.items() if each.kept} == {"kept"}


def test_lists_are_taken_apart() -> None:
    item = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}
    lists = [
        {"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": [item, item]},
        {"apiVersion": "v1", "kind": "ConfigMapList", "items": [item]},
        {"apiVersion": "v1", "kind": "List", "items": None},
        {"apiVersion": "v1", "kind": "ConfigMapList"},
    ]
    assert [len(objects(json.dumps(each))) for each in lists] == [2, 1, 0, 0]
    named = {"apiVersion": "x.io/v1", "kind": "AllowList", "metadata": {"name": "a"}, "items": []}
    assert [each.identity.kind for each in objects(json.dumps(named))] == ["AllowList"]


def test_what_helm_takes_leniently_is_taken_so() -> None:
    manifest = """
apiVersion: v1
kind: ConfigMap
metadata:
  name: !!str 12
  labels: &labels {app: web}
  labels: &labels {app: shop}
  annotations:
    <<: *labels
    own: x
"""
    (only,) = objects(manifest)
    assert only.identity == Identity("v1", "ConfigMap", "", "12")
    assert only.content["metadata"]["annotations"] == {"app": "shop", "own": "x"}


@pytest.mark.parametrize(
    ("manifest", "says"),
    [
        ("# Source: web/a.yaml\nx: [1", "web/a.yaml: while parsing"),
        ("- 1\n", "no metadata"),
        ("kind: ConfigMap\nmetadata: {name: a}\n", "no apiVersion, kind or name"),
        ("apiVersion: v1\nkind: ConfigMap\nmetadata: {}\n", "no apiVersion, kind or name"),
        ("apiVersion: v1\nkind: List\nitems: [1]\n", "no metadata"),
    ],
)
def test_what_is_no_object_is_refused(manifest: str, says: str) -> None:
    with pytest.raises(HelmError, match=says) as refused:
        objects(manifest)
    assert refused.value.reason == "RenderFailed"


def test_a_name_may_be_left_to_the_cluster() -> None:
    assert len(objects("apiVersion: v1\nkind: ConfigMap\nmetadata: {generateName: a-}\n")) == 1
    assert objects("null\n---\n~\n") == ()


def test_there_is_an_end_to_objects_however_they_are_packed() -> None:
    items = ",".join("{apiVersion: v1, kind: A, metadata: {name: a}}" for _ in range(MOST_OBJECTS + 1))
    for manifest in (f"apiVersion: v1\nkind: List\nitems: [{items}]", f"---\n{CONFIG}" * (MOST_OBJECTS + 1)):
        with pytest.raises(HelmError) as refused:
            objects(manifest)
        assert refused.value.reason == "ResourceLimit"


def test_what_a_program_prints_is_held_to_the_limits_without_reading_it() -> None:
    check_manifest(pieces(b"--- \n" * MOST_OBJECTS))
    for many in (b"names: {listKind: ShipList}\n", b"kind: List\n", "kind: \u00e9".encode()):
        check_manifest(pieces(many + b"apiVersion: v1\n" * 3000))
    for content, reason in (
        (b"---\n" * (MOST_OBJECTS + 1), "ResourceLimit"),
        (b'{"kind": "List", "items": [' + b'{"apiVersion": "v1"},' * 10_000 + b"]}", "ResourceLimit"),
        (b"kind: PodList\nitems:\n" + b"- apiVersion: v1\n" * 10_000, "ResourceLimit"),
        (b"x" * (LARGEST_MANIFEST + 1), "ResourceLimit"),
        (b"kind:" + b" " * 70_000 + b"List\nitems:\n" + b"- apiVersion: v1\n" * 10_000, "ResourceLimit"),
        (b"\xff", "RenderFailed"),
        (b"a: \xc3", "RenderFailed"),
    ):
        with pytest.raises(HelmError) as refused:
            check_manifest(pieces(content))
        assert refused.value.reason == reason


def pieces(content: bytes) -> Iterator[bytes]:
    """Words stand across their ends."""
    return (content[at : at + 997] for at in range(0, len(content), 997))
