"""Amounts of a resource, exact, as Kubernetes writes them (k8s.io/apimachinery, pkg/api/resource).

An amount is a whole number of billionths: that is as fine as the API server keeps it, so sums of any number of pods lose
nothing. Of every amount the notation is kept too (binary, decimal, exponent), because `1Gi` and `1Gi` are `2Gi` and not
`2147483648`.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal, NamedTuple

Notation = Literal["binary", "decimal", "exponent"]

NANO = 10**9
LONGEST = 64
"""Characters of a text that is read; no amount needs half of them."""

_TEXT = re.compile(r"([+-]?)([0-9]+\.?[0-9]*|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+|)")
_BINARY = {f"{letter}i": 1024**power for power, letter in enumerate("KMGTPE", 1)}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_SUFFIXES = {power: suffix for suffix, power in _DECIMAL.items()}


class Quantity(NamedTuple):
    """An amount. Compare and add `nano`; `str` gives the canonical text."""

    nano: int
    """Billionths of the unit."""
    notation: Notation = "decimal"

    def __str__(self) -> str:
        return _text(self.nano, self.notation)

    def plus(self, other: Quantity) -> Quantity:
        """The sum, in this notation, or in the other's if this is nothing."""
        return Quantity(self.nano + other.nano, self.notation if self.nano else other.notation)

    def minus(self, other: Quantity) -> Quantity:
        """The difference, in this notation, or in the other's if this is nothing."""
        return Quantity(self.nano - other.nano, self.notation if self.nano else other.notation)


ZERO = Quantity(0)


def quantity(value: str | int | float) -> Quantity:
    """An amount as a document has it: a text such as `100m`, `1.5Gi` or `1e3`, or a bare number, which the API server takes too.

    What is finer than a billionth is rounded up, away from zero. ValueError: no amount. (The API server takes a sign or an
    exponent without a number for nothing, and cuts some of what is beyond 2^63; neither is done here.)
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError("an amount is a text such as 100m or 1Gi")  # noqa: TRY004 - one error for all that is no amount
    text = value if isinstance(value, str) else repr(value)
    if len(text) > LONGEST:
        raise ValueError(f"an amount has at most {LONGEST} characters")
    return _quantity(text)


@lru_cache(maxsize=1024)
def _quantity(text: str) -> Quantity:
    match = _TEXT.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not an amount: write it as 100m, 2 or 1.5Gi")
    sign, number, suffix = match.groups()
    whole, _, fraction = number.partition(".")
    digits, exponent = int(whole + fraction or "0"), -len(fraction)
    notation: Notation = "decimal"
    if suffix in _BINARY:
        digits, notation = digits * _BINARY[suffix], "binary"
    elif suffix in _DECIMAL:
        exponent += _DECIMAL[suffix]
    else:
        exponent, notation = exponent + _exponent(suffix), "exponent"
    nano = _scaled(digits, exponent + 9)
    return Quantity(-nano if sign == "-" else nano, notation)


def _exponent(suffix: str) -> int:
    """The power of ten, cut where it makes no difference any more: `1e999999999` would be a gigabyte of digits."""
    return max(-LONGEST * 2, min(LONGEST * 2, int(suffix[1:])))


def _scaled(digits: int, exponent: int) -> int:
    if exponent >= 0:
        return digits * int(10**exponent)
    divisor = int(10**-exponent)
    return -(-digits // divisor)


def _text(nano: int, notation: Notation) -> str:
    """The canonical text: no fraction, the largest suffix that loses nothing, decimal for what binary cannot say."""
    if notation == "binary" and (abs(nano) < 1024 * NANO or nano % NANO):
        notation = "decimal"
    if nano == 0:
        return "0"
    if notation == "binary":
        number, power = nano // NANO, 0
        while number % 1024 == 0 and power < len(_BINARY):
            number, power = number // 1024, power + 1
        return f"{number}{'KMGTPE'[power - 1]}i" if power else str(number)
    number, exponent = nano, -9
    while number % 1000 == 0 and (exponent < 18 or notation == "exponent"):
        number, exponent = number // 1000, exponent + 3
    if notation == "exponent":
        return f"{number}e{exponent}" if exponent else str(number)
    return f"{number}{_SUFFIXES[exponent]}"
