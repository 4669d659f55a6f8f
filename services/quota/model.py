"""The ledger of one quota: what it has lent to which namespaces, and what reports of members prove to be free again. Pure.

A lease is a ResourceQuota in a namespace of a member. The ledger holds an upper bound of what can be in use there, `granted`,
and keeps two things true at each step, whoever is cut off, late, doubled, paused or killed:

1. once a lease is enforced, neither its spec, nor its status, nor what is in use is above `granted`;
2. no step raises the sum of `granted` above the quota's total, or what a cluster has of it above that cluster's maximum.

Every ask has a number, which rises with each write of the ledger and which the member keeps beside the quota: what a report says
of an older number proves nothing about a newer one. Nothing here depends on a clock, and no lease ever ends by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, NamedTuple, TypeAlias

import msgspec

Amounts: TypeAlias = Mapping[str, int]
"""Thousandths of each resource, by its canonical name."""
LEASES = 1000
"""Of one quota."""
LARGEST = 2**53
"""Numbers and amounts beyond it come from nobody honest."""


class LeaseKey(NamedTuple):
    """A namespace of a member."""

    cluster: str
    """UID of the Cluster, so that a later member of the same name has leases of its own."""
    namespace: str


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """What one namespace may use."""

    number: int
    """Of the newest ask."""
    asked: Amounts
    """What the ResourceQuota is to say."""
    granted: Amounts
    """What may be in use there at most."""
    uid: str
    """Of the namespace."""
    debt: Amounts = {}
    """What was reported in use beyond `granted`: somebody else wrote there, or nobody enforced it."""
    attested: bool = True
    """False after the ledger was restored, until the member has said what it has."""
    ending: bool = False
    """The ResourceQuota is to go."""


class Limits(NamedTuple):
    """What the quota is to keep at this moment."""

    total: Amounts
    maxima: Mapping[str, Amounts] = {}
    """By Cluster's UID, of what has one."""


class Ledger(msgspec.Struct, frozen=True, kw_only=True):
    """One quota's. Every function here returns the next one, or the same if nothing changes."""

    number: int
    """The highest that was asked with. A new ledger begins at the last sequence of its bucket, which is above all that were
    ever asked before."""
    leases: Mapping[LeaseKey, Lease] = {}
    recovery: str = ""
    """Names the restore after which not every member has said what it has; empty: all have. Members' reports repeat it, so that
    one from before it proves nothing."""
    silent: frozenset[str] = frozenset()
    """UIDs of Clusters that have not reported whole since then."""
    attested: Amounts = {}
    """The sum of what leases were granted when they were attested: only that is lent again before all are."""


class Report(NamedTuple):
    """What a member has in one namespace."""

    uid: str
    """Of the namespace."""
    number: int = 0
    """That the quota there carries; 0: there is no quota of ours."""
    spec: Amounts = {}
    status: Amounts = {}
    """What its API server admits by."""
    used: Amounts = {}
    settled: bool = False
    """Whether what is in use was counted since the last change, and not only taken from a controller that may lag."""
    gone: Literal["", "namespace", "quota"] = ""
    """Proven by a consistent read: the namespace of that UID, or our quota by its own removal with that number."""


class Ask(NamedTuple):
    """What is to lie on the member for a lease."""

    kind: Literal["set", "keep", "absent"]
    """keep: the number alone, and nothing at all may be used if there is no quota yet."""
    number: int
    uid: str
    amounts: Amounts


class ExceededError(Exception):
    """An ask that would lend more than there is."""

    def __init__(self, resource: str, short: int, cluster: str = "") -> None:
        super().__init__(f"{resource} is short of {short} thousandths" + (f" on cluster {cluster}" if cluster else ""))
        self.resource, self.short, self.cluster = resource, short, cluster
        """`short` in thousandths; `cluster` is the UID of the one whose maximum it is, if it is not the total."""


class RolledBackError(Exception):
    """A member has a number that this ledger never asked with: it is older than what was done with it. See `recover`."""


class NotAttestedError(Exception):
    """Of what the lease really is nothing is known yet, or it is ending: it cannot be asked for anything else."""


def ask_of(lease: Lease) -> Ask:
    """What to write on the member."""
    if not lease.attested:
        return Ask("keep", lease.number, lease.uid, {})
    if lease.ending:
        return Ask("absent", lease.number, lease.uid, {})
    return Ask("set", lease.number, lease.uid, lease.asked)


def lent(ledger: Ledger, resource: str, cluster: str = "") -> int:
    """What may be in use of a resource, everywhere or on one cluster; thousandths."""
    return sum(_counted(lease, resource) for lease in _leases(ledger, cluster))


