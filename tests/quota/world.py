"""Members, their agents, their API servers and the messages between them, as small as the protocol of leases allows, and as hostile.

One resource, a few namespaces. Every write of an agent has two halves, between which anything may happen; entries and reports
come late, twice and in any order; two services decide at once. What is wrong with a step is an argument: `without` names one
guard of the protocol that is left out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from services.quota import model
from services.quota.model import Ask, LeaseKey, Ledger, Limits, Report

RESOURCE = "pods"
GUARDS = (
    "number",
    "status",
    "used",
    "growth at once",
    "compare-and-set",
    "fence",
    "resourceVersion",
    "uid",
    "growth in recovery",
    "keep",
)
"""What the design found to be needed, each."""


@dataclass
class Quota:
    """Our ResourceQuota in a namespace."""

    number: int
    spec: int
    status: int | None = None
    version: int = 0
    """Its resourceVersion, which rises with each write, of a pod's admission too."""


@dataclass
class Namespace:
    """A namespace of a member."""

    uid: str
    quota: Quota | None = None
    used: int = 0
    bound: int = 0
    """The number of the quota after which bindings came, so that somebody may create pods here; 0: nobody may."""


class Entry(NamedTuple):
    """An ask as it lies in the member's desired state."""

    key: LeaseKey
    ask: Ask


class Write(NamedTuple):
    """What an agent is about to send, and what it read before."""

    entry: Entry
    version: int | None
    """None: there was no quota."""


