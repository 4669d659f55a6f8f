"""Which clusters a LabelSelector selects, as k8s.io/apimachinery's LabelSelectorAsSelector means it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from skerry.api.grants import LabelRequirement, LabelSelector

Labels: TypeAlias = Mapping[str, str]
Test: TypeAlias = Callable[[Labels], bool]


def selects(selector: LabelSelector) -> Test:
    """A test of labels. An empty selector selects everything; an operator that is not known nothing."""
    pairs = tuple(selector.match_labels.items())
    tests = tuple(_requirement(each) for each in selector.match_expressions)
    return lambda labels: all(labels.get(key) == value for key, value in pairs) and all(test(labels) for test in tests)


def _requirement(requirement: LabelRequirement) -> Test:
    key, values = requirement.key, frozenset(requirement.values)
    match requirement.operator:
        case "In":
            return lambda labels: labels.get(key) in values
        case "NotIn":
            return lambda labels: labels.get(key) not in values
        case "Exists":
            return lambda labels: key in labels
        case "DoesNotExist":
            return lambda labels: key not in labels
        case _:
            return lambda labels: False
