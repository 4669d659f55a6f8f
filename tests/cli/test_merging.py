"""Merging as kubectl does: ours is renewed and keeps what people added, and what is not ours is never touched."""

from __future__ import annotations

import base64
import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from skerry.cli import kubeconfig, merging
from skerry.cli.failure import Failure
from skerry.member.kubeconfig import SECTIONS

CA, OTHER_CA = (b"-----BEGIN CERTIFICATE-----\n%b\n-----END CERTIFICATE-----\n" % who for who in (b"ours", b"other"))
UID = "0b8c1c52-7c86-4f8f-9d55-3a1c1f1a2b3c"
BY_PATH = kubeconfig.build("skerry", ["m1"], server="https://h:8443", ca=CA, token="t")
OURS = kubeconfig.build("skerry", ["m1"], server="https://h:8443", ca=CA, token="t", uid=UID)
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


def test_merging_keeps_what_is_not_ours_and_the_mode(tmp_path: Path) -> None:
    path = _file(tmp_path / "c", THEIRS, 0o640)
    assert merging.merge(OURS, "", [path]) == [path]
    merged = yaml.safe_load(path.read_text())
    assert merged["preferences"] == {"colors": True}
    assert merged["current-context"] == "prod"
    assert [entry["name"] for entry in merged["contexts"]] == ["prod", "skerry", "skerry-m1"]
    assert path.stat().st_mode & 0o777 == 0o640


def test_merging_twice_changes_nothing_more(tmp_path: Path) -> None:
    path = _file(tmp_path / "c", THEIRS)
    merging.merge(OURS, "", [path])
    once = path.read_text()
    merging.merge(OURS, "", [path])
    assert path.read_text() == once


def test_new_entries_go_to_the_first_file_that_exists(tmp_path: Path) -> None:
    first, second = tmp_path / "first", _file(tmp_path / "second", THEIRS)
    assert merging.merge(OURS, "", [first, second]) == [second]
    assert not first.exists()


def test_where_no_file_exists_the_last_of_the_list_is_made(tmp_path: Path) -> None:
    last = tmp_path / "new" / "last"
    assert merging.merge(OURS, "skerry", [tmp_path / "first", last]) == [last]
    assert last.stat().st_mode & 0o777 == 0o600
    assert yaml.safe_load(last.read_text())["current-context"] == "skerry"


def test_an_entry_that_exists_is_changed_where_it_is(tmp_path: Path) -> None:
    first = _file(tmp_path / "first", THEIRS)
    second = _file(tmp_path / "second", OURS)
    renewed = kubeconfig.build("skerry", ["m1"], server="https://h:9", ca=CA, token="new", uid=UID)
    merging.merge(renewed, "", [first, second])
    assert yaml.safe_load(first.read_text()) == THEIRS
    assert yaml.safe_load(second.read_text())["users"][0]["user"]["token"] == "new"


def test_the_current_context_changes_where_it_is_set(tmp_path: Path) -> None:
    first, second = _file(tmp_path / "first", {"kind": "Config"}), _file(tmp_path / "second", THEIRS)
    merging.merge(OURS, "skerry-m1", [first, second])
    assert yaml.safe_load(second.read_text())["current-context"] == "skerry-m1"
    assert "current-context" not in yaml.safe_load(first.read_text())


def test_a_json_file_stays_json_and_a_link_stays_a_link(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text(json.dumps(THEIRS))
    link.symlink_to(target)
    merging.merge(OURS, "", [link])
    assert link.is_symlink()
    assert json.loads(target.read_text())["contexts"][1]["name"] == "skerry"


def test_a_lock_of_another_program_is_respected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merging, "LOCK_WAIT_S", 0.1)
    path = _file(tmp_path / "c", THEIRS)
    (tmp_path / "c.lock").touch()
    with pytest.raises(Failure, match=r"c\.lock exists"):
        merging.merge(OURS, "", [path])
    assert yaml.safe_load(path.read_text()) == THEIRS
    assert (tmp_path / "c.lock").exists()


def test_removing_takes_our_entries_only(tmp_path: Path) -> None:
    path = _file(tmp_path / "c", THEIRS)
    merging.merge(OURS, "skerry-m1", [path])
    assert merging.remove_ours(CA, [path]) == [path]
    assert yaml.safe_load(path.read_text()) == {**THEIRS, "current-context": ""}


def test_another_host_of_the_same_name_is_not_ours(tmp_path: Path) -> None:
    path = _file(tmp_path / "c", OURS)
    assert merging.remove_ours(b"another authority", [path]) == []
    assert yaml.safe_load(path.read_text()) == OURS


