"""What tenants are shown, and may do, on the host: what is tied to them, and of all else the answer of what does not exist."""

from __future__ import annotations

from typing import Any

import pytest

from skerry.api.kinds import ACCESS_GRANT, CLUSTER, CREDENTIAL, JOIN_TOKEN, SETTING, WORKSPACE
from skerry.api.messages import Caller
from tests.hostapi.conftest import World
from tests.hostapi.tenants import ADMIN, ALICE, API, BOB, NOBODY, ON_HOST, VIEWER, Tenants
from tests.hostapi.test_events import CORE, EVENTS_V1, told

EVERYBODY = {"admin": ADMIN, "viewer": VIEWER, "reader": ON_HOST, "alice": ALICE, "bob": BOB, "nobody": NOBODY}
PLURALS = ("clusters", "accessgrants", "workspaces", "credentials", "settings", "jointokens")
CODES = {404: None, 403: "Forbidden"}


def fleet() -> Tenants:
    """Three members and the host, and something of everybody's."""
    made = Tenants()
    for name in ("host", "m1", "m2", "m3"):
        made.cluster(name, env="prod" if name == "m2" else "test")
    made.grant("alice-m1", "alice", namespaces=["shop"])
    made.grant("shop-prod", group="org:shop", clusters={"env": "prod"})
    made.grant("on-host", "reader", clusters=("host",))
    made.grant("bob-m3", "bob", clusters=("m3",))
    made.grant("over", "alice", clusters=("m3",), expires="1969-01-01T00:00:00Z")
    made.workspace("till", alice="edit", bob="admin")
    made.workspace("attic", bob="view")
    made.credential("c-alice", "alice")
    made.credential("c-alice2", "alice")
    made.credential("c-bob", "bob")
    made.store(SETTING, "join.approval", spec={"value": "true"})
    made.store(JOIN_TOKEN, "joiner", spec={})
    for number, (kind, name) in enumerate(ABOUT):
        made.event(f"e{number}", kind, name)
    return made


ABOUT = (
    (CLUSTER, "m1"), (CLUSTER, "m3"), (CLUSTER, "gone"), (ACCESS_GRANT, "alice-m1"), (ACCESS_GRANT, "bob-m3"),
    (WORKSPACE, "till"), (WORKSPACE, "attic"), (SETTING, "join.approval"), (JOIN_TOKEN, "joiner"), (CREDENTIAL, "c-alice"),
)  # fmt: skip
ALL = ["host", "m1", "m2", "m3"]
GRANTS = ["alice-m1", "bob-m3", "on-host", "over", "shop-prod"]
CREDENTIALS = ["c-alice", "c-alice2", "c-bob"]
EVENTS = [f"e{number}" for number in range(len(ABOUT))]


@pytest.mark.parametrize(
    ("plural", "seen"),
    [
        ("clusters", {"admin": ALL, "viewer": ALL, "reader": ALL, "alice": ["m1", "m2"], "bob": ["m3"], "nobody": []}),
        (
            "accessgrants",
            {
                "admin": GRANTS,
                "viewer": [],
                "reader": GRANTS,
                "alice": ["alice-m1", "over", "shop-prod"],
                "bob": ["bob-m3"],
                "nobody": [],
            },
        ),
        (
            "workspaces",
            {
                "admin": ["attic", "till"],
                "viewer": [],
                "reader": ["attic", "till"],
                "alice": ["till"],
                "bob": ["attic", "till"],
                "nobody": [],
            },
        ),
        (
            "credentials",
            {
                "admin": CREDENTIALS,
                "viewer": [],
                "reader": [],
                "alice": CREDENTIALS[:2],
                "bob": CREDENTIALS[2:],
                "nobody": [],
            },
        ),
        (
            "settings",
            {
                "admin": ["join.approval"],
                "viewer": None,
                "reader": ["join.approval"],
                "alice": None,
                "bob": None,
                "nobody": None,
            },
        ),
        (
            "jointokens",
            {"admin": ["joiner"], "viewer": None, "reader": None, "alice": None, "bob": None, "nobody": None},
        ),
    ],
)
async def test_who_is_shown_what(plural: str, seen: dict[str, list[str] | None]) -> None:
    """None: the kind is refused."""
    made = fleet()
    for who, names in seen.items():
        answer = await made.ask(EVERYBODY[who], f"{API}/{plural}")
        if names is None:
            assert answer.status == 403, who
        else:
            assert await made.names(EVERYBODY[who], f"{API}/{plural}") == names, who


