"""What a round of a worker costs in processor time, by how many events it has; no servers needed.

A round is what all lanes do together: read records, take them into profiles, score these and make
their stored form. All profiles are in memory, and a model is in force.

    python -m bench.core [--json] [--rounds N]
"""

import gc
import zlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from statistics import quantiles
from time import process_time
from typing import Annotated, Any

import typer
from aiokafka import ConsumerRecord
from rich.table import Table

from bench.common import machine, tell
from bench.decode import records_of
from bench.load import simulated
from config.segmentation import load_segmentation
from config.settings import load_settings
from models.clock import EventClock
from models.trainer import Trainer
from stream.app import step_maker
from stream.batches import read_batch
from stream.cache import ProfileCache
from stream.steps import Scored, Taking

PARTITIONS = 8
CUSTOMERS = 20_000
WARM_UP_EVENTS, WARM_UP_ROUND = 20_000, 1_000
SIZES = (1, 4, 16, 64, 256, 1_000)
PARTS = ("read", "load", "score", "keep")


class Core:
    """Lanes without a worker around them.

    `spent` is the processor time of each part of the last round, in µs.
    """

    def __init__(self) -> None:
        settings = load_settings().model_copy(update={"clock": "replay", "partitions": PARTITIONS})
        self._segmentation = load_segmentation(settings.segmentation)
        self._maker = step_maker(settings, self._segmentation)
        self._maker = replace(
            self._maker, reading=replace(self._maker.reading, partition_of=_place, places=None)
        )
        self._caches = [ProfileCache(self._maker.schema, CUSTOMERS) for _ in range(PARTITIONS)]
        self._editions = self._maker.nothing_yet
        self._clock = EventClock()
        self.spent: dict[str, float] = {}

    def round(self, records: Sequence[ConsumerRecord]) -> list[Scored]:
        """Take records of any partitions, as their lanes would together."""
        lanes: defaultdict[int, list[ConsumerRecord]] = defaultdict(list)
        for record in records:
            lanes[_place(record.key)].append(record)
        moments = [process_time()]
        batches = {
            place: read_batch(
                found,
                partition=place,
                now_ms=found[-1].timestamp,
                known=self._caches[place],
                reading=self._maker.reading,
            )
            for place, found in lanes.items()
        }
        moments.append(process_time())
        rows = {place: self._caches[place].load(b.customers)[0] for place, b in batches.items()}
        moments.append(process_time())
        for batch in batches.values():
            self._clock = self._clock.advance(batch.times_ms)
        takings = [
            Taking(place, batch, rows[place], self._clock.now_ms)
            for place, batch in batches.items()
        ]
        scored = self._maker.events(takings, self._editions)
        moments.append(process_time())
        for place, made in zip(lanes, scored, strict=True):
            self._caches[place].keep(made.customers, made.rows)
        moments.append(process_time())
        self.spent = {
            part: (end - start) * 1e6
            for part, start, end in zip(PARTS, moments, moments[1:], strict=False)
        }
        return scored

    def learn(self, scored: Sequence[Scored]) -> None:
        """Put a model in force that these customers make."""
        edition = self._editions[0]
        name = edition.segmentation.name
        trainer = Trainer(edition.segmentation, self._segmentation.training(name), seed=1)
        for made in scored:
            trainer.observe(made.customers, made.rows)
        now_ms = self._clock.now_ms
        model = trainer.train(now_ms=now_ms, created_ms=now_ms, epoch=1, reason="first")
        self._editions = (replace(edition, model=model),)


async def measure(rounds: int) -> dict[str, Any]:
    """Everything, as it goes into JSON: quartiles, since what disturbs a round makes it longer."""
    core = Core()
    records = records_of(simulated(WARM_UP_EVENTS + rounds * sum(SIZES), CUSTOMERS))
    made = [
        scored
        for start in range(0, WARM_UP_EVENTS, WARM_UP_ROUND)
        for scored in core.round(records[start : start + WARM_UP_ROUND])
    ]
    core.learn(made)
    gc.freeze()
    spent: dict[int, dict[str, list[float]]] = {size: defaultdict(list) for size in SIZES}
    at = WARM_UP_EVENTS
    for _ in range(rounds):
        for size in SIZES:
            core.round(records[at : at + size])
            at += size
            for part, took in [*core.spent.items(), ("all", sum(core.spent.values()))]:
                spent[size][part].append(took)
    return {
        "rounds": rounds,
        "us_per_round": {
            size: {part: round(quantiles(took)[0], 1) for part, took in parts.items()}
            for size, parts in spent.items()
        },
        "machine": machine(),
    }


def _place(key: bytes) -> int:
    return zlib.crc32(key) % PARTITIONS


def table_of(result: dict[str, Any]) -> Table:
    """The same for people."""
    title = f"µs of a processor, lower quartile of {result['rounds']} rounds"
    table = Table("events in a round", *PARTS, "all", "an event", title=title)
    for size, spent in result["us_per_round"].items():
        figures = [f"{spent[part]:.0f}" for part in (*PARTS, "all")]
        table.add_row(str(size), *figures, f"{spent['all'] / size:.1f}")
    return table


def main(
    *,
    rounds: Annotated[int, typer.Option(min=4, help="Rounds of each size")] = 200,
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON")] = False,
) -> None:
    """Measure what a round costs."""
    tell(measure(rounds), as_json=as_json, table_of=table_of)


if __name__ == "__main__":
    typer.run(main)
