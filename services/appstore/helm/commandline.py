"""The engine that is the `helm` program, version 4: one process per operation, in the jail, with a directory of its own.

What the program needs lies in that directory, 0700, and goes with it: a kubeconfig with the token (0600, JSON), the values (0600).
Nothing secret is in an argument. There is no `--wait`: health is ours. Its answers are read from its table, without notes,
because its JSON carries the whole chart.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import re
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import msgspec

from services.appstore.helm.engine import (
    ClusterRequest,
    EngineName,
    HelmError,
    Rendered,
    RenderRequest,
    RollbackRequest,
    Uninstalled,
    UninstallRequest,
    Upgraded,
    UpgradeRequest,
)
from services.appstore.helm.failures import failure
from services.appstore.helm.jail import MIB, Finished, Jail, run
from services.appstore.helm.limits import check_manifest
from skerry.api.meta import Document
from skerry.api.validation import is_label, is_label_value, is_subdomain
from skerry.identity.files import write_private
from skerry.member import kubeconfig
from skerry.member.kubeconfig import Target

DATA = 192 * MIB
"""Bytes that Helm may need; its collector is told to stay below."""
GRACE_S = 10.0
PREFIX = "skerry-helm-"
LONGEST_RELEASE = 53
_REVISION = re.compile(r"^REVISION: (\d{1,9})$", re.MULTILINE)
_HOOKS, _MANIFEST = "\nHOOKS:\n", "\nMANIFEST:\n"
_KUBE_VERSION = re.compile(r"v?\d{1,3}\.\d{1,3}(?:\.\d{1,3})?(?:[-+][0-9A-Za-z.+-]{1,60})?")
_API_VERSION = re.compile(r"[0-9a-z.-]{1,253}(?:/[0-9A-Za-z.-]{1,253}){0,2}")
_VERSION = re.compile(r"v?(\d{1,3}\.\d{1,3}(?:\.\d{1,3})?(?:-[0-9A-Za-z.-]{1,40})?)")
_LABEL_KEY = re.compile(r"(?:[a-z0-9.-]{1,253}/)?[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")


@dataclass(frozen=True)
class _Room:
    """The directory of one operation, and what of it Helm is told."""

    directory: Path
    secrets: frozenset[str] = field(repr=False)
    ports: tuple[int, ...] = ()

    def values(self, values: Document) -> str:
        """The argument for a file with these values; JSON, which is YAML."""
        path = self.directory / "values.json"
        write_private(path, msgspec.json.encode(values), durable=False)
        return f"--values={path}"


class CommandLine:
    """`helm` at a path, version 4.2.2 or newer (`lookup`)."""

    name: EngineName = "commandline"

    def __init__(self, program: Path, *, directory: Path | None = None, required: bool = False) -> None:
        """`directory`: where operations have theirs (default: the system's for temporary files). `required`: only where all
        walls stand.
        """
        self._program = program
        self._directory = directory
        self._required = required

    async def version(self) -> str:
        """As Engine has it."""
        async with self._room(frozenset()) as room:
            finished = await self._helm(room, ["version", "--template={{.Version}}"], deadline_s=30.0)
        match = _VERSION.match(finished.stdout.decode(errors="replace"))
        if match is None:
            raise HelmError("EngineMissing", f"{self._program} does not say a version: it is no helm")
        return match[1]

    async def template(self, request: RenderRequest) -> Rendered:
        """As Engine has it."""
        _check_names(request.release, request.namespace)
        arguments = ["template", request.release, _chart(request.chart), f"--namespace={request.namespace}"]
        if request.kube_version:
            arguments.append(
                f"--kube-version={_matched(_KUBE_VERSION, request.kube_version, 'a version of Kubernetes')}"
            )
        arguments += [
            f"--api-versions={_matched(_API_VERSION, each, 'an API version')}" for each in request.api_versions
        ]
        arguments += _flags(
            ("--include-crds", request.crds), ("--no-hooks", not request.hooks), ("--is-upgrade", request.upgrade)
        )
        async with self._room(request.secrets) as room:
            arguments.append(room.values(request.values))
            finished = await self._helm(room, arguments, deadline_s=request.deadline_s, read=request.chart)
        return Rendered(manifest=check_manifest(finished.stdout))

    async def upgrade(self, request: UpgradeRequest) -> Upgraded:
        """As Engine has it. What it would send is rendered here first, so that what is too much is never sent."""
        _check_names(request.release, request.namespace)
        if not request.dry_run:
            await self._check_size(request)
        arguments = ["upgrade", request.release, _chart(request.chart), "--install", "--reset-values", "--hide-notes"]
        arguments += ["--server-side=auto", f"--history-max={request.history}", *_hooks(request)]
        if request.labels:
            arguments.append(f"--labels={_labels(request.labels.items())}")
        arguments += _flags(
            ("--create-namespace", request.create_namespace),
            ("--skip-crds", request.crds != "Create"),
            ("--force-conflicts", request.conflicts == "Take" and request.server_side),
            ("--dry-run=server", request.dry_run),
        )
        async with self._cluster(request, request.secrets) as room:
            arguments.append(room.values(request.values))
            finished = await self._helm(room, arguments, deadline_s=request.deadline_s, read=request.chart)
        return _upgraded(finished.stdout.decode(errors="replace"), dry_run=request.dry_run)

    async def rollback(self, request: RollbackRequest) -> None:
        """As Engine has it."""
        _check_names(request.release, request.namespace)
        arguments = ["rollback", request.release, str(int(request.revision)), "--server-side=auto", *_hooks(request)]
        arguments.append(f"--history-max={request.history}")
        arguments += _flags(("--force-conflicts", request.conflicts == "Take" and request.server_side))
        async with self._cluster(request, frozenset()) as room:
            await self._helm(room, arguments, deadline_s=request.deadline_s)

    async def uninstall(self, request: UninstallRequest) -> Uninstalled:
        """As Engine has it."""
        _check_names(request.release, request.namespace)
        arguments = ["uninstall", request.release, "--ignore-not-found", *_hooks(request)]
        async with self._cluster(request, frozenset()) as room:
            finished = await self._helm(room, arguments, deadline_s=request.deadline_s)
        lines = finished.stdout.decode(errors="replace").splitlines()
        return Uninstalled(kept=tuple(line.strip() for line in lines if line.startswith("[")))

    async def _check_size(self, request: UpgradeRequest) -> None:
        """ResourceLimit for a chart that renders too much. What it cannot render without a cluster (`lookup`), the cluster judges."""
        offline = RenderRequest(
            chart=request.chart,
            release=request.release,
            namespace=request.namespace,
            values=request.values,
            secrets=request.secrets,
            kube_version=request.kube_version,
            hooks=request.hooks,
        )
        try:
            await self.template(offline)
        except HelmError as error:
            if error.reason in ("ResourceLimit", "Deadline", "SchemaInvalid"):
                raise

    async def _helm(
        self, room: _Room, arguments: list[str], *, deadline_s: float, read: Path | None = None
    ) -> Finished:
        """Run it. Who changes a cluster gets time to write down that it was stopped, who does not is killed at once."""
        jail = Jail(
            room.directory,
            read=(read,) if read else (),
            ports=room.ports,
            data=DATA,
            grace_s=GRACE_S if room.ports else 0.0,
            required=self._required,
        )
        try:
            finished = await run(
                jail, [str(self._program), *arguments], deadline_s=deadline_s, environ=_environment(room.directory)
            )
        except OSError as error:
            raise HelmError("EngineMissing", f"{self._program} cannot be started: {error.strerror}") from error
        if (finished.ending, finished.code) != ("exit", 0):
            raise failure(finished, room.secrets, deadline_s=deadline_s)
        return finished

    @asynccontextmanager
    async def _room(self, secrets: frozenset[str], ports: tuple[int, ...] = ()) -> AsyncIterator[_Room]:
        directory = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=self._directory))
        try:
            yield _Room(directory, secrets, ports)
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    @asynccontextmanager
    async def _cluster(self, request: ClusterRequest, secrets: frozenset[str]) -> AsyncIterator[_Room]:
        target = await _addressed(request.access)
        async with self._room(secrets | {target.token}, (target.port,)) as room:
            path = room.directory / "kubeconfig"
            write_private(path, kubeconfig.flattened(target).encode(), durable=False)
            yield room


def sweep(directory: Path | None = None) -> None:
    """Delete what operations of processes that are no more have left: a process that is killed tidies nothing up."""
    for left in Path(directory or tempfile.gettempdir()).glob(f"{PREFIX}*-*"):
        owner = left.name.removeprefix(PREFIX).partition("-")[0]
        if owner.isdigit() and not _alive(int(owner)):
            shutil.rmtree(left, ignore_errors=True)


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


def _environment(directory: Path) -> dict[str, str]:
    homes = {f"HELM_{each}_HOME": str(directory / each.lower()) for each in ("CACHE", "CONFIG", "DATA")}
    runtime = {"GOMEMLIMIT": str(DATA * 3 // 4), "GOMAXPROCS": "2", "GOTRACEBACK": "none", "NO_COLOR": "1"}
    return {**homes, **runtime, "KUBECONFIG": str(directory / "kubeconfig")}


def _hooks(request: ClusterRequest) -> list[str]:
    timeout = f"--timeout={max(1, round(request.hook_timeout_s))}s"
    return [f"--namespace={request.namespace}", timeout, *_flags(("--no-hooks", not request.hooks))]


def _flags(*flags: tuple[str, bool]) -> list[str]:
    return [flag for flag, wanted in flags if wanted]


def _upgraded(text: str, *, dry_run: bool) -> Upgraded:
    revisions = _REVISION.findall(text.partition(_HOOKS)[0] if dry_run else text)
    if not revisions:
        raise HelmError("Failed", "helm succeeded, and did not say which revision it made")
    manifest = text.partition(_HOOKS)[2].replace(_MANIFEST, "\n", 1) if dry_run else ""
    return Upgraded(revision=int(revisions[-1]), manifest=check_manifest(manifest.encode()))


def _check_names(release: str, namespace: str) -> None:
    """ValueError: they become arguments and names of objects."""
    if not (is_subdomain(release) and len(release) <= LONGEST_RELEASE):
        raise ValueError(f"{release[:80]!r} is no name of a Helm release: a DNS name of at most 53 characters")
    if not is_label(namespace):
        raise ValueError(f"{namespace[:80]!r} is no name of a namespace")


def _chart(path: Path) -> str:
    if not path.is_absolute():
        raise ValueError(f"{path} is no absolute path: Helm would look for it in repositories")
    if not path.is_file():
        raise HelmError("Failed", f"the package {path.name} is not there any more")
    return str(path)


def _matched(pattern: re.Pattern[str], text: str, what: str) -> str:
    if pattern.fullmatch(text) is None:
        raise ValueError(f"{text[:80]!r} is no {what.removeprefix('a ').removeprefix('an ')}")
    return text


def _labels(labels: Iterable[tuple[str, str]] | Collection[tuple[str, str]]) -> str:
    pairs = sorted(labels)
    for key, value in pairs:
        if not (_LABEL_KEY.fullmatch(key) and is_label_value(value) and value):
            raise ValueError(f"{key[:80]!r}: {value[:80]!r} is no label")
    return ",".join(f"{key}={value}" for key, value in pairs)