def _changed(document: dict[str, Any], section: str, name: str, **more: Any) -> dict[str, Any]:
    """The document with more in one entry."""
    made = copy.deepcopy(document)
    word = SECTIONS[section]
    next(entry for entry in made[section] if entry["name"] == name)[word].update(more)
    return made


def _found(path: Path, section: str, name: str) -> dict[str, Any]:
    found = kubeconfig.named(yaml.safe_load(path.read_text()), section, name)
    assert found is not None
    return found


ADDED: list[tuple[str, str, dict[str, Any]]] = [
    ("contexts", "skerry-m1", {"namespace": "shop"}),
    ("contexts", "skerry", {"extensions": [{"name": "x", "extension": {"a": 1}}]}),
    ("clusters", "skerry-m1", {"proxy-url": "socks5://localhost:1080"}),
    ("clusters", "skerry", {"tls-server-name": "localhost"}),
    ("clusters", "skerry-m1", {"disable-compression": True, "extensions": [{"name": "x", "extension": {}}]}),
    ("users", "skerry", {"as": "alice"}),
]


@pytest.mark.parametrize("old", [OURS, BY_PATH], ids=["by name", "by path"])
@pytest.mark.parametrize(("section", "name", "added"), ADDED, ids=[str(row[2]) for row in ADDED])
def test_what_people_added_to_our_entries_stays(
    tmp_path: Path, old: dict[str, Any], section: str, name: str, added: dict[str, Any]
) -> None:
    path = _file(tmp_path / "c", _changed(old, section, name, **added))
    renewed = kubeconfig.build("skerry", ["m1"], server="https://h:9", ca=CA, token="new", uid=UID)
    merging.merge(renewed, "", [path])
    wanted = kubeconfig.named(renewed, section, name)
    assert _found(path, section, name) == {**added, **(wanted or {})}
    assert _found(path, "users", "skerry")["token"] == "new"


def test_a_context_by_path_becomes_one_by_name_where_it_is_and_back(tmp_path: Path) -> None:
    path = _file(tmp_path / "c", BY_PATH)
    merging.merge(OURS, "", [path])
    assert yaml.safe_load(path.read_text()) == OURS
    merging.merge(BY_PATH, "", [path])
    assert yaml.safe_load(path.read_text()) == BY_PATH


def test_a_name_in_tls_of_peoples_own_stays_where_we_give_none_and_yields_to_the_members(tmp_path: Path) -> None:
    path = _file(tmp_path / "c", _changed(BY_PATH, "clusters", "skerry-m1", **{"tls-server-name": "localhost"}))
    merging.merge(BY_PATH, "", [path])
    assert _found(path, "clusters", "skerry-m1")["tls-server-name"] == "localhost"
    merging.merge(OURS, "", [path])
    assert _found(path, "clusters", "skerry-m1")["tls-server-name"] == f"m1.clusters.{UID}"


def test_an_authority_is_the_same_however_it_is_written(tmp_path: Path) -> None:
    text = base64.encodebytes(CA).decode()
    assert text != OURS["clusters"][0]["cluster"]["certificate-authority-data"]
    document = _changed(OURS, "clusters", "skerry", **{"certificate-authority-data": text, "proxy-url": "http://p"})
    path = _file(tmp_path / "c", document)
    merging.merge(OURS, "", [path])
    assert _found(path, "clusters", "skerry")["proxy-url"] == "http://p"


OF_OTHERS: list[tuple[str, dict[str, Any], str]] = [
    ("another host", kubeconfig.build("skerry", ["m1"], server="https://o", ca=OTHER_CA, token="precious", uid=UID),
     "cluster skerry in .*, cluster skerry-m1 in .*, context skerry in .*, context skerry-m1 in .*, user skerry in"),
    ("one member of another host", kubeconfig.build("skerry-m1", [], server="https://o", ca=OTHER_CA, token="precious"),
     "cluster skerry-m1 in .*, context skerry-m1 in"),
    ("a user of that name", {**THEIRS, "users": [{"name": "skerry", "user": {"token": "precious"}}]}, "user skerry in"),
    ("a user of another's contexts", {**THEIRS, "users": [{"name": "skerry", "user": {"token": "precious"}}],
      "contexts": [{"name": "prod", "context": {"cluster": "prod", "user": "skerry"}}]}, "user skerry in"),
    ("a cluster without an authority", {"clusters": [{"name": "skerry", "cluster": {"server": "https://o"}}]}, "cluster skerry in"),
    ("an authority that is none", {"clusters": [{"name": "skerry", "cluster": {"certificate-authority-data": "%"}}]}, "cluster skerry in"),
    ("a context of another cluster", {**THEIRS, "contexts": [{"name": "skerry-m1", "context": {"cluster": "prod", "user": "me"}}]},
     "context skerry-m1 in"),
]  # fmt: skip


