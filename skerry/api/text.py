"""Text of others, before people see it. Pure."""

from __future__ import annotations


def clean(text: str, longest: int) -> str:
    """`text` in one line of at most `longest` characters, each of which prints."""
    text = text[:longest]
    return text if text.isprintable() else "".join(each if each.isprintable() else " " for each in text)
