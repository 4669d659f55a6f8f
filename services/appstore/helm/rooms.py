"""The directory of one operation: private, with what it needs and may not be seen by others, and gone when it ends.

A process that is killed tidies nothing up; `sweep` does it for those that are no more. Names of hosts are looked up out here:
in the jail nothing can be.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import re
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import msgspec

from services.appstore.helm.engine import ClusterRequest, HelmError
from services.appstore.helm.jail import MIB, PIECE
from skerry.api.meta import Document
from skerry.api.validation import is_label, is_label_value, is_subdomain
from skerry.identity.files import write_private
from skerry.member import kubeconfig
from skerry.member.kubeconfig import Target

DATA = 192 * MIB
"""Bytes that Helm may need; its collector is told to stay below."""
PREFIX = "skerry-helm-"
LONGEST_RELEASE = 53
_LIFE = os.urandom(4).hex()
"""Of this process: in a container the next one may have the same number."""
_LABEL_KEY = re.compile(r"(?:[a-z0-9.-]{1,253}/)?[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")


@dataclass(frozen=True)
class Room:
    """A directory, what in it is secret, and the ports that may be reached from it."""

    directory: Path
    secrets: frozenset[str] = field(repr=False)
    ports: tuple[int, ...] = ()

    @property
    def kubeconfig(self) -> Path:
        """Of the cluster, if the operation has one."""
        return self.directory / "kubeconfig"

    def values(self, values: Document) -> Path:
        """A file with these values; JSON, which is YAML."""
        path = self.directory / "values.json"
        write_private(path, msgspec.json.encode(values), durable=False)
        return path


def pieces(path: Path) -> Iterator[bytes]:
    """What is in a file, in parts: it may be larger than what of it should be in memory."""
    with path.open("rb", buffering=0) as file:
        yield from iter(partial(file.read, PIECE), b"")


@contextmanager
def directory(folder: Path | None = None) -> Iterator[Path]:
    """A private directory in `folder` (None: the system's for temporary files) that goes with the block; of a process that is
    killed, with the next one (`sweep`).
    """
    own = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-{_LIFE}-", dir=folder))
    try:
        yield own
    finally:
        shutil.rmtree(own, ignore_errors=True)


@asynccontextmanager
async def room(folder: Path | None, secrets: frozenset[str], ports: tuple[int, ...] = ()) -> AsyncIterator[Room]:
    """A directory for one operation, as `directory` makes it."""
    with directory(folder) as own:
        yield Room(own, secrets, ports)


@asynccontextmanager
async def cluster_room(folder: Path | None, request: ClusterRequest, secrets: frozenset[str]) -> AsyncIterator[Room]:
    """A directory for an operation on a cluster, with a kubeconfig (0600). HelmError Unreachable."""
    target = await _addressed(request.access)
    async with room(folder, secrets | {target.token}, (target.port,)) as own:
        write_private(own.kubeconfig, kubeconfig.flattened(target).encode(), durable=False)
        yield own


def environment(own: Room) -> dict[str, str]:
    """What Helm finds in its environment. Who only renders has one core at most: a template that never ends takes no second one."""
    homes = {f"HELM_{each}_HOME": str(own.directory / each.lower()) for each in ("CACHE", "CONFIG", "DATA")}
    runtime = {
        "GOMEMLIMIT": str(DATA * 3 // 4),
        "GOMAXPROCS": "2" if own.ports else "1",
        "GOTRACEBACK": "none",
        "NO_COLOR": "1",
    }
    return {**homes, **runtime, "KUBECONFIG": str(own.kubeconfig)}


def sweep(folder: Path | None = None) -> None:
    """Delete what operations of processes that are no more have left."""
    for left in Path(folder or tempfile.gettempdir()).glob(f"{PREFIX}*-*-*"):
        owner, life = left.name.removeprefix(PREFIX).split("-")[:2]
        if owner.isdigit() and not (_alive(int(owner)) if int(owner) != os.getpid() else life == _LIFE):
            shutil.rmtree(left, ignore_errors=True)


def check_names(release: str, namespace: str) -> None:
    """ValueError: they become arguments and names of objects."""
    if not (is_subdomain(release) and len(release) <= LONGEST_RELEASE):
        raise ValueError(f"{release[:80]!r} is no name of a Helm release: a DNS name of at most 53 characters")
    if not is_label(namespace):
        raise ValueError(f"{namespace[:80]!r} is no name of a namespace")


def check_chart(path: Path) -> str:
    """The path of a package. ValueError, and HelmError if it is not there."""
    if not path.is_absolute():
        raise ValueError(f"{path} is no absolute path: Helm would look for it in repositories")
    if not path.is_file():
        raise HelmError("Failed", f"the package {path.name} is not there any more")
    return str(path)


def check_labels(labels: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Labels in order. ValueError."""
    pairs = sorted(labels)
    for key, value in pairs:
        if not (_LABEL_KEY.fullmatch(key) and is_label_value(value) and value):
            raise ValueError(f"{key[:80]!r}: {value[:80]!r} is no label")
    return pairs


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


async def _addressed(target: Target) -> Target:
    """The target by an address: in the jail no name can be looked up. HelmError Unreachable."""
    try:
        ipaddress.ip_address(target.host)
        return target
    except ValueError:
        pass
    try:
        lookup = partial(asyncio.get_running_loop().getaddrinfo, target.host, target.port, type=socket.SOCK_STREAM)
        addresses = await lookup()
    except OSError as error:
        raise HelmError("Unreachable", f"{target.host}: its address cannot be looked up: {error.strerror}") from error
    tls = msgspec.structs.replace(target.tls, server_name=target.tls.server_name or target.host)
    return msgspec.structs.replace(target, host=addresses[0][4][0], tls=tls)
