"""A restore that is cut at any point is finished or undone later, and nothing is started on half of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from skerry.cli import bootstrap, restoring, state
from skerry.cli.commands import archive, up
from skerry.cli.commands import host as host_commands
from skerry.cli.failure import Failure
from skerry.cli.plan import UpOptions
from skerry.cli.state import Restoring, StateFile
from skerry.errors import ServiceUnavailable
from skerry.identity import x509
from skerry.identity.keyfiles import make_secrets_key
from skerry.storage.archive import Archive, ArchiveLine, Header
from skerry.storage.sealed import Keyring

FILE = Path("/backups/skerry.backup")
BEGAN = "2030-01-01T00:00:00Z"


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A host whose bus holds "before"."""
    path = tmp_path / "host"
    path.mkdir(mode=0o700)
    state.write(path, StateFile(format=1, version="0.1.0", uid="u"))
    hold(path / "nats", "before")
    return path


def hold(nats: Path, text: str) -> None:
    """Files of a bus."""
    (nats / "jetstream").mkdir(parents=True, exist_ok=True)
    (nats / "jetstream" / "data").write_text(text)


def held(host: Path) -> str:
    """What the bus holds."""
    data = host / "nats" / "jetstream" / "data"
    return data.read_text() if data.exists() else ""


def mark(host: Path) -> Restoring | None:
    found = state.read(host)
    assert found is not None
    return found.restoring


def attempt(host: Path, after: Callable[[], None], *, external: bool = False) -> None:
    """A restore that does `after` when it has changed the half of the store."""
    with restoring.kept_files(host, external=external):
        restoring.begin(host, FILE, BEGAN, external=external)
        hold(host / "nats", "half")
        after()


def lose_the_bus() -> None:
    raise ServiceUnavailable("the bus is away")


def void(_: object) -> None:
    """For a lambda."""


def cut_off(host: Path) -> None:
    """As a restore leaves it that was killed among its changes."""
    attempt(host, lambda: void(shutil.copytree(host, host.with_name("cut"))))
    shutil.rmtree(host)
    host.with_name("cut").rename(host)


def test_a_restore_that_ends_leaves_no_mark_and_a_copy(host: Path) -> None:
    with restoring.kept_files(host, external=False):
        restoring.begin(host, FILE, BEGAN, external=False)
        assert mark(host) == Restoring(file=str(FILE), began=BEGAN, copied=True)
        hold(host / "nats", "after")
    assert (held(host), mark(host)) == ("after", None)
    assert (host / restoring.BEFORE / "jetstream" / "data").read_text() == "before"
    restoring.check(host)


def test_a_restore_that_fails_leaves_the_store_as_it_was(host: Path) -> None:
    with pytest.raises(Failure, match="the store is as it was before"):
        attempt(host, lose_the_bus)
    assert (held(host), mark(host)) == ("before", None)


def test_what_was_cut_off_is_refused_naming_both_ways_out(host: Path) -> None:
    cut_off(host)
    with pytest.raises(Failure, match=f"restore {FILE}; or go back .* restore --undo"):
        restoring.check(host)


def test_what_was_cut_off_is_not_started(host: Path) -> None:
    cut_off(host)
    with pytest.raises(Failure, match="did not come to its end"):
        up._prepared(host, UpOptions())
    assert mark(host) is not None


def test_a_repeated_restore_keeps_the_copy_of_before_the_first(host: Path) -> None:
    cut_off(host)
    with restoring.kept_files(host, external=False):
        restoring.begin(host, FILE, BEGAN, external=False)
        hold(host / "nats", "after")
    assert (held(host), mark(host)) == ("after", None)
    assert (host / restoring.BEFORE / "jetstream" / "data").read_text() == "before"


def test_an_undo_puts_back_what_was_there(host: Path) -> None:
    cut_off(host)
    restoring.undo(host)
    assert (held(host), mark(host)) == ("before", None)
    with pytest.raises(Failure, match="nothing to undo"):
        restoring.undo(host)


def test_an_undo_where_nothing_was_there_leaves_nothing(host: Path) -> None:
    shutil.rmtree(host / "nats")
    cut_off(host)
    assert held(host) == "half"
    restoring.undo(host)
    assert (held(host), mark(host)) == ("", None)