@dataclass
class World:
    """Everything there is. `cap` is the highest total so far."""

    total: int
    maxima: dict[str, int]
    namespaces: dict[LeaseKey, Namespace]
    ledger: Ledger = field(default_factory=lambda: Ledger(number=0))
    without: str = ""
    entries: list[Entry] = field(default_factory=list)
    writes: list[Write] = field(default_factory=list)
    reports: list[tuple[LeaseKey, Report]] = field(default_factory=list)
    wholes: list[tuple[str, str]] = field(default_factory=list)
    backups: list[Ledger] = field(default_factory=list)
    copies: list[Ledger] = field(default_factory=list)
    """Ledgers that a slow service has read."""
    begun: dict[LeaseKey, int] = field(default_factory=dict)
    """The first number of each lease."""
    recoveries: int = 0
    made: int = 0
    highest: int = 0
    cap: int = 0

    def __post_init__(self) -> None:
        self.cap = self.total

    @property
    def limits(self) -> Limits:
        return Limits({RESOURCE: self.total}, {name: {RESOURCE: most} for name, most in self.maxima.items()})

    # The service

    def save(self, base: Ledger, ledger: Ledger) -> bool:
        """Write a ledger that was decided from `base`, if nobody else wrote meanwhile."""
        if ledger is base or (self.ledger is not base and self.without != "compare-and-set"):
            return False
        self.ledger = ledger
        self.highest = max(self.highest, ledger.number)
        self.begun = {key: self.begun.get(key, lease.number) for key, lease in ledger.leases.items()}
        for key, lease in ledger.leases.items():
            if base.leases.get(key) is not lease:
                ask = model.ask_of(lease)
                if ask.kind != "keep" or self.without != "keep":
                    self.entries.append(Entry(key, ask))
        return True

    def ask(self, key: LeaseKey, amount: int, base: Ledger | None = None) -> bool:
        """One service decides, from what it read last."""
        base = base or self.ledger
        namespace = self.namespaces.get(key)
        if namespace is None:
            return False
        basis = base
        if self.without == "growth in recovery" and base.recovery:
            basis = msgspec.structs.replace(base, recovery="")
        try:
            after = model.ask(basis, key, namespace.uid, {RESOURCE: amount}, self.limits)
        except (model.ExceededError, model.NotAttestedError):
            return False
        if after is basis:
            return False
        if self.without == "growth in recovery":
            after = msgspec.structs.replace(after, recovery=base.recovery)
        if self.without == "growth at once" and key in base.leases:
            lease = after.leases[key]
            late = msgspec.structs.replace(lease, granted=base.leases[key].granted)
            after = msgspec.structs.replace(after, leases={**after.leases, key: late})
        return self.save(base, after)

    def end(self, key: LeaseKey) -> bool:
        return self.save(self.ledger, model.end(self.ledger, key))

    def back_up(self) -> bool:
        self.backups.append(self.ledger)
        return True

    def restore(self, backup: Ledger) -> bool:
        """The ledger is as it was, in a bucket that begins above everything ever asked."""
        self.recoveries += 1
        uids = {key: namespace.uid for key, namespace in self.namespaces.items()}
        self.copies.clear()
        self.ledger = Ledger(number=0)
        after = model.recover(backup, f"recovery-{self.recoveries}", self.highest, uids)
        return self.save(self.ledger, after)

    # An agent

    def begin(self, entry: Entry) -> bool:
        """Read what is there, and decide to write."""
        namespace = self.namespaces.get(entry.key)
        if namespace is None or (namespace.uid != entry.ask.uid and self.without != "uid"):
            return False
        quota = namespace.quota
        if quota is not None and quota.number >= entry.ask.number and self.without != "fence":
            return False
        self.writes.append(Write(entry, None if quota is None else quota.version))
        return True

    def commit(self, write: Write) -> bool:
        """POST, PUT at the resourceVersion, or DELETE with it; the API server refuses what is not as it was read."""
        self.writes.remove(write)
        (key, ask), version = write
        namespace = self.namespaces.get(key)
        if namespace is None:
            return False
        quota = namespace.quota
        if (quota is None) != (version is None):
            return False
        if quota is not None and quota.version != version and self.without != "resourceVersion":
            return False
        if ask.kind == "absent":
            # A released namespace is emptied here: what one that is adopted in use may exceed is not what is searched for
            namespace.quota, namespace.bound, namespace.used = None, 0, 0
            self.reports.append((key, Report(uid=namespace.uid, number=ask.number, gone="quota")))
            return True
        amount = ask.amounts.get(RESOURCE, 0)
        if quota is None:
            namespace.quota = Quota(ask.number, amount if ask.kind == "set" else 0)
            return True
        quota.number, quota.version = ask.number, quota.version + 1
        if ask.kind == "set":
            quota.spec = amount
        return True

    def bind(self, key: LeaseKey) -> bool:
        """The bindings of a namespace come after its lease."""
        namespace = self.namespaces.get(key)
        if namespace is None or namespace.quota is None or namespace.quota.status != namespace.quota.spec:
            return False
        namespace.bound = namespace.quota.number
        return True

    def report(self, key: LeaseKey) -> bool:
        """Say what there is; it arrives some time, perhaps more than once."""
        namespace = self.namespaces.get(key)
        if namespace is None:
            return False
        quota = namespace.quota
        if quota is None:
            report = Report(uid=namespace.uid, used={RESOURCE: namespace.used})
        else:
            status = {} if quota.status is None else {RESOURCE: quota.status}
            report = Report(
                uid=namespace.uid,
                number=quota.number,
                spec={RESOURCE: quota.spec},
                status=status,
                used={RESOURCE: namespace.used},
                settled=True,
            )
        self.reports.append((key, report))
        return True

    def report_whole(self, cluster: str) -> bool:
        for key in self.namespaces:
            if key.cluster == cluster:
                self.report(key)
        self.wholes.append((cluster, self.ledger.recovery))
        return True

    def deliver(self, key: LeaseKey, report: Report) -> bool:
        lease = self.ledger.leases.get(key)
        if self.without == "used":
            report = report._replace(used={})
        if self.without == "status":
            report = report._replace(status=report.spec)
        if lease is not None and not report.gone:
            if self.without == "number" or (self.without == "keep" and not lease.attested):
                report = report._replace(number=lease.number)
            if self.without == "uid":
                report = report._replace(uid=lease.uid)
        try:
            return self.save(self.ledger, model.take_report(self.ledger, key, report))
        except model.RolledBackError:
            return self.restore(self.ledger)

    def deliver_whole(self, cluster: str, recovery: str) -> bool:
        return self.save(self.ledger, model.take_whole_report(self.ledger, cluster, recovery))

    # The member's cluster

    def control(self, key: LeaseKey) -> bool:
        """The quota controller copies the spec."""
        namespace = self.namespaces.get(key)
        quota = None if namespace is None else namespace.quota
        if quota is None or quota.status == quota.spec:
            return False
        quota.status, quota.version = quota.spec, quota.version + 1
        return True

    def create(self, key: LeaseKey) -> bool:
        """A pod, admitted by what the status says. Of a namespace that was released and taken again the host lets nobody in by what
        was bound before.
        """
        namespace = self.namespaces.get(key)
        if namespace is None or not namespace.bound or namespace.bound < self.begun.get(key, 0):
            return False
        quota = namespace.quota
        if quota is not None and quota.status is not None:
            if namespace.used + 1 > quota.status:
                return False
            quota.version += 1
        namespace.used += 1
        return True

    def delete(self, key: LeaseKey) -> bool:
        namespace = self.namespaces.get(key)
        if namespace is None or not namespace.used:
            return False
        namespace.used -= 1
        return True

    def delete_namespace(self, key: LeaseKey) -> bool:
        namespace = self.namespaces.pop(key, None)
        if namespace is None:
            return False
        self.reports.append((key, Report(uid=namespace.uid, gone="namespace")))
        return True

    def make_namespace(self, key: LeaseKey) -> bool:
        if key in self.namespaces:
            return False
        self.made += 1
        self.namespaces[key] = Namespace(f"{key.namespace}-{self.made}")
        return True

    # What must hold

    def settle(self) -> None:
        """Every agent sees the newest entries, every controller works, every report arrives: all is in place, and quiet."""
        for _ in range(8):
            before = self.ledger
            for key in KEYS:
                newest = [entry for entry in self.entries if entry.key == key][-1:]
                self.writes.clear()
                for entry in newest:
                    if self.begin(entry):
                        self.commit(self.writes[-1])
                    if self.reports:
                        self.deliver(*self.reports[-1])
                self.control(key)
                self.report(key)
                self.deliver(*self.reports[-1])
            for cluster in ("m1", "m2"):
                self.deliver_whole(cluster, self.ledger.recovery)
            if self.ledger is before:
                return
        raise AssertionError("the ledger never comes to rest")

    def check_quiet(self) -> None:
        """AssertionError: something is not as it was asked for, or is still counted."""
        assert not self.ledger.recovery
        for key, lease in self.ledger.leases.items():
            namespace = self.namespaces[key]
            assert namespace.quota is not None
            assert not lease.ending
            asked = lease.asked.get(RESOURCE, 0)
            assert (namespace.quota.number, namespace.quota.spec) == (lease.number, asked)
            assert lease.granted.get(RESOURCE, 0) == max(asked, namespace.used)

    def check(self) -> None:
        """AssertionError: the sum does not hold, or the ledger does not know what may be in use."""
        self.check_sum()
        if not self.recoveries:
            self._check_bound()

    def check_sum(self) -> None:
        """AssertionError: more pods run than there may be."""
        used = sum(namespace.used for namespace in self.namespaces.values())
        assert used <= self.cap, f"{used} pods in all, the total is {self.cap}"
        for cluster, most in self.maxima.items():
            there = sum(each.used for key, each in self.namespaces.items() if key.cluster == cluster)
            assert there <= most, f"{there} pods on {cluster}, its maximum is {most}"

    def _check_bound(self) -> None:
        for key, namespace in self.namespaces.items():
            quota, lease = namespace.quota, self.ledger.leases.get(key)
            if quota is None or lease is None or lease.uid != namespace.uid or namespace.bound < self.begun[key]:
                continue
            size = max(quota.spec, quota.status or 0, namespace.used)
            bound = lease.granted.get(RESOURCE, 0) + lease.debt.get(RESOURCE, 0)
            assert size <= bound, f"{size} may be in use in {key.namespace}, {bound} is granted"


KEYS = (LeaseKey("m1", "web"), LeaseKey("m2", "web"), LeaseKey("m2", "batch"))


def world(without: str = "", total: int = 3) -> World:
    """Two members, three namespaces."""
    namespaces = {key: Namespace(f"{key.namespace}-{key.cluster}") for key in KEYS}
    return World(total=total, maxima={"m2": 2}, namespaces=namespaces, without=without)
