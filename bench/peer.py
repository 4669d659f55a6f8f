"""The Go peer: compiled once into the cache, started beside a member, spoken to like any other way.

It does what Rancher does, on Rancher's library (github.com/rancher/remotedialer): TLS and a bearer check in front, an
authenticated reverse proxy through the tunnel to the member's API server, impersonation headers set.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.compare import Way
from bench.federation import free_port, say
from skerry.localkube import binaries
from skerry.localkube.certificates import CertificateAuthority
from skerry.localkube.process import ProcessSpec, RunningCluster

SOURCE = Path(__file__).with_name("gopeer")
READY_S = 15.0


def build() -> Path | None:
    """The compiled peer, named by its source's hash; None where there is no Go toolchain."""
    digest = hashlib.sha256()
    for path in sorted(SOURCE.iterdir()):
        digest.update(path.read_bytes())
    target = binaries.cache_dir().parent / "bench" / f"gopeer-{digest.hexdigest()[:12]}"
    if target.exists():
        return target
    if shutil.which("go") is None:
        return None
    say(f"building the Go peer into {target}: under a minute, once")
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_suffix(".building")
    command = ["go", "build", "-mod=readonly", "-buildvcs=false", "-trimpath", "-o", str(aside), "."]
    subprocess.run(command, cwd=SOURCE, env=os.environ | {"CGO_ENABLED": "0", "GOWORK": "off"}, check=True)
    aside.rename(target)
    return target


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the peer runs: files in `directory`; the front listens on `address`, the agent's end is started by `prefix`.

    `upstream` is the member's API server, `ca` its authority, `pki` has the administrator's certificate.
    """

    directory: Path
    upstream: str
    ca: Path
    pki: Path
    address: str = "127.0.0.1"
    prefix: tuple[str, ...] = ()


@contextmanager
def running(program: Path, place: Place, name: str, *, idle: int) -> Iterator[Way]:
    """The peer's two processes, connected; `idle` connections to the API server are kept in its pool."""
    directory = place.directory / name.replace(" ", "-")
    directory.mkdir()
    port, token, agent_token = free_port(), secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    authority = CertificateAuthority(directory, "gopeer")
    pair = authority.server("front", [place.address])
    front = f"{place.address}:{port}"
    environment = {"GOPEER_TOKEN": token, "GOPEER_AGENT_TOKEN": agent_token}
    upstream = ("--upstream", place.upstream)
    serve = (
        *(str(program), "serve", "--listen", front, "--idle", str(idle), *upstream),
        *("--certificate", str(pair.certificate), "--key", str(pair.key), "--upstream-ca", str(place.ca)),
        *("--client-certificate", str(place.pki / "admin.crt"), "--client-key", str(place.pki / "admin.key")),
    )
    server = ("--server", front, "--ca", str(authority.pair.certificate))
    agent = (*place.prefix, str(program), "agent", *server, *upstream)
    kubeconfig = _kubeconfig(directory / "kubeconfig", front, authority.pair.certificate, token)
    processes = RunningCluster([])
    try:
        for part, command in (("gopeer-serve", serve), ("gopeer-agent", agent)):
            spec = ProcessSpec(name=part, argv=command, log=directory / f"{part}.log", env=environment)
            processes.add(spec)
            processes.wait_until(partial(_silent, spec.log), spec, time.monotonic() + READY_S)
        yield Way(name=name, kubeconfig=kubeconfig, processes=processes.pids)
    finally:
        processes.stop()


def _silent(log: Path) -> str | None:
    """Both processes print one line when they are ready."""
    return None if log.exists() and log.read_text().strip() else "it has not said that it is ready"


def _kubeconfig(path: Path, front: str, ca: Path, token: str) -> Path:
    cluster = {
        "server": f"https://{front}/clusters/m1",
        "certificate-authority-data": base64.b64encode(ca.read_bytes()).decode(),
    }
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "go", "cluster": cluster}],
        "users": [{"name": "go", "user": {"token": token}}],
        "contexts": [{"name": "go", "context": {"cluster": "go", "user": "go"}}],
        "current-context": "go",
    }
    path.write_text(json.dumps(document))
    path.chmod(0o600)
    return path
