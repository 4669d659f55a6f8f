"""skerry.dev/v1alpha1, the kinds of the App Store but for its releases (`apprelease`). Wire shapes; field texts are for people."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import UNSET, UnsetType

from skerry.api.charts import Chart
from skerry.api.meta import Condition, ObjectMeta, Struct
from skerry.api.structural import list_map, list_set, one_of
from skerry.api.v1alpha1 import API_VERSION, described

STORE = "host"
"""The name of the one AppStore."""
UNCATEGORIZED = "uncategorized"
"""The category of apps that are in no other; always there."""
PHASES = ("Draft", "Submitted", "Passed", "Active", "Suspended", "Rejected")
"""Of a version, in the order of its review; the names are those of KubeSphere's App Store."""
REVIEW_ACTIONS = ("Submit", "Cancel", "Pass", "Reject", "Release", "Suspend", "Recover")
RISKS = (
    "ClusterScoped", "RBAC", "CustomResources", "Webhooks", "Hooks", "HostPath", "Privileged", "OtherNamespaces",
)  # fmt: skip
"""What a chart does with its own default values that a reviewer should know."""


class AppStoreNetwork(Struct, frozen=True, kw_only=True):
    """Where charts may be fetched from, besides public addresses."""

    allow: Annotated[
        list[str], list_set("Host names and networks that may be reached though they are private or local.")
    ] = []
    plain_http: Annotated[bool, described("Whether http is allowed besides https.")] = msgspec.field(
        name="plainHTTP", default=False
    )


class AppStoreReview(Struct, frozen=True, kw_only=True):
    """How templates are reviewed."""

    four_eyes: Annotated[bool, described("Whether nobody may pass what they submitted themselves.")] = True


class AppStoreLimits(Struct, frozen=True, kw_only=True):
    """The limits of the store."""

    package_mib: Annotated[int, described("MiB of one package.")] = msgspec.field(name="packageMiB", default=5)
    storage_mib: Annotated[int, described("MiB of all packages that are kept.")] = msgspec.field(
        name="storageMiB", default=2048
    )
    versions: Annotated[int, described("Versions of all apps together.")] = 20_000


