"""Settings of a host: what each is without an object, and what one that cannot be read is."""

from __future__ import annotations

import pytest

from skerry.api.hostsettings import APPROVALS, HOST_SETTINGS, JOIN_APPROVAL, LONGEST, HostSetting
from skerry.api.meta import Document


@pytest.mark.parametrize(
    ("document", "is_on"),
    [
        (None, False),
        ({}, False),
        ({"spec": None}, False),
        ({"spec": {"value": "true"}}, True),
        ({"spec": {"value": "false"}}, False),
        ({"spec": {"value": "sometimes"}}, False),
        ({"spec": {"value": True}}, False),
    ],
)
def test_a_setting_has_its_default_unless_its_object_says_what_it_may_be(
    document: Document | None, is_on: bool
) -> None:
    assert JOIN_APPROVAL.is_on(document) is is_on


def test_every_default_is_a_value_that_may_be_set_and_every_name_its_own() -> None:
    for name, setting in HOST_SETTINGS.items():
        assert setting.name == name
        assert setting.grammar.allows(setting.default), name


@pytest.mark.parametrize(
    ("setting", "good", "bad"),
    [
        (APPROVALS, ("1", "10"), ("0", "11", "-1", "1.5", "", "many", "1 ", "\u0661")),
        (LONGEST, ("1m", "8h", "30d", "1h30m"), ("59s", "31d", "8", "", "NaN", "-1h", "9" * 400 + "h", "8h\n")),
    ],
)
def test_numbers_and_durations_have_bounds(setting: HostSetting, good: tuple[str, ...], bad: tuple[str, ...]) -> None:
    assert [value for value in good if not setting.grammar.allows(value)] == []
    assert [value for value in bad if setting.grammar.allows(value)] == []
