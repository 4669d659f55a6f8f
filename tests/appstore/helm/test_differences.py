"""Two manifests, as the difference that people read."""

from __future__ import annotations

import json
from typing import Any

from services.appstore.helm.differences import LONGEST_OBJECT, differences, shown
from services.appstore.helm.manifest import ManifestObject, objects


def made(kind: str, name: str, api: str = "v1", namespace: str | None = None, **more: Any) -> ManifestObject:
    metadata = {"name": name, "namespace": namespace}
    (only,) = objects(json.dumps({"apiVersion": api, "kind": kind, "metadata": metadata, **more}))
    return only


def test_what_is_the_same_is_not_there() -> None:
    assert differences([made("ConfigMap", "a")], [made("ConfigMap", "a")], "shop") == ()


def test_a_change_is_a_difference_of_lines() -> None:
    (only,) = differences(
        [made("ConfigMap", "a", data={"x": "1", "y": "one\ntwo\n"})],
        [made("ConfigMap", "a", data={"x": "1", "y": "one\n2\n"})],
        "shop",
    )
    assert (only.change, str(only.identity)) == ("Changed", "ConfigMap/a")
    lines = only.text.splitlines()
    assert lines[:2] == ["--- ConfigMap/a", "+++ ConfigMap/a"]
    assert [line for line in lines[2:] if line[0] in "+-"] == ["-    two", "+    2"]
    assert only.text.endswith("\n")


def test_what_is_new_and_what_is_gone() -> None:
    changes = differences([made("ConfigMap", "old")], [made("ConfigMap", "new")], "shop")
    assert [(each.change, each.identity.name) for each in changes] == [("Added", "new"), ("Removed", "old")]
    assert "+kind: ConfigMap" in changes[0].text
    assert "-kind: ConfigMap" in changes[1].text


def test_a_new_version_of_an_api_is_the_same_object_and_so_is_the_namespace_when_it_is_written() -> None:
    before, after = made("Deployment", "a", "apps/v1beta1"), made("Deployment", "a", "apps/v1", "shop")
    (only,) = differences([before], [after], "shop")
    assert only.change == "Changed"
    assert "-apiVersion: apps/v1beta1" in only.text


def test_values_of_secrets_are_left_out_and_that_they_differ_stays() -> None:
    before = made("Secret", "s", data={"same": "QQ==", "other": "QQ==", "gone": "QQ=="})
    after = made("Secret", "s", data={"same": "QQ==", "other": "Qg==", "new": "Qg=="}, stringData={"plain": "hunter2"})
    (only,) = differences([before], [after], "shop")
    assert "QQ==" not in only.text
    assert "hunter2" not in only.text
    changed = [line for line in only.text.splitlines()[2:] if line[0] in "+-"]
    assert changed == [
        "-  other: <masked, before>",
        "-  gone: <masked>",
        "+  other: <masked, after>",
        "+  new: <masked>",
        "+stringData:",
        "+  plain: <masked>",
    ]


def test_a_secret_that_is_malformed_is_masked_too() -> None:
    (only,) = differences([], [made("Secret", "s", data="hunter2")], "shop")
    assert "hunter2" not in only.text
    (only,) = differences([made("Secret", "s", data="hunter2")], [made("Secret", "s", data={"a": "hunter2"})], "shop")
    assert "hunter2" not in only.text
    assert shown(made("Secret", "s", data={"a": "x"}).content)["data"] == {"a": "<masked>"}
    foreign = made("Secret", "s", "sea.io/v1", data={"a": "x"}).content
    assert shown(foreign) == foreign


def test_secret_values_are_masked_where_a_chart_puts_them_elsewhere() -> None:
    (only,) = differences([], [made("ConfigMap", "a", data={"url": "http://u:hunter2@db"})], "shop", ["hunter2"])
    assert "http://u:<secret>@db" in only.text


def test_there_is_an_end_to_what_is_shown() -> None:
    long = made("ConfigMap", "a", data={f"k{n}": "x" for n in range(LONGEST_OBJECT)})
    (only,) = differences([], [long], "shop")
    assert only.text == "--- ConfigMap/a\n+++ ConfigMap/a\n(too long to show)\n"
    wide = [made("ConfigMap", f"c{n}", data={"x": "y" * 400_000}) for n in range(4)]
    texts = [each.text for each in differences([], wide, "shop")]
    assert [len(text) > 1000 for text in texts] == [True, True, False, False]
