"""`clusters/<name>/desired`: what a member should have, entry by entry, and what became of it; never what is in it."""

from __future__ import annotations

from typing import Annotated

import msgspec

from skerry.api.meta import ListMeta, Struct
from skerry.api.v1alpha1 import described

UNKNOWN = "Unknown"
"""State of an entry that may be one of the problems for which the member's report had no room."""
LIMIT = 500


class DesiredQuery(Struct, frozen=True, kw_only=True):
    """Which entries are asked for, and how many at once."""

    owner: Annotated[str, described("Only entries of this owner.")] = ""
    state: Annotated[str, described("Only entries in one of these states, separated by commas.")] = ""
    limit: Annotated[int, described("At most so many are looked at for one answer; 500 at most.")] = LIMIT
    continue_: Annotated[str, described("From an earlier answer: go on behind it.")] = msgspec.field(
        name="continue", default=""
    )


class EntryReason(Struct, frozen=True, kw_only=True):
    """An object of the host that an entry is for."""

    kind: Annotated[str, described("Its kind.")]
    name: Annotated[str, described("Its name.")]


class ListedEntry(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """One entry, without what is in it."""

    cluster: Annotated[str, described("The member.")]
    owner: Annotated[str, described("The service that wants it there.")]
    key: Annotated[str, described("Its name in the channel: member, owner, API group, kind, namespace and name.")]
    revision: Annotated[int, described("The revision that is wanted.")]
    state: Annotated[str, described("What became of it. Unknown: the member has more problems than it named.")]
    since: Annotated[
        str, described("RFC 3339 time since which it is a problem; of others the time when it was written last.")
    ]
    because: Annotated[list[EntryReason], described("Objects of the host that it is for.")] = []
    more: Annotated[int, described("Objects that it is for besides those.")] = 0
    message: Annotated[str, described("Why it is not in place.")] = ""


class DesiredEntryList(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """A page of them, in the order in which they were written. While `metadata.continue` is there, there are more."""

    metadata: Annotated[ListMeta, described("Where to go on.")]
    items: Annotated[list[ListedEntry], described("The entries.")]