@pytest.mark.parametrize("path", [CORE, EVENTS_V1])
async def test_events_follow_the_object_that_they_are_about(path: str) -> None:
    made = fleet()
    for who, names in {
        "admin": EVENTS,
        "viewer": ["e0", "e1", "e2"],
        "reader": ["e0", "e1", "e2", "e3", "e4", "e5", "e6", "e7"],
        "alice": ["e0", "e3", "e5", "e9"],
        "bob": ["e1", "e4", "e5", "e6"],
        "nobody": [],
    }.items():
        assert await made.names(EVERYBODY[who], path) == names, who


async def test_namespaces_are_those_of_ones_workspaces() -> None:
    made = fleet()
    assert await made.names(ADMIN, "/api/v1/namespaces") == ["attic", "default", "skerry-apps", "till"]
    assert await made.names(VIEWER, "/api/v1/namespaces") == ["attic", "default", "skerry-apps", "till"]
    assert await made.names(ALICE, "/api/v1/namespaces") == ["skerry-apps", "till"]
    assert await made.names(NOBODY, "/api/v1/namespaces") == []


@pytest.mark.parametrize("who", EVERYBODY)
@pytest.mark.parametrize("plural", PLURALS)
async def test_what_one_may_not_see_is_as_if_it_did_not_exist(who: str, plural: str) -> None:
    """A list has what a get allows one by one, and every other answer is that for a name that there is not."""
    made, caller = fleet(), EVERYBODY[who]
    everything = await made.names(ADMIN, f"{API}/{plural}")
    absent = await made.ask(caller, f"{API}/{plural}/absent")
    got = []
    for name in everything:
        answer = await made.ask(caller, f"{API}/{plural}/{name}")
        if answer.status == 200:
            got.append(name)
        else:
            assert (answer.status, answer.body.replace(name.encode(), b"absent")) == (absent.status, absent.body)
            assert f'"{name}" not found' in answer.json()["message"] or answer.status == 403
    listed = await made.ask(caller, f"{API}/{plural}")
    assert ([] if listed.status == 403 else await made.names(caller, f"{API}/{plural}")) == got


FORMS = {
    "as it is": {},
    "table": {"accept": "application/json;as=Table;v=v1;g=meta.k8s.io"},
    "metadata": {"accept": "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"},
    "yaml": {"accept": "application/yaml"},
}
HIDDEN = {
    "clusters": ("m3", "host"),
    "accessgrants": ("bob-m3", "on-host"),
    "workspaces": ("attic",),
    "credentials": ("c-bob",),
    "namespaces": ("attic", "default"),
    "events": ("e1", "e2", "e4", "e6", "e7", "e8"),
}
"""From alice."""
ATTACKS = (
    f"{API}/clusters?fieldSelector=metadata.name=m3",
    f"{API}/clusters?fieldSelector=metadata.name%3Dm3",
    f"{API}/clusters?fieldSelector=metadata.name!=m1,metadata.name!=m2",
    f"{API}/clusters?labelSelector=env!=prod",
    f"{API}/clusters?labelSelector=env%20in%20(test)&labelSelector=env=prod",
    f"{API}/clusters?%6cabelSelector=env",
    f"{API}/clusters?labelSelector=!nothing",
    f"{API}/clusters?resourceVersion=0",
    f"{API}/clusters?resourceVersion=4&resourceVersionMatch=Exact",
    f"{API}/clusters?resourceVersion=1&resourceVersionMatch=NotOlderThan",
    f"{API}/clusters?resourceVersion=13&limit=100",
    f"{API}/clusters?limit=100",
    f"{API}/clusters?includeObject=Object",
    f"{API}/accessgrants?fieldSelector=metadata.name=bob-m3",
    f"{API}/accessgrants?resourceVersion=8&resourceVersionMatch=Exact",
    f"{API}/workspaces?fieldSelector=metadata.name=attic",
    f"{API}/credentials?labelSelector=!a",
    "/api/v1/namespaces?fieldSelector=metadata.name=attic",
    "/api/v1/namespaces?fieldSelector=status.phase=Active",
    "/api/v1/events?fieldSelector=involvedObject.name=m3",
    "/api/v1/namespaces/default/events?fieldSelector=involvedObject.name=bob-m3",
    "/apis/events.k8s.io/v1/events?fieldSelector=regarding.name=attic",
)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("attack", ATTACKS)
async def test_nothing_that_a_list_can_ask_for_tells_of_what_is_hidden(attack: str, form: str) -> None:
    made = fleet()
    answer = await made.ask(ALICE, attack, headers=FORMS[form])
    assert answer.status == 200, answer.body
    plural = attack.partition("?")[0].rpartition("/")[2]
    for name in HIDDEN[plural]:
        for written in (f'"{name}"', f": {name}\n", f"uid-{name}"):
            assert written.encode() not in answer.body
    assert b"remainingItemCount" not in answer.body


