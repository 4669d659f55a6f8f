"""metadata.managedFields: who owns which field, as the API server writes it. Pure.

The layers of the API server's field manager in one place: what an update takes over, what an apply merges, conflicts,
the cap on the number of updaters, `before-first-apply`, and kubectl's last-applied annotation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from skerry.api.decode import decoded
from skerry.api.kinds import Kind
from skerry.api.meta import Document
from skerry.api.times import rfc3339
from skerry.apply import fieldset, typed
from skerry.apply.fieldset import FieldSet, Path
from skerry.apply.schema import type_of
from skerry.errors import Conflict, cause

MOST_UPDATERS = 10
_STRIPPED: FieldSet = frozenset(
    {("f:apiVersion",), ("f:kind",), ("f:metadata",)}
    | {
        ("f:metadata", f"f:{key}")
        for key in (
            "name",
            "namespace",
            "creationTimestamp",
            "selfLink",
            "uid",
            "clusterName",
            "generation",
            "managedFields",
            "resourceVersion",
        )
    }
)
"""Fields that nobody owns."""
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_LAST_APPLIED_LIMIT = 256 * 1024


class Manager(NamedTuple):
    """Who wrote, and how. An applier is the same one in every version, hence `version` is empty for Apply."""

    name: str
    operation: str
    version: str
    subresource: str = ""

    def __str__(self) -> str:
        """As conflicts name it."""
        text = msgspec.json.encode(self.name).decode()
        if self.subresource:
            text += f' with subresource "{self.subresource}"'
        return f"{text} using {self.version}" if self.operation == "Update" else text


class ManagedFieldsEntry(NamedTuple):
    """The fields that one manager owns, and since when."""

    version: str
    fields: FieldSet
    time: str = ""


Managed = Mapping[Manager, ManagedFieldsEntry]


class Conflicts(Conflict):
    """409: fields that others own, by owner."""

    def __init__(self, found: Iterable[tuple[Manager, Path]]) -> None:
        self.found = tuple(found)
        causes = tuple(
            cause(fieldset.text(path), f"conflict with {manager}", "FieldManagerConflict")
            for manager, path in self.found
        )
        super().__init__(_message(self.found), causes=causes)


def _message(conflicts: tuple[tuple[Manager, Path], ...]) -> str:
    if len(conflicts) == 1:
        manager, path = conflicts[0]
        return f"Apply failed with 1 conflict: conflict with {manager}: {fieldset.text(path)}"
    lines = []
    for manager in dict.fromkeys(manager for manager, _ in conflicts):
        lines.append(f"conflicts with {manager}:")
        lines += [f"- {fieldset.text(path)}" for owner, path in conflicts if owner == manager]
    return f"Apply failed with {len(conflicts)} conflicts: " + "\n".join(lines)


class TypeMismatch(ValueError):
    """The applied object is not of the kind's type; the text names the fields."""


def decode(entries: Any) -> Managed:
    """managedFields as written in a document. ValueError if they cannot be read."""
    if not isinstance(entries, list):
        raise ValueError("managedFields is not a list")  # noqa: TRY004 - one error for everything that is unreadable
    managed: dict[Manager, ManagedFieldsEntry] = {}
    for entry in entries:
        if not isinstance(entry, dict) or entry.get("operation") not in ("Apply", "Update"):
            raise ValueError("managedFields has an entry without an operation")
        version = str(entry.get("apiVersion", ""))
        key = _manager(str(entry.get("manager", "")), entry["operation"], version, str(entry.get("subresource", "")))
        fields = fieldset.decode(entry.get("fieldsV1") or {})
        managed[key] = ManagedFieldsEntry(version, fields, str(entry.get("time") or ""))
    return managed


def _manager(name: str, operation: str, version: str, subresource: str) -> Manager:
    return Manager(name, operation, version if operation == "Update" else "", subresource)


def encode(managed: Managed) -> list[Document]:
    """managedFields as the API server orders and writes them."""
    return [_entry(manager, managed[manager]) for manager in sorted(managed, key=lambda each: _order(each, managed))]


def _order(manager: Manager, managed: Managed) -> tuple[str, str, str, str, str]:
    entry = managed[manager]
    return manager.operation, entry.time, manager.name, entry.version, manager.subresource


