from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.money import CurrencyError, Money

EURO = Money("EUR", {"usd": 0.5, "SEK": 0.1})


def test_an_amount_without_a_currency_is_in_the_own_one() -> None:
    assert EURO.convert(12.5, None) == 12.5
    assert EURO.convert(12.5, " ") == 12.5


def test_a_rate_is_units_of_the_own_currency_for_one_of_the_other() -> None:
    assert EURO.convert(10, "USD") == 5.0


@pytest.mark.parametrize("code", ["usd", "Usd", "USD", " USD "])
def test_codes_are_read_in_either_case(code: str) -> None:
    assert EURO.convert(2, code) == 1.0
    assert Money("eur", {}).convert(2, "EUR") == 2.0


@pytest.mark.parametrize("code", ["NOK", "US", "dollars"])
def test_a_currency_without_a_rate_has_no_value(code: str) -> None:
    assert EURO.convert(10, code) is None


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf")])
def test_a_rate_must_be_a_finite_number_above_zero(rate: float) -> None:
    with pytest.raises(CurrencyError, match="finite number above zero") as caught:
        Money("EUR", {"USD": rate})
    assert caught.value.currency == "USD"


@pytest.mark.parametrize("code", ["", "EURO", "E1R", "€€€"])
def test_a_code_must_be_three_letters(code: str) -> None:
    with pytest.raises(CurrencyError, match="ISO 4217"):
        Money(code)
    with pytest.raises(CurrencyError, match="ISO 4217"):
        Money("EUR", {code: 1.5})


def test_two_rates_of_one_currency_are_refused() -> None:
    with pytest.raises(CurrencyError, match="two rates"):
        Money("EUR", {"usd": 0.5, "USD": 0.6})
    with pytest.raises(CurrencyError, match="two rates"):
        Money("EUR", {"EUR": 2.0})


def test_rates_cannot_be_changed_from_outside() -> None:
    given_rates = {"USD": 0.5}
    money = Money("EUR", given_rates)
    given_rates["USD"] = 9.0
    assert money.convert(2, "USD") == 1.0
    with pytest.raises(TypeError):
        cast("dict[str, float]", money.rates)["USD"] = 9.0


@given(st.floats(0.01, 100), st.floats(-1e6, 1e6))
def test_there_and_back_is_the_same_amount(rate: float, value: float) -> None:
    there = Money("EUR", {"USD": rate}).convert(value, "USD")
    assert there is not None
    assert Money("USD", {"EUR": 1 / rate}).convert(there, "EUR") == pytest.approx(value)
