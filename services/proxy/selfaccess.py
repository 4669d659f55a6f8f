"""What a caller is told of themselves: by which credential they are who they are, and what they have where. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import islice

from msgspec import UNSET

from services.proxy.authn import CERTIFICATE, REVIEWED, CachedCredential
from skerry.access import Access
from skerry.api.kinds import BUILT_IN
from skerry.api.kinds.access import ROLES
from skerry.api.messages import HOST
from skerry.api.names import PREFIX
from skerry.api.selfaccess import EVERYWHERE, MOST_ROWS, AccessSource, OwnAccess, SelfAccessReviewStatus
from skerry.api.times import rfc3339


def self_access(credential: CachedCredential, access: Access, now: float) -> SelfAccessReviewStatus:
    """The answer to a SelfAccessReview at a time in Unix seconds: what groups give everywhere, then by cluster and namespace."""
    rows = list(islice(_rows(credential, access, now), MOST_ROWS + 1))
    provider = credential.provider
    return SelfAccessReviewStatus(
        user=credential.caller.user,
        groups=list(credential.caller.groups),
        source=source_of(credential),
        provider=UNSET if provider is None else provider.name,
        expires=rfc3339(credential.expires),
        access=rows[:MOST_ROWS],
        incomplete=len(rows) > MOST_ROWS,
    )


def source_of(credential: CachedCredential) -> str:
    """The kind of credential that says who somebody is."""
    if credential.provider is not None:
        return "IdentityProvider"
    if credential.name.startswith(CERTIFICATE):
        return "Certificate"
    return "TokenReview" if credential.name.startswith(REVIEWED) else "Credential"


def _rows(credential: CachedCredential, access: Access, now: float) -> Iterator[OwnAccess]:
    caller = credential.caller
    for group in BUILT_IN:
        if group in caller.groups:
            source = AccessSource(kind="Group", name=group)
            yield OwnAccess(cluster=EVERYWHERE, namespace="", role=group.removeprefix(PREFIX), source=source)
    for workspace in sorted(access.members.workspaces(caller)):
        source = AccessSource(kind="Workspace", name=workspace)
        for role in sorted(access.members.roles(caller, workspace), key=ROLES.index):
            yield OwnAccess(cluster=HOST, namespace=workspace, role=role, source=source)
    for cluster in sorted(access.granted(caller, now)):
        phrases = {
            (
                scope.namespace,
                scope.role,
                "" if scope.role else scope.group.removeprefix(PREFIX),
                each.basis,
                each.expires,
            )
            for each in access.reach(caller, cluster, now).holdings
            for scope in each.scopes
        }
        for namespace, role, group, basis, expires in sorted(phrases):
            yield OwnAccess(
                cluster=cluster,
                namespace=namespace,
                role=role,
                group=group or UNSET,
                source=AccessSource(kind=basis.kind, name=basis.name),
                expires=UNSET if expires == math.inf else rfc3339(expires),
            )
