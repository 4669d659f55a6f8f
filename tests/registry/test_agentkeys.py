"""The keys of a member's agents, as rules: tables, no bus."""

from __future__ import annotations

import pytest

from services.registry import agentkeys
from services.registry.agentkeys import CAP_S, MOST
from services.registry.secrets import MemberSecret, ReplacedKey
from skerry.errors import Conflict, Forbidden, NotFound, StatusError, Unauthorized

NOW = 1000.0
A, B, C, D = (f"UAAB{letter * 52}" for letter in "ABCD")
ONE = MemberSecret(cluster="o", account="ACC", seed="S", agents={A: 1.0})
TWO = MemberSecret(cluster="o", account="ACC", seed="S", agents={A: 1.0, D: 2.0})


def rekeyed(secret: MemberSecret = TWO, old: str = A, new: str = B) -> MemberSecret:
    return agentkeys.after_rekey(secret, old, new, NOW)


def test_a_key_takes_the_place_of_another_which_stays_good() -> None:
    secret = rekeyed()
    assert (secret.agents, secret.replaced) == ({D: 2.0, B: NOW}, {A: ReplacedKey(by=B, at=NOW)})
    assert (secret.has(A), secret.has(B), secret.has(C)) == (True, True, False)


def test_the_same_again_changes_nothing_whoever_asked_meanwhile() -> None:
    secret = rekeyed()
    assert agentkeys.after_rekey(secret, A, B, NOW + 5) is secret
    other = agentkeys.after_rekey(secret, D, C, NOW + 6)
    assert agentkeys.after_rekey(other, A, B, NOW + 7) is other


def test_who_is_rekeyed_twice_answers_for_all_that_it_left() -> None:
    secret = rekeyed(rekeyed(), B, C)
    assert {key: each.by for key, each in secret.replaced.items()} == {A: C, B: C}
    assert agentkeys.retired(secret, C, frozenset({A})) == {B}
    assert agentkeys.retired(secret, C, frozenset()) == {A, B}
    assert agentkeys.retired(secret, B, frozenset()) == agentkeys.retired(secret, D, frozenset()) == frozenset()


REFUSED: list[tuple[str, MemberSecret, str, str, type[StatusError]]] = [
    ("a key of nobody", TWO, C, B, Unauthorized),
    ("one that was replaced, by another one", rekeyed(), A, C, Unauthorized),
    ("one whose successor was replaced too", rekeyed(rekeyed(), B, C), A, B, Unauthorized),
    ("one that is revoked", agentkeys.with_revoked(TWO, {A}, NOW), A, B, Unauthorized),
    ("another agent's key", TWO, A, D, Conflict),
    ("a key that was replaced", rekeyed(), D, A, Conflict),
    ("a key that is revoked", agentkeys.with_revoked(TWO, {A}, NOW), D, A, Conflict),
]


@pytest.mark.parametrize(
    ("secret", "old", "new", "error"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED]
)
def test_what_may_not_be_replaced_or_take_a_place(
    secret: MemberSecret, old: str, new: str, error: type[StatusError]
) -> None:
    with pytest.raises(error):
        agentkeys.after_rekey(secret, old, new, NOW)


def test_an_account_holds_no_endless_list_of_keys() -> None:
    full = MemberSecret(
        cluster="o", account="ACC", seed="S", agents={A: 1.0}, revoked={str(n): 0.0 for n in range(MOST)}
    )
    with pytest.raises(Conflict, match="left 1000 keys behind: remove it and join it again"):
        agentkeys.after_rekey(full, A, B, NOW)
    most = MemberSecret(
        cluster="o", account="ACC", seed="S", agents={A: 1.0}, revoked={str(n): 0.0 for n in range(MOST - 1)}
    )
    assert A in agentkeys.after_rekey(most, A, B, NOW).replaced


