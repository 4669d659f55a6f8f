"""Rules of the Revocation kind, pure: whose credentials hold no more, from when, and until when that must be remembered.

One object per user, named by the digest of the user. What it takes back it takes back for good: `before` moves forward only,
and is not in the future, so nobody is locked out by a clock that is wrong.
"""

from __future__ import annotations

from datetime import datetime

from services.tenancy.model import ADMIN
from skerry.admission.conform import FieldError, forbidden, invalid_value
from skerry.admission.prepare import invalid_object
from skerry.api.identities import OLDEST_S, revocation_name
from skerry.api.meta import Document
from skerry.api.names import SERVICE_ACCOUNT, is_user
from skerry.api.times import rfc3339, seconds

USER_RULE = "use the name of a user, at most 253 bytes, without the prefix skerry: that members see"


def admit(document: Document, now: datetime) -> Document:
    """The new revocation: named, and with its time. Invalid names the fields."""
    metadata, spec = document["metadata"], document["spec"]
    whole = spec if "before" in spec or spec.get("disabled") else {**spec, "before": rfc3339(now)}
    errors = [*_user(spec["user"]), *_when(whole, now)]
    name = revocation_name(spec["user"]) if not errors else ""
    if name and (metadata.get("name", name) != name or metadata.get("generateName")):
        errors.append(
            invalid_value(
                "metadata.name", metadata.get("name", ""), f"must be {name}, the digest of the user, or absent"
            )
        )
    if errors:
        raise invalid_object(document, errors)
    carried = {key: value for key, value in metadata.items() if key != "generateName"}
    return {**document, "metadata": {**carried, "name": name}, "spec": whole}


def change(current: Document, document: Document, now: datetime) -> Document:
    """The changed revocation. Invalid names the fields."""
    old, spec = current["spec"], document["spec"]
    whole = spec if "before" in spec or spec.get("disabled") else {**spec, "before": rfc3339(now)}
    errors = _when(whole, now)
    if spec["user"] != old["user"]:
        errors.append(forbidden("spec.user", "cannot be changed: there is one object per user"))
    if not errors and "before" in old and "before" in whole and seconds(whole["before"]) < seconds(old["before"]):
        errors.append(invalid_value("spec.before", whole["before"], f"moves forward only; it is {old['before']}"))
    if errors:
        raise invalid_object(document, errors)
    return {**document, "spec": whole}


def over_s(document: Document, now: float) -> float | None:
    """In how many seconds a stored revocation refuses nothing any more, because nothing is taken that is so old; None: never.

    A token of a service account need not say when it was issued, so those are remembered.
    """
    spec = document["spec"]
    if spec.get("disabled") or "before" not in spec or spec["user"].startswith(SERVICE_ACCOUNT):
        return None
    return seconds(spec["before"]) + OLDEST_S - now


def free_in_s(document: Document, now: float) -> float | None:
    """In how many seconds a credential that is issued to this user holds; None: never."""
    spec = document["spec"]
    if spec.get("disabled"):
        return None
    return max(0.0, seconds(spec["before"]) // 1 + 1 - now) if "before" in spec else 0.0


def _user(user: str) -> list[FieldError]:
    if user == ADMIN:
        return [
            forbidden(
                "spec.user",
                f"{ADMIN} is the administrator whose token is a file on the host's machine, and would be locked out: revoke "
                "credentials of that name one by one (skerry credential revoke NAME)",
            )
        ]
    if not is_user(user) and not (user.startswith(SERVICE_ACCOUNT) and is_user(user.removeprefix(SERVICE_ACCOUNT))):
        return [invalid_value("spec.user", user[:253].encode(errors="replace").decode(), USER_RULE)]
    return []


def _when(spec: Document, now: datetime) -> list[FieldError]:
    if spec.get("disabled"):
        return [forbidden("spec.before", "may not be set beside disabled: use one of them")] if "before" in spec else []
    text = spec["before"]
    example = "must be a time in RFC 3339 with a zone, for example 2030-01-31T12:00:00Z"
    try:
        before = datetime.fromisoformat(text)
    except ValueError:
        return [invalid_value("spec.before", text[:100], example)]
    if before.tzinfo is None or "T" not in text:
        return [invalid_value("spec.before", text, example)]
    if before > now:
        return [invalid_value("spec.before", text, f"must not be in the future (it is {rfc3339(now)} here)")]
    return []
