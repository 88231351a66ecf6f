"""A made-up shop whose customers' true groups are known, as real events in real profiles.

Every event goes through `models.accumulators.update`, so a vector is what a worker would score:
counts fade by their half-life, means stand on few orders, and a customer who changes is seen to
change only as the past is forgotten. Customers of a persona differ in activity and taste; five of
the thirteen features have nothing to do with the persona.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import adjusted_rand_score

from models.accumulators import update
from models.assignment import nearest_centroid
from models.columns import Bools, EventColumns, Floats, Ints
from models.features import Feature, Flag, Kind, Selector
from models.identifiers import CustomerId
from models.layout import DAY_MS
from models.lloyd import means
from models.profiles import ProfileSchema
from models.scaling import Scaler
from models.segmentation import Segmentation

HALF_LIFE_DAYS = 10.0
START_MS = 1_700_000_000_000
NOBODY = -1
"""Persona of a customer who is not there: not come yet, or gone."""

TYPES = ("product_viewed", "product_added", "order_completed", "email_opened")
NOISE_RATES = {
    "support_contacted": 0.1,
    "campaign_received": 0.2,
    "order_refunded": 0.05,
    "product_searched": 0.1,
    "product_shared": 0.4,
}
"""Means a day of what everybody does alike, each seen by a feature of its own."""
_ACTIVITY, _TASTE, _AMOUNT = 0.15, 0.35, 0.5
_SHELVES = 20


@dataclass(frozen=True, slots=True)
class Persona:
    """How one kind of customer behaves.

    `views`, `carts`, `orders` and `emails` are means a day. An order is worth `amount` (median of
    a log-normal), has `items` pieces and comes with a discount with probability `discount`.
    """

    name: str
    share: float
    views: float
    carts: float
    orders: float
    emails: float
    amount: float
    items: float
    discount: float


# fmt: off
PERSONAS = (
    Persona("regular",    0.18, views=0.8, carts=0.50, orders=0.45, emails=0.06, amount=25,
            items=2.0, discount=0.10),
    Persona("bargain",    0.16, views=1.2, carts=0.45, orders=0.25, emails=0.50, amount=14,
            items=2.5, discount=0.80),
    Persona("big basket", 0.10, views=0.5, carts=0.30, orders=0.20, emails=0.06, amount=170,
            items=3.0, discount=0.10),
    Persona("browser",    0.18, views=2.2, carts=0.12, orders=0.10, emails=0.12, amount=40,
            items=1.3, discount=0.15),
    Persona("reader",     0.12, views=0.4, carts=0.12, orders=0.12, emails=0.90, amount=45,
            items=1.5, discount=0.30),
    Persona("occasional", 0.14, views=0.2, carts=0.08, orders=0.07, emails=0.05, amount=45,
            items=1.5, discount=0.15),
    Persona("stocker",    0.12, views=0.3, carts=0.60, orders=0.12, emails=0.10, amount=80,
            items=9.0, discount=0.40),
)
# fmt: on


def features() -> tuple[Feature, ...]:
    """Eight features that personas differ in, then five in which they do not."""
    orders = Selector(("order_completed",))

    def count(name: str, kind: str) -> Feature:
        return Feature(name, Kind.COUNT, Selector((kind,)), half_life_days=HALF_LIFE_DAYS)

    return (
        count("views", "product_viewed"),
        count("carts", "product_added"),
        count("orders", "order_completed"),
        count("emails", "email_opened"),
        Feature("spend", Kind.SUM, orders, of="value", half_life_days=HALF_LIFE_DAYS),
        Feature("order_value", Kind.MEAN, orders, of="value", half_life_days=HALF_LIFE_DAYS),
        Feature("items", Kind.MEAN, orders, of="quantity", half_life_days=HALF_LIFE_DAYS),
        Feature(
            "discounts",
            Kind.RATIO,
            Selector(("order_completed",), Flag.DISCOUNTED),
            among=orders,
            half_life_days=HALF_LIFE_DAYS,
            scale="linear",
        ),
        count("support", "support_contacted"),
        count("campaigns", "campaign_received"),
        count("refunds", "order_refunded"),
        Feature(
            "categories",
            Kind.DISTINCT,
            Selector(("product_shared",)),
            half_life_days=HALF_LIFE_DAYS,
        ),
        Feature("quiet", Kind.RECENCY, Selector(("product_searched",)), cap_days=60.0),
    )


class Shop:
    """Customers of given personas, who act as time is let pass; same seed and calls, same events.

    `truth`, shape (n_customers,), is each customer's persona, an index into `personas`, or
    `NOBODY`. Set it, or `personas` and `season` (a factor on all that happens), to change what
    customers do from now on. `events`, of the same shape, counts what each has done so far.
    """

    def __init__(self, personas: Sequence[Persona], truth: Ints, seed: int) -> None:
        self.personas = list(personas)
        self.truth = truth.copy()
        self.season = 1.0
        self.now_ms = START_MS
        self.schema = ProfileSchema(features())
        self.segmentation = Segmentation("default", self.schema, self.schema.features)
        self.customers = [CustomerId(f"c{number:06}") for number in range(truth.size)]
        self.rows = self.schema.empty(truth.size)
        self.events = np.zeros(truth.size, dtype=np.int64)
        self._random = np.random.default_rng(seed)
        n_types = len(TYPES) + len(NOISE_RATES)
        activity = self._random.lognormal(0.0, _ACTIVITY, (truth.size, 1))
        self._pace = activity * self._random.lognormal(0.0, _TASTE, (truth.size, n_types))
        self._purse = self._random.lognormal(0.0, _TASTE, truth.size)
        self._shelves = self._random.integers(1, _SHELVES, truth.size, endpoint=True)

    @property
    def present(self) -> Bools:
        """Who has acted and has not gone, shape (n_customers,)."""
        known: Bools = (self.rows["first_ms"] > 0) & (self.truth != NOBODY)
        return known

    def members(self, persona: int) -> Ints:
        """Customers of a persona, as indices."""
        return np.flatnonzero(self.truth == persona)

    def names(self, who: Ints) -> list[CustomerId]:
        """Ids of customers by index."""
        return [self.customers[index] for index in who.tolist()]

    def vectors(self) -> Floats:
        """Everybody's vector now, shape (n_customers, n_features)."""
        return self.schema.vectors(self.rows, self.now_ms)

    def leave(self, who: Ints) -> None:
        """Customers close their accounts: nothing is known of them from now on."""
        self.truth[who] = NOBODY
        self.rows[who] = self.schema.empty(who.size)

    def pass_time(self, days: float) -> Ints:
        """Let customers act for so long; who did, in the order of their last event."""
        span_ms = round(days * DAY_MS)
        counts = self._random.poisson(self._rates() * (self.season * days))
        customer, kind = divmod(np.repeat(np.arange(counts.size), counts.ravel()), counts.shape[1])
        time_ms = self.now_ms + self._random.integers(1, span_ms, customer.size, endpoint=True)
        order = np.argsort(time_ms, kind="stable")
        customer = customer[order]
        self.now_ms += span_ms
        if order.size:
            update(self.schema, self.rows, self._columns(customer, kind[order], time_ms[order]))
        self.events += np.bincount(customer, minlength=self.truth.size)
        who, last = np.unique(customer[::-1], return_index=True)
        return who[np.argsort(-last)]

    def _rates(self) -> Floats:
        """Events a day of each customer and type, shape (n_customers, n_types)."""
        table = np.array(
            [(p.views, p.carts, p.orders, p.emails, *NOISE_RATES.values()) for p in self.personas]
            + [(0.0,) * (len(TYPES) + len(NOISE_RATES))]
        )
        rates: Floats = table[self.truth] * self._pace
        return rates

    def _columns(self, customer: Ints, kind: Ints, time_ms: Ints) -> EventColumns:
        n, random, persona = customer.size, self._random, self.truth[customer]
        is_order = kind == TYPES.index("order_completed")
        codes = np.array([self.schema.types[name] for name in (*TYPES, *NOISE_RATES)])
        table = np.array([(p.amount, p.items, p.discount) for p in self.personas])
        amount, items, discount = table[persona].T
        value = amount * self._purse[customer] * random.lognormal(0.0, _AMOUNT, n)
        quantity = 1.0 + random.poisson(items - 1.0)
        return EventColumns(
            customer=customer,
            type=codes[kind],
            time_ms=time_ms,
            value=np.where(is_order, value, 0.0),
            quantity=np.where(is_order, quantity, 0.0),
            discounted=is_order & (random.random(n) < discount),
            session=np.zeros(n, dtype=np.uint64),
            id=random.integers(1, 2**64, n, dtype=np.uint64, endpoint=False),
            offset=self.events.sum() + np.arange(n),
            category_event=np.arange(n),
            category=random.integers(0, self._shelves[customer]).astype(np.uint64),
        )


def mixed(shares: Sequence[float], customers: int, seed: int) -> Ints:
    """A persona for each customer, in parts of `shares`, in random order; shape (customers,)."""
    ends = np.round(np.cumsum(shares) / sum(shares) * customers).astype(np.int64)
    truth = np.searchsorted(ends, np.arange(customers), side="right")
    return np.random.default_rng(seed).permutation(truth)


def reference_ari(shop: Shop, scaler: Scaler) -> float:
    """Adjusted Rand index of assignment to the nearest true mean, in the space of a scaler."""
    present = shop.present
    points = scaler.transform(shop.vectors()[present])
    personas, index = np.unique(shop.truth[present], return_inverse=True)
    centres, _ = means(points, index, personas.size)
    return float(adjusted_rand_score(index, nearest_centroid(points, centres)))
