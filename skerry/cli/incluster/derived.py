"""What follows from the keys, one Secret for each workload, so that each holds no more than it needs.

    skerry-nats                  certificate of the bus, certificate and password of its routes, the public half of the keys
    skerry-controller-manager    its user of the bus, and what its services need
    skerry-SERVICE               the same of one that has a Deployment of its own (`standalone`)
    skerry-tower                 the proxy's user of the bus, the front door's certificate
    skerry-admin                 the administrator's token and kubeconfig

Who has a user of the bus has beside it the authority of the bus, the host's UID, the trust roots, and the addresses of the host
as they are known by now. Each is a function from what is there to what should be: nothing changes while it is good, what is absent, ages, or lacks a name
is made anew. Replicas race by version: who was slower looks at what the other wrote. A deleted one is simply made again.
"""

from __future__ import annotations

import contextlib
import os
import secrets as chance
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from skerry import __version__
from skerry.cli import bootstrap
from skerry.cli.incluster import keys
from skerry.cli.incluster.nats import ACCOUNTS, PASSWORD
from skerry.cli.incluster.secrets import Secrets
from skerry.errors import Conflict
from skerry.httpwire.names import server_name
from skerry.identity import x509
from skerry.identity.federation import Authority
from skerry.identity.keyfiles import ROOTS, SECRETS_KEY
from skerry.identity.natsconf import BusAccounts
from skerry.storage import sealed

Files = Mapping[str, bytes]
TRIES = 8
"""Of one Secret that others write at the same time."""
LOOPBACK = ("localhost", "127.0.0.1", "::1")
MADE = "made"
"""File of the administrator's Secret: when its token was made, Unix time."""
VERSION = "version"
"""File of the bus's Secret: which skerry wrote the accounts."""


SERVICES = ("registry", "tenancy", "appstore", "events", "audit")
"""Those of the controller-manager, each of which can have a Deployment of its own."""
SEALS = ("appstore", "events")
"""Those that seal with a key of their own, which follows from the host's and lies in the file `<service>.key`."""
BUS_PORT = 4222


@dataclass(frozen=True, kw_only=True)
class HostNames:
    """How a host in pods is called, and which of its services run apart."""

    name: str
    namespace: str
    addresses: tuple[str, ...] = ()
    """Of the front door from outside, HOST or HOST:PORT, the preferred first."""
    bus_addresses: tuple[str, ...] = ()
    """Of the bus from outside, the same."""
    standalone: tuple[str, ...] = ()
    foreign_certificate: bool = False
    """The front door shows a certificate of another authority under its addresses."""

    def inside(self, service: str) -> tuple[str, ...]:
        """All names of a service in the cluster."""
        return tuple(
            f"{service}{each}"
            for each in ("", *(f".{self.namespace}{end}" for end in ("", ".svc", ".svc.cluster.local")))
        )

    def of(self, services: tuple[str, ...], addresses: tuple[str, ...]) -> tuple[str, ...]:
        """All names of services, from outside and inside."""
        inside = (name for service in services for name in self.inside(service))
        return tuple(dict.fromkeys([*(_host(each) for each in addresses), *inside, *LOOPBACK]))

    @property
    def front_door(self) -> str:
        """Base URL of the front door."""
        return f"https://{_written(self.addresses[0]) if self.addresses else f'skerry.{self.namespace}.svc'}"

    @property
    def tls_name(self) -> str:
        """What clients that trust the host's own authority ask the front door for in TLS; empty: its address. Names inside the cluster
        always have the host's own certificate."""
        return f"skerry.{self.namespace}.svc" if self.foreign_certificate else ""

    @property
    def bus(self) -> str:
        """Addresses of the bus as members dial them, by commas; empty while none is known."""
        hosts = map(_written, self.bus_addresses)
        return ",".join(f"tls://{each if _has_port(each) else f'{each}:{BUS_PORT}'}" for each in hosts)


def _written(address: str) -> str:
    """HOST or HOST:PORT as in a URL: an IPv6 address that stands alone gets its brackets."""
    return f"[{address}]" if address.count(":") > 1 and not address.startswith("[") else address


def _has_port(written: str) -> bool:
    return ":" in written.rpartition("]")[2]


def _host(address: str) -> str:
    written = _written(address)
    return (written.rpartition(":")[0] if _has_port(written) else written).strip("[]")


Derive = Callable[[Files], Files]
"""From the files that there are (none: no such Secret) to those that there should be."""


def derivations(files: Files, directory: Path, names: HostNames) -> dict[str, Derive]:
    """By Secret, what follows from the files of the host's keys; they are laid into `directory`."""
    keys.lay(files, directory)
    authority = Authority.load(directory)
    ca = x509.X509KeyPair(certificate=files["ca.crt"], key=files["ca.key"])
    uid = files[keys.UID_FILE].decode().strip()
    pods = names.inside("*.skerry-nats")
    common = {"ca.crt": files["ca.crt"], keys.UID_FILE: uid.encode(), ROOTS: files[ROOTS]}
    addresses = {"addresses": ",".join(names.addresses).encode(), "bus-addresses": names.bus.encode()}

    def nats(had: Files) -> Files:
        bus = names.of(("skerry-bus", "skerry-nats"), names.bus_addresses)
        return {
            **_pair(had, "tls", ca, (*bus, *pods)),
            **_pair(had, "routes", ca, pods, client=True),
            PASSWORD: had.get(PASSWORD) or chance.token_urlsafe(32).encode(),
            ACCOUNTS: _accounts(had, authority),
            VERSION: __version__.encode(),
            "ca.crt": files["ca.crt"],
        }

    def services(had: Files, user: str, has: Iterable[str]) -> Files:
        own = {f"{each}.key": sealed.derived(files[SECRETS_KEY], each) for each in SEALS if each in has}
        return {**_user(had, user, authority), **common, **addresses, **own}

    def tower(had: Files) -> Files:
        certificate = _pair(had, "tls", ca, (*names.of(("skerry",), names.addresses), server_name("*", uid)))
        return {**_user(had, "proxy", authority), **certificate, **common}

    def admin(had: Files) -> Files:
        return _admin(had, names, files["ca.crt"])

    together = frozenset(SERVICES) - frozenset(names.standalone)
    return {
        "skerry-nats": nats,
        "skerry-controller-manager": partial(services, user="controller-manager", has=together),
        **{f"skerry-{each}": partial(services, user=each, has=(each,)) for each in names.standalone},
        "skerry-tower": tower,
        "skerry-admin": admin,
    }


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


def _accounts(had: Files, authority: Authority) -> bytes:
    """The accounts that servers begin with: made anew for other keys, and by another version, which may give other rights."""
    with contextlib.suppress(msgspec.DecodeError):
        accounts = msgspec.json.decode(had.get(ACCOUNTS, b""), type=BusAccounts)
        if accounts.public == authority.public and had.get(VERSION) == __version__.encode():
            return had[ACCOUNTS]
    return msgspec.json.encode(BusAccounts.of(authority))


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
        issued = (
            str(int(time.time()))
            if bootstrap.renew_admin(host, names.name, names.front_door, names.tls_name)
            else issued
        )
        return {
            "token": token.read_bytes(),
            "kubeconfig": (host / "admin.kubeconfig").read_bytes(),
            "ca.crt": ca,
            MADE: issued.encode(),
        }
