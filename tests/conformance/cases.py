"""Requests that both sides must answer alike: one Case is one story about one object.

To add a case, append it to CASES: its steps are sent to both sides in order, and code, body (managedFields included) and
warnings of every step are compared. NAME in targets and bodies becomes the case's own object name. Where the host API
answers differently on purpose, the step says why in `differs`, and what it answers instead: a reason that is not true
any more fails as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from skerry.api.meta import Document
from skerry.api.v1alpha1 import API_VERSION

Body = Document | list[Any] | bytes | None | Callable[[Document], Any]

JSON = "application/json"
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
ROOT = f"/apis/{API_VERSION}"
WORKSPACES = f"{ROOT}/workspaces"
GRANTS = f"{ROOT}/accessgrants"
SETTINGS = f"{ROOT}/settings"
REQUESTS = f"{ROOT}/accessrequests"
ONE = f"{WORKSPACES}/NAME"


class Step(NamedTuple):
    """One request. A callable body is given the object that the side answered last."""

    method: str
    target: str
    body: Body = None
    media: str = JSON
    differs: str = ""
    """Why the host API answers otherwise; empty if it must not."""
    instead: int = 0
    """The code that it answers then; 0: the same code, with another text."""
    accept: str = JSON


class Case(NamedTuple):
    """A story; `steps` are in order."""

    name: str
    steps: tuple[Step, ...]


def workspace(spec: Document | None = None, **metadata: Any) -> Document:
    """A Workspace called NAME."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Workspace",
        "metadata": {"name": "NAME", **metadata},
        "spec": {} if spec is None else spec,
    }


def create(spec: Document | None = None, query: str = "fieldManager=creator", **metadata: Any) -> Step:
    """POST."""
    return Step("POST", f"{WORKSPACES}?{query}", workspace(spec, **metadata))


def apply(manager: str, spec: Document | None = None, query: str = "", **metadata: Any) -> Step:
    """Server-side apply."""
    return Step("PATCH", f"{ONE}?fieldManager={manager}{query}", workspace(spec, **metadata), APPLY)


def merge(patch: Any, query: str = "fieldManager=merger") -> Step:
    """A merge patch."""
    return Step("PATCH", f"{ONE}?{query}", patch, MERGE)


def patch(*operations: Document, query: str = "fieldManager=patcher") -> Step:
    """A JSON patch."""
    return Step("PATCH", f"{ONE}?{query}", list(operations), JSON_PATCH)


def put(change: Callable[[Document], Any], query: str = "fieldManager=putter") -> Step:
    """PUT of the last object, changed."""
    return Step("PUT", f"{ONE}?{query}", change)


def delete(query: str = "", options: Body = None) -> Step:
    """DELETE."""
    return Step("DELETE", f"{ONE}?{query}", options)


GET = Step("GET", ONE)


def with_spec(**spec: Any) -> Callable[[Document], Document]:
    """The object with other fields in spec."""
    return lambda last: {**last, "spec": {**last["spec"], **spec}}


def with_metadata(**metadata: Any) -> Callable[[Document], Document]:
    """The object with other metadata; None takes a field away."""
    return lambda last: {
        **last,
        "metadata": {k: v for k, v in {**last["metadata"], **metadata}.items() if v is not None},
    }


AL, BO, CY = ({"kind": "User", "name": name} for name in ("al", "bo", "cy"))
TEAM = {"displayName": "Team", "members": [AL, {**BO, "role": "edit"}], "clusters": {"names": ["x", "y"]}}
OWNER = {"apiVersion": "v1", "kind": "X", "name": "x", "uid": "1-2"}
NO_5XX = "an error of the client is 400 here, never a 5xx"
NO_GO = "the text of Go's JSON reader is not imitated"


