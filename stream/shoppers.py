"""The eight kinds of customers that the simulator plays."""

from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

from models.identifiers import hash64


@dataclass(frozen=True, slots=True)
class Persona:
    """How one kind of customer behaves; all rates are means.

    Attributes
    ----------
    share
        Share of all customers.
    visits, emails, support
        How often a day the customer comes to the shop, gets an email, asks for help.
    views
        Products looked at in a visit.
    adds, orders, coupons, refunds
        Probability that a viewed product goes into the cart, that a cart is bought, that an order
        uses a coupon, that it is sent back.
    opens, clicks
        Probability that an email is opened, that an opened one brings the customer to the shop.
    price
        Lowest and highest price bought, as positions (0 to 1) on a shelf sorted by price.
    quantity
        Pieces of each product.
    shelves
        Categories that the customer buys from.
    active_days, quiet_days
        Length of busy and quiet stretches, in turns; never quiet when `quiet_days` is 0.
    """

    name: str
    share: float
    visits: float
    views: float
    adds: float
    orders: float
    price: tuple[float, float]
    quantity: float
    shelves: int
    coupons: float = 0.05
    refunds: float = 0.02
    emails: float = 0.1
    opens: float = 0.2
    clicks: float = 0.1
    support: float = 0.005
    active_days: float = 0.0
    quiet_days: float = 0.0


# fmt: off
PERSONAS = (
    Persona("bargain hunter", 0.16, visits=0.33, views=5, adds=0.35, orders=0.70, price=(0.0, 0.3),
            quantity=2.0, shelves=5, coupons=0.90, emails=0.20, opens=0.60, clicks=0.20),
    Persona("loyal regular", 0.18, visits=0.60, views=2, adds=0.80, orders=0.90, price=(0.2, 0.5),
            quantity=1.5, shelves=4),
    Persona("big spender", 0.10, visits=0.30, views=4, adds=0.60, orders=0.80, price=(0.85, 1.0),
            quantity=4.0, shelves=6),
    Persona("window shopper", 0.18, visits=0.45, views=7, adds=0.03, orders=0.15, price=(0.2, 0.9),
            quantity=1.0, shelves=10),
    Persona("newcomer", 0.10, visits=0.12, views=4, adds=0.25, orders=0.50, price=(0.2, 0.5),
            quantity=1.0, shelves=1),
    Persona("lapsing", 0.12, visits=0.90, views=3, adds=0.60, orders=0.85, price=(0.3, 0.6),
            quantity=1.5, shelves=3, active_days=25, quiet_days=75),
    Persona("email fan", 0.10, visits=0.02, views=3, adds=0.30, orders=0.60, price=(0.3, 0.7),
            quantity=1.0, shelves=3, emails=1.00, opens=0.90, clicks=0.30),
    Persona("support seeker", 0.06, visits=0.25, views=3, adds=0.50, orders=0.80, price=(0.4, 0.8),
            quantity=1.0, shelves=3, refunds=0.50, support=0.45),
)
# fmt: on
_SHARES = tuple(accumulate(persona.share for persona in PERSONAS))


@lru_cache(maxsize=65_536)
def persona_of(customer_id: str) -> Persona:
    """Persona that the simulator plays for a customer, whatever the seed.

    >>> persona_of("c000000").name
    'newcomer'
    """
    draw = hash64(f"persona {customer_id}") / 2**64
    return next(p for p, share in zip(PERSONAS, _SHARES, strict=True) if draw < share)
