"""Kubeconfigs: choosing contexts, and building ours."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from skerry.cli import kubeconfig
from skerry.cli.failure import Failure

CA = b"-----BEGIN CERTIFICATE-----\nours\n-----END CERTIFICATE-----\n"
UID = "0b8c1c52-7c86-4f8f-9d55-3a1c1f1a2b3c"
BY_PATH = kubeconfig.build("skerry", ["m1"], server="https://h:8443", ca=CA, token="t")
OURS = kubeconfig.build("skerry", ["m1"], server="https://h:8443", ca=CA, token="t", uid=UID)


def _file(path: Path, document: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(document))
    return path


def test_ours_has_a_context_for_the_host_and_one_for_each_member() -> None:
    assert [entry["name"] for entry in OURS["contexts"]] == ["skerry", "skerry-m1"]
    assert OURS["current-context"] == "skerry"


def test_a_member_has_the_hosts_address_and_a_name_of_its_own() -> None:
    host, member = (entry["cluster"] for entry in OURS["clusters"])
    assert (host["server"], host.get("tls-server-name")) == ("https://h:8443", None)
    assert (member["server"], member["tls-server-name"]) == ("https://h:8443", f"m1.clusters.{UID}")


def test_by_path_a_member_lies_below_the_host() -> None:
    servers = {entry["name"]: entry["cluster"]["server"] for entry in BY_PATH["clusters"]}
    assert servers == {"skerry": "https://h:8443", "skerry-m1": "https://h:8443/clusters/m1"}
    assert not any("tls-server-name" in entry["cluster"] for entry in BY_PATH["clusters"])


@pytest.mark.parametrize("uid", ["", UID])
def test_a_host_may_be_asked_for_another_name_than_its_address_has(tmp_path: Path, uid: str) -> None:
    document = kubeconfig.build("s", ["m1"], server="https://h", ca=CA, token="t", uid=uid, tls_name="skerry.ns.svc")
    host, member = (entry["cluster"]["tls-server-name"] for entry in document["clusters"])
    assert (host, member) == ("skerry.ns.svc", f"m1.clusters.{UID}" if uid else "skerry.ns.svc")
    context = kubeconfig.context([_file(tmp_path / "c", document)], "s")
    assert (context.server, context.server_name) == ("https://h", "skerry.ns.svc")


def test_it_is_printed_as_json() -> None:
    assert json.loads(kubeconfig.text(OURS)) == OURS


@pytest.mark.parametrize("document", [OURS, BY_PATH], ids=["by name", "by path"])
def test_a_members_context_leads_to_its_host(tmp_path: Path, document: dict[str, Any]) -> None:
    found = kubeconfig.context([_file(tmp_path / "c", document)], "skerry-m1")
    assert (found.server, found.server_name, found.token, found.ca) == ("https://h:8443", "", "t", CA)


@pytest.mark.parametrize("document", [OURS, BY_PATH], ids=["by name", "by path"])
def test_a_members_context_knows_its_member_and_what_the_host_is_called(
    tmp_path: Path, document: dict[str, Any]
) -> None:
    path = _file(tmp_path / "c", document)
    host, member = (kubeconfig.context([path], name) for name in ("skerry", "skerry-m1"))
    assert (host.member, host.prefix) == ("", "skerry")
    assert (member.member, member.prefix) == ("m1", "skerry")


def test_a_members_context_of_another_name_does_not_say_what_the_host_is_called(tmp_path: Path) -> None:
    document = {**OURS, "contexts": [{"name": "prod", "context": {"cluster": "skerry-m1", "user": "skerry"}}]}
    with pytest.raises(Failure, match=r"context prod is of member m1: .*--name NAME"):
        str(kubeconfig.context([_file(tmp_path / "c", document)], "prod").prefix)


def test_a_name_in_tls_that_people_gave_the_host_is_asked_for(tmp_path: Path) -> None:
    document = json.loads(json.dumps(OURS))
    document["clusters"][0]["cluster"]["tls-server-name"] = "host.example"
    assert kubeconfig.context([_file(tmp_path / "c", document)], "skerry").server_name == "host.example"


def test_the_current_context_is_the_default(tmp_path: Path) -> None:
    assert kubeconfig.context([_file(tmp_path / "c", OURS)], "").name == "skerry"


def test_an_unknown_context_names_those_that_exist(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="has no context 'x'; it has: skerry, skerry-m1"):
        kubeconfig.context([_file(tmp_path / "c", OURS)], "x")


def test_files_named_in_a_kubeconfig_are_relative_to_it(tmp_path: Path) -> None:
    document = json.loads(json.dumps(OURS))
    document["clusters"][0]["cluster"] = {"server": "https://h", "certificate-authority": "ca.pem"}
    document["users"][0]["user"] = {"tokenFile": "token"}
    (tmp_path / "ca.pem").write_bytes(CA)
    (tmp_path / "token").write_text("from-file\n")
    found = kubeconfig.context([_file(tmp_path / "c", document)], "skerry")
    assert (found.ca, found.token) == (CA, "from-file")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"contexts": 5}, "has no context 'skerry'; it has: none"),
        ({"contexts": [1, {"name": "skerry", "context": "x"}]}, "context skerry in .* names no cluster with a server"),
        ({"clusters": {"skerry": {}}}, "context skerry in .* names no cluster with a server"),
        ({"users": [{"name": "skerry", "user": {"tokenFile": 5}}]}, "names .*/5 as tokenFile, which cannot be read"),
        (
            {"clusters": [{"name": "skerry", "cluster": {"server": "https://h", "certificate-authority-data": "a"}}]},
            "certificate-authority-data in .* is not base64",
        ),
    ],
)
def test_a_kubeconfig_of_another_shape_is_refused_in_words(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(Failure, match=message):
        kubeconfig.context([_file(tmp_path / "c", OURS | changes)], "skerry")


def test_a_file_that_is_no_kubeconfig_is_named(tmp_path: Path) -> None:
    for content in (b"a: [b", b"{", b"- a", b"\xff\x80a"):
        (tmp_path / "c").write_bytes(content)
        with pytest.raises(Failure, match="c is not a kubeconfig"):
            kubeconfig.read(tmp_path / "c")


@pytest.mark.parametrize("content", ["", " \n", "# nothing yet\n"])
def test_a_file_that_says_nothing_is_an_empty_kubeconfig(tmp_path: Path, content: str) -> None:
    (tmp_path / "c").write_text(content)
    assert kubeconfig.read(tmp_path / "c") == {}


def test_the_users_files_follow_the_variable() -> None:
    assert kubeconfig.files({"KUBECONFIG": "/a::/b:/a"}) == [Path("/a"), Path("/b")]
    assert kubeconfig.files({}) == [Path.home() / ".kube" / "config"]


def test_our_authority_is_embedded() -> None:
    assert base64.b64decode(OURS["clusters"][0]["cluster"]["certificate-authority-data"]) == CA
