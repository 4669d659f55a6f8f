"""Bodies of generated requests: a good one, spoilt in at most two places.

Objects are spoilt as trees (a type swapped, a field dropped, twice or unknown, a text at a limit) and as bytes
(encodings, truncation, keys that come twice, numbers and depths that few readers take). NAME, VERSION and UID are words
for what the object has that the request is about; the player puts each side's own there.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec
import yaml
from hypothesis import strategies as st

from skerry.api.meta import Document
from skerry.api.v1alpha1 import API_VERSION
from tests.conformance.choices import pick, some, upto

Path = tuple[str | int, ...]


class Spoilt(NamedTuple):
    """A body, and in words what is odd about it; no words: nothing is."""

    body: bytes | None
    odd: tuple[str, ...] = ()


# Good objects

AL, BO = {"kind": "User", "name": "al"}, {"kind": "Group", "name": "bo", "role": "edit"}
SELECTOR = {
    "matchLabels": {"a": "b"},
    "matchExpressions": [{"key": "k", "operator": "In", "values": ["v", "w"]}, {"key": "z", "operator": "Exists"}],
}
WORKSPACE_SPECS: tuple[Document, ...] = (
    {},
    {"displayName": "Team"},
    {"displayName": "Team", "members": [AL, BO], "clusters": {"names": ["x", "y"]}},
    {"members": [BO], "clusters": {"selector": SELECTOR}, "namespaces": [{"cluster": "c", "name": "n"}]},
)
GRANT_SPECS: tuple[Document, ...] = (
    {"subjects": [AL], "clusters": {"names": ["x"]}, "role": "view"},
    {
        "subjects": [AL, AL],
        "clusters": {"selector": SELECTOR},
        "groups": ["g", "h"],
        "namespaces": ["n"],
        "expires": "t",
    },
)
SETTING_SPECS: tuple[Document, ...] = ({"value": "true"}, {"value": ""})
OWNER = {"apiVersion": "v1", "kind": "X", "name": "x", "uid": "1-2"}
METADATA: Document = {
    "labels": {"a": "1", "skerry.dev/b": ""},
    "annotations": {"note": "é", "x/y": "z"},
    "finalizers": ["x.dev/f"],
    "ownerReferences": [{**OWNER, "controller": True, "blockOwnerDeletion": False}],
    "generateName": "NAME-",
    "creationTimestamp": "2020-01-01T00:00:00Z",
    "namespace": "",
    "generation": 3,
    "selfLink": "/x",
    "deletionGracePeriodSeconds": 0,
}
"""What metadata may have besides name, uid and resourceVersion."""
CONDITION = {"type": "A", "status": "True", "reason": "r", "message": "", "lastTransitionTime": "2020-01-01T00:00:00Z"}

KINDS = {
    "workspaces": ("Workspace", WORKSPACE_SPECS),
    "accessgrants": ("AccessGrant", GRANT_SPECS),
    "settings": ("Setting", SETTING_SPECS),
}


def objects(draw: st.DrawFn, plural: str, *, versioned: bool = False) -> Document:
    """A whole object called NAME that both sides take."""
    kind, specs = KINDS[plural]
    metadata = {"name": "NAME", **{key: copy.deepcopy(METADATA[key]) for key in some(draw, sorted(METADATA), 3)}}
    if versioned:
        metadata["resourceVersion"] = "VERSION"
        metadata |= {"uid": "UID"} if upto(draw, 1) else {}
    found: Document = {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata}
    found["spec"] = copy.deepcopy(pick(draw, specs))
    if upto(draw, 7) == 7:
        found["status"] = {"conditions": [CONDITION]}
    return found


def _parts(draw: st.DrawFn, plural: str) -> Document:
    """A merge patch."""
    whole = objects(draw, plural)
    whole["metadata"].pop("name")
    return {key: whole[key] for key in some(draw, sorted(whole), 3, 1)}


# Trees

_ABSENT: dict[str, tuple[Path, ...]] = {
    plural: (
        *((("metadata", key)) for key in (*METADATA, "uid", "resourceVersion", "deletionTimestamp", "managedFields")),
        ("metadata", "labels", "new"),
        ("metadata", "annotations", "new"),
        ("metadata",),
        ("spec",),
        ("status",),
        ("status", "conditions"),
        ("spec", "clusters"),
        ("spec", "clusters", "names"),
        ("spec", "clusters", "selector"),
        ("spec", "clusters", "selector", "matchLabels"),
        ("spec", "clusters", "selector", "matchExpressions"),
        ("spec", "namespaces"),
        *((("spec", key)) for key in own),
    )
    for plural, own in (
        ("workspaces", ("displayName", "members")),
        ("accessgrants", ("subjects", "role", "groups", "expires")),
        ("settings", ("value",)),
    )
}  # fmt: skip
"""Places that an object may lack."""

VALUES: dict[str, Any] = {
    "null": None, "true": True, "false": False, "0": 0, "7": 7, "-1": -1, "1.5": 1.5, "1.0": 1.0, "10^30": 10**30,
    "2^63": 2**63, "an empty text": "", "x": "x", "blanks": " x ", "A_b": "A_b", "a control character": "a\u0007b", "é": "é",
    "a time": "2020-01-01T00:00:00Z", "a date": "2020-01-01", "[]": [], "[null]": [None], '["x"]': ["x"], '["x","x"]': ["x", "x"],
    "[1]": [1], "[{}]": [{}], "[[]]": [[]], "{}": {}, '{"a":null}': {"a": None}, '{"a":1}': {"a": 1}, '{"a":"b"}': {"a": "b"},
    '{"":""}': {"": ""}, '{"a":{}}': {"a": {}}, "63 letters": "a" * 63, "64 letters": "a" * 64, "253 letters": "a" * 253,
    "254 letters": "a" * 254, "a number as text": "1", "a newline": "a\nb",
}  # fmt: skip
_KEYS = ("zz", "DisplayName", "", "a.b", "a b", "$ref", "x-y")


def _places(value: Any, path: Path = ()) -> list[Path]:
    found = [path] if path else []
    if isinstance(value, dict):
        for key in sorted(value):
            found += _places(value[key], (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            found += _places(item, (*path, index))
    return found


def shown(path: Path) -> str:
    """A path in words; which item of a list says nothing."""
    text = "".join("[]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".") or "the body"


def _put(document: Any, path: Path, value: Any) -> None:
    """Set what is at `path`; objects on the way are made, and what is in the way is left alone."""
    for part, following in itertools.pairwise(path):
        if isinstance(document, dict):
            document = document.setdefault(part, [] if isinstance(following, int) else {})
        elif isinstance(document, list) and isinstance(part, int) and part < len(document):
            document = document[part]
    fits = isinstance(document, list) and isinstance(path[-1], int) and path[-1] < len(document)
    if isinstance(document, dict) or fits:
        document[path[-1]] = value


def _get(document: Any, path: Path) -> Any:
    for part in path:
        document = document[part]
    return document


def spoilt_tree(draw: st.DrawFn, document: Document, absent: tuple[Path, ...] = ()) -> tuple[Any, str]:
    """`document` changed in one place, and what was done."""
    found = copy.deepcopy(document)
    how = pick(draw, ("swap", "swap", "swap", "swap", "drop", "extra", "twice"))
    places = _places(found)
    if how == "swap":
        path = pick(draw, [*places, *absent])
        name = pick(draw, sorted(VALUES))
        _put(found, path, copy.deepcopy(VALUES[name]))
        return found, f"{shown(path)} = {name}"
    if how == "drop":
        path = pick(draw, places)
        parent = _get(found, path[:-1])
        del parent[path[-1]]
        return found, f"no {shown(path)}"
    if how == "extra":
        path = pick(draw, [(), *(path for path in places if isinstance(_get(found, path), dict))])
        key, name = pick(draw, _KEYS), pick(draw, ("7", "null", "{}", "x"))
        _put(found, (*path, key), VALUES[name])
        return found, f"{shown((*path, key))!r} too"
    lists = [path for path in places if isinstance(_get(found, path), list) and _get(found, path)]
    if not lists:
        return found, ""
    path = pick(draw, lists)
    _get(found, path).append(copy.deepcopy(_get(found, path)[0]))
    return found, f"{shown(path)} has one twice"


# Bytes


def _deep(levels: int) -> bytes:
    return b'{"spec":' + b'{"a":' * levels + b"1" + b"}" * (levels + 1)


def _member(body: bytes, text: bytes) -> bytes:
    """An object with one more member in front."""
    return body.replace(b"{", b"{" + text + b",", 1) if body not in (b"{}", b"") else b"{" + text + b"}"


BYTES: Mapping[str, Callable[[bytes], bytes]] = {
    "nothing": lambda body: b"",
    "blanks alone": lambda body: b" \n",
    "null": lambda body: b"null",
    "a number": lambda body: b"1",
    "a text": lambda body: b'"x"',
    "a list": lambda body: b"[]",
    "true": lambda body: b"true",
    "half of it": lambda body: body[: len(body) // 2],
    "without its end": lambda body: body[:-1],
    "a byte order mark": lambda body: b"\xef\xbb\xbf" + body,
    "UTF-16": lambda body: body.decode().encode("utf-16"),
    "UTF-16 without a mark": lambda body: body.decode().encode("utf-16-le"),
    "bytes that are no UTF-8 in a text": lambda body: _member(body, b'"zz":"\xff\xfe"'),
    "bytes that are no UTF-8 in a key": lambda body: _member(body, b'"z\xc3":1'),
    "bytes that are no UTF-8 in displayName": lambda body: body.replace(b'"Team"', b'"T\xff"'),
    "half a surrogate": lambda body: body.replace(b'"Team"', b'"T\\ud800"'),
    "half a surrogate elsewhere": lambda body: _member(body, b'"zz":"\\udc00"'),
    "a NUL escape": lambda body: body.replace(b'"Team"', b'"T\\u0000"'),
    "a raw control character": lambda body: body.replace(b'"Team"', b'"T\x01"'),
    "a NUL byte behind": lambda body: body + b"\0",
    "garbage behind": lambda body: body + b"x",
    "twice": lambda body: body + body,
    "a comma too many": lambda body: body[:-1] + b",}",
    "a comment": lambda body: b"/* x */" + body,
    "single quotes": lambda body: body.replace(b'"', b"'"),
    "blanks around": lambda body: b" \r\n\t" + body + b" \n",
    "kind twice": lambda body: _member(body, b'"kind":"Other"'),
    "spec twice": lambda body: _member(body, b'"spec":{"displayName":"first"}'),
    "metadata twice": lambda body: _member(body, b'"metadata":{"name":"first","labels":{"q":"r"}}'),
    "an unknown key twice": lambda body: _member(body, b'"zz":1,"zz":2'),
    "1e400": lambda body: _member(body, b'"zz":1e400'),
    "-0": lambda body: _member(body, b'"zz":-0'),
    "01": lambda body: _member(body, b'"zz":01'),
    "NaN": lambda body: _member(body, b'"zz":NaN'),
    "60 levels": lambda body: _deep(30),
    "10,001 levels": lambda body: _deep(10_001),
    "YAML": lambda body: _yaml(body),
    "YAML with a mark": lambda body: b"---\n" + _yaml(body),
    "two YAML documents": lambda body: b"---\n" + _yaml(body) + b"---\n" + _yaml(body),
    "YAML with tabs": lambda body: b"\tspec:\n" + _yaml(body),
    "YAML with a number as key": lambda body: _yaml(body) + b"7: x\n",
    "YAML with yes and a date": lambda body: _yaml(body) + b"zz: yes\nzy: 2020-01-01\nzx: 0o7\nzw: 1_000\n",
    "YAML that is a text": lambda body: b"just words",
    "YAML with a key twice": lambda body: _yaml(body) + b"zz: 1\nzz: 2\n",
    "a large text": lambda body: body.replace(b'"Team"', b'"' + b"T" * 300_000 + b'"'),
}  # fmt: skip
"""In words -> what it makes of a good body."""


def _yaml(body: bytes) -> bytes:
    return yaml.safe_dump(msgspec.json.decode(body), allow_unicode=True).encode()


def spoilt(draw: st.DrawFn, document: Any, absent: tuple[Path, ...] = (), *, spoil: bool = True) -> Spoilt:
    """A document as bytes: now and then good, mostly spoilt as a tree, else as bytes."""
    how = upto(draw, 9) if spoil else 0
    odd: tuple[str, ...] = ()
    if 1 <= how <= 6 and isinstance(document, dict) and document:
        document, what = spoilt_tree(draw, document, absent)
        odd = (what,) if what else ()
    body = msgspec.json.encode(document)
    if how >= 7:
        name = pick(draw, sorted(BYTES))
        changed = BYTES[name](body)
        if changed != body:
            return Spoilt(changed, (f"body: {name}",))
    return Spoilt(body, odd)


def whole(draw: st.DrawFn, plural: str, *, versioned: bool = False, spoil: bool = True) -> Spoilt:
    """The body of a POST, a PUT or an apply."""
    return spoilt(draw, objects(draw, plural, versioned=versioned), _ABSENT[plural], spoil=spoil)


def merge(draw: st.DrawFn, plural: str) -> Spoilt:
    """The body of a merge patch."""
    return spoilt(draw, _parts(draw, plural), _ABSENT[plural])


# JSON patches

POINTERS = (
    "", "/", "/spec", "/spec/displayName", "/spec/members", "/spec/members/-", "/spec/members/0", "/spec/members/7",
    "/spec/members/-1", "/spec/members/01", "/spec/nope", "/spec/nope/x", "/metadata", "/metadata/name", "/metadata/labels",
    "/metadata/labels/a", "/metadata/labels/x~1y", "/metadata/labels/~", "/metadata/annotations/note", "/metadata/finalizers",
    "/metadata/uid", "/metadata/resourceVersion", "/metadata/managedFields", "/metadata/ownerReferences", "/kind", "/apiVersion",
    "/status", "spec", "/spec/clusters/names/0",
)  # fmt: skip
OPERATIONS = ("add", "remove", "replace", "move", "copy", "test", "Add", "")


def _operation(draw: st.DrawFn) -> tuple[Document, str]:
    """One operation, and it in words."""
    op, path, name = (pick(draw, each) for each in (OPERATIONS, POINTERS, sorted(VALUES)))
    found: Document = {"op": op, "path": path}
    text = f"{op} {path}"
    if op in ("move", "copy"):
        found["from"] = pick(draw, POINTERS)
        text += f" from {found['from']}"
    elif op != "remove":
        found["value"] = copy.deepcopy(VALUES[name])
        text += f" = {name}"
    lacking = upto(draw, 20)
    if lacking < 3:
        key = ("op", "path", "value")[lacking]
        found.pop(key, None)
        text += f" without {key}"
    return found, text


def json_patch(draw: st.DrawFn) -> Spoilt:
    """The body of a JSON patch."""
    made = [_operation(draw) for _ in range(upto(draw, 12) % 3 or upto(draw, 1))]
    body = msgspec.json.encode([operation for operation, _ in made])
    if upto(draw, 9) == 0:
        name = pick(draw, sorted(name for name in BYTES if "YAML" not in name))
        changed = BYTES[name](body)
        if changed != body:
            return Spoilt(changed, (f"body: {name}",))
    return Spoilt(body, tuple(text for _, text in made))


# Delete options

_DELETE: Document = {
    "kind": "DeleteOptions",
    "apiVersion": "v1",
    "preconditions": {"uid": "UID", "resourceVersion": "VERSION"},
    "propagationPolicy": "Background",
    "orphanDependents": False,
    "gracePeriodSeconds": 0,
    "dryRun": ["All"],
}


def _delete_options(draw: st.DrawFn) -> Document:
    """Some of what DeleteOptions may say."""
    found = {key: copy.deepcopy(_DELETE[key]) for key in some(draw, sorted(_DELETE), 4)}
    if "propagationPolicy" in found:
        found.pop("orphanDependents", None)
        found["propagationPolicy"] = pick(draw, ("Background", "Foreground", "Orphan"))
    return found


def delete(draw: st.DrawFn) -> Spoilt:
    """The body of a DELETE, often none."""
    if upto(draw, 2) == 0:
        return Spoilt(None)
    return spoilt(draw, _delete_options(draw), _NO_OPTION)


_NO_OPTION: tuple[Path, ...] = (*(((key,)) for key in _DELETE), ("preconditions", "uid"))
