"""What generated requests found, as stories: each was answered otherwise once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from skerry.api.v1alpha1 import API_VERSION
from tests.conformance.cases import (
    AL,
    APPLY,
    GET,
    ONE,
    OWNER,
    TEAM,
    WORKSPACES,
    Case,
    Step,
    apply,
    create,
    delete,
    merge,
    patch,
    put,
    with_metadata,
    workspace,
)

GO = "the words of Go's readers are not imitated"
PARTIAL = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
PARTIALS = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
STRANGE = {**OWNER, "zz": 1}


def _metadata() -> Iterator[Case]:
    yield Case("metadata has no other fields", (
        create(TEAM, zz=7, ownerReferences=[STRANGE]),
        GET,
        put(with_metadata(zz=7)),
        merge({"metadata": {"zz": 7, "ownerReferences": [STRANGE]}}),
        patch({"op": "add", "path": "/metadata/zz", "value": 7}),
    ))  # fmt: skip
    yield Case("nulls that nobody knows are told of", (create(ownerReferences=[{**OWNER, "zz": None}]), GET))
    for value in (1.0, 1e3, 1.5, 2**63, -(2**63) - 1, 10**30):
        told = "" if value in (1.0, 1e3) else GO
        yield Case(f"a generation of {value}", (
            create(generation=value)._replace(differs=told), create(),
            merge({"metadata": {"deletionGracePeriodSeconds": value}})._replace(differs=told),
        ))  # fmt: skip
    yield Case("metadata has no other fields, strictly", (
        create(TEAM, "fieldValidation=Strict", zz=7, ownerReferences=[STRANGE]),
        create(TEAM, "fieldValidation=Strict", zz=None),
        create(TEAM, zz=None),
    ))  # fmt: skip
    yield Case("no selfLink is kept", (
        create(selfLink="/x"), put(with_metadata(selfLink="/x")), merge({"metadata": {"selfLink": "/x"}}),
        apply("m1", selfLink="/x"), create(selfLink=7)._replace(differs=GO),
    ))  # fmt: skip
    odd: tuple[Any, ...] = ("x", "", "2020-01-01", "2020-13-01T00:00:00Z", 7)
    for field in ("creationTimestamp", "deletionTimestamp"):
        wrong: list[dict[str, Any]] = [{field: value} for value in odd]
        good: dict[str, Any] = {field: "2020-01-01T00:00:00.5+01:00"}
        yield Case(f"{field} is a time", (
            *(create(**each)._replace(differs=GO) for each in wrong),
            create(**good),
            merge({"metadata": {field: "x"}})._replace(differs=GO),
        ))  # fmt: skip
    mine = {"manager": "x", "operation": "Apply", "apiVersion": API_VERSION, "fieldsType": "FieldsV1", "time": "x"}
    yield Case("managers have times", (create(), put(with_metadata(managedFields=[mine]))._replace(differs=GO)))
    yield Case("generateName is checked where it makes a name", (
        create(generateName="A_b"), create(), merge({"metadata": {"generateName": "A_b"}}), put(with_metadata(generateName="B_c")),
    ))  # fmt: skip
    yield Case("a namespace that there is not is dropped", (
        create(), merge({"metadata": {"namespace": "x"}}), put(with_metadata(namespace="x")), apply("m1", namespace="x"),
    ))  # fmt: skip


def _values() -> Iterator[Case]:
    odd: tuple[Any, ...] = (7, True, [], {}, 1.5)
    for value in odd:
        yield Case(f"an enumeration of {value!r}", (create({"members": [{**AL, "role": value}]}),))
    yield Case("items that are no objects", (
        create({"members": [1]}), create({"members": [AL, "x", "x"]}), create({"members": [None]}), create({"members": [[], AL, AL]}),
    ))  # fmt: skip
    yield Case("fields of what is no object", (
        create({"displayName": {"a": 1}, "members": [{**AL, "name": {"": ""}}]}, "fieldValidation=Ignore"),
        create({"members": {"a": {"b": 1}}}, "fieldValidation=Strict"),
        create({"displayName": [{"a": 1}]}, "fieldValidation=Strict"),
    ))  # fmt: skip
    yield Case("kinds that are no texts", (
        Step("POST", WORKSPACES, {**workspace(), "kind": 7}, differs=GO),
        Step("POST", WORKSPACES, {**workspace(), "apiVersion": {}}, differs=GO),
        create(),
        merge({"kind": {}})._replace(differs=GO),
        merge({"apiVersion": [None]})._replace(differs=GO),
    ))  # fmt: skip


def _patches() -> Iterator[Case]:
    yield Case("patches say what they change", (
        create(),
        patch({"op": "replace", "path": "/metadata/resourceVersion", "value": "0"}),
        merge({"metadata": {"resourceVersion": "0"}}),
        merge({"metadata": "x"})._replace(differs=GO),
        patch({"op": "move", "from": "/kind", "path": ""})._replace(differs=GO),
        GET,
    ))  # fmt: skip
    twice = b'{"spec":{"displayName":"a","displayName":"b"}}'
    yield Case("merge what is there twice", (create(), merge(twice), merge(twice, "fieldValidation=Strict")))
    yield Case("force is for apply", (create(), merge({}, "force=false"), merge({}, "force="), patch(query="force=0")))
    yield Case("apply names what it creates", (
        Step("PATCH", f"{ONE}?fieldManager=m1", {**workspace(), "metadata": {}}, APPLY), GET,
    ))  # fmt: skip
    members = {"op": "copy", "path": "/spec/members/0", "from": "/spec/members/01"}
    yield Case("an index is what Atoi takes", (
        create(TEAM), patch(members), patch({"op": "remove", "path": "/spec/members/01"}), patch({"op": "test", "path": "/spec/members/+0"})._replace(differs=GO),
        GET,
    ))  # fmt: skip
    yield Case("what a patch does not say is null", (
        create({"members": [AL]}, labels={"a": "1"}),
        patch({"op": "copy", "path": "/spec/members", "from": "/metadata/finalizers"}),
        patch({"op": "copy", "path": "/metadata/labels/b", "from": "/spec/nope"}),
        patch({"op": "add", "path": "/metadata/labels/c"}),
        patch({"op": "add", "path": "/spec/members", "value": []}, {"op": "add", "path": "/spec/members/-"}),
        patch({"op": "move", "path": "/metadata/labels/d", "from": "/spec/nope"})._replace(differs=GO),
        patch({"op": "copy", "path": "/metadata/labels/d", "from": "/spec/nope/x"})._replace(differs=GO),
        GET,
    ))  # fmt: skip
    yield Case("a patch that takes the kind away", (
        create(), patch({"op": "remove", "path": "/kind"})._replace(differs=GO), merge({"kind": None})._replace(differs=GO),
    ))  # fmt: skip
    yield Case("owners twice in a patch", (
        create(), merge({"metadata": {"ownerReferences": [OWNER, OWNER]}}), put(with_metadata(ownerReferences=[OWNER, OWNER])),
    ))  # fmt: skip
    doubled = APPLIED.replace(b"{", b'{"kind":"Other",', 1)
    yield Case("apply what is there twice", (
        Step("PATCH", f"{ONE}?fieldManager=m1&fieldValidation=Strict", doubled, APPLY, differs=GO),
        Step("PATCH", f"{ONE}?fieldManager=m1&fieldValidation=Ignore", doubled, APPLY),
        GET,
    ))  # fmt: skip
    yield Case("the head of what is applied is read after the conflicts", (
        create(TEAM),
        Step("PATCH", f"{ONE}?fieldManager=m1", {**workspace({"displayName": "x"}), "metadata": {"name": "other"}}, APPLY),
        Step("PATCH", f"{ONE}?fieldManager=m1", {**workspace(TEAM), "metadata": {"name": "other"}}, APPLY),
        apply("m1", TEAM, resourceVersion=""), apply("m1", TEAM, resourceVersion="0"), apply("m1", TEAM, resourceVersion=None),
        apply("m1", {"displayName": "y"}, resourceVersion=""),
    ))  # fmt: skip
    broken = Step("PATCH", f"{ONE}?fieldManager=m1", {**workspace(), "status": "x"}, APPLY)
    yield Case("apply of a broken status", (broken._replace(differs="never a 5xx", instead=400), GET))


YAML = b"apiVersion: skerry.dev/v1alpha1\nkind: Workspace\nmetadata: {name: NAME}\n"
APPLIED = msgspec.json.encode(workspace())


def _wire() -> Iterator[Case]:
    for name in ("a" * 63, "a" * 64, "a" * 254, "a.b", "A_b", "-a"):
        made = Step("POST", WORKSPACES, {**workspace(), "metadata": {"name": name}})
        yield Case(f"a workspace called {name[:4]} of {len(name)}", (made, Step("DELETE", f"{WORKSPACES}/{name}")))
    for media in ("application/json; charset", "application/json;;x"):
        yield Case(f"create as {media}", (create()._replace(media=media, differs="protobuf is not taken"), GET))
    yield Case("metadata alone, of what is written", (
        create(TEAM, labels={"c": "NAME"})._replace(accept=PARTIAL),
        merge({"spec": {"displayName": "x"}})._replace(accept=PARTIAL),
        create(TEAM, "dryRun=All")._replace(accept=PARTIAL),
        Step("DELETE", f"{WORKSPACES}?labelSelector=c%3DNAME", accept=PARTIALS),
    ))  # fmt: skip
    for media, one in ((PARTIAL, True), (PARTIALS, False)):
        more = Step("DELETE", f"{WORKSPACES}?labelSelector=c%3DNAME", accept=PARTIAL, differs="406 as a Status")
        once = create(TEAM, labels={"c": "NAME"})._replace(accept=media)
        yield Case(f"{media} where it does not fit", (
            once if one else once._replace(differs="never a 5xx", instead=406), more,
            GET._replace(differs="what is refused is not done", instead=200) if one else GET,
        ))  # fmt: skip
    yield Case("a Status for who asks for a list of metadata", (create(), delete()._replace(accept=PARTIALS)))
    yield Case("y is true, and dates and dots are texts", (
        Step("PATCH", f"{ONE}?fieldManager=m1", YAML + b"spec: {displayName: y}", APPLY, differs="never a 5xx", instead=400),
        Step("PATCH", f"{ONE}?fieldManager=m1", YAML + b"spec: {displayName: 1e3}", APPLY, differs="never a 5xx", instead=400),
        Step("PATCH", f"{ONE}?fieldManager=m1", YAML + b"spec: {displayName: 'n'}", APPLY),
        GET._replace(accept="application/yaml"),
    ))  # fmt: skip
    yield Case("a deletion that waits, without orphans", (
        create(finalizers=["x.dev/f"]), delete("", {"orphanDependents": False}), delete("orphanDependents=false"),
        delete("orphanDependents=true"), merge({"metadata": {"finalizers": None}}), create(), delete("orphanDependents=false"),
    ))  # fmt: skip
    yield Case("an escaped slash is a slash", (
        *(Step(method, f"{WORKSPACES}/a%2Fb", workspace(), differs="the text of its router") for method in ("PUT", "DELETE")),
        create(), Step("GET", f"{WORKSPACES}/NAME%2Fstatus"),
    ))  # fmt: skip
    for accept in ("application/json;v=v1", "application/json;g=x"):
        yield Case(f"accept {accept}", (create(), GET._replace(accept=accept, differs="406 as a Status")))
    yield Case("one object cannot be watched by its path", (
        create(), Step("GET", f"{ONE}?watch=1"), Step("GET", f"{WORKSPACES}/nope?watch=1"),
    ))  # fmt: skip
    for query in ("watch=1&continue=x", "watch=1&sendInitialEvents=true&labelSelector=%3D", "sendInitialEvents=&resourceVersion=x",
                  "labelSelector=a%3E9223372036854775808"):  # fmt: skip
        yield Case(f"list with {query}", (Step("GET", f"{WORKSPACES}?{query}"),))
    yield Case(
        "a name with a percent sign", (Step("GET", f"{WORKSPACES}/a%25b"), Step("DELETE", f"{WORKSPACES}/a%25b"))
    )
    yield Case("status takes no other methods", tuple(
        Step(method, f"{ONE}/status", differs="the message names what is allowed") for method in ("DELETE", "POST", "OPTIONS")
    ))  # fmt: skip
    yield Case("put options before the format", (
        Step("PUT", f"{ONE}?dryRun=x", b"x", "text/plain"), Step("PUT", ONE, b"x", "text/plain", differs="protobuf is not taken"),
    ))  # fmt: skip
    yield Case("put of another kind to nothing", (Step("PUT", ONE, {**workspace(), "kind": "Foo"}),))


CASES = (*_metadata(), *_values(), *_patches(), *_wire())
