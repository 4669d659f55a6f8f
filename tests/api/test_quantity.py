"""Amounts beside k8s.io/apimachinery 0.36: quantities.json was written by its resource.Quantity."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.api.quantity import LONGEST, NANO, ZERO, Quantity, quantity

# text, another, canonical text, sum, difference, how they compare
CASES = json.loads((Path(__file__).parent / "quantities.json").read_text())
NOTATIONS = st.sampled_from(("binary", "decimal", "exponent"))
QUANTITIES = st.builds(Quantity, st.integers(-(10**27), 10**27), NOTATIONS)


@pytest.mark.parametrize(("text", "other", "canonical", "total", "difference", "order"), CASES)
def test_it_is_what_the_api_server_makes_of_it(
    text: str, other: str, canonical: str, total: str, difference: str, order: int
) -> None:
    one, two = quantity(text), quantity(other)
    assert str(one) == canonical
    assert str(one.plus(two)) == total
    assert str(one.minus(two)) == difference
    assert (one.nano > two.nano) - (one.nano < two.nano) == order


@given(QUANTITIES)
def test_the_canonical_text_loses_nothing(amount: Quantity) -> None:
    assert quantity(str(amount)).nano == amount.nano


@given(st.lists(QUANTITIES, max_size=20))
def test_sums_are_exact_whatever_their_order(amounts: list[Quantity]) -> None:
    total = ZERO
    for amount in amounts:
        total = total.plus(amount)
    assert total.nano == sum(amount.nano for amount in amounts)


@pytest.mark.parametrize(("number", "nano"), [(2, 2 * NANO), (0.5, NANO // 2), (1e-7, 100), (-3, -3 * NANO)])
def test_a_bare_number_is_an_amount(number: float, nano: int) -> None:
    assert quantity(number).nano == nano


@pytest.mark.parametrize(
    "text", ["", " 1", "1 ", "1 Gi", "Gi", "+", "-", ".", "e5", "1ki", "1KI", "1mi", "--1", "1.2.3", "0x1", "1e", "1e3.2", "١", "1\n"]
)  # fmt: skip
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not an amount"):
        quantity(text)


@pytest.mark.parametrize("value", [True, None, [], {}, float("nan"), float("inf")])
def test_what_is_no_text_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="amount"):
        quantity(value)  # type: ignore[arg-type]


def test_a_hostile_exponent_costs_no_memory() -> None:
    assert len(str(quantity("1e999999999").nano)) < 200
    assert quantity("1e-999999999").nano == 1
    with pytest.raises(ValueError, match="characters"):
        quantity("1" * (LONGEST + 1))
