"""Label selectors as LabelSelectorAsSelector means them."""

from __future__ import annotations

import pytest

from skerry.access.selection import selects
from skerry.api.grants import LabelRequirement, LabelSelector

PROD, NONE = {"env": "prod", "zone": "a"}, dict[str, str]()


def requirement(operator: str, *values: str) -> LabelSelector:
    return LabelSelector(match_expressions=[LabelRequirement(key="env", operator=operator, values=list(values))])


@pytest.mark.parametrize(
    ("selector", "prod", "none"),
    [
        (LabelSelector(), True, True),
        (LabelSelector(match_labels={"env": "prod"}), True, False),
        (LabelSelector(match_labels={"env": "prod", "zone": "b"}), False, False),
        (requirement("In", "prod", "test"), True, False),
        (requirement("In"), False, False),
        (requirement("NotIn", "prod"), False, True),
        (requirement("NotIn", "test"), True, True),
        (requirement("Exists"), True, False),
        (requirement("DoesNotExist"), False, True),
        (requirement("Gt", "1"), False, False),
        (LabelSelector(match_labels={"zone": "a"}, match_expressions=[LabelRequirement(key="env", operator="Exists")]),
         True, False),
    ],
)  # fmt: skip
def test_what_a_selector_selects(selector: LabelSelector, prod: bool, none: bool) -> None:
    test = selects(selector)
    assert (test(PROD), test(NONE)) == (prod, none)
