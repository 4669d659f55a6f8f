"""What is said beside an answer that rests on something which ends soon."""

from __future__ import annotations

from typing import Any

import pytest

from services.proxy.members.ending import ends_soon, said_of
from skerry.access import Allowed, MemberRequest, decide
from skerry.api.accessrequests import SOON_S
from skerry.api.grants import AccessGrant
from skerry.api.messages import Caller
from skerry.api.times import rfc3339
from skerry.httpwire.answer import warning
from tests.access.grants import access, grant

NOW = 1_000_000.0
ALICE = Caller(user="alice")
PODS = MemberRequest("m1", "get", "pods", namespace="shop")


def ending(name: str, left_s: float = SOON_S, **spec: Any) -> AccessGrant:
    return grant(name, expires=rfc3339(NOW + left_s), **spec)


def said(*grants: AccessGrant, caller: Caller = ALICE, request: MemberRequest = PODS, now: float = NOW) -> str:
    compiled = access(*grants)
    allowed = decide(caller, request, compiled, now)
    assert isinstance(allowed, Allowed)
    headers = ends_soon(caller, request, allowed, compiled, now)
    text = said_of(caller, request, compiled, now)
    assert headers == ([(b"warning", warning(text))] if text else [])
    return text


def test_the_grant_its_end_and_how_to_go_on_are_named() -> None:
    assert said(ending("req-1", 300, role="edit", namespaces=["shop"])) == (
        f"AccessGrant req-1 ends at {rfc3339(NOW + 300)}, and with it what rests on it; to go on: skerry request create edit "
        "--cluster m1 -n shop --reason TEXT"
    )


@pytest.mark.parametrize(
    "grants",
    [
        (grant("a"),),
        (ending("a", SOON_S + 2),),
        (ending("a"), grant("b")),
        (ending("a"), grant("b", role="edit")),
        (ending("a", namespaces=["shop"]), grant("b")),
        (ending("a", role="edit", namespaces=["other"]), grant("b")),
        (ending("a", role=None, groups=["dba"]), grant("b", role=None, groups=["dba"])),
    ],
    ids=["endless", "later", "the same", "more", "the whole", "elsewhere", "a group"],
)
def test_nothing_is_said_where_nothing_that_is_needed_ends(grants: tuple[AccessGrant, ...]) -> None:
    assert said(*grants) == ""


@pytest.mark.parametrize(
    "grants",
    [
        (ending("a", role="edit"), grant("b")),
        (ending("a"), grant("b", role="edit", namespaces=["shop"])),
        (ending("a", role=None, groups=["dba"]), grant("b", role="cluster-admin")),
        (ending("a", namespaces=["shop"]), grant("b", namespaces=["other"])),
    ],
    ids=["less is left", "in the namespace alone", "a group", "elsewhere alone"],
)
def test_it_is_said_where_less_is_left(grants: tuple[AccessGrant, ...]) -> None:
    assert "AccessGrant a ends at" in said(*grants)


def test_who_has_a_role_by_a_credential_is_not_told_of_less() -> None:
    assert said(ending("a"), caller=Caller(user="alice", groups=("skerry:view",))) == ""
    assert "to go on: skerry request create edit --cluster m1 --reason" in said(
        ending("a", role="edit"),
        caller=Caller(user="alice", groups=("skerry:view",)),
        request=PODS._replace(namespace=""),
    )


def test_of_many_the_first_to_end_are_named() -> None:
    text = said(*(ending(f"g{number}", 100 + number, role=None, groups=[f"x{number}"]) for number in range(9)))
    assert text.startswith("AccessGrant g0 ends at")
    assert "AccessGrant g2 ends at" in text
    assert " and 6 more, " in text
    assert "create ROLE --cluster" in text
