"""Rules of ObjectMeta, worded as k8s.io/apimachinery words them (pkg/api/validation, pkg/util/validation). Pure."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator
from datetime import datetime
from typing import Any

import msgspec

from skerry.admission.conform import FieldError, forbidden, invalid_value, required
from skerry.admission.reading import INTEGERS, MANAGER_FIELDS, OWNER_FIELDS
from skerry.api.meta import Document
from skerry.api.structural import LABEL_NAME
from skerry.api.validation import (
    LONGEST_LABEL,
    LONGEST_SUBDOMAIN,
    QUALIFIED_RULE,
    SUBDOMAIN,
    SUBDOMAIN_RULE,
    VALUE_RULE,
    is_label_value,
    is_qualified,
    is_subdomain,
)
from skerry.apply.schema import METADATA

_ANNOTATIONS_BYTES = 256 * 1024
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d([.,]\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII)
IMMUTABLE = "field is immutable"


def normalised(metadata: Document) -> Document:
    """`metadata` as Go writes it: what is null or empty is left out; a selfLink is taken and never kept."""
    return {key: value for key, value in metadata.items() if value not in (None, "", {}, []) and key != "selfLink"}


def without_twins(metadata: Document, *, patched: bool = False) -> tuple[Document, list[str]]:
    """`metadata` without owner references that are there twice, and the warning about them.

    An API server finds those that a patch makes at a later step, and says so.
    """
    owners: dict[bytes, Document] = {}
    twins = set()
    for owner in metadata.get("ownerReferences") or []:
        if owners.setdefault(msgspec.json.encode(owner, order="sorted"), owner) is not owner:
            twins.add(str(owner.get("uid", "")))
    if not twins:
        return metadata, []
    uids = ", ".join(sorted(twins))
    when = " after mutating admission happens" if patched else ""
    text = (
        f".metadata.ownerReferences contains duplicate entries{when}; API server dedups owner references in 1.20+, and may "
        f"reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: {uids}"
    )
    return {**metadata, "ownerReferences": list(owners.values())}, [text]


def known(metadata: Document, old: Document) -> tuple[Document, list[str]]:
    """`metadata` without the fields that ObjectMeta does not have, and their paths.

    As everywhere, what the stored `old` has already stays: a newer replica may know it.
    """
    fields, dropped = _known(metadata, METADATA.fields, old, "metadata")
    for key, names in (("ownerReferences", OWNER_FIELDS), ("managedFields", MANAGER_FIELDS)):
        if isinstance(fields.get(key), list):
            fields[key] = list(fields[key])
            for index, each in enumerate(fields[key]):
                fields[key][index], more = _known(each, names, {}, f"metadata.{key}[{index}]")
                dropped += more
    return fields, dropped


def _known(value: Document, names: Container[str], old: Document, path: str) -> tuple[Document, list[str]]:
    dropped = {key for key in value if key not in names and key not in old}
    return {key: each for key, each in value.items() if key not in dropped}, [f"{path}.{key}" for key in dropped]


def oversized(metadata: Document) -> str:
    """The fault of the first integer that has more than 64 bits, in words; empty if all are well."""
    for field in INTEGERS:
        if not -(2**63) <= metadata.get(field, 0) < 2**63:
            return f"{field}: {metadata[field]} is out of range"
    return ""


def mistimed(metadata: Document) -> str:
    """The fault of the first time that is none, as RFC 3339 has them, in words; empty if all are."""
    managers = enumerate(metadata.get("managedFields") or [])
    times = {key: metadata.get(key) for key in ("creationTimestamp", "deletionTimestamp")}
    times |= {f"managedFields[{index}].time": each.get("time") for index, each in managers}
    for field, value in times.items():
        if value is not None and not _is_time(value):
            return f"{field}: {str(value)[:40]!r} is not a time such as 2006-01-02T15:04:05Z"
    return ""


def _is_time(value: Any) -> bool:
    if not isinstance(value, str) or _TIME.fullmatch(value) is None:
        return False
    try:
        datetime.fromisoformat(value[:19])
    except ValueError:
        return False
    return True


def name_problems(name: str, field: str = "metadata.name") -> Iterator[FieldError]:
    """A name as most kinds have it: an RFC 1123 subdomain."""
    if len(name) > LONGEST_SUBDOMAIN:
        yield invalid_value(field, name, f"must be no more than {LONGEST_SUBDOMAIN} characters")
    if re.fullmatch(SUBDOMAIN, name) is None:
        yield invalid_value(field, name, SUBDOMAIN_RULE)


def label_name_problems(name: str) -> Iterator[FieldError]:
    """A name that is a DNS label, worded as a schema's limits are."""
    field, limit, pattern = "metadata.name", LABEL_NAME["maxLength"], LABEL_NAME["pattern"]
    if len(name) > limit:
        yield FieldError(field, f"Too long: may not be more than {limit} bytes", "FieldValueTooLong")
    if re.fullmatch(pattern, name) is None:
        yield invalid_value(field, name, f"{field} in body should match '{pattern}'")


