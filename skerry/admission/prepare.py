"""From what a client sent to what may be stored, for any kind. Pure but for the random end of a generated name.

The order is the API server's: decode, drop unknown fields, fill in defaults, track who owns what, validate.
"""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from skerry.admission import conform, metadata, patches
from skerry.admission.conform import FieldError
from skerry.admission.reading import DEEPEST, read_json, repeated, too_deep, with_metadata
from skerry.api.kinds import Kind
from skerry.api.messages import WriteRequest
from skerry.api.meta import Document, ObjectMeta
from skerry.api.structural import structural
from skerry.apply import FieldManager, TypeMismatch
from skerry.apply.managed import timeless
from skerry.apply.typed import same
from skerry.errors import BadRequest, Conflict, Invalid, StatusError, cause

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
LONGEST_NAME = 63
SUFFIX = "bcdfghjklmnpqrstvwxz2456789"
"""The API server's alphabet for generated names: no vowels, hence no words."""
_SUFFIX_LENGTH = 5
_SERVER_SET = frozenset(
    (
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "selfLink",
    )
)


class Prepared(NamedTuple):
    """A document that fits its kind, and what its author should know."""

    document: Document
    warnings: tuple[str, ...] = ()


class Preparation:
    """The steps for one kind. `live` documents carry their resourceVersion."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self._schema = structural(kind.type)

    # Create

    def created(self, request: WriteRequest, now: datetime) -> Prepared:
        """The document of a create. BadRequest, Invalid."""
        document = self.decoded(request.body)
        self._same_version(document)
        if document["metadata"].get("resourceVersion"):
            raise BadRequest("resourceVersion should not be set on objects to be created")
        prepared = self._fitting(document, {}, request)
        new = _observed(self._cleaned(prepared.document, request), {})
        owned = self._manager(request, now).updated({}, new)
        self._check(owned, metadata.all_problems(owned["metadata"]))
        return Prepared(self._named(owned), (*prepared.warnings, *metadata.warnings(owned["metadata"])))

    def _cleaned(self, document: Document, request: WriteRequest) -> Document:
        cleaned = {key: each for key, each in document["metadata"].items() if key not in _SERVER_SET}
        cleaned = metadata.normalised(cleaned)
        self._check_namespace(cleaned, request)
        cleaned.pop("namespace", None)
        if request.namespace:
            cleaned["namespace"] = request.namespace
        return {**document, "metadata": cleaned}

    def _check_namespace(self, meta: Document, request: WriteRequest) -> None:
        """BadRequest where a body names another namespace than the path."""
        if self.kind.namespaced and meta.get("namespace") not in (None, "", request.namespace):
            raise BadRequest("the namespace of the provided object does not match the namespace sent on the request")

    def _named(self, document: Document) -> Document:
        meta = document["metadata"]
        if meta.get("name") or not meta.get("generateName"):
            return document
        start = meta["generateName"][: LONGEST_NAME - _SUFFIX_LENGTH]
        name = start + "".join(secrets.choice(SUFFIX) for _ in range(_SUFFIX_LENGTH))
        return {**document, "metadata": {**meta, "name": name}}

    def check_name(self, document: Document) -> None:
        """Invalid unless the object has a name that an object can have."""
        name = document["metadata"].get("name")
        errors = list(metadata.name_problems(name)) if name else [metadata.unnamed()]
        if name and self.kind.labelled:
            errors += metadata.label_name_problems(name)
        self._raise(document, errors)

    # Update and patch

    def replaced(self, request: WriteRequest, live: Document, now: datetime) -> Prepared:
        """The document of a PUT whose head `versioned` has looked at. BadRequest, Invalid."""
        return self._changed(self.decoded(request.body), live, request, now)

    def versioned(self, request: WriteRequest) -> tuple[str, str]:
        """(uid, resourceVersion) that a PUT is based on; empty where it names none. BadRequest."""
        document = self.decoded(request.body)
        self._same_version(document)
        self._check_path(document, request)
        return str(document["metadata"].get("uid") or ""), str(document["metadata"].get("resourceVersion") or "")

    def unversioned(self, name: str) -> Invalid:
        """422 for a change that says no resourceVersion where it must."""
        problem = conform.invalid_value("metadata.resourceVersion", 0, "must be specified for an update")
        return Invalid(
            f'{self.kind.plural}.{self.kind.group} "{name}" is invalid: {problem.field}: {problem.message}',
            kind=self.kind.plural,
            group=self.kind.group,
            name=name,
            causes=(cause(*problem),),
        )

    def patched(self, request: WriteRequest, live: Document, now: datetime) -> Prepared:
        """The document after a JSON or merge patch. BadRequest, Invalid; Conflict if the patch names another version."""
        patch = self._patch(request)
        try:
            document = patches.apply(live, patch) if isinstance(patch, list) else patches.merge(live, patch)
        except patches.Rejected as error:
            raise Invalid(f"the server rejected our request due to an error in our request: {error}") from error
        if not isinstance(document, dict):
            raise self._bad_patch(document, "it leaves no object behind")
        if too_deep(document):
            raise BadRequest(f"the patch leaves an object behind that is nested deeper than {DEEPEST} levels")
        document = with_metadata(document)
        wrong = _mistyped(document) or _headless(document)
        if wrong:
            raise self._bad_patch(document, wrong)
        self._check_path(document, request)
        self._check_namespace(document["metadata"], request)
        if document["metadata"].get("resourceVersion", "") in ("", "0"):
            raise self.unversioned(request.name)
        return self._changed(document, live, request, now)

    def _patch(self, request: WriteRequest) -> Any:
        patch = read_json(request.body, "error decoding patch")
        shape = list if request.content_type == JSON_PATCH else dict
        if not isinstance(patch, shape):
            raise BadRequest(f"error decoding patch: an {request.content_type} is a JSON {_JSON_NAMES[shape]}")
        if len(patch) > patches.MOST_OPERATIONS and isinstance(patch, list):
            raise BadRequest(f"a patch has at most {patches.MOST_OPERATIONS} operations, this one has {len(patch)}")
        return patch

    def applied(self, request: WriteRequest, live: Document, now: datetime) -> Prepared:
        """The document after a server-side apply; `live` is {} if it is created by it. BadRequest, Invalid, Conflict."""
        applied = self._object(request.body)
        patch = self._typed(applied)
        self._check_apply(patch, request, live)
        twice = tuple(f'duplicate field "{path}"' for path in self._repeated(request))
        if twice and request.options.field_validation == "Strict":
            raise BadRequest(f"error decoding apply patch: {', '.join(twice[:20])}")
        plain = {**_observed(patch, {}), **_owned_nulls(applied, patch)}
        manager = self._manager(request, now)
        try:
            manager.check({**plain, **{key: patch[key] for key in ("status",) if patch.get(key) is not None}})
            merged = manager.applied(live, plain, force=request.options.force)
        except TypeMismatch as error:
            where = f"{request.namespace}/{request.name}; {self.kind.api_version}, Kind={self.kind.kind}"
            raise BadRequest(f"failed to create typed patch object ({where}): {error}") from error
        prepared = self._applied_to(merged, plain, live, request) if live else self._applied_anew(merged, request)
        return prepared._replace(warnings=(*twice, *prepared.warnings))

    def _applied_to(self, merged: Document, patch: Document, live: Document, request: WriteRequest) -> Prepared:
        """What the head of the patch says is looked at after the conflicts, as in the API server."""
        meta = patch["metadata"]
        if "name" in meta:
            self._check_path(patch, request)
        self._check_namespace(meta, request)
        if "resourceVersion" in meta and meta["resourceVersion"] in (None, "", "0"):
            raise self.unversioned(request.name)
        return self._finished(conform.defaulted(self._schema, merged), live)

    def _applied_anew(self, merged: Document, request: WriteRequest) -> Prepared:
        document = self._cleaned(conform.defaulted(self._schema, merged), request)
        document["metadata"] |= {"name": request.name}
        self._check(document, metadata.all_problems(document["metadata"]))
        return Prepared(document, tuple(metadata.warnings(document["metadata"])))

    def _check_apply(self, patch: Document, request: WriteRequest, live: Document) -> None:
        version, kind = str(patch.get("apiVersion") or ""), str(patch.get("kind") or "")
        if (version, kind) != (self.kind.api_version, self.kind.kind):
            group_version = version if "/" in version or not version else f"/{version}"
            raise BadRequest(f"invalid object type: {group_version or '/'}, Kind={kind}")
        meta = patch["metadata"]
        if meta.get("managedFields") is not None:
            raise BadRequest("metadata.managedFields must be nil")
        if not live:
            self._check_path(patch, request)
        if meta.get("uid") and not live:
            text = f"uid mismatch: the provided object specified uid {meta['uid']}, and no existing object was found"
            raise self._conflict(request.name, text)

    def _changed(self, document: Document, live: Document, request: WriteRequest, now: datetime) -> Prepared:
        prepared = self._fitting(document, live, request)
        new = _observed(prepared.document, live)
        new["metadata"] = metadata.normalised(new["metadata"])
        owned = self._manager(request, now).updated(live, new)
        finished = self._finished(owned, live)
        return Prepared(finished.document, (*prepared.warnings, *finished.warnings))

    def _finished(self, document: Document, live: Document) -> Prepared:
        """A changed document, checked, with what a client cannot change put back.

        Metadata is checked several times, as the API server does, which shows in the number of causes.
        """
        meta, old = self._placed(metadata.normalised(document["metadata"])), live["metadata"]
        version = meta.get("resourceVersion")
        if version and version != old["resourceVersion"]:
            raise self._conflict(
                old["name"],
                "the object has been modified; please apply your changes to the latest version and try again",
            )
        broken = metadata.change_problems(old, meta) * 2 + metadata.problems(meta) * 3
        broken += metadata.finalizer_problems(meta)
        new = {**_observed(document, live), "metadata": {**meta, "creationTimestamp": old["creationTimestamp"]}}
        self._check(new, broken)
        fresh = set(metadata.warnings(meta)) - set(metadata.warnings(old))
        return Prepared(new, tuple(sorted(fresh)))

    def unchanged(self, new: Document, live: Document) -> bool:
        """True if `new` says what is stored already: the times of managedFields, generation and version do not count."""
        return same(_essence(new), _essence(live))

    # Parts

    def _placed(self, meta: Document) -> Document:
        """Metadata without a namespace where there are none."""
        return meta if self.kind.namespaced else {key: each for key, each in meta.items() if key != "namespace"}

    def decoded(self, body: msgspec.Raw) -> Document:
        """The object in a request. BadRequest."""
        return self._typed(self._object(body))

    def _object(self, body: msgspec.Raw) -> Document:
        document = read_json(body, f"the object provided is unrecognized (must be of type {self.kind.kind})")
        if not isinstance(document, dict):
            raise BadRequest(
                f"the object provided is unrecognized (must be of type {self.kind.kind}): it is no JSON object"
            )
        return document

    def _typed(self, document: Document) -> Document:
        """The object with metadata as it is meant. BadRequest."""
        document = with_metadata(document)
        wrong = _mistyped(document)
        if wrong:
            raise self._unhandled(wrong)
        return document

    def _same_version(self, document: Document) -> None:
        """The API server's refusals of what is no object of this version."""
        version, missing = document.get("apiVersion"), _headless(document)
        if missing:
            raise BadRequest(f"the object provided is unrecognized (must be of type {self.kind.kind}): {missing}")
        if version != self.kind.api_version:
            raise BadRequest(
                f"the API version in the data ({version}) does not match the expected API version "
                f"({self.kind.api_version})"
            )

    def _check_kind(self, document: Document) -> None:
        for key, expected in (("kind", self.kind.kind), ("apiVersion", self.kind.api_version)):
            if document.get(key) != expected:
                self._raise(document, [conform.invalid_value(key, document.get(key), f"must be {expected}")])

    def _check_path(self, document: Document, request: WriteRequest) -> None:
        name = document["metadata"].get("name")
        if not name:
            raise BadRequest(
                f"the name of the object ({request.name} based on URL) was undeterminable: name must be provided"
            )
        if name != request.name:
            raise BadRequest(f"the name of the object ({name}) does not match the name on the URL ({request.name})")

    def _fitting(self, document: Document, live: Document, request: WriteRequest) -> Prepared:
        """Without unknown and repeated fields, with defaults; refused or warned about, as the request wants it."""
        self._check_kind(document)
        pruned, dropped = conform.pruned(self._schema, document, live)
        known, strangers = metadata.known(document["metadata"], live.get("metadata", {}))
        strange = [
            *(f'duplicate field "{path}"' for path in self._repeated(request)),
            *(f'unknown field "{path}"' for path in (*sorted(strangers), *sorted(dropped))),
        ]
        patched = bool(live) and request.content_type in (JSON_PATCH, MERGE_PATCH)
        if strange and request.options.field_validation == "Strict":
            raise self._strict(document, strange, patch=patched)
        warnings = strange if request.options.field_validation != "Ignore" else []
        whole = conform.without_nulls(self._schema, pruned)
        plain, twins = metadata.without_twins(known, patched=patched)
        document = {**conform.defaulted(self._schema, whole), "metadata": plain}
        return Prepared(document, (*warnings, *twins))

    def _repeated(self, request: WriteRequest) -> list[str]:
        """Keys that are named twice; JSON patches are not asked, as in the API server."""
        if request.content_type == JSON_PATCH or request.options.field_validation == "Ignore":
            return []
        return repeated(bytes(request.body))

    def _strict(self, document: Document, strange: list[str], *, patch: bool) -> StatusError:
        text = f"strict decoding error: {', '.join(strange[:20])}"
        return self._bad_patch(document, text) if patch else self._unhandled(text)

    def _bad_patch(self, document: Any, text: str) -> Invalid:
        """A patch whose result cannot be decoded: the API server answers with all of it."""
        quoted = msgspec.json.encode(document, order="sorted").decode()
        problem = conform.invalid_value("patch", quoted, text)
        return Invalid(f' "" is invalid: patch: {problem.message}', causes=(cause(*problem),))

    def _unhandled(self, why: str) -> BadRequest:
        kind = self.kind
        return BadRequest(f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: {why}')

    def _manager(self, request: WriteRequest, now: datetime) -> FieldManager:
        return FieldManager(self.kind, request.options.field_manager, now, request.subresource)

    def _check(self, document: Document, errors: list[FieldError]) -> None:
        """A stored status is not the writer's: a newer replica may have put there what this one would refuse. Invalid."""
        self._raise(document, errors + conform.problems(self._schema, _observed(document, {})))

    def _raise(self, document: Document, errors: list[FieldError]) -> None:
        if errors:
            raise invalid_object(document, errors)

    def _conflict(self, name: str, why: str) -> Conflict:
        kind = self.kind
        return Conflict(
            f'Operation cannot be fulfilled on {kind.plural}.{kind.group} "{name}": {why}',
            kind=kind.plural,
            group=kind.group,
            name=name,
        )


def _headless(document: Document) -> str:
    """Which part of an object's head is missing; empty if none is."""
    missing = [name for key, name in (("kind", "Kind"), ("apiVersion", "apiVersion")) if not document.get(key)]
    return f"Object '{missing[0]}' is missing" if missing else ""


def _mistyped(document: Document) -> str:
    """What cannot be decoded of an object's head and metadata, whatever its kind; empty if all can."""
    for key in ("apiVersion", "kind"):
        if not isinstance(document.get(key, ""), str | None):
            return f"{key}: expected a text"
    try:
        msgspec.convert(document["metadata"], ObjectMeta)
    except (msgspec.ValidationError, OverflowError) as error:
        return f"metadata: {error}"
    wrong = metadata.oversized(document["metadata"]) or metadata.mistimed(document["metadata"])
    return wrong and f"metadata: {wrong}"


_JSON_NAMES = {list: "array of operations", dict: "object"}


def _owned_nulls(applied: Document, typed: Document) -> Document:
    """The metadata of an applied object with the nulls that were in it: they are no values, and the applier owns them."""
    nulls = {key: None for key, value in (applied.get("metadata") or {}).items() if value is None}
    return {"metadata": {**typed["metadata"], **nulls}}


def _observed(document: Document, live: Document) -> Document:
    """`document` with the status of `live`: a status is not what clients say."""
    plain = {key: each for key, each in document.items() if key != "status"}
    return {**plain, "status": live["status"]} if "status" in live else plain


def _essence(document: Document) -> Document:
    meta = {k: v for k, v in document["metadata"].items() if k not in ("resourceVersion", "generation")}
    return {**document, "metadata": {**meta, "managedFields": timeless(meta.get("managedFields"))}}


def invalid_object(document: Document, errors: list[FieldError]) -> Invalid:
    """422 as the API server words it; a message that comes twice is said once."""
    group, kind = document["apiVersion"].rpartition("/")[0], document["kind"]
    name = document["metadata"].get("name", "")
    lines = list(dict.fromkeys(f"{problem.field}: {problem.message}" for problem in errors))
    text = lines[0] if len(lines) == 1 else f"[{', '.join(lines)}]"
    return Invalid(
        f'{kind}.{group} "{name}" is invalid: {text}',
        kind=kind,
        group=group,
        name=name,
        causes=tuple(cause(*problem) for problem in errors),
    )
