"""Rules of the AccessGrant kind, pure."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from services.tenancy import people
from skerry.access.holdings import HOST_ROLES, usable_group
from skerry.admission.conform import FieldError, forbidden, invalid_value, required
from skerry.admission.prepare import invalid_object
from skerry.admission.selections import LABEL_RULE, selection_problems
from skerry.api.conditions import Verdict, new_condition, with_condition
from skerry.api.grants import AccessGrant
from skerry.api.kinds.access import ROLES
from skerry.api.kinds.paths import at
from skerry.api.messages import HOST
from skerry.api.meta import Document
from skerry.api.names import is_group
from skerry.api.stored import readable
from skerry.api.times import rfc3339, seconds
from skerry.api.validation import is_label

MAX_SUBJECTS = 256
MAX_NAMESPACES = 256
MAX_GROUPS = 32
GROUP_RULE = (
    f"{people.NAME_RULE}; no colon, and none of the groups that roles are given by ({', '.join((*ROLES, 'namespaces'))}): for "
    "those use role"
)


STORED = Verdict("False", "Applying", "stored: it is decided by already, and is being put in place on its clusters")
Uids = Callable[[str], str]
"""The UID of the Cluster object of a name; empty if there is none."""


def admit(document: Document, now: datetime, uids: Uids) -> Document:
    """The new grant, bound to the clusters that have the names in it now. Invalid names the fields."""
    _check(document, now)
    return _bound(document, {}, 1, now, uids)


def change(current: Document, document: Document, now: datetime, uids: Uids) -> Document:
    """The changed grant, bound anew, also if it is written as it was: whoever writes it means the clusters of now. An expiry
    that has passed may stay, not be set. Invalid names the fields.
    """
    same_end = current["spec"].get("expires") == document["spec"].get("expires")
    _check(document, None if same_end else now)
    generation = int(current["metadata"].get("generation") or 0)
    before = {each.name: each.uid for each in readable(current, AccessGrant).status.clusters}
    after = {each["name"]: each.get("uid", "") for each in _bindings(document, uids)}
    by_selector = at("spec.clusters.selector")(document) is not None
    if current["spec"] == document["spec"] and (by_selector or before == after):
        return document
    return _bound(document, document.get("status") or {}, generation + 1, now, uids)


def _bound(document: Document, status: Document, generation: int, now: datetime, uids: Uids) -> Document:
    said = new_condition("Enforced", STORED, now.timestamp()) | {"observedGeneration": generation}
    conditions = with_condition(status.get("conditions") or [], said)
    return {**document, "status": {**status, "conditions": conditions, "clusters": _bindings(document, uids)}}


def _bindings(document: Document, uids: Uids) -> list[Document]:
    """`status.clusters` before anybody looked: a cluster that does not exist yet is in it without a UID."""
    names = dict.fromkeys(document["spec"]["clusters"].get("names") or ())
    return [{"name": name, **({"uid": uid} if (uid := uids(name)) else {})} for name in names]


def _check(document: Document, now: datetime | None) -> None:
    spec = document["spec"]
    errors = [*problems(spec), *_expires(spec.get("expires"), now)]
    if errors:
        raise invalid_object(document, errors)


def problems(spec: Document) -> list[FieldError]:
    """The faults of whom, where and what a spec says; its end is not looked at."""
    return [
        *_subjects(spec["subjects"]),
        *selection_problems(spec["clusters"], "spec.clusters"),
        *_role(spec),
        *_namespaces(spec.get("namespaces", [])),
        *_on_host(spec),
    ]


def _subjects(subjects: list[Document]) -> list[FieldError]:
    if not subjects:
        return [required("spec.subjects", "name at least one User, Group or ServiceAccount")]
    if len(subjects) > MAX_SUBJECTS:
        return [
            FieldError(
                "spec.subjects",
                f"Too many: {len(subjects)}: must have at most {MAX_SUBJECTS} items",
                "FieldValueTooMany",
            )
        ]
    return [
        problem
        for index, subject in enumerate(subjects)
        for problem in people.subject_problems(subject, f"spec.subjects[{index}]")
    ]


def _role(spec: Document) -> list[FieldError]:
    groups = spec.get("groups", [])
    if "role" in spec and groups:
        return [forbidden("spec.groups", "may not be set beside role: use one of role and groups")]
    if "role" not in spec and not groups:
        return [required("spec.role", "use one of view, edit, admin, cluster-admin, or name groups")]
    if len(groups) > MAX_GROUPS:
        text = f"Too many: {len(groups)}: must have at most {MAX_GROUPS} items"
        return [FieldError("spec.groups", text, "FieldValueTooMany")]
    return [
        invalid_value(f"spec.groups[{index}]", group, GROUP_RULE)
        for index, group in enumerate(groups)
        if not usable_group(group) or not is_group(group)
    ]


def _namespaces(names: list[str]) -> list[FieldError]:
    if len(names) > MAX_NAMESPACES:
        text = f"Too many: {len(names)}: must have at most {MAX_NAMESPACES} items"
        return [FieldError("spec.namespaces", text, "FieldValueTooMany")]
    return [
        invalid_value(f"spec.namespaces[{index}]", name, LABEL_RULE)
        for index, name in enumerate(names)
        if not is_label(name)
    ]


def _on_host(spec: Document) -> list[FieldError]:
    if HOST not in (at("clusters.names")(spec) or ()):
        return []
    errors, role = [], spec.get("role", HOST_ROLES[0])
    if spec.get("namespaces"):
        why = f"may not be set where {HOST} is among the clusters: rights there are for all of it"
        errors.append(forbidden("spec.namespaces", why))
    if role not in HOST_ROLES:
        why = (
            f"may not be {role} where {HOST} is among the clusters, but {' or '.join(HOST_ROLES)}: whoever may edit in the cluster "
            "that the host runs in has the keys of all members"
        )
        errors.append(forbidden("spec.role", why))
    return errors


def _expires(text: str | None, now: datetime | None) -> list[FieldError]:
    if text is None:
        return []
    try:
        ends = datetime.fromisoformat(text)
    except ValueError:
        return [invalid_value("spec.expires", text, "must be a time in RFC 3339, for example 2030-01-31T12:00:00Z")]
    if ends.tzinfo is None or "T" not in text:
        return [
            invalid_value(
                "spec.expires", text, "must be a time in RFC 3339 with a zone, for example 2030-01-31T12:00:00Z"
            )
        ]
    if now is not None and seconds(text) <= now.timestamp():
        return [invalid_value("spec.expires", text, f"must be in the future (it is {rfc3339(now)} here)")]
    return []
