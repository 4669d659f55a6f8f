"""One real control plane on one address: etcd, kube-apiserver and, where it is there, kube-controller-manager.

`prepare` makes a directory and says what to run; nothing is started by it. Running is either `process.Running` or the
caller's supervisor. A directory that was prepared before is taken up again: same authority, same credentials, same
data, and the same ports while they are free, so that a demo survives a restart of the machine.

Kept small on purpose: no scheduler (a pod names its node), no kube-proxy, service addresses from 10.0.0.0/24. etcd runs
without fsync: a demo's and a test's data may be lost with the machine, never with the process.
"""

from __future__ import annotations

import json
import random
import secrets
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from skerry.identity.files import write_private
from skerry.localkube import binaries, kubeconfig, probe
from skerry.localkube.certificates import CertificateAuthority, CertificatePair, signing_key
from skerry.localkube.process import ProcessSpec, RunningCluster

LOOPBACK = "127.0.0.1"
SERVICE_RANGE = "10.0.0.0/24"
_SERVICE_ADDRESS = "10.0.0.1"
_ADMINISTRATORS = "system:masters"
AGGREGATED = ("view", "edit", "admin")
"""ClusterRoles that a controller fills from others, each from the one before it too."""
_FORMAT = 1

# Below the range that Linux and macOS give to outgoing connections: between choosing and listening nobody takes it.
_PORTS = range(20000, 32000)
_reserved: dict[int, int] = {}
"""Port -> the descriptor that holds it."""
_random = random.SystemRandom()  # libraries of tests seed the ordinary one: all would choose the same ports


@dataclass(frozen=True)
class Ports:
    """TCP ports of one control plane; all on loopback except `api`, which is on the cluster's address."""

    api: int
    etcd: int
    etcd_peer: int


@dataclass(frozen=True, kw_only=True)
class LocalCluster:
    """A prepared cluster. `token` and `kubeconfig` are both cluster administrator; `url` has no trailing slash.

    `pki` has what a node needs: `pki / "ca.crt"`, and `kubelet.kubeconfig` in `directory` when prepared with a node.
    """

    name: str
    directory: Path
    url: str
    ca: Path
    token: str
    kubeconfig: Path
    specs: tuple[ProcessSpec, ...]

    @property
    def api_server(self) -> ProcessSpec:
        """The process whose readiness is the cluster's."""
        return next(spec for spec in self.specs if spec.name.endswith(binaries.KUBE_APISERVER))

    @property
    def has_controllers(self) -> bool:
        """True if deployments, garbage collection and service accounts work; without it only the API is there."""
        return any(spec.name.endswith(binaries.KUBE_CONTROLLER_MANAGER) for spec in self.specs)

    def uid(self) -> str | None:
        """The UID of namespace kube-system, by which clusters are told apart; None while it does not exist."""
        namespace = probe.document(f"{self.url}/api/v1/namespaces/kube-system", self.ca, self.token)
        return str(namespace["metadata"]["uid"]) if namespace else None

    def why_not_ready(self) -> str | None:
        """None when the API server is ready, kube-system exists, pods can be created and the built-in roles have their
        rules, else the reason.
        """
        if reason := self.api_server.why_not_ready():
            return reason
        if self.uid() is None:
            return "namespace kube-system does not exist yet"
        return self._why_controllers_are_late() if self.has_controllers else None

    def _why_controllers_are_late(self) -> str | None:
        account = f"{self.url}/api/v1/namespaces/default/serviceaccounts/default"
        if probe.document(account, self.ca, self.token) is None:
            return "service account default/default does not exist yet"
        for role in AGGREGATED:
            role_document = probe.document(
                f"{self.url}/apis/rbac.authorization.k8s.io/v1/clusterroles/{role}", self.ca, self.token
            )
            if not _reads_pods(role_document):
                return f"ClusterRole {role} has not got its rules yet"
        return None

    def wait_ready(self, running: RunningCluster, deadline_s: float) -> None:
        """Return when the cluster can be used; raises NotReadyInTime with the log's tail."""
        running.wait_until(self.why_not_ready, self.api_server, time.monotonic() + deadline_s)


def _reads_pods(role: Mapping[str, Any] | None) -> bool:
    """True if a ClusterRole has the rules of view, which edit and admin get last."""
    rules = (role or {}).get("rules") or ()
    return any("get" in rule["verbs"] and "pods" in rule.get("resources", ()) for rule in rules)


@dataclass(frozen=True)
class _Saved:
    """What must be the same at the next start; lies in `cluster.json` beside the data."""

    format: int
    name: str
    hosts: list[str]
    token: str
    ports: dict[str, int]


