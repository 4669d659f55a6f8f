"""Who is shown an access request: who made it, who could give what it asks for, and who reads everything; for all others there is none.

What they do to it is answered by tenancy (tests/tenancy/test_requesting.py).
"""

from __future__ import annotations

import pytest

from skerry.api.kinds import ACCESS_REQUEST
from skerry.api.messages import Caller
from tests.hostapi.tenants import ADMIN, ALICE, API, BOB, NOBODY, ON_HOST, Tenants

CAROL, DAVE = Caller(user="carol"), Caller(user="dave")
PATH = f"{API}/accessrequests"


def fleet() -> Tenants:
    """carol is admin of m1 and of a namespace of m2, until second 100; dave edits m1."""
    made = Tenants()
    for name in ("host", "m1", "m2"):
        made.cluster(name)
    made.grant("carol-m1", "carol", role="admin", expires="1970-01-01T00:01:40Z")
    made.grant("carol-m2", "carol", clusters=("m2",), role="admin", namespaces=["shop"])
    made.grant("dave-m1", "dave", role="edit")
    made.grant("reader", "reader", clusters=("host",))
    ask(made, "alice-m1", "alice", "m1")
    ask(made, "alice-m2", "alice", "m2")
    ask(made, "bob-both", "bob", "m1", "m2")
    ask(made, "bob-strong", "bob", "m1", role="cluster-admin")
    made.store(ACCESS_REQUEST, "broken", spec={"clusters": {"names": ["m1"]}}, status={"requestedBy": ["alice"]})
    return made


def ask(made: Tenants, name: str, user: str, *clusters: str, role: str = "edit") -> None:
    spec = {
        "clusters": {"names": list(clusters)},
        "role": role,
        "namespaces": ["shop"],
        "duration": "1h",
        "reason": "x",
    }
    made.store(ACCESS_REQUEST, name, spec=spec, status={"state": "Pending", "requestedBy": user})


EVERYTHING = ["alice-m1", "alice-m2", "bob-both", "bob-strong", "broken"]


@pytest.mark.parametrize(
    ("caller", "names"),
    [
        (ADMIN, EVERYTHING),
        (ON_HOST, EVERYTHING),
        (ALICE, ["alice-m1", "alice-m2"]),
        (BOB, ["bob-both", "bob-strong"]),
        (CAROL, ["alice-m1"]),
        (DAVE, []),
        (NOBODY, []),
    ],
    ids=lambda value: value.user if isinstance(value, Caller) else "",
)
async def test_a_request_is_shown_to_who_made_it_and_to_who_could_give_it(caller: Caller, names: list[str]) -> None:
    made = fleet()
    assert await made.names(caller, PATH) == names
    for name in EVERYTHING:
        got = await made.ask(caller, f"{PATH}/{name}")
        assert got.status == (200 if name in names else 404), name
        if name not in names:
            assert got.body == (await made.ask(caller, f"{PATH}/missing")).body.replace(b"missing", name.encode())


async def test_who_could_give_it_no_longer_is_shown_it_no_longer() -> None:
    made = fleet()
    made.now = 101.0
    assert await made.names(CAROL, PATH) == []
    assert (await made.ask(CAROL, f"{PATH}/alice-m1")).status == 404


async def test_a_grant_is_shown_to_who_could_give_it() -> None:
    made = fleet()
    assert await made.names(CAROL, f"{API}/accessgrants") == ["carol-m1", "carol-m2", "dave-m1"]
    assert await made.names(DAVE, f"{API}/accessgrants") == ["dave-m1"]
    made.now = 101.0
    assert await made.names(CAROL, f"{API}/accessgrants") == ["carol-m1", "carol-m2"]


async def test_everybody_may_ask() -> None:
    made = fleet()
    assert (await made.ask(NOBODY, PATH, "POST", {"metadata": {}})).status < 300
    assert made.forwarding.forwarded == ["create accessrequests/"]


@pytest.mark.parametrize(
    ("caller", "names"),
    [
        (CAROL, ["carol-m1", "dave-m1"]),
        (DAVE, []),
        (NOBODY, []),
        (ADMIN, ["carol-m1", "carol-m2", "dave-m1", "reader"]),
    ],
    ids=["carol", "dave", "nobody", "admin"],
)
async def test_of_all_grants_at_once_those_are_deleted_that_the_caller_could_give(
    caller: Caller, names: list[str]
) -> None:
    """Also of those that the caller is shown, as a subject."""
    made = fleet()
    answer = await made.ask(caller, f"{API}/accessgrants", "DELETE")
    assert (answer.status, [each["metadata"]["name"] for each in answer.json()["items"]]) == (200, names)
    assert made.forwarding.forwarded == [f"delete accessgrants/{name}" for name in names]
