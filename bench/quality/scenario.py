"""The five changes that a shop goes through, with who is touched by each."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from bench.quality.personas import HALF_LIFE_DAYS, NOBODY, PERSONAS, Persona, Shop, mixed
from models.columns import Ints

STEP_DAYS = 0.25
PEAK, PEAK_DAYS = 2.5, HALF_LIFE_DAYS / 2
GIFTER = Persona(
    "gifter",
    0.10,
    views=0.15,
    carts=0.2,
    orders=0.3,
    emails=0.05,
    amount=90,
    items=1.0,
    discount=0.9,
)
DRIFTED = {"views": 1.2, "emails": 1.4, "items": 3.0}


@dataclass(frozen=True, slots=True)
class Change:
    """What happens on the days after it began.

    `act` is called before each step with the days that have passed. `touched` are the personas
    whose segment may become another; `born` and `dead` those whose segment has to come or to go.
    Figures begin to count after `settles_days`.
    """

    name: str
    act: Callable[[Shop, float], None]
    touched: tuple[str, ...] = ()
    born: str | None = None
    dead: str | None = None
    settles_days: float = HALF_LIFE_DAYS


EVERYONE = (*PERSONAS, GIFTER)


def full_shop(customers: int, seed: int) -> Shop:
    """A shop with customers of every persona."""
    return Shop(EVERYONE, mixed([persona.share for persona in EVERYONE], customers, seed), seed)


def open_shop(customers: int, seed: int) -> Shop:
    """The shop before anything changes: the gifters, its last persona, have not come yet."""
    shop = full_shop(customers, seed)
    shop.truth[shop.members(EVERYONE.index(GIFTER))] = NOBODY
    return shop


def changes(shop: Shop) -> tuple[Change, ...]:
    """The five, for a shop that was just opened."""
    index = {persona.name: number for number, persona in enumerate(shop.personas)}
    newcomers, goers = shop.members(NOBODY), shop.members(index["bargain"])
    reader = index["reader"]
    ways = shop.personas[reader]

    def arrive(shop: Shop, day: float) -> None:
        shop.truth[_turn(newcomers, day)] = index["gifter"]

    def drift(shop: Shop, day: float) -> None:
        part = min(day / HALF_LIFE_DAYS, 1.0)
        moved = {name: (1 - part) * getattr(ways, name) + part * DRIFTED[name] for name in DRIFTED}
        shop.personas[reader] = replace(ways, **moved)

    def merge(shop: Shop, _day: float) -> None:
        shop.truth[shop.members(index["stocker"])] = index["big basket"]

    def peak(shop: Shop, day: float) -> None:
        shop.season = PEAK if day < PEAK_DAYS else 1.0

    def depart(shop: Shop, day: float) -> None:
        shop.leave(_turn(goers, day))

    return (
        Change("birth", arrive, touched=("gifter",), born="gifter"),
        Change("drift", drift, touched=("reader",)),
        Change("merge", merge, touched=("stocker", "big basket")),
        Change("season", peak, settles_days=0.0),
        Change("death", depart, touched=("bargain",), dead="bargain"),
    )


def _turn(who: Ints, day: float) -> Ints:
    """Whose turn comes in the step that begins now, when all have theirs within a day."""
    start, end = (round(min(at, 1.0) * who.size) for at in (day, day + STEP_DAYS))
    return who[start:end]
