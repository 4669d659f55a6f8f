"""Revocations: whose credentials hold no more, from when, and for how long that is remembered."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from services.tenancy.controllers import forget
from services.tenancy.revocations import admit, change, free_in_s, over_s
from skerry.api.identities import OLDEST_S, revocation_name
from skerry.controller.controller import After
from skerry.errors import Invalid, NotFound
from skerry.informer import View
from skerry.storage import Store

NOW = datetime(2030, 1, 1, 12, 0, 0, 500_000, UTC)
WALL = NOW.timestamp()


def revocation(user: str = "alice", *, name: str = "", **spec: Any) -> dict[str, Any]:
    metadata = {"name": name} if name else {}
    return {
        "apiVersion": "skerry.dev/v1alpha1",
        "kind": "Revocation",
        "metadata": metadata,
        "spec": {"user": user, **spec},
    }


@pytest.mark.parametrize("user", ["alice", "auth0|x", "Domain Admin", "Łukasz", "serviceaccount:apps:deployer"])
def test_a_revocation_is_named_by_the_digest_of_its_user_and_means_now(user: str) -> None:
    stored = admit(revocation(user), NOW)
    assert stored["metadata"]["name"] == revocation_name(user)
    assert len(stored["metadata"]["name"]) == 32
    assert stored["spec"]["before"] == "2030-01-01T12:00:00Z"


def test_a_time_that_is_given_and_a_user_who_is_disabled_stay_as_they_are() -> None:
    given = revocation(before="2029-12-31T00:00:00+01:00", name=revocation_name("alice"))
    assert admit(given, NOW)["spec"] == given["spec"]
    assert admit(revocation(disabled=True), NOW)["spec"] == {"user": "alice", "disabled": True}


@pytest.mark.parametrize(
    ("document", "field"),
    [
        (revocation(""), "spec.user"),
        (revocation("admin"), "spec.user"),
        (revocation("admin", disabled=True), "spec.user"),
        (revocation("skerry:alice"), "spec.user"),
        (revocation("system:masters"), "spec.user"),
        (revocation("serviceaccount:"), "spec.user"),
        (revocation("a\nb"), "spec.user"),
        (revocation("\ud800"), "spec.user"),
        (revocation("a" * 254), "spec.user"),
        (revocation(before="2030-01-01T12:00:01Z"), "spec.before"),
        (revocation(before="2030-01-01"), "spec.before"),
        (revocation(before="2029-01-01T00:00:00"), "spec.before"),
        (revocation(before="now"), "spec.before"),
        (revocation(before=""), "spec.before"),
        (revocation(before="2029-01-01T00:00:00Z", disabled=True), "spec.before"),
        (revocation(name="alice"), "metadata.name"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_with_its_field(document: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as caught:
        admit(document, NOW)
    assert [cause.field for cause in caught.value.details.causes] == [field]


def test_it_moves_forward_only_and_stays_its_users() -> None:
    current = admit(revocation(before="2029-06-01T00:00:00Z"), NOW)
    later = {**current, "spec": {"user": "alice"}}
    assert change(current, later, NOW)["spec"]["before"] == "2030-01-01T12:00:00Z"
    assert change(current, {**current, "spec": {"user": "alice", "disabled": True}}, NOW)["spec"]["disabled"]
    for spec, field, said in (
        (
            {"user": "alice", "before": "2029-05-31T23:59:59Z"},
            "spec.before",
            "moves forward only; it is 2029-06-01T00:00:00Z",
        ),
        ({"user": "bob"}, "spec.user", "cannot be changed: there is one object per user"),
        ({"user": "alice", "before": "never"}, "spec.before", "RFC 3339"),
    ):
        with pytest.raises(Invalid) as caught:
            change(current, {**current, "spec": spec}, NOW)
        assert [cause.field for cause in caught.value.details.causes] == [field]
        assert said in caught.value.message


def test_it_is_remembered_until_nothing_can_be_so_old() -> None:
    stored = admit(revocation(before="2030-01-01T12:00:00Z"), NOW)
    assert over_s(stored, WALL) == OLDEST_S - 0.5
    assert over_s(stored, WALL + OLDEST_S) == -0.5
    assert over_s(admit(revocation(disabled=True), NOW), WALL + 100 * OLDEST_S) is None
    assert over_s(admit(revocation("serviceaccount:a:b"), NOW), WALL + 100 * OLDEST_S) is None


def test_what_is_issued_in_the_next_second_holds() -> None:
    stored = admit(revocation(), NOW)
    assert free_in_s(stored, WALL) == pytest.approx(0.5)
    assert free_in_s(stored, WALL + 0.5) == 0.0
    assert free_in_s(stored, WALL + 10) == 0.0
    assert free_in_s(admit(revocation(disabled=True), NOW), WALL) is None


class Kept:
    """The one object of a store that is told what to forget."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self.deleted: list[tuple[str, str]] = []

    def get(self, kind: object, name: str) -> Any:
        return SimpleNamespace(name=name, uid="u1", document=lambda: self.document) if name == "x" else None

    async def delete(self, name: str, *, uid: str) -> None:
        self.deleted.append((name, uid))
        if len(self.deleted) > 1:
            raise NotFound("another replica was faster")


@pytest.mark.parametrize(("spec", "goes"), [({}, True), ({"disabled": True}, False)])
async def test_it_goes_when_it_refuses_nothing_any_more(spec: dict[str, Any], goes: bool) -> None:
    kept = Kept(admit(revocation(**spec), NOW))
    far = NOW + timedelta(seconds=OLDEST_S)

    async def look(name: str, at: datetime) -> After | None:
        return await forget(cast(Store, kept), cast(View, kept), name, lambda: at)

    assert await look("x", NOW) == (After(86400.0) if goes else None)
    assert kept.deleted == []
    for _ in range(2):
        assert await look("x", far) is None
    assert kept.deleted == ([("x", "u1")] * 2 if goes else [])
    assert await look("gone", far) is None
