"""Enabled on the host the App Store is usable for every cluster; otherwise for none, and it says why."""

from __future__ import annotations

import pytest

from services.appstore.switch import NAMED, refusal, usable


@pytest.mark.parametrize("members", [(), ("m1",), ("m1", "m2")])
def test_the_hosts_switch_counts_and_a_members_own_does_not(members: tuple[str, ...]) -> None:
    assert usable(True, members).usable
    assert not usable(False, members).usable


def test_off_and_nobody_has_it_on() -> None:
    state = usable(False, ())
    assert state.reason == "HostDisabled"
    assert state.message == (
        "the App Store is disabled on this host, so it is usable on no cluster; an administrator enables it: "
        "skerry app store enable"
    )


def test_on_for_members_alone() -> None:
    state = usable(False, ("m2", "m1"))
    assert state.reason == "OnlyOnMembers"
    assert state.message.startswith(
        "the App Store is enabled only on member(s) m1, m2 and not on the host, so it is usable on no cluster; "
    )


def test_a_message_names_ten_members_at_most() -> None:
    state = usable(False, [f"m{number:02}" for number in range(NAMED + 5)])
    assert "m09 and 5 more and not" in state.message


def test_a_refusal_carries_the_reason() -> None:
    error = refusal(usable(False, ()))
    assert (error.code, [cause.reason for cause in error.details.causes]) == (403, ["HostDisabled"])
