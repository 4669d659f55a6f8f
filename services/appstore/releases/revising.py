"""What a change of an AppRelease makes of its status: actor, revision, history. Pure."""

from __future__ import annotations

from typing import NamedTuple

from services.appstore.releases.specs import installs_otherwise
from skerry.api.kinds.access import BUILT_IN, HOST_GROUPS
from skerry.api.messages import Caller
from skerry.api.meta import Document
from skerry.api.names import is_group
from skerry.api.times import rfc3339

MOST_GROUPS = 100
"""Groups of an actor that are kept."""


class Change(NamedTuple):
    """Who changes a release, to which package, and when (seconds since the epoch)."""

    caller: Caller
    app: str
    """namespace/name."""
    digest: str
    now: float
    secrets: Document | None = None
    """status.secretValues as they are to be; None: as they are."""


def revised(current: Document, document: Document, change: Change) -> Document:
    """A changed release with its status: who changed it is its actor, and what is installed otherwise is another revision."""
    status = owned(current.get("status") or {}, change.caller, change.now)
    secrets = status.get("secretValues") if change.secrets is None else change.secrets
    other = (
        not status.get("revision")
        or installs_otherwise(current.get("spec") or {}, document["spec"])
        or bool(change.digest and status.get("digest", "") not in ("", change.digest))
        or (secrets != status.get("secretValues") and not _never_began(current))
    )
    if secrets is not None:
        status["secretValues"] = secrets
    if change.digest:
        status["digest"] = change.digest
    if other:
        status["revision"] = int(status.get("revision", 0)) + 1
        entry = {
            "revision": status["revision"],
            "app": change.app,
            "version": document["spec"]["version"],
            "digest": change.digest,
            "by": change.caller.user,
            "at": rfc3339(change.now),
        }
        limit = int(document["spec"].get("historyLimit", 10))
        status["history"] = [entry, *(status.get("history") or [])][: max(limit, 1)]
    return {**document, "status": status}


def _never_began(release: Document) -> bool:
    """True of one that is suspended as it was made: nothing of its first revision is anywhere, so secret values complete it."""
    first = (release.get("metadata") or {}).get("generation") == 1
    return first and (release.get("spec") or {}).get("suspend") is True


def owned(status: Document, caller: Caller, now: float) -> Document:
    """The status of a release that is worked as its caller from now on. Groups that nobody can be delegated are left out."""
    groups = [each for each in caller.groups if each in (*BUILT_IN, *HOST_GROUPS) or is_group(each)][:MOST_GROUPS]
    actor = {"user": caller.user, "groups": groups, "at": rfc3339(now)}
    return {**status, "actor": actor, "changes": int(status.get("changes") or 0) + 1}


def changes_revision(current: Document, after: Document) -> bool:
    """True if a change made another revision."""
    before = (current.get("status") or {}).get("revision", 0)
    return bool(before) and before != after["status"]["revision"]
