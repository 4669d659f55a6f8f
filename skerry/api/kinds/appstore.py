"""Kinds of the App Store but for its releases (`apprelease`): the switch, where charts come from, templates and their review."""

from __future__ import annotations

from collections.abc import Iterator

from skerry.api import appstore, v1alpha1
from skerry.api.conditions import condition_of
from skerry.api.kinds.access import (
    APP_REVIEWER,
    HOST_VIEW,
    OF_POOL,
    OF_WORKSPACE,
    READ,
    READ_BY_EVERYBODY,
    READ_IN_NAMESPACES,
    Access,
    Tie,
    written_by,
)
from skerry.api.kinds.action import Action
from skerry.api.kinds.columns import AGE, NAME, Column, condition, joined, why_not
from skerry.api.kinds.kind import EVERY_VERB, Kind, Occurrence
from skerry.api.kinds.paths import at
from skerry.api.kinds.tenancy import describe
from skerry.api.meta import Document

CHANGES = ("delete", "patch", "update")
READ_EVERYWHERE = Access(verbs=READ, groups=(HOST_VIEW, APP_REVIEWER))
"""Of all namespaces: who reads on the host, and reviewers."""
EDITORS = Tie(by="workspace", roles=("edit", "admin"))
"""Members who may change what is in a workspace. In the pool, and in `default`, administrators of the host alone may."""
ADMINS = Tie(by="workspace", roles=("admin",))


def turn_of(name: str, old: Document, new: Document) -> Iterator[Occurrence]:
    """A condition that is said in another way than before: its reason, and a warning unless it is True."""
    before, after = condition_of(old, name), condition_of(new, name)
    if after.reason and (before.status, before.reason) != (after.status, after.reason):
        yield Occurrence(after.reason, after.message, warning=after.status == "False")


def describe_store(old: Document, new: Document) -> Iterator[Occurrence]:
    """Whether it can be used, and whether there is a Helm."""
    for name in ("Usable", "HelmReady", "Truncated"):
        yield from turn_of(name, old, new)


def describe_repository(old: Document, new: Document) -> Iterator[Occurrence]:
    """Besides its beginning and end: whether it could be read, and what of it changed."""
    yield from describe(old, new)
    if not new:
        return
    yield from turn_of("Ready", old, new)
    before, after = _revision(old), _revision(new)
    if after and before and before != after and condition_of(new, "Ready").reason == "Synced":
        sync = new["status"]["sync"]
        yield Occurrence(
            "ContentChanged",
            f"its content changed: {sync.get('versions', 0)} versions of {sync.get('charts', 0)} charts",
        )


_revision, _phase = at("status.sync.revision"), at("status.phase")


def describe_version(old: Document, new: Document) -> Iterator[Occurrence]:
    """Steps of its review, and alarms about its package."""
    if not new:
        yield Occurrence("Deleted", "deleted")
        return
    before, after = _phase(old) if old else None, _phase(new)
    reviews = (new.get("status") or {}).get("reviews") or [{}]
    if old and before != after:
        by, why = str(reviews[0].get("by", "")), str(reviews[0].get("message", ""))
        yield Occurrence(str(after), f"{before} became {after}{by and f' by {by}'}{why and f': {why}'}")
    for name in ("Upstream", "Checked"):
        yield from turn_of(name, old, new)


def chart_at(field: str) -> str:
    """The path of what a version's chart says."""
    return f"status.chart.{field}"


