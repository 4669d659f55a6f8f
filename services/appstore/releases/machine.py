"""The next step for a release on one cluster, from what is wanted, what Helm has there, and what was done so far. Pure.

What is there is read from the cluster each time, never remembered, so that an operation which was killed, a hand that ran helm,
and a restored backup are all the same case. Only what a cluster cannot tell is kept in the AppInstance's status: which revision
failed, how often, and when it is tried again.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

from services.appstore.helm.releases import State

Phase: TypeAlias = Literal[
    "Pending",
    "Waiting",
    "Installing",
    "Upgrading",
    "RollingBack",
    "Uninstalling",
    "Deployed",
    "Failed",
    "Blocked",
    "Orphaned",
]
Operation: TypeAlias = Literal["Install", "Upgrade", "Rollback", "Uninstall"]
EMPTY: frozenset[State] = frozenset(("None", "Uninstalled"))
WORKING: frozenset[Phase] = frozenset(("Installing", "Upgrading", "RollingBack", "Uninstalling"))
FIRST_S, LONGEST_S = 30.0, 900.0
"""The pause after a first failure, and the longest."""
MOST_ATTEMPTS = 8
FOREIGN_S = 900.0
"""Helm that works there by other hands is left alone for so long."""
LOOK_S = 30.0
"""Between two looks at it."""
NOT_HEALTHY, ROLLBACK_FAILED = "NotHealthy", "RollbackFailed"
EXISTS, BY_HAND = "ReleaseExists", "ChangedByHand"
FORBIDDEN = "Forbidden"
ONCE_MORE_S = 5.0
"""An API server that has just started refuses everybody until it has read its roles: so it is asked once more, after so long."""
TRANSIENT = frozenset(("Unreachable", "ReleaseBusy", "Cancelled", "EngineMissing", "ServiceUnavailable", "Timeout"))
"""Reasons that say nothing about what is wanted: it is tried again, also where a failure is to be rolled back."""


class Wanted(NamedTuple):
    """A release as it is to be on a cluster."""

    revision: int
    """Of the AppRelease."""
    gone: bool = False
    """It is not to be there any more."""
    orphan: bool = False
    """Then what Helm has there stays."""
    rollback: bool = False
    """What fails is rolled back, or uninstalled if it was the first."""
    timeout_s: float = 300.0
    """From the end of Helm's work until all objects are healthy."""


class Present(NamedTuple):
    """A release as Helm has it on the cluster."""

    state: State = "None"
    ours: bool = False
    """Made for this AppRelease."""
    revision: int = 0
    """Of the AppRelease, of which Helm's latest one is; 0 if that is not known."""
    installing: bool = False
    """Helm began to install it, and did not end."""
    age_s: float = 0.0
    """Since Helm's latest revision changed."""
    deployed: int = 0
    """Helm's number of the newest that was ever deployed well; 0 if there is none."""
    earlier: int = 0
    """The same, of another revision of the AppRelease."""


class Progress(NamedTuple):
    """What was done so far. Times are seconds since the epoch."""

    revision: int = 0
    phase: Phase = "Pending"
    since: float = 0.0
    attempt: int = 0
    """Failures in a row."""
    reason: str = ""
    """Of the failure."""
    again: float = 0.0
    """When it is tried again after a failure; 0: not by itself."""
    placed: int = 0
    """The revision that was in place, as long as nothing was begun since: what is there otherwise is somebody else's doing. It outlasts
    waiting and refusals, of which a cluster remembers nothing.
    """

    @property
    def gave_up(self) -> bool:
        """True if the revision failed, and is not tried again by itself."""
        return bool(self.reason) and not self.again

    def anew(self, revision: int, phase: Phase, since: float) -> Progress:
        """Nothing failed so far."""
        return Progress(revision, phase, since, placed=self.placed)


class Operate(NamedTuple):
    """Have Helm do something."""

    operation: Operation
    phase: Phase
    to: int = 0
    """Of a rollback: Helm's revision."""


class Watch(NamedTuple):
    """It is in place: see how its objects are."""


class Pause(NamedTuple):
    """Nothing can be done for so many seconds; what is there is watched."""

    seconds: float
    message: str = ""


class Block(NamedTuple):
    """Somebody has to do something first."""

    reason: str


class Drop(NamedTuple):
    """Nothing of it is there any more that is ours to look after."""


Step: TypeAlias = Operate | Watch | Pause | Block | Drop


def step(wanted: Wanted, present: Present, progress: Progress, now: float) -> Step:
    """What is to be done now."""
    if wanted.gone:
        return _end(wanted, present, current(wanted, progress), now)
    nothing = present.state in EMPTY
    if not (nothing or present.ours):
        return Block(EXISTS)
    if present.state in ("Pending", "Uninstalling"):
        return _recovery(wanted, present, progress, now)
    progress = current(wanted, progress)
    if progress.gave_up or (progress.phase == "RollingBack" and progress.reason):
        return _after_failure(wanted, present, progress, now)
    if present.state == "Deployed" and present.revision == wanted.revision:
        return Watch()
    if progress.placed == wanted.revision:  # who took it away knows why, and it is not put back against them
        return Block(BY_HAND)
    return _rest(progress, now) or (Operate("Install", "Installing") if nothing else Operate("Upgrade", "Upgrading"))


