"""The engine that is the `helm` program, version 4: one process per operation, in the jail, with a directory of its own.

What the program needs lies in that directory, 0700, and goes with it: a kubeconfig with the token (0600, JSON), the values (0600).
Nothing secret is in an argument. There is no `--wait`: health is ours. Its answers are read from its table, without notes,
because its JSON carries the whole chart.
"""

from __future__ import annotations

import re
from pathlib import Path

from services.appstore.helm.engine import (
    ClusterRequest,
    EngineName,
    HelmError,
    RenderRequest,
    RollbackRequest,
    Uninstalled,
    UninstallRequest,
    Upgraded,
    UpgradeRequest,
)
from services.appstore.helm.failures import failure
from services.appstore.helm.jail import OUTPUT, PATIENCE, Finished, Jail, run
from services.appstore.helm.limits import LARGEST_MANIFEST, check_manifest
from services.appstore.helm.preflight import Preflight
from services.appstore.helm.rooms import (
    DATA,
    Room,
    check_chart,
    check_labels,
    check_names,
    cluster_room,
    environment,
    pieces,
    room,
)

GRACE_S = 10.0
TRUSTING = "--disable-openapi-validation"
"""Fields are the API server's to check, strictly, as it is asked to with each object. Without this Helm reads the schemas of all kinds
first, two thirds of its time, to see that the server can; then it looks at nothing itself (k8s.io/kubectl ParamVerifyingSchema).
"""
_REVISION = re.compile(r"^REVISION: (\d{1,9})$", re.MULTILINE)
_HOOKS, _MANIFEST = "\nHOOKS:\n", "\nMANIFEST:\n"
_KUBE_VERSION = re.compile(r"v?\d{1,3}\.\d{1,3}(?:\.\d{1,3})?(?:[-+][0-9A-Za-z.+-]{1,60})?")
_API_VERSION = re.compile(r"[0-9a-z.-]{1,253}(?:/[0-9A-Za-z.-]{1,253}){0,2}")
_VERSION = re.compile(r"v?(\d{1,3}\.\d{1,3}(?:\.\d{1,3})?(?:-[0-9A-Za-z.-]{1,40})?)")


class CommandLine:
    """`helm` at a path, version 4.2.2 or newer (`lookup`)."""

    name: EngineName = "commandline"
    data = DATA

    def __init__(self, program: Path, *, directory: Path | None = None, required: bool = False) -> None:
        """`directory`: where operations have theirs (default: the system's for temporary files). `required`: only where all
        walls stand.
        """
        self._program = program
        self._directory = directory
        self._required = required
        self._preflight = Preflight(self.template)

    async def version(self) -> str:
        """As Engine has it."""
        async with room(self._directory, frozenset()) as own:
            finished = await self._helm(own, ["version", "--template={{.Version}}"], deadline_s=30.0)
        match = _VERSION.match(finished.stdout.decode(errors="replace"))
        if match is None:
            raise HelmError("EngineMissing", f"{self._program} does not say a version: it is no helm")
        return match[1]

    async def template(self, request: RenderRequest, into: Path) -> None:
        """As Engine has it."""
        check_names(request.release, request.namespace)
        arguments = ["template", request.release, check_chart(request.chart), f"--namespace={request.namespace}"]
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
        async with room(self._directory, request.secrets) as own:
            arguments.append(f"--values={own.values(request.values)}")
            await self._helm(own, arguments, deadline_s=request.deadline_s, read=request.chart, into=into)
        check_manifest(pieces(into))

    async def check(self, request: RenderRequest) -> None:
        """As Engine has it."""
        await self._preflight.check(request)

    async def upgrade(self, request: UpgradeRequest) -> Upgraded:
        """As Engine has it."""
        check_names(request.release, request.namespace)
        if not request.dry_run:
            await self.check(request.offline())
        arguments = [
            "upgrade",
            request.release,
            check_chart(request.chart),
            "--install",
            "--reset-values",
            "--hide-notes",
        ]
        arguments += [TRUSTING, "--server-side=auto", f"--history-max={request.history}", *_hooks(request)]
        if request.labels:
            arguments.append(f"--labels={_labels(request)}")
        arguments += _flags(
            ("--create-namespace", request.create_namespace),
            ("--skip-crds", request.crds != "Create"),
            ("--force-conflicts", request.conflicts == "Take" and request.server_side),
            ("--dry-run=server", request.dry_run),
        )
        async with cluster_room(self._directory, request, request.secrets) as own:
            arguments.append(f"--values={own.values(request.values)}")
            finished = await self._helm(own, arguments, deadline_s=request.deadline_s, read=request.chart)
        return _upgraded(finished.stdout.decode(errors="replace"), dry_run=request.dry_run)

    async def rollback(self, request: RollbackRequest) -> None:
        """As Engine has it."""
        check_names(request.release, request.namespace)
        arguments = ["rollback", request.release, str(int(request.revision)), "--server-side=auto", *_hooks(request)]
        arguments.append(f"--history-max={request.history}")
        arguments += _flags(("--force-conflicts", request.conflicts == "Take" and request.server_side))
        async with cluster_room(self._directory, request, frozenset()) as own:
            await self._helm(own, arguments, deadline_s=request.deadline_s)

    async def uninstall(self, request: UninstallRequest) -> Uninstalled:
        """As Engine has it."""
        check_names(request.release, request.namespace)
        arguments = ["uninstall", request.release, "--ignore-not-found", *_hooks(request)]
        async with cluster_room(self._directory, request, frozenset()) as own:
            finished = await self._helm(own, arguments, deadline_s=request.deadline_s)
        lines = finished.stdout.decode(errors="replace").splitlines()
        return Uninstalled(kept=tuple(line.strip() for line in lines if line.startswith("[")))

    async def _helm(
        self, own: Room, arguments: list[str], *, deadline_s: float, read: Path | None = None, into: Path | None = None
    ) -> Finished:
        """Run it; what it prints goes into a manifest `into`, if that is named. Who changes a cluster gets time to write down that it was stopped, who does not is killed at once."""
        jail = Jail(
            own.directory,
            read=(read,) if read else (),
            ports=own.ports,
            data=DATA,
            grace_s=GRACE_S if own.ports else 0.0,
            patience=0 if own.ports else PATIENCE,
            required=self._required,
            output=LARGEST_MANIFEST if into else OUTPUT,
        )
        command = [str(self._program), *arguments]
        try:
            finished = await run(jail, command, deadline_s=deadline_s, stdout=into, environ=environment(own))
        except OSError as error:
            raise HelmError("EngineMissing", f"{self._program} cannot be started: {error.strerror}") from error
        if (finished.ending, finished.code) != ("exit", 0):
            raise failure(finished, own.secrets, deadline_s=deadline_s, output=jail.output)
        return finished


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
    check_manifest([manifest.encode()])
    return Upgraded(revision=int(revisions[-1]), manifest=manifest)


def _matched(pattern: re.Pattern[str], text: str, what: str) -> str:
    if pattern.fullmatch(text) is None:
        raise ValueError(f"{text[:80]!r} is no {what.removeprefix('a ').removeprefix('an ')}")
    return text


def _labels(request: UpgradeRequest) -> str:
    return ",".join(f"{key}={value}" for key, value in check_labels(request.labels.items()))
