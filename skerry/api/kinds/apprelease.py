"""Kinds of the App Store for what is installed: a release on some clusters, and on each of them."""

from __future__ import annotations

from collections.abc import Iterator

from skerry.api import apprelease, v1alpha1
from skerry.api.kinds.access import ADMIN, EDIT, READ_IN_NAMESPACES, written_by
from skerry.api.kinds.action import Action
from skerry.api.kinds.appstore import EDITORS, READ_EVERYWHERE, turn_of
from skerry.api.kinds.columns import AGE, NAME, Column, clusters, condition, why_not
from skerry.api.kinds.kind import EVERY_VERB, Kind, Occurrence
from skerry.api.kinds.paths import at
from skerry.api.kinds.tenancy import describe
from skerry.api.meta import Document, Struct

_available, _phase = at("status.available.version"), at("status.phase")


def describe_release(old: Document, new: Document) -> Iterator[Occurrence]:
    """Besides its beginning, changes and end: whether it is accepted and in place, and that there is a newer version."""
    yield from describe(old, new)
    if not new:
        return
    for name in ("Accepted", "Ready"):
        yield from turn_of(name, old, new)
    newer = _available(new)
    if newer and newer != _available(old):
        mends = " with security fixes" if new["status"]["available"].get("securityUpdates") else ""
        yield Occurrence("UpdateAvailable", f"version {newer}{mends} is available")


def describe_instance(old: Document, new: Document) -> Iterator[Occurrence]:
    """Its phases."""
    if not new or (old and _phase(old) == _phase(new)):
        return
    phase, status = str(_phase(new) or "Pending"), new.get("status") or {}
    error, cluster = status.get("error") or {}, (new.get("spec") or {}).get("cluster", "")
    message = str(error.get("message") or status.get("message") or f"on {cluster}")
    yield Occurrence(phase, message, warning=phase in ("Failed", "Blocked"))


def _by_editors(
    subresource: str,
    request: type[Struct] | None,
    answer: type[Struct],
    description: str,
    *,
    verb: str = "create",
    timeout_s: float = 10.0,
) -> Action:
    """An action of those who may change releases in a workspace."""
    return Action(
        subresource=subresource,
        verb=verb,
        request=request,
        answer=answer,
        groups=(EDIT, ADMIN),
        ties=(EDITORS,),
        description=description,
        timeout_s=timeout_s,
    )


APP_RELEASE = Kind(
    group=v1alpha1.GROUP,
    version=v1alpha1.VERSION,
    kind="AppRelease",
    plural="appreleases",
    singular="apprelease",
    short_names=("apprel",),
    namespaced=True,
    owner="appstore",
    type=apprelease.AppRelease,
    verbs=EVERY_VERB,
    access=(READ_IN_NAMESPACES, READ_EVERYWHERE, written_by("edit", "admin")),
    actions=(
        _by_editors(
            "diff",
            apprelease.ReleaseDiffRequest,
            apprelease.AppReleaseDiff,
            "What an upgrade would change; data of Secrets is masked.",
            timeout_s=60.0,
        ),
        _by_editors(
            "rollback",
            apprelease.ReleaseRollback,
            apprelease.AppRelease,
            "Version and values of an earlier revision, as a new one.",
        ),
        _by_editors(
            "retry", apprelease.ReleaseTarget, apprelease.AppRelease, "Try again now what failed or is blocked."
        ),
        _by_editors(
            "own", apprelease.ReleaseTarget, apprelease.AppRelease, "Take it over: from now on it is worked as you."
        ),
        _by_editors(
            "secretvalues",
            apprelease.ReleaseSecretValues,
            apprelease.AppRelease,
            "Set values that nobody reads again, besides those that are set already.",
            verb="update",
        ),
        _by_editors("secretvalues", None, apprelease.AppRelease, "Forget all of these values.", verb="delete"),
    ),
    selectable=("spec.app", "spec.version"),
    actor="status.actor",
    events=describe_release,
    columns=(
        NAME,
        Column(name="App", path="spec.app", description="Which app."),
        Column(name="Version", path="spec.version", description="Which version."),
        Column(name="Clusters", path="spec.clusters", cell=clusters, description="Where."),
        Column(
            name="Ready",
            path="status.conditions",
            cell=condition("Ready"),
            description="Whether it is healthy everywhere.",
        ),
        Column(name="Available", path="status.available.version", description="A newer version."),
        AGE,
        Column(
            name="Message", path="status.conditions", cell=why_not("Ready"), priority=1, description="What it lacks."
        ),
    ),
)
APP_INSTANCE = Kind(
    group=v1alpha1.GROUP,
    version=v1alpha1.VERSION,
    kind="AppInstance",
    plural="appinstances",
    singular="appinstance",
    short_names=("appi",),
    namespaced=True,
    owner="appstore",
    type=apprelease.AppInstance,
    verbs=("get", "list", "watch"),
    access=(READ_IN_NAMESPACES, READ_EVERYWHERE),
    actions=(
        _by_editors("retry", apprelease.ReleaseTarget, apprelease.AppInstance, "Try again now."),
        _by_editors(
            "resources",
            None,
            apprelease.AppInstanceResources,
            "All its objects as they are now, read as the release's actor.",
            verb="get",
            timeout_s=30.0,
        ),
        _by_editors(
            "forget",
            apprelease.ReleaseTarget,
            apprelease.AppInstance,
            "Let go of one that is not wanted any more: what is on the cluster stays there and is nobody's.",
        ),
    ),
    selectable=("spec.release", "spec.cluster", "status.phase"),
    events=describe_instance,
    cluster="spec.cluster",
    columns=(
        NAME,
        Column(name="Cluster", path="spec.cluster", description="Where."),
        Column(name="Phase", path="status.phase", description="What is being done."),
        Column(name="Health", path="status.health", description="How its objects are."),
        Column(name="Revision", path="status.revision", type="integer", description="Of the AppRelease."),
        Column(name="Chart", path="status.helm.chart", description="What is installed."),
        AGE,
        Column(name="Message", path="status.message", priority=1, description="What it waits for, or what is wrong."),
    ),
)

KINDS = (APP_RELEASE, APP_INSTANCE)
