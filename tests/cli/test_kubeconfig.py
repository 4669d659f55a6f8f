"""Kubeconfigs: choosing contexts, and merging as kubectl does, without touching what is not ours."""

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
OURS = kubeconfig.build("skerry", ["m1"], server="https://h:8443", ca=CA, token="t")
THEIRS: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Config",
    "preferences": {"colors": True},
    "clusters": [{"name": "prod", "cluster": {"server": "https://prod"}}],
    "users": [{"name": "me", "user": {"token": "theirs"}}],
    "contexts": [{"name": "prod", "context": {"cluster": "prod", "user": "me"}}],
    "current-context": "prod",
}


def _file(path: Path, document: dict[str, Any], mode: int = 0o600) -> Path:
    path.write_text(yaml.safe_dump(document))
    path.chmod(mode)
    return path


def test_ours_has_a_context_for_the_host_and_one_for_each_member() -> None:
    servers = {entry["name"]: entry["cluster"]["server"] for entry in OURS["clusters"]}
    assert servers == {"skerry": "https://h:8443", "skerry-m1": "https://h:8443/clusters/m1"}
    assert [entry["name"] for entry in OURS["contexts"]] == ["skerry", "skerry-m1"]


def test_it_is_printed_as_json() -> None:
    assert json.loads(kubeconfig.text(OURS)) == OURS


def test_a_members_context_leads_to_its_host(tmp_path: Path) -> None:
    found = kubeconfig.context([_file(tmp_path / "c", OURS)], "skerry-m1")
    assert (found.server, found.token, found.ca) == ("https://h:8443", "t", CA)


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


def test_a_file_that_is_no_kubeconfig_is_named(tmp_path: Path) -> None:
    (tmp_path / "c").write_text("a: [b")
    with pytest.raises(Failure, match="neither JSON nor YAML"):
        kubeconfig.read(tmp_path / "c")


def test_merging_keeps_what_is_not_ours_and_the_mode(tmp_path: Path) -> None:
    path = _file(tmp_path / "c", THEIRS, 0o640)
    assert kubeconfig.merge(OURS, "", [path]) == [path]
    merged = yaml.safe_load(path.read_text())
    assert merged["preferences"] == {"colors": True}
    assert merged["current-context"] == "prod"
    assert [entry["name"] for entry in merged["contexts"]] == ["prod", "skerry", "skerry-m1"]
    assert path.stat().st_mode & 0o777 == 0o640


def test_merging_twice_changes_nothing_more(tmp_path: Path) -> None:
    path = _file(tmp_path / "c", THEIRS)
    kubeconfig.merge(OURS, "", [path])
    once = path.read_text()
    kubeconfig.merge(OURS, "", [path])
    assert path.read_text() == once


def test_new_entries_go_to_the_first_file_that_exists(tmp_path: Path) -> None:
    first, second = tmp_path / "first", _file(tmp_path / "second", THEIRS)
    assert kubeconfig.merge(OURS, "", [first, second]) == [second]
    assert not first.exists()


def test_where_no_file_exists_the_last_of_the_list_is_made(tmp_path: Path) -> None:
    last = tmp_path / "new" / "last"
    assert kubeconfig.merge(OURS, "skerry", [tmp_path / "first", last]) == [last]
    assert last.stat().st_mode & 0o777 == 0o600
    assert yaml.safe_load(last.read_text())["current-context"] == "skerry"


def test_an_entry_that_exists_is_changed_where_it_is(tmp_path: Path) -> None:
    first = _file(tmp_path / "first", THEIRS)
    second = _file(tmp_path / "second", OURS)
    renewed = kubeconfig.build("skerry", ["m1"], server="https://h:9", ca=CA, token="new")
    kubeconfig.merge(renewed, "", [first, second])
    assert yaml.safe_load(first.read_text()) == THEIRS
    assert yaml.safe_load(second.read_text())["users"][0]["user"]["token"] == "new"


def test_the_current_context_changes_where_it_is_set(tmp_path: Path) -> None:
    first, second = _file(tmp_path / "first", {"kind": "Config"}), _file(tmp_path / "second", THEIRS)
    kubeconfig.merge(OURS, "skerry-m1", [first, second])
    assert yaml.safe_load(second.read_text())["current-context"] == "skerry-m1"
    assert "current-context" not in yaml.safe_load(first.read_text())


def test_a_json_file_stays_json_and_a_link_stays_a_link(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text(json.dumps(THEIRS))
    link.symlink_to(target)
    kubeconfig.merge(OURS, "", [link])
    assert link.is_symlink()
    assert json.loads(target.read_text())["contexts"][1]["name"] == "skerry"


def test_a_lock_of_another_program_is_respected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubeconfig, "LOCK_WAIT_S", 0.1)
    path = _file(tmp_path / "c", THEIRS)
    (tmp_path / "c.lock").touch()
    with pytest.raises(Failure, match=r"c\.lock exists"):
        kubeconfig.merge(OURS, "", [path])
    assert yaml.safe_load(path.read_text()) == THEIRS
    assert (tmp_path / "c.lock").exists()


def test_removing_takes_our_entries_only(tmp_path: Path) -> None:
    path = _file(tmp_path / "c", THEIRS)
    kubeconfig.merge(OURS, "skerry-m1", [path])
    assert kubeconfig.remove_ours(CA, [path]) == [path]
    assert yaml.safe_load(path.read_text()) == {**THEIRS, "current-context": ""}


def test_another_host_of_the_same_name_is_not_ours(tmp_path: Path) -> None:
    path = _file(tmp_path / "c", OURS)
    assert kubeconfig.remove_ours(b"another authority", [path]) == []
    assert yaml.safe_load(path.read_text()) == OURS


def test_the_users_files_follow_the_variable() -> None:
    assert kubeconfig.files({"KUBECONFIG": "/a::/b:/a"}) == [Path("/a"), Path("/b")]
    assert kubeconfig.files({}) == [Path.home() / ".kube" / "config"]


def test_our_authority_is_embedded() -> None:
    assert base64.b64decode(OURS["clusters"][0]["cluster"]["certificate-authority-data"]) == CA
