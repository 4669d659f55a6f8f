"""Rules of the AccessGrant kind, pure. Until grants are enforced, each one says so itself."""

from __future__ import annotations

from datetime import datetime

from services.tenancy import people
from skerry.access.holdings import usable_group
from skerry.admission.conform import FieldError, forbidden, invalid_value, required
from skerry.admission.prepare import invalid_object
from skerry.api.kinds.access import ROLES
from skerry.api.meta import Document
from skerry.api.names import is_group
from skerry.api.times import rfc3339, seconds
from skerry.api.validation import is_label

NOT_YET = "AccessGrants are stored but not enforced yet: this grant gives nobody anything"
"""Condition and Warning; goes when decide() reads grants."""
MAX_SUBJECTS = 256
MAX_NAMESPACES = 256
MAX_GROUPS = 32
GROUP_RULE = (
    f"{people.NAME_RULE}; no colon, and none of the groups that roles are given by ({', '.join((*ROLES, 'namespaces'))}): for "
    "those use role"
)


def admit(document: Document, now: datetime) -> Document:
    """The new grant with its first status. Invalid names the fields."""
    _check(document, now)
    enforced = {
        "type": "Enforced",
        "status": "False",
        "reason": "NotEnforcedYet",
        "message": NOT_YET,
        "lastTransitionTime": rfc3339(now),
        "observedGeneration": 1,
    }
    return {**document, "status": {"conditions": [enforced]}}


def change(current: Document, document: Document, now: datetime) -> Document:
    """The changed grant. An expiry that has passed may stay, not be set. Invalid names the fields."""
    same_end = current["spec"].get("expires") == document["spec"].get("expires")
    _check(document, None if same_end else now)
    return document


def _check(document: Document, now: datetime | None) -> None:
    spec = document["spec"]
    errors = [
        *_subjects(spec["subjects"]),
        *people.selection_problems(spec["clusters"], "spec.clusters"),
        *_role(spec),
        *_namespaces(spec.get("namespaces", [])),
        *_expires(spec.get("expires"), now),
    ]
    if errors:
        raise invalid_object(document, errors)


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
        invalid_value(f"spec.namespaces[{index}]", name, people.LABEL_RULE)
        for index, name in enumerate(names)
        if not is_label(name)
    ]


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