def _entry(manager: Manager, entry: ManagedFieldsEntry) -> Document:
    document: Document = {
        "manager": manager.name,
        "operation": manager.operation,
        "apiVersion": entry.version,
        "fieldsType": "FieldsV1",
        "fieldsV1": fieldset.encode(entry.fields),
    }
    if entry.time:
        document["time"] = entry.time
    if manager.subresource:
        document["subresource"] = manager.subresource
    return document


def timeless(entries: Any) -> Any:
    """managedFields without their times: what decides whether anything changed."""
    return [{k: v for k, v in each.items() if k != "time"} for each in entries or ()]


def _is_reset(entries: Any) -> bool:
    return bool(entries == [{}])


class FieldManager:
    """Tracks one write of an object of `kind`, made by `name` at `now` through `subresource`."""

    def __init__(self, kind: Kind, name: str, now: datetime, subresource: str = "") -> None:
        self._type = type_of(kind.type)
        self._kind = kind
        self._name = name or "unknown"
        self._now = rfc3339(now)
        self._subresource = subresource

    def updated(self, live: Document, new: Document) -> Document:
        """`new` with its managedFields, after an update, a JSON or a merge patch of `live` ({} for a create).

        An object without managers stays so until somebody applies to it.
        """
        managers = new.get("metadata", {}).get("managedFields")
        managed = {} if _is_reset(managers) else self._given_or_live(managers, live)
        plain = _unmanaged(new)
        if live and not managed:
            return plain
        me = self._me("Update")
        managed = self._update(_unmanaged(live), plain, managed, me)
        return _managing(plain, encode(_capped(managed, self._kind.api_version)))

    def _given_or_live(self, managers: Any, live: Document) -> Managed:
        try:
            managed = decode(managers) if managers and not self._subresource else {}
        except (ValueError, msgspec.DecodeError):
            managed = {}
        return managed or _of(live)

    def _me(self, operation: str, name: str = "") -> Manager:
        return _manager(name or self._name, operation, self._kind.api_version, self._subresource)

    def _update(self, live: Document, new: Document, managed: Managed, me: Manager) -> Managed:
        compared = typed.compare(self._type, live, new)
        changed = compared.added | compared.modified
        left = _less(managed, changed | compared.removed, ())
        taken = changed - compared.removed - _STRIPPED
        if taken:
            own = left[me].fields if me in left else frozenset()
            left[me] = ManagedFieldsEntry(self._kind.api_version, own | taken, self._now)
        return left

    def check(self, patch: Document) -> None:
        """Unreadable unless `patch` is of the kind's type."""
        problems = list(typed.problems(self._type, patch))
        if problems:
            raise TypeMismatch(
                problems[0] if len(problems) == 1 else "errors:\n" + "\n".join(f"  {p}" for p in problems)
            )

    def applied(self, live: Document, patch: Document, *, force: bool) -> Document:
        """`live` ({} if there is none) with `patch`, which was checked, applied, and its managedFields. Conflicts."""
        plain, managed = _unmanaged(live), _of(live)
        if not managed:
            managed = self._update({}, plain, managed, self._me("Update", "before-first-apply"))
        try:
            merged = self._apply(plain, patch, managed, force)
        except Conflicts as error:
            merged = self._apply(plain, patch, managed, self._forgiven(error, plain))
        return self._annotated(merged, patch)

    def _forgiven(self, error: Conflicts, live: Document) -> bool:
        """True if all conflicts are about fields that kubectl applied itself, on the client. Conflicts otherwise."""
        if self._name != "kubectl":
            raise error
        left = [(manager, path) for manager, path in error.found if path not in self._last_applied(live)]
        if left:
            raise Conflicts(left)
        return True

    def _last_applied(self, live: Document) -> FieldSet:
        try:
            last = decoded((live["metadata"].get("annotations") or {})[LAST_APPLIED], dict[str, Any])
        except (KeyError, TypeError, msgspec.DecodeError):
            return frozenset()
        compared = typed.compare(self._type, last, live)
        return typed.fields_of(self._type, last) - compared.added - compared.modified - compared.removed

    def _apply(self, live: Document, patch: Document, managed: Managed, force: bool) -> Document:
        me = self._me("Apply")
        merged = typed.merge(self._type, live, patch)
        last = managed[me].fields if me in managed else frozenset()
        mine = typed.fields_of(self._type, patch)
        now = {
            **managed,
            me: ManagedFieldsEntry(self._kind.api_version, mine, managed[me].time if me in managed else ""),
        }
        merged = self._pruned(merged, now, last)
        compared = typed.compare(self._type, live, merged)
        changed = compared.added | compared.modified
        if not force:
            conflicts = [(who, path) for who in sorted(now) if who != me for path in sorted(now[who].fields & changed)]
            if conflicts:
                raise Conflicts(conflicts)
        left = _less(now, changed | compared.removed, (me,))
        own = left[me].fields - _STRIPPED
        if own:
            left[me] = left[me]._replace(fields=own)
        else:
            del left[me]
        if me in left and not typed.same(live, merged):
            left[me] = left[me]._replace(time=self._now)
        return _managing(merged, encode(left))

    def _pruned(self, merged: Document, managed: Managed, last: FieldSet) -> Document:
        """`merged` without what the applier applied last time and nobody owns any more."""
        if not last:
            return merged
        pruned = typed.without(self._type, merged, self._named(last))
        everything = self._named(typed.fields_of(self._type, merged))
        owned = self._named(frozenset[Path]().union(*(entry.fields for entry in managed.values())))
        remaining = self._named(typed.fields_of(self._type, pruned))
        pruned = typed.without(self._type, merged, everything - (remaining | owned))
        remaining = self._named(typed.fields_of(self._type, pruned))
        left: Document = typed.without(self._type, merged, (everything - remaining) & self._named(last))
        return left

    def _named(self, fields: FieldSet) -> FieldSet:
        return typed.named_members(self._type, fields)

    def _annotated(self, merged: Document, patch: Document) -> Document:
        """kubectl's own annotation follows what kubectl applies, while it is there."""
        annotations = merged.get("metadata", {}).get("annotations") or {}
        if self._name != "kubectl" or LAST_APPLIED not in annotations:
            return merged
        given_annotations = (patch.get("metadata", {}).get("annotations") or {}).items()
        others = {k: v for k, v in given_annotations if k != LAST_APPLIED}
        rest = {k: v for k, v in patch.get("metadata", {}).items() if k != "annotations"}
        metadata = {**rest, "annotations": others} if others else rest
        text = msgspec.json.encode({**patch, "metadata": metadata}, order="sorted").decode() + "\n"
        text = text if len(text) <= _LAST_APPLIED_LIMIT else ""
        return {**merged, "metadata": {**merged["metadata"], "annotations": {**annotations, LAST_APPLIED: text}}}


