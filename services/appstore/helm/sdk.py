"""The engine that is helm-python-sdk (Helm's library in a wheel), for machines without the `helm` program.

One process per operation in the same jail (`worker`). What the library has no option for is refused by name: it cannot skip
hooks or CRDs, take fields from other managers, or render for a version of Kubernetes or for more APIs than it knows.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

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
from services.appstore.helm.jail import MIB, PATIENCE, ROOT, Jail, python_paths, run
from services.appstore.helm.limits import check_manifest
from services.appstore.helm.orders import Operation, Order, OrderAnswer
from services.appstore.helm.preflight import Preflight
from services.appstore.helm.rooms import Room, check_chart, check_labels, check_names, cluster_room, environment, room
from skerry.api.decode import decoded
from skerry.identity.files import write_private

DATA = 320 * MIB
"""Bytes: Helm's 192 MiB, Python, and what of the library is written to."""
GRACE_S = 10.0


class Sdk:
    """Helm's library, by helm-python-sdk."""

    name: EngineName = "sdk"
    data = DATA

    def __init__(self, *, directory: Path | None = None, required: bool = False) -> None:
        """As those of CommandLine."""
        self._directory, self._required = directory, required
        self._preflight = Preflight(self.template)

    async def version(self) -> str:
        """As Engine has it."""
        async with room(self._directory, frozenset()) as own:
            return (await self._work(own, Order(operation="version"), deadline_s=30.0)).version

    async def template(self, request: RenderRequest, into: Path) -> None:
        """As Engine has it."""
        check_names(request.release, request.namespace)
        _refuse(
            ("render for a version of Kubernetes", bool(request.kube_version)),
            ("render for other APIs", bool(request.api_versions)),
            ("leave hooks out", not request.hooks),
        )
        order = Order(
            operation="template",
            release=request.release,
            namespace=request.namespace,
            chart=check_chart(request.chart),
            values=request.values,
            crds=request.crds,
            is_upgrade=request.upgrade,
        )
        async with room(self._directory, request.secrets) as own:
            answer = await self._work(own, order, deadline_s=request.deadline_s)
        manifest = answer.manifest.encode()
        check_manifest([manifest])
        write_private(into, manifest, durable=False)

    async def check(self, request: RenderRequest) -> None:
        """As Engine has it, for the version of Kubernetes that the library knows."""
        await self._preflight.check(replace(request, kube_version=""))

    async def upgrade(self, request: UpgradeRequest) -> Upgraded:
        """As Engine has it."""
        check_names(request.release, request.namespace)
        _refuse(
            ("leave hooks out", not request.hooks),
            ("leave CRDs out", request.crds != "Create"),
            ("take fields from other managers", request.conflicts == "Take" and request.server_side),
        )
        if not request.dry_run:
            await self.check(request.offline())
        async with cluster_room(self._directory, request, request.secrets) as own:
            order = _order(
                "upgrade",
                own,
                request,
                chart=check_chart(request.chart),
                values=request.values,
                labels=dict(check_labels(request.labels.items())),
                history=request.history,
                create_namespace=request.create_namespace,
                dry_run=request.dry_run,
            )
            answer = await self._work(own, order, deadline_s=request.deadline_s)
        check_manifest([answer.manifest.encode()])
        return Upgraded(revision=answer.revision, manifest=answer.manifest)

    async def rollback(self, request: RollbackRequest) -> None:
        """As Engine has it. Revisions beyond `history` go at the next upgrade."""
        check_names(request.release, request.namespace)
        _refuse(
            ("leave hooks out", not request.hooks),
            ("take fields from other managers", request.conflicts == "Take" and request.server_side),
        )
        async with cluster_room(self._directory, request, frozenset()) as own:
            order = _order("rollback", own, request, revision=request.revision)
            await self._work(own, order, deadline_s=request.deadline_s)

    async def uninstall(self, request: UninstallRequest) -> Uninstalled:
        """As Engine has it."""
        check_names(request.release, request.namespace)
        _refuse(("leave hooks out", not request.hooks))
        async with cluster_room(self._directory, request, frozenset()) as own:
            answer = await self._work(own, _order("uninstall", own, request), deadline_s=request.deadline_s)
        return Uninstalled(kept=tuple(answer.kept))

    async def _work(self, own: Room, order: Order, *, deadline_s: float) -> OrderAnswer:
        read = python_paths() + ((Path(order.chart),) if order.chart else ())
        grace_s = GRACE_S if own.ports else 0.0
        jail = Jail(
            own.directory,
            read,
            own.ports,
            data=DATA,
            grace_s=grace_s,
            patience=0 if own.ports else PATIENCE,
            required=self._required,
        )
        command = [_program(own), "-m", "services.appstore.helm.worker"]
        paths = dict.fromkeys((str(ROOT), *(each for each in sys.path if Path(each).is_absolute())))
        environ = environment(own) | {"PYTHONPATH": os.pathsep.join(paths)}
        finished = await run(jail, command, deadline_s=deadline_s, stdin=[msgspec.json.encode(order)], environ=environ)
        if (finished.ending, finished.code) != ("exit", 0):
            raise failure(finished, own.secrets, deadline_s=deadline_s)
        try:
            return decoded(finished.stdout, OrderAnswer)
        except msgspec.DecodeError as error:
            raise HelmError("Failed", f"the worker's answer cannot be read: {error}") from error


def _program(own: Room) -> str:
    """This Python under the name helm: its library takes the program's name for that of the manager of fields, and with
    another one than the program's the two would be in each other's way.
    """
    link = own.directory / "helm"
    link.symlink_to(Path(sys.executable).resolve())
    return str(link)


def _order(operation: Operation, own: Room, request: ClusterRequest, **more: Any) -> Order:
    return Order(
        operation=operation,
        release=request.release,
        namespace=request.namespace,
        kubeconfig=str(own.kubeconfig),
        timeout_s=max(1, round(request.hook_timeout_s)),
        **more,
    )


def _refuse(*wishes: tuple[str, bool]) -> None:
    """HelmError for what is wanted and cannot be had."""
    if lacking := [what for what, wanted in wishes if wanted]:
        raise HelmError(
            "EngineMissing",
            f"Helm's Python package cannot {' or '.join(lacking)}: install helm 4.2.2 or newer so that it is on PATH",
        )