def _creates() -> Iterator[Case]:
    yield Case("create", (create(TEAM, labels={"x": "y"}, annotations={"a": "b"}, finalizers=["x.dev/f"]), GET))
    yield Case("create twice", (create(), create()))
    yield Case("create without a manager takes the client's name", (create(TEAM, ""),))
    yield Case("create drops unknown fields and warns", (create({"colour": 1, "members": [{**AL, "z": 1}]}),))
    yield Case("create ignores unknown fields", (create({"colour": 1}, "fieldValidation=Ignore"), GET))
    yield Case("create refuses unknown fields", (create({"colour": 1}, "fieldValidation=Strict", zz=1),))
    yield Case("create refuses a name", (Step("POST", WORKSPACES, workspace({}) | {"metadata": {"name": "A_b"}}),))
    yield Case("create needs a name", (Step("POST", WORKSPACES, workspace({}) | {"metadata": {}}),))
    yield Case(
        "create generates a name", (Step("POST", WORKSPACES, workspace() | {"metadata": {"generateName": "NAME-"}}),)
    )
    yield Case(
        "create needs a spec", (Step("POST", WORKSPACES, {k: v for k, v in workspace().items() if k != "spec"}),)
    )
    yield Case("create of another kind", (Step("POST", WORKSPACES, workspace() | {"kind": "Foo"}),))
    yield Case(
        "create checks types",
        (create({"displayName": 5, "members": [{"kind": "Foo", "name": "a"}, {"kind": "User"}]}),),
    )
    yield Case("create checks lists", (create({"namespaces": "x"}),))
    yield Case("create leaves null out", (create({"displayName": None}),))
    yield Case("create takes null for a default", (create({"members": [{**AL, "role": None}]}),))
    yield Case("create refuses items that are there twice", (create({"members": [AL, AL]}),))
    yield Case(
        "create refuses labels", (create(labels={"a": "b c"}), create(labels={"-x": "y"}), create(labels={"k/": "1"}))
    )
    yield Case("create refuses long labels", (create(labels={"a": "b" * 64}), create(labels={"a" * 64: "b"})))
    yield Case(
        "create refuses annotations", (create(annotations={"a b": "c"}), create(annotations={"a": "x" * 262144}))
    )
    yield Case("create refuses finalizers", (create(finalizers=["a b"]),))
    yield Case("create warns of finalizers", (create(finalizers=["plain"]),))
    yield Case(
        "create refuses owners", (create(ownerReferences=[{"apiVersion": "v1", "kind": "X", "name": "", "uid": ""}]),)
    )
    yield Case(
        "create with an owner",
        (create(ownerReferences=[{"apiVersion": "v1", "kind": "X", "name": "x", "uid": "1-2"}]),),
    )
    yield Case("create refuses a resourceVersion", (create(resourceVersion="1")._replace(differs=NO_5XX, instead=400),))
    yield Case(
        "create keeps no status", (Step("POST", WORKSPACES, workspace(TEAM) | {"status": {"conditions": []}}), GET)
    )
    yield Case(
        "create drops the server's fields", (create(uid="u", generation=7, creationTimestamp="2000-01-01T00:00:00Z"),)
    )
    yield Case("create drops a namespace", (create(namespace="x"),))
    yield Case("create takes YAML", (
        Step("POST", WORKSPACES, b"apiVersion: skerry.dev/v1alpha1\nkind: Workspace\nmetadata: {name: NAME}\nspec: {}\n", "application/yaml"),
    ))  # fmt: skip
    yield Case("create in another format", (Step("POST", WORKSPACES, b"x", "text/plain", "protobuf is not taken"),))
    yield Case("create dry", (create(TEAM, "dryRun=All"), GET, create(), create(TEAM, "dryRun=All")))
    for query in ("dryRun=x", "fieldValidation=x", f"fieldManager={'x' * 129}"):
        yield Case(f"create with {query[:16]}", (create({}, query),))
    yield Case("create of a list", (Step("POST", WORKSPACES, [], differs=NO_GO),))
    yield Case("create of half an object", (Step("POST", WORKSPACES, b"{", differs=NO_GO),))
    yield Case("create with labels that are no strings", (create(labels={"x": 1})._replace(differs=NO_GO),))
    yield Case(
        "create with a status of managers", (create(TEAM, managedFields=[{"manager": "x", "operation": "Update"}]),)
    )


