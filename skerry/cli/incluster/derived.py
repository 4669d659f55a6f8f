"""What follows from the keys, one Secret for each workload, so that each holds no more than it needs.

    skerry-nats                  certificate of the bus, certificate and password of its routes, the public half of the keys
    skerry-controller-manager    its user of the bus
    skerry-tower                 the proxy's user of the bus, the front door's certificate
    skerry-admin                 the administrator's token and kubeconfig

Each is a function from what is there to what should be: nothing changes while it is good, what is absent, ages, or lacks a name
is made anew. Replicas race by version: who was slower looks at what the other wrote. A deleted one is simply made again.
"""

from __future__ import annotations

import os
import secrets as chance
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from skerry.cli import bootstrap
from skerry.cli.incluster import keys
from skerry.cli.incluster.secrets import Secrets
from skerry.errors import Conflict
from skerry.httpwire.names import server_name
from skerry.identity import x509
from skerry.identity.federation import Authority

Files = Mapping[str, bytes]
TRIES = 8
"""Of one Secret that others write at the same time."""
LOOPBACK = ("localhost", "127.0.0.1", "::1")
MADE = "made"
"""File of the administrator's Secret: when its token was made, Unix time."""


@dataclass(frozen=True, kw_only=True)
class HostNames:
    """How a host in pods is called."""

    name: str
    namespace: str
    addresses: tuple[str, ...] = ()
    """From outside, the preferred first."""

    def of(self, *services: str) -> tuple[str, ...]:
        """All names of services, from inside and outside the cluster."""
        suffixes = ("", f".{self.namespace}", f".{self.namespace}.svc", f".{self.namespace}.svc.cluster.local")
        inside = (f"{service}{suffix}" for service in services for suffix in suffixes)
        return tuple(dict.fromkeys([*self.addresses, *inside, *LOOPBACK]))

    @property
    def front_door(self) -> str:
        """Base URL of the front door."""
        host = self.addresses[0] if self.addresses else f"skerry.{self.namespace}.svc"
        return f"https://{f'[{host}]' if ':' in host else host}"


Derive = Callable[[Files], Files]
"""From the files that there are (none: no such Secret) to those that there should be."""


def derivations(files: Files, directory: Path, names: HostNames) -> dict[str, Derive]:
    """By Secret, what follows from the files of the host's keys; they are laid into `directory`."""
    keys.lay(files, directory)
    authority = Authority.load(directory)
    ca = x509.X509KeyPair(certificate=files["ca.crt"], key=files["ca.key"])
    uid = files[keys.UID_FILE].decode().strip()
    routes = ("*.skerry-nats", f"*.skerry-nats.{names.namespace}", f"*.skerry-nats.{names.namespace}.svc")

    def nats(had: Files) -> Files:
        return {
            **_pair(had, "tls", ca, names.of("skerry-bus", "skerry-nats")),
            **_pair(had, "routes", ca, (*routes, f"{routes[-1]}.cluster.local"), client=True),
            "route-password": had.get("route-password") or chance.token_urlsafe(32).encode(),
            "ca.crt": files["ca.crt"],
            "authority.json": files["authority.json"],
        }

    def manager(had: Files) -> Files:
        return {**_user(had, "controller-manager", authority), "ca.crt": files["ca.crt"]}

    def tower(had: Files) -> Files:
        certificate = _pair(had, "tls", ca, (*names.of("skerry"), server_name("*", uid)))
        return {**_user(had, "proxy", authority), **certificate, "ca.crt": files["ca.crt"]}

    def admin(had: Files) -> Files:
        return _admin(had, names, files["ca.crt"])

    return {"skerry-nats": nats, "skerry-controller-manager": manager, "skerry-tower": tower, "skerry-admin": admin}


async def refresh(secrets: Secrets, name: str, derive: Derive) -> bool:
    """Have a Secret as it should be; returns if it was written. Conflict if others write it all the time."""
    for _ in range(TRIES):
        there = await secrets.get(name)
        files = derive({} if there is None else there.files)
        if there is not None and dict(there.files) == dict(files):
            return False
        if there is None and await secrets.create(name, files):
            return True
        if there is not None and await secrets.replace(name, files, there.version):
            return True
    raise Conflict(f"Secret {name} is written by somebody else all the time: who is it?")


def _pair(had: Files, name: str, ca: x509.X509KeyPair, names: tuple[str, ...], *, client: bool = False) -> Files:
    certificate, key = had.get(f"{name}.crt", b""), had.get(f"{name}.key", b"")
    pair = x509.X509KeyPair(certificate=certificate, key=key)
    if not certificate or not key or _is_due(ca, pair, names):
        pair = x509.issue_server(ca, names, client=client)
    return {f"{name}.crt": pair.certificate, f"{name}.key": pair.key}


def _is_due(ca: x509.X509KeyPair, pair: x509.X509KeyPair, names: tuple[str, ...]) -> bool:
    try:
        return x509.must_reissue(ca, pair, names)
    except (ValueError, TypeError):  # what lies there is none
        return True


def _user(had: Files, service: str, authority: Authority) -> Files:
    """A user of the bus, by the rules of a host on a machine."""
    file = f"{service}.creds"
    with TemporaryDirectory(prefix="skerry-creds-") as directory:
        path = Path(directory) / file
        keys.lay({name: data for name, data in had.items() if name == file}, path.parent)
        bootstrap.renew_user(path, service, authority)
        return {file: path.read_bytes()}


def _admin(had: Files, names: HostNames, ca: bytes) -> Files:
    with TemporaryDirectory(prefix="skerry-admin-") as directory:
        host = Path(directory)
        token, issued = host / "admin.token", had.get(MADE, b"").decode("ascii", "replace")
        (host / "pki").mkdir()
        (host / "pki" / "ca.crt").write_bytes(ca)
        if had.get("token") and issued.isdecimal():
            keys.lay({token.name: had["token"]}, host)
            os.utime(token, (int(issued), int(issued)))
        issued = str(int(time.time())) if bootstrap.renew_admin(host, names.name, names.front_door) else issued
        return {
            "token": token.read_bytes(),
            "kubeconfig": (host / "admin.kubeconfig").read_bytes(),
            "ca.crt": ca,
            MADE: issued.encode(),
        }
