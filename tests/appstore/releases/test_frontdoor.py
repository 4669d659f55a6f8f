"""Requests to members through a front door over TLS, as the actor of a release."""

from __future__ import annotations

import pytest

from services.appstore.delegations import Delegations
from services.appstore.releases.frontdoor import FrontDoor, MemberAccess, RateLimit
from skerry.errors import BadGateway, Forbidden, NotFound, ServiceUnavailable, Unauthorized
from skerry.settings import SettingsError
from tests.appstore.releases.conftest import DELEGATION, Member


async def test_a_request_is_the_actors_and_goes_to_the_member(
    member: Member, door: FrontDoor, access: MemberAccess
) -> None:
    assert (await door.get(access, "/api/v1")).document()["resources"]
    assert member.asked == [("GET", "/api/v1", "token-1", None)]
    await door.apply(access, "/api/v1", b'{"a": 1}')
    assert member.asked[-1] == ("PATCH", "/api/v1", "token-1", {"a": 1})


async def test_an_answer_may_be_of_another_type(member: Member, door: FrontDoor, access: MemberAccess) -> None:
    await door.get(access, "/api/v1", accept=b"application/x")
    assert member.accepted == ["application/x"]


async def test_helm_gets_the_same(member: Member, door: FrontDoor, access: MemberAccess) -> None:
    target = door.target(access)
    assert target.url == f"https://127.0.0.1:{member.port}/clusters/m1"
    assert (target.token, target.tls.ca) == ("token-1", member.authority)
    assert "token-1" not in repr(access)


async def test_errors_are_those_that_the_member_says(member: Member, door: FrontDoor, access: MemberAccess) -> None:
    member.objects["/forbidden"] = Forbidden("ann may not")
    with pytest.raises(Forbidden, match="ann may not"):
        await door.get(access, "/forbidden")
    with pytest.raises(NotFound):
        await door.get(access, "/nothing")


async def test_a_token_that_is_refused_is_not_used_again(member: Member, door: FrontDoor, access: MemberAccess) -> None:
    assert (await door.access(DELEGATION, "m1")).token == "token-1"
    member.objects["/api/v1"] = Unauthorized("revoked")
    with pytest.raises(Unauthorized):
        await door.get(access, "/api/v1")
    assert (await door.access(DELEGATION, "m1")).token == "token-2"


async def test_who_did_not_answer_is_left_alone_for_a_while(
    member: Member, door: FrontDoor, access: MemberAccess
) -> None:
    member.objects["/api/v1"] = ServiceUnavailable("m1 is away")
    for _ in range(3):
        with pytest.raises(ServiceUnavailable, match="m1 is away"):
            await door.get(access, "/api/v1")
    assert len(member.asked) == 1


async def test_a_front_door_that_is_not_there(member: Member) -> None:
    door = FrontDoor("https://127.0.0.1:1", member.authority, Delegations(member.ask, lambda: 0.0))
    with pytest.raises(BadGateway):
        await door.get(await door.access(DELEGATION, "m1"), "/api/v1")
    await door.close()


async def test_nobody_said_where_it_is(member: Member) -> None:
    door = FrontDoor("", b"", Delegations(member.ask, lambda: 0.0))
    with pytest.raises(ServiceUnavailable, match="set SKERRY_APP_STORE_FRONT_DOOR"):
        await door.access(DELEGATION, "m1")


@pytest.mark.parametrize("url", ["http://127.0.0.1", "127.0.0.1:8443", "https://"])
async def test_what_is_no_address(url: str, member: Member) -> None:
    with pytest.raises(SettingsError, match="SKERRY_APP_STORE_FRONT_DOOR"):
        FrontDoor(url, b"", Delegations(member.ask, lambda: 0.0))


def test_so_many_requests_a_second_and_a_few_at_once() -> None:
    now = 0.0
    limit = RateLimit(2.0, 3.0, lambda: now)
    assert [limit.wait_s() for _ in range(5)] == [0.0, 0.0, 0.0, 0.5, 1.0]
    now = 10.0
    assert [limit.wait_s() for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]
