"""Differences of generated requests that are meant, each with its reason. What is not here is a fault.

An entry is narrow: what each side says, which verbs, what is odd. Its example is replayed with the generated requests
and must still differ as the entry says, so an entry that is no longer true fails.
"""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

import msgspec

from tests.conformance.bodies import CONDITION
from tests.conformance.differences import Difference
from tests.conformance.queries import JSON
from tests.conformance.replay import thing
from tests.conformance.requests import PATCHES, ROOT, Request

WRITES = ("post", "put", "merge", "json", "apply", "patch", "delete")


class Known(NamedTuple):
    """One difference that is meant. Texts are shell patterns, where `[` stands for itself."""

    why: str
    theirs: str
    ours: str
    odd: str
    """One of the things that are odd about the request."""
    example: Request
    verbs: tuple[str, ...] = ()
    """Empty: all."""

    def matches(self, found: Difference) -> bool:
        """Whether this is it."""
        return (
            (not self.verbs or found.request.verb in self.verbs)
            and any(_like(each, self.odd) for each in (*found.request.odd, ""))
            and _like(found.theirs, self.theirs)
            and _like(found.ours, self.ours)
        )


def _like(text: str, pattern: str) -> bool:
    return fnmatchcase(text, pattern.replace("[", "[[]"))


def unknown(found: Iterable[Difference]) -> list[Difference]:
    """Those that no entry explains."""
    return [each for each in found if not any(entry.matches(each) for entry in KNOWN)]


def _ask(
    method: str, target: str, odd: str, body: Any = None, *, media: str = JSON, state: str = "present", **more: str
) -> Request:
    headers = {
        "accept": JSON,
        "user-agent": "conformance/1.0",
        **{name.replace("_", "-"): v for name, v in more.items()},
    }
    raw = body if isinstance(body, bytes | None) else msgspec.json.encode(body)
    if raw is not None:
        headers["content-type"] = media
    return Request(state, method, f"{ROOT}/workspaces{target}", tuple(sorted(headers.items())), raw, (odd,))


def _object(spec: Any = None, **metadata: Any) -> dict[str, Any]:
    return thing("workspaces", "NAME", {} if spec is None else spec, **metadata)


def _text(body: bytes) -> bytes:
    """A good object with `body` as the value of a member that nobody knows."""
    return msgspec.json.encode(_object()).replace(b"{", b'{"zz":"' + body + b'",', 1)


NOT_TEXT = "bytes and escapes that are no text are refused, not replaced by U+FFFD: what is stored is what was sent"
NO_5XX = "an error of the client is 4xx here, never a 5xx"
STATUS = "status is written by the service that owns the kind alone: 403 before anything else is looked at"
BELOW = "an API server takes what follows a subresource for the subresource; here a path that is not served is 404"
LOST = "an API server forgets who owns the fields of an object whose status was sent with a wrong type; here status is \
dropped first"
DRY = (
    "who asks for a dry run in the query gets one, or an error, also beside a body, for which an API server forgets it"
)
BEHIND = "what comes behind a document of YAML is refused, where an API server forgets it"
TEXT = b"apiVersion: skerry.dev/v1alpha1\nkind: Workspace\nmetadata: {name: NAME}\nspec: {}\n"
FIRST = "which of two errors is told"

