"""Generated requests: what is asked, about an object in which state, and what is odd about it.

Hypothesis draws them from one seed, so that a run can be repeated; whoever plays them needs them as a list, because
thousands of them are replayed at the same time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from hypothesis import strategies as st

from skerry.api.v1alpha1 import API_VERSION
from tests.conformance import bodies, queries
from tests.conformance.bodies import Spoilt
from tests.conformance.choices import pick, upto
from tests.conformance.queries import Headers

ROOT = f"/apis/{API_VERSION}"
PATCHES = {
    "json": "application/json-patch+json",
    "merge": "application/merge-patch+json",
    "apply": "application/apply-patch+yaml",
}
STATES = ("present", "absent", "applied", "held", "terminating")
"""Of the object that a request is about; `held` has a finalizer and an owner, `terminating` is deleted and held."""


class Request(NamedTuple):
    """One request. NAME, UID, VERSION and TOKEN stand for each side's own in `target` and `body`."""

    state: str
    method: str
    target: str
    headers: Headers
    body: bytes | None
    odd: tuple[str, ...] = ()
    """In words, for the table of differences and for readers."""

    @property
    def key(self) -> tuple[object, ...]:
        """What makes it another request than the next one."""
        return self[:5]

    @property
    def media(self) -> str:
        """Its Content-Type."""
        return dict(self.headers).get("content-type", "")

    @property
    def verb(self) -> str:
        """As people call it."""
        if self.method == "PATCH":
            return next((name for name, media in PATCHES.items() if media == self.media), "patch")
        asked = self.target.partition("?")[2].split("&")
        return (
            "watch" if self.method == "GET" and any(each in asked for each in queries.WATCHING) else self.method.lower()
        )

    def __str__(self) -> str:
        told = f"; odd: {', '.join(self.odd)}" if self.odd else ""
        return f"{self.verb} {self.target.partition('?')[0].removeprefix(ROOT)} ({self.state}){told}"


_PLURALS = ("workspaces", "workspaces", "workspaces", "accessgrants", "settings")
_NAMES = (
    "nope",
    "UPPER",
    "a_b",
    "a%2Fb",
    "%C3%A9",
    "a" * 253,
    "a" * 254,
    "a%20b",
    "-a",
    "a..b",
    "a.",
    "1",
    "%00",
    "a+b",
    "a%25b",
)
_WATCH = {name: values for name, values in queries.LIST.items() if name != "watch"}
_BELOW = ("/status", "/scale", "/nope", "/status/x", "/")


def _target(draw: st.DrawFn, plural: str, query: queries.Drawn, name: str = "/NAME") -> tuple[str, tuple[str, ...]]:
    """The target and what is odd about it: now and then something below the object, or another one's name."""
    path, odd = f"{ROOT}/{plural}{name}", query[1]
    if name and (how := upto(draw, 23)) < 2:
        other = pick(draw, _BELOW if how else _NAMES)
        path = path + other if how else path.replace("NAME", other)
        below = (name + other).removeprefix("/NAME") if how else other
        odd = (*odd, f"path: {below[:20]}")
    return (f"{path}?{query[0]}" if query[0] else path), odd


@st.composite
def reads(draw: st.DrawFn) -> Request:
    """GET, HEAD, LIST and WATCH; the state is the population's."""
    how = pick(draw, ("get", "list", "list", "watch", "head"))
    one = how == "get" or (how != "list" and upto(draw, 3) == 0)
    if how == "watch":
        query = queries.query(draw, _WATCH, f"{pick(draw, queries.WATCHING)}&timeoutSeconds=1")
    else:
        query = queries.query(draw, queries.GET if one else queries.LIST, most=3)
    target, odd = _target(draw, "workspaces", query, "/NAME" if one else "")
    asked, words = queries.headers(draw)
    return Request("population", "HEAD" if how == "head" else "GET", target, asked, None, odd + words)


@st.composite
def collections(draw: st.DrawFn) -> Request:
    """deletecollection."""
    query, body = queries.query(draw, queries.DELETE_ALL), bodies.delete(draw)
    target, odd = _target(draw, "workspaces", query, "")
    asked, words = queries.headers(draw, "" if body.body is None else queries.JSON, odd=not body.odd)
    return Request("population", "DELETE", target, asked, body.body, odd + words + body.odd)


@st.composite
def creates(draw: st.DrawFn) -> Request:
    """POST."""
    plural = pick(draw, _PLURALS)
    return _write(draw, "POST", plural, bodies.whole(draw, plural), queries.JSON, queries.WRITE, "")


@st.composite
def updates(draw: st.DrawFn) -> Request:
    """PUT."""
    plural = pick(draw, _PLURALS)
    return _write(draw, "PUT", plural, bodies.whole(draw, plural, versioned=True), queries.JSON, queries.WRITE)


@st.composite
def patches(draw: st.DrawFn) -> Request:
    """PATCH in each form."""
    plural, how = pick(draw, _PLURALS), pick(draw, ("apply", "json", "merge"))
    if how == "json":
        body = bodies.json_patch(draw)
    else:
        body = bodies.merge(draw, plural) if how == "merge" else bodies.whole(draw, plural)
    fixed = "fieldManager=m1" if how == "apply" else ""
    return _write(draw, "PATCH", plural, body, PATCHES[how], queries.PATCH, fixed=fixed)


@st.composite
def deletes(draw: st.DrawFn) -> Request:
    """DELETE of one object."""
    return _write(draw, "DELETE", pick(draw, _PLURALS), bodies.delete(draw), queries.JSON, queries.DELETE)


@st.composite
def strays(draw: st.DrawFn) -> Request:
    """Methods where they do not belong."""
    method = pick(draw, ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PURGE", "TRACE"))
    name = pick(draw, ("/NAME", "/NAME/status", "/NAME/scale", ""))
    media = pick(draw, (queries.JSON, *PATCHES.values()))
    body = bodies.whole(draw, "workspaces", spoil=False)
    found = _write(draw, method, "workspaces", body, media, queries.COMMON, name)
    return found._replace(odd=(f"path: {name.removeprefix('/NAME')}", *found.odd))


def _write(
    draw: st.DrawFn,
    method: str,
    plural: str,
    body: Spoilt,
    media: str,
    options: queries.Options,
    name: str = "/NAME",
    fixed: str = "",
) -> Request:
    """A spoilt body mostly comes alone."""
    state = pick(draw, ("absent", *STATES) if method == "POST" else ("present", *STATES))
    calm = bool(body.odd) and upto(draw, 4) > 0
    query = queries.query(draw, options, fixed, most=1 if calm else 2)
    asked, words = queries.headers(draw, "" if body.body is None else media, odd=not calm)
    target, odd = _target(draw, plural, query, name)
    return Request(state, method, target, asked, body.body, odd + words + body.odd)


BY_NAME: Mapping[str, Callable[[], st.SearchStrategy[Request]]] = {
    "creates": creates,
    "updates": updates,
    "patches": patches,
    "deletes": deletes,
    "strays": strays,
}
"""Requests about objects of their own."""
