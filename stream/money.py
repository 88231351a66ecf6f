"""One currency for every amount."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from models.errors import ShoalError

CODE_LENGTH = 3


class CurrencyError(ShoalError):
    """A currency or its rate cannot be used; `currency` says which."""

    def __init__(self, currency: str, fault: str) -> None:
        super().__init__(f"currency {currency!r}: {fault}")
        self.currency = currency


@dataclass(frozen=True, slots=True)
class Money:
    """Turns amounts into `currency`.

    `rates` says how many units of `currency` one unit of another currency is worth. Codes are
    ISO 4217 letters in either case.

    Raises
    ------
    CurrencyError
        A code is not three letters, a rate is not a finite number above zero, two rates differ
        only in the case of their code, or `currency` has a rate other than 1.

    Examples
    --------
    >>> money = Money("EUR", {"USD": 0.5})
    >>> money.convert(10, "usd"), money.convert(10, None), money.convert(10, "SEK")
    (5.0, 10.0, None)
    """

    currency: str
    rates: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        own = _code(self.currency)
        rates = {own: 1.0}
        for name, rate in self.rates.items():
            code = _code(name)
            if not (math.isfinite(rate) and rate > 0):
                raise CurrencyError(name, f"rate {rate} must be a finite number above zero")
            if rates.setdefault(code, float(rate)) != rate:
                raise CurrencyError(name, "has two rates: keep one (of the own currency, 1)")
        object.__setattr__(self, "currency", own)
        object.__setattr__(self, "rates", MappingProxyType(rates))

    def convert(self, value: float, currency: str | None) -> float | None:
        """`value` in the own currency; None where there is no rate for `currency`.

        A `currency` of None, or a blank one, is the own. The result may overflow to infinity.
        """
        if currency is None or currency == self.currency:
            return float(value)
        code = currency.strip().upper()
        rate = self.rates.get(code) if code else 1.0
        return None if rate is None else value * rate


def _code(name: str) -> str:
    if len(name) != CODE_LENGTH or not (name.isascii() and name.isalpha()):
        raise CurrencyError(name, "write the three letters of ISO 4217, such as EUR")
    return name.upper()
