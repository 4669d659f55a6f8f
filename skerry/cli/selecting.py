"""`-l env=prod,tier in (a, b)` as the LabelSelector that an object has: what kubectl's -l means, where labels can mean it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from skerry.cli.failure import USAGE, Failure
from skerry.httpwire.selectors import valid_labels

_SPLIT = re.compile(r",(?![^(]*\))")
_EQUAL = re.compile(r"([^\s!=<>]+)\s*(!=|==|=)\s*(\S*)")
_SET = re.compile(r"(\S+)\s+(in|notin)\s*\((.*)\)", re.DOTALL)
_THERE = re.compile(r"(!?)\s*([^\s!=<>()]+)")


def label_selector(text: str) -> dict[str, Any]:
    """The LabelSelector. Failure (usage) for what is none, or compares numbers."""
    if not text.strip() or not valid_labels(text) or re.search(r"[<>]", text):
        raise Failure(
            f"-l {text!r} is no selector of labels: use for example env=prod,tier!=test or 'tier in (a,b)'", USAGE
        )
    labels: dict[str, str] = {}
    requirements: list[dict[str, Any]] = []
    for key, operator, values in _terms(text):
        if operator == "=" and key not in labels:
            labels[key] = values[0]
        else:
            named = {"=": "In", "in": "In", "notin": "NotIn", "": "Exists", "!": "DoesNotExist"}[operator]
            requirements.append({"key": key, "operator": named, **({"values": values} if values else {})})
    return {
        **({"matchLabels": labels} if labels else {}),
        **({"matchExpressions": requirements} if requirements else {}),
    }


def _terms(text: str) -> Iterator[tuple[str, str, list[str]]]:
    """(key, operator, values) of each."""
    for term in map(str.strip, _SPLIT.split(text)):
        if match := _SET.fullmatch(term):
            yield match[1], match[2], [each.strip() for each in match[3].split(",")]
        elif match := _EQUAL.fullmatch(term):
            yield match[1], "notin" if match[2] == "!=" else "=", [match[3]]
        elif match := _THERE.fullmatch(term):
            yield match[2], match[1], []
