"""Selectors, against the words and the choices of k8s.io/apimachinery: no server."""

from __future__ import annotations

import pytest

from services.proxy.hostapi import selectors
from skerry.api.kinds import CLUSTER, EVENT
from skerry.errors import BadRequest
from skerry.storage import Item
from skerry.storage.documents import item

PROD = {"env": "prod", "n": "7", "a.b/c": ""}


def labelled(**labels: str) -> Item:
    return item({"metadata": {"name": "m1", "labels": labels}}, 1)


def matches(text: str, labels: dict[str, str]) -> bool:
    return selectors.labels(text)(labelled(**labels))


@pytest.mark.parametrize(
    "text",
    ["", " ", "env", "env=prod", "env==prod", " env = prod ", "env in (prod,test)", "env in(prod)", "env notin (test)",
     "env!=test", "none!=x", "!none", "! none", "n>6", "n<8", "n > 0", "env,n=7", "a.b/c", "a.b/c=", "a.b/c in ()",
     "a.b/c in (,x)", "none notin (x)", "in notin (x)", "env=prod,"],
)  # fmt: skip
def test_what_matches(text: str) -> None:
    if text == "env=prod,":
        with pytest.raises(BadRequest, match="identifier after ','"):
            selectors.labels(text)
        return
    assert matches(text, PROD)


@pytest.mark.parametrize("text", ["none", "!env", "env=test", "env!=prod", "env notin (prod)", "n>7", "env>1", "in=x"])
def test_what_does_not(text: str) -> None:
    assert not matches(text, PROD)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("==", "found '==', expected: !, identifier, or 'end of string'"),
        ("x>a", "values[0]: Invalid value: \"a\": for 'Gt', 'Lt' operators, the value must be an integer"),
        ("x>-1", 'unable to parse requirement: values[0][x]: Invalid value: "-1": a valid label must be'),
        ("x<+1", 'unable to parse requirement: values[0][x]: Invalid value: "+1": a valid label must be'),
        ("x in (a", "unable to parse requirement: found '', expected: ',' or ')'"),
        ("x in a", "unable to parse requirement: found 'a' expected: '('"),
        ("x=_a-", 'unable to parse requirement: values[0][x]: Invalid value: "_a-": a valid label must be'),
        ("-a", 'unable to parse requirement: key: Invalid value: "-a": name part must consist of'),
        ("A_/b", 'unable to parse requirement: key: Invalid value: "A_/b": prefix part'),
        ("!", "unable to parse requirement: found '', expected: identifier"),
        ("a=b=c", "found '=', expected: ',' or 'end of string'"),
    ],
)
def test_mistakes_are_told_in_the_api_servers_words(text: str, told: str) -> None:
    with pytest.raises(BadRequest) as caught:
        selectors.labels(text)
    assert told in caught.value.message


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("metadata.name=m1", True),
        ("metadata.name==m1,,", True),
        ("=", True),
        ("metadata.name!=m1", False),
        ("metadata.name=m\\,1", False),
        ("", True),
    ],
)
def test_fields(text: str, found: bool) -> None:
    assert selectors.fields(selectors.terms(text), CLUSTER)(labelled()) is found


def test_a_kind_declares_further_fields() -> None:
    event = item({"metadata": {"name": "e"}, "involvedObject": {"name": "m1"}, "type": "Normal"}, 1)
    assert selectors.fields(selectors.terms("involvedObject.name=m1,type!=Warning,involvedObject.uid="), EVENT)(event)
    assert not selectors.fields(selectors.terms("involvedObject.name=m2"), EVENT)(event)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("spec.foo=host", "field label not supported: spec.foo"),
        ("nonsense", "invalid selector: 'nonsense'; can't understand 'nonsense'"),
        ("metadata.name=\\", "invalid field selector: invalid escape sequence: \\"),
        ("metadata.name=\\x", "invalid field selector: invalid escape sequence: \\x"),
        ("metadata.name=a=b", "invalid field selector: unescaped character in value: 61"),
        (" metadata.name=a", "field label not supported:  metadata.name"),
        ("metadata.namespace=", "field label not supported: metadata.namespace"),
    ],
)
def test_mistakes_in_field_selectors(text: str, told: str) -> None:
    with pytest.raises(BadRequest) as caught:
        selectors.fields(selectors.terms(text), CLUSTER)
    assert caught.value.message == told


def test_a_namespaced_kind_is_selected_by_its_namespace() -> None:
    event = item({"metadata": {"name": "e", "namespace": "default"}}, 1)
    assert selectors.fields(selectors.terms("metadata.namespace=default"), EVENT)(event)
    assert not selectors.fields(selectors.terms("metadata.namespace!=default"), EVENT)(event)


def test_commas_can_be_escaped() -> None:
    odd = item({"metadata": {"name": "e"}, "reason": "a,b=c"}, 1)
    assert selectors.fields(selectors.terms("reason=a\\,b\\=c"), EVENT)(odd)


def test_a_selector_has_as_many_requirements_as_objects_can_be_asked_about() -> None:
    most = selectors.MOST_REQUIREMENTS
    assert matches(",".join(["!none"] * most), PROD)
    assert matches(f"env in ({','.join(map(str, range(50_000)))},prod)", PROD)
    for text in (",".join(["!none"] * (most + 1)), "!none," * 400_000):
        with pytest.raises(BadRequest, match="at most 256 requirements"):
            selectors.labels(text)
    for text in ("metadata.name=m1," * most, "," * 1_000_000):
        with pytest.raises(BadRequest, match="at most 256 requirements"):
            selectors.fields(selectors.terms(text), CLUSTER)
