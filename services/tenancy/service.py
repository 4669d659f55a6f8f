"""The service tenancy: who may use the host."""

from __future__ import annotations

from services.tenancy.bindingstates import binding_states
from services.tenancy.contents import contents
from services.tenancy.controllers import administrator, credentials, opened, revocations
from services.tenancy.delegating import delegate
from services.tenancy.granting import grants
from services.tenancy.members import members
from services.tenancy.namespacing import claims, workspaces
from services.tenancy.providing import providers, providers_status
from services.tenancy.requesting import ACTIONS, access_requests
from services.tenancy.rules import (
    CredentialRules,
    GrantRules,
    ProviderRules,
    RequestRules,
    RevocationRules,
    SettingRules,
    WorkspaceRules,
)
from services.tenancy.settings import TenancySettings
from services.tenancy.tokenreviews import reviewed
from skerry import subjects
from skerry.api.kinds import (
    ACCESS_GRANT,
    ACCESS_REQUEST,
    CLUSTER,
    CREDENTIAL,
    IDENTITY_PROVIDER,
    REVOCATION,
    SETTING,
    WORKSPACE,
)
from skerry.service import Service

SERVICE = Service(
    name="tenancy",
    description="credentials, workspaces, grants, requests, settings, identity providers, revocations",
    settings=TenancySettings,
    state=opened,
    rules={
        CREDENTIAL: CredentialRules,
        WORKSPACE: WorkspaceRules,
        ACCESS_GRANT: GrantRules,
        ACCESS_REQUEST: RequestRules,
        SETTING: SettingRules,
        IDENTITY_PROVIDER: ProviderRules,
        REVOCATION: RevocationRules,
    },
    controllers=(
        administrator,
        credentials,
        revocations,
        members,
        grants,
        workspaces,
        contents,
        claims,
        access_requests,
        providers,
        providers_status,
    ),
    actions=ACTIONS,
    endpoints={
        subjects.BINDING_STATES: binding_states,
        subjects.DELEGATIONS: delegate,
        subjects.TOKEN_REVIEWS: reviewed,
    },
    needs=(CLUSTER,),
)
