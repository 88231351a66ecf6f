"""Rounds in which Shoal and its contenders take turns, and what comes out of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from bench.common import Spread
from bench.contenders.running import Contender, Performance, run_contender
from bench.measurements import STAGES, Run, measure_throughput
from stream.sources import SourceEvent

SHOAL = "shoal"


@dataclass(frozen=True, slots=True)
class Round:
    """One run of Shoal, and one of each contender right after it."""

    shoal: Run
    contenders: Mapping[Contender, Performance]

    def rates(self) -> dict[str, float]:
        """Events a second of each."""
        return {SHOAL: self.shoal.events_per_second} | {
            name.value: run.events_per_second for name, run in self.contenders.items()
        }

    def costs(self) -> dict[str, float]:
        """Processor time an event of each, in µs."""
        return {SHOAL: self.shoal.cpu_us_per_event} | {
            name.value: run.cpu_us_per_event for name, run in self.contenders.items()
        }

    def ratios(self) -> dict[str, float]:
        """How many times as fast as each contender Shoal was."""
        return {
            name.value: self.shoal.events_per_second / run.events_per_second
            for name, run in self.contenders.items()
        }

    def cpu_ratios(self) -> dict[str, float]:
        """How many times as much processor time an event each contender took as Shoal."""
        return {
            name.value: run.cpu_us_per_event / self.shoal.cpu_us_per_event
            for name, run in self.contenders.items()
        }


async def play(
    warm_up: Sequence[SourceEvent],
    events: Sequence[SourceEvent],
    counts: Mapping[Contender, int],
    runs: int,
    console: Console,
) -> list[Round]:
    """So many rounds over the same events; a contender takes the first `counts` after the warm-up.

    Raises
    ------
    BenchError
        A run does not count.
    """
    rounds = []
    for number in range(runs):
        shoal = await measure_throughput(warm_up, events, console)
        runs_of = {
            contender: await run_contender(contender, warm_up, events[:count], shoal.terms, console)
            for contender, count in counts.items()
        }
        rounds.append(Round(shoal, runs_of))
        rates = ", ".join(f"{name} {rate:.0f}" for name, rate in rounds[-1].rates().items())
        console.print(f"round {number + 1} of {runs}, events/s: {rates}")
    return rounds


def summary_of(rounds: Sequence[Round]) -> dict[str, Any]:
    """Medians over the rounds, of ratios too, which are made within a round; and their spreads."""
    rates = _spreads([each.rates() for each in rounds])
    ratios = _spreads([each.ratios() for each in rounds])
    return {
        "events_per_second": {name: round(rate.median) for name, rate in rates.items()},
        "ratio": {name: round(ratio.median, 2) for name, ratio in ratios.items()},
        "spread": {
            "events_per_second": {
                name: [round(rate.lowest), round(rate.highest)] for name, rate in rates.items()
            },
            "ratio": {
                name: [round(ratio.lowest, 2), round(ratio.highest, 2)]
                for name, ratio in ratios.items()
            },
        },
        "cpu_us_per_event": {
            name: round(cost.median, 1)
            for name, cost in _spreads([each.costs() for each in rounds]).items()
        },
        "cpu_ratio": {
            name: round(ratio.median, 2)
            for name, ratio in _spreads([each.cpu_ratios() for each in rounds]).items()
        },
        "stages_us_per_event": {
            stage: round(
                Spread.of([each.shoal.stages_us_per_event[stage] for each in rounds]).median, 1
            )
            for stage in STAGES
        },
        "change_rate": round(Spread.of([each.shoal.change_rate for each in rounds]).median, 3),
    }


def _spreads(rounds: Sequence[Mapping[str, float]]) -> dict[str, Spread]:
    return {name: Spread.of([figures[name] for figures in rounds]) for name in rounds[0]}