def _updates() -> Iterator[Case]:
    yield Case("put", (create(TEAM, labels={"a": "1"}), put(with_spec(displayName="New")), GET))
    yield Case("put nothing new", (create(TEAM), put(lambda last: last)))
    yield Case(
        "put takes fields away",
        (create(TEAM, labels={"a": "1"}), put(lambda last: {**last, "spec": {"displayName": "x"}})),
    )
    yield Case(
        "put needs a version",
        (create(), put(with_metadata(resourceVersion=None)), put(with_metadata(resourceVersion="0"))),
    )
    yield Case("put of an old version", (create(), put(with_metadata(resourceVersion="1"))))
    yield Case(
        "put of another uid", (create(), put(with_metadata(uid="u"))._replace(differs="no storage key in the text"))
    )
    yield Case("put of another name", (create(), put(with_metadata(name="zz"))))
    yield Case("put without a name", (create(), put(with_metadata(name=None))))
    yield Case(
        "put keeps the server's fields",
        (create(), put(with_metadata(creationTimestamp="2000-01-01T00:00:00Z", generation=77))),
    )
    yield Case("put of a deletion", (create(), put(with_metadata(deletionTimestamp="2000-01-01T00:00:00Z"))))
    yield Case("put of what is not there", (Step("PUT", ONE, workspace()),))
    yield Case("put of labels", (create(TEAM), put(with_metadata(labels={"n": "m"})), put(with_metadata(labels=None))))
    yield Case("put keeps managers when there are none", (create(TEAM), put(with_metadata(managedFields=[]))))
    yield Case(
        "put clears managers", (create(TEAM), put(with_metadata(managedFields=[{}])), put(with_spec(displayName="z")))
    )
    yield Case("put managers of which nothing is known", (create(TEAM), put(with_metadata(managedFields=[{"zz": 1}]))))
    mine = {"manager": "x", "operation": "Apply", "apiVersion": API_VERSION, "fieldsType": "FieldsV1"}
    yield Case(
        "put of managers",
        (create(TEAM), put(with_metadata(managedFields=[{**mine, "fieldsV1": {"f:spec": {"f:displayName": {}}}}]))),
    )
    yield Case(
        "put of unreadable managers", (create(TEAM), put(with_metadata(managedFields=[{**mine, "operation": "Foo"}])))
    )
    yield Case("put dry", (create(TEAM), put(with_spec(displayName="z"), "dryRun=All"), GET))
    yield Case(
        "put of unknown fields", (create(TEAM), put(with_spec(z=1)), put(with_spec(z=1), "fieldValidation=Strict"))
    )
    yield Case("put checks", (create(TEAM), put(with_spec(displayName=1)), put(with_metadata(labels={"-": "-"}))))
    yield Case("put ignores status", (create(TEAM), put(lambda last: {**last, "status": {"conditions": []}})))


