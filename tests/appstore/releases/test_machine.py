"""The machine of a release on one cluster: each case by name, and a simulated cluster on which anything may happen."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.appstore.releases import machine
from services.appstore.releases.machine import (
    FOREIGN_S,
    LONGEST_S,
    MOST_ATTEMPTS,
    NOT_HEALTHY,
    ROLLBACK_FAILED,
    Block,
    Drop,
    Operate,
    Pause,
    Present,
    Progress,
    Wanted,
    Watch,
)

NOW = 1_000_000.0
WANTED = Wanted(3)
DEPLOYED = Present("Deployed", ours=True, revision=3, deployed=5)
BEFORE = Present("Deployed", ours=True, revision=2, deployed=4, earlier=4)
FAILED = Present("Failed", ours=True, revision=3, deployed=4, earlier=4)
INSTALL, UPGRADE = Operate("Install", "Installing"), Operate("Upgrade", "Upgrading")
UNINSTALL = Operate("Uninstall", "Uninstalling")
NOTHING, NEW = Present(), Progress()


def step(
    present: Present = NOTHING, progress: Progress = NEW, wanted: Wanted = WANTED, now: float = NOW
) -> machine.Step:
    return machine.step(wanted, present, progress, now)


def test_a_rollback_that_was_cut_is_done_again_though_what_is_wanted_failed_for_good() -> None:
    """The reason is that of what it goes back from: with it as one to give up, what Helm had begun stayed pending for ever."""
    cut = Present("Pending", ours=True, revision=3, deployed=4, earlier=4, age_s=5.0)
    back = Progress(3, "RollingBack", NOW - 5, 1, "RenderFailed")
    wanted = WANTED._replace(rollback=True)
    assert step(cut, back, wanted) == Operate("Rollback", "RollingBack", 4)
    assert step(cut._replace(deployed=0), back, wanted) == Operate("Uninstall", "RollingBack")
    assert step(cut, back._replace(again=NOW + 20), wanted) == Pause(20.0)


# What is there is what decides


def test_what_is_not_there_is_installed() -> None:
    assert step() == INSTALL
    assert step(Present("Uninstalled", ours=True)) == INSTALL


def test_another_revision_is_upgraded_and_the_wanted_one_watched() -> None:
    assert step(BEFORE) == UPGRADE
    assert step(DEPLOYED) == Watch()


def test_what_somebody_else_installed_is_left_alone_and_is_no_obstacle_to_an_end() -> None:
    foreign = Present("Deployed", deployed=1)
    assert step(foreign) == Block("ReleaseExists")
    assert step(foreign, wanted=WANTED._replace(gone=True)) == Drop()


PLACED = Progress(3, "Deployed", NOW, placed=3)


@pytest.mark.parametrize("phase", ["Deployed", "Upgrading", "Waiting", "Pending", "Blocked"])
@pytest.mark.parametrize("present", [BEFORE, NOTHING, FAILED._replace(revision=2)])
def test_what_was_in_place_and_is_not_any_more_is_somebodys_doing_and_is_left_so(
    present: Present, phase: machine.Phase
) -> None:
    """Also where it was suspended, away or refused in between."""
    assert step(present, PLACED._replace(phase=phase)) == Block(machine.BY_HAND)
    assert step(present, Progress(0, "Pending", NOW, placed=3)) == Block(machine.BY_HAND)
    assert step(present, PLACED._replace(phase=phase), Wanted(4)) in (INSTALL, UPGRADE), "another revision is wanted"


def test_what_somebody_put_there_is_left_so_until_it_is_wanted_back() -> None:
    blocked = PLACED._replace(phase="Blocked", reason=machine.BY_HAND)
    assert step(BEFORE, blocked) == Watch()
    assert step(NOTHING, blocked) == Pause(LONGEST_S)
    assert step(DEPLOYED._replace(earlier=4), blocked, WANTED._replace(rollback=True)) == Watch()
    assert step(BEFORE, Progress(3, "Pending", NOW)) == UPGRADE, "somebody wants it back"


def test_what_is_in_place_is_known_to_be_until_something_is_begun() -> None:
    ill = judged(Progress(3, "Upgrading", NOW))
    assert (ill.phase, ill.placed) == ("Upgrading", 3)
    assert judged(ill, healthy=True) == PLACED
    assert machine.failed(WANTED, PLACED, "Unreachable", NOW, final=False).placed == 3
    assert machine.current(Wanted(4), PLACED).placed == 3
    assert machine.began(Wanted(4), PLACED, UPGRADE, NOW).placed == 0


# Ends


def test_an_end_uninstalls_and_is_over_when_nothing_is_there() -> None:
    gone = WANTED._replace(gone=True)
    assert step(DEPLOYED, wanted=gone) == UNINSTALL
    assert step(Present("Pending", ours=True), wanted=gone) == UNINSTALL
    assert step(wanted=gone) == Drop()
    assert step(DEPLOYED, wanted=gone._replace(orphan=True)) == Drop()


def test_an_end_does_not_wait_for_what_failed_before_it() -> None:
    blocked = Progress(3, "Blocked", NOW, 8, "Forbidden")
    assert step(FAILED, blocked, WANTED._replace(gone=True)) == UNINSTALL


def test_an_uninstall_that_failed_is_tried_again_later() -> None:
    gone = WANTED._replace(gone=True)
    began = machine.began(gone, Progress(3, "Deployed", NOW - 9), UNINSTALL, NOW)
    after = machine.failed(gone, began, "Unreachable", NOW, final=False)
    assert step(DEPLOYED, after, gone) == Pause(30.0)
    assert step(DEPLOYED, after, gone, NOW + 30) == UNINSTALL


# Recovery


def test_an_install_that_was_killed_is_taken_away_and_begins_anew() -> None:
    killed = Present("Pending", ours=True, revision=3, installing=True, age_s=1)
    assert step(killed, Progress(3, "Installing", NOW)) == Operate("Uninstall", "Installing")


def test_an_upgrade_that_was_killed_goes_back_to_what_was_deployed_and_on_from_there() -> None:
    killed = Present("Pending", ours=True, revision=3, age_s=1, deployed=4, earlier=4)
    assert step(killed, Progress(3, "Upgrading", NOW)) == Operate("Rollback", "Upgrading", 4)
    assert step(killed._replace(deployed=0), Progress(3, "Upgrading", NOW)) == Operate("Uninstall", "Upgrading")


def test_an_uninstall_that_was_killed_is_finished_before_an_install() -> None:
    assert step(Present("Uninstalling", ours=True), Progress(0, "Uninstalling", NOW)) == UNINSTALL


def test_helm_by_other_hands_is_waited_for_but_not_for_ever() -> None:
    foreign = Present("Pending", ours=True, revision=2, age_s=10, deployed=4, earlier=4)
    for phase in ("Deployed", "Pending"):  # it was suspended in between
        placed = Progress(2, phase, placed=2)
        assert step(foreign, placed) == Pause(30.0, "helm works there by other hands")
        assert step(foreign._replace(age_s=FOREIGN_S), placed) == Operate("Rollback", "Upgrading", 4)


def test_a_recovery_that_fails_pauses() -> None:
    killed = Present("Pending", ours=True, revision=3, age_s=1, deployed=4)
    assert step(killed, Progress(3, "Failed", NOW, 1, "Unreachable", NOW + 20)) == Pause(20.0)


# Failures


def test_failures_pause_longer_and_longer_and_end() -> None:
    progress, pauses = Progress(3, "Upgrading", NOW), []
    for _ in range(MOST_ATTEMPTS):
        progress = machine.failed(WANTED, progress, "Failed", NOW, final=False)
        pauses.append(progress.again - NOW if progress.again else 0)
    assert pauses == [30, 60, 120, 240, 480, 900, 900, 0]
    assert progress.gave_up
    assert progress.phase == "Failed"
    assert step(FAILED, progress, now=NOW + 1e6) == Pause(LONGEST_S)


def test_what_cannot_help_is_not_tried_again_until_something_else_is_wanted() -> None:
    blocked = machine.failed(WANTED, Progress(3, "Upgrading", NOW), "Immutable", NOW, final=True)
    assert (blocked.phase, blocked.again) == ("Blocked", 0)
    assert step(FAILED, blocked, now=NOW + 1e6) == Pause(LONGEST_S)
    assert step(FAILED, blocked, Wanted(4)) == UPGRADE
    assert step(BEFORE, blocked) == Watch()


def test_a_failure_is_rolled_back_at_once_where_that_is_wanted() -> None:
    wanted = WANTED._replace(rollback=True)
    failed = machine.failed(wanted, Progress(3, "Upgrading", NOW), "HookFailed", NOW, final=False)
    back = step(FAILED, failed, wanted)
    assert back == Operate("Rollback", "RollingBack", 4)
    assert step(FAILED._replace(earlier=0), failed, wanted) == Operate("Uninstall", "RollingBack")
    assert isinstance(back, Operate)
    began = machine.began(wanted, failed, back, NOW)
    after = machine.succeeded(wanted, began, back, NOW + 5)
    assert (after.phase, after.reason, after.gave_up) == ("Failed", "HookFailed", True)
    assert step(BEFORE, after, wanted) == Watch()
    assert step(NOTHING, after, wanted) == Pause(LONGEST_S)


def test_a_cut_is_no_reason_to_roll_back() -> None:
    wanted = WANTED._replace(rollback=True)
    failed = machine.failed(wanted, Progress(3, "Upgrading", NOW), "Unreachable", NOW, final=False)
    assert step(FAILED, failed, wanted) == Pause(30.0)
    assert step(FAILED, failed, wanted, NOW + 30) == UPGRADE


def test_a_rollback_that_fails_is_tried_again_and_ends() -> None:
    wanted = WANTED._replace(rollback=True)
    progress = machine.failed(wanted, Progress(3, "Upgrading", NOW), "HookFailed", NOW, final=False)
    back = Operate("Rollback", "RollingBack", 4)
    progress = machine.began(wanted, progress, back, NOW)
    progress = machine.failed(wanted, progress, "Failed", NOW, final=False)
    assert step(FAILED, progress, wanted) == Pause(60.0)
    assert step(FAILED, progress, wanted, NOW + 60) == back
    for _ in range(MOST_ATTEMPTS - 2):
        progress = machine.failed(wanted, progress, "Failed", NOW, final=False)
    assert (progress.phase, progress.reason) == ("Failed", ROLLBACK_FAILED)
    assert step(FAILED, progress, wanted) == Pause(LONGEST_S)


# Health


def judged(progress: Progress, wanted: Wanted = WANTED, *, healthy: bool = False, now: float = NOW) -> Progress:
    return machine.judged(wanted, progress, healthy=healthy, in_place=True, now=now)


def test_healthy_is_deployed() -> None:
    assert judged(Progress(3, "Upgrading", NOW - 5), healthy=True) == PLACED
    since = PLACED._replace(since=NOW - 50)
    assert judged(since, healthy=True) == since


def test_who_is_not_healthy_in_time_has_failed_and_heals_by_itself() -> None:
    progress = Progress(3, "Installing", NOW)
    assert judged(progress, now=NOW + 299) == progress._replace(placed=3)
    late = judged(progress, now=NOW + 300)
    assert (late.phase, late.reason, late.gave_up) == ("Failed", NOT_HEALTHY, True)
    assert step(DEPLOYED, late) == Watch()
    assert judged(late, now=NOW + 400) == late
    assert judged(late, healthy=True, now=NOW + 400) == PLACED._replace(since=NOW + 400)
    assert step(DEPLOYED._replace(earlier=4), late, WANTED._replace(rollback=True)) == Operate(
        "Rollback", "RollingBack", 4
    )


def test_what_was_deployed_stays_so_when_it_is_ill() -> None:
    deployed = PLACED._replace(since=NOW - 9999)
    assert judged(deployed) == deployed


def test_health_of_another_revision_says_nothing() -> None:
    failed = Progress(3, "Failed", NOW, 1, "HookFailed")
    assert machine.judged(WANTED, failed, healthy=True, in_place=False, now=NOW) == failed


def test_a_phase_lasts_from_where_it_began() -> None:
    began = machine.began(WANTED, Progress(2, "Upgrading", NOW - 9), UPGRADE, NOW)
    assert began == Progress(3, "Upgrading", NOW - 9)
    assert machine.began(WANTED, Progress(2, "Deployed", NOW - 9), UPGRADE, NOW).since == NOW


# A simulated cluster


class Simulation:
    """A cluster that does what Helm would, as far as the machine sees it; with a controller that may be killed at any moment."""

    def __init__(self, wanted: Wanted) -> None:
        self.wanted, self.now, self.progress = wanted, NOW, Progress()
        self.revisions: list[tuple[str, int]] = []
        """(status, revision of ours), the oldest first."""
        self.dropped = False
        self.operations = 0
        self.left = 0
        """The revision of which somebody else took away what was in place."""

    def present(self) -> Present:
        if not self.revisions:
            return NOTHING
        status, revision = self.revisions[-1]
        states = {"deployed": "Deployed", "failed": "Failed", "uninstalling": "Uninstalling"}
        well = [
            (number, of) for number, (each, of) in enumerate(self.revisions, 1) if each in ("deployed", "superseded")
        ]
        return Present(
            state=states.get(status, "Pending"),  # type: ignore[arg-type]
            ours=True,
            revision=revision,
            installing=status == "pending-install",
            deployed=well[-1][0] if well else 0,
            earlier=next((number for number, of in reversed(well) if of != self.wanted.revision), 0),
        )

    def look(self, event: str, *, healthy: bool) -> None:
        """One reconcile; `event`: what becomes of an operation."""
        self.now += 1000.0
        now = machine.step(self.wanted, self.present(), self.progress, self.now)
        match now:
            case Operate():
                assert self.wanted.gone or self.left != self.wanted.revision, "it is put back against somebody"
                self.operations += 1
                self.progress = machine.began(self.wanted, self.progress, now, self.now)
                self._helm(now, event)
                if event == "done":
                    self.progress = machine.succeeded(self.wanted, self.progress, now, self.now)
                elif event in ("failed", "refused"):
                    final = event == "refused"
                    self.progress = machine.failed(self.wanted, self.progress, "Failed", self.now, final=final)
            case Watch():
                present = self.present()
                in_place = (present.state, present.revision) == ("Deployed", self.wanted.revision)
                self.progress = machine.judged(
                    self.wanted, self.progress, healthy=healthy, in_place=in_place, now=self.now
                )
            case Block(reason):
                self.progress = self.progress.anew(self.wanted.revision, "Blocked", self.now)._replace(reason=reason)
            case Drop():
                self.dropped = True

    def wait(self) -> None:
        """It was suspended, or its cluster away."""
        self.progress = self.progress.anew(0, "Pending", self.now)

    def go_back(self) -> None:
        """Somebody else goes back to the revision before, or uninstalls the first, if it is in place."""
        if self.progress.phase == "Deployed" and self.progress.placed == self.wanted.revision:
            self.left = self.wanted.revision
            earlier = [of for status, of in self.revisions[:-1] if status == "superseded" and of != self.left]
            self.revisions = [*self.revisions, ("deployed", earlier[-1])] if earlier else []

    def _helm(self, operation: Operate, event: str) -> None:
        match operation.operation, event:
            case "Uninstall", "done":
                self.revisions = []
            case "Uninstall", "killed":
                self.revisions[-1] = ("uninstalling", self.revisions[-1][1])
            case (("Install" | "Upgrade" | "Rollback"), ("done" | "killed" | "failed")):
                of = self.revisions[operation.to - 1][1] if operation.operation == "Rollback" else self.wanted.revision
                pending = {"Install": "install", "Upgrade": "upgrade", "Rollback": "rollback"}[operation.operation]
                if event == "done":
                    self.revisions = [("superseded" if each == "deployed" else each, at) for each, at in self.revisions]
                status = {"done": "deployed", "killed": f"pending-{pending}", "failed": "failed"}[event]
                self.revisions.append((status, of))


EVENTS = st.sampled_from(("done", "failed", "killed", "refused", "want", "end", "wait", "by hand"))


@settings(max_examples=300)
@given(st.lists(st.tuples(EVENTS, st.booleans()), max_size=25), st.booleans(), st.booleans())
def test_whatever_happens_the_end_is_what_is_wanted_or_a_reason(
    events: list[tuple[str, bool]], rollback: bool, gone: bool
) -> None:
    simulation = Simulation(Wanted(1, rollback=rollback))
    for event, healthy in events:
        if event == "want":
            simulation.wanted = simulation.wanted._replace(revision=simulation.wanted.revision + 1)
        elif event == "end":
            simulation.wanted = simulation.wanted._replace(gone=True)
        elif event == "wait":
            simulation.wait()
        elif event == "by hand":
            simulation.go_back()
        elif not simulation.dropped:
            simulation.look(event, healthy=healthy)
    if gone:
        simulation.wanted = simulation.wanted._replace(gone=True)
    for _ in range(12):
        if not simulation.dropped:
            simulation.look("done", healthy=True)
    if simulation.dropped:
        return
    present, progress = simulation.present(), simulation.progress
    if simulation.wanted.gone:  # a refused uninstall is somebody's to try again
        assert progress.gave_up
        return
    assert present.state not in ("Pending", "Uninstalling") or progress.gave_up, "a lasting pending-*"
    in_place = (present.state, present.revision) == ("Deployed", simulation.wanted.revision)
    assert (in_place and progress.phase == "Deployed") or progress.gave_up
    operations = simulation.operations
    for _ in range(3):
        simulation.look("done", healthy=True)
    assert simulation.operations == operations, "it never comes to rest"


@pytest.mark.parametrize(("attempt", "pause"), [(0, 30.0), (1, 30.0), (2, 60.0), (6, 900.0), (60, 900.0)])
def test_pauses(attempt: int, pause: float) -> None:
    assert machine.pause_s(attempt) == pause


def test_who_is_refused_is_asked_once_more() -> None:
    """An API server that has just started refuses everybody until it has read its roles."""
    wanted = Wanted(1, rollback=True)
    first = machine.failed(wanted, Progress(1, "Upgrading"), "Forbidden", NOW, final=True)
    assert (first.phase, first.again) == ("Blocked", NOW + 5)
    assert machine.step(wanted, Present("Failed", ours=True, revision=1), first, NOW + 6) == Operate(
        "Upgrade", "Upgrading"
    )
    second = machine.failed(wanted, first._replace(phase="Upgrading"), "Forbidden", NOW, final=True)
    assert (second.phase, second.gave_up) == ("Blocked", True)
