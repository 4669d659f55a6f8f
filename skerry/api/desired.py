"""Desired state: what Skerry's own services want on members, as it travels between owners, the registry and appliers.

Everything here is JSON. What comes from a member (SyncRequest, Report) is hostile until checked.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from skerry.api.messages import Message

ENTRIES, ENTRIES_BYTES = 5000, 32 << 20
"""What one member may have at most."""
ENTRY_BYTES = 256 << 10
"""Of one entry, with its signature."""
BATCH, BATCH_BYTES = 256, 512 << 10
"""Items of one request of an owner, and its bytes."""
PAGE, PAGE_BYTES = 500, 256 << 10
"""Entries of one answer to a sync, and its bytes."""
PROBLEMS, MESSAGE = 100, 256
"""Problems of one report, and characters of the message of each."""
REPAIRS, BY = 10, 64
"""Repairs that a report names, and characters of who made each necessary."""
MARKER_S = 30 * 86400
"""A withdrawal can be read for so long. Who was away for longer asks for everything."""
REASONS = 8
"""Names that an entry says it is because of."""


class State(StrEnum):
    """What became of an entry on its member."""

    APPLIED = "Applied"
    """The API server took it at this revision."""
    PENDING = "Pending"
    """Not tried yet."""
    WAITING = "Waiting"
    """Its namespace, its kind, or another entry that it comes after is missing: the message says which."""
    CONFLICT = "Conflict"
    """Another manager owns a field with another value."""
    EXISTS = "Exists"
    """An object of that name is there and is not ours."""
    FOREIGN = "Foreign"
    """An object of that name belongs to another owner, or to another host."""
    FIGHTING = "Fighting"
    """Somebody changes it as often as it is repaired."""
    FORBIDDEN = "Forbidden"
    """The applier's account may not: the message names the rule that is missing."""
    REFUSED = "Refused"
    """By the member's ceiling, the owner's row, a signature, or an admission webhook."""
    FAILED = "Failed"
    """Anything else that the API server says."""
    WITHDRAWN = "Withdrawn"
    """Gone from the member, or never there."""


SETTLED = (State.APPLIED, State.WITHDRAWN)
"""States that are no problem."""


class Options(Message, frozen=True, kw_only=True):
    """How an entry is brought in place, and taken away."""

    adopt: Literal["Never", "Same", "Force"] = "Never"
    """Of an object that is there without our labels: left alone, taken if nothing has to be forced, or taken."""
    conflicts: Literal["Report", "Force"] = "Report"
    """Of fields that others own: told, or taken."""
    withdraw: Literal["", "Delete", "Orphan"] = ""
    """At the end: the object goes, or stays without our labels. Unsaid it goes, but a Namespace, with all that is in it,
    stays.
    """
    after: tuple[str, ...] = ()
    """Keys of entries of the same member, of any owner, that must be in place first."""
    fence: int | None = None
    """A rising number of what may never become older again: an object that carries a higher one is left as it is."""
    namespace_uid: str = ""
    """With a fence: the namespace that it is for. One that was made anew under its name is another."""
    keep: bool = False
    """With a fence: only the number is written, and `object` only where there is none yet."""
    absent: bool = False
    """With a fence: the object is to go."""


class Because(Message, frozen=True, kw_only=True):
    """An object of the host that an entry is for, for people."""

    kind: str
    name: str


class DesiredItem(Message, frozen=True, kw_only=True):
    """One change: `object` is to be there as it is given, or, with `withdraw`, the entry `key` is to go."""

    member: str
    object: msgspec.Raw | UnsetType = UNSET
    options: Options = Options()
    because: tuple[Because, ...] = ()
    key: str = ""
    withdraw: bool = False


class Batch(Message, frozen=True, kw_only=True):
    """What an owner asks the registry for."""

    request_id: str
    items: tuple[DesiredItem, ...]


