"""Every fault with how often it is done, and the row that comes of it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

from stream.embedded import EmbeddedRedis
from tests.apache_kafka import ApacheKafka
from tests.faults import harms
from tests.faults.scene import FaultError, Scene, new_settings, new_shop, scene
from tests.faults.states import Damage, run_damage
from tests.faults.verdict import Verdict
from tests.redis_cluster import ValkeyCluster

BEFORE_SECONDS = (0.5, 2.5)
AFTER_SECONDS = 1.0

Say = Callable[[str], None]


@dataclass(frozen=True)
class Fault:
    """A harm, how often it is done, and to what kind of deployment.

    `is_relaxed`: Redis may lose its last second, changes may be told again with other content.
    """

    name: str
    runs: int
    harm: Callable[[Scene, Random], Awaitable[None]]
    workers: int = 2
    is_static: bool = False
    is_relaxed: bool = False
    is_cluster: bool = False
    twice: bool = False
    garbage_share: float = 0.0


FAULTS = (
    Fault("worker SIGKILL", 20, harms.kill_worker),
    Fault("static worker SIGKILL", 5, harms.kill_worker, is_static=True),
    Fault("worker SIGTERM", 10, harms.terminate_worker),
    Fault("workers 1-3-1", 10, harms.scale, workers=1),
    Fault("worker frozen", 10, harms.freeze_worker),
    Fault("trainer SIGKILL in a publication", 5, harms.kill_publishing_trainer),
    Fault("two trainers", 5, harms.two_trainers),
    Fault("Redis SIGKILL", 10, harms.kill_redis),
    Fault("Redis loses a second", 10, harms.cut_redis, is_relaxed=True),
    Fault("Redis frozen", 5, harms.freeze_redis),
    Fault("Redis full", 5, harms.fill_redis),
    Fault("Redis Cluster fail-over", 5, harms.fail_over, is_cluster=True),
    Fault("Redis Cluster primary SIGKILL", 5, harms.kill_primary, is_cluster=True),
    Fault("Kafka SIGKILL", 5, harms.kill_kafka),
    Fault("Kafka frozen", 5, harms.freeze_kafka),
    Fault("worker and Redis SIGKILL", 5, harms.kill_worker_and_redis),
    Fault("events sent twice", 3, harms.kill_worker_in_between, twice=True),
    Fault("garbage", 5, harms.kill_worker_in_between, garbage_share=0.02),
)


@dataclass
class Row:
    """What came of all runs of a fault."""

    name: str
    is_relaxed: bool = False
    events: int = 0
    recoveries: list[float] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    restarts: int = 0

    @property
    def runs(self) -> int:
        """How often it was done, whatever came of it."""
        return len(self.verdicts) + len(self.complaints)

    def total(self, name: str) -> int:
        """Sum of one of a verdict's four numbers over all runs."""
        return sum(getattr(verdict, name) for verdict in self.verdicts)

    @property
    def is_kept(self) -> bool:
        """Whether the promise was kept; relaxed durability promises exact profiles alone."""
        kept = [v.is_exact if self.is_relaxed else v.is_clean for v in self.verdicts]
        return all(kept) and not self.complaints

    def add(self, verdict: Verdict, *, events: int, recovery: float) -> None:
        """One run more."""
        self.verdicts.append(verdict)
        self.events += events
        self.recoveries.append(recovery)

    def as_dict(self) -> dict[str, Any]:
        """The row of the JSON output."""
        seconds = self.recoveries or [0.0]
        return {
            "fault": self.name,
            "runs": self.runs,
            "events": self.events,
            "lost": self.total("lost"),
            "double_counted": self.total("double_counted"),
            "changes_missing": self.total("changes_missing"),
            "changes_conflicting": self.total("changes_conflicting"),
            "recovery_seconds": {"p50": round(median(seconds), 1), "max": round(max(seconds), 1)},
            "relaxed": self.is_relaxed,
            "restarts": self.restarts,
            "complaints": self.complaints,
        }