KNOWN: tuple[Known, ...] = (
    Known(NOT_TEXT, "*", "400 BadRequest*", "body: bytes that are no UTF-8*",
          _ask("POST", "", "body: bytes that are no UTF-8 in a text", _text(b"\xff"), state="absent"), WRITES),
    Known(NOT_TEXT, "*", "400 BadRequest", "body: half a surrogate*",
          _ask("POST", "", "body: half a surrogate elsewhere", _text(b"\\udc00"), state="present"), WRITES),
    Known(NO_5XX, "500", "4??*", "*",
          _ask("GET", "/NAME?resourceVersion=x", "resourceVersion=x", state="population"), ("get", "head", "watch")),
    Known(NO_5XX, "500", "4??*", "*",
          _ask("PATCH", "/NAME?fieldManager=m1", "'zz' too", {**_object(), "zz": 1}, media=PATCHES["apply"]), ("apply",)),
    Known(NO_5XX, "500", "409 Conflict", "*metadata*resourceVersion*",
          _ask("PUT", "/NAME", "metadata.resourceVersion = x", _object(resourceVersion="x")), ("put", "merge", "json")),
    Known(NO_5XX, "500 InternalError*", "422 Invalid [patch FieldValueInvalid]", "* /apiVersion*",
          _ask("PATCH", "/NAME", "remove /apiVersion", [{"op": "remove", "path": "/apiVersion"}], media=PATCHES["json"]), ("json",)),
    Known("metadata as a list, of one object: refused before anything is written, never a 500", "500*", "406*", "accept: *PartialObjectMetadataList;*",
          _ask("PATCH", "/NAME", "accept: PartialObjectMetadataList;v=v1", [], media=PATCHES["json"],
               accept="application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"), ("post", "put", "merge", "json", "apply")),
    Known("a deletion is not refused for the form of its answer: what is held is shown as metadata", "500*", "20?", "accept: *PartialObjectMetadataList;*",
          _ask("DELETE", "/NAME", "accept: PartialObjectMetadataList;v=v1", state="held",
               accept="application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"), ("delete",)),
    Known("what an object that an apply makes says of its version counts for nothing, a number or not", "500*", "201*", "metadata.resourceVersion = *",
          _ask("PATCH", "/NAME?fieldManager=m1", "metadata.resourceVersion = x", _object(resourceVersion="x"), media=PATCHES["apply"],
               state="absent"), ("apply",)),
    Known("who watches in lists of metadata is told metadata, where an API server fails at each event and says nothing",
          '200: "body": []*', '200: "body": *', "accept: *PartialObjectMetadataList;*",
          _ask("GET", "?watch=1&resourceVersion=0&timeoutSeconds=1", "accept: PartialObjectMetadataList;v=v1", state="population",
               accept="application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"), ("watch",)),
    Known("an integer that has more than 64 bits is refused in an applied object too", "*", "400 BadRequest", "metadata.* = *^*",
          _ask("PATCH", "/NAME?fieldManager=m1", "metadata.generation = 10^30", _object(generation=10**30), media=PATCHES["apply"],
               state="absent"), ("apply",)),
    Known(STATUS, "*", "403 Forbidden", "path: /status",
          _ask("PUT", "/NAME/status", "path: /status", _object(resourceVersion="VERSION")), ("put", "merge", "json", "apply", "patch")),
    Known(BELOW, "*", "404*", "path: /status/?*",
          _ask("GET", "/NAME/status/x", "path: /status/x", state="population")),
    Known("a method that Kubernetes does not have is refused before the path is looked at", "404 NotFound", "405 *", "*",
          _ask("PURGE", "/NAME/scale", "", _object()), ("purge", "trace")),
    Known(LOST, "20?: *", '20?: "managedFields": *', "*status*",
          _ask("POST", "", "status = 0", {**_object(), "status": 0}, state="absent"), ("post", "put", "merge", "json")),
    Known(DRY, "*", "422 Invalid [dryRun FieldValueNotSupported*", "dryRun=*",
          _ask("DELETE", "/NAME?dryRun=x", "dryRun=x", {}), ("delete",)),
    Known(DRY, "200; left: *", "200; left: *", "dryRun=All",
          _ask("DELETE", "/NAME?dryRun=All", "dryRun=All", {}), ("delete",)),
    Known("media types are read without regard to case (RFC 9110, 8.3.1)", "406*", "*", "accept: APPLICATION/JSON",
          _ask("GET", "/NAME", "accept: APPLICATION/JSON", state="population", accept="APPLICATION/JSON")),
    Known("resourceVersion of a create is refused when it is there, a number or not", "*", "400 BadRequest",
          "metadata.resourceVersion = *",
          _ask("POST", "", "metadata.resourceVersion = x", _object(resourceVersion="x"), state="absent"), ("post",)),
    Known(f"{FIRST}: a body that is no JSON, before its object is looked for", "404 NotFound", "400 BadRequest", "body: *",
          _ask("PATCH", "/NAME", "body: half of it", b"{", media=PATCHES["merge"], state="absent"), ("merge", "json")),
    Known(f"{FIRST}: an object that is not there, before its unknown fields", "400*", "404 NotFound", "fieldValidation=Strict",
          _ask("PUT", "/NAME?fieldValidation=Strict", "fieldValidation=Strict", {**_object(resourceVersion="1"), "zz": 1}, state="absent"),
          ("put",)),
    Known(f"{FIRST}: a kind of object that is not served here, alone", "422 Invalid [kind FieldValueInvalid, *", "422 Invalid [kind FieldValueInvalid]",
          "kind = *",
          _ask("PUT", "/NAME", "kind = x", {**_object(resourceVersion="VERSION", deletionGracePeriodSeconds=0), "kind": "x"}), ("put",)),
    Known(f"{FIRST}: an apiVersion that a patch took away, before another name", "400 BadRequest", "422 Invalid [patch FieldValueInvalid]",
          "move /metadata/name from /apiVersion",
          _ask("PATCH", "/NAME", "move /metadata/name from /apiVersion",
               [{"op": "move", "path": "/metadata/name", "from": "/apiVersion"}], media=PATCHES["json"]), ("json",)),
    Known(f"{FIRST}: what cannot be answered in, before what is asked", "4??*", "406*", "accept: *",
          _ask("GET", "?limit=x", "accept: text/html", state="population",
               accept="application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io")),
    Known("an API server that cannot read an Accept answers in JSON as if there were none, and tells another error first", "415 *",
          "406 NotAcceptable", "accept: *",
          _ask("PATCH", "/NAME", "accept: text/html", {}, media="text/json", accept="text/html"), ("patch",)),
    Known("null is no list of operations", "200*", "400 BadRequest", "body: null",
          _ask("PATCH", "/NAME", "body: null", b"null", media=PATCHES["json"]), ("json",)),
    Known("who applies no metadata gives up what it applied there; an API server takes the name away with it, and misses it then",
          "400 BadRequest", "200*", "no metadata",
          _ask("PATCH", "/NAME?fieldManager=m1", "no metadata", {k: v for k, v in _object({"displayName": "Team"}).items() if k != "metadata"},
               media=PATCHES["apply"], state="applied"), ("apply",)),
    Known(BEHIND, "*", "400 BadRequest", "body: garbage behind",
          _ask("PATCH", "/NAME?fieldManager=m1", "body: garbage behind", msgspec.json.encode(_object()) + b"x",
               media=PATCHES["apply"], state="absent"), ("apply",)),
    Known("JSON is taken as it is, tabs in front included, where a YAML reader stumbles", "400 BadRequest", "*", "body: blanks around",
          _ask("PATCH", "/NAME?fieldManager=m1", "body: blanks around", b"\r\n\t" + msgspec.json.encode(_object()),
               media=PATCHES["apply"], state="absent"), ("apply", "post", "put", "delete")),
    Known("an applied key that is there twice is told of by its path, not by the line", '20?: *line *', '20?: *duplicate field *', "body: *twice",
          _ask("PATCH", "/NAME?fieldManager=m1", "body: kind twice", msgspec.json.encode(_object()).replace(b"{", b'{"kind":"Other",', 1),
               media=PATCHES["apply"], state="absent"), ("apply",)),
    Known("a selfLink is never kept, also not in the answer to an update that is not stored: a dry run, or one that takes the last finalizer",
          '200: "selfLink": *', "200: ", "*",
          _ask("PUT", "/NAME", "", _object(resourceVersion="VERSION", selfLink="/x"), state="terminating"), ("put", "merge", "json")),
    Known("the first form that a client can be given is taken, also behind one that there is not for a list", "406*", "200*",
          "accept: *PartialObjectMetadata;*,application/json",
          _ask("GET", "", "accept: PartialObjectMetadata;v=v1,application/json", state="population",
               accept="application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io,application/json"), ("get", "head", "watch", "delete")),
    Known(f"{FIRST}: a name that no object can have, before everything else", "4?? *", "400 BadRequest", "path: a%25b",
          _ask("PUT", "/a%25b", "path: a%25b", b"x", media="text/plain"), ("put", "json", "merge", "apply", "patch", "delete")),
    Known("what is no time is refused in an applied object too", "*", "400 BadRequest", "metadata.*Timestamp = *",
          _ask("PATCH", "/NAME?fieldManager=m1", "metadata.creationTimestamp = x", _object(creationTimestamp="x"), media=PATCHES["apply"]),
          ("apply",)),
    Known("each side has versions of its own", '200: "*": "*"', '200: "*": "*"', "copy /metadata/* from /metadata/resourceVersion",
          _ask("PATCH", "/NAME", "copy /metadata/labels/a from /metadata/resourceVersion", [
               {"op": "copy", "path": "/metadata/labels/a", "from": "/metadata/resourceVersion"}], media=PATCHES["json"]), ("json",)),
    Known("a number that is none for most readers is refused wherever it is", "422 Invalid*", "400 BadRequest", "body: 1e400",
          _ask("PATCH", "/NAME", "body: 1e400", b'[{"zz":1e400,"op":"","path":"/spec"}]', media=PATCHES["json"]), ("json",)),
    Known("what is answered with 406 is not done", "406 NotAcceptable; left: *", "406 NotAcceptable; left: *", "accept: *PartialObjectMetadata;*",
          _ask("DELETE", "?fieldSelector=metadata.name%3DNAME", "accept: PartialObjectMetadata;v=v1",
               accept="application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"), ("delete",)),
    Known("what nobody deleted has no grace period, also where an apply made it", '201: "deletionGracePeriodSeconds": 0', "201: ", "*",
          _ask("PATCH", "/NAME?fieldManager=m1", "", _object(deletionGracePeriodSeconds=0), media=PATCHES["apply"], state="absent"),
          ("apply",)),
    Known("managedFields are not applied, whatever is in them", "201*", "400 BadRequest", "metadata.managedFields = [null]",
          _ask("PATCH", "/NAME?fieldManager=m1", "metadata.managedFields = [null]", _object(managedFields=[None]), media=PATCHES["apply"],
               state="absent"), ("apply",)),
    Known(BEHIND, "*", "400 BadRequest", "body: two YAML documents",
          _ask("PATCH", "/NAME?fieldManager=m1", "body: two YAML documents", b"---\n" + TEXT + b"---\n" + TEXT,
               media=PATCHES["apply"], state="absent"), ("apply",)),
    Known(BEHIND, "*", "400 BadRequest", "body: twice",
          _ask("PATCH", "/NAME?fieldManager=m1", "body: twice", msgspec.json.encode(_object()) * 2, media=PATCHES["apply"], state="absent"),
          ("apply",)),
    Known("an applied status is dropped before anything is compared: it alone gives its manager no time", '200: "operation": "Apply" "time": "<time>"',
          '200: "operation": "Apply"', "",
          _ask("PATCH", "/NAME?fieldManager=m1", "", {**_object(), "status": {"conditions": [CONDITION]}}, media=PATCHES["apply"],
               state="terminating"), ("apply",)),
)  # fmt: skip
