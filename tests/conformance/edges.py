"""Requests at the edges, which both sides must answer alike: what is null, empty, doubled, cut or of another kind.

The cases are stories as in `cases`; a step that destroys is followed by a look at what is left. The API server's garbage
collector runs: what waits for it is not looked at again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from skerry.api.meta import Document
from skerry.api.v1alpha1 import API_VERSION
from tests.conformance.cases import (
    AL,
    APPLY,
    GET,
    GRANTS,
    JSON,
    JSON_PATCH,
    MERGE,
    ONE,
    OWNER,
    TEAM,
    WORKSPACES,
    Body,
    Case,
    Step,
    apply,
    create,
    delete,
    merge,
    patch,
    put,
    with_metadata,
    with_spec,
    workspace,
)

YAML = "application/yaml"
GO = "the words of Go's JSON and YAML readers, and of its scheme, are not imitated"
NOT_UTF8 = "bytes that are no UTF-8 are refused, not replaced"
DRY = "who asks for a dry run in the query gets one, body or not"

NULLABLE = ("labels", "annotations", "namespace", "generateName", "uid", "resourceVersion", "generation", "creationTimestamp",
            "deletionTimestamp", "deletionGracePeriodSeconds", "ownerReferences", "finalizers", "managedFields", "selfLink")  # fmt: skip


def _with_null(part: str, field: str) -> Callable[[Document], Document]:
    """The object with a null in it; without a version no PUT would get that far."""
    null = {} if field == "resourceVersion" else {field: None}
    return lambda last: {**last, part: {**last[part], **null}}


def _nulled(**metadata: Any) -> Document:
    return {**workspace(TEAM), "metadata": {"name": "NAME", **metadata}}


def _null_in_metadata() -> Iterator[Case]:
    for field in NULLABLE:
        null = {field: None}
        yield Case(f"null {field}", (
            Step("POST", f"{WORKSPACES}?fieldManager=creator", _nulled(**null)),
            put(_with_null("metadata", field)),
            Step("PATCH", f"{ONE}?fieldManager=m1", _nulled(**null), APPLY),
            merge({"metadata": null}),
            GET,
        ))  # fmt: skip
        yield Case(f"json patch: null {field}", (
            create(TEAM, labels={"a": "b"}), patch({"op": "add", "path": f"/metadata/{field}", "value": None}), GET,
        ))  # fmt: skip
        yield Case(
            f"apply creates with null {field}", (Step("PATCH", f"{ONE}?fieldManager=m1", _nulled(**null), APPLY),)
        )
    yield Case("null name", (
        Step("POST", WORKSPACES, {**workspace(), "metadata": {"name": None, "generateName": "NAME-"}}),
        Step("POST", WORKSPACES, {**workspace(), "metadata": {"name": None}}),
        Step("POST", WORKSPACES, {**workspace(), "metadata": None}),
        create(),
        put(lambda last: {**last, "metadata": {**last["metadata"], "name": None}}),
        put(lambda last: {**last, "metadata": None}),
        patch({"op": "replace", "path": "/metadata", "value": None}),
        patch({"op": "replace", "path": "/metadata/name", "value": None}),
    ))  # fmt: skip
    yield Case("nulls inside metadata", (
        create(labels={"a": None}, annotations={"b": None}),
        merge({"metadata": {"finalizers": [None]}}),
        merge({"metadata": {"ownerReferences": [None]}}),
        merge({"metadata": {"ownerReferences": [{**OWNER, "controller": None, "blockOwnerDeletion": None}]}}),
        merge({"metadata": {"ownerReferences": [{**OWNER, "name": None}]}}),
        merge({"metadata": {"managedFields": [None]}}),
    ))  # fmt: skip
    yield Case("owners without names", (create(ownerReferences=[{}]), create(ownerReferences=[{"uid": "1"}])))


def _null_in_documents() -> Iterator[Case]:
    for field in ("displayName", "members", "namespaces", "clusters"):
        null = {field: None}
        yield Case(f"null {field} in spec", (
            create({**TEAM, **null}),
            put(_with_null("spec", field)),
            Step("PATCH", f"{ONE}?fieldManager=m1", workspace(null), APPLY),
            patch({"op": "add", "path": f"/spec/{field}", "value": None}),
            GET,
        ))  # fmt: skip
    yield Case("null spec", (
        Step("POST", WORKSPACES, workspace() | {"spec": None}),
        create(TEAM),
        put(lambda last: {**last, "spec": None}),
        merge({"spec": None}),
        patch({"op": "replace", "path": "/spec", "value": None}),
        Step("PATCH", f"{ONE}?fieldManager=m1", workspace() | {"spec": None}, APPLY),
    ))  # fmt: skip
    yield Case("null status", (
        Step("POST", WORKSPACES, workspace(TEAM) | {"status": None}), put(lambda last: {**last, "status": None}), merge({"status": None}),
    ))  # fmt: skip
    yield Case("null kind", (
        Step("POST", WORKSPACES, workspace() | {"kind": None}, differs=GO),
        Step("POST", WORKSPACES, workspace() | {"apiVersion": None}, differs=GO),
        Step("PATCH", f"{ONE}?fieldManager=m1", workspace() | {"kind": None}, APPLY),
    ))  # fmt: skip
    yield Case("null in lists", (
        create({"members": [None]}), create({"clusters": {"names": [None]}}), create({"namespaces": [None]}),
    ))  # fmt: skip
    yield Case("null in objects in lists", (
        create(TEAM),
        merge({"spec": {"members": [{**AL, "zz": None, "role": None}]}}),
        merge({"metadata": {"ownerReferences": [{**OWNER, "zz": None}]}}),
        merge({"spec": {"clusters": {"selector": {"matchExpressions": [{"key": "k", "operator": "Exists", "values": None, "a.b": None}]}}}}),
    ))  # fmt: skip
    yield Case("null as body", (
        create(),
        Step("POST", WORKSPACES, b"null", differs=GO),
        Step("PUT", ONE, b"null", differs=GO),
        Step("PATCH", ONE, b"null", MERGE, differs=GO),
        Step("PATCH", ONE, b"null", JSON_PATCH, differs="null is no list of operations", instead=400),
    ))  # fmt: skip


def _bytes() -> Iterator[Case]:
    bad = b'{"apiVersion":"skerry.dev/v1alpha1","kind":"Workspace","metadata":{"name":"NAME"},"spec":{"displayName":"\xff"}}'
    yield Case("no UTF-8", (
        create(),
        Step("POST", WORKSPACES, bad, differs=NOT_UTF8, instead=400),
        Step("POST", WORKSPACES, bad, YAML, differs=GO),
        Step("PUT", ONE, bad, differs=NOT_UTF8, instead=400),
        Step("PATCH", ONE, b'{"spec":{"displayName":"\xff"}}', MERGE, differs=NOT_UTF8, instead=400),
        Step("PATCH", ONE, b'[{"op":"add","path":"/spec/displayName","value":"\xff"}]', JSON_PATCH, differs=NOT_UTF8, instead=400),
        Step("PATCH", f"{ONE}?fieldManager=m1", bad, APPLY, differs=GO),
        Step("DELETE", ONE, b'{"propagationPolicy":"\xff"}', differs=NOT_UTF8, instead=400),
    ))  # fmt: skip


def _delete_options() -> Iterator[Case]:
    taken: tuple[tuple[str, Body], ...] = (
        ("of v1", {"kind": "DeleteOptions", "apiVersion": "v1"}),
        ("of the group", {"kind": "DeleteOptions", "apiVersion": API_VERSION}),
        ("of an odd group", {"kind": "DeleteOptions", "apiVersion": "odd/v9"}),
        ("without a kind", {"apiVersion": "odd/v9"}),
        ("null", b"null"),
        ("empty", {}),
        ("nulls", {"kind": None, "preconditions": None, "propagationPolicy": None, "dryRun": None, "gracePeriodSeconds": None}),
        ("null preconditions", {"preconditions": {"uid": None, "resourceVersion": None}}),
        ("empty uid", {"preconditions": {"uid": ""}}),
        ("empty version", {"preconditions": {"resourceVersion": ""}}),
        ("empty policy", {"propagationPolicy": ""}),
        ("empty policy and orphans", {"propagationPolicy": "", "orphanDependents": False}),
        ("two dry runs", {"dryRun": ["All", "None"]}),
        ("an empty dry run", {"dryRun": [""]}),
        ("a dry run twice", {"dryRun": ["All", "All"]}),
        ("negative grace", {"gracePeriodSeconds": -1}),
        ("unknown fields", {"foo": 1, "PropagationPolicy": "Foo"}),
        ("YAML", b"propagationPolicy: Foo\n"),
    )  # fmt: skip
    for name, body in taken:
        media = YAML if name == "YAML" else JSON
        yield Case(f"delete options: {name}", (create(), Step("DELETE", ONE, body, media), GET))
    refused: tuple[tuple[str, Body], ...] = (
        ("another kind", {"kind": "Pod", "apiVersion": "v1"}),
        ("another kind alone", {"kind": "Pod"}),
        ("a list", []),
        ("a text", b'"x"'),
        ("blank", b"  "),
        ("cut", b"{"),
        ("and more", b"{} x"),
        ("a text for grace", {"gracePeriodSeconds": "x"}),
        ("half a second", {"gracePeriodSeconds": 1.5}),
        ("a huge grace", {"gracePeriodSeconds": 10**30}),
        ("a text for dry run", {"dryRun": "All"}),
        ("a text for orphans", {"orphanDependents": "x"}),
        ("a number for uid", {"preconditions": {"uid": 5}}),
        ("a text for preconditions", {"preconditions": "x"}),
    )
    for name, body in refused:
        yield Case(f"delete options: {name}", (create(), Step("DELETE", ONE, body, differs=GO), GET))
    yield Case(
        "delete options as text", (create(), Step("DELETE", ONE, b"{}", "text/plain", "protobuf is not taken"), GET)
    )
    for query in (
        "gracePeriodSeconds=x", "gracePeriodSeconds=", "gracePeriodSeconds=-1", "gracePeriodSeconds=1.5",
        "gracePeriodSeconds=99999999999999999999", "gracePeriodSeconds=%zz", "propagationPolicy=", "propagationPolicy=Foo",
        "orphanDependents=true&propagationPolicy=Orphan", "orphanDependents=false&propagationPolicy=",
        "dryRun=", "dryRun=All&dryRun=None", "dryRun=None&dryRun=All", "dryRun=All&dryRun=All", "dryRun=%zz", "dryRun=All;x=1",
        "a;b=1&dryRun=All", "uid=x", "uid=", "resourceVersion=abc", "resourceVersion=", "timeout=abc", "timeout=", "timeout=1",
        "limit=abc", "timeoutSeconds=x", "kind=Pod", "fieldValidation=Odd",
    ):  # fmt: skip
        yield Case(f"delete with {query}", (create(), delete(query), GET))
    yield Case(
        "delete dry beside a body",
        (create(), delete("dryRun=All", {}), GET._replace(differs=DRY, instead=200)),
    )


def _collections() -> Iterator[Case]:
    mine = "labelSelector=c%3DNAME"
    three = tuple(
        Step("POST", WORKSPACES, {**workspace(labels={"c": "NAME"}), "metadata": {"name": f"NAME-{n}", "labels": {"c": "NAME"}}})
        for n in range(3)
    )  # fmt: skip
    left = Step("GET", f"{WORKSPACES}?{mine}")
    for query in (
        "limit=1", "limit=2", "limit=", "limit=abc", "limit=-1", "resourceVersion=abc", "resourceVersionMatch=Exact",
        "resourceVersionMatch=Odd&resourceVersion=1", "timeoutSeconds=x", "timeoutSeconds=", "timeoutSeconds=-1",
        "sendInitialEvents=true", "gracePeriodSeconds=x", "propagationPolicy=", "propagationPolicy=Foo", "dryRun=", "dryRun=All",
        "fieldSelector=metadata.name%3DNAME-1", "fieldSelector=metadata.namespace%3Dx", "fieldSelector=x", "timeout=abc", "uid=x",
        "resourceVersion=0", "watch=true",
    ):  # fmt: skip
        yield Case(f"delete a collection with {query}", (*three, Step("DELETE", f"{WORKSPACES}?{mine}&{query}"), left))
    yield Case("delete a collection, page by page", (
        *three, Step("DELETE", f"{WORKSPACES}?{mine}&limit=2"), Step("DELETE", f"{WORKSPACES}?{mine}&limit=2"), left,
    ))  # fmt: skip
    yield Case("delete a collection from a broken token", (
        *three, Step("DELETE", f"{WORKSPACES}?{mine}&continue=abc", differs=GO), left,
    ))  # fmt: skip
    for body in (b"null", {"preconditions": {"uid": ""}}, {"preconditions": {"uid": "x"}}, {"dryRun": ["All"]}):
        yield Case(f"delete a collection: {body!r}", (*three, Step("DELETE", f"{WORKSPACES}?{mine}", body), left))
    first = "options are checked, with or without a body, before a store is asked for a version or a place"
    for query in ("resourceVersion=18446744073709551616", "continue=e30"):
        yield Case(f"delete a collection with {query}: {first}", (
            *three,
            Step("DELETE", f"{WORKSPACES}?{mine}&{query}", b"{}", "text/plain", "protobuf is not taken"),
            Step("DELETE", f"{WORKSPACES}?{mine}&{query}", b"{", differs=GO),
            Step("DELETE", f"{WORKSPACES}?{mine}&{query}", {"propagationPolicy": "Foo"}),
            Step("DELETE", f"{WORKSPACES}?{mine}&{query}&propagationPolicy=Foo"),
            Step("DELETE", f"{WORKSPACES}?{mine}&{query}&limit=x", {"propagationPolicy": "Foo"}),
            left,
        ))  # fmt: skip
    yield Case("delete a collection of another kind", (
        *three, Step("DELETE", f"{WORKSPACES}?{mine}", {"kind": "Pod", "apiVersion": "v1"}, differs=GO), left,
    ))  # fmt: skip


def _lists() -> Iterator[Case]:
    for query in (
        "limit=", "limit=abc", "limit=1.5", "limit=-5", "limit=%20", "limit=99999999999999999999", "limit=0x1", "limit=1_0",
        "limit=2&limit=abc", "limit=%2B2", "limit=%zz", "limit=2%", "limit=abc;x", "a;b=1&limit=abc", "%zz=1", "limit=2&=&&",
        "timeoutSeconds=", "timeoutSeconds=x", "timeout=abc", "timeout=", "timeout=1", "timeout=30s", "timeout=-1s", "timeout=0",
        "timeout=1h2m3.5s", "timeout=1h2", "timeout=.5h", "timeout=1d", "timeout=%201s", "timeout=9999999999h", "timeout=1.2.3s",
        "resourceVersion=%zz", "resourceVersion=-1", "resourceVersion=1.0", "sendInitialEvents=", "sendInitialEvents=false",
        "watch=0", "watch=%zz", "allowWatchBookmarks=x", "pretty=abc", "dryRun=x", "includeObject=Odd",
        "resourceVersionMatch=Odd&fieldSelector=metadata.namespace%3Dx", "resourceVersionMatch=Odd&fieldSelector=x",
    ):  # fmt: skip
        yield Case(
            f"list with {query}",
            (create(labels={"c": "NAME"}), Step("GET", f"{WORKSPACES}?{query}&labelSelector=c%3DNAME")),
        )
    two = tuple(
        Step("POST", WORKSPACES, {**workspace(), "metadata": {"name": f"NAME-{n}", "labels": {"c": "NAME"}}})
        for n in range(2)
    )
    for query in ("", "&resourceVersionMatch=NotOlderThan"):
        anything = f"{WORKSPACES}?limit=1&resourceVersion=0&labelSelector=c%3DNAME{query}"
        yield Case(f"a list of whatever is cached is whole{query}", (*two, Step("GET", anything)))
    for selector in ("a%3E-1", "a%3C%2B1", "a%3E1", "a%3E01", "a%3C1.5"):
        yield Case(f"list of labels {selector}", (Step("GET", f"{WORKSPACES}?labelSelector={selector}"),))
    for selector in (
        "metadata.name%3Da%3Db", "%20metadata.name%3Dx", "metadata.name%20%3Dx", "metadata.name%3D%20x", "metadata.name%3Dx%20",
        "metadata.namespace%3D", "metadata.namespace%3Dx", "metadata.namespace!%3Dx", "metadata.name%3D%3DNAME",
        "metadata.name!%3DNAME%2Cmetadata.name%3DNAME", "metadata.name%3DNAME%2C", "metadata.name%3D%5C", "metadata.name%3D%5Cx",
        "metadata.name%3Da%5C%3Db", "metadata.name%3Da%5C%2Cb", "metadata.name", "%3Dx", "metadata.name%3D%2Cx", "metadata.name%3D!x",
        "metadata.name%3Dx%5C", "spec.x%3D1", "metadata.name%3D%FF", "metadata.name!x", "metadata.name%3E1", "metadata.name%3Da%5C%5C",
        "metadata.name%3D%3D%3Da", "zz%3D1%2Cmetadata.name%3D%5C", "metadata.name%3Dx%2Cx",
    ):  # fmt: skip
        yield Case(f"list of fields {selector}", (create(), Step("GET", f"{WORKSPACES}?fieldSelector={selector}")))
    for query in (
        "timeoutSeconds=",
        "timeoutSeconds=x",
        "limit=abc",
        "fieldSelector=metadata.namespace%3Dx",
        "fieldSelector=metadata.namespace%3Dx&resourceVersionMatch=Odd",
        "labelSelector=a%20b",
    ):
        yield Case(f"watch with {query}", (Step("GET", f"{WORKSPACES}?watch=true&{query}"),))
    for query in ("timeout=abc", "limit=abc", "pretty=x", "resourceVersion=%zz"):
        yield Case(f"get with {query}", (create(), Step("GET", f"{ONE}?{query}")))


def _write_options() -> Iterator[Case]:
    for query in ("dryRun=", "dryRun=All&dryRun=None", "dryRun=All&dryRun=All", "dryRun=%zz", "dryRun=All;", "timeout=abc", "timeout=1",
                  "fieldValidation=", "force=x", "fieldManager=a;b"):  # fmt: skip
        yield Case(f"writes with {query}", (
            create(TEAM, query), GET, create(), put(with_spec(displayName="x"), query), merge({"spec": {"displayName": "y"}}, query),
            apply("m", {"displayName": "y"}, f"&{query}&force=1"), GET,
        ))  # fmt: skip


def _order() -> Iterator[Case]:
    """Which of two errors is told."""
    yield Case("options of a create before its body", (
        Step("POST", f"{WORKSPACES}?fieldValidation=Odd", b"{", YAML), Step("POST", f"{WORKSPACES}?dryRun=x", b"{"),
    ))  # fmt: skip
    yield Case("a name before all else", (
        Step("PUT", WORKSPACES, b"x", "text/plain"),
        Step("PUT", f"{WORKSPACES}?dryRun=x", workspace()),
        Step("PATCH", WORKSPACES, b"x", "text/plain"),
        *(Step("PATCH", f"{WORKSPACES}?dryRun=x", b"x", media) for media in (APPLY, MERGE, JSON_PATCH)),
    ))  # fmt: skip


def _roots() -> Iterator[Case]:
    """JSON patches of the whole object."""
    whole = {**workspace(TEAM), "kind": "Workspace"}
    for operation in (
        {"op": "add", "path": "", "value": whole}, {"op": "remove", "path": ""}, {"op": "copy", "from": "", "path": "/spec"},
        {"op": "move", "from": "/spec", "path": ""}, {"op": "replace", "path": "", "value": "x"},
        {"op": "replace", "path": "", "value": None}, {"op": "replace", "path": "", "value": ["x"]},
    ):  # fmt: skip
        yield Case(f"json patch of all: {operation}", (create(), patch(operation)._replace(differs=GO), GET))
    yield Case("tests of what is not there", (
        create(TEAM),
        patch({"op": "test", "path": "/spec/nope", "value": None}),
        patch({"op": "test", "path": "/spec/nope/x", "value": None})._replace(differs=GO),
        patch({"op": "test", "path": "/spec/members/9", "value": None})._replace(differs=GO),
    ))  # fmt: skip


def _typeless() -> Iterator[Case]:
    """Applied objects that are not of their type: 500 from an API server."""
    for name, document in (
        ("a member without a key", workspace({"members": [{}]})),
        ("a condition without a type", {**workspace(), "status": {"conditions": [{}]}}),
        ("an owner with another field", workspace(ownerReferences=[{**OWNER, "zz": None}])),
        ("an owner without names", workspace(ownerReferences=[{}])),
    ):
        differs = "" if name == "an owner without names" else "never a 5xx"
        applied = Step("PATCH", f"{ONE}?fieldManager=m1", document, APPLY, differs, 400 if differs else 0)
        yield Case(f"apply {name}", (applied, create(), applied, GET))


def _terminating() -> Iterator[Case]:
    held = create(finalizers=["x.dev/f"])
    yield Case("create over what is being deleted", (
        held, create(), delete(), create(), create(TEAM, "dryRun=All"),
        Step("POST", GRANTS, {"apiVersion": API_VERSION, "kind": "AccessGrant", "metadata": {"name": "NAME"}, "spec": {}}),
    ))  # fmt: skip
    yield Case("apply to what is being deleted", (
        apply("m1", TEAM, labels={"a": "1"}, finalizers=["x.dev/f"]),
        delete(),
        apply("m1", TEAM, labels={"a": "2"}, finalizers=["x.dev/f"]),
        apply("m2", {"displayName": "B"}),
        apply("m2", {"displayName": "B"}, "&force=true"),
        apply("m3", finalizers=["x.dev/g"]),
        apply("m1", {"displayName": "C"}, "&dryRun=All&force=true"),
        GET,
        apply("m1", {"displayName": "C"}, "&force=true"),
        GET,
        apply("m1", {"displayName": "C"}),
    ))  # fmt: skip
    yield Case("changes of what is being deleted", (
        held, delete(), put(with_spec(displayName="x")), put(with_metadata(finalizers=["x.dev/f", "x.dev/g"])),
        put(with_metadata(deletionTimestamp=None)), merge({"metadata": {"deletionTimestamp": None}}),
        merge({"metadata": {"deletionGracePeriodSeconds": 5}}),
        put(with_metadata(finalizers=None), "dryRun=All"), GET, put(with_metadata(finalizers=None)), GET, put(lambda last: last),
    ))  # fmt: skip
    yield Case("finalizers go while it lives", (held, merge({"metadata": {"finalizers": None}}), GET, delete(), GET))
    yield Case("delete in another way what is being deleted", (
        held, delete(), delete("propagationPolicy=Background"), GET, delete("propagationPolicy=Foreground"),
    ))  # fmt: skip


def _formats() -> Iterator[Case]:
    for accept in (
        YAML, f"{YAML}, {JSON}", f"{JSON}, {YAML}", f"{YAML};q=0.1, {JSON}", f"{JSON};q=0.5, {YAML};q=0.9", f"*/*, {YAML}", "*/*",
        "application/*", f"{JSON};as=Odd, */*", f"application/vnd.odd, {YAML}",
    ):  # fmt: skip

        def wants(step: Step, accept: str = accept) -> Step:
            return step._replace(accept=accept)

        yield Case(f"answers in {accept}", (
            *map(wants, (create(TEAM), create(), GET, Step("GET", f"{WORKSPACES}?fieldSelector=metadata.name%3DNAME"),
                         merge({"spec": {"displayName": "yes"}}), apply("m", {"displayName": "no"}), put(lambda last: last),
                         delete(), GET, Step("DELETE", f"{WORKSPACES}?fieldSelector=metadata.name%3DNAME"))),
        ))  # fmt: skip
    why = "protobuf is not offered"
    for accept in ("text/html", "text/yaml", f"{YAML};as=Odd"):
        yield Case(f"answers in {accept}", (
            create()._replace(accept=accept, differs=why), GET,
            create(), GET._replace(accept=accept, differs=why), delete()._replace(accept=accept, differs=why), GET,
        ))  # fmt: skip
    yield Case("a watch in YAML", (Step("GET", f"{WORKSPACES}?watch=true&timeoutSeconds=1", accept=YAML, differs=why),))


CASES = (
    *_null_in_metadata(),
    *_null_in_documents(),
    *_bytes(),
    *_delete_options(),
    *_collections(),
    *_lists(),
    *_write_options(),
    *_order(),
    *_roots(),
    *_typeless(),
    *_terminating(),
    *_formats(),
)
