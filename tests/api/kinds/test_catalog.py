"""No two kinds that a client could not tell apart."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from skerry.api.kinds import (
    CLUSTER,
    EVENT,
    EVENT_V1,
    INSPECTION_CREDENTIAL,
    JOIN_TOKEN,
    KINDS,
    SERVED,
    catalog,
    owned_by,
)

OTHER: dict[str, Any] = {
    "kind": "Berth",
    "plural": "berths",
    "singular": "berth",
    "short_names": (),
    "listing": None,
    "columns": (),
}


def test_a_kind_is_declared_once() -> None:
    with pytest.raises(ValueError, match=r"kind Cluster: its kind Cluster is that of Cluster in skerry.dev/v1alpha1"):
        catalog((CLUSTER, JOIN_TOKEN, CLUSTER))


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({"kind": "Cluster"}, "kind Cluster: its kind Cluster is that of Cluster"),
        ({"plural": "clusters"}, "kind Berth: its plural clusters is that of Cluster"),
        ({"singular": "cluster"}, "kind Berth: its singular cluster is that of Cluster"),
        ({"short_names": ("cl",)}, "kind Berth: its short name cl is that of Cluster"),
        ({"short_names": ("cluster",)}, "kind Berth: its short name cluster is that of Cluster"),
        ({"short_names": ("ev",)}, "kind Berth: its short name ev is that of Event"),
        ({"listing": CLUSTER.listing}, "kind Berth: its command clusters is that of Cluster"),
    ],
)
def test_no_kind_has_a_name_of_another(more: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=r"kind .*") as refused:
        catalog((*SERVED, replace(CLUSTER, **OTHER | more)))
    assert problem in str(refused.value)


def test_another_group_may_have_a_kind_of_the_same_name() -> None:
    assert catalog((EVENT, EVENT_V1)) == (EVENT, EVENT_V1)


def test_the_kinds_of_a_service_are_those_that_it_owns() -> None:
    assert owned_by("registry") == (CLUSTER, INSPECTION_CREDENTIAL, JOIN_TOKEN)
    owners = ("registry", "tenancy", "appstore", "events", "audit")
    assert {kind for service in owners for kind in owned_by(service)} == set(KINDS)
    assert owned_by("proxy") == ()