def _counted(lease: Lease, resource: str) -> int:
    return lease.granted.get(resource, 0) + lease.debt.get(resource, 0)


def _leases(ledger: Ledger, cluster: str = "") -> Iterator[Lease]:
    return (lease for key, lease in ledger.leases.items() if cluster in ("", key.cluster))


def ask(ledger: Ledger, key: LeaseKey, uid: str, amounts: Amounts, limits: Limits) -> Ledger:
    """Ask for other amounts, or begin a lease. ExceededError, NotAttestedError; ValueError: one lease too many."""
    lease = _open_lease(ledger, key, uid)
    if lease.number and lease.asked == amounts:
        return ledger
    for resource, amount in amounts.items():
        _check_growth(ledger, key, lease, resource, amount, limits)
    granted = {name: max(amount, lease.granted.get(name, 0)) for name, amount in amounts.items()}
    return _with(ledger, key, msgspec.structs.replace(lease, number=ledger.number + 1, asked=amounts, granted=granted))


def _check_growth(ledger: Ledger, key: LeaseKey, lease: Lease, resource: str, amount: int, limits: Limits) -> None:
    growth = amount - lease.granted.get(resource, 0)
    if growth <= 0:
        return
    if lease.debt.get(resource, 0):
        raise ExceededError(resource, growth, key.cluster)
    rooms = [(limits.total.get(resource, 0) - lent(ledger, resource), "")]
    if (most := limits.maxima.get(key.cluster, {}).get(resource)) is not None:
        rooms.append((most - lent(ledger, resource, key.cluster), key.cluster))
    if ledger.recovery:
        known = sum(_counted(each, resource) for each in ledger.leases.values() if each.attested)
        rooms.append((ledger.attested.get(resource, 0) - known, ""))
    for room, cluster in rooms:
        if growth > room:
            raise ExceededError(resource, growth - max(room, 0), cluster)


def adopt(ledger: Ledger, key: LeaseKey, uid: str, used: Amounts) -> Ledger:
    """Begin to limit resources of which a namespace uses something that nobody admitted: the one step that may lend beyond the total.
    As long as the sum is above it nothing grows. What the lease limits already stays as it is. NotAttestedError; ValueError: one
    lease too many.
    """
    lease = _open_lease(ledger, key, uid)
    fresh = {name: amount for name, amount in used.items() if name not in lease.granted}
    if lease.number and not fresh:
        return ledger
    lease = msgspec.structs.replace(
        lease, number=ledger.number + 1, asked={**lease.asked, **fresh}, granted={**lease.granted, **fresh}
    )
    return _with(ledger, key, lease)


def _open_lease(ledger: Ledger, key: LeaseKey, uid: str) -> Lease:
    """The lease to ask with, or a new one with number 0."""
    lease = ledger.leases.get(key)
    if lease is None:
        if len(ledger.leases) >= LEASES:
            raise ValueError(f"a quota has at most {LEASES} namespaces")
        return Lease(number=0, asked={}, granted={}, uid=uid)
    if not lease.attested or lease.ending:
        raise NotAttestedError(f"namespace {key.namespace} has not said yet what it has")
    return lease


def end(ledger: Ledger, key: LeaseKey) -> Ledger:
    """Ask for the removal of a quota: its namespace is released, or the whole quota goes. Counted until the member proves it."""
    lease = ledger.leases.get(key)
    if lease is None or lease.ending:
        return ledger
    return _with(ledger, key, msgspec.structs.replace(lease, number=ledger.number + 1, ending=True))


def forfeit(ledger: Ledger, key: LeaseKey) -> Ledger:
    """Give up on a lease: what may be in use there no longer counts. For a member that is gone for good."""
    return _without(ledger, key)


def recover(ledger: Ledger, recovery: str, number: int, keys: Mapping[LeaseKey, str]) -> Ledger:
    """The ledger after it was restored or found older than its members: it knows of no lease what it really is.

    `recovery` names this recovery, like no other before; `number` is at least the highest that anybody was seen with; `keys` are
    the namespaces that the workspace has besides those of the ledger, with their UIDs.
    """
    first = max(ledger.number, number) + 1
    known = {key: lease.uid for key, lease in ledger.leases.items()}
    leases = {
        key: _unattested(ledger.leases.get(key), first + index, uid)
        for index, (key, uid) in enumerate((dict(keys) | known).items())
    }
    return Ledger(
        number=first + len(leases),
        leases=leases,
        recovery=recovery if leases else "",
        silent=frozenset(key.cluster for key in leases),
    )