APP_STORE = Kind(
    group=v1alpha1.GROUP,
    version=v1alpha1.VERSION,
    kind="AppStore",
    plural="appstores",
    singular="appstore",
    owner="appstore",
    type=appstore.AppStore,
    verbs=("get", "list", "patch", "update", "watch"),
    access=(READ_BY_EVERYBODY,),
    events=describe_store,
    columns=(
        NAME,
        Column(name="Enabled", path="spec.enabled", type="boolean", description="The switch."),
        Column(
            name="Usable", path="status.conditions", cell=condition("Usable"), description="Whether it can be used."
        ),
        Column(
            name="Helm Ready",
            path="status.conditions",
            cell=condition("HelmReady"),
            description="Whether there is a Helm that can install.",
        ),
        AGE,
        Column(
            name="Helm", path="status.helm.version", priority=1, description="The version of Helm that does the work."
        ),
        Column(
            name="Message",
            path="status.conditions",
            cell=why_not("Usable"),
            priority=1,
            description="Why it cannot be used.",
        ),
    ),
)
APP_REPOSITORY = Kind(
    group=v1alpha1.GROUP,
    version=v1alpha1.VERSION,
    kind="AppRepository",
    plural="apprepositories",
    singular="apprepository",
    short_names=("apprepo",),
    namespaced=True,
    owner="appstore",
    type=appstore.AppRepository,
    verbs=EVERY_VERB,
    access=(READ_IN_NAMESPACES, READ_EVERYWHERE, written_by("admin")),
    labelled=True,
    actions=(
        Action(
            subresource="credential",
            verb="update",
            request=appstore.RepositoryCredential,
            answer=appstore.AppRepository,
            ties=(ADMINS,),
            description="Set what its server is shown. It is sealed, and nobody reads it again.",
        ),
        Action(
            subresource="credential",
            verb="delete",
            answer=appstore.AppRepository,
            ties=(ADMINS,),
            description="Forget its credential.",
        ),
        Action(
            subresource="sync",
            verb="create",
            request=appstore.RepositorySyncRequest,
            answer=appstore.AppRepository,
            ties=(EDITORS,),
            description="Look at it now.",
        ),
    ),
    selectable=("spec.url",),
    events=describe_repository,
    columns=(
        NAME,
        Column(name="URL", path="spec.url", description="Where it is."),
        Column(
            name="Ready", path="status.conditions", cell=condition("Ready"), description="Whether it could be read."
        ),
        Column(name="Charts", path="status.sync.charts", type="integer", description="Charts that are listed."),
        Column(name="Versions", path="status.sync.versions", type="integer", description="Versions that are listed."),
        Column(name="Synced", path="status.sync.finished", type="date", description="Time since the last look."),
        AGE,
        Column(
            name="Message",
            path="status.conditions",
            cell=why_not("Ready"),
            priority=1,
            description="Why it could not be read.",
        ),
    ),
)
APP = Kind(
    group=v1alpha1.GROUP,
    version=v1alpha1.VERSION,
    kind="App",
    plural="apps",
    singular="app",
    namespaced=True,
    owner="appstore",
    packed=True,
    type=appstore.App,
    verbs=("delete", "get", "list", "patch", "update", "watch"),
    access=(READ_IN_NAMESPACES, READ_EVERYWHERE, written_by("edit", "admin", verbs=CHANGES)),
    actions=(
        Action(
            subresource="package",
            verb="create",
            answer=appstore.AppVersion,
            streaming=True,
            max_bytes=32 * 1024 * 1024,
            ties=(EDITORS,),
            timeout_s=60.0,
            description="Push a chart's package: a new version, or another package in the place of a draft.",
        ),
    ),
    searchable=True,
    selectable=("status.repository", "status.chart"),
    events=describe,
    columns=(
        NAME,
        Column(name="Latest", path="status.latest", description="The newest version."),
        Column(name="App Version", path="status.appVersion", description="The version of what it installs."),
        Column(
            name="Category",
            path="spec.categories",
            cell=lambda names: joined(names) or appstore.UNCATEGORIZED,
            description="What it is for.",
        ),
        Column(name="Versions", path="status.versions", type="integer", description="How many are listed."),
        AGE,
        Column(name="Repository", path="status.repository", priority=1, description="Where it comes from."),
        Column(name="Description", path="status.description", priority=1, description="What it is."),
    ),
)
APP_VERSION = Kind(
    group=v1alpha1.GROUP,
    version=v1alpha1.VERSION,
    kind="AppVersion",
    plural="appversions",
    singular="appversion",
    short_names=("appv",),
    namespaced=True,
    owner="appstore",
    packed=True,
    type=appstore.AppVersion,
    verbs=("delete", "get", "list", "patch", "update", "watch"),
    access=(READ_IN_NAMESPACES, READ_EVERYWHERE, written_by("edit", "admin", verbs=CHANGES)),
    actions=tuple(
        Action(
            subresource=name,
            verb="get",
            streaming=True,
            groups=(HOST_VIEW, APP_REVIEWER),
            ties=(OF_WORKSPACE, OF_POOL),
            timeout_s=60.0,
            description=text,
        )
        for name, text in (
            ("package", "The package itself, as helm pull gets it."),
            ("readme", "Its README, in Markdown."),
            ("values", "Its values.yaml: what may be set, and the defaults."),
            ("schema", "Its values.schema.json: what values may be."),
            ("icon", "Its picture."),
        )
    ),
    selectable=("spec.app", "spec.repository", "spec.version", "status.phase"),
    events=describe_version,
    columns=(
        NAME,
        Column(name="App", path="spec.app", description="Of which app."),
        Column(name="Version", path="spec.version", description="Which version."),
        Column(name="App Version", path=chart_at("appVersion"), description="The version of what it installs."),
        Column(name="Phase", path="status.phase", description="Where its review stands."),
        Column(
            name="Risks",
            path="status.risks",
            cell=lambda risks: joined([str(each.get("type")) for each in risks or ()]),
            description="What it does with its default values that one should know.",
        ),
        AGE,
        Column(name="Problem", path="status.problem.message", priority=1, description="Why it cannot be installed."),
    ),
)
APP_CATEGORY = Kind(
    group=v1alpha1.GROUP,
    version=v1alpha1.VERSION,
    kind="AppCategory",
    plural="appcategories",
    singular="appcategory",
    short_names=("appcat",),
    owner="appstore",
    type=appstore.AppCategory,
    verbs=EVERY_VERB,
    access=(READ_BY_EVERYBODY, Access(verbs=("create", *CHANGES, "deletecollection"), groups=(APP_REVIEWER,))),
    events=describe,
    columns=(
        NAME,
        Column(name="Display Name", path="spec.displayName", description="Its name for people."),
        Column(name="Apps", path="status.apps", type="integer", description="Apps that are in it."),
        Column(name="Order", path="spec.order", type="integer", priority=1, description="Lower ones stand first."),
        AGE,
    ),
)
APP_REVIEW = Kind(
    group=v1alpha1.GROUP,
    version=v1alpha1.VERSION,
    kind="AppReview",
    plural="appreviews",
    singular="appreview",
    short_names=("apprev",),
    namespaced=True,
    owner="appstore",
    packed=True,
    type=appstore.AppReview,
    verbs=("create", "get", "list", "watch"),
    access=(READ_IN_NAMESPACES, READ_EVERYWHERE, Access(verbs=("create",), groups=(APP_REVIEWER,), ties=(EDITORS,))),
    selectable=("spec.version", "spec.app", "spec.action", "status.by"),
    columns=(
        NAME,
        Column(
            name="Version",
            path="spec",
            cell=lambda spec: (spec or {}).get("version") or (spec or {}).get("app"),
            description="What it is about.",
        ),
        Column(name="Action", path="spec.action", description="What was done."),
        Column(name="To", path="status.to", description="The phase after."),
        Column(name="By", path="status.by", description="Who did it."),
        AGE,
        Column(name="Message", path="spec.message", priority=1, description="Why."),
    ),
)

KINDS = (APP_STORE, APP_REPOSITORY, APP, APP_VERSION, APP_CATEGORY, APP_REVIEW)
