"""Playing generated requests: the state is made on both sides, the request is sent to both, and what is left is read.

Thousands of requests go over a few connections that stay open. What differs between equal states is what it is about:
each request about one object has an object of its own, and the few that read or delete whole collections find a
population that nothing else touches.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from skerry.api.meta import Document
from skerry.api.v1alpha1 import API_VERSION
from tests.conformance.bodies import AL, KINDS, OWNER
from tests.conformance.requests import PATCHES, ROOT, Request
from tests.conformance.sides import AGENT, Answer, Side

Words = Mapping[str, str]
"""NAME, UID, VERSION and TOKEN of one side."""

JSON = "application/json"
_PLAIN = {"accept": JSON, "user-agent": AGENT, "content-type": JSON}
_STALE = "999999"
_AT_ONCE = 16


class Played(NamedTuple):
    """What one side made of a request."""

    answer: Answer
    left: Any = None
    """The object, or the objects, after a write."""


async def one(side: Side, request: Request, name: str) -> Played:
    """A request about an object of its own, called `name`."""
    plural = request.target.removeprefix(f"{ROOT}/").partition("/")[0].partition("?")[0]
    path = f"{ROOT}/{plural}/{name}"
    made = await _prepared(side, request.state, plural, name)
    answer = await _sent(side, request, words(made, name))
    left = (await side.ask("GET", path, None, _PLAIN)).body
    if request.method == "POST" and answer.status == 201 and isinstance(answer.body, dict):
        await _removed(side, plural, answer.body, name)
    return Played(answer, left)


async def _removed(side: Side, plural: str, made: Any, name: str) -> None:
    """Remove what was created under another name than the request's own: the next one may want that name."""
    other = (made.get("metadata") or {}).get("name", name)
    if other != name:
        path = f"{ROOT}/{plural}/{other}"
        free = msgspec.json.encode({"metadata": {"finalizers": None}})
        await side.ask("PATCH", path, free, {**_PLAIN, "content-type": PATCHES["merge"]})
        await side.ask("DELETE", path, None, _PLAIN)


async def _sent(side: Side, request: Request, known: Words) -> Answer:
    target, body = request.target, request.body
    for word, value in known.items():
        target = target.replace(word, value)
        body = None if body is None else body.replace(word.encode(), value.encode())
    return await side.ask(request.method, target, body, dict(request.headers), watch=request.verb == "watch")


def words(found: Document, name: str, token: str = "") -> Words:
    """What stands for the words in a request about `found`; an object that is not there has values of nobody."""
    metadata = found.get("metadata", {})
    return {
        "VERSION": metadata.get("resourceVersion", _STALE),
        "UID": metadata.get("uid", "00000000-0000-0000-0000-000000000000"),
        "NAME": name,
        "TOKEN": token,
    }


# States

_SPECS: Mapping[str, Document] = {
    "workspaces": {"displayName": "Team", "members": [AL, {"kind": "User", "name": "cy", "role": "edit"}]},
    "accessgrants": {"subjects": [AL], "clusters": {"names": ["x"]}, "role": "view"},
    "settings": {"value": "true"},
}


def thing(plural: str, name: str, spec: Document | None = None, **metadata: Any) -> Document:
    """An object that both sides take."""
    head = {"apiVersion": API_VERSION, "kind": KINDS[plural][0], "metadata": {"name": name, **metadata}}
    return {**head, "spec": _SPECS[plural] if spec is None else spec}


async def _prepared(side: Side, state: str, plural: str, name: str) -> Document:
    """The object in that state; {} if it is absent."""
    if state == "absent":
        return {}
    held: Document = {"finalizers": ["x.dev/f", "x.dev/g"], "ownerReferences": [OWNER]}
    held = held if state in ("held", "terminating") else {}
    document = thing(plural, name, labels={"a": "1"}, annotations={"note": "x"}, **held)
    if state == "applied":
        return await _made(side, "PATCH", f"{plural}/{name}?fieldManager=m1", document, PATCHES["apply"])
    found = await _made(side, "POST", f"{plural}?fieldManager=creator", document)
    if state == "terminating":
        found = await _made(side, "DELETE", f"{plural}/{name}", None)
    return found


async def _made(side: Side, method: str, path: str, document: Document | None, media: str = JSON) -> Document:
    body = None if document is None else msgspec.json.encode(document)
    answer = await side.ask(method, f"{ROOT}/{path}", body, {**_PLAIN, "content-type": media})
    assert answer.status in (200, 201), answer
    assert isinstance(answer.body, dict)
    return answer.body


# Populations


POPULATION: Mapping[str, Document] = {
    "p1": {"labels": {"a": "1"}},
    "p2": {"labels": {"a": "2", "b": "2", "k": "v"}},
    "p3": {},
    "p4": {"labels": {"a": ""}, "annotations": {"note": "x"}},
    "p5": {"labels": {"a": "7", "x/y": "z"}},
}
"""Metadata by name."""


async def emptied(side: Side) -> None:
    """No object of any compared kind is left."""
    for plural in _SPECS:
        found = await side.ask("GET", f"{ROOT}/{plural}", None, _PLAIN)
        left = iter([item["metadata"] for item in found.body["items"]])
        await asyncio.gather(*(_ended(side, plural, left) for _ in range(_AT_ONCE)))


async def _ended(side: Side, plural: str, left: Iterator[Document]) -> None:
    free = msgspec.json.encode({"metadata": {"finalizers": None}})
    for metadata in left:
        path = f"{ROOT}/{plural}/{metadata['name']}"
        if metadata.get("finalizers"):
            await side.ask("PATCH", path, free, {**_PLAIN, "content-type": PATCHES["merge"]})
        await side.ask("DELETE", path, None, _PLAIN)


async def populated(side: Side) -> None:
    """The population is there, each in its first state."""
    found = await side.ask("GET", f"{ROOT}/workspaces", None, _PLAIN)
    known = [item["metadata"] for item in found.body["items"] if item["metadata"]["name"] in POPULATION]
    there = {metadata["name"] for metadata in known}
    if any("deletionTimestamp" in metadata for metadata in known):
        await emptied(side)
        there = set()
    for name, metadata in POPULATION.items():
        if name not in there:
            await _made(side, "POST", "workspaces?fieldManager=creator", thing("workspaces", name, **metadata))


async def _newest(side: Side) -> str:
    """The version of the whole population: a deletion as of an older one may miss what a cache has not seen yet."""
    found = await side.ask("GET", f"{ROOT}/workspaces", None, _PLAIN)
    version = found.body["metadata"]["resourceVersion"]
    assert isinstance(version, str)
    return version


async def among(side: Side, request: Request, *, name: str = "p2") -> Played:
    """A request about the population, which is there; what is left of it afterwards, if it is a write."""
    found = await side.ask("GET", f"{ROOT}/workspaces/{name}", None, _PLAIN)
    token = ""
    if "TOKEN" in request.target:
        page = await side.ask("GET", f"{ROOT}/workspaces?limit=2", None, _PLAIN)
        token = page.body["metadata"]["continue"]
    if request.method == "DELETE":
        request = request._replace(target=request.target.replace("VERSION", await _newest(side)))
    answer = await _sent(side, request, words(found.body, name, token))
    if request.method in ("GET", "HEAD"):
        return Played(answer)
    return Played(answer, (await side.ask("GET", f"{ROOT}/workspaces", None, _PLAIN)).body["items"])
