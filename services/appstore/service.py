"""The service appstore: templates of apps, and what is installed from them."""

from __future__ import annotations

from services.appstore.parts import opened
from services.appstore.rules import AppStoreRules, StoreRules
from services.appstore.settings import AppStoreSettings
from services.appstore.switching import usability
from skerry.api.kinds import (
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
        APP_REPOSITORY: StoreRules,
        APP: StoreRules,
        APP_VERSION: StoreRules,
        APP_CATEGORY: StoreRules,
        APP_REVIEW: StoreRules,
        APP_RELEASE: StoreRules,
        APP_INSTANCE: StoreRules,
    },
    controllers=(usability,),
    needs=(CLUSTER, WORKSPACE),
)