@pytest.mark.parametrize(("row", "document", "named"), OF_OTHERS, ids=[row[0] for row in OF_OTHERS])
@pytest.mark.parametrize("beside", [False, True], ids=["alone", "in another file"])
def test_entries_of_others_are_refused_by_name_and_nothing_changes(
    tmp_path: Path, row: str, document: dict[str, Any], named: str, beside: bool
) -> None:
    del row
    paths = [_file(tmp_path / "c", document)]
    if beside:
        paths.insert(0, _file(tmp_path / "first", {"kind": "Config"}))
    before = [path.read_bytes() for path in paths]
    with pytest.raises(Failure, match=rf"(?s){named}.*--name NAME") as caught:
        merging.merge(OURS, "skerry", paths)
    assert caught.value.code == 1
    assert [path.read_bytes() for path in paths] == before
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in paths)


@pytest.mark.parametrize("old", [OURS, BY_PATH], ids=["by name", "by path"])
@pytest.mark.parametrize("prefix", ["skerry-m1", "prod"])
def test_a_name_is_never_given_another_meaning(tmp_path: Path, old: dict[str, Any], prefix: str) -> None:
    """The host merged under a name that people use for one of its members."""
    mine = {"name": "prod", "context": {"cluster": "skerry-m1", "user": "skerry"}}
    path = _file(tmp_path / "c", {**old, "contexts": [*old["contexts"], mine]})
    before = path.read_bytes()
    again = kubeconfig.build(prefix, ["m1"], server="https://h:8443", ca=CA, token="t", uid=UID)
    with pytest.raises(Failure, match=f"context {prefix} in" if prefix == "prod" else f"cluster {prefix} in"):
        merging.merge(again, "", [path])
    assert path.read_bytes() == before


def test_a_host_that_everybody_trusts_is_told_by_its_address(tmp_path: Path) -> None:
    first, second = (kubeconfig.build("skerry", ["m1"], server=f"https://{host}", ca=b"", token="t") for host in "ab")
    path = _file(tmp_path / "c", first)
    merging.merge(first, "", [path])
    with pytest.raises(Failure, match="cluster skerry in"):
        merging.merge(second, "", [path])
    assert yaml.safe_load(path.read_text()) == first


def test_under_another_name_both_hosts_fit_into_one_file(tmp_path: Path) -> None:
    other = kubeconfig.build("skerry", ["m1"], server="https://o", ca=OTHER_CA, token="precious", uid=UID)
    path = _file(tmp_path / "c", other)
    merging.merge(kubeconfig.build("mine", ["m1"], server="https://h", ca=CA, token="t", uid=UID), "mine", [path])
    assert _found(path, "users", "skerry") == {"token": "precious"}
    assert _found(path, "contexts", "mine-m1") == {"cluster": "mine-m1", "user": "mine"}


def test_a_context_that_leads_nowhere_leads_to_us_again(tmp_path: Path) -> None:
    lost = {"contexts": [{"name": "skerry-m1", "context": {"cluster": "skerry-m1", "user": "x", "namespace": "shop"}}]}
    path = _file(tmp_path / "c", lost)
    merging.merge(OURS, "", [path])
    assert _found(path, "contexts", "skerry-m1") == {"cluster": "skerry-m1", "user": "skerry", "namespace": "shop"}


def test_ours_is_ours_across_files(tmp_path: Path) -> None:
    """Clusters in one file, users and contexts in another: as KUBECONFIG allows."""
    first = _file(tmp_path / "first", {"clusters": OURS["clusters"]})
    second = _file(
        tmp_path / "second", {"contexts": OURS["contexts"], "users": OURS["users"], "current-context": "skerry"}
    )
    renewed = kubeconfig.build("skerry", ["m1"], server="https://h:9", ca=CA, token="new", uid=UID)
    assert merging.merge(renewed, "", [first, second]) == [first, second]
    assert _found(second, "users", "skerry") == {"token": "new"}
    assert merging.remove_ours(CA, [first, second]) == [first, second]
    assert yaml.safe_load(second.read_text()) == {"contexts": [], "users": [], "current-context": ""}