async def damage_row(damage: Damage, kafka: ApacheKafka, directory: Path, *, seed: int) -> Row:
    """Do a damage once."""
    row = Row(damage.name)
    place = directory / damage.name.replace(" ", "-")
    place.mkdir()
    try:
        verdict, events, seconds = await run_damage(damage, kafka, place, seed=seed)
        row.add(verdict, events=events, recovery=seconds)
    except FaultError as error:
        row.complaints.append(str(error))
    return row


async def fault_rows(
    faults: Sequence[Fault],
    kafka: ApacheKafka,
    directory: Path,
    *,
    runs: Callable[[Fault], int],
    seed: int,
    say: Say,
) -> list[Row]:
    """Do faults of one kind of deployment under load; after each, everything is compared.

    They share a deployment for as long as nothing is wrong with it.
    """
    rows = [Row(fault.name, fault.is_relaxed) for fault in faults]
    first, random, scenes = faults[0], Random(f"{seed}:{faults[0].name}"), count()
    while any(row.runs < runs(fault) for row, fault in zip(rows, faults, strict=True)):
        place = directory / f"{first.name.replace(' ', '-')}-{next(scenes)}"
        place.mkdir()
        with _redis(first, place / "redis") as redis:
            settings = new_settings(kafka, redis, is_strict=not first.is_relaxed)
            seed = random.getrandbits(32)
            shop = new_shop(settings, seed, twice=first.twice, garbage=first.garbage_share)
            async with scene(
                *(place, kafka, redis, settings, shop),
                workers=first.workers,
                is_static=first.is_static,
            ) as it:
                for row, fault in zip(rows, faults, strict=True):
                    if not await _run_some(row, fault, it, random, runs=runs(fault), say=say):
                        break
    return rows


def deployments(faults: Sequence[Fault]) -> list[list[Fault]]:
    """Faults that can share a deployment, one after the other."""
    groups: dict[tuple[object, ...], list[Fault]] = {}
    for fault in faults:
        kind = (fault.workers, fault.is_static, fault.is_relaxed, fault.is_cluster)
        groups.setdefault((*kind, fault.twice, fault.garbage_share), []).append(fault)
    return list(groups.values())


def _redis(fault: Fault, directory: Path) -> EmbeddedRedis | ValkeyCluster:
    if fault.is_cluster:
        return ValkeyCluster(directory)
    return EmbeddedRedis(directory, appendfsync="everysec" if fault.is_relaxed else "always")


async def _run_some(
    row: Row, fault: Fault, it: Scene, random: Random, *, runs: int, say: Say
) -> bool:
    """Do a fault until it was done `runs` times; False when something is wrong with the scene."""
    while row.runs < runs:
        before, restarts = it.load.sent, it.restarts
        try:
            verdict, recovery = await _run(fault, it, random)
        except FaultError as error:
            row.complaints.append(str(error))
            say(f"{fault.name}: {error}")
            return False
        row.add(verdict, events=it.load.sent - before, recovery=recovery)
        row.restarts += it.restarts - restarts
        changes = sum(told.version for told in it.history.told.values())
        done = f"{fault.name} {row.runs}/{runs}: recovered in {recovery:.1f} s"
        say("; ".join([done, f"{changes} changes so far", *verdict.examples]))
        if not verdict.is_clean:
            return False
    return True


async def _run(fault: Fault, it: Scene, random: Random) -> tuple[Verdict, float]:
    it.load.start()
    await it.until_lively()
    await asyncio.sleep(random.uniform(*BEFORE_SECONDS))
    await fault.harm(it, random)
    recovery = await it.recovered()
    await asyncio.sleep(AFTER_SECONDS)
    return await it.settle(), recovery


def failed(rows: Sequence[Row]) -> list[str]:
    """Names of the faults through which the promise was not kept."""
    return [row.name for row in rows if not row.is_kept]
