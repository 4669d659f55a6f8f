"""-l as an object's LabelSelector."""

from __future__ import annotations

from typing import Any

import pytest

from skerry.cli.failure import Failure
from skerry.cli.selecting import label_selector


@pytest.mark.parametrize(
    ("text", "labels", "expressions"),
    [
        ("env=prod", {"env": "prod"}, []),
        ("env==prod, tier=", {"env": "prod", "tier": ""}, []),
        ("env!=prod", {}, [{"key": "env", "operator": "NotIn", "values": ["prod"]}]),
        ("tier in (a, b),env=x", {"env": "x"}, [{"key": "tier", "operator": "In", "values": ["a", "b"]}]),
        ("tier notin (a)", {}, [{"key": "tier", "operator": "NotIn", "values": ["a"]}]),
        ("gpu,!old", {}, [{"key": "gpu", "operator": "Exists"}, {"key": "old", "operator": "DoesNotExist"}]),
        ("a=1,a=2", {"a": "1"}, [{"key": "a", "operator": "In", "values": ["2"]}]),
        ("example.com/env = prod", {"example.com/env": "prod"}, []),
    ],
)
def test_a_selector_means_what_kubectls_does(text: str, labels: dict[str, str], expressions: list[Any]) -> None:
    selector = label_selector(text)
    assert selector.get("matchLabels", {}) == labels
    assert selector.get("matchExpressions", []) == expressions


@pytest.mark.parametrize("text", ["", " ", "=", "a=b=c", "size>3", "a in b", "a in (", "\x1b[2J", "a,,b"])
def test_what_is_none_is_one_sentence(text: str) -> None:
    with pytest.raises(Failure, match="is no selector of labels") as caught:
        label_selector(text)
    assert caught.value.code == 2
    assert "\x1b" not in caught.value.message
