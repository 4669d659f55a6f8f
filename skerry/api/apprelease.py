"""skerry.dev/v1alpha1: an app that is wanted on some clusters, and what became of it on each. Wire shapes; field texts are for people."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType

from skerry.api.grants import ClusterSelection
from skerry.api.meta import Condition, ObjectMeta, Struct
from skerry.api.structural import list_map, one_of
from skerry.api.v1alpha1 import API_VERSION, described

INSTANCE_PHASES = (
    "Pending", "Waiting", "Installing", "Upgrading", "RollingBack", "Uninstalling", "Deployed", "Failed", "Blocked", "Orphaned",
)  # fmt: skip
HEALTH = ("Healthy", "Progressing", "Degraded", "Unknown")


class ValuesSource(Struct, frozen=True, kw_only=True):
    """Values that lie on each member, in the target namespace. They are read as the actor."""

    kind: Annotated[str, one_of("What holds them.", "Secret", "ConfigMap")]
    name: Annotated[str, described("Its name.")]
    key: Annotated[str, described("Which of its keys is a YAML document of values.")] = "values.yaml"
    optional: Annotated[bool, described("Whether it may be absent.")] = False


class ValuesOverride(Struct, frozen=True, kw_only=True):
    """Values of some of the clusters."""

    clusters: Annotated[ClusterSelection, described("Which.")]
    values: Annotated[dict[str, Any], described("Merged over the release's own; null deletes.")] = {}


class ReleaseHooks(Struct, frozen=True, kw_only=True):
    """What becomes of a chart's hooks."""

    enabled: Annotated[bool, described("Whether they are run.")] = True
    timeout: Annotated[str, described("How long one may take, at most 15m.")] = "2m"


