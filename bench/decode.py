"""`python -m bench.decode`: what reading events into arrays costs, and would by pydantic alone.

Both ways take turns over the same records in one process, so that whatever else the machine does
slows both down.
"""

import gc
import json
import sys
from collections.abc import Iterator, Sequence
from statistics import median
from time import thread_time
from typing import Annotated, Any
from unittest.mock import patch

import typer
from aiokafka import ConsumerRecord
from rich.console import Console
from rich.table import Table

from bench.common import BenchError
from bench.load import simulated
from stream.batches import Reading, columns_of, read_batch
from stream.money import Money
from stream.sources import SourceEvent

BATCH = 1_000
EVENTS = 20_000
CUSTOMERS = 2_000
ORDERS = 2_000
LINES = 15
READING = Reading(
    Money("EUR", {"USD": 0.9}), {"order_completed": 1}, lambda _: 0, correct_skew=True
)


def decode(
    runs: Annotated[int, typer.Option(min=1)] = 9,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON")] = False,
) -> None:
    """Read simulated events and large orders, with and without the quick way."""
    loads = {"simulated": simulated(EVENTS, CUSTOMERS), f"orders of {LINES} lines": list(orders())}
    figures = {name: compared(records_of(events), runs) for name, events in loads.items()}
    if as_json:
        sys.stdout.write(json.dumps(figures) + "\n")
        return
    table = Table("events", "µs an event", "by pydantic alone", "ratio")
    for name, figure in figures.items():
        table.add_row(name, *(f"{figure[key]:.2f}" for key in ("quick", "checked", "ratio")))
    Console().print(table)


def compared(records: Sequence[ConsumerRecord], runs: int) -> dict[str, float]:
    """Medians of CPU time an event, microseconds, and of the ratios of neighbouring runs."""
    read(records)
    gc.collect()
    gc.freeze()
    quick, checked = [], []
    for _ in range(runs):
        quick.append(read(records))
        with patch("stream.events.decoded", lambda _: None):
            checked.append(read(records))
    ratios = [slow / fast for slow, fast in zip(checked, quick, strict=True)]
    named = {"quick": quick, "checked": checked, "ratio": ratios}
    return {name: round(median(figures), 2) for name, figures in named.items()}


def read(records: Sequence[ConsumerRecord]) -> float:
    """CPU time an event, microseconds, in batches of a thousand."""
    now_ms = records[-1].timestamp
    started = thread_time()
    for begin in range(0, len(records), BATCH):
        batch = read_batch(
            records[begin : begin + BATCH],
            partition=0,
            now_ms=now_ms,
            known=(),
            reading=READING,
        )
        if batch.rejected:
            raise BenchError("events were refused, which costs less than reading them")
        columns_of([batch], READING)
    return (thread_time() - started) / len(records) * 1e6


def records_of(events: Sequence[SourceEvent]) -> list[ConsumerRecord]:
    """The events as the consumer hands them over."""
    return [
        ConsumerRecord(
            topic="shoal.events",
            partition=0,
            offset=offset,
            timestamp=event.time_ms,
            timestamp_type=0,
            key=event.customer_id.encode(),
            value=event.value,
            checksum=None,
            serialized_key_size=len(event.customer_id),
            serialized_value_size=len(event.value),
            headers=(),
        )
        for offset, event in enumerate(events)
    ]


def orders() -> Iterator[SourceEvent]:
    """Orders as Complete Journey has them, of other goods."""
    for number, event in enumerate(simulated(ORDERS, CUSTOMERS)):
        lines = [
            {"category": f"SHELF {(number + at) % 99}", "price": 1.25 + at, "quantity": 1 + at % 3}
            for at in range(LINES)
        ]
        content: dict[str, Any] = {
            "event_id": f"o-{number}",
            "customer_id": event.customer_id,
            "type": "order_completed",
            "timestamp": event.time_ms,
            "properties": {"order_id": f"{number}", "value": 42.5, "products": lines},
        }
        yield SourceEvent(event.customer_id, event.time_ms, json.dumps(content).encode())


if __name__ == "__main__":
    typer.run(decode)