@pytest.mark.parametrize("step", ["nothing moved", "the half moved away", "the copy moved back"])
def test_an_undo_that_is_cut_off_may_be_repeated(host: Path, step: str) -> None:
    cut_off(host)
    if step != "nothing moved":
        (host / "nats").rename(host / "nats.half-restored")
    if step == "the copy moved back":
        (host / restoring.BEFORE).rename(host / "nats")
    restoring.undo(host)
    assert (held(host), mark(host)) == ("before", None)
    assert not (host / "nats.half-restored").exists()


def test_a_copy_that_was_cut_off_is_made_anew(host: Path) -> None:
    hold(host / "nats.copying", "a part")
    with restoring.kept_files(host, external=False):
        hold(host / "nats", "after")
    assert (host / restoring.BEFORE / "jetstream" / "data").read_text() == "before"
    assert not (host / "nats.copying").exists()


def test_on_a_bus_of_somebody_elses_the_mark_stays_until_the_restore_is_repeated(host: Path) -> None:
    with pytest.raises(Failure, match="half restored: repeat it"):
        attempt(host, lose_the_bus, external=True)
    with pytest.raises(Failure, match=r"Repeat it: .* restore /backups/skerry\.backup$"):
        restoring.check(host)
    with pytest.raises(Failure, match="repeat the restore"):
        restoring.undo(host)
    with restoring.kept_files(host, external=True):
        restoring.begin(host, FILE, BEGAN, external=True)
    restoring.check(host)


# Other commands of several steps


def test_a_start_keeps_the_mark_when_the_version_changes(host: Path) -> None:
    state.write(
        host, StateFile(format=1, version="0.0.9", uid="u", restoring=Restoring(file="f", began="b", copied=True))
    )
    assert bootstrap._state(host, UpOptions()).restoring is not None
    assert mark(host) is not None


def test_a_migration_that_was_cut_while_it_put_its_copy_back_is_no_first_start(tmp_path: Path) -> None:
    (tmp_path / "host").mkdir()
    (tmp_path / "host.format-0").mkdir()
    with pytest.raises(Failure, match=r"mv .*host\.format-0 .*host"):
        bootstrap._state(tmp_path / "host", UpOptions())


def test_a_key_without_its_certificate_is_issued_again(tmp_path: Path) -> None:
    pki = tmp_path / "pki"
    ca = bootstrap.authority_of(pki, "host")
    bootstrap.issue(pki, ca, ("localhost",))
    (pki / "server.key").write_bytes(x509.issue_server(ca, ("localhost",)).key)
    before = (pki / "server.crt").read_bytes()
    bootstrap.issue(pki, ca, ("localhost",))
    after = (pki / "server.crt").read_bytes()
    assert before != after
    bootstrap.issue(pki, ca, ("localhost",))
    assert (pki / "server.crt").read_bytes() == after


def test_a_purge_leaves_no_half_of_a_state_and_takes_what_an_earlier_one_left(host: Path) -> None:
    left = host.with_name("host.deleting")
    hold(left, "keys")
    host_commands._purge(host.parent, host, [])
    assert not host.parent.exists()


@pytest.mark.parametrize("path", ["missing/skerry.backup", "."])
def test_a_backup_is_refused_before_it_is_taken_where_no_file_can_be(tmp_path: Path, path: str) -> None:
    from skerry.cli.commands.archive import backup

    with pytest.raises(Failure, match="name a file in a directory that exists"):
        backup(tmp_path / path, tmp_path / "state")


@pytest.mark.parametrize(("bucket", "service"), [("secrets", ""), ("appstore", "appstore"), ("sinks", "events")])
def test_a_backup_older_than_the_key_of_its_secrets_is_refused_until_that_key_is_there(
    tmp_path: Path, bucket: str, service: str
) -> None:
    make_secrets_key(tmp_path)
    keyring = Keyring(tmp_path / "secrets.key", service)
    line = ArchiveLine(bucket=bucket, key="member.a", data=keyring.seal("member.a", b"1"))
    other = ArchiveLine(bucket="resources", key="g.k._.a", value=msgspec.Raw(b"{}"))
    saved = Archive(header=Header(host="h", account="A", taken=BEGAN, buckets=[]), lines=[line, other])
    archive._check_readable(saved, keyring.path)
    old = keyring.path.read_bytes()
    keyring.rotate()
    archive._check_readable(saved, keyring.path)
    keyring.drop()
    with pytest.raises(
        Failure, match=r"1 secrets of this backup .* replaced since: .*secrets\.previous\.key, restore, then"
    ):
        archive._check_readable(saved, keyring.path)
    keyring.previous.write_bytes(old)
    archive._check_readable(saved, keyring.path)
