"""Many histories of a lane, each of which meets other faults: whether it keeps its promise.

`python -m tests.stream.lane_machine --histories 5000` plays them on all cores, and prints how many
of them met each fault.
"""

import argparse
import json
import os
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from random import randrange
from time import perf_counter

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.stream.lane_rules import LaneMachine, RelaxedLaneMachine
from tests.stream.lane_world import virtual_time

STEPS = 20


def play(
    machine: type[LaneMachine], histories: int, *, seeded: int | None = None, shrinks: bool = True
) -> None:
    """Play histories; raises what the first broken promise raises, with its shortest history.

    Without a seed they are the same every time.
    """
    options = settings(
        max_examples=histories,
        stateful_step_count=STEPS,
        derandomize=seeded is None,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink) if shrinks else (Phase.generate,),
        report_multiple_bugs=False,
    )
    if seeded is not None:
        seed(seeded)(machine)
    with virtual_time():
        run_state_machine_as_test(machine, settings=options)


def main() -> None:
    """Play many histories on all cores and print what they met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--histories", type=int, default=5_000)
    parser.add_argument("--seed", type=int, default=randrange(1 << 32))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    started = perf_counter()
    shares = 2 * (os.cpu_count() or 1)
    with ProcessPoolExecutor(mp_context=get_context("fork")) as pool:
        seeds = range(options.seed, options.seed + shares)
        results = [*pool.map(_share, [options.histories // shares] * shares, seeds)]
    seconds = round(perf_counter() - started, 1)
    histories: Counter[str] = sum((counts for counts, _ in results), Counter())
    times: Counter[str] = sum((counts for _, counts in results), Counter())
    played = histories.pop("histories")
    if options.json:
        report = {"seed": options.seed, "histories": played, "seconds": seconds}
        text = json.dumps({**report, "met_in": histories, "times": times})
    else:
        rows = [f"{name:52}{histories[name]:10}{times[name]:10}" for name in sorted(times)]
        head = f"seed {options.seed}: {played} histories in {seconds} s, no promise broken"
        text = "\n".join([head, f"{'':52}{'histories':>10}{'times':>10}", *rows])
    print(text)  # noqa: T201 - what the command is for


def _share(histories: int, number: int) -> tuple[Counter[str], Counter[str]]:
    machine = RelaxedLaneMachine if number % 2 else LaneMachine
    for counts in (machine.histories, machine.occurrences):
        counts.clear()  # this process may have played another share
    play(machine, histories, seeded=number)
    return machine.histories, machine.occurrences


if __name__ == "__main__":
    main()
