"""A made-up shop whose customers behave like one of eight personas, from 2016-01-01 on.

A discrete-event simulation: a heap holds what is written already and when each customer acts next,
so that memory depends on the number of customers and not on how far time has gone.
"""

import heapq
import math
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from stream.shoppers import PERSONAS, Persona, persona_of
from stream.sources import SourceError, SourceEvent, rfc3339

__all__ = ["DEFAULT_CUSTOMERS", "PERSONAS", "START_MS", "Persona", "Simulator", "persona_of"]
__all__ += ["open_simulator"]

DEFAULT_CUSTOMERS = 2_000
START_MS = 1_451_606_400_000
_MINUTE_MS = 60_000
_HOUR_MS = 60 * _MINUTE_MS
_DAY_MS = 24 * _HOUR_MS
_ARRIVAL_DAYS = 10
# Relative activity by hour (UTC): little at night, a bump at lunch, most in the evening.
_HOURS = (3, 2, 1, 1, 1, 2, 5, 8, 10, 11, 11, 12, 14, 12, 10, 10, 11, 13, 16, 19, 21, 18, 12, 6)
_PEAK = max(_HOURS)
_BUSIEST = _PEAK / (sum(_HOURS) / 24)


# fmt: off
_SHELF_PRICES = {
    "bakery": 3, "books": 15, "coffee": 9, "garden": 22, "home": 35, "kitchen": 28,
    "music": 18, "office": 8, "outdoor": 48, "pets": 14, "tea": 7, "toys": 20,
}
# fmt: on


@dataclass(frozen=True, slots=True)
class Simulator:
    """Endless events of the made-up shop, in event-time order; same seed, same events.

    Customers arrive one after the other, half of them in the first week; newcomers over 90 days.
    A customer who is there causes about three events a day.
    """

    seed: int = 7
    customers: int = DEFAULT_CUSTOMERS
    name: str = "simulator"
    total: None = None

    def __iter__(self) -> Iterator[SourceEvent]:
        return _Shop(self.seed, self.customers).events()


def open_simulator(*, seed: int, customers: int) -> Simulator:
    """Simulator of `customers` customers.

    Raises
    ------
    SourceError
        There would be nobody.
    """
    if customers < 1:
        raise SourceError("simulator", f"cannot have {customers} customers: say 1 or more")
    return Simulator(seed=seed, customers=customers)


@dataclass(frozen=True, slots=True)
class _Product:
    id: str
    category: str
    price: float


def _catalogue() -> list[list[_Product]]:
    """Shelves of 40 products, cheapest first: from 0.4 to 4.4 times the shelf's price."""
    return [
        [
            _Product(f"{shelf}-{n:02}", shelf, round(price * 0.4 * math.exp(2.4 * n / 39), 2))
            for n in range(40)
        ]
        for shelf, price in _SHELF_PRICES.items()
    ]


