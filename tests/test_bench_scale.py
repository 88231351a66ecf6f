"""The bench of scale: its events, its unit costs, and what the capacity model makes of them."""

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from bench import capacity
from bench.capacity import Demand, Limits, Price, UnitCosts, against, plan
from bench.common import BenchError
from bench.measurements import PROCESSED
from bench.scale import __main__ as scale
from bench.scale import largest, natural, parts
from bench.scale.crowd import EVENTS_PER_SECOND, Crowd, Member, name_of, page_of, with_sample_of
from bench.scale.parts import middle, prices, ratio, rss
from bench.scale.results import summary_of
from bench.scale.sites import Cost, distinct_share
from config.segmentation import load_segmentation
from config.settings import DEFAULT_SEGMENTATION, Settings
from models.identifiers import CustomerId
from stream.scrape import Scrape
from stream.sources import SourceEvent
from tests.stream.lane_kit import two_segments

FLAT = Price(1.0, 0.0, 0.0)
COSTS = UnitCosts(
    worker_us=Price(10.0, 20.0, 100.0),
    redis_us=Price(1.0, 5.0, 20.0),
    redis_in_bytes=Price(10.0, 400.0, 800.0),
    redis_out_bytes=FLAT,
    event_bytes=250.0,
    change_bytes=700.0,
    profile_bytes=300.0,
    redis_bytes_per_customer=700.0,
    trainer_us_per_profile=20.0,
)
FIGURES = {
    "prices": {
        name: {"event": 1.0, "customer": 2.0, "change": 3.0}
        for name in ("worker_us", "redis_us", "redis_in_bytes", "redis_out_bytes")
    },
    "event_bytes": 250.0,
    "redis_bytes_per_customer": 700.0,
    "natural": {
        "change_bytes": 700.0,
        "trainer_us_per_profile": 20.0,
        "redis_bytes_by_kind": {"profile value": 300.0},
    },
}
PAGE = {
    "version": "2",
    "id": "s3",
    "name": "Frequent buyers",
    "confidence": "0.5",
    "since": "2026-03-01T12:00:00.000Z",
    "previous": "s1",
    "model": "4",
    "updated": "2026-03-01T12:00:00.000Z",
}


def cost(worker_us: float, distinct: float = 1.0, changes: float = 0.0) -> Cost:
    return Cost(
        events=1_000,
        events_per_second=1.0,
        worker_us=worker_us,
        redis_us=worker_us / 10,
        kafka_us=0.0,
        redis_in_bytes=0.0,
        redis_out_bytes=0.0,
        event_bytes=250.0,
        distinct=distinct,
        changes=changes,
        loaded=0.0,
        steps=0.001,
    )


def crowd(customers: int) -> Crowd:
    schema = load_segmentation(DEFAULT_SEGMENTATION).profile_schema()
    events: tuple[dict[str, object], ...] = ({"type": "a"}, {"type": "b"})
    page = page_of(CustomerId("ann"), PAGE)
    return Crowd([Member(b"", 3, page, events)] * customers, b"", {}, schema, 1_000_000)


def test_copies_cause_the_same_events_under_names_and_ids_of_their_own() -> None:
    some = crowd(3)
    events = some.events([0, 1])
    read = [json.loads(event.value) for event in events]
    assert [event["type"] for event in read] == ["a"] * 3 + ["b"] * 3
    assert len({event.customer_id for event in events}) == 6
    assert len({event["event_id"] for event in [*read, *map(_value, some.events([0]))]}) == 9
    assert {len(event.customer_id) for event in events} == {len(name_of(0, 0))}


def _value(event: SourceEvent) -> Any:
    return json.loads(event.value)


@pytest.mark.parametrize(
    ("customers", "threshold"), [(10_000, 1.0), (20_000, 1.0), (20_001, 0.5), (1_000_000, 1 / 64)]
)
def test_a_large_shop_samples_as_many_customers_as_a_trainer_would(
    customers: int, threshold: float
) -> None:
    model = with_sample_of(two_segments(), customers, 20_000)
    assert model.sample_threshold == threshold


