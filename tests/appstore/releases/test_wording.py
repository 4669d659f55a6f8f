"""What an instance says for people."""

from __future__ import annotations

import pytest

from services.appstore.releases import wording
from services.appstore.releases.machine import Operate
from services.appstore.releases.specs import Place

BACK, AWAY = Operate("Rollback", "RollingBack", 3), Operate("Uninstall", "RollingBack")
WEB = Place("shop", "web")
RELEASE = wording.ReleaseName("shop", "mine")


def test_who_may_not_is_named_with_what_helps() -> None:
    for said in (wording.refused("no", "ann", RELEASE), wording.failed("Forbidden", "no", "ann", RELEASE)):
        assert (
            said
            == "no (it is worked as ann: give them the right, or take the release over: skerry app own mine -w shop)"
        )
    assert "worked as nobody" in wording.refused("no", "", RELEASE)


def test_who_has_no_rights_to_uninstall_it_any_more_is_told_how_others_end_it() -> None:
    said = wording.refused("no", "ann", wording.ReleaseName("default", "web"), "m1")
    assert "skerry app own web, or leave what runs there: skerry app uninstall web --forget m1)" in said


@pytest.mark.parametrize(
    ("reason", "message", "helps"),
    [
        ("Conflict", "conflict occurred while applying object a: .spec.replicas", True),
        ("Conflict", "Secret a exists and cannot be imported into the current release", False),
        ("Immutable", "conflict occurred while applying object a", False),
    ],
)
def test_fields_of_others_can_be_taken_and_their_objects_cannot(reason: str, message: str, helps: bool) -> None:
    said = wording.failed(reason, message, "ann", RELEASE)
    assert said.startswith(message)
    assert ("spec.conflicts: Take" in said) is helps


def test_what_became_of_going_back_is_said_once() -> None:
    first = wording.undone("not healthy", BACK)
    assert first == "not healthy; it was rolled back to Helm's revision 3"
    assert wording.undone(first, AWAY) == "not healthy; it was uninstalled"
    failing = wording.not_undone(first, "no")
    assert failing == "not healthy; rolling it back failed: no"
    assert wording.not_undone(failing, "never") == "not healthy; rolling it back failed: never"
    assert wording.undone(failing, BACK) == first


def test_what_others_did_is_named_with_what_to_do() -> None:
    assert "skerry app retry mine -w shop" in wording.changed_by_hand("m1", WEB, RELEASE)
    assert "helm uninstall -n shop web" in wording.exists("m1", WEB)
