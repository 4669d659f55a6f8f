"""Actions that look at releases on members: what an upgrade would change, and the objects of an instance.

Members are asked as the release's actor, who may be somebody else than who asks here. So nothing is rendered there: a chart that
somebody names would `lookup` what that actor may read. Secret values are not rendered either, a word stands for each.
"""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import yaml

from services.appstore.helm.engine import HelmError, RenderRequest
from services.appstore.helm.failures import MASK, secret_texts
from services.appstore.helm.rooms import directory
from services.appstore.inspect.client import HiddenTexts, read_difference
from services.appstore.metadata import ChartError
from services.appstore.parts import AppStoreContext
from services.appstore.releases import choosing, helmsecrets, secretvalues, specs
from services.appstore.releases.observing import described
from services.appstore.releases.operations import reason_of
from services.appstore.releases.selecting import clusters
from services.appstore.releases.specs import Place, ValueLayers, values_of
from services.appstore.releases.subject import BY_RELEASE, InstanceSubject, subject_of
from skerry.admission.conform import FieldError
from skerry.admission.prepare import invalid_object
from skerry.api.apprelease import (
    AppInstanceResources,
    AppRelease,
    AppReleaseDiff,
    AppReleaseSpec,
    InstanceDiff,
    ReleaseDiffRequest,
)
from skerry.api.kinds import APP_INSTANCE, APP_RELEASE
from skerry.api.messages import WriteRequest
from skerry.api.meta import Document
from skerry.errors import BadRequest, Conflict, NotFound, StatusError
from skerry.storage import Item

MOST, AT_ONCE = 20, 4
"""Clusters of one answer, and how many are looked at at once."""


LEAST_TOLD_APART = 4
"""Characters of a secret that is looked for in what is installed: a shorter one stands in many places by chance."""


class _Wanted(NamedTuple):
    """A release as it would be."""

    document: Document
    spec: AppReleaseSpec
    place: Place
    package: bytes
    secrets: Mapping[str, str]
    """Sealed values, by path: their real ones."""
    unchanged: frozenset[str]
    """Of the secrets' texts those that are installed already, as far as they are long enough to be found again."""
    as_actor: bool
    """Whoever asks is the release's actor."""


async def diff(context: AppStoreContext, request: WriteRequest, body: ReleaseDiffRequest) -> Document:
    """What would change on each cluster, or on one. Invalid, NotFound, BadRequest."""
    await context.state.switch.check()
    await context.informer.current()
    stored = await context.store(APP_RELEASE).find(request.name, request.namespace)
    wanted = await _wanted(context, request, body, None if stored is None else stored.document())
    there = clusters(context.informer, request.namespace, wanted.spec.clusters)
    names = sorted(there) if not body.cluster else [body.cluster]
    if body.cluster and body.cluster not in there:
        raise NotFound(f"{request.name} is not wanted on cluster {body.cluster!r}", kind=APP_RELEASE.plural)
    key = f"{request.namespace}/{request.name}"
    instances = [subject_of(context.informer, each) for each in context.informer.lookup(APP_INSTANCE, BY_RELEASE, key)]
    known = {each.cluster.name: each for each in instances if each is not None}
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(name: str) -> InstanceDiff:
        async with turns:
            return await _diff(context, wanted, there[name], known.get(name))

    answer = AppReleaseDiff(clusters=list(await asyncio.gather(*map(one, names[:MOST]))))
    built: Document = msgspec.to_builtins(answer)
    return built


async def _wanted(
    context: AppStoreContext, request: WriteRequest, body: ReleaseDiffRequest, current: Document | None
) -> _Wanted:
    """The release as it would be. NotFound for one that is not there, and of which nothing is said."""
    if current is None and not body.spec:
        raise context.store(APP_RELEASE).not_found(request.name)
    metadata = {"name": request.name, "namespace": request.namespace}
    document: Document = {
        "apiVersion": APP_RELEASE.api_version,
        "kind": APP_RELEASE.kind,
        "metadata": metadata,
        "spec": body.spec or (current or {})["spec"],
    }
    try:
        spec = msgspec.convert(document, AppRelease).spec
    except msgspec.ValidationError as error:
        raise BadRequest(f"spec: {error}") from error
    if problems := [*specs.problems(document, current)]:
        raise invalid_object(document, problems)
    chosen = choosing.choose(context.informer, request.namespace, document["spec"])
    if isinstance(chosen, FieldError):
        raise invalid_object(document, [chosen])
    status = (current or {}).get("status") or {}
    sealed = {} if current is None else await _sealed(context, current)
    secrets = sealed | body.secret_values
    try:
        secretvalues.check(secrets)
        package = await context.state.checks.content(choosing.document_of(context.informer, chosen))
    except ValueError as error:
        raise BadRequest(str(error)) from None
    except ChartError as error:
        raise Conflict(f"{chosen.app} {chosen.version}: {error.reason}: {error}") from error
    unchanged = _lasting(sealed, secrets)
    as_actor = request.caller.user == (status.get("actor") or {}).get("user")
    return _Wanted(document, spec, specs.place(document), package, secrets, unchanged, as_actor)


def _lasting(before: Mapping[str, str], after: Mapping[str, str]) -> frozenset[str]:
    """Texts that are the same in both, and long enough to be found again."""
    return frozenset(text for _, text in before.items() & after.items() if len(text) >= LEAST_TOLD_APART)


async def _sealed(context: AppStoreContext, release: Document) -> dict[str, str]:
    """Its sealed values, by path."""
    name = ((release.get("status") or {}).get("secretValues") or {}).get("set", "")
    return await context.state.releases.history.secrets(release["metadata"]["uid"], name)


