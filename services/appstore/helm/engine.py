"""What is asked of Helm, what it answers, and how it fails: one Protocol, whichever program does the work.

An engine decides nothing. It does one operation at a time on one release as whom it is told, within limits, and leaves nothing
behind on this machine; what has become of a release is read from the member (`releases`), also where an operation did not end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

from skerry.api.meta import Document
from skerry.member.kubeconfig import Target

Reason: TypeAlias = Literal[
    "SchemaInvalid",
    "RenderFailed",
    "Forbidden",
    "Immutable",
    "UnknownKind",
    "Conflict",
    "HookFailed",
    "Deadline",
    "ResourceLimit",
    "Unreachable",
    "Cancelled",
    "ReleaseBusy",
    "EngineMissing",
    "Failed",
]
FINAL: frozenset[Reason] = frozenset(
    {"SchemaInvalid", "RenderFailed", "Forbidden", "Immutable", "UnknownKind", "Conflict", "ResourceLimit"}
)
"""Reasons for which the same request fails again: somebody has to change the chart, the values, the rights or the cluster."""
Crds: TypeAlias = Literal["Create", "Skip", "Replace"]
Conflicts: TypeAlias = Literal["Fail", "Take"]
EngineName: TypeAlias = Literal["commandline", "sdk"]


class HelmError(Exception):
    """An operation that failed. The message is one for people: cleaned, cut, without the request's secrets."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason: Reason = reason

    @property
    def final(self) -> bool:
        """True where trying again cannot help."""
        return self.reason in FINAL


@dataclass(frozen=True, kw_only=True)
class ClusterRequest:
    """An operation on a release that is, or is to be, on a cluster."""

    access: Target = field(repr=False)
    """The cluster's API, and as whom: a token, and the authority that is trusted."""
    release: str
    namespace: str
    hooks: bool = True
    hook_timeout_s: float = 120.0
    """For each hook."""
    deadline_s: float = 900.0
    """For the whole: then Helm is told to end, and killed 10 s later."""


@dataclass(frozen=True, kw_only=True)
class RenderRequest:
    """A chart with values, rendered here: no cluster is asked, `lookup` gives nothing."""

    chart: Path
    """The package (.tgz), checked before (`package`)."""
    release: str
    namespace: str
    values: Document = field(default_factory=dict, repr=False)
    secrets: frozenset[str] = field(default=frozenset(), repr=False)
    """Texts among the values that no message shows (`failures.secret_texts`)."""
    kube_version: str = ""
    """As `1.34` or `v1.34.1`; Helm's own if empty."""
    api_versions: tuple[str, ...] = ()
    """`group/version` or `group/version/Kind`, added to those that Helm knows."""
    crds: bool = True
    """With what is in the chart's crds/."""
    hooks: bool = True
    upgrade: bool = False
    """As for a release that is there."""
    deadline_s: float = 30.0


@dataclass(frozen=True, kw_only=True)
class UpgradeRequest(ClusterRequest):
    """A release as it is to be; it is installed if it is not there."""

    chart: Path
    values: Document = field(default_factory=dict, repr=False)
    """All of the user's own: those of the revision before are not looked at."""
    secrets: frozenset[str] = field(default=frozenset(), repr=False)
    kube_version: str = ""
    """The cluster's, for the check before anything is sent."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Of the release's Secret."""
    history: int = 10
    """Revisions that stay."""
    create_namespace: bool = False
    crds: Crds = "Create"
    """`Replace` is for the caller to do before (Helm never changes a CRD that is there); to Helm it is `Skip`."""
    conflicts: Conflicts = "Fail"
    server_side: bool = False
    """The last revision was applied by the server (`apply_method: ssa`): else Helm refuses to take fields from others."""
    dry_run: bool = False
    """Ask the cluster about everything, change nothing."""

    def offline(self) -> RenderRequest:
        """The same, rendered without the cluster."""
        return RenderRequest(
            chart=self.chart,
            release=self.release,
            namespace=self.namespace,
            values=self.values,
            secrets=self.secrets,
            kube_version=self.kube_version,
            hooks=self.hooks,
        )


@dataclass(frozen=True, kw_only=True)
class RollbackRequest(ClusterRequest):
    """Go back to what a revision was, as a new revision."""

    revision: int
    history: int = 10
    conflicts: Conflicts = "Fail"
    server_side: bool = False
    """Both as in an upgrade."""


@dataclass(frozen=True, kw_only=True)
class UninstallRequest(ClusterRequest):
    """Delete a release and its history; well if there is none."""


@dataclass(frozen=True, kw_only=True)
class Upgraded:
    """What an upgrade has done; its notes and values are in the release itself (`releases`)."""

    revision: int
    manifest: str = field(default="", repr=False)
    """Of a dry run: as a file of `Engine.template`, by what the cluster says."""


@dataclass(frozen=True, kw_only=True)
class Uninstalled:
    """What Helm left on purpose: `[Kind] name` for objects with `helm.sh/resource-policy: keep`."""

    kept: tuple[str, ...] = ()


class Engine(Protocol):
    """Does what is asked with Helm; HelmError where it does not succeed. A call that is cancelled has ended its process."""

    @property
    def name(self) -> EngineName: ...

    @property
    def data(self) -> int:
        """Bytes of memory that one operation may take."""
        ...

    async def version(self) -> str:
        """Helm's, as `4.3.1`."""
        ...

    async def template(self, request: RenderRequest, into: Path) -> None:
        """Write what a chart makes of values into a new file: YAML documents, hooks and test objects among them
        (`manifest.objects` tells them apart). It is a stranger's, of up to 8 MiB, and never in our memory.
        """
        ...

    async def check(self, request: RenderRequest) -> None:
        """Render what would be sent, so that what is too much, or does not meet the schema, is never sent; once for the same
        request (`preflight`). An upgrade does it by itself.
        """
        ...

    async def upgrade(self, request: UpgradeRequest) -> Upgraded: ...

    async def rollback(self, request: RollbackRequest) -> None: ...

    async def uninstall(self, request: UninstallRequest) -> Uninstalled: ...