def _unattested(lease: Lease | None, number: int, uid: str) -> Lease:
    empty = Lease(number=number, asked={}, granted={}, uid=uid, attested=False)
    return empty if lease is None else msgspec.structs.replace(lease, number=number, attested=False)


def take_whole_report(ledger: Ledger, cluster: str, recovery: str) -> Ledger:
    """A member has reported all that it has, and repeats which recovery it knew of when it looked."""
    if recovery != ledger.recovery or cluster not in ledger.silent:
        return ledger
    return _recovered(msgspec.structs.replace(ledger, silent=ledger.silent - {cluster}))


def take_report(ledger: Ledger, key: LeaseKey, report: Report) -> Ledger:
    """What a report changes. RolledBackError. Reports may come late, twice and in any order."""
    lease = ledger.leases.get(key)
    if report.number > ledger.number:
        raise RolledBackError(f"namespace {key.namespace} has number {report.number}, the ledger {ledger.number}")
    if lease is None:
        return _unknown(ledger, key, report)
    if report.gone:
        return _gone(ledger, key, lease, report)
    if report.uid != lease.uid:
        return _with(ledger, key, msgspec.structs.replace(lease, number=ledger.number + 1, uid=report.uid))
    if not lease.attested:
        return _attested(ledger, key, lease, report)
    return _confirmed(ledger, key, lease, report)


def _unknown(ledger: Ledger, key: LeaseKey, report: Report) -> Ledger:
    """A quota of ours of which nobody knows: it is asked what it is before it counts as anything else."""
    if report.gone or not report.number:
        return ledger
    size = most(report)
    lease = Lease(number=ledger.number + 1, asked=size, granted={}, uid=report.uid, debt=size, attested=False)
    return _with(ledger, key, lease)


def _gone(ledger: Ledger, key: LeaseKey, lease: Lease, report: Report) -> Ledger:
    if report.uid != lease.uid:
        return ledger
    if report.gone == "namespace" or (lease.ending and report.number == lease.number):
        return _without(ledger, key)
    return ledger


def _attested(ledger: Ledger, key: LeaseKey, lease: Lease, report: Report) -> Ledger:
    if report.number != lease.number:
        return ledger
    granted = most(report)
    sums = {name: ledger.attested.get(name, 0) + amount for name, amount in granted.items()}
    lease = msgspec.structs.replace(lease, asked=report.spec, granted=granted, debt={}, attested=True)
    if lease.ending:
        # What was to end before still is: it is asked for once more, now that nothing older can come
        lease = msgspec.structs.replace(lease, number=ledger.number + 1)
    attested = {**ledger.attested, **sums} if ledger.recovery else ledger.attested
    return _recovered(msgspec.structs.replace(_with(ledger, key, lease), attested=attested))


def _confirmed(ledger: Ledger, key: LeaseKey, lease: Lease, report: Report) -> Ledger:
    if report.number != lease.number:
        return ledger
    size = most(report)
    debt = {name: over for name, amount in lease.granted.items() if (over := size.get(name, 0) - amount) > 0}
    granted = lease.granted
    if report.settled and report.spec == report.status == lease.asked:
        granted = {
            name: min(amount, max(lease.asked.get(name, 0), report.used.get(name, 0)))
            for name, amount in lease.granted.items()
        }
    if debt == lease.debt and granted == lease.granted:
        return ledger
    return _with(ledger, key, msgspec.structs.replace(lease, granted=granted, debt=debt))


def most(report: Report) -> dict[str, int]:
    """What may be in use as far as a report says: the largest of spec, status and use, of each resource."""
    amounts: Iterable[Amounts] = (report.spec, report.status, report.used)
    sizes: dict[str, int] = {}
    for each in amounts:
        for name, amount in each.items():
            sizes[name] = min(max(sizes.get(name, 0), amount), LARGEST)
    return sizes


def _recovered(ledger: Ledger) -> Ledger:
    if not ledger.recovery or ledger.silent or not all(lease.attested for lease in ledger.leases.values()):
        return ledger
    return msgspec.structs.replace(ledger, recovery="", attested={})


def _with(ledger: Ledger, key: LeaseKey, lease: Lease) -> Ledger:
    return msgspec.structs.replace(
        ledger, number=max(ledger.number, lease.number), leases={**ledger.leases, key: lease}
    )


def _without(ledger: Ledger, key: LeaseKey) -> Ledger:
    if key not in ledger.leases:
        return ledger
    leases = {each: lease for each, lease in ledger.leases.items() if each != key}
    return _recovered(msgspec.structs.replace(ledger, leases=leases))
