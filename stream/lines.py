"""The lines of a cart or an order, summed up."""

from collections.abc import Sequence
from dataclasses import dataclass

from stream.wire import NO_LINE, WireLine


@dataclass(slots=True)
class Lines:
    """What all lines say together; not frozen, since that would cost a microsecond.

    `worth` is the sum of prices, `quantity` that of units. Neither need be finite. `categories`
    are as they were sent, in order.
    """

    worth: float
    quantity: float
    discounted: bool
    categories: list[str | int]


def sum_up(products: Sequence[WireLine]) -> Lines:
    """The sums over all lines, in one go.

    >>> tea = WireLine(price=2.0, quantity=3.0, category="tea")
    >>> lines = sum_up([tea, WireLine(coupon="SPRING")])
    >>> lines.worth, lines.quantity, lines.discounted, lines.categories
    (6.0, 4.0, True, ['tea'])
    """
    worth = quantity = 0.0
    discounted = False
    categories = []
    for line in products:
        if line is NO_LINE:  # five hundred of these have the bytes of twenty others
            quantity += 1.0
            continue
        units = 1.0 if line.quantity is None else line.quantity
        quantity += units
        if line.price is not None:
            worth += line.price * units
        if line.category is not None:
            categories.append(line.category)
        if not (discounted or line.discount is line.coupon is None):
            discounted = is_reduced(line.discount, line.coupon)
    return Lines(worth, quantity, discounted, categories)


def is_reduced(discount: float | None, coupon: str | int | None) -> bool:
    """Whether this is a discount, or names a coupon."""
    return (discount is not None and discount > 0) or (coupon is not None and not is_blank(coupon))


def is_blank(text: str | int) -> bool:
    """Whether this is text without a letter; numbers are none."""
    return isinstance(text, str) and not text.strip()