@pytest.mark.parametrize(
    ("heard", "after_s", "at_once", "over"),
    [
        ({B}, CAP_S - 1, False, set()),
        ({B}, CAP_S, False, {A}),
        ({B}, 0, True, {A}),
        (set(), CAP_S * 10, False, set()),
        (set(), 0, True, set()),
        ({A, D}, CAP_S * 10, True, set()),
    ],
)
def test_a_replaced_key_is_over_in_time_and_never_before_its_agent_was_heard_with_the_other(
    heard: set[str], after_s: float, at_once: bool, over: set[str]
) -> None:
    assert agentkeys.overdue(rekeyed(), frozenset(heard), NOW + after_s, at_once=at_once) == over


def test_the_next_look_is_when_the_first_is_over() -> None:
    assert agentkeys.due_s(TWO, NOW) is None
    secret = agentkeys.after_rekey(rekeyed(), D, C, NOW + 60)
    assert agentkeys.due_s(secret, NOW + 60) == CAP_S - 60
    assert agentkeys.due_s(secret, NOW + 2 * CAP_S) == 0.0


def test_a_revoked_key_is_marked_then_told_then_forgotten_and_stays_revoked() -> None:
    marked = agentkeys.with_revoked(rekeyed(), {A}, NOW + 1)
    assert (set(agentkeys.untold(marked)), marked.has(A), marked.revoked) == ({A}, False, {A: NOW + 1})
    assert agentkeys.with_revoked(marked, {A}, NOW + 9) == marked
    told = agentkeys.forgotten(marked, frozenset({A}))
    assert (told.replaced, told.revoked, agentkeys.untold(told)) == ({}, {A: NOW + 1}, frozenset())


def test_revoking_an_agent_takes_all_its_keys_and_nobody_elses() -> None:
    secret = rekeyed()
    assert agentkeys.with_successor(secret, B) == {A, B}
    gone = agentkeys.with_revoked(secret, agentkeys.with_successor(secret, B), NOW)
    assert (gone.agents, set(gone.revoked), set(agentkeys.untold(gone))) == ({D: 2.0}, {A, B}, {A, B})
    assert (gone.has(A), gone.has(B), gone.has(D)) == (False, False, True)


def test_nobody_joins_with_a_key_that_was_taken_from_the_member() -> None:
    agentkeys.check_join(TWO, A)
    agentkeys.check_join(TWO, C)
    for secret in (rekeyed(), agentkeys.with_revoked(TWO, {A}, NOW)):
        with pytest.raises(Forbidden, match="UAABAAAAAA was revoked or replaced: nobody joins with it again"):
            agentkeys.check_join(secret, A)


@pytest.mark.parametrize("text", [A, A.lower(), "UAABA", "uaaba"])
def test_an_agent_is_chosen_by_what_its_key_begins_with(text: str) -> None:
    assert agentkeys.chosen(TWO, text, "m1") == A


def test_one_that_is_revoked_already_may_be_so_again() -> None:
    marked = agentkeys.with_revoked(TWO, {A}, NOW)
    assert agentkeys.chosen(marked, "UAABA", "m1") == A
    assert agentkeys.chosen(agentkeys.forgotten(marked, frozenset({A})), "UAABA", "m1") == A


@pytest.mark.parametrize(
    ("secret", "text", "error", "message"),
    [
        (TWO, "UAABX", NotFound, "cluster 'm1' has no agent 'UAABX'; there is: UAABAAAAAA, UAABDDDDDD"),
        (TWO, "", NotFound, "cluster 'm1' has no agent ''; there is: UAABAAAAAA, UAABDDDDDD"),
        (MemberSecret(cluster="o", account="X", seed="S"), "UAABA", NotFound, "there is: none"),
        (TWO, "UAAB", Conflict, f"'UAAB' may be {A}, {D}: say more of it"),
        (
            ONE,
            "UAABA",
            Conflict,
            "UAABAAAAAA is the last agent of cluster 'm1': remove the cluster instead: skerry cluster",
        ),
    ],
)
def test_who_cannot_be_revoked(secret: MemberSecret, text: str, error: type[StatusError], message: str) -> None:
    with pytest.raises(error, match=message):
        agentkeys.chosen(secret, text, "m1")
