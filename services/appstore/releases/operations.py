"""Helm at work for a release on one cluster: everything that it needs is fetched, given to it, and taken away again."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from services.appstore.foreignyaml import ForeignYamlError, loaded
from services.appstore.helm.engine import Engine, HelmError, RollbackRequest, UninstallRequest, UpgradeRequest
from services.appstore.helm.failures import secret_texts
from services.appstore.helm.rooms import directory
from services.appstore.helm.slots import Slots
from services.appstore.metadata import ChartError
from services.appstore.releases import crds
from services.appstore.releases.frontdoor import FrontDoor, MemberAccess
from services.appstore.releases.helmsecrets import LABEL, REVISION_LABEL
from services.appstore.releases.history import RevisionHistory
from services.appstore.releases.machine import Operate
from services.appstore.releases.specs import Place, ValueLayers, values_of
from services.appstore.releases.turns import MemberTurns
from skerry.api import duration
from skerry.api.apprelease import AppRelease, ReleaseHooks, ValuesSource
from skerry.api.meta import Document
from skerry.errors import Forbidden, NotFound, StatusError, Unauthorized

LARGEST_VALUES = 1 << 20
"""Bytes of values that lie on a member."""
DEADLINE_S = 900.0
"""For an operation; more, if its hooks may take longer."""


class Packages(Protocol):
    """Packages of charts that were looked into."""

    async def content(self, version: Document) -> bytes:
        """The package of an AppVersion. ChartError, StatusError."""
        ...


class Engines(Protocol):
    """Where the Helm is that does the work."""

    async def required(self) -> Engine:
        """The engine. HelmError EngineMissing, which says how to get one."""
        ...


@dataclass(frozen=True, kw_only=True)
class Job:
    """One operation."""

    release: AppRelease
    cluster: str
    labels: dict[str, str]
    """Of the Cluster."""
    kube_version: str
    place: Place
    access: MemberAccess
    step: Operate
    server_side: bool
    """The last revision was applied by the server."""
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    """It has had its turn."""


class Operator:
    """Does operations. What it raises: HelmError, StatusError."""

    def __init__(
        self,
        door: FrontDoor,
        engines: Engines,
        packages: Packages,
        history: RevisionHistory,
        turns: MemberTurns,
        versions: Callable[[AppRelease], Document],
        slots: Slots,
    ) -> None:
        """`versions`: the AppVersion of a release's revision. `slots`: for operations on all members."""
        self._door, self._engines, self._packages, self._history = door, engines, packages, history
        self._turns, self._versions = turns, versions
        self._slots = slots

    async def run(self, job: Job) -> None:
        """Have it done. Who cancels this has ended Helm."""
        engine, workspace = await self._engines.required(), job.release.metadata.namespace
        async with self._turns.turn(job.cluster, workspace), self._slots.slot(workspace, engine.data):
            job.begun.set()
            match job.step.operation:
                case "Install" | "Upgrade":
                    await self._upgrade(engine, job)
                case "Rollback":
                    await self._rollback(engine, job)
                case "Uninstall":
                    await self._uninstall(engine, job)

    def waits(self, job: Job) -> str:
        """What an operation waits for before it begins, for people; empty once it has begun."""
        workspace = job.release.metadata.namespace
        if job.begun.is_set():
            return ""
        return self._turns.why_waiting(job.cluster, workspace) or self._slots.why_waiting(workspace)

    async def _upgrade(self, engine: Engine, job: Job) -> None:
        release, spec = job.release, job.release.spec
        package = await self.package(release)
        layers = ValueLayers(
            await self.values_below(job.access, job.place, spec.values_from), await self._secrets(release)
        )
        values = values_of(spec, job.cluster, job.labels, layers)
        if spec.crds == "Replace":
            await crds.replace(self._door, job.access, package)
        hooks = _hooks(release)
        with directory() as own:
            chart = own / "chart.tgz"
            await asyncio.to_thread(chart.write_bytes, package)
            await engine.upgrade(
                UpgradeRequest(
                    access=self._door.target(job.access),
                    release=job.place.name,
                    namespace=job.place.namespace,
                    chart=chart,
                    values=values,
                    secrets=_secret_texts(layers),
                    kube_version=job.kube_version,
                    labels={LABEL: release.metadata.uid, REVISION_LABEL: str(release.status.revision)},
                    history=spec.history_limit,
                    create_namespace=spec.create_namespace,
                    crds="Create" if spec.crds == "Create" else "Skip",
                    conflicts="Take" if spec.conflicts == "Take" else "Fail",
                    server_side=job.server_side,
                    hooks=hooks.enabled,
                    hook_timeout_s=_timeout_s(hooks),
                    deadline_s=_deadline_s(hooks),
                )
            )

    async def _rollback(self, engine: Engine, job: Job) -> None:
        hooks = _hooks(job.release)
        await engine.rollback(
            RollbackRequest(
                access=self._door.target(job.access),
                release=job.place.name,
                namespace=job.place.namespace,
                revision=job.step.to,
                history=job.release.spec.history_limit,
                conflicts="Take" if job.release.spec.conflicts == "Take" else "Fail",
                server_side=job.server_side,
                hooks=hooks.enabled,
                hook_timeout_s=_timeout_s(hooks),
                deadline_s=_deadline_s(hooks),
            )
        )

    async def _uninstall(self, engine: Engine, job: Job) -> None:
        hooks = _hooks(job.release)
        await engine.uninstall(
            UninstallRequest(
                access=self._door.target(job.access),
                release=job.place.name,
                namespace=job.place.namespace,
                hooks=hooks.enabled,
                hook_timeout_s=_timeout_s(hooks),
                deadline_s=_deadline_s(hooks),
            )
        )

    async def package(self, release: AppRelease) -> bytes:
        """The package of its chart. HelmError, StatusError."""
        try:
            return await self._packages.content(self._versions(release))
        except ChartError as error:
            raise HelmError("RenderFailed", f"{error.reason}: {error}") from error

    async def _secrets(self, release: AppRelease) -> dict[str, str]:
        secrets = release.status.secret_values
        return await self._history.secrets(release.metadata.uid, secrets.set) if secrets else {}

    async def values_below(
        self, access: MemberAccess, place: Place, sources: list[ValuesSource]
    ) -> tuple[Document, ...]:
        """Values that lie on the member, read as the actor. HelmError Failed names what is not as it must be; StatusError."""
        documents = []
        for source in sources:
            plural = "secrets" if source.kind == "Secret" else "configmaps"
            try:
                answer = await self._door.get(access, f"/api/v1/namespaces/{place.namespace}/{plural}/{source.name}")
            except NotFound:
                if source.optional:
                    continue
                raise HelmError("Failed", f"{_named(source, place)} is not there") from None
            except (Forbidden, Unauthorized) as error:
                message = f"{_named(source, place)} cannot be read: {error.message}"
                raise type(error)(message, causes=tuple(error.details.causes)) from error
            document = values_in(source, place, answer.document())
            if document is not None:
                documents.append(document)
        return tuple(documents)