class _Customer:
    """Where one customer stands."""

    __slots__ = ("born_ms", "events", "id", "pace", "persona", "sessions", "shelves", "stretch")

    def __init__(
        self, number: int, born_ms: int, catalogue: list[list[_Product]], random: Random
    ) -> None:
        self.id = f"c{number:06}"
        self.persona = persona_of(self.id)
        self.born_ms = born_ms
        self.pace = random.lognormvariate(0.0, 0.2)
        self.stretch = random.uniform(0.7, 1.3)
        self.shelves = random.sample(catalogue, self.persona.shelves)
        self.events = 0
        self.sessions = 0

    def activity(self, time_ms: int) -> float:
        """Share of proposed actions that happen at this time, 0 to 1."""
        persona = self.persona
        hourly = _HOURS[time_ms // _HOUR_MS % 24] / _PEAK
        if not persona.quiet_days:
            return hourly
        days = (time_ms - self.born_ms) / _DAY_MS / self.stretch
        quiet = days % (persona.active_days + persona.quiet_days) > persona.active_days
        return 0.01 * hourly if quiet else hourly


class _Shop:
    """One run: the heap of (time, serial, customer, event); an entry without event is a wake-up."""

    def __init__(self, seed: int, customers: int) -> None:
        self._seed = seed
        self._random = Random(seed)  # noqa: S311  (a simulation, no secret)
        self._catalogue = _catalogue()
        # Arrivals carry the customer's number as serial and no customer yet.
        self._heap: list[tuple[int, int, _Customer | None, bytes | None]] = [
            (_arrival_ms(number, customers), number, None, None) for number in range(customers)
        ]
        heapq.heapify(self._heap)
        self._serial = customers

    def events(self) -> Iterator[SourceEvent]:
        while True:
            time_ms, serial, who, value = heapq.heappop(self._heap)
            if who is None:
                who = _Customer(serial, time_ms, self._catalogue, self._random)
                self._write(who, time_ms, "signed_up", '"channel":"web"')
                self._sleep(who, self._visit(who, time_ms + _MINUTE_MS))
            elif value is None:
                self._sleep(who, self._act(who, time_ms))
            else:
                yield SourceEvent(who.id, time_ms, value)

    def _sleep(self, who: _Customer, time_ms: int) -> None:
        """Set the customer's next wake-up: a Poisson process thinned by hour and quietness."""
        persona = who.persona
        daily = (persona.visits + persona.emails + persona.support) * who.pace
        mean_ms = _DAY_MS / (daily * _BUSIEST)
        while True:
            time_ms += 1 + int(self._random.expovariate(1.0) * mean_ms)
            if self._random.random() < who.activity(time_ms):
                break
        self._push(who, time_ms, None)

    def _act(self, who: _Customer, time_ms: int) -> int:
        """Write what the customer does now; when it ends, epoch milliseconds."""
        persona = who.persona
        draw = self._random.random() * (persona.visits + persona.emails + persona.support)
        if draw < persona.visits:
            return self._visit(who, time_ms)
        if draw < persona.visits + persona.emails:
            return self._email(who, time_ms)
        self._write(who, time_ms, "support_contacted", '"channel":"chat"')
        return time_ms

    def _email(self, who: _Customer, time_ms: int) -> int:
        week = (time_ms - START_MS) // (7 * _DAY_MS)
        properties = f'"channel":"email","campaign":"week-{week}"'
        self._write(who, time_ms, "email_delivered", properties)
        if self._random.random() < who.persona.opens:
            time_ms += self._gap_ms(40 * _MINUTE_MS)
            self._write(who, time_ms, "email_opened", properties)
            if self._random.random() < who.persona.clicks:
                time_ms += self._gap_ms(_MINUTE_MS)
                self._write(who, time_ms, "email_clicked", properties)
                return self._visit(who, time_ms + 1_000)
        return time_ms

    def _visit(self, who: _Customer, time_ms: int) -> int:
        random, persona = self._random, who.persona
        who.sessions += 1
        session = f',"session_id":"{who.id}-s{who.sessions}"'
        cart: list[tuple[_Product, int]] = []
        for _ in range(1 + int(random.expovariate(1.0) * (persona.views - 0.5))):
            shelf = who.shelves[int(random.random() * persona.shelves)]
            if random.random() < 0.2:  # noqa: PLR2004  (every fifth product is found in a list)
                listed = f'"category":"{shelf[0].category}"'
                self._write(who, time_ms, "product_list_viewed", listed, session)
                time_ms += self._gap_ms(20_000)
            low, high = persona.price
            product = shelf[int((low + (high - low) * random.random()) * len(shelf))]
            viewed = (
                f'"product_id":"{product.id}","category":"{product.category}",'
                f'"value":{product.price}'
            )
            self._write(who, time_ms, "product_viewed", viewed, session)
            time_ms += self._gap_ms(45_000)
            if random.random() < persona.adds:
                pieces = 1 + int(random.expovariate(1.0) * (persona.quantity - 0.5))
                added = f'{viewed},"quantity":{pieces}'
                self._write(who, time_ms, "product_added", added, session)
                cart.append((product, pieces))
                time_ms += self._gap_ms(15_000)
                if random.random() < 0.05:  # noqa: PLR2004  (every twentieth goes back)
                    self._write(who, time_ms, "product_removed", added, session)
                    cart.pop()
        return self._checkout(who, time_ms, session, cart) if cart else time_ms

    def _checkout(
        self, who: _Customer, time_ms: int, session: str, cart: list[tuple[_Product, int]]
    ) -> int:
        random, persona = self._random, who.persona
        amount = sum(product.price * pieces for product, pieces in cart)
        self._write(who, time_ms, "checkout_started", f'"value":{amount:.2f}', session)
        time_ms += self._gap_ms(60_000)
        if random.random() >= persona.orders:
            return time_ms
        used = ""
        if random.random() < persona.coupons:
            discount = amount * random.uniform(0.1, 0.3)
            amount -= discount
            self._write(who, time_ms, "coupon_entered", '"coupon":"SAVE"', session)
            used = f'"coupon":"SAVE","discount":{discount:.2f},'
            time_ms += self._gap_ms(10_000)
        order = f'"order_id":"{who.id}-o{who.sessions}","revenue":{amount:.2f}'
        products = ",".join(
            f'{{"product_id":"{product.id}","category":"{product.category}",'
            f'"price":{product.price},"quantity":{pieces}}}'
            for product, pieces in cart
        )
        pieces = sum(pieces for _, pieces in cart)
        ordered = f'{order},{used}"quantity":{pieces},"products":[{products}]'
        self._write(who, time_ms, "order_completed", ordered, session)
        if random.random() < persona.refunds:
            back_ms = time_ms + int(random.uniform(2, 10) * _DAY_MS)
            self._write(who, back_ms, "order_refunded", order)
        return time_ms

    def _gap_ms(self, mean_ms: int) -> int:
        return 1 + int(self._random.expovariate(1.0) * mean_ms)

    def _write(
        self, who: _Customer, time_ms: int, kind: str, properties: str, session: str = ""
    ) -> None:
        who.events += 1
        value = (
            f'{{"event_id":"{self._seed}-{who.id}-{who.events}","customer_id":"{who.id}",'
            f'"type":"{kind}","timestamp":"{rfc3339(time_ms)}"{session},'
            f'"properties":{{{properties}}}}}'
        )
        self._push(who, time_ms, value.encode())

    def _push(self, who: _Customer, time_ms: int, value: bytes | None) -> None:
        self._serial += 1
        heapq.heappush(self._heap, (time_ms, self._serial, who, value))


def _arrival_ms(number: int, customers: int) -> int:
    passed = (number + 0.5) / customers
    newcomer = persona_of(f"c{number:06}").name == "newcomer"
    days = 90 * passed if newcomer else -_ARRIVAL_DAYS * math.log(1 - passed)
    return START_MS + int(days * _DAY_MS)