def prepare(
    directory: Path,
    *,
    name: str,
    executables: Mapping[str, Path],
    address: str = LOOPBACK,
    ports: Ports | None = None,
    node: str | None = None,
    prefix: Sequence[str] = (),
) -> LocalCluster:
    """Make `directory` (0700) ready for a cluster called `name`, and say what to run.

    `executables` maps names to paths as `binaries.obtain` gives them: etcd and kube-apiserver are needed, the
    controller manager is used when it is there. `ports` None chooses free ones. `node` is the name of a kubelet that will
    run at `address`: adds the credentials of both directions. `prefix` goes before every command line (nsenter).
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    saved = _take_up(directory, name, address)
    pki = directory / "pki"
    if saved is None:
        saved = _Saved(_FORMAT, name, [address], secrets.token_urlsafe(32), {})
        _issue(directory, name, address, node, saved.token)
    chosen = ports or _still_free(saved.ports, address) or free_ports(address)
    url = f"https://{address}:{chosen.api}"
    _write_kubeconfigs(directory, name, url)
    saved = _Saved(_FORMAT, name, [address], saved.token, asdict(chosen))
    write_private(directory / "cluster.json", json.dumps(asdict(saved)).encode(), durable=False)
    return LocalCluster(
        name=name,
        directory=directory,
        url=url,
        ca=pki / "ca.crt",
        token=saved.token,
        kubeconfig=directory / "kubeconfig",
        specs=_specs(directory, name, address, chosen, url, executables, prefix),
    )


def free_ports(address: str = LOOPBACK) -> Ports:
    """Ports that nobody listens on now, outside the range of outgoing connections, reserved by this process."""
    chosen: list[int] = []
    candidates = _random.sample(_PORTS, len(_PORTS))
    while len(chosen) < 3:
        port = candidates.pop()
        if port not in _reserved and _reserve(port, address):
            chosen.append(port)
    return Ports(*chosen)


def _reserve(port: int, address: str) -> bool:
    """Keep other processes that use this module off a port that nobody listens on, until this process ends.

    Some seconds pass until the API server that gets it listens, and others choose meanwhile. The reservation is an abstract
    Unix socket of the port's name: it belongs to a network namespace, as ports do, and the kernel takes it back.
    """
    if port not in _reserved:
        reservation = socket.socket(socket.AF_UNIX)
        try:
            reservation.bind(f"\0skerry-localkube-{port}")
        except OSError:
            reservation.close()
            return False
        _reserved[port] = reservation.detach()
    return _is_free(LOOPBACK, port) and _is_free(address, port)


def _is_free(address: str, port: int) -> bool:
    with socket.socket() as probing:
        probing.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probing.bind((address, port))
        except OSError:
            return False
    return True


def _still_free(ports: Mapping[str, int], address: str) -> Ports | None:
    if not ports or not all(_reserve(port, address) for port in ports.values()):
        return None
    return Ports(**ports)


def _take_up(directory: Path, name: str, address: str) -> _Saved | None:
    """What an earlier start left, if it was the same cluster; anything else is made anew over the same data."""
    path = directory / "cluster.json"
    if not path.exists():
        return None
    document = json.loads(path.read_text())
    if document.get("format") != _FORMAT or document["name"] != name or document["hosts"] != [address]:
        return None
    return _Saved(**document)


def _issue(directory: Path, name: str, address: str, node: str | None, token: str) -> None:
    """All certificates, keys and tokens of a new cluster."""
    pki, etcd = directory / "pki", directory / "pki" / "etcd"
    for each in (pki, etcd):
        each.mkdir(mode=0o700, exist_ok=True)
    authority = CertificateAuthority(pki, name)
    own_names = ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"]
    authority.server("apiserver", [*own_names, LOOPBACK, _SERVICE_ADDRESS, address])
    authority.client("admin", "kubernetes-admin", [_ADMINISTRATORS])
    authority.client("controller-manager", "system:kube-controller-manager", [_ADMINISTRATORS])
    signing_key(pki, "service-accounts")
    if node is not None:
        authority.client("apiserver-kubelet-client", "kube-apiserver-kubelet-client", [_ADMINISTRATORS])
        authority.client("kubelet", f"system:node:{node}", ["system:nodes"])
        authority.server("kubelet-server", [node, address])
    storage = CertificateAuthority(etcd, f"{name}-etcd")
    storage.server("server", ["localhost", LOOPBACK])
    storage.client("client", "kube-apiserver", [])
    tokens = f'{token},{name}-admin,{name}-admin,"{_ADMINISTRATORS}"\n'
    write_private(pki / "tokens.csv", tokens.encode(), durable=False)


def _write_kubeconfigs(directory: Path, name: str, url: str) -> None:
    """One per client certificate that was issued: the administrator's, the controller manager's, the kubelet's."""
    pki = directory / "pki"
    files = {
        "admin": "kubeconfig",
        "controller-manager": "controller-manager.kubeconfig",
        "kubelet": "kubelet.kubeconfig",
    }
    for certificate, file in files.items():
        pair = CertificatePair(pki / f"{certificate}.crt", pki / f"{certificate}.key")
        if pair.key.exists():
            kubeconfig.write(directory / file, name=name, url=url, ca=pki / "ca.crt", client=pair)


