"""What the value of a feature means, in the words of a shop."""

import math
import re
from dataclasses import dataclass

from models.features import Feature, Kind

_WINDOWS_DAYS = (1, 7, 30, 90, 365)
_CAPPED = {Kind.RECENCY, Kind.INTERVAL, Kind.TENURE}
_TOTALS = {Kind.COUNT, Kind.SUM}
_SHARE = "share "


@dataclass(frozen=True, slots=True)
class Wording:
    """How the values of a feature are told: times `factor`, with `unit` behind.

    From `cap` on, in feature units, nobody knows how much it really is. `ranks` are what the
    values from 0 to 1 stand for, where they do.
    """

    factor: float
    unit: str
    cap: float = math.inf
    ranks: tuple[str, ...] = ()

    @classmethod
    def of(cls, feature: Feature) -> "Wording":
        """How a feature is told.

        A sum with half-life h holds what `h / ln 2` days bring at a steady rate. It is told for
        the usual number of days next to that: by a half-life of 60 days for 90, not for 86.6.

        >>> wording = Wording.of(Feature("f", Kind.COUNT, half_life_days=60, unit="orders"))
        >>> wording.text(3.2)
        '3.3 orders in 90 days'
        """
        unit = feature.unit or feature.name.replace("_", " ")
        if feature.kind is Kind.RANK:
            return cls(1.0, feature.name.replace("_", " "), ranks=feature.values)
        if feature.kind is Kind.FLAG:
            unit = f"share with {unit}"
        if unit.startswith(_SHARE):
            return cls(100.0, f"% {unit.removeprefix(_SHARE)}")
        if feature.currency:
            unit = f"{feature.currency} {unit}"
        if feature.kind in _CAPPED:
            return cls(1.0, unit, feature.cap_days)
        if feature.half_life_days is None or feature.kind not in {*_TOTALS, Kind.DISTINCT}:
            return cls(1.0, unit)
        days = feature.half_life_days / math.log(2)
        told = min(_WINDOWS_DAYS, key=lambda window: abs(math.log(window / days)))
        factor = told / days if feature.kind in _TOTALS else 1.0
        return cls(factor, f"{unit} in {told} days" if told > 1 else f"{unit} a day")

    def number(self, value: float) -> str:
        """A value of the feature as a number.

        >>> [Wording(1, "days", 180).number(days) for days in (0.041, 2.25, 64.2, 180)]
        ['0.04', '2.2', '64', '180+']
        """
        if self.ranks:
            return self.ranks[round(value * (len(self.ranks) - 1))]
        sign = "%" if self.unit.startswith("%") else "+" if value >= self.cap else ""
        return plain(self.factor * value) + sign

    def text(self, value: float) -> str:
        """A value of the feature with its unit.

        >>> Wording(1, "orders per visit").text(1.0), Wording(100, "% of orders").text(0.25)
        ('1 order per visit', '25% of orders')
        >>> Wording(1, "income", ranks=("under 15K", "15-50K", "more")).text(0.4)
        'income 15-50K'
        """
        number = self.number(value)
        if self.ranks:
            return f"{self.unit} {number}"
        if self.unit.startswith("%"):
            return number + self.unit.removeprefix("%")
        return f"{number} {_singular(self.unit) if number == '1' else self.unit}"


def plain(number: float) -> str:
    """A number with no more digits than people read.

    >>> [plain(number) for number in (0, 0.125, 2.0, 3.25, 1234.5)]
    ['0', '0.12', '2', '3.2', '1,234']
    """
    size = abs(number)
    text = f"{number:,.{0 if size >= 10 else 1 if size >= 1 else 2}f}"  # noqa: PLR2004 - digits
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def _singular(unit: str) -> str:
    """The unit of one; its first word is what is counted."""
    one = re.sub(r"^([a-z]+)ies\b", r"\1y", unit)
    return one if one != unit else re.sub(r"^([a-z]*[^\Ws])s\b", r"\1", unit)