class AppStoreSpec(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """The switch, and what holds for all of the store."""

    enabled: Annotated[bool, described("Whether the App Store can be used, on every cluster or on none.")] = False
    review: Annotated[AppStoreReview | UnsetType, described("How templates are reviewed.")] = UNSET
    network: Annotated[AppStoreNetwork | UnsetType, described("Where charts may be fetched from.")] = UNSET
    limits: Annotated[AppStoreLimits | UnsetType, described("The limits of the store.")] = UNSET


class HelmEngine(Struct, frozen=True, kw_only=True):
    """The Helm that does the work."""

    engine: Annotated[str, described("commandline or sdk; empty if there is none.")] = ""
    version: Annotated[str, described("Its version.")] = ""
    walls: Annotated[list[str], described("What it is held by while it works.")] = []


class AppStoreStatus(Struct, frozen=True, kw_only=True):
    """The store as it is observed."""

    conditions: Annotated[list[Condition], list_map("Usable, HelmReady and Truncated.", "type")] = []
    helm: Annotated[HelmEngine | UnsetType, described("The Helm that does the work.")] = UNSET


class AppStore(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """The App Store of the host. There is one, called host."""

    api_version: str = API_VERSION
    kind: str = "AppStore"
    metadata: ObjectMeta
    spec: Annotated[AppStoreSpec, described("The switch, and what holds for all of the store.")] = AppStoreSpec()
    status: Annotated[AppStoreStatus, described("What is observed of it.")] = AppStoreStatus()


# Repositories


class RepositoryTLS(Struct, frozen=True, kw_only=True):
    """How a repository's server is verified."""

    ca_bundle: Annotated[str, described("Authorities in PEM, which alone count. Default: those of the system.")] = ""
    insecure_skip_verify: Annotated[bool, described("True takes any certificate, also an attacker's.")] = False


class AppRepositorySpec(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """A repository of charts, and what of it is wanted."""

    url: Annotated[
        str, described("https://… below which index.yaml lies, or oci://registry/path. Without a user or a query.")
    ]
    charts: Annotated[
        list[str],
        list_set("Only these charts. Of a registry they must be named unless it lists its catalogue."),
    ] = []
    sync_period: Annotated[str, described("Between two looks at it: 0s is by hand only, else at least 60s.")] = "1h"
    keep_versions: Annotated[int, described("The newest versions of each chart that are listed, 1 to 50.")] = 5
    review: Annotated[
        str,
        one_of(
            "Whether its versions are Active at once, or wait as drafts for a review. Of the pool only.",
            "Automatic",
            "Required",
        ),
    ] = "Automatic"
    tls: Annotated[RepositoryTLS | UnsetType, described("How its server is verified.")] = UNSET


class RepositorySync(Struct, frozen=True, kw_only=True):
    """The last look at a repository."""

    requested: Annotated[str, described("When somebody asked for one; one that finished later has been done.")] = ""
    finished: Annotated[str, described("When it ended, well or not.")] = ""
    revision: Annotated[str, described("Of what was read: it changes with the content.")] = ""
    charts: Annotated[int, described("Charts that are listed.")] = 0
    versions: Annotated[int, described("Versions that are listed.")] = 0
    known: Annotated[int, described("Versions that the repository has.")] = 0
    next: Annotated[str, described("When it is looked at again.")] = ""
    failures: Annotated[int, described("Looks in a row that failed.")] = 0


class SkippedVersion(Struct, frozen=True, kw_only=True):
    """An entry of a repository that is not listed, and why."""

    chart: Annotated[str, described("The chart.")]
    version: Annotated[str, described("Its version.")] = ""
    reason: Annotated[str, described("The rule, in one word.")]
    message: Annotated[str, described("What is wrong.")] = ""


class StoredCredential(Struct, frozen=True, kw_only=True):
    """Whether a repository has a credential; what it is, is sealed."""

    present: Annotated[bool, described("True if there is one.")] = False
    type: Annotated[str, described("basic, token or certificate; several with a + between.")] = ""


class AppRepositoryStatus(Struct, frozen=True, kw_only=True):
    """The repository as it was seen last."""

    conditions: Annotated[list[Condition], list_map("Ready, and Truncated where not all is listed.", "type")] = []
    sync: Annotated[RepositorySync | UnsetType, described("The last look at it.")] = UNSET
    skipped: Annotated[list[SkippedVersion], described("Versions that are not listed, at most 20.")] = []
    skipped_count: Annotated[int, described("How many there are.")] = 0
    credential: Annotated[StoredCredential | UnsetType, described("Whether it has a credential.")] = UNSET


class AppRepository(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """A place where charts come from, and the source of the apps of its namespace."""

    api_version: str = API_VERSION
    kind: str = "AppRepository"
    metadata: ObjectMeta
    spec: Annotated[AppRepositorySpec, described("Where charts come from.")]
    status: Annotated[AppRepositoryStatus, described("What is observed of it.")] = AppRepositoryStatus()


class RepositoryCredential(Struct, frozen=True, kw_only=True):
    """What a repository's server is shown: user and password, or a token; and a client certificate beside."""

    username: Annotated[str, described("The user.")] = ""
    password: Annotated[str, described("Their password.")] = ""
    token: Annotated[str, described("A bearer token, instead of the two.")] = ""
    certificate: Annotated[str, described("A client certificate and its chain, in PEM.")] = ""
    key: Annotated[str, described("Its private key, in PEM.")] = ""


class RepositorySyncRequest(Struct, frozen=True, kw_only=True):
    """A look at a repository that somebody asks for."""


# Templates


class AppSpec(Struct, frozen=True, kw_only=True):
    """What people say of an app."""

    display_name: Annotated[str, described("Its name for people. Default: the chart's.")] = ""
    categories: Annotated[list[str], list_set("Names of AppCategories. Default: uncategorized.")] = []


class AppStatus(Struct, frozen=True, kw_only=True):
    """What its versions say of an app."""

    chart: Annotated[str, described("The chart's name.")] = ""
    repository: Annotated[str, described("The AppRepository that it is from; empty if it was uploaded.")] = ""
    origin: Annotated[str, described("workspace/app that it was published from; empty if it is from here.")] = ""
    latest: Annotated[str, described("The newest version; one that may be installed, if any may.")] = ""
    app_version: Annotated[str, described("The version of what that installs.")] = ""
    versions: Annotated[int, described("How many are listed.")] = 0
    installable: Annotated[int, described("How many of them may be installed.")] = 0
    description: Annotated[str, described("One sentence.")] = ""
    keywords: Annotated[list[str], described("Words by which it is found.")] = []
    home: Annotated[str, described("The project's page.")] = ""
    license: Annotated[str, described("Its licence, as SPDX writes it.")] = ""
    deprecated: Annotated[bool, described("True if its authors advise against it.")] = False
    security_updates: Annotated[bool, described("True if the newest version mends a vulnerability.")] = False


class App(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """An app that can be installed: the versions of one chart. Synced from a repository, uploaded, or published from a workspace."""

    api_version: str = API_VERSION
    kind: str = "App"
    metadata: ObjectMeta
    spec: Annotated[AppSpec, described("What people say of it.")] = AppSpec()
    status: Annotated[AppStatus, described("What its versions say of it.")] = AppStatus()


class AppVersionSpec(Struct, frozen=True, kw_only=True):
    """Which version of which app it is. Nobody changes it."""

    app: Annotated[str, described("The App, in the same namespace; it is there as long as it has versions.")] = ""
    version: Annotated[str, described("The chart's version.")] = ""
    chart: Annotated[str, described("The chart's name.")] = ""
    repository: Annotated[str, described("The AppRepository that it is from, in the same namespace.")] = ""
    origin: Annotated[str, described("workspace/app that it was published from: it follows that app's version.")] = ""


class AppRisk(Struct, frozen=True, kw_only=True):
    """Something that a version does with its default values."""

    type: Annotated[str, one_of("What it is.", *RISKS)]
    objects: Annotated[list[str], described("Kind/name of those that do it, at most 10.")] = []
    count: Annotated[int, described("How many there are.")] = 0


class AppProblem(Struct, frozen=True, kw_only=True):
    """Why a version cannot be installed."""

    reason: Annotated[str, described("The rule, in one word.")] = ""
    message: Annotated[str, described("File or field, and limit.")] = ""


class ReviewStep(Struct, frozen=True, kw_only=True):
    """A step of a version's review."""

    action: Annotated[str, one_of("What was done.", *REVIEW_ACTIONS)]
    from_: Annotated[str, described("The phase before.")] = msgspec.field(name="from", default="")
    to: Annotated[str, described("The phase after.")] = ""
    by: Annotated[str, described("Who did it.")] = ""
    at: Annotated[str, described("When.")] = ""
    message: Annotated[str, described("Why.")] = ""
    digest: Annotated[str, described("Of the package that it was about.")] = ""
    review: Annotated[str, described("Name of the AppReview that recorded it.")] = ""
    whole: Annotated[bool, described("Whether it was about all versions of the app.")] = False


class AppVersionStatus(Struct, frozen=True, kw_only=True):
    """What is known of a version."""

    phase: Annotated[str, one_of("Where its review stands.", *PHASES)] = "Draft"
    digest: Annotated[str, described("sha256:… of its package.")] = ""
    pinned: Annotated[bool, described("Whether the repository said the digest, or it was computed here.")] = False
    size: Annotated[int, described("Bytes of its package, once it was fetched.")] = 0
    stored: Annotated[bool, described("Whether its package is kept here already, or is fetched when it is needed.")] = (
        False
    )
    urls: Annotated[list[str], described("Where its package is fetched from.")] = []
    created: Annotated[str, described("When it was made, as the repository says.")] = ""
    uploaded: Annotated[bool, described("Whether somebody uploaded it.")] = False
    submitted_by: Annotated[str, described("Who submitted it for review.")] = ""
    chart: Annotated[Chart | UnsetType, described("What the chart says of itself.")] = UNSET
    problem: Annotated[AppProblem | UnsetType, described("Why it cannot be installed.")] = UNSET
    risks: Annotated[list[AppRisk], list_map("What it does with its default values.", "type")] = []
    files: Annotated[list[str], list_set("Of readme, values, schema and icon: those that it has.")] = []
    reviews: Annotated[list[ReviewStep], described("The last 10 steps of its review, the newest first.")] = []
    conditions: Annotated[
        list[Condition], list_map("Checked: whether its package was looked at; Upstream.", "type")
    ] = []


class AppVersion(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """One version of an app."""

    api_version: str = API_VERSION
    kind: str = "AppVersion"
    metadata: ObjectMeta
    spec: Annotated[AppVersionSpec, described("Which version of which app it is.")] = AppVersionSpec()
    status: Annotated[AppVersionStatus, described("What is known of it.")] = AppVersionStatus()


class AppCategorySpec(Struct, frozen=True, kw_only=True):
    """A category as people see it."""

    display_name: Annotated[str, described("Its name for people.")] = ""
    order: Annotated[int, described("Lower ones stand first.")] = 0


class AppCategoryStatus(Struct, frozen=True, kw_only=True):
    """The use of a category."""

    apps: Annotated[int, described("Apps that are in it.")] = 0


class AppCategory(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """What an app is for: a shelf of the store."""

    api_version: str = API_VERSION
    kind: str = "AppCategory"
    metadata: ObjectMeta
    spec: Annotated[AppCategorySpec, described("The category as people see it.")] = AppCategorySpec()
    status: Annotated[AppCategoryStatus, described("Its use.")] = AppCategoryStatus()


class AppReviewSpec(Struct, frozen=True, kw_only=True):
    """A step that somebody takes. One of version and app."""

    action: Annotated[str, one_of("What is done.", *REVIEW_ACTIONS)]
    version: Annotated[str, described("The AppVersion, in the same namespace.")] = ""
    app: Annotated[str, described("The App, all of whose versions are suspended or recovered.")] = ""
    message: Annotated[str, described("Why; a rejection needs it.")] = ""


class AppReviewStatus(Struct, frozen=True, kw_only=True):
    """What was done, by whom."""

    from_: Annotated[str, described("The phase before.")] = msgspec.field(name="from", default="")
    to: Annotated[str, described("The phase after.")] = ""
    by: Annotated[str, described("Who did it.")] = ""
    at: Annotated[str, described("When.")] = ""
    digest: Annotated[str, described("Of the package that it was about.")] = ""
    versions: Annotated[list[str], described("Of a whole app: the AppVersions that it changed.")] = []


class AppReview(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """One step of a review, and the record of it: it is created and never changed, and is kept for a year."""

    api_version: str = API_VERSION
    kind: str = "AppReview"
    metadata: ObjectMeta
    spec: Annotated[AppReviewSpec, described("The step that is taken.")]
    status: Annotated[AppReviewStatus, described("What was done, by whom.")] = AppReviewStatus()