def generated_problems(metadata: Document) -> list[FieldError]:
    """The faults of generateName, from which only a create makes a name."""
    generated = metadata.get("generateName", "")
    return list(name_problems(generated.removesuffix("-") or "-", "metadata.generateName")) if generated else []


def problems(metadata: Document) -> list[FieldError]:
    """The faults of an object's metadata but for finalizers and names, which have checks of their own."""
    errors: list[FieldError] = []
    for key, value in sorted((metadata.get("labels") or {}).items()):
        errors += label_problems("metadata.labels", key, value)
    annotations = metadata.get("annotations") or {}
    for key in sorted(annotations):
        errors += _key_problems("metadata.annotations", key.lower())
    if sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items()) > _ANNOTATIONS_BYTES:
        text = f"Too long: may not be more than {_ANNOTATIONS_BYTES} bytes"
        errors.append(FieldError("metadata.annotations", text, "FieldValueTooLong"))
    return [*errors, *_owner_problems(metadata.get("ownerReferences") or [])]


def finalizer_problems(metadata: Document) -> list[FieldError]:
    """The faults of finalizers: the API server looks at them once, where it looks at the rest three times."""
    finalizers = metadata.get("finalizers") or []
    return [problem for each in finalizers for problem in _key_problems("metadata.finalizers", each)]


def all_problems(metadata: Document) -> list[FieldError]:
    """The faults of a new object's metadata."""
    return generated_problems(metadata) + problems(metadata) + finalizer_problems(metadata)


def warnings(metadata: Document) -> list[str]:
    """Warnings about what is allowed and unwise."""
    return [
        f'metadata.finalizers: "{each}": prefer a domain-qualified finalizer name to avoid '
        "accidental conflicts with other finalizer writers"
        for each in metadata.get("finalizers") or []
        if "/" not in each and each not in ("orphan", "foregroundDeletion")
    ]


def _key_problems(field: str, key: str) -> Iterator[FieldError]:
    """A qualified name: an optional DNS prefix and a name of at most 63 characters."""
    prefix, slash, name = key.rpartition("/")
    if slash and "/" in prefix:
        yield invalid_value(field, key, f"a qualified name {QUALIFIED_RULE.removeprefix('name part ')}")
        return
    if slash and not prefix:
        yield invalid_value(field, key, "prefix part must be non-empty")
    elif slash and not is_subdomain(prefix):
        yield invalid_value(field, key, f"prefix part {SUBDOMAIN_RULE}")
    if not name:
        yield invalid_value(field, key, "name part must be non-empty")
    elif len(name) > LONGEST_LABEL:
        yield invalid_value(field, key, f"name part must be no more than {LONGEST_LABEL} bytes")
    if not is_qualified(name):
        yield invalid_value(field, key, QUALIFIED_RULE)


def label_problems(field: str, key: str, value: str) -> Iterator[FieldError]:
    """The faults of one label."""
    yield from _key_problems(field, key)
    yield from _value_problems(field, value)


def _value_problems(field: str, value: str) -> Iterator[FieldError]:
    if len(value) > LONGEST_LABEL:
        yield invalid_value(field, value, f"must be no more than {LONGEST_LABEL} bytes")
    if not is_label_value(value):
        yield invalid_value(field, value, VALUE_RULE)


def _owner_problems(owners: list[Document]) -> Iterator[FieldError]:
    controllers = [owner for owner in owners if owner.get("controller")]
    for owner in owners:
        if not owner.get("apiVersion"):
            yield invalid_value(
                "metadata.ownerReferences.apiVersion", owner.get("apiVersion", ""), "version must not be empty"
            )
        for key in ("kind", "name", "uid"):
            if not owner.get(key):
                yield invalid_value(f"metadata.ownerReferences.{key}", "", "must not be empty")
    if len(controllers) > 1:
        first, second = (f"{each.get('kind')}/{each.get('name')}" for each in controllers[:2])
        why = f'Only one reference can have Controller set to true. Found "true" in references for {first} and {second}'
        references = [{key: each[key] for key in OWNER_FIELDS if key in each} for each in owners]
        yield invalid_value("metadata.ownerReferences", references, why)


def change_problems(old: Document, new: Document) -> list[FieldError]:
    """The faults of an update that changes what may not change."""
    errors = [
        invalid_value(f"metadata.{key}", new.get(key, ""), IMMUTABLE)
        for key in ("name", "namespace")
        if new.get(key, "") != old.get(key, "")
    ]
    errors += [
        invalid_value(f"metadata.{key}", new[key], IMMUTABLE)
        for key in ("uid", "deletionTimestamp", "deletionGracePeriodSeconds")
        if key in new and new[key] != old.get(key)
    ]
    if "deletionTimestamp" in old:
        fresh = sorted(set(new.get("finalizers") or []) - set(old.get("finalizers") or []))
        if fresh:
            names = ", ".join(f'"{each}"' for each in fresh)
            why = f"no new finalizers can be added if the object is being deleted, found new finalizers []string{{{names}}}"
            errors.append(forbidden("metadata.finalizers", why))
    return errors


def unnamed() -> FieldError:
    """An object without a name."""
    return required("metadata.name", "name or generateName is required")
