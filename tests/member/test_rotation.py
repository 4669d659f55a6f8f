"""Files that somebody else renews in place are read again, and what is half written changes nothing."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from skerry.identity import x509
from skerry.localkube.certificates import CertificateAuthority
from skerry.member import kubeconfig
from skerry.member.kubeconfig import KubeconfigError, in_cluster
from skerry.member.rotation import Rotation
from tests.member.test_credentials import Clock

CONTEXTS = [{"name": name, "context": {"cluster": "c", "user": "u"}} for name in ("one", "two")]


class Disk:
    """A kubeconfig that names files, and the files."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.authority = CertificateAuthority(directory, "first")
        self.renew()
        self.ca = directory / "ca.crt"
        self.write(user={"client-certificate": "agent.crt", "client-key": "agent.key"})

    def renew(self) -> None:
        """Another client certificate with its key, under the same names."""
        self.authority.client("agent", "agent", ())

    def write(self, current: str = "one", **entry: Any) -> None:
        """The kubeconfig."""
        document = {
            "current-context": current,
            "contexts": CONTEXTS,
            "clusters": [{"name": "c", "cluster": {"server": "https://api:1", "certificate-authority": "ca.crt"}}],
            "users": [{"name": "u", "user": entry["user"]}],
        }
        (self.directory / "config").write_bytes(msgspec.json.encode(document))

    def load(self, context: str) -> kubeconfig.Target:
        return kubeconfig.load(str(self.directory / "config"), context)


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def rotation(disk: Disk, clock: Clock) -> Rotation:
    return Rotation(disk.load, "", clock, lambda: 1_800_000_000.0 + clock.now)


def test_it_is_due_each_minute(rotation: Rotation, clock: Clock) -> None:
    assert not rotation.due
    clock.now += 60
    assert rotation.due
    assert not rotation.look()
    assert not rotation.due


def test_a_renewed_certificate_is_taken_with_its_key(rotation: Rotation, disk: Disk) -> None:
    before = rotation.target
    disk.renew()
    assert rotation.look()
    assert rotation.target.tls.certificate == (disk.directory / "agent.crt").read_bytes() != before.tls.certificate
    assert rotation.target.tls.key == (disk.directory / "agent.key").read_bytes()


def test_a_renewed_authority_is_taken(rotation: Rotation, disk: Disk) -> None:
    other = x509.create_ca("second").certificate
    disk.ca.write_bytes(other)
    assert rotation.look()
    assert rotation.target.tls.ca == other


def test_a_certificate_whose_key_is_still_being_written_changes_nothing_yet(rotation: Rotation, disk: Disk) -> None:
    before, key = rotation.target, (disk.directory / "agent.key").read_bytes()
    disk.renew()
    renewed = (disk.directory / "agent.key").read_bytes()
    (disk.directory / "agent.key").write_bytes(key)
    assert not rotation.look()
    assert rotation.target == before
    assert "do not belong together" in rotation.told
    (disk.directory / "agent.key").write_bytes(renewed)
    assert rotation.look()
    assert rotation.target.tls.key == renewed
    assert "cannot be used" not in rotation.told


@pytest.mark.parametrize("file", ["ca.crt", "agent.crt", "agent.key", "config"])
@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: data[: len(data) // 2], lambda data: None])
def test_what_is_half_written_or_gone_keeps_what_was_read(
    rotation: Rotation, disk: Disk, file: str, damage: Callable[[bytes], bytes | None]
) -> None:
    path, before = disk.directory / file, rotation.target
    whole = path.read_bytes()
    damaged = damage(whole)
    path.unlink()
    if damaged is not None:
        path.write_bytes(damaged)
    assert not rotation.look()
    assert rotation.target == before
    path.write_bytes(whole)
    rotation.look()
    assert rotation.target == before


def test_an_empty_authority_is_never_the_systems(disk: Disk) -> None:
    disk.ca.write_bytes(b"")
    with pytest.raises(KubeconfigError, match=r"ca\.crt is empty"):
        disk.load("")


def test_another_current_context_is_no_other_cluster_for_an_agent_that_runs(rotation: Rotation, disk: Disk) -> None:
    disk.write("two", user={"token": "t"})
    assert rotation.look()
    assert rotation.target.context == "one"
    assert rotation.target.token == "t"


def test_files_that_a_renewed_kubeconfig_names_are_followed(rotation: Rotation, disk: Disk) -> None:
    (disk.directory / "token").write_text("t")
    disk.write(user={"tokenFile": "token"})
    assert rotation.look()
    assert str(disk.directory / "token") in rotation.told
    disk.write(user={"client-certificate": "agent.crt", "client-key": "agent.key"})
    assert rotation.look()
    disk.renew()
    assert rotation.look()


def test_a_file_that_was_touched_and_holds_the_same_changes_nothing(rotation: Rotation, disk: Disk) -> None:
    os.utime(disk.ca, (1, 1))
    assert not rotation.look()


def test_messages_name_the_files_and_when_they_were_read(rotation: Rotation, disk: Disk, clock: Clock) -> None:
    assert rotation.told.startswith(str(disk.directory / "config"))
    assert str(disk.ca) in rotation.told
    assert "last read at 2027-01-15T08:00:00Z" in rotation.told
    clock.now += 120
    assert not rotation.look()
    assert "08:00:00Z" in rotation.told
    disk.renew()
    rotation.look()
    assert "last read at 2027-01-15T08:02:00Z" in rotation.told


def test_a_pods_own_authority_is_followed_through_its_links(tmp_path: Path) -> None:
    """kubelet swaps a link to a directory, the files are links into it."""
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "ca.crt").write_bytes(x509.create_ca(name).certificate)
        (tmp_path / name / "token").write_text(name)
    link = tmp_path / "..data"
    link.symlink_to("first")
    for name in ("ca.crt", "token"):
        (tmp_path / name).symlink_to(f"..data/{name}")
    environ = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443"}
    rotation = Rotation(lambda _: in_cluster(environ, tmp_path))
    (tmp_path / "new").symlink_to("second")
    (tmp_path / "new").rename(link)
    assert rotation.look()
    assert rotation.target.tls.ca == (tmp_path / "second" / "ca.crt").read_bytes()


def test_the_systems_authorities_are_followed_where_they_are_trusted(
    disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(x509.create_ca("public").certificate)
    monkeypatch.setenv(ssl.get_default_verify_paths().openssl_cafile_env, str(bundle))
    document = msgspec.json.decode((disk.directory / "config").read_bytes())
    document["clusters"][0]["cluster"] = {"server": "https://api:1"}
    (disk.directory / "config").write_bytes(msgspec.json.encode(document))
    rotation = Rotation(disk.load)
    assert not rotation.look()
    bundle.write_bytes(x509.create_ca("another").certificate)
    assert rotation.look()
