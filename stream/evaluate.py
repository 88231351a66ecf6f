"""`shoal evaluate`: what another segmentation file would have made of the same events.

Both configurations learn from the log by themselves, from nothing, in the time of its events.
Nothing is written anywhere, and the log is read without joining a group.
"""

from collections.abc import AsyncIterator, Iterable
from itertools import islice
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from config.segmentation import SegmentationConfig, load_segmentation
from config.settings import Settings
from models.errors import ShoalError
from stream.evaluation import Evaluation, Side
from stream.log import log_ends, read_in_order
from stream.names import Topics
from stream.preflight import require_topics
from stream.rehearsal import Pace, Rehearsal
from stream.rows import read_object
from stream.simulate import Simulator
from stream.sources import SourceEvent, open_source

SHOWN_EVERY = 1_000


class EvaluationError(ShoalError):
    """Two configurations cannot be compared; the message says what is missing."""


async def evaluate(
    settings: Settings,
    candidate: Path,
    *,
    source: str | None,
    from_kafka: bool,
    limit: int | None,
    console: Console,
) -> Evaluation:
    """The running configuration (`settings.segmentation`) and a candidate, on the same events.

    Parameters
    ----------
    source, from_kafka
        Where the events come from: one of the two.
    limit
        Take no more events than this.
    console
        Where the progress is shown.

    Raises
    ------
    ShoalError
        A file or the source cannot be used, or there is too little in it to learn from.
    """
    running, other = load_segmentation(settings.segmentation), load_segmentation(candidate)
    if from_kafka == (source is not None):
        raise EvaluationError("say where the events are: --from SOURCE or --from-kafka")
    if source is None:
        await require_topics(settings)
        topic = Topics(settings.namespace).events
        ends = await log_ends(settings, topic, range(settings.partitions))
        name, total = f"topic {topic}", None
        events = _logged(settings, topic, ends, limit)
    else:
        opened = open_source(source)
        if isinstance(opened, Simulator) and limit is None:
            raise EvaluationError("simulator never ends: say how far to go, as --limit 50000")
        name, total = opened.name, opened.total
        events = _taken(islice(opened, limit))
    sides = (_side(settings, running), _side(settings, other))
    totals = [count for count in (total, limit) if count is not None]
    await _rehearse(events, sides, name, min(totals, default=None), console)
    for side, path in zip(sides, (settings.segmentation, candidate), strict=True):
        _require_models(side, name, path)
    return Evaluation.of(name, *sides)


def _side(settings: Settings, config: SegmentationConfig) -> Side:
    return Side(Rehearsal(settings, config, Pace(batch_events=settings.batch_events)))


async def _rehearse(
    events: AsyncIterator[SourceEvent],
    sides: tuple[Side, Side],
    name: str,
    total: int | None,
    console: Console,
) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as progress:
        task = progress.add_task(name, total=total)
        taken = 0
        async for event in events:
            for side in sides:
                side.take(event)
            taken += 1
            if taken % SHOWN_EVERY == 0:
                progress.update(task, completed=taken)
        for side in sides:
            side.finish()


async def _taken(events: Iterable[SourceEvent]) -> AsyncIterator[SourceEvent]:
    for event in events:
        yield event


async def _logged(
    settings: Settings, topic: str, ends: dict[int, int], limit: int | None
) -> AsyncIterator[SourceEvent]:
    """Events of a topic; their keys are those of Kafka."""
    left = limit
    async for record in read_in_order(settings, topic, ends):
        if left == 0:
            return
        event = read_object(record.value or b"")
        key = (record.key or b"").decode(errors="replace")
        yield SourceEvent(key, event.time_ms, event.value)
        left = None if left is None else left - 1


def _require_models(side: Side, name: str, path: Path) -> None:
    rehearsal = side.rehearsal
    rejected = rehearsal.rejected.total()
    if rejected == rehearsal.events:
        reasons = ", ".join(f"{count} {reason}" for reason, count in rehearsal.rejected.items())
        raise EvaluationError(
            f"{name} has no event that can be counted ({reasons or 'none at all'}): choose another"
        )
    for edition in rehearsal.editions:
        if edition.model is None:
            raise EvaluationError(
                f"{name} has {len(rehearsal.customers)} customers, too few for segmentation "
                f"{edition.segmentation.name} of {path}: take more events, or lower min_customers"
            )
