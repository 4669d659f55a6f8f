"""Replacing a key of an authority: between any two steps whoever reads the files has keys that are believed."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from skerry.errors import BadRequest, Conflict
from skerry.identity import jwt, nkey
from skerry.identity.federation import Authority
from skerry.identity.keyfiles import NAMES, KeyFiles
from skerry.identity.nkey import KeyPair

Step = Callable[[KeyFiles, str], None]


@pytest.fixture
def files(tmp_path: Path) -> KeyFiles:
    Authority.create("isle").save(tmp_path / "keys")
    return KeyFiles(tmp_path / "keys")


def root(files: KeyFiles) -> KeyPair:
    return nkey.from_seed((files.directory / "root" / "operator.nk").read_bytes())


def nobody() -> KeyPair:
    raise AssertionError("the root seed is not needed")


def begin(files: KeyFiles, name: str) -> None:
    files.begin(name, (lambda: root(files)) if name == "signing" else nobody, 1.0)


STEPS: tuple[Step, ...] = (begin, KeyFiles.use, KeyFiles.disbelieve, KeyFiles.end)


@pytest.mark.parametrize("name", NAMES)
def test_the_four_steps(files: KeyFiles, name: str) -> None:
    running = Authority.load(files.directory)
    old = running.active(name)
    assert running.believed(name) == (old,)
    begin(files, name)
    new = files.public().replacements[name].new
    for authority in (running, Authority.load(files.directory)):
        assert (authority.active(name), authority.believed(name)) == (old, (old, new))
    files.use(name)
    assert (running.active(name), running.believed(name)) == (new, (old, new))
    files.disbelieve(name)
    assert (running.active(name), running.believed(name)) == (new, (new,))
    files.end(name)
    assert (running.active(name), running.believed(name)) == (new, (new,))
    assert files.public().replacements == {}
    assert new != old


@pytest.mark.parametrize("name", NAMES)
def test_each_step_may_be_repeated_by_who_does_not_know_that_it_was_done(files: KeyFiles, name: str) -> None:
    for step in STEPS:
        step(files, name)
        before, keys = files.public(), files.keys()
        step(KeyFiles(files.directory), name)
        assert (files.public(), files.keys()[name].public) == (before, keys[name].public)


def test_a_seed_that_was_made_before_the_cut_and_told_nobody_is_made_anew(files: KeyFiles) -> None:
    (files.directory / "host.next.nk").write_bytes(nkey.create(nkey.KeyType.ACCOUNT).seed)
    assert Authority.load(files.directory).believed("host") == (Authority.load(files.directory).active("host"),)
    begin(files, "host")
    files.use("host")
    assert Authority.load(files.directory).active("host") == files.public().replacements["host"].new
    assert stat.S_IMODE((files.directory / "host.nk").stat().st_mode) == 0o600


def test_keys_are_replaced_side_by_side(files: KeyFiles) -> None:
    for step in STEPS:
        for name in ("host", "sys"):
            step(files, name)
    assert files.public().replacements == {}


def test_accounts_and_the_operator_name_both_keys_while_one_is_replaced(files: KeyFiles) -> None:
    authority = Authority.load(files.directory)

    def named() -> tuple[list[str], list[str], list[str]]:
        scopes = jwt.decode(authority.sys_jwt).nats["signing_keys"]
        operator = jwt.verify(authority.public.operator_jwt, frozenset((authority.public.operator,)))
        host = jwt.decode(authority.host_jwt).nats["signing_keys"]
        return list(operator.nats["signing_keys"]), list(host), [each["key"] for each in scopes]

    for step in STEPS:
        for name in ("signing", "host", "sys"):
            step(files, name)
        assert named() == tuple(list(authority.believed(name)) for name in ("signing", "host", "sys"))
    assert jwt.decode(authority.host_jwt).iss == authority.active("signing")


def test_an_account_is_signed_anew_as_it_is(files: KeyFiles) -> None:
    authority = Authority.load(files.directory)
    stone = authority.tombstone("gone", nkey.create(nkey.KeyType.ACCOUNT).public)
    begin(files, "signing")
    files.use("signing")
    before, after = jwt.decode(stone), jwt.decode(authority.anew(stone))
    assert (after.sub, after.name, after.nats, after.exp) == (before.sub, before.name, before.nats, before.exp)
    replaced = files.public().replacements["signing"]
    assert (before.iss, after.iss) == (replaced.old, replaced.new)


def test_what_a_running_process_has_holds_while_a_file_is_away_or_garbled(files: KeyFiles) -> None:
    authority = Authority.load(files.directory)
    before = authority.issuers
    (files.directory / "host.nk").rename(files.directory / "aside")
    assert authority.issuers == before
    (files.directory / "authority.json").write_text("{")
    assert authority.issuers == before
    with pytest.raises(BadRequest, match="is missing"):
        files.keys()


def test_keys_of_a_newer_skerry_are_refused(files: KeyFiles) -> None:
    text = (files.directory / "authority.json").read_text().replace('"format": 1', '"format": 2')
    (files.directory / "authority.json").write_text(text)
    with pytest.raises(Conflict, match="format 2"):
        files.public()


def test_the_root_of_another_operator_is_not_asked_for_other_keys_and_files_of_before_are_read(files: KeyFiles) -> None:
    text = (files.directory / "authority.json").read_text()
    assert '"replacements": {}' in text
    (files.directory / "authority.json").write_text(text.replace(',\n  "replacements": {}', ""))
    assert files.public().replacements == {}