def _specs(
    directory: Path,
    name: str,
    address: str,
    ports: Ports,
    url: str,
    executables: Mapping[str, Path],
    prefix: Sequence[str],
) -> tuple[ProcessSpec, ...]:
    commands = {
        "etcd": _etcd(directory, name, ports),
        binaries.KUBE_APISERVER: _api_server(directory, address, ports),
        binaries.KUBE_CONTROLLER_MANAGER: _controller_manager(directory),
    }
    specs = []
    for program, flags in commands.items():
        if program not in executables:
            continue
        is_api = program == binaries.KUBE_APISERVER
        specs.append(
            ProcessSpec(
                name=f"{name}-{program}",
                argv=(*prefix, str(executables[program]), *flags),
                log=directory / f"{program}.log",
                ready_url=f"{url}/readyz" if is_api else None,
                ready_ca=directory / "pki" / "ca.crt" if is_api else None,
            )
        )
    return tuple(specs)


def _etcd(directory: Path, name: str, ports: Ports) -> list[str]:
    """TLS with client certificates even on loopback: on a shared machine other users reach loopback too."""
    pki = directory / "pki" / "etcd"
    client, peer = f"https://{LOOPBACK}:{ports.etcd}", f"https://{LOOPBACK}:{ports.etcd_peer}"
    return [
        f"--name={name}",
        f"--data-dir={directory / 'etcd'}",
        "--unsafe-no-fsync",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster={name}={peer}",
        f"--cert-file={pki / 'server.crt'}",
        f"--key-file={pki / 'server.key'}",
        f"--trusted-ca-file={pki / 'ca.crt'}",
        "--client-cert-auth",
        f"--peer-cert-file={pki / 'server.crt'}",
        f"--peer-key-file={pki / 'server.key'}",
        f"--peer-trusted-ca-file={pki / 'ca.crt'}",
        "--peer-client-cert-auth",
        "--log-level=warn",
    ]


def _api_server(directory: Path, address: str, ports: Ports) -> list[str]:
    pki = directory / "pki"
    flags = [
        f"--etcd-servers=https://{LOOPBACK}:{ports.etcd}",
        f"--etcd-cafile={pki / 'etcd' / 'ca.crt'}",
        f"--etcd-certfile={pki / 'etcd' / 'client.crt'}",
        f"--etcd-keyfile={pki / 'etcd' / 'client.key'}",
        f"--bind-address={LOOPBACK if address == LOOPBACK else '0.0.0.0'}",
        f"--advertise-address={address}",
        f"--secure-port={ports.api}",
        f"--tls-cert-file={pki / 'apiserver.crt'}",
        f"--tls-private-key-file={pki / 'apiserver.key'}",
        f"--client-ca-file={pki / 'ca.crt'}",
        f"--token-auth-file={pki / 'tokens.csv'}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={pki / 'service-accounts.pub'}",
        f"--service-account-signing-key-file={pki / 'service-accounts.key'}",
        "--authorization-mode=Node,RBAC",
        f"--service-cluster-ip-range={SERVICE_RANGE}",
        "--allow-privileged",
    ]
    if address == LOOPBACK:  # an Endpoints object may not name a loopback address
        flags.append("--endpoint-reconciler-type=none")
    if (pki / "kubelet.key").exists():
        flags += [
            f"--kubelet-client-certificate={pki / 'apiserver-kubelet-client.crt'}",
            f"--kubelet-client-key={pki / 'apiserver-kubelet-client.key'}",
            f"--kubelet-certificate-authority={pki / 'ca.crt'}",
            "--kubelet-preferred-address-types=InternalIP",
        ]
    return flags


def _controller_manager(directory: Path) -> list[str]:
    pki = directory / "pki"
    return [
        f"--kubeconfig={directory / 'controller-manager.kubeconfig'}",
        f"--service-account-private-key-file={pki / 'service-accounts.key'}",
        f"--root-ca-file={pki / 'ca.crt'}",
        "--leader-elect=false",
        "--secure-port=0",
    ]
