"""Patterns for names of clusters: a DNS label with `*` for any run of its characters, such as `edge-*`. Pure."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

from skerry.api.validation import LONGEST_LABEL, is_label

_PATTERN = re.compile(r"[a-z0-9*]([-a-z0-9*]*[a-z0-9*])?")


def matches(pattern: str, name: str) -> bool:
    """True if `name` is a DNS label that `pattern` stands for."""
    return is_label(name) and pattern_problem(pattern) == "" and fnmatchcase(name, pattern)


def pattern_problem(pattern: str) -> str:
    """Why `pattern` is none, or stands for every name; empty if all is well."""
    if len(pattern) > LONGEST_LABEL or _PATTERN.fullmatch(pattern) is None:
        return f"use a-z, 0-9, - and *, at most {LONGEST_LABEL} characters, and no - at either end, for example edge-*"
    if "*" not in pattern:
        return "it is one name, without a *: say it as a name, not as a pattern"
    if not pattern.strip("*"):
        return "it matches every name: say what the names have in common, for example edge-*"
    return ""