async def test_pages_have_ones_own_and_a_token_of_somebody_else_gives_no_more() -> None:
    made = fleet()
    first = (await made.ask(ALICE, f"{API}/clusters?limit=1")).json()
    assert [item["metadata"]["name"] for item in first["items"]] == ["m1"]
    token = first["metadata"]["continue"]
    last = (await made.ask(ALICE, f"{API}/clusters?limit=1&continue={token}")).json()
    assert [item["metadata"]["name"] for item in last["items"]] == ["m2"]
    assert "continue" not in last["metadata"], "what comes after is hidden"
    for owner in (ADMIN, BOB):
        listed = (await made.ask(owner, f"{API}/accessgrants?limit=1")).json()["metadata"].get("continue")
        if listed:
            assert await made.names(ALICE, f"{API}/accessgrants?continue={listed}") == ["over", "shop-prod"]


async def test_a_list_as_of_before_has_what_was_ones_own_then_and_is_now() -> None:
    made = fleet()
    before = made.informer.revision
    made.grant("alice-m1", "bob")
    made.grant("bob-m3", "bob", "alice", clusters=("m3",))
    exact = f"?resourceVersion={before}&resourceVersionMatch=Exact"
    assert await made.names(ALICE, f"{API}/accessgrants{exact}") == ["over", "shop-prod"]
    assert await made.names(ALICE, f"{API}/accessgrants") == ["bob-m3", "over", "shop-prod"]
    made.delete(CLUSTER, "m2")
    made.store(CLUSTER, "m2", uid="another", metadata={"labels": {"env": "prod"}})
    assert await made.names(ALICE, f"{API}/clusters{exact}") == ["m3"], "another cluster has the name of m2"


async def test_ones_own_credentials_can_be_ended_and_nobody_elses() -> None:
    made = fleet()
    assert (await made.ask(ALICE, f"{API}/credentials/c-alice", "DELETE")).status == 200
    hidden, absent = [await made.ask(ALICE, f"{API}/credentials/{name}", "DELETE") for name in ("c-bob", "c-none")]
    assert (hidden.status, hidden.body) == (404, absent.body.replace(b"c-none", b"c-bob"))
    assert (await made.ask(ALICE, f"{API}/credentials", "DELETE")).status == 403
    assert (await made.ask(ALICE, f"{API}/credentials", "POST", {})).status == 403
    assert (await made.ask(ALICE, f"{API}/credentials/c-alice", "PUT", {})).status == 403
    assert (await made.ask(ALICE, f"{API}/accessgrants/alice-m1/status")).json()["spec"]["role"] == "view"
    assert (await made.ask(ALICE, f"{API}/accessgrants/bob-m3/status")).status == 404
    assert made.forwarding.forwarded == ["delete credentials/c-alice"]


async def test_a_name_is_looked_for_in_what_is_stored_before_it_is_called_unknown() -> None:
    """A credential that was made a moment ago may be ended."""
    made = fleet()
    made.late.append(lambda: made.credential("c-new", "alice"))
    assert (await made.ask(ALICE, f"{API}/credentials/c-new", "DELETE")).status == 200


def review(verb: str, plural: str, name: str, group: str = "skerry.dev", namespace: str = "") -> dict[str, Any]:
    asked = {"verb": verb, "group": group, "resource": plural, "name": name, "namespace": namespace}
    return {"spec": {"resourceAttributes": asked}}


REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
METHODS = {"get": "GET", "list": "GET", "watch": "GET", "create": "POST", "delete": "DELETE", "update": "PUT"}


