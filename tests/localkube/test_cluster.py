"""Preparing a cluster: what lies in its directory, what is kept, what would run. Nothing is started here."""

from __future__ import annotations

import json
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from skerry.localkube import cluster
from skerry.localkube.cluster import LocalCluster, Ports

_EXECUTABLES = {name: Path("/bin") / name for name in ("etcd", "kube-apiserver", "kube-controller-manager")}


def _prepare(directory: Path, *, address: str = cluster.LOOPBACK, node: str | None = None) -> LocalCluster:
    return cluster.prepare(directory, name="reef", executables=_EXECUTABLES, address=address, node=node)


def test_the_processes_start_in_the_order_in_which_they_need_each_other(tmp_path: Path) -> None:
    names = [spec.name for spec in _prepare(tmp_path).specs]
    assert names == ["reef-etcd", "reef-kube-apiserver", "reef-kube-controller-manager"]


def test_the_controller_manager_is_optional(tmp_path: Path) -> None:
    executables = {name: path for name, path in _EXECUTABLES.items() if name != "kube-controller-manager"}
    prepared = cluster.prepare(tmp_path, name="reef", executables=executables)
    assert not prepared.has_controllers
    assert len(prepared.specs) == 2


def test_every_secret_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    prepared = _prepare(tmp_path / "reef", node="reef-node")
    secrets = [*prepared.directory.rglob("*.key"), *prepared.directory.rglob("*kubeconfig")]
    secrets += [prepared.directory / "cluster.json", prepared.directory / "pki" / "tokens.csv"]
    assert len(secrets) >= 12
    assert {stat.S_IMODE(path.stat().st_mode) for path in secrets} == {0o600}
    assert stat.S_IMODE(prepared.directory.stat().st_mode) == 0o700


def test_no_secret_is_on_a_command_line(tmp_path: Path) -> None:
    prepared = _prepare(tmp_path)
    assert prepared.token not in " ".join(word for spec in prepared.specs for word in spec.argv)


def test_a_second_preparation_takes_up_the_first(tmp_path: Path) -> None:
    first = _prepare(tmp_path)
    kubeconfig = first.kubeconfig.read_text()
    second = _prepare(tmp_path)
    assert (second.url, second.token, second.kubeconfig.read_text()) == (first.url, first.token, kubeconfig)


def test_a_port_that_was_taken_meanwhile_is_replaced_and_the_kubeconfig_follows(tmp_path: Path) -> None:
    first = _prepare(tmp_path)
    with socket.socket() as taken:
        taken.bind((cluster.LOOPBACK, int(first.url.rsplit(":", 1)[1])))
        taken.listen()
        second = _prepare(tmp_path)
    assert second.url != first.url
    assert json.loads(second.kubeconfig.read_text())["clusters"][0]["cluster"]["server"] == second.url


def test_another_address_gets_new_certificates(tmp_path: Path) -> None:
    before = _prepare(tmp_path).ca.read_bytes()
    ports = Ports(api=6443, etcd=2379, etcd_peer=2380)
    moved = cluster.prepare(tmp_path, name="reef", executables=_EXECUTABLES, address="192.0.2.7", ports=ports)
    assert moved.ca.read_bytes() != before
    assert moved.url == "https://192.0.2.7:6443"


def test_a_port_that_another_process_chose_is_left_to_it_although_nobody_listens_yet(tmp_path: Path) -> None:
    """Two demos that start at the same moment took the same port now and then: one served the other's clients."""
    code = (
        "import sys\nfrom pathlib import Path\nfrom skerry.localkube import cluster\n"
        f"executables = {{name: Path('/bin') / name for name in {tuple(_EXECUTABLES)!r}}}\n"
        "print(cluster.prepare(Path(sys.argv[1]), name='reef', executables=executables).url, flush=True)\n"
        "sys.stdin.read()"
    )
    words = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        theirs = other.stdout.readline().strip()
        assert _prepare(tmp_path).url != theirs
        other.communicate()


def test_free_ports_differ_and_are_outside_the_range_of_outgoing_connections() -> None:
    ports = cluster.free_ports()
    assert len({ports.api, ports.etcd, ports.etcd_peer}) == 3
    assert all(20000 <= port < 32000 for port in (ports.api, ports.etcd, ports.etcd_peer))


def test_the_prefix_goes_before_every_command(tmp_path: Path) -> None:
    prepared = cluster.prepare(tmp_path, name="reef", executables=_EXECUTABLES, prefix=("nsenter", "--"))
    assert {spec.argv[:2] for spec in prepared.specs} == {("nsenter", "--")}


@pytest.mark.parametrize(
    ("file", "user", "group"),
    [("admin", "kubernetes-admin", "system:masters"), ("kubelet", "system:node:reef-node", "system:nodes")],
)
def test_client_certificates_carry_user_and_group(tmp_path: Path, file: str, user: str, group: str) -> None:
    prepared = _prepare(tmp_path, node="reef-node")
    certificate = x509.load_pem_x509_certificate((prepared.directory / "pki" / f"{file}.crt").read_bytes())
    names = {part.oid: part.value for part in certificate.subject}
    assert (names[NameOID.COMMON_NAME], names[NameOID.ORGANIZATION_NAME]) == (user, group)


def test_two_clusters_share_no_authority(tmp_path: Path) -> None:
    assert _prepare(tmp_path / "one").ca.read_bytes() != _prepare(tmp_path / "two").ca.read_bytes()
