"""Namespaced kinds whose rights are the roles of workspaces: who may do what in which namespace, by every way to learn it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import pytest

from skerry.api.kinds import EVERY_VERB, WORKSPACE
from skerry.api.messages import Caller
from tests.hostapi.berths import BERTH
from tests.hostapi.tenants import ADMIN, API, Asked, Tenants
from tests.hostapi.test_moving import told

PEOPLE = {
    "viewer": Caller(user="vera"),
    "editor": Caller(user="ed"),
    "admin of it": Caller(user="ada"),
    "by group": Caller(user="greta", groups=("org:shop",)),
    "in another": Caller(user="otto"),
    "with a grant": Caller(user="gus"),
    "nobody": Caller(user="nobody"),
    "built-in view": Caller(user="bv", groups=("skerry:view",)),
    "built-in edit": Caller(user="be", groups=("skerry:edit",)),
    "built-in admin": Caller(user="ba", groups=("skerry:admin",)),
    "reviewer": Caller(user="rev", groups=("skerry:app-reviewer",)),
    "reader on the host": Caller(user="reader"),
    "administrator": ADMIN,
}
READS, WRITES = ("get", "list", "watch", "depth"), ("create", "update", "patch", "delete", "deletecollection")
ALL = (*READS, *WRITES, "tow")
IN_SHOP: dict[str, Iterable[str]] = {
    "viewer": READS,
    "editor": (*READS, *WRITES),
    "admin of it": ALL,
    "by group": READS,
    "built-in view": READS,
    "built-in edit": (*READS, *WRITES),
    "built-in admin": ALL,
    "reader on the host": ("get", "list", "watch"),
    "administrator": ALL,
}
IN_OTHERS: dict[str, Iterable[str]] = {
    "in another": ALL,
    **{who: IN_SHOP[who] for who in ("built-in view", "built-in edit", "built-in admin", "reader on the host", "administrator")},
}  # fmt: skip
JUST_READ = ("get", "list", "watch")
IN_POOL: dict[str, Iterable[str]] = {
    **{who: JUST_READ for who in PEOPLE if who != "nobody"},
    "administrator": ALL,
}
IN_DEFAULT: dict[str, Iterable[str]] = {"administrator": ALL, "reader on the host": JUST_READ}
EVERYWHERE: dict[str, Iterable[str]] = {**dict.fromkeys(PEOPLE, ("list", "watch")), "administrator": ALL}
MATRIX = {"shop": IN_SHOP, "attic": IN_OTHERS, "skerry-apps": IN_POOL, "default": IN_DEFAULT, "": EVERYWHERE}
MANIFEST = {"apiVersion": BERTH.api_version, "kind": "Berth", "metadata": {"name": "north"}, "spec": {}}


def harbour() -> Tenants:
    """Two workspaces, the pool and `default`, each with a berth; somebody of each kind."""
    made = Tenants(kinds=(BERTH,))
    for name in ("host", "m1"):
        made.cluster(name)
    members = [{"kind": "User", "name": user, "role": role} for user, role in (("vera", "view"), ("ed", "edit"), ("ada", "admin"))]  # fmt: skip
    members.append({"kind": "Group", "name": "org:shop", "role": "view"})
    made.store(WORKSPACE, "shop", spec={"members": members})
    made.workspace("attic", otto="admin")
    made.grant("on-host", "reader", clusters=("host",))
    made.grant("on-m1", "gus")
    for namespace in ("shop", "attic", "skerry-apps", "default"):
        berth(made, namespace, "north")
    return made


def berth(made: Tenants, namespace: str, name: str, **more: Any) -> int:
    return made.store(BERTH, name, metadata={"namespace": namespace}, uid=f"uid-{namespace}-{name}", **more)


class Request(NamedTuple):
    method: str
    path: str
    verb: str
    subresource: str = ""
    name: str = ""


def requests(namespace: str) -> dict[str, Request]:
    """By what they are called here."""
    base = f"{API}/namespaces/{namespace}/berths" if namespace else f"{API}/berths"
    named = {"get": "GET", "update": "PUT", "patch": "PATCH", "delete": "DELETE"}
    return {
        **{verb: Request(method, f"{base}/north", verb, name="north") for verb, method in named.items()},
        "list": Request("GET", base, "list"),
        "watch": Request("GET", f"{base}?watch=true&timeoutSeconds=1&resourceVersion=none", "watch"),
        "create": Request("POST", base, "create"),
        "deletecollection": Request("DELETE", base, "deletecollection"),
        "tow": Request("POST", f"{base}/north/tow", "create", "tow", "north"),
        "depth": Request("GET", f"{base}/north/depth", "get", "depth", "north"),
    }


async def allowed(made: Tenants, caller: Caller, request: Request) -> bool:
    """By the request itself: what is wrong with it besides is told to who may make it alone."""
    body = MANIFEST if request.method in ("POST", "PUT", "PATCH") else None
    media = {"content-type": "application/merge-patch+json"} if request.method == "PATCH" else {}
    answer = await made.ask(caller, request.path, request.method, body, media)
    return answer.status != 403


async def reviewed(made: Tenants, caller: Caller, namespace: str, request: Request) -> bool:
    attributes = {
        "verb": request.verb,
        "group": BERTH.group,
        "resource": BERTH.plural,
        "subresource": request.subresource,
    }
    spec = {"resourceAttributes": {**attributes, "namespace": namespace, "name": request.name}}
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    answer = await made.ask(caller, path, "POST", {"spec": spec})
    return bool(answer.json()["status"]["allowed"])


async def ruled(made: Tenants, caller: Caller, namespace: str) -> set[tuple[str, str]]:
    """(verb, resource) of all that the rules for a namespace allow with berths."""
    path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
    answer = await made.ask(caller, path, "POST", {"spec": {"namespace": namespace}})
    rules = answer.json()["status"]["resourceRules"]
    return {(verb, each) for rule in rules for each in rule["resources"] if each.startswith("berths") for verb in rule["verbs"]}  # fmt: skip


@pytest.mark.parametrize("namespace", [each for each in MATRIX if each])
@pytest.mark.parametrize("who", PEOPLE)
async def test_requests_reviews_and_rules_say_the_same(who: str, namespace: str) -> None:
    made, caller, expected = harbour(), PEOPLE[who], MATRIX[namespace].get(who, ())
    rules = await ruled(made, caller, namespace)
    for name, request in requests(namespace).items():
        wanted = name in expected
        real = await allowed(made, caller, request)
        assert (real, await reviewed(made, caller, namespace, request)) == (wanted, wanted), (name, request)
        resource = f"berths/{request.subresource}" if request.subresource else "berths"
        assert ((request.verb, resource) in rules) is wanted or who == "administrator", name


@pytest.mark.parametrize("who", PEOPLE)
async def test_of_all_namespaces_at_once_everybody_lists_what_is_theirs_and_nobody_writes(who: str) -> None:
    made, caller = harbour(), PEOPLE[who]
    base = requests("")
    for name in ("list", "watch", "create", "deletecollection"):
        assert await reviewed(made, caller, "", base[name]) is (name in EVERYWHERE[who]), name
    readable = [each for each in MATRIX if each and "list" in MATRIX[each].get(who, ())]
    answer = await made.ask(caller, f"{API}/berths")
    assert sorted(item["metadata"]["namespace"] for item in answer.json()["items"]) == sorted(readable)
    for method in ("POST", "DELETE"):
        answer = await made.ask(caller, f"{API}/berths", method, MANIFEST)
        assert answer.status == (405 if caller is ADMIN else 403)
        assert "in workspace" not in answer.json()["message"], "no workspace's role would do"
    assert (await made.ask(caller, f"{API}/berths/north")).status == 404
    assert made.forwarding.forwarded == []


async def test_a_refusal_says_the_role_that_it_takes_and_is_the_same_whether_the_namespace_exists_or_not() -> None:
    made, outsider = harbour(), PEOPLE["in another"]
    refused = [
        await made.ask(outsider, f"{API}/namespaces/{name}/berths", "POST", MANIFEST) for name in ("shop", "none")
    ]
    assert refused[0].json()["message"] == (
        'berths.skerry.dev is forbidden: User "otto" cannot create resource "berths" in API group "skerry.dev" in the namespace '
        '"shop": it takes the role edit or admin in workspace shop, or the group skerry:cluster-admin; ask an admin of the '
        "workspace, or an administrator of the host"
    )
    assert refused[0].body.replace(b"shop", b"none") == refused[1].body
    one = await made.ask(outsider, f"{API}/namespaces/shop/berths/north")
    other = await made.ask(outsider, f"{API}/namespaces/shop/berths/absent")
    assert one.body.replace(b"north", b"absent") == other.body
    pool = await made.ask(outsider, f"{API}/namespaces/skerry-apps/berths", "POST", MANIFEST)
    assert "it takes the group skerry:cluster-admin; ask an administrator" in pool.json()["message"], (
        "no role writes there"
    )
    stranger = await made.ask(PEOPLE["nobody"], f"{API}/namespaces/skerry-apps/berths")
    assert "it takes a grant on any cluster, a role in any workspace, or the group skerry:cluster-admin;" in stranger.json()["message"]  # fmt: skip


async def test_who_may_read_all_lists_nothing_in_a_namespace_that_there_is_not() -> None:
    made = harbour()
    for who in ("administrator", "built-in view", "reader on the host"):
        assert await made.names(PEOPLE[who], f"{API}/namespaces/none/berths") == []


async def test_deletecollection_takes_what_is_in_the_namespace_alone() -> None:
    made = harbour()
    berth(made, "shop", "south")
    answer = await made.ask(PEOPLE["editor"], f"{API}/namespaces/shop/berths", "DELETE")
    assert answer.status == 200
    assert made.forwarding.forwarded == ["delete berths/north", "delete berths/south"]


async def test_an_apply_makes_what_there_is_not_for_who_may_create() -> None:
    made, headers = harbour(), {"content-type": "application/apply-patch+yaml"}
    path = f"{API}/namespaces/shop/berths/new?fieldManager=t"
    assert (await made.ask(PEOPLE["editor"], path, "PATCH", MANIFEST, headers)).status == 200
    assert (await made.ask(PEOPLE["viewer"], path, "PATCH", MANIFEST, headers)).status == 403
    assert made.forwarding.forwarded == ["patch berths/new"]


async def test_who_became_a_member_a_moment_ago_is_not_refused() -> None:
    made, new = harbour(), Caller(user="new")
    made.late.append(lambda: made.workspace("yard", new="edit"))
    assert (await made.ask(new, f"{API}/namespaces/yard/berths", "POST", MANIFEST)).status == 200


async def test_a_watch_of_all_namespaces_moves_with_membership() -> None:
    made, new = harbour(), Caller(user="new")
    async with made.watching(new, f"{API}/berths?watch=true") as watch:
        made.workspace("attic", otto="admin", new="view")
        came = [await watch.told() for _ in range(2)]
        places = sorted((each["type"], each["object"]["metadata"]["namespace"]) for each in came)
        assert places == [("ADDED", "attic"), ("ADDED", "skerry-apps")]
        berth(made, "attic", "south")
        berth(made, "shop", "south")
        assert await told(watch, 1) == [("ADDED", "south")]
        made.workspace("attic", otto="admin")
        assert await told(watch, 3) == [("DELETED", "north"), ("DELETED", "south"), ("DELETED", "north")]


async def test_a_watch_in_a_namespace_ends_with_membership_and_lists_again() -> None:
    made = harbour()
    async with made.watching(PEOPLE["in another"], f"{API}/namespaces/attic/berths?watch=true") as watch:
        assert await told(watch, 1) == [("ADDED", "north")]
        berth(made, "attic", "south")
        assert await told(watch, 1) == [("ADDED", "south")]
        made.workspace("attic", bob="admin")
        ended = await watch.told()
        assert (ended["type"], ended["object"]["code"]) == ("ERROR", 410)


async def test_what_a_member_has_in_workspaces_is_told_to_them() -> None:
    made = harbour()
    asked: Asked = await made.ask(PEOPLE["editor"], "/api/v1/namespaces")
    assert [item["metadata"]["name"] for item in asked.json()["items"]] == ["shop", "skerry-apps"]


async def test_every_verb_is_in_the_matrix() -> None:
    assert {each.verb for each in requests("shop").values()} == set(EVERY_VERB)