@pytest.mark.parametrize("who", EVERYBODY)
@pytest.mark.parametrize(
    ("plural", "names"),
    [
        ("clusters", ("m1", "m3")),
        ("accessgrants", ("alice-m1", "bob-m3")),
        ("workspaces", ("till", "attic")),
        ("credentials", ("c-alice", "c-bob")),
        ("settings", ("join.approval",)),
        ("jointokens", ("joiner",)),
    ],
)
async def test_a_self_review_is_what_the_request_is_answered(who: str, plural: str, names: tuple[str, ...]) -> None:
    made, caller = fleet(), EVERYBODY[who]
    cells = [(verb, "") for verb in ("list", "create", "deletecollection")]
    for verb, name in [*cells, *((verb, name) for name in names for verb in ("get", "delete", "update"))]:
        reviewed, elsewhere = [
            (await made.ask(caller, REVIEWS, "POST", review(verb, plural, name, namespace=each))).json()["status"]
            for each in ("", "default")
        ]
        assert reviewed == elsewhere, "kubectl auth can-i names a namespace also of what is in none"
        method = "DELETE" if verb == "deletecollection" else METHODS[verb]
        answer = await made.ask(
            caller, f"{API}/{plural}{'/' if name else ''}{name}", method, {} if method in ("POST", "PUT") else None
        )
        assert reviewed["allowed"] is (answer.status not in (403, 404)), (verb, name, answer.status, reviewed)
        if answer.status == 403:
            assert reviewed["reason"] == answer.json()["message"]


async def test_an_action_has_rights_of_its_own_and_says_the_same_of_what_is_hidden_and_of_nothing() -> None:
    made = fleet()
    for caller, code in ((VIEWER, 200), (ADMIN, 200), (ALICE, 403), (NOBODY, 403)):
        answers = [await made.ask(caller, f"{API}/clusters/{name}/desired") for name in ("m3", "gone")]
        assert [answer.status for answer in answers] == [code, code]


def test_everybody_sees_only_what_names_them_whatever_a_hostile_object_says() -> None:
    """What cannot be read is tied to nobody; a service account is no user of that name."""
    made = Tenants()
    for number, subjects in enumerate(
        [
            "alice",
            [{"kind": "User"}],
            [{"kind": 1, "name": "alice"}],
            [["alice"]],
            [{"kind": "Robot", "name": "alice"}],
            None,
        ]
    ):
        made.store(ACCESS_GRANT, f"odd{number}", spec={"subjects": subjects, "clusters": {"names": []}})
    made.store(ACCESS_GRANT, "robot", spec={"subjects": [{"kind": "User", "name": "serviceaccount:a:b"}]})
    made.store(CREDENTIAL, "odd", spec={"user": ["alice"]})
    made.store(CREDENTIAL, "none")
    for caller in (ALICE, Caller(user="serviceaccount:a:b")):
        for plural, kind in (("accessgrants", ACCESS_GRANT), ("credentials", CREDENTIAL)):
            del plural
            assert [item.name for item in made.informer.list(kind) if made.shows(caller, kind, item)] == []


@pytest.mark.integration
async def test_what_is_hidden_is_neither_listed_nor_got_nor_watched(world: World) -> None:
    about = await told(world, "m1")
    (shown,) = (await world.ask(CORE)).json()["items"]
    world.denied.add("clusters")
    for path in (CORE, EVENTS_V1):
        assert (await world.ask(path)).json()["items"] == []
        assert (await world.ask(f"{path}/{shown['metadata']['name']}")).status == 404
        watched = await world.ask(f"{path}?watch=true&timeoutSeconds=1")
        assert (watched.status, watched.body) == (200, b"")
    world.denied.discard("clusters")
    watched = await world.ask(f"{CORE}?watch=true&timeoutSeconds=1")
    assert about["metadata"]["uid"].encode() in watched.body


async def test_what_everybody_may_try_is_tried_on_what_one_sees_and_an_apply_makes_what_there_is_not() -> None:
    made = fleet()
    apply = {"content-type": "application/apply-patch+yaml"}
    for name, method, code in (
        ("alice-m1", "PUT", 200),
        ("bob-m3", "PUT", 404),
        ("bob-m3", "PATCH", 404),
        ("none", "PUT", 404),
        ("none", "PATCH", 200),
        ("bob-m3", "DELETE", 404),
    ):
        target = f"{API}/accessgrants/{name}?fieldManager=t"
        assert (await made.ask(ALICE, target, method, {}, apply if method == "PATCH" else None)).status == code, name
    assert made.forwarding.forwarded == ["update accessgrants/alice-m1", "patch accessgrants/none"]
    assert (await made.ask(ALICE, f"{API}/workspaces/till", "PUT", {})).status == 403
    assert (await made.ask(BOB, f"{API}/workspaces/till", "PUT", {})).status == 200