def _patches() -> Iterator[Case]:
    yield Case(
        "merge",
        (create(TEAM), merge({"spec": {"displayName": "C", "members": [CY]}}), merge({"spec": {"displayName": "C"}})),
    )
    yield Case(
        "merge null",
        (create(TEAM, labels={"a": "1"}), merge({"metadata": {"labels": None}, "spec": {"clusters": None}})),
    )
    yield Case("merge an old version", (create(), merge({"metadata": {"resourceVersion": "1"}})))
    yield Case("merge a name", (create(), merge({"metadata": {"name": "zz"}})))
    yield Case("merge a uid", (create(), merge({"metadata": {"uid": "zz"}})))
    yield Case("merge a kind", (create(), merge({"kind": "zz"}), merge({"apiVersion": "zz/v1"})))
    yield Case("merge unknown fields", (create(), merge({"spec": {"zz": 1}}), merge({"spec": {"displayName": 1}})))
    yield Case("merge unknown fields, strictly", (create(), merge({"spec": {"zz": 1}}, "fieldValidation=Strict")))
    yield Case("json patch unknown fields, strictly", (
        create(), patch({"op": "add", "path": "/spec/zz", "value": 1}, query="fieldValidation=Strict"),
    ))  # fmt: skip
    yield Case("names of managers", (
        create(TEAM, "fieldManager="),
        Step("POST", f"{WORKSPACES}?fieldManager=a%07b", workspace(), differs="JSON's escapes instead of Go's"),
    ))  # fmt: skip
    yield Case("patch keeps the times of others", (
        create(TEAM), merge({"spec": {"displayName": "B"}}, "fieldManager=a"), merge({"spec": {"displayName": "C"}}, "fieldManager=b"),
    ))  # fmt: skip
    yield Case("status is no field of the main resource", (
        Step("POST", WORKSPACES, workspace(TEAM) | {"status": {"conditions": [{"type": "A", "status": "True", "reason": "r"}]}}),
        merge({"status": {"conditions": [{"type": "A"}]}}),
    ))  # fmt: skip
    yield Case(
        "owners twice",
        (
            create(ownerReferences=[OWNER, OWNER]),
            create(ownerReferences=[{**OWNER, "controller": True}, {**OWNER, "uid": "3", "controller": True}]),
        ),
    )
    yield Case("selectors", (
        create({"clusters": {"selector": {"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "k", "operator": "In", "values": ["v"]}]}}}),
        merge({"spec": {"clusters": {"selector": {"matchLabels": {"c": "d", "a": None}}}}}),
        merge({"spec": {"clusters": {"selector": {"matchExpressions": [{"key": "k", "operator": "Is"}]}}}}),
    ))  # fmt: skip
    yield Case("apply selectors", (
        apply("m1", {"clusters": {"selector": {"matchLabels": {"a": "b"}}}}),
        apply("m2", {"clusters": {"selector": {"matchLabels": {"c": "d"}}}}),
        apply("m1", {"clusters": {"selector": {"matchExpressions": [{"key": "k", "operator": "Exists"}]}}}),
        apply("m2", {"clusters": {"selector": {}}}),
        apply("m2", {"clusters": {}}),
        apply("m3", {"clusters": {"selector": {"matchExpressions": []}}}, "&force=true"),
        apply("m3", {"clusters": {"selector": {"matchExpressions": [{"key": "z", "operator": "Exists"}]}}}),
    ))  # fmt: skip
    yield Case("apply and update in turn", (
        apply("m1", {"displayName": "a", "namespaces": [{"cluster": "c", "name": "n"}]}),
        merge({"spec": {"namespaces": [{"cluster": "c", "name": "n"}, {"cluster": "d", "name": "n"}]}}),
        apply("m1", {"displayName": "a"}),
        merge({"spec": {"namespaces": None}}),
        apply("m1", {"displayName": "a", "namespaces": [{"cluster": "c", "name": "n"}]}),
        put(lambda last: {**last, "spec": {}}),
        apply("m1", {"displayName": "b"}),
    ))  # fmt: skip
    yield Case("apply annotations and labels", (
        apply("m1", labels={"a": "1", "b": "2"}, annotations={"x/y": "z"}),
        apply("m2", labels={"b": "2", "c": "3"}),
        apply("m1", labels={"a": "1"}),
        apply("m2", labels={}),
        apply("m1"),
    ))  # fmt: skip
    yield Case("merge status", (create(TEAM), merge({"status": {"conditions": []}})))
    yield Case("merge with force", (create(), merge({"spec": {}}, "force=true")))
    yield Case("merge into nothing", (merge({"spec": {}}),))
    yield Case("merge of a list", (create(), merge([])._replace(differs=NO_GO)))
    yield Case("merge a null label", (create(labels={"a": None}), merge({"metadata": {"labels": {"b": None}}})))
    yield Case("merge wrong metadata", (create(), merge({"metadata": {"labels": {"a": 1}}})._replace(differs=NO_GO)))
    yield Case("merge away metadata", (create(), merge({"metadata": None})))
    yield Case("merge dry", (create(TEAM), merge({"spec": {"displayName": "C"}}, "dryRun=All"), GET))
    yield Case(
        "merge managers",
        (create(TEAM), merge({"metadata": {"managedFields": []}}), merge({"metadata": {"managedFields": [{}]}})),
    )
    yield Case(
        "strategic merge",
        (create(), merge({})._replace(media="application/strategic-merge-patch+json"), merge({})._replace(media=JSON)),
    )
    yield Case("json patch", (
        create(TEAM),
        patch(
            {"op": "replace", "path": "/spec/displayName", "value": "J"},
            {"op": "add", "path": "/metadata/labels", "value": {"a": "b"}},
            {"op": "add", "path": "/spec/members/-", "value": {"kind": "Group", "name": "g"}},
        ),
        patch({"op": "copy", "from": "/spec/displayName", "path": "/metadata/labels/c"}, {"op": "move", "from": "/metadata/labels/a", "path": "/metadata/labels/q"}),
        patch({"op": "test", "path": "/spec/displayName", "value": "J"}, {"op": "remove", "path": "/spec/members/0"}),
    ))  # fmt: skip
    why = "the message names the operation that does not apply"
    for name, operation in (
        ("test", {"op": "test", "path": "/spec/displayName", "value": "no"}),
        ("remove nothing", {"op": "remove", "path": "/spec/nope"}),
        ("add to nothing", {"op": "add", "path": "/spec/nope/x", "value": 1}),
        ("add far away", {"op": "add", "path": "/spec/members/9", "value": AL}),
        ("no operation", {"op": "foo", "path": "/spec"}),
    ):
        yield Case(f"json patch: {name}", (create(TEAM), patch(operation)._replace(differs=why)))
    yield Case(
        "json patch replaces nothing", (create(TEAM), patch({"op": "replace", "path": "/spec/nope", "value": 1}))
    )
    yield Case(
        "json patch clears managers",
        (create(TEAM), patch({"op": "replace", "path": "/metadata/managedFields", "value": [{}]})),
    )


def _applies() -> Iterator[Case]:
    yield Case("apply creates", (apply("m1", TEAM, labels={"a": "1"}), GET))
    yield Case("apply again", (apply("m1", TEAM), apply("m1", TEAM)))
    yield Case("apply conflicts", (
        apply("m1", TEAM, labels={"a": "1"}),
        apply("m2", {"displayName": "B", "members": [{**BO, "role": "admin"}]}, labels={"a": "2"}),
        apply("m2", {"displayName": "B"}),
        apply("m2", {"displayName": "B", "members": [CY, AL]}, "&force=true"),
        apply("m1", {"members": [{**BO, "role": "edit"}], "clusters": {"names": ["y", "z"]}}),
        apply("m1", {"clusters": {"names": ["y", "z"]}}),
        apply("m1"),
        apply("m3", {"clusters": {}}),
        apply("m3", {"namespaces": []}),
    ))  # fmt: skip
    yield Case(
        "apply shares",
        (
            apply("m1", TEAM),
            apply("m2", TEAM),
            apply("m1", {"displayName": "Team"}),
            apply("m2", {"displayName": "Team"}),
        ),
    )
    yield Case(
        "apply nulls", (apply("m1", TEAM), apply("m1", {"displayName": None}), apply("m1", {"namespaces": None}))
    )
    yield Case(
        "apply all away leaves no spec",
        (apply("m1", TEAM), apply("m2", {"displayName": "Team"}), apply("m1"), apply("m2")),
    )
    for name, spec in (
        ("unknown", {"zz": 1}),
        ("types", {"displayName": 5, "members": {}}),
        ("twice", {"members": [AL, AL]}),
    ):
        text = "types are not Go's" if name == "types" else ""
        yield Case(f"apply {name}", (create(), apply("m1", spec)._replace(differs=f"{NO_5XX}; {text}", instead=400)))
    yield Case("apply half a key", (create(), apply("m1", {"members": [{"kind": "User"}]})))
    yield Case("apply a wrong value", (create(), apply("m1", {"members": [{"kind": "Foo", "name": "x"}]})))
    yield Case(
        "apply managers", (create(), apply("m1", managedFields=[{"manager": "x"}]), apply("m1", managedFields=[]))
    )
    yield Case("apply a version", (create(), apply("m1", resourceVersion="1"), apply("m1", uid="1")))
    yield Case("apply to nothing", (apply("m1", uid="1"), apply("m1", resourceVersion="1")))
    yield Case("apply an empty name", (apply("m1", name=""), create(TEAM), apply("m1", name="")))
    yield Case("apply null as a name", (apply("m1", name=None), create(TEAM), apply("m1", name=None)))
    yield Case("apply without a manager", (Step("PATCH", ONE, workspace(), APPLY),))
    yield Case("apply dry", (apply("m1", TEAM, "&dryRun=All"), GET, create(), apply("m1", TEAM, "&dryRun=All"), GET))
    yield Case(
        "apply another name",
        (create(), Step("PATCH", f"{ONE}?fieldManager=x", workspace() | {"metadata": {"name": "zz"}}, APPLY)),
    )
    yield Case(
        "apply without a name",
        (create(TEAM), Step("PATCH", f"{ONE}?fieldManager=x", workspace() | {"metadata": {}}, APPLY)),
    )
    yield Case("apply another kind", (
        create(),
        Step("PATCH", f"{ONE}?fieldManager=x", workspace() | {"kind": "Foo"}, APPLY),
        Step("PATCH", f"{ONE}?fieldManager=x", workspace() | {"apiVersion": "skerry.dev/v1"}, APPLY),
        Step("PATCH", f"{ONE}?fieldManager=x", {"metadata": {"name": "NAME"}}, APPLY),
    ))  # fmt: skip
    yield Case("apply over updates", (
        create({"displayName": "A", "members": [AL]}, labels={"l": "1"}),
        apply("m1", {"displayName": "B"}),
        apply("m1", {"displayName": "A", "members": [AL]}),
        apply("m1"),
        apply("m1", {"displayName": "B"}),
        merge({"spec": {"displayName": "C"}}),
        apply("m1", {"displayName": "B"}),
        apply("m1", {"displayName": "B"}, "&force=true"),
    ))  # fmt: skip
    yield Case("apply before the first apply", (
        create(TEAM),
        merge({"metadata": {"managedFields": [{}]}}),
        apply("m1", {"displayName": "C"}),
        apply("m1", {"displayName": "C"}, "&force=true"),
    ))  # fmt: skip
    yield Case("apply metadata", (
        apply("m1", finalizers=["x.dev/a"], ownerReferences=[OWNER], generateName="q"),
        apply("m1", finalizers=[]),
    ))  # fmt: skip
    yield Case(
        "apply status is left out",
        (Step("PATCH", f"{ONE}?fieldManager=m1", workspace(TEAM) | {"status": {"conditions": []}}, APPLY),),
    )
    yield Case("apply as kubectl over kubectl", (
        create({"displayName": "A"}, "fieldManager=kubectl-client-side-apply", annotations={
            "kubectl.kubernetes.io/last-applied-configuration": '{"apiVersion":"skerry.dev/v1alpha1","kind":"Workspace","metadata":{"annotations":{},"name":"x"},"spec":{"displayName":"A"}}\n',
        }),
        apply("kubectl", {"displayName": "B"}),
        apply("other", {"displayName": "C"}),
    ))  # fmt: skip
    yield Case("apply to a list with order", (
        apply("m1", {"members": [AL, BO, CY]}),
        apply("m2", {"members": [CY, {"kind": "User", "name": "dee"}, AL]}),
        apply("m1", {"members": [CY, AL]}),
    ))  # fmt: skip
    yield Case("many updates are put together", (
        create(TEAM),
        *(merge({"metadata": {"labels": {f"l{n:02}": "x"}}}, f"fieldManager=u{n:02}") for n in range(11)),
    ))  # fmt: skip


def _deletes() -> Iterator[Case]:
    yield Case("delete", (create(), delete(), GET, delete()))
    yield Case("delete dry", (create(), delete("dryRun=All"), GET))
    yield Case("delete what is held", (
        create(finalizers=["x.dev/f"]),
        delete(),
        delete(),
        merge({"metadata": {"finalizers": ["x.dev/f", "x.dev/g"]}}),
        merge({"spec": {"displayName": "still"}}),
        merge({"metadata": {"finalizers": None}}),
        GET,
    ))  # fmt: skip
    yield Case("delete with preconditions", (
        create(),
        delete("", {"preconditions": {"uid": "x"}}),
        delete("", {"preconditions": {"resourceVersion": "1"}}),
    ))  # fmt: skip
    yield Case(
        "delete with a wrong policy",
        (
            create(),
            delete("propagationPolicy=Foo"),
            delete("", {"orphanDependents": True, "propagationPolicy": "Orphan"}),
        ),
    )
    yield Case("delete in the foreground", (create(), delete("propagationPolicy=Foreground")))
    yield Case("delete orphaning", (create(), delete("", {"propagationPolicy": "Orphan"})))
    yield Case("delete a collection", (
        create(labels={"c": "NAME"}),
        Step("DELETE", f"{WORKSPACES}?labelSelector=c%3DNAME"),
        GET,
        Step("DELETE", f"{WORKSPACES}?labelSelector=c%3DNAME"),
    ))  # fmt: skip


def _grants() -> Iterator[Case]:
    def grant(spec: Document) -> Document:
        return {"apiVersion": API_VERSION, "kind": "AccessGrant", "metadata": {"name": "NAME"}, "spec": spec}

    one = {"subjects": [AL], "clusters": {"selector": {"matchLabels": {"a": "b"}}}, "role": "view"}
    post = f"{GRANTS}?fieldManager=creator"
    yield Case("grant", (Step("POST", post, grant(one)),))
    yield Case(
        "grant with wrong values", (Step("POST", post, grant({**one, "role": "x", "clusters": {"names": ["a", "a"]}})),)
    )
    yield Case("grant: subjects belong to one manager", (
        Step("PATCH", f"{GRANTS}/NAME?fieldManager=m1", grant(one), APPLY),
        Step("PATCH", f"{GRANTS}/NAME?fieldManager=m2", grant({**one, "subjects": [AL, BO]}), APPLY),
        Step("PATCH", f"{GRANTS}/NAME?fieldManager=m2&force=true", grant({**one, "subjects": [AL, BO]}), APPLY),
    ))  # fmt: skip


def _settings() -> Iterator[Case]:
    def setting(value: Any) -> Document:
        return {"apiVersion": API_VERSION, "kind": "Setting", "metadata": {"name": "NAME"}, "spec": {"value": value}}

    post, one = f"{SETTINGS}?fieldManager=creator", f"{SETTINGS}/NAME"
    yield Case("setting", (
        Step("POST", post, setting("true")),
        Step("PATCH", one, {"spec": {"value": "false"}}, MERGE),
        Step("PATCH", f"{one}?fieldManager=m1&force=true", setting("true"), APPLY),
        Step("PUT", one, lambda found: {**found, "spec": {"value": "false"}}),
        Step("DELETE", one),
        Step("GET", one),
    ))  # fmt: skip
    yield Case("setting whose value is not text", (Step("POST", post, setting(True)), Step("POST", post, setting(1))))
    yield Case("setting without a value", (
        Step("POST", post, {**setting(""), "spec": {}}),
        Step("POST", post, {key: value for key, value in setting("").items() if key != "spec"}),
        Step("POST", post, setting(None)),
    ))  # fmt: skip


def _requests() -> Iterator[Case]:
    def asked(spec: Document, **metadata: Any) -> Document:
        metadata = metadata or {"name": "NAME"}
        return {"apiVersion": API_VERSION, "kind": "AccessRequest", "metadata": metadata, "spec": spec}

    one = {"clusters": {"names": ["x"]}, "role": "edit", "reason": "INC-1"}
    post, path = f"{REQUESTS}?fieldManager=creator", f"{REQUESTS}/NAME"
    asks_again = "what was asked for cannot be changed: end it and ask again"
    yield Case("request, with its defaults", (
        Step("POST", post, asked({**one, "namespaces": ["a"]})),
        Step("GET", path),
        Step("GET", f"{path}/status", differs="only kinds whose spec clients change have a status beside it", instead=404),
        Step("POST", post, asked(one)),
        Step("GET", f"{REQUESTS}?fieldSelector=metadata.name%3DNAME"),
        Step("GET", f"{REQUESTS}?fieldSelector=metadata.name%3DNAME,status.state%3DPending"),
        Step("DELETE", path),
        Step("GET", path),
        Step("DELETE", path),
    ))  # fmt: skip
    yield Case("request with a name of the server's", (Step("POST", post, asked(one, generateName="NAME-")),))
    yield Case("request for nothing", (
        Step("POST", post, asked({})),
        Step("POST", post, asked({**one, "role": "owner", "clusters": {"names": ["a", "a"]}, "duration": 2})),
        Step("POST", post, asked({**one, "namespaces": ["a", "a"], "clusters": []})),
        Step("POST", f"{post}&fieldValidation=Strict", asked({**one, "by": "me"})),
        Step("POST", post, asked({**one, "by": "me"}) | {"status": {"state": "Approved", "requestedBy": "root"}}),
        Step("GET", path),
    ))  # fmt: skip
    yield Case("request that is changed", (
        Step("POST", post, asked(one)),
        Step("PATCH", path, {"spec": {"role": "admin"}}, MERGE, differs=asks_again, instead=405),
        Step("PUT", path, lambda last: {**last, "spec": one}, differs=asks_again, instead=405),
        Step("PATCH", f"{path}?fieldManager=m1", asked(one), APPLY, differs=asks_again, instead=405),
        Step("DELETE", path, {"preconditions": {"uid": "x"}}),
        Step("DELETE", f"{path}?dryRun=All"),
        Step("DELETE", path),
    ))  # fmt: skip


CASES = (*_creates(), *_updates(), *_patches(), *_applies(), *_deletes(), *_grants(), *_settings(), *_requests())