def _less(managed: Managed, fields: FieldSet, spared: tuple[Manager, ...]) -> dict[Manager, ManagedFieldsEntry]:
    """`managed` without `fields`, and without those who own nothing then; `spared` keep theirs."""
    left: dict[Manager, ManagedFieldsEntry] = {}
    for manager, entry in managed.items():
        own = entry.fields if manager in spared else entry.fields - fields
        if own or manager in spared:
            left[manager] = entry._replace(fields=own)
    return left


def _of(live: Document) -> Managed:
    try:
        return decode(live.get("metadata", {}).get("managedFields") or [])
    except (ValueError, msgspec.DecodeError):
        return {}


def _unmanaged(document: Document) -> Document:
    if "managedFields" not in document.get("metadata", {}):
        return document
    return {**document, "metadata": {k: v for k, v in document["metadata"].items() if k != "managedFields"}}


def _managing(document: Document, entries: list[Document]) -> Document:
    plain = _unmanaged(document)
    if not entries:
        return plain
    return {**plain, "metadata": {**plain.get("metadata", {}), "managedFields": entries}}


def _capped(managed: Managed, version: str) -> Managed:
    """At most MOST_UPDATERS entries of updates: the oldest ones are put together."""
    updaters = sorted((m for m in managed if m.operation == "Update"), key=lambda m: (managed[m].time, m))
    if len(updaters) <= MOST_UPDATERS:
        return managed
    oldest = updaters[: len(updaters) - MOST_UPDATERS + 1]
    fields = frozenset[Path]().union(*(managed[m].fields for m in oldest))
    bucket = Manager("ancient-changes", "Update", version)
    return {m: e for m, e in managed.items() if m not in oldest} | {
        bucket: ManagedFieldsEntry(version, fields, managed[oldest[-1]].time)
    }
