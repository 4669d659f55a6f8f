"""What callers are told of themselves: their credential, and what they have where."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from services.proxy.authn import CachedCredential, ProviderVersion
from services.proxy.selfaccess import self_access
from skerry.access import Access
from skerry.api.messages import Caller
from skerry.api.selfaccess import MOST_ROWS
from tests.access.grants import access, grant, workspace

NOW = 0.0
HOUR = "1970-01-01T01:00:00Z"


def credential(*groups: str, name: str = "0123", provider: ProviderVersion | None = None) -> CachedCredential:
    return CachedCredential(name, Caller(user="alice", groups=groups), 3600.5, provider=provider)


def told(compiled: Access, *groups: str) -> Any:
    return msgspec.to_builtins(self_access(credential(*groups), compiled, NOW))


@pytest.mark.parametrize(
    ("name", "provider", "source"),
    [
        ("0123", None, {"source": "Credential"}),
        ("certificate:0123", None, {"source": "Certificate"}),
        ("token:0123", None, {"source": "TokenReview"}),
        ("token:0123", ProviderVersion("corp", "uid", 1), {"source": "IdentityProvider", "provider": "corp"}),
    ],
)
def test_who_somebody_is_by_what_and_until_when(
    name: str, provider: ProviderVersion | None, source: dict[str, str]
) -> None:
    status = self_access(credential("org:shop", name=name, provider=provider), Access(), NOW)
    nothing = {"expires": HOUR, "access": [], "incomplete": False}
    assert msgspec.to_builtins(status) == {"user": "alice", "groups": ["org:shop"], **source, **nothing}


def test_built_in_groups_hold_everywhere_and_grants_where_they_say() -> None:
    compiled = access(
        grant("b", role="edit", namespaces=["shop", "bar"], expires=HOUR),
        grant("a", clusters={"names": ["m2", "host"]}),
        grant("other", subjects=[{"kind": "User", "name": "bob"}]),
        grant("ended", role="admin", expires="1970-01-01T00:00:00Z"),
    )
    compiled.workspace("team", workspace())
    rows = [
        (each["cluster"], each["namespace"], each["role"], *each["source"].values(), each.get("expires"))
        for each in told(compiled, "skerry:view", "skerry:nothing")["access"]
    ]
    assert rows == [
        ("*", "", "view", "Group", "skerry:view", None),
        ("host", "team", "edit", "Workspace", "team", None),
        ("host", "", "view", "AccessGrant", "a", None),
        ("m1", "bar", "edit", "AccessGrant", "b", HOUR),
        ("m1", "shop", "edit", "AccessGrant", "b", HOUR),
        ("m1", "shop", "edit", "Workspace", "team", None),
        ("m2", "", "view", "AccessGrant", "a", None),
    ]


def test_a_group_of_the_members_own_is_no_role() -> None:
    (row,) = told(access(grant(role=None, groups=["dba"])))["access"]
    assert (row["role"], row["group"]) == ("", "dba")


@pytest.mark.parametrize("more", [0, 1])
def test_only_so_many_are_told_and_that_there_are_more(more: int) -> None:
    namespaces = [f"n{number}" for number in range(MOST_ROWS + more)]
    answer = told(access(grant(namespaces=namespaces)))
    assert (len(answer["access"]), answer["incomplete"]) == (MOST_ROWS, bool(more))
