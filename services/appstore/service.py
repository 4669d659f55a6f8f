"""The service appstore: templates of apps, and what is installed from them."""

from __future__ import annotations

from services.appstore.catalogue import contents
from services.appstore.catalogue.apps import AppRules, apps
from services.appstore.catalogue.categories import CategoryRules, categories
from services.appstore.catalogue.checks import checks
from services.appstore.catalogue.publishing import publications
from services.appstore.catalogue.records import records
from services.appstore.catalogue.reviews import ReviewRules
from services.appstore.catalogue.searching import find_apps
from services.appstore.catalogue.sweeping import sweeps
from services.appstore.catalogue.uploading import push
from services.appstore.catalogue.versions import VersionRules
from services.appstore.helmready import helm_ready
from services.appstore.installing import looking
from services.appstore.installing.actions import ACTIONS
from services.appstore.installing.controllers import halting, installed, releases
from services.appstore.installing.rules import InstanceRules, ReleaseRules
from services.appstore.opening import opened
from services.appstore.repositories.controller import repositories
from services.appstore.repositories.rules import ACTIONS as REPOSITORY_ACTIONS
from services.appstore.repositories.rules import RepositoryRules
from services.appstore.repositories.truncation import truncation
from services.appstore.rules import AppStoreRules
from services.appstore.settings import AppStoreSettings
from services.appstore.switching import usability
from skerry.api.kinds import (
    ACCESS_GRANT,
    APP,
    APP_CATEGORY,
    APP_INSTANCE,
    APP_RELEASE,
    APP_REPOSITORY,
    APP_REVIEW,
    APP_STORE,
    APP_VERSION,
    CLUSTER,
    WORKSPACE,
)
from skerry.service import Service

SERVICE = Service(
    name="appstore",
    description="the App Store: repositories, templates, their review, releases",
    settings=AppStoreSettings,
    state=opened,
    rules={
        APP_STORE: AppStoreRules,
        APP_REPOSITORY: RepositoryRules,
        APP: AppRules,
        APP_VERSION: VersionRules,
        APP_CATEGORY: CategoryRules,
        APP_REVIEW: ReviewRules,
        APP_RELEASE: ReleaseRules,
        APP_INSTANCE: InstanceRules,
    },
    actions={
        **REPOSITORY_ACTIONS,
        (APP, "package", "create"): push,
        (APP_VERSION, "package", "get"): contents.package,
        **{(APP_VERSION, name, "get"): contents.text(name) for name in contents.TEXTS},
        (APP_VERSION, "icon", "get"): contents.Icons().icon,
        **ACTIONS,
        **looking.ACTIONS,
    },
    searches={APP: find_apps},
    controllers=(
        usability,
        helm_ready,
        repositories,
        truncation,
        apps,
        categories,
        checks,
        publications,
        records,
        sweeps,
        releases,
        installed,
    ),
    tasks=(halting,),
    needs=(ACCESS_GRANT, CLUSTER, WORKSPACE),
)