def _end(wanted: Wanted, present: Present, progress: Progress, now: float) -> Step:
    """It is not to be there any more."""
    if wanted.orphan or present.state in EMPTY or not present.ours:
        return Drop()
    return _rest(progress, now) or Operate("Uninstall", "Uninstalling")


def current(wanted: Wanted, progress: Progress) -> Progress:
    """What was done for what is wanted now: another revision, or its end, begins anew."""
    uninstalls = progress.phase == "Uninstalling" or (progress.revision == 0 and bool(progress.reason))
    if wanted.gone:
        return progress if uninstalls else progress.anew(0, "Pending", progress.since)
    if progress.revision == wanted.revision:
        return progress
    return progress.anew(wanted.revision, progress.phase if progress.phase in WORKING else "Pending", progress.since)


def _rest(progress: Progress, now: float) -> Pause | None:
    """The rest of the pause after a failure."""
    if progress.gave_up:
        return Pause(LONGEST_S)
    return Pause(progress.again - now) if progress.again > now else None


def _recovery(wanted: Wanted, present: Present, progress: Progress, now: float) -> Step:
    """Helm is at work there, or was and did not end."""
    if progress.placed and present.age_s < FOREIGN_S:
        return Pause(min(LOOK_S, FOREIGN_S - present.age_s), "helm works there by other hands")
    progress = current(wanted, progress)
    going_back = progress.phase == "RollingBack"  # what it has a reason for is what it goes back from
    if rest := _rest(progress._replace(reason="") if going_back else progress, now):
        return rest
    phase: Phase = progress.phase if progress.phase in WORKING else "Upgrading"
    if present.state == "Uninstalling" or present.installing or not present.deployed:
        return Operate("Uninstall", phase)
    return Operate("Rollback", phase, present.deployed)


def _after_failure(wanted: Wanted, present: Present, progress: Progress, now: float) -> Step:
    """A revision failed for good: it is rolled back, or it is looked at whether it heals by itself."""
    going_back = progress.phase == "RollingBack"
    is_failed_one = present.revision == wanted.revision and present.state in ("Deployed", "Failed")
    if going_back or (wanted.rollback and is_failed_one and progress.reason not in (ROLLBACK_FAILED, BY_HAND)):
        back = Operate("Rollback", "RollingBack", present.earlier) if present.earlier else None
        return _rest(progress._replace(reason=""), now) or back or Operate("Uninstall", "RollingBack")
    return Watch() if present.state == "Deployed" else Pause(LONGEST_S)


# What became of a step


def began(wanted: Wanted, progress: Progress, operation: Operate, now: float) -> Progress:
    """An operation begins; written down before it does."""
    before = current(wanted, progress)
    revision = 0 if wanted.gone else wanted.revision
    since = before.since if before.phase == operation.phase else now
    return before._replace(revision=revision, phase=operation.phase, since=since, placed=0)


def succeeded(wanted: Wanted, progress: Progress, operation: Operate, now: float) -> Progress:
    """Helm did it. Health comes next, or the operation for which this one made room."""
    if operation.phase == "RollingBack" and progress.reason:  # what is wanted failed, and stays so
        return progress._replace(phase="Failed", since=now, attempt=0, again=0.0)
    return Progress(progress.revision, operation.phase, now)


def failed(wanted: Wanted, progress: Progress, reason: str, now: float, *, final: bool) -> Progress:
    """Helm did not do it. `final`: the same again cannot help."""
    attempt = progress.attempt + 1
    certain = final and not (reason == FORBIDDEN and attempt == 1)
    pause = pause_s(attempt) if final == certain else ONCE_MORE_S
    if progress.phase == "RollingBack" and progress.reason:
        if certain or attempt >= MOST_ATTEMPTS:
            return progress._replace(phase="Failed", since=now, attempt=attempt, reason=ROLLBACK_FAILED, again=0.0)
        return progress._replace(attempt=attempt, again=now + pause)
    rolls_back = wanted.rollback and not wanted.gone and reason not in TRANSIENT and final == certain
    over = certain or attempt >= MOST_ATTEMPTS or rolls_back
    phase: Phase = "Blocked" if final else "Failed"
    again = 0.0 if over else now + pause
    return progress._replace(phase=phase, since=now, attempt=attempt, reason=reason, again=again)


def judged(wanted: Wanted, progress: Progress, *, healthy: bool, in_place: bool, now: float) -> Progress:
    """How its objects are was looked at. `in_place`: they are those that are wanted."""
    progress = current(wanted, progress)
    if not in_place:
        return progress
    progress = progress._replace(placed=wanted.revision)
    if healthy:
        return progress.anew(wanted.revision, "Deployed", progress.since if progress.phase == "Deployed" else now)
    if progress.phase in ("Deployed", "Failed", "Blocked"):
        return progress
    if now - progress.since >= wanted.timeout_s:
        return progress._replace(phase="Failed", since=now, reason=NOT_HEALTHY, again=0.0)
    return progress


def pause_s(attempt: int) -> float:
    """Seconds after so many failures in a row."""
    return min(LONGEST_S, FIRST_S * 2.0 ** (max(attempt, 1) - 1))