def test_event_time_never_goes_back_and_passes_as_at_full_rate() -> None:
    some = crowd(EVENTS_PER_SECOND // 4)
    times = [event.time_ms for event in (*some.events([0]), *some.events([0], in_a_row=3))]
    assert times == sorted(times)
    assert (times[0], times[-1]) == (1_000_000, 1_001_000)


def test_a_customer_can_have_several_events_in_a_row() -> None:
    names = [event.customer_id for event in crowd(2).events([5], in_a_row=3)]
    assert names == [name_of(5, 0)] * 3 + [name_of(5, 1)] * 3


def test_customers_are_counted_once_in_each_step() -> None:
    settings = Settings(partitions=1, batch_events=4)
    events = [SourceEvent(name, 1, b"{}") for name in "aabbabab"]
    assert distinct_share(events, settings) == 0.5
    assert distinct_share(events, settings.model_copy(update={"batch_events": 2})) == 0.75


def test_a_page_is_read_as_it_was_written() -> None:
    assert page_of(CustomerId("ann"), PAGE).fields() == PAGE | {"confidence": "0.5000"}


def test_prices_are_found_from_blocks_that_differ() -> None:
    blocks = [cost(30.0), cost(15.0, distinct=0.25), cost(60.0, changes=0.3)]
    assert prices(blocks)["worker_us"] == {"event": 10.0, "customer": 20.0, "change": 100.0}


def test_nothing_has_a_price_below_zero() -> None:
    blocks = [cost(10.0), cost(20.0, distinct=0.25), cost(5.0, changes=0.3)]
    assert min(prices(blocks)["worker_us"].values()) >= 0


def test_runs_are_compared_pair_by_pair() -> None:
    assert ratio([cost(20.0), cost(30.0), cost(90.0)], [cost(10.0), cost(20.0), cost(30.0)]) == 2.0
    assert middle([cost(20.0), cost(90.0), cost(30.0)], "worker_us") == 30.0


class LargeShop:
    """A shop of 100 customers whose worker, which is this process, has processed so much."""

    customers = 100

    def __init__(self, processed: float) -> None:
        self._metrics = Scrape({(PROCESSED, frozenset()): processed}, at=0.0)
        processes = SimpleNamespace(scrape=self.scrape, pid=lambda _: os.getpid())
        self.site = SimpleNamespace(workers=["w"], local=SimpleNamespace(processes=processes))

    async def shop(self, _: str) -> "LargeShop":
        return self

    async def see_everybody(self) -> None:
        pass

    async def scrape(self, _: str) -> Scrape:
        return self._metrics


async def memory_after(processed: float) -> dict[str, Any]:
    shops: Any = LargeShop(processed)
    return await rss(shops, 1)


async def test_memory_is_that_of_a_worker_that_has_seen_everybody_itself() -> None:
    assert (await memory_after(100))["worker_rss_mb"] > 1
    with pytest.raises(BenchError, match=r"has processed 99 events.* --only memory"):
        await memory_after(99)


async def test_memory_is_measured_before_the_worker_is_started_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[str] = []

    def part(name: str) -> Any:
        async def ask(*_: object) -> dict[str, Any]:
            made.append(name)
            return {}

        return ask

    for name in ("cpu", "workers", "rss", "start"):
        monkeypatch.setattr(parts, name, part(name))
    monkeypatch.setattr(natural, "measure", part("shop"))
    await scale.measure(100_000, 1, None)
    assert made.index("rss") < made.index("start")


def test_work_grows_with_events_and_memory_with_customers() -> None:
    small = plan(COSTS, Demand(10_000, 1_000_000))
    busy, large = (
        plan(COSTS, Demand(100_000, 1_000_000)),
        plan(COSTS, Demand(10_000, 10_000_000)),
    )
    assert small.worker_cores == pytest.approx(10_000 * (10 + 10 + 3) / 1e6)
    assert busy.worker_cores == pytest.approx(10 * small.worker_cores)
    assert busy.redis_gb == small.redis_gb == pytest.approx(0.7)
    assert large.worker_cores == small.worker_cores
    assert large.redis_gb == pytest.approx(7.0)


def test_there_are_partitions_for_every_worker_and_shard() -> None:
    planned = plan(COSTS, Demand(1_000_000, 100_000_000))
    assert planned.workers == 33
    assert planned.partitions == 256
    assert planned.redis_shards == 6
    assert plan(COSTS, Demand(100, 1_000)).partitions == Limits().partitions


def test_what_is_loaded_most_gives_way_first() -> None:
    many = plan(COSTS, Demand(100, 1e9))
    assert many.first == "redis memory"
    assert many.load[many.first] == pytest.approx(700 / 32)
    slow = replace(COSTS, worker_us=Price(1_000.0, 0.0, 0.0))
    busy = plan(slow, Demand(10_000, 1_000_000))
    assert busy.first == "workers"
    assert busy.first_at_events_per_second == pytest.approx(8 * 0.7 / 1_000e-6)


def test_the_trainer_does_not_work_more_for_more_customers() -> None:
    assert plan(COSTS, Demand(10_000, 1e8)).trainer_cores < (
        plan(COSTS, Demand(10_000, 1e6)).trainer_cores
    )


def test_the_largest_run_is_held_against_what_the_model_says() -> None:
    measured = {
        "events_per_second": 10_000,
        "customers": 2_000_000,
        "distinct": 1.0,
        "changes": 0.1,
        "worker_us": 44.0,
        "redis_us": 8.0,
        "redis_in_bytes": 490.0,
        "redis_out_bytes": 2.0,
        "redis_gb": 1.4,
    }
    compared = against(COSTS, measured)
    assert compared["worker_us"] == {"predicted": 40.0, "measured": 44.0, "ratio": 1.1}
    assert compared["redis_gb"]["ratio"] == 1.0
    assert compared["redis_out_bytes"]["ratio"] == 2.0


def test_unit_costs_come_from_the_figures_of_a_whole_run() -> None:
    costs = UnitCosts.read(json.loads(json.dumps(summary_of(FIGURES))))
    assert costs.worker_us == Price(1.0, 2.0, 3.0)
    assert costs.profile_bytes == 300.0


def test_figures_of_a_part_have_no_unit_costs_and_are_refused() -> None:
    part = {name: value for name, value in FIGURES.items() if name != "natural"}
    assert "unit_costs" not in summary_of(part)
    with pytest.raises(BenchError, match=r"bench\.scale --json"):
        UnitCosts.read(part)


def invoke(main: Any, arguments: Sequence[str]) -> Any:
    app = typer.Typer()
    app.command()(main)
    return CliRunner().invoke(app, list(arguments))


def test_plans_are_printed_as_a_table_or_as_one_line(tmp_path: Path) -> None:
    file = tmp_path / "scale.json"
    file.write_text(json.dumps(summary_of(FIGURES)))
    shown = invoke(capacity.main, ["--costs", str(file), "--json"])
    assert shown.exit_code == 0
    assert json.loads(shown.stdout)["plans"].keys() == capacity.DEMANDS.keys()
    assert "partitions" in invoke(capacity.main, ["--costs", str(file)]).stdout


def test_a_file_without_unit_costs_ends_in_a_message(tmp_path: Path) -> None:
    file = tmp_path / "scale.json"
    file.write_text("{}")
    result = invoke(capacity.main, ["--costs", str(file)])
    assert result.exit_code == 1
    assert "does not have all unit costs" in result.stderr


def test_a_part_is_measured_alone_and_a_block_that_does_not_count_gives_no_figure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def shop(*_: object) -> dict[str, Any]:
        return {"trainer_cpu_share": 0.05}

    async def broken(*_: object) -> dict[str, Any]:
        raise BenchError("this block does not count: 7 of 10 customers are in no segment")

    monkeypatch.setattr(natural, "measure", shop)
    monkeypatch.setattr(largest, "measure", broken)
    result = invoke(scale.main, ["--only", "shop", "--json"])
    assert result.exit_code == 0
    (line,) = result.stdout.splitlines()
    assert json.loads(line)["trainer_cpu_share"] == 0.05
    result = invoke(scale.main, ["--only", "largest", "--json"])
    assert (result.exit_code, result.stdout) == (1, "")
    assert "7 of 10 customers" in result.stderr