class AppReleaseSpec(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """An app, where it is wanted, and how."""

    app: Annotated[str, described("[workspace/]name of the App: of its own workspace, or of the pool, skerry-apps.")]
    version: Annotated[str, described("The chart's version, exactly.")]
    release_name: Annotated[
        str, described("Name of the Helm release on the members. Default: the object's own. It cannot be changed.")
    ] = ""
    target_namespace: Annotated[
        str, described("Where it is installed on the members. Default: the workspace's name. It cannot be changed.")
    ] = ""
    create_namespace: Annotated[bool, described("Whether that namespace is made where it is not there.")] = False
    clusters: Annotated[ClusterSelection, described("Which of the workspace's clusters, now and later.")]
    values: Annotated[dict[str, Any], described("Your own values, over the chart's; null deletes.")] = {}
    values_from: Annotated[list[ValuesSource], described("Below values: documents that lie on the members.")] = []
    overrides: Annotated[list[ValuesOverride], described("Over values, on some of the clusters; in their order.")] = []
    timeout: Annotated[str, described("How long it may take until all objects are healthy.")] = "5m"
    on_failure: Annotated[
        str, one_of("What becomes of a failed upgrade; a failed first install is uninstalled.", "Keep", "Rollback")
    ] = "Keep"
    hooks: Annotated[ReleaseHooks | UnsetType, described("What becomes of the chart's hooks.")] = UNSET
    crds: Annotated[
        str,
        one_of(
            "Of the chart's crds/: made once, as Helm does; applied anew; or left out.", "Create", "Replace", "Skip"
        ),
    ] = "Create"
    conflicts: Annotated[str, one_of("Where others manage fields of its objects.", "Fail", "Take")] = "Fail"
    deletion: Annotated[
        str, one_of("What becomes of the Helm releases when this is deleted.", "Uninstall", "Orphan")
    ] = "Uninstall"
    history_limit: Annotated[int, described("Revisions that are kept on a member, 1 to 50.")] = 10
    suspend: Annotated[bool, described("While this is true nothing is done, and what runs stays.")] = False


class ReleaseActor(Struct, frozen=True, kw_only=True):
    """As whom it is worked on the members: who changed the spec last."""

    user: Annotated[str, described("The user.")] = ""
    groups: Annotated[list[str], described("Their groups at that time.")] = []
    at: Annotated[str, described("When.")] = ""


class ReleaseClusters(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """The clusters of a release, counted."""

    desired: Annotated[int, described("On which it is wanted.")] = 0
    ready: Annotated[int, described("Healthy at the wanted revision.")] = 0
    waiting: Annotated[int, described("Away, paused or suspended.")] = 0
    failed: Annotated[int, described("Failed or blocked.")] = 0


class ReleaseRevision(Struct, frozen=True, kw_only=True):
    """A revision of a release. Its values are sealed and kept with it."""

    revision: Annotated[int, described("Counts changes of what is installed.")]
    app: Annotated[str, described("The app.")] = ""
    version: Annotated[str, described("Its version.")] = ""
    digest: Annotated[str, described("sha256:… of its package.")] = ""
    by: Annotated[str, described("Who wanted it.")] = ""
    at: Annotated[str, described("When.")] = ""
    result: Annotated[str, described("What became of it, over all clusters.")] = ""


class AvailableVersion(Struct, frozen=True, kw_only=True):
    """A newer version that could be installed."""

    version: Annotated[str, described("Which.")] = ""
    security_updates: Annotated[bool, described("Whether it, or one between, mends a vulnerability.")] = False


class SecretValues(Struct, frozen=True, kw_only=True):
    """Values that are sealed."""

    present: Annotated[bool, described("True if there are any.")] = False
    keys: Annotated[int, described("How many.")] = 0
    at: Annotated[str, described("When they were given.")] = ""
    set: Annotated[str, described("A name for them; after each change another one.")] = ""


class AppReleaseStatus(Struct, frozen=True, kw_only=True):
    """What became of a release."""

    conditions: Annotated[list[Condition], list_map("Accepted, Ready and Progressing.", "type")] = []
    revision: Annotated[int, described("The one that is wanted.")] = 0
    actor: Annotated[ReleaseActor | UnsetType, described("As whom it is worked on the members.")] = UNSET
    changes: Annotated[int, described("How often somebody changed its spec, or took it over.")] = 0
    digest: Annotated[str, described("sha256:… of the package that is wanted.")] = ""
    clusters: Annotated[ReleaseClusters | UnsetType, described("Its clusters, counted.")] = UNSET
    available: Annotated[AvailableVersion | UnsetType, described("A newer version.")] = UNSET
    secret_values: Annotated[SecretValues | UnsetType, described("Values that are sealed.")] = UNSET
    history: Annotated[list[ReleaseRevision], list_map("Its revisions, the newest first.", "revision")] = []


class AppRelease(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """An app that is wanted on some clusters."""

    api_version: str = API_VERSION
    kind: str = "AppRelease"
    metadata: ObjectMeta
    spec: Annotated[AppReleaseSpec, described("What is wanted, and where.")]
    status: Annotated[AppReleaseStatus, described("What became of it.")] = AppReleaseStatus()


class ReleaseRollback(Struct, frozen=True, kw_only=True):
    """Back to an earlier revision: version and values of it, as a new one."""

    revision: Annotated[int, described("Which. Default: the one before.")] = 0


class ReleaseTarget(Struct, frozen=True, kw_only=True):
    """What of a release is meant."""

    cluster: Annotated[str, described("One of its clusters. Default: all.")] = ""


class ReleaseSecretValues(Struct, frozen=True, kw_only=True):
    """Values that nobody is to read: dotted paths, as helm --set has them, and the value of each."""

    set: Annotated[dict[str, str], described("By path.")] = {}
    spec: Annotated[
        dict[str, Any], described("The whole spec as it is to be from the same revision on. Default: as it is.")
    ] = {}
    resource_version: Annotated[
        str, described("Of the AppRelease that `spec` was made from: a conflict if it is another one. Default: any.")
    ] = ""


class ReleaseDiffRequest(Struct, frozen=True, kw_only=True):
    """What would change with another spec."""

    spec: Annotated[dict[str, Any], described("The whole spec as it would be. Default: as it is.")] = {}
    cluster: Annotated[str, described("One of its clusters. Default: each one.")] = ""
    secret_values: Annotated[dict[str, str], described("Sealed values that would be set besides.")] = {}


class InstanceDiff(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """What would change on one cluster. Data of Secrets is masked."""

    cluster: Annotated[str, described("Which.")] = ""
    values: Annotated[str, described("A unified diff of values; empty if they are the same.")] = ""
    manifest: Annotated[str, described("A unified diff of objects; empty if they are the same.")] = ""
    rendered: Annotated[str, described("The objects as they would be, where nothing is installed yet.")] = ""
    error: Annotated[str, described("Why it could not be told.")] = ""


class AppReleaseDiff(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """What would change, cluster by cluster."""

    clusters: Annotated[list[InstanceDiff], described("One of each.")] = []


# Instances


class AppInstanceSpec(Struct, frozen=True, kw_only=True):
    """Which release, where. Nobody changes it."""

    release: Annotated[str, described("The AppRelease, in the same namespace.")] = ""
    cluster: Annotated[str, described("The cluster.")] = ""
    cluster_uid: Annotated[str, described("UID of the Cluster object: another one of the name is another place.")] = (
        msgspec.field(name="clusterUID", default="")
    )


class HelmRelease(Struct, frozen=True, kw_only=True):
    """The Helm release on the member."""

    namespace: Annotated[str, described("Its namespace.")] = ""
    name: Annotated[str, described("Its name.")] = ""
    revision: Annotated[int, described("Helm's own count.")] = 0
    chart: Annotated[str, described("Name-version of the chart.")] = ""
    status: Annotated[str, described("In Helm's words.")] = ""
    by_hand: Annotated[bool, described("True if somebody ran helm there, and this is what they put in place.")] = False


class ObjectHealth(Struct, frozen=True, kw_only=True):
    """An object of an app, and how it is."""

    api_version: Annotated[str, described("Group and version.")] = ""
    kind: Annotated[str, described("Its kind.")]
    namespace: Annotated[str, described("Its namespace.")] = ""
    name: Annotated[str, described("Its name.")]
    health: Annotated[str, described("Healthy, Progressing, Degraded, Missing or Unknown.")] = ""
    message: Annotated[str, described("Why it is not healthy.")] = ""


class InstanceObjects(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """The objects of an app on one cluster."""

    total: Annotated[int, described("How many there are.")] = 0
    ready: Annotated[int, described("How many are healthy.")] = 0
    not_ready: Annotated[list[ObjectHealth], described("Those that are not, at most 10.")] = []


class InstanceError(Struct, frozen=True, kw_only=True):
    """What went wrong."""

    reason: Annotated[str, described("In one word.")] = ""
    message: Annotated[str, described("What happened, and what to do.")] = ""
    attempt: Annotated[int, described("How often it was tried.")] = 0
    next: Annotated[str, described("When it is tried again; empty: not by itself.")] = ""


class LeftObject(Struct, frozen=True, kw_only=True):
    """An object that an uninstall leaves, and the command that deletes it."""

    object: Annotated[str, described("kind/name.")]
    because: Annotated[str, described("Why it stays.")] = ""
    command: Annotated[str, described("kubectl …")] = ""


class AppInstanceStatus(Struct, frozen=True, kw_only=True):
    """What is observed of a release on one cluster."""

    revision: Annotated[int, described("Of the AppRelease: the one that is in place, or being put there.")] = 0
    phase: Annotated[str, one_of("What is being done.", *INSTANCE_PHASES)] = "Pending"
    since: Annotated[str, described("Since when it is in this phase.")] = ""
    deployed_revision: Annotated[
        int, described("The revision that was in place when it was last looked at; 0 if something was begun since.")
    ] = 0
    observed_changes: Annotated[int, described("status.changes of the AppRelease that this is about.")] = 0
    health: Annotated[str, one_of("How its objects are.", *HEALTH)] = "Unknown"
    helm: Annotated[HelmRelease | UnsetType, described("The Helm release on the member.")] = UNSET
    objects: Annotated[InstanceObjects | UnsetType, described("Its objects.")] = UNSET
    error: Annotated[InstanceError | UnsetType, described("What went wrong.")] = UNSET
    stays: Annotated[list[LeftObject], described("What an uninstall leaves there.")] = []
    notes: Annotated[str, described("What the chart says to who installed it.")] = ""
    message: Annotated[str, described("What it waits for, or what is wrong.")] = ""


class AppInstance(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """An AppRelease on one cluster."""

    api_version: str = API_VERSION
    kind: str = "AppInstance"
    metadata: ObjectMeta
    spec: Annotated[AppInstanceSpec, described("Which release, where.")] = AppInstanceSpec()
    status: Annotated[AppInstanceStatus, described("What is observed of it there.")] = AppInstanceStatus()


class AppInstanceResources(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """All objects of an app on one cluster, as they are now."""

    objects: Annotated[list[ObjectHealth], described("One of each.")] = []