async def _diff(
    context: AppStoreContext, wanted: _Wanted, cluster: Item, subject: InstanceSubject | None
) -> InstanceDiff:
    """What would change on one cluster; an error that says why that is not known."""
    try:
        installed = await _installed(context, subject)
        layers = await _layers(context, wanted, subject)
        secrets = frozenset(wanted.secrets.values()).union(*map(secret_texts, layers.below))
        values = "" if subject is None else _values_diff(subject, wanted, cluster)
        with directory() as own:
            request = _render(wanted, cluster, own / "chart.tgz", layers, secrets, upgrade=bool(installed))
            await _rendered(context, wanted, request, own / "manifest.yaml")
            hidden = HiddenTexts(secrets, wanted.unchanged)
            text = await read_difference(installed, own / "manifest.yaml", wanted.place.namespace, hidden)
        if installed:
            return InstanceDiff(cluster=cluster.name, values=values, manifest=text)
        return InstanceDiff(cluster=cluster.name, values=values, rendered=text)
    except (HelmError, StatusError) as error:
        return InstanceDiff(cluster=cluster.name, error=reason_of(error)[1])


async def _installed(context: AppStoreContext, subject: InstanceSubject | None) -> bytes:
    """The Secret of the revision that is there; empty if nothing is."""
    if subject is None:
        return b""
    if subject.waits and not subject.release.spec.suspend:
        raise Conflict(subject.waits)
    door = context.state.releases.door
    access = await door.access(subject.delegation, subject.cluster.name)
    secrets = await helmsecrets.read(door, access, subject.place)
    latest = secrets.state.deployed or secrets.state.latest
    return b"" if latest is None else await helmsecrets.secret(door, access, subject.place, latest)


async def _layers(context: AppStoreContext, wanted: _Wanted, subject: InstanceSubject | None) -> ValueLayers:
    """Values that are not in the spec: a word for each secret one."""
    words = dict.fromkeys(wanted.secrets, MASK)
    if not wanted.spec.values_from:
        return ValueLayers((), words)
    if subject is None or not wanted.as_actor:
        raise Conflict(
            "it takes values that lie on the cluster (valuesFrom), which are read as the release's actor alone: what would change "
            "is shown to them; take it over to be that (skerry app own)"
        )
    state = context.state.releases
    access = await state.door.access(subject.delegation, subject.cluster.name)
    return ValueLayers(await state.operator.values_below(access, wanted.place, wanted.spec.values_from), words)


def _render(
    wanted: _Wanted, cluster: Item, chart: Path, layers: ValueLayers, secrets: frozenset[str], *, upgrade: bool
) -> RenderRequest:
    """How the objects are rendered as they would be. Pure."""
    status = cluster.document().get("status") or {}
    extra = (status.get("apiVersions") or {}).get("extra") or []
    return RenderRequest(
        chart=chart,
        release=wanted.place.name,
        namespace=wanted.place.namespace,
        values=values_of(wanted.spec, cluster.name, cluster.labels, layers),
        secrets=secrets,
        kube_version=str(status.get("kubernetesVersion") or ""),
        api_versions=tuple(each for each in extra if isinstance(each, str)),
        crds=False,
        hooks=not wanted.spec.hooks or wanted.spec.hooks.enabled,
        upgrade=upgrade,
    )


async def _rendered(context: AppStoreContext, wanted: _Wanted, request: RenderRequest, into: Path) -> None:
    """Render into a file."""
    engine = await context.state.helm.required()
    await asyncio.to_thread(request.chart.write_bytes, wanted.package)
    async with context.state.renders.slot(wanted.document["metadata"]["namespace"], engine.data):
        await engine.template(request, into)


def _values_diff(subject: InstanceSubject, wanted: _Wanted, cluster: Item) -> str:
    """How the values of the spec differ, as `diff -u` writes it. Those that lie elsewhere are in neither."""
    before, after = (
        yaml.safe_dump(values_of(spec, cluster.name, cluster.labels, ValueLayers()), sort_keys=True).splitlines()
        for spec in (subject.release.spec, wanted.spec)
    )
    lines = list(difflib.unified_diff(before, after, fromfile="values", tofile="values", lineterm=""))
    return "\n".join(lines) + "\n" if lines else ""


async def resources(context: AppStoreContext, request: WriteRequest, body: Any) -> Document:
    """All objects of an instance as they are now. Conflict while its cluster cannot be asked."""
    await context.informer.current()
    item = await context.store(APP_INSTANCE).get(request.name, request.namespace)
    subject = subject_of(context.informer, item)
    if subject is None or subject.waits:
        raise Conflict("its cluster is no member any more" if subject is None else subject.waits, name=request.name)
    state = context.state.releases
    access = await state.door.access(subject.delegation, subject.cluster.name)
    latest = (await helmsecrets.read(state.door, access, subject.place)).state.latest
    if latest is None:
        return {"objects": []}
    inventory = await state.observer.inventory(subject.key, access, subject.place, latest)
    now = await state.observer.look(subject.key, access, subject.place, inventory, all_of_it=True)
    answer = AppInstanceResources(objects=[described(*each) for each in now.items()])
    built: Document = msgspec.to_builtins(answer)
    return built


ACTIONS: dict[tuple[Any, str, str], Any] = {
    (APP_RELEASE, "diff", "create"): diff,
    (APP_INSTANCE, "resources", "get"): resources,
}
