"""Access for a while, asked for by whoever needs it and approved by whoever could give it: the kind AccessRequest.

See v1alpha1. Who asked is what the front door knows of the caller, never what a body says.
"""

from __future__ import annotations

from typing import Annotated

from skerry.api.grants import ClusterSelection
from skerry.api.meta import ObjectMeta, Struct
from skerry.api.structural import list_map, list_set, one_of
from skerry.api.v1alpha1 import API_VERSION, described

PENDING, APPROVED, DENIED, EXPIRED, ENDED = "Pending", "Approved", "Denied", "Expired", "Ended"
"""States of a request."""
OPEN = (PENDING, APPROVED)
"""Those in which something may still happen to it."""
SOON_S = 600.0
"""What ends within so many seconds is told to its holder."""


class AccessRequestSpec(Struct, frozen=True, kw_only=True):
    """What somebody asks for: as an AccessGrant says it, for a while, and why. It cannot be changed: ask again instead."""

    clusters: Annotated[ClusterSelection, described("Where.")]
    namespaces: Annotated[list[str], list_set("Only in these namespaces; empty is the whole cluster.")] = []
    role: Annotated[str, one_of("What to be allowed there.", "view", "edit", "admin", "cluster-admin")]
    duration: Annotated[
        str, described("For how long, counted from the approval: at most what Setting access.longest says.")
    ] = "2h"
    reason: Annotated[str, described("Why, for who decides: at most 512 printable characters.")]
    pending_for: Annotated[
        str, described("How long to wait for approval: from 1m to 7d. Nobody is asked for ever.")
    ] = "24h"


class AccessApproval(Struct, frozen=True, kw_only=True):
    """Somebody's approval of a request."""

    by: Annotated[str, described("The user who approved.")]
    at: Annotated[str, described("When.")]
    duration: Annotated[str, described("For how long, if not for as long as was asked.")] = ""
    comment: Annotated[str, described("What they said.")] = ""
    own: Annotated[bool, described("Whether it is the requester's own: Setting access.self-approval allows that.")] = (
        False
    )


class AccessRequestStatus(Struct, frozen=True, kw_only=True):
    """What became of a request."""

    state: Annotated[str, described("Pending, Approved, Denied, Expired or Ended.")] = ""
    requested_by: Annotated[str, described("The user who asked, and for whom it is.")] = ""
    approvals: Annotated[
        list[AccessApproval], list_map("Who approved; how many it takes: Setting access.approvals.", "by")
    ] = []
    grant: Annotated[str, described("The AccessGrant that was made of it.")] = ""
    ends: Annotated[
        str,
        described("When its state ends by itself if it is Pending or Approved; of every other since when it has it."),
    ] = ""
    decided_by: Annotated[
        str, described("The user who denied or ended it; empty if that was the time, or its grant's end.")
    ] = ""
    message: Annotated[str, described("What it waits for, or why it ended.")] = ""


class AccessRequest(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """Somebody asks for access for a while. It is given when it is approved, and ends by itself."""

    api_version: str = API_VERSION
    kind: str = "AccessRequest"
    metadata: ObjectMeta
    spec: Annotated[AccessRequestSpec, described("What is asked for.")]
    status: Annotated[AccessRequestStatus, described("What became of it.")] = AccessRequestStatus()


class AccessRequestApproval(Struct, frozen=True, kw_only=True):
    """The body of POST on `accessrequests/<name>/approve`."""

    api_version: str = API_VERSION
    kind: str = "AccessRequestApproval"
    duration: Annotated[str, described("For how long, instead of what was asked for.")] = ""
    comment: Annotated[str, described("For the requester: at most 512 printable characters.")] = ""


class AccessRequestDecision(Struct, frozen=True, kw_only=True):
    """The body of POST on `accessrequests/<name>/deny` and `accessrequests/<name>/end`."""

    api_version: str = API_VERSION
    kind: str = "AccessRequestDecision"
    comment: Annotated[str, described("Why: at most 512 printable characters.")] = ""