class ItemResult(Message, frozen=True, kw_only=True):
    """What became of one item: the revision that stands for it, or why not."""

    key: str = ""
    revision: int = 0
    code: int = 0
    """Of a Status; 0 for success."""
    reason: str = ""
    message: str = ""


class BatchAnswer(Message, frozen=True, kw_only=True):
    """One ItemResult per item, in order."""

    epoch: str
    results: tuple[ItemResult, ...]


class KeysRequest(Message, frozen=True, kw_only=True):
    """Which entries an owner has on a member."""

    member: str


class CompleteRequest(Message, frozen=True, kw_only=True):
    """An owner says that everything that it wants on a member is there."""

    member: str


class CompleteAnswer(Message, frozen=True, kw_only=True):
    """The revision that says so."""

    revision: int


class Heard(Message, frozen=True, kw_only=True):
    """A report was heard."""


class EntryKey(Message, frozen=True, kw_only=True):
    """One of them. `digest` is that of object and options, so that an owner need not ask for what it wrote."""

    key: str
    revision: int
    digest: str


class KeysAnswer(Message, frozen=True, kw_only=True):
    """All of them."""

    epoch: str
    keys: tuple[EntryKey, ...]
    last: int = 0
    """The bucket's last revision for the member, whoever wrote it: a report up to it has passed whatever is not among them."""


class SyncRequest(Message, frozen=True, kw_only=True):
    """An applier asks for what changed after a revision; 0, or another epoch than the bucket's: for everything."""

    epoch: str = ""
    after: int = 0
    limit: int = PAGE


class SyncEntry(Message, frozen=True, kw_only=True):
    """One key as it stands. `entry` is the signed text; None for a key that was withdrawn."""

    key: str
    revision: int
    entry: str | None = None


class SyncAnswer(Message, frozen=True, kw_only=True):
    """A page. Ask again after `next` until it is None; `last` is the bucket's last revision for this member."""

    epoch: str
    cluster: str = ""
    """UID of the Cluster object: entries of an earlier member of the same name are not for this one."""
    full: bool
    """Whether the pages of this sync are everything there is: what is not among them does not exist."""
    entries: tuple[SyncEntry, ...] = ()
    next: int | None = None
    last: int = 0


class WithdrawOrder(Message, frozen=True, kw_only=True, omit_defaults=False):
    """The host's last word to a member that leaves: everything of ours goes from it, or stays there as nobody's. Signed as
    entries are.
    """

    cluster: str
    """UID of the Cluster object, so that it is for this membership and for no later one of the name."""
    id: str
    """The report of who has done it names it."""
    keep: bool = False
    """Objects stay, without our labels and without our ownership of any field."""


class Problem(Message, frozen=True, kw_only=True):
    """An entry that is not in place."""

    key: str
    revision: int
    state: State
    message: str = ""
    since: float = 0.0
    """Seconds since the epoch, in host time."""


class Repair(Message, frozen=True, kw_only=True):
    """An object that was changed or deleted on the member, and is as it should be again."""

    key: str
    by: str = ""
    """The field manager that changed it; empty if it was deleted: no API server tells by whom."""
    last: float = 0.0
    """When it was put right last; seconds since the epoch, in host time."""


class Report(Message, frozen=True, kw_only=True):
    """What an applier says about its member: everything up to `applied` was tried, and all but `problems` is in place."""

    epoch: str
    applied: int
    counts: dict[str, dict[str, int]] = {}
    """Owner -> state -> entries."""
    problems: tuple[Problem, ...] = ()
    more: int = 0
    """Problems that did not fit."""
    repairs: tuple[Repair, ...] = ()
    """The last ones since the applier's start."""
    order: str = ""
    """The WithdrawOrder that was carried out: what is a problem stays on the member."""
    withdrawn: int | None = None
    """Objects that were taken away by that order, or let go if it said so; None of an agent that does not count them."""
    unmarked: bool = False
    """Whether the cluster is not marked as this host's any more, by that order."""
