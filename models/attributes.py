"""What customers told of themselves: traits read into numbers, and numbers into coordinates.

Every trait is kept as one float: a number as it is, a flag as 0 or 1, a text as a hash, so that
values may be declared, ordered or hashed anew without losing what is stored. Categories become
one coordinate a value (Huang, 1998, "Extensions to the k-means algorithm for clustering large
data sets with categorical values"), or a coordinate a bucket where values are not declared
(Weinberger et al., 2009, "Feature hashing for large scale multitask learning").
"""

from collections.abc import Iterator, Mapping, Sequence
from math import nan

import numpy as np

from models.columns import Floats
from models.features import Attribute, Feature, Form, Kind
from models.identifiers import hash64

MAX_TEXT = 256
MAX_NUMBER = 1e15
_FLAGS = {"true": 1.0, "yes": 1.0, "1": 1.0, "false": 0.0, "no": 0.0, "0": 0.0}
# So many bits are left of a hash that a float holds it exactly.
_EXACT_BITS = 53


def read_traits(
    traits: Mapping[str, object], attributes: Sequence[Attribute]
) -> Iterator[tuple[int, float]]:
    """Index and stored value of each attribute that `traits` speak of; NaN takes one back.

    What cannot be read as its attribute's form is passed over.

    >>> traits = {"age": "42", "address": {"country": None}, "newsletter": "perhaps"}
    >>> paths = [("age", "number"), ("address.country", "text"), ("newsletter", "flag")]
    >>> list(read_traits(traits, [Attribute(path, Form(form)) for path, form in paths]))
    [(0, 42.0), (1, nan)]
    """
    for index, attribute in enumerate(attributes):
        place, _, name = attribute.trait.rpartition(".")
        inside: object = traits
        for part in place.split(".") if place else ():
            inside = inside.get(part) if isinstance(inside, Mapping) else None
        if isinstance(inside, Mapping) and name in inside:
            value = _coded(attribute.form, inside[name])
            if value is not None:
                yield index, value


def coordinate(feature: Feature, stored: Floats) -> Floats:
    """The feature of customers whose trait is stored as this, NaN where it is not known.

    >>> income = Attribute("income", Form.TEXT)
    >>> ranked = Feature("income", Kind.RANK, attribute=income, values=("low", "mid", "high"))
    >>> coordinate(ranked, np.array([code_of("Mid"), code_of("other"), np.nan])).tolist()
    [0.5, nan, nan]
    """
    known = ~np.isnan(stored)
    match feature.kind:
        case Kind.CATEGORY:
            return np.where(known, stored == code_of(feature.values[0]), nan)
        case Kind.RANK:
            ranks = np.full(stored.shape, nan)
            for rank, value in enumerate(feature.values):
                ranks[stored == code_of(value)] = rank / (len(feature.values) - 1)
            return ranks
        case Kind.BUCKET:
            bucket, buckets = feature.bucket
            return np.where(known, np.mod(stored, buckets) == bucket, nan)
    return stored


def code_of(text: str) -> float:
    """What a text is stored as, whatever its case and the blanks around it."""
    return float(hash64(text.strip().casefold()) >> (64 - _EXACT_BITS))


def _coded(form: Form, given: object) -> float | None:
    if given is None:
        return nan
    text = _text_of(given)
    if text is None:
        return None
    match form:
        case Form.TEXT:
            return code_of(text)
        case Form.FLAG:
            return _FLAGS.get(text.casefold())
        case Form.NUMBER:
            try:
                number = float(text)
            except ValueError:
                return None
            return number if abs(number) <= MAX_NUMBER else None


def _text_of(given: object) -> str | None:
    if isinstance(given, int | float):
        return str(given) if abs(given) <= MAX_NUMBER else None
    text = given.strip() if isinstance(given, str) and len(given) <= MAX_TEXT else ""
    return text or None
