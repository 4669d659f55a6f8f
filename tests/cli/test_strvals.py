"""--set as Helm reads it. The expected values are those of `helm template --set … ` (4.3.1) with {{ toJson .Values }}."""

from __future__ import annotations

from typing import Any

import pytest

from skerry.cli import strvals
from skerry.cli.failure import Failure


@pytest.mark.parametrize(
    ("expression", "values"),
    [
        ("a=b", {"a": "b"}),
        ("a=", {"a": ""}),
        ("a=1,b=-2,c=007,d=1.5", {"a": 1, "b": -2, "c": "007", "d": "1.5"}),
        ("a=true,b=false,c=null,d=True", {"a": True, "b": False, "c": None, "d": True}),
        ("a.b.c=1", {"a": {"b": {"c": 1}}}),
        ("a.b=1,a.c=2", {"a": {"b": 1, "c": 2}}),
        (r"a\.b=1", {"a.b": 1}),
        (r"a=x\,y", {"a": "x,y"}),
        (r"a=x\=y", {"a": "x=y"}),
        ("a=x=y", {"a": "x=y"}),
        ("a={1,b}", {"a": [1, "b"]}),
        ("a={}", {"a": [""]}),
        ("a={x}", {"a": ["x"]}),
        ("a={x,},b=1", {"a": ["x", ""], "b": 1}),
        ("a[0]=x", {"a": ["x"]}),
        ("a[2]=x", {"a": [None, None, "x"]}),
        ("a[0].b=1,a[0].c=2,a[1].b=3", {"a": [{"b": 1, "c": 2}, {"b": 3}]}),
        ("a[0][1]=x", {"a": [[None, "x"]]}),
        ("a=12345678901234567890", {"a": "12345678901234567890"}),
        ("a b=c d", {"a b": "c d"}),
    ],
)
def test_an_expression(expression: str, values: dict[str, Any]) -> None:
    result: dict[str, Any] = {}
    strvals.put(result, expression)
    assert result == values


def test_texts_stay_texts() -> None:
    result: dict[str, Any] = {}
    strvals.put(result, "a=1,b=true,c={1,null}", str)
    assert result == {"a": "1", "b": "true", "c": ["1", "null"]}


def test_what_is_there_is_kept_and_what_has_another_shape_is_replaced() -> None:
    result: dict[str, Any] = {"a": {"x": 1}, "b": "text", "c": [1, 2]}
    strvals.put(result, "a.y=2,b.z=3,c[1]=9,c[3]=4")
    assert result == {"a": {"x": 1, "y": 2}, "b": {"z": 3}, "c": [1, 9, None, 4]}


@pytest.mark.parametrize(
    "expression",
    ["", "a", "=1", "a,b=1", "a={x", "a[x]=1", "a[-1]=1", "a[99999]=1", ".a=1", "a..b=1", "a[0=1", "a." * 40 + "b=1"],
)
def test_what_says_nothing_is_a_usage_error(expression: str) -> None:
    with pytest.raises(Failure) as refused:
        strvals.put({}, expression)
    assert refused.value.code == 2
    assert "write it as" in refused.value.message


def test_the_path_of_a_key() -> None:
    assert strvals.path(r"db.users[0].pass\.word") == ["db", "users", 0, "pass.word"]
    with pytest.raises(Failure):
        strvals.path("a=b")
