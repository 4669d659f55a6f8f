"""The ledger step by step: what is refused, what is believed of a report, and what a restore leaves unknown."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from services.quota import model
from services.quota.model import (
    LARGEST,
    LEASES,
    ExceededError,
    LeaseKey,
    Ledger,
    Limits,
    NotAttestedError,
    Report,
    RolledBackError,
    adopt,
    ask,
    ask_of,
    end,
    forfeit,
    lent,
    recover,
    take_report,
    take_whole_report,
)

A, B = LeaseKey("m1", "web"), LeaseKey("m2", "web")
CPU, PODS = "requests.cpu", "pods"
LIMITS = Limits({CPU: 4000, PODS: 10_000}, {"m2": {CPU: 1500}})
EMPTY = Ledger(number=7)


def _report(number: int, size: dict[str, int], used: dict[str, int] | None = None, uid: str = "u") -> Report:
    return Report(uid=uid, number=number, spec=size, status=size, used=used or {}, settled=True)


def _two() -> Ledger:
    ledger = ask(EMPTY, A, "u", {CPU: 2000, PODS: 5000}, LIMITS)
    return ask(ledger, B, "v", {CPU: 1000, PODS: 1000}, LIMITS)


def test_a_lease_is_counted_from_the_moment_that_it_is_asked_for() -> None:
    ledger = _two()

    assert lent(ledger, CPU) == 3000
    assert lent(ledger, CPU, "m2") == 1000
    assert [lease.number for lease in ledger.leases.values()] == [8, 9]
    assert ask_of(ledger.leases[A]) == ("set", 8, "u", {CPU: 2000, PODS: 5000})


def test_what_is_asked_twice_is_written_once() -> None:
    ledger = _two()

    assert ask(ledger, A, "u", {CPU: 2000, PODS: 5000}, LIMITS) is ledger


@dataclass(frozen=True)
class Excess:
    key: LeaseKey
    cpu: int
    short: int
    cluster: str


@pytest.mark.parametrize(
    "case",
    [Excess(A, 3500, 500, ""), Excess(B, 1600, 100, "m2"), Excess(LeaseKey("m3", "web"), 1001, 1, "")],
    ids=["total", "a cluster's maximum", "a new lease"],
)
def test_more_than_there_is_cannot_be_asked_for(case: Excess) -> None:
    with pytest.raises(ExceededError) as caught:
        ask(_two(), case.key, "u", {CPU: case.cpu, PODS: 1000}, LIMITS)

    assert (caught.value.resource, caught.value.short, caught.value.cluster) == (CPU, case.short, case.cluster)


def test_a_shrink_is_free_again_when_the_member_has_proved_it_of_each_resource() -> None:
    ledger = ask(_two(), A, "u", {CPU: 500, PODS: 5000}, LIMITS)
    assert lent(ledger, CPU) == 3000

    ledger = take_report(ledger, A, _report(10, {CPU: 500, PODS: 5000}, {CPU: 800, PODS: 3000}))

    assert dict(ledger.leases[A].granted) == {CPU: 800, PODS: 5000}
    assert ledger.number == 10


@pytest.mark.parametrize(
    "report",
    [
        _report(8, {CPU: 500}),
        Report(uid="u", number=10, spec={CPU: 500}, status={CPU: 2000}, settled=True),
        Report(uid="u", number=10, spec={CPU: 500}, status={CPU: 500}),
        Report(uid="u", number=10, spec={CPU: 500}, settled=True),
        _report(10, {CPU: 400}),
        Report(uid="u"),
        Report(uid="another", gone="namespace"),
        Report(uid="u", number=10, gone="quota"),
    ],
    ids=["older", "controller is late", "not counted", "no status", "another value", "nothing", "old uid", "not asked"],
)
def test_what_proves_nothing_changes_nothing(report: Report) -> None:
    ledger = ask(_two(), A, "u", {CPU: 500}, LIMITS)

    assert take_report(ledger, A, report) is ledger


def test_more_in_use_than_was_granted_is_a_debt_until_it_is_gone() -> None:
    ledger = _two()
    ledger = take_report(ledger, A, Report(uid="u", number=8, spec={CPU: 9000}, status={CPU: 2000}, used={"gpu": 1}))
    assert dict(ledger.leases[A].debt) == {CPU: 7000}
    assert lent(ledger, CPU) == 10_000
    with pytest.raises(ExceededError):
        ask(ledger, A, "u", {CPU: 2001, PODS: 5000}, LIMITS)
    with pytest.raises(ExceededError):
        ask(ledger, B, "v", {CPU: 1001, PODS: 1000}, LIMITS)

    ledger = take_report(ledger, A, _report(8, {CPU: 2000, PODS: 5000}))

    assert not ledger.leases[A].debt
    assert ask(ledger, B, "v", {CPU: 1001, PODS: 1000}, LIMITS) is not ledger


def test_a_member_cannot_claim_what_no_number_holds() -> None:
    ledger = take_report(_two(), A, Report(uid="u", number=8, used={CPU: 10**30}))

    assert ledger.leases[A].debt[CPU] <= LARGEST


def test_a_namespace_made_anew_is_asked_anew_and_what_was_granted_stays_counted() -> None:
    ledger = take_report(_two(), A, Report(uid="u2"))

    assert ask_of(ledger.leases[A]) == ("set", 10, "u2", {CPU: 2000, PODS: 5000})
    assert lent(ledger, CPU) == 3000


def test_a_lease_that_ends_is_counted_until_the_member_has_proved_it() -> None:
    ledger = end(_two(), A)
    assert end(ledger, A) is ledger
    assert end(ledger, LeaseKey("m9", "web")) is ledger
    assert ask_of(ledger.leases[A])[:2] == ("absent", 10)
    assert lent(ledger, CPU) == 3000
    with pytest.raises(NotAttestedError):
        ask(ledger, A, "u", {CPU: 1}, LIMITS)
    assert take_report(ledger, A, Report(uid="u", number=8, gone="quota")) is ledger

    ledger = take_report(ledger, A, Report(uid="u", number=10, gone="quota"))

    assert list(ledger.leases) == [B]


def test_a_namespace_that_is_gone_frees_its_lease() -> None:
    assert list(take_report(_two(), A, Report(uid="u", gone="namespace")).leases) == [B]


def test_a_forfeited_lease_no_longer_counts() -> None:
    ledger = forfeit(_two(), A)

    assert lent(ledger, CPU) == 1000
    assert forfeit(ledger, A) is ledger


def test_a_namespace_in_use_begins_with_what_it_uses_beyond_the_total_too_and_nothing_grows() -> None:
    ledger = adopt(_two(), LeaseKey("m3", "old"), "w", {CPU: 9000})

    assert lent(ledger, CPU) == 12_000
    with pytest.raises(ExceededError) as caught:
        ask(ledger, A, "u", {CPU: 2001, PODS: 5000}, LIMITS)
    assert caught.value.short == 1
    assert ask(ledger, A, "u", {CPU: 1000, PODS: 5000}, LIMITS) is not ledger


def test_a_resource_that_is_limited_later_begins_with_what_is_used_of_it() -> None:
    ledger = adopt(_two(), A, "u", {CPU: 9000, "count/jobs.batch": 2000})

    assert dict(ledger.leases[A].granted) == {CPU: 2000, PODS: 5000, "count/jobs.batch": 2000}
    assert adopt(ledger, A, "u", {CPU: 9000}) is ledger


def test_a_resource_that_is_no_longer_limited_is_no_longer_counted() -> None:
    ledger = ask(_two(), A, "u", {PODS: 5000}, LIMITS)

    assert lent(ledger, CPU) == 1000


def test_a_quota_has_so_many_namespaces() -> None:
    ledger = EMPTY
    for index in range(LEASES):
        ledger = adopt(ledger, LeaseKey("m1", f"n{index}"), "u", {})

    with pytest.raises(ValueError, match="at most 1000 namespaces"):
        ask(ledger, A, "u", {}, LIMITS)


# After a restore


def _restored() -> Ledger:
    return recover(_two(), "first", 100, {LeaseKey("m1", "new"): "n", A: "u"})


def test_after_a_restore_nothing_is_known_and_everything_is_asked_to_be_kept() -> None:
    ledger = _restored()

    assert [ask_of(lease).kind for lease in ledger.leases.values()] == ["keep"] * 3
    assert min(lease.number for lease in ledger.leases.values()) > 100
    assert ledger.number >= max(lease.number for lease in ledger.leases.values())
    with pytest.raises(NotAttestedError):
        ask(ledger, A, "u", {CPU: 0}, LIMITS)


def test_a_lease_is_what_its_member_says_with_the_new_number_and_only_that_is_lent_again() -> None:
    ledger = _restored()
    assert take_report(ledger, A, _report(8, {CPU: 1})) is ledger
    ledger = take_report(ledger, A, _report(ledger.leases[A].number, {CPU: 3500}, {CPU: 100}))
    ledger = take_report(ledger, B, _report(ledger.leases[B].number, {CPU: 200}, uid="v"))
    assert dict(ledger.leases[A].granted) == {CPU: 3500}

    with pytest.raises(ExceededError) as caught:
        ask(ledger, B, "v", {CPU: 201}, LIMITS)
    assert caught.value.short == 1

    ledger = ask(ledger, A, "u", {CPU: 3000}, LIMITS)
    ledger = take_report(ledger, A, _report(ledger.leases[A].number, {CPU: 3000}))
    assert ask(ledger, B, "v", {CPU: 700}, LIMITS) is not ledger


def test_it_is_over_when_each_lease_and_each_member_has_spoken() -> None:
    ledger = _restored()
    for key, lease in list(ledger.leases.items()):
        ledger = take_report(ledger, key, _report(lease.number, {CPU: 100}, uid=lease.uid))
    assert ledger.recovery
    assert take_whole_report(ledger, "m1", "an earlier one") is ledger
    ledger = take_whole_report(ledger, "m1", "first")
    assert take_whole_report(ledger, "m1", "first") is ledger

    ledger = take_whole_report(ledger, "m2", "first")

    assert (ledger.recovery, dict(ledger.attested)) == ("", {})


def test_a_lease_that_was_ending_is_asked_to_end_once_more() -> None:
    ledger = recover(end(_two(), A), "first", 0, {})

    ledger = take_report(ledger, A, _report(ledger.leases[A].number, {CPU: 100}))

    assert ask_of(ledger.leases[A]).kind == "absent"
    assert ledger.leases[A].number == ledger.number


def test_an_empty_ledger_has_nothing_to_recover() -> None:
    assert not recover(EMPTY, "first", 100, {}).recovery


def test_a_number_that_nobody_asked_with_is_from_a_future_that_was_rolled_back() -> None:
    with pytest.raises(RolledBackError):
        take_report(_two(), A, _report(50, {CPU: 1}))


def test_a_quota_of_ours_that_nobody_knows_counts_at_once_and_is_asked_what_it_is() -> None:
    stray = LeaseKey("m3", "stray")
    ledger = take_report(_two(), stray, _report(3, {CPU: 700}, uid="s"))
    assert ask_of(ledger.leases[stray]).kind == "keep"
    assert lent(ledger, CPU) == 3700

    ledger = take_report(ledger, stray, _report(ledger.leases[stray].number, {CPU: 700}, uid="s"))

    assert (dict(ledger.leases[stray].granted), ledger.leases[stray].attested) == ({CPU: 700}, True)
    assert not ledger.attested


def test_a_namespace_without_a_lease_and_without_a_quota_is_nothing() -> None:
    ledger = _two()

    assert take_report(ledger, LeaseKey("m3", "x"), Report(uid="x")) is ledger
    assert take_report(ledger, LeaseKey("m3", "x"), Report(uid="x", number=3, gone="namespace")) is ledger


def test_the_largest_of_what_a_report_says_may_be_in_use() -> None:
    assert model.most(Report(uid="u", spec={CPU: 1}, status={CPU: 3}, used={CPU: 2, PODS: 4})) == {CPU: 3, PODS: 4}
