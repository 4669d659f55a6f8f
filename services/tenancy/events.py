"""What tenancy tells people about Workspaces and AccessGrants, derived from stored changes. Pure.

Credentials are not told of: their names are digests of secrets, which mean nothing to people.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from skerry.api.kinds import ACCESS_GRANT, WORKSPACE, Kind
from skerry.controller.news import Means, News
from skerry.storage.documents import Document


def of_any(old: Document, new: Document) -> Iterator[News]:
    """What every kind of tenancy tells: its beginning, changes of what is wanted, and its end."""
    if not new:
        yield News("Deleted", "deleted")
    elif not old:
        yield News("Created", "created")
    elif _deleting(new) and not _deleting(old):
        waits = ", ".join(new["metadata"].get("finalizers") or ())
        yield News("Deleting", f"deletion was asked for and waits for {waits}")
    elif _generation(new) > _generation(old):
        yield News("Changed", "what is wanted was changed")


def of_grant(old: Document, new: Document) -> Iterator[News]:
    """Besides: whether the grant has an effect."""
    yield from of_any(old, new)
    before, after = _enforced(old), _enforced(new)
    if after == before or not after:
        return
    status, reason, message = after
    yield News("Enforced" if status == "True" else reason or "NotEnforced", message, warning=status != "True")


def _enforced(document: Document) -> tuple[str, str, str] | None:
    for found in document.get("status", {}).get("conditions") or ():
        if found.get("type") == "Enforced":
            return str(found.get("status", "")), str(found.get("reason", "")), str(found.get("message", ""))
    return None


def _deleting(document: Document) -> bool:
    return "deletionTimestamp" in document["metadata"]


def _generation(document: Document) -> int:
    return int(document["metadata"].get("generation") or 0)


MEANINGS: Mapping[Kind, Means] = {WORKSPACE: of_any, ACCESS_GRANT: of_grant}
