"""`shoal`: the command line. Every expected failure ends in one line and exit code 2."""

import asyncio
import json
import logging
import os
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from config.segmentation import load_segmentation
from config.settings import Settings, load_settings
from models.errors import ShoalError
from models.identifiers import CustomerId
from stream.models_cli import models_app
from stream.segments_cli import segments_app

app = typer.Typer(
    name="shoal",
    help="Streaming customer segmentation: which group each customer is in, while it happens.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
topics_app = typer.Typer(help="Kafka topics.", no_args_is_help=True)
app.add_typer(topics_app, name="topics")
app.add_typer(models_app, name="models")
app.add_typer(segments_app, name="segments")

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

SourceArgument = Annotated[
    str, typer.Argument(help="simulator, completejourney, or a .csv, .jsonl or .parquet file")
]


@app.callback()
def _root(
    config: Annotated[
        Path | None, typer.Option(help="Settings file (YAML); SHOAL_* variables win over it")
    ] = None,
) -> None:
    if config is not None:
        os.environ["SHOAL_CONFIG"] = str(config)


@app.command()
def worker(
    metrics_port: Annotated[int | None, typer.Option(help="Port of /metrics; 0: any")] = None,
    member: Annotated[str | None, typer.Option(help="Static membership name")] = None,
) -> None:
    """Assign segments: run one worker. Start several and they share the partitions."""
    # The wiring is imported where a process needs it: `shoal --help` should not wait for Faust.
    from stream.app import create_worker_app, run

    settings = _start(load_settings(metrics_port=metrics_port, member=member))
    run(create_worker_app(settings), settings)


@app.command()
def trainer(
    metrics_port: Annotated[int | None, typer.Option(help="Port of /metrics; 0: any")] = None,
    member: Annotated[str | None, typer.Option(help="Static membership name")] = None,
) -> None:
    """Learn the segments: run the trainer. A second one stands by."""
    from stream.app import create_trainer_app, run

    settings = _start(load_settings(trainer_metrics_port=metrics_port, member=member))
    run(create_trainer_app(settings), settings)


@topics_app.command("create")
def topics_create() -> None:
    """Create the topics that do not exist yet, and compare those that do."""
    from stream.topics import create_topics

    for topic in _run(create_topics(load_settings())):
        state = "created" if topic.created else "exists"
        out.print(f"{state:8} {topic.name} ({topic.partitions} partitions)")


@app.command()
def rebuild(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask")] = False,
) -> None:
    """Make the state anew: count the event log from its beginning, keep what was told."""
    from stream.rebuild import rebuild as make_anew
    from stream.rebuild import survey
    from stream.rebuilding import RebuildRefusedError

    settings = load_settings()
    err.print(str(_run(survey(settings))), soft_wrap=True, markup=False)
    if not yes:
        if not sys.stdin.isatty():
            raise RebuildRefusedError("nobody is here to be asked: say `shoal rebuild --yes`")
        typer.confirm("Go on?", abort=True, err=True)
    out.print(str(_run(make_anew(settings, err))), soft_wrap=True, markup=False)


@app.command()
def replay(
    source: SourceArgument,
    limit: Annotated[int | None, typer.Option(min=1, help="Send no more events than this")] = None,
    speed: Annotated[
        float | None, typer.Option(help="Times real time; left out: as fast as it goes")
    ] = None,
) -> None:
    """Send events into Kafka, from a simulated shop, real data or a file."""
    from stream.feeding import replay_into

    result = _run(replay_into(load_settings(), source, limit=limit, speed=speed, console=err))
    out.print(f"{result.sent} events sent")


@app.command()
def evaluate(
    candidate: Annotated[Path, typer.Option(help="The other segmentation.yaml")],
    source: Annotated[
        str | None,
        typer.Option(
            "--from", help="simulator, completejourney, or a .csv, .jsonl or .parquet file"
        ),
    ] = None,
    from_kafka: Annotated[
        bool, typer.Option("--from-kafka", help="Read the event topic, without joining a group")
    ] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Take no more events than this")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON")] = False,
) -> None:
    """Compare another segmentation file with the running one, on the same events."""
    from stream.evaluate import evaluate as compare
    from stream.evaluation import show_evaluation

    work = compare(
        load_settings(), candidate, source=source, from_kafka=from_kafka, limit=limit, console=err
    )
    found = _run(work)
    if as_json:
        sys.stdout.write(json.dumps(found.as_dict()) + "\n")
    else:
        show_evaluation(found, out)


@app.command()
def demo(
    source: Annotated[
        str, typer.Option(help="simulator, completejourney, or a .csv, .jsonl or .parquet file")
    ] = "simulator",
    events: Annotated[
        int | None, typer.Option(min=1, help="Process so many events, then stop")
    ] = None,
    rate: Annotated[
        float, typer.Option(min=1, help="Events per second, while no number of events is given")
    ] = 1000.0,
    as_json: Annotated[
        bool, typer.Option("--json", help="One line of JSON at the end, nothing else")
    ] = False,
) -> None:
    """Everything on this machine: Kafka, Redis, a worker, the trainer and a shop."""
    from stream.demo import run_demo

    bounded = events is not None or source != "simulator" or as_json
    summary = _run(
        run_demo(source, events=events, rate=None if bounded else rate, live=not as_json)
    )
    if as_json and summary is not None:
        sys.stdout.write(json.dumps(summary.as_dict()) + "\n")


@app.command()
def customer(
    customer_id: Annotated[str, typer.Argument(metavar="ID")],
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """What Shoal knows of one customer: segment, features, and how near each segment is."""
    from stream.inspection import describe_customer, show_customer

    found = _run(describe_customer(load_settings(), CustomerId(customer_id)))
    if as_json:
        sys.stdout.write(json.dumps(found.as_dict()) + "\n")
    else:
        show_customer(found, out)


@app.command()
def tail(
    from_start: Annotated[bool, typer.Option(help="Begin with the oldest change")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The CloudEvents themselves")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Stop after so many")] = None,
) -> None:
    """Follow the changes of segment."""
    from stream.inspection import follow_changes

    _run(follow_changes(load_settings(), out, from_start=from_start, as_json=as_json, limit=limit))


@app.command()
def check() -> None:
    """Validate the configuration, reach the servers, say what is wrong and what to do."""
    from stream.preflight import check as find

    settings = load_settings()
    segmentation = load_segmentation(settings.segmentation)
    out.print(
        f"ok    segmentation: {len(segmentation.features)} features, "
        f"{segmentation.model.k} segments by {segmentation.model.algorithm}"
    )
    findings = _run(find(settings))
    for finding in findings:
        mark = "ok   " if finding.ok else "WRONG"
        out.print(f"{mark} {finding.name}: {finding.detail}", soft_wrap=True)
        if finding.action:
            out.print(f"      {finding.action}", soft_wrap=True)
    if not all(finding.ok for finding in findings):
        raise typer.Exit(2)


@app.command()
def schema() -> None:
    """JSON Schema of an event, of a change and of a published model."""
    from stream.changes import change_schema
    from stream.events import Event
    from stream.model_events import model_schema

    schemas = {
        "event": Event.model_json_schema(),
        "change": change_schema(),
        "model": model_schema(),
    }
    sys.stdout.write(json.dumps(schemas, indent=2) + "\n")


def _start(settings: Settings) -> Settings:
    logging.basicConfig(
        level=settings.log_level.upper(),
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    return settings


def _run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


def main() -> None:
    """Entry point of the `shoal` command."""
    try:
        app()
    except ShoalError as error:
        err.print(f"error: {error}", soft_wrap=True, markup=False)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
