"""`shoal segments`: what the segments are, and what operators say of them."""

import asyncio
import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from config.segmentation import SegmentationConfig, load_segmentation
from config.settings import Settings, load_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stream.labelling import Edits

segments_app = typer.Typer(help="The segments: list, look at, name and attach.")
out = Console(highlight=False)

Named = Annotated[
    str | None,
    typer.Option("--segmentation", help="Which segmentation; the first of the file if not said"),
]
AsJson = Annotated[bool, typer.Option("--json", help="For programs")]
SegmentArgument = Annotated[str, typer.Argument(metavar="ID", help="such as s3")]


@segments_app.callback(invoke_without_command=True)
def segments(
    context: typer.Context,
    segmentation: Named = None,
    level: Annotated[
        int | None, typer.Option(min=1, help="A coarser view: so many groups of segments")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """The segments in force, and how many customers are in each."""
    if context.invoked_subcommand is None:
        asyncio.run(_list(*_configuration(), segmentation, level, as_json=as_json))


@segments_app.command()
def show(segment: SegmentArgument, segmentation: Named = None, as_json: AsJson = False) -> None:
    """The card of a segment: what its customers are like, and what is attached to it."""
    asyncio.run(_show(*_configuration(), segmentation, segment, as_json=as_json))


@segments_app.command("name")
def rename(
    segment: SegmentArgument,
    name: Annotated[str | None, typer.Argument(help="What it is to be called")] = None,
    *,
    landing_page: Annotated[str | None, typer.Option(help="Where its customers land")] = None,
    offer: Annotated[str | None, typer.Option(help="What they are offered")] = None,
    message: Annotated[str | None, typer.Option(help="What they are told")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="As many as you like")] = None,
    clear: Annotated[bool, typer.Option(help="Forget what was said before")] = False,
    segmentation: Named = None,
) -> None:
    """Name a segment, and attach what downstream needs; what is not said stays as it is."""
    from models.labels import Label
    from stream.labelling import parse_fields, require_segmentation

    given = {
        "name": name,
        "landing_page": landing_page,
        "offer": offer,
        "message": message,
        "tags": tag,
    }
    said = {field: value for field, value in given.items() if value is not None}
    if not said and not clear:
        raise typer.BadParameter("say a name, --landing-page, --offer, --message, --tag or --clear")
    label = parse_fields(**said)
    changes = {field: getattr(label, field) for field in said}

    def edit(before: Label) -> Label:
        return replace(Label() if clear else before, **changes)

    settings, config = _configuration()
    where = require_segmentation(config, segmentation)
    asyncio.run(_label(settings, config, {where: {segment: edit}}))


@segments_app.command()
def apply(file: Annotated[Path, typer.Argument(help="YAML: segmentation, id, fields")]) -> None:
    """Name and attach as a file says; segments that it leaves out stay as they are."""
    from stream.labelling import read_labels

    asyncio.run(_label(*_configuration(), read_labels(file)))


def _configuration() -> tuple[Settings, SegmentationConfig]:
    settings = load_settings()
    return settings, load_segmentation(settings.segmentation)


async def _list(
    settings: Settings,
    config: SegmentationConfig,
    named: str | None,
    level: int | None,
    *,
    as_json: bool,
) -> None:
    from stream.catalogue import Catalogue
    from stream.inspection import segment_report
    from stream.labelling import require_segmentation
    from stream.labels import Labels
    from stream.names import Keys
    from stream.reach import reach_redis
    from stream.segments import coarser, departed, show_groups, show_list, with_names

    name = require_segmentation(config, named)
    async with reach_redis(settings) as redis:
        keys = Keys(settings.namespace)
        catalogue = Catalogue(redis, keys)
        model = await catalogue.newest_model(name)
        labels = await Labels(redis, keys).load(name)
        report = await segment_report(catalogue, name, settings.partitions)
    report = with_names(report, labels)
    if level is not None:
        groups = coarser(model, labels, level, report)
        if as_json:
            _print_json({"customers": report.customers, "groups": [asdict(row) for row in groups]})
        else:
            show_groups(groups, report.customers, out)
        return
    gone = departed(model, labels)
    if as_json:
        _print_json(report.as_dict() | {"gone": [asdict(segment) for segment in gone]})
    else:
        show_list(report, gone, out)


async def _show(
    settings: Settings,
    config: SegmentationConfig,
    named: str | None,
    segment: str,
    *,
    as_json: bool,
) -> None:
    from stream.cards import Cards
    from stream.catalogue import Catalogue
    from stream.labelling import UnknownSegmentError, require_segmentation
    from stream.labels import Labels
    from stream.names import Keys
    from stream.reach import reach_redis
    from stream.segments import show_card

    name = require_segmentation(config, named)
    async with reach_redis(settings) as redis:
        keys = Keys(settings.namespace)
        catalogue = Catalogue(redis, keys)
        cards = await Cards(redis, keys, config.profile_schema()).of(name)
        found = next((card for card in cards if card.id == segment), None)
        if found is None:
            model = await catalogue.newest_model(name)
            raise UnknownSegmentError(segment, model, await Labels(redis, keys).load(name))
        sizes = await catalogue.sizes(range(settings.partitions), name)
    customers = sizes.get(found.id, 0)
    if as_json:
        _print_json(found.as_dict() | {"customers": customers})
    else:
        show_card(found, customers, out)


async def _label(
    settings: Settings,
    config: SegmentationConfig,
    edits: "Mapping[str, Edits]",
) -> None:
    from stream.labelling import Desk, require_segmentation
    from stream.names import Keys
    from stream.reach import reach_redis

    named = {require_segmentation(config, name): edit for name, edit in edits.items()}
    async with reach_redis(settings) as redis:
        desk = Desk(
            redis,
            Keys(settings.namespace),
            config.profile_schema(),
            replicas=settings.redis_replicas,
        )
        for name, edit in named.items():
            await desk.check(name, edit)
        for name, edit in named.items():
            for segment, shown in (await desk.label(name, edit)).items():
                where = f"{name} " if len(config.segmentations) > 1 else ""
                out.print(f"{where}{segment}  {shown}", markup=False, soft_wrap=True)


def _print_json(content: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(content) + "\n")