def values_in(source: ValuesSource, place: Place, document: Document) -> Document | None:
    """The values in a Secret or ConfigMap; None if the key is not there and need not be. HelmError Failed, which shows none."""
    name = _named(source, place)
    data = document.get("data")
    text = data.get(source.key) if isinstance(data, dict) else None
    if text is None and source.optional:
        return None
    if not isinstance(text, str):
        raise HelmError("Failed", f"{name} has no key {source.key!r}")
    try:
        content = base64.b64decode(text, validate=True) if source.kind == "Secret" else text.encode()
    except (binascii.Error, ValueError):
        raise HelmError("Failed", f"{name}: key {source.key!r} is no base64") from None
    if len(content) > LARGEST_VALUES:
        raise HelmError("Failed", f"{name}: key {source.key!r} has more than {LARGEST_VALUES} bytes")
    try:
        values = loaded(content) if content.strip() else {}
    except ForeignYamlError:
        raise HelmError("Failed", f"{name}: key {source.key!r} is no YAML without aliases and tags") from None
    if values is not None and not isinstance(values, dict):
        raise HelmError("Failed", f"{name}: key {source.key!r} is no mapping of values")
    return values or {}


def _named(source: ValuesSource, place: Place) -> str:
    return f"valuesFrom: {source.kind} {place.namespace}/{source.name}"


def reason_of(error: HelmError | StatusError) -> tuple[str, str, bool]:
    """(reason, message, whether the same again cannot help) of what an operation raised."""
    if isinstance(error, HelmError):
        return error.reason, str(error), error.final
    refused = error.code in (401, 403)
    reason = next((cause.reason for cause in error.details.causes if cause.reason), "") if refused else ""
    if refused:
        return reason or "Forbidden", error.message, True
    transient = error.code in (429, 502, 503, 504)
    return "Unreachable" if transient else error.reason, error.message, False


def _secret_texts(layers: ValueLayers) -> frozenset[str]:
    texts = frozenset(layers.secrets.values())
    for each in layers.below:
        texts |= secret_texts(each)
    return texts


def _hooks(release: AppRelease) -> ReleaseHooks:
    return release.spec.hooks or ReleaseHooks()


def _timeout_s(hooks: ReleaseHooks) -> float:
    return float(duration.parse(hooks.timeout))


def _deadline_s(hooks: ReleaseHooks) -> float:
    return max(DEADLINE_S, 2 * _timeout_s(hooks))
