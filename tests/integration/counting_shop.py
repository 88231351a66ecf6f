"""A shop of which the truth is known, and how its customers are counted by real processes."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from config.segmentation import load_segmentation
from config.settings import Settings
from stream.connections import connect_redis
from stream.names import Keys
from stream.processes import Processes
from stream.sources import SourceEvent

COUNTS = """
model: {k: 3, min_customers: 50, publish_every_seconds: 1}
features:
  orders: {kind: count, events: [order_completed], scale: linear}
  views: {kind: count, events: [product_viewed], scale: linear}
  spent: {kind: sum, of: value, events: [order_completed], scale: linear}
"""
START_MS = 1_500_000_000_000


class Shop:
    """Events of which the truth is known: who ordered, viewed and spent how much."""

    name = "shop"

    def __init__(self, events: int, *, first: int = 0, customers: int = 120) -> None:
        self.total = events
        self._numbers = range(first, first + events)
        self._customers = customers

    def __iter__(self) -> Iterator[SourceEvent]:
        for number in self._numbers:
            customer = f"c{number * 7 % self._customers}"
            is_order = number % 3 == 0
            content = {
                "event_id": f"e{number}",
                "customer_id": customer,
                "type": "order_completed" if is_order else "product_viewed",
                "timestamp": START_MS + number * 1000,
                "properties": {"value": number % 50} if is_order else {},
            }
            time_ms = START_MS + number * 1000
            yield SourceEvent(customer, time_ms, json.dumps(content).encode())

    def truth(self) -> dict[str, tuple[float, float, float]]:
        """Orders, views and money of each customer."""
        orders: Counter[str] = Counter()
        views: Counter[str] = Counter()
        spent: Counter[str] = Counter()
        for event in self:
            content = json.loads(event.value)
            if content["type"] == "order_completed":
                orders[event.customer_id] += 1
                spent[event.customer_id] += content["properties"]["value"]
            else:
                views[event.customer_id] += 1
        return {
            name: (float(orders[name]), float(views[name]), float(spent[name]))
            for name in orders | views
        }


@asynccontextmanager
async def running(settings: Settings, directory: Path) -> AsyncIterator[Processes]:
    """Processes that are stopped at the end."""
    processes = Processes(settings, directory)
    try:
        yield processes
    finally:
        await processes.stop()


async def until(condition: Callable[[], Awaitable[bool]], processes: Processes) -> None:
    """Wait for a condition while no process ends by itself."""
    async with asyncio.timeout(60):
        while not await condition():
            processes.check()
            await asyncio.sleep(0.02)


async def counted(settings: Settings) -> dict[str, tuple[float, float, float]]:
    """Orders, views and money of each customer, as their profiles in Redis say."""
    schema = load_segmentation(settings.segmentation).profile_schema()
    keys = Keys(settings.namespace)
    found: dict[str, tuple[float, float, float]] = {}
    redis: Any = connect_redis(settings)
    try:
        for partition in range(settings.partitions):
            prefix = keys.profile_prefix(partition)
            async for key in redis.scan_iter(match=prefix.replace("{", "\\{") + "*", count=1000):
                rows = schema.decode([await redis.get(key)])
                orders, views, spent = schema.vectors(rows, START_MS)[0].tolist()
                found[key.decode().removeprefix(prefix)] = (orders, views, spent)
    finally:
        await redis.aclose()
    return found
