"""Field and label selectors, as far as the meaning of a request depends on them.

`fieldSelector=metadata.name=x` gives a LIST or WATCH a name, which authorisation by name relies on. Sources:
k8s.io/apimachinery/pkg/fields/selector.go and pkg/labels/selector.go.
"""

from __future__ import annotations

import re

from skerry.api.validation import LONGEST_LABEL, LONGEST_SUBDOMAIN, QUALIFIED, SUBDOMAIN

_TERM = re.compile(r"(.*?)(!=|==|=)(.*)", re.DOTALL)
_UNESCAPED = re.compile(r"(?:[^\\,=]|\\[\\,=])*", re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)

_NAME = rf"(?:(?![-A-Za-z0-9_.]{{{LONGEST_LABEL + 1}}}){QUALIFIED})"
_PREFIX = rf"(?:(?=[^/]{{1,{LONGEST_SUBDOMAIN}}}/){SUBDOMAIN}/)"
_KEY = rf"{_PREFIX}?{_NAME}"
_VALUE = rf"(?:{_NAME})?"
_W = r"[ \t\r\n]*"
_REQUIREMENT = (
    rf"(?:!{_W}{_KEY}|{_KEY}(?:{_W}(?:==|=|!=){_W}{_VALUE}|{_W}[<>]{_W}[0-9]+"
    rf"|[ \t\r\n]+(?:in|notin){_W}\({_W}{_VALUE}(?:{_W},{_W}{_VALUE})*{_W}\))?)"
)
_LABELS = re.compile(rf"{_W}(?:{_REQUIREMENT}{_W}(?:,{_W}{_REQUIREMENT}{_W})*)?")


def exact_name(selector: str) -> str | None:
    """The name that a field selector requires (`metadata.name=x`), or None: also if the selector is invalid."""
    name: str | None = None
    for term in sorted(_terms(selector)):  # as the Go parser does: the first in order wins
        if not term:
            continue
        match = _TERM.fullmatch(term)
        if match is None or _UNESCAPED.fullmatch(match[3]) is None:
            return None
        if name is None and match[1] == "metadata.name" and match[2] != "!=":
            name = _ESCAPE.sub(r"\1", match[3])
    return name if name is not None and _path_segment(name) else None


def _terms(selector: str) -> list[str]:
    terms, start, escaped = [], 0, False
    for index, char in enumerate(selector):
        if escaped:
            escaped = False
        elif char == "\\":
            escaped = True
        elif char == ",":
            terms.append(selector[start:index])
            start = index + 1
    return [*terms, selector[start:]]


def _path_segment(name: str) -> bool:
    return name not in (".", "..") and "/" not in name and "%" not in name


def valid_labels(selector: str) -> bool:
    """True if a label selector can be parsed by the API server."""
    return len(selector) <= 16 * 1024 and _LABELS.fullmatch(selector) is not None
