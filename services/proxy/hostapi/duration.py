"""The parameter `timeout`: a Go duration, whose mistakes are told in the words of time.ParseDuration. Pure."""

from __future__ import annotations

import re

import msgspec

from services.proxy.hostapi.request import Query
from skerry.errors import BadRequest

_UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
"""Nanoseconds."""
_PART = re.compile(r"(?P<number>[0-9]*(?:\.[0-9]*)?)(?P<unit>[^0-9.]*)")
_MOST = 2**63


def check_timeout(query: Query) -> None:
    """BadRequest for a `timeout` that an API server cannot read; the host's own deadlines hold whatever it says."""
    text = query.text("timeout")
    problem = problem_of(text) if text else ""
    if problem:
        raise BadRequest(f"invalid timeout specified in the request URL - time: {problem}")


def problem_of(text: str) -> str:
    """The fault of a duration, in words; empty if there is none."""
    quoted = msgspec.json.encode(text[:100]).decode()
    rest = text[1:] if text[:1] in ("-", "+") else text
    if rest == "0":
        return ""
    total = 0.0
    while True:
        part = _PART.match(rest)
        if part is None or not part["number"].strip("."):
            return f"invalid duration {quoted}"
        if not part["unit"]:
            return f"missing unit in duration {quoted}"
        if part["unit"] not in _UNITS:
            return f"unknown unit {msgspec.json.encode(part['unit'][:100]).decode()} in duration {quoted}"
        total += float(part["number"]) * _UNITS[part["unit"]]
        if total > _MOST:
            return f"invalid duration {quoted}"
        rest = rest[part.end() :]
        if not rest:
            return ""
