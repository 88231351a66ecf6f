"""`shoal models`: what was published, how models differ, and the way back."""

import asyncio
import json
import sys
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from config.settings import load_settings

models_app = typer.Typer(help="Published models.", no_args_is_help=True)
out = Console(highlight=False)

Of = Annotated[
    str | None, typer.Option("--segmentation", help="Left out: the first one of the file")
]
AsJson = Annotated[bool, typer.Option("--json", help="One line of JSON")]


@models_app.command("list")
def models_list(segmentation: Of = None, as_json: AsJson = False) -> None:
    """The models that are kept: when, why, of how many, and which one is in force."""
    from stream.history import load_history

    history = asyncio.run(load_history(load_settings(), segmentation))
    if as_json:
        _print_json(history.as_dict())
        return
    title = f"models of {history.segmentation.name}"
    if history.is_held:
        title += ", held: the trainer waits for `shoal models release`"
    table = _table(
        "version", "published", "reason", "customers", "segments", "segments since", title=title
    )
    for entry in history.entries():
        reason = f"rollback to {entry.restored}" if entry.restored else entry.reason
        news = [f"+{born}" for born in entry.births] + [f"-{died}" for died in entry.deaths]
        news += ["in force"] * entry.in_force
        table.add_row(
            *(str(entry.version), entry.created, reason, str(entry.customers)),
            *(str(entry.segments), " ".join(news)),
        )
    out.print(table)


@models_app.command("show")
def models_show(
    version: Annotated[int | None, typer.Argument(help="Left out: the one in force")] = None,
    segmentation: Of = None,
    as_json: AsJson = False,
) -> None:
    """One model: its segments, and where their centroids lie in each feature's own unit."""
    from stream.history import load_history

    history = asyncio.run(load_history(load_settings(), segmentation))
    model = history.model(version)
    (entry,) = (entry for entry in history.entries() if entry.version == model.version)
    segments = history.segments(model)
    why = model.granularity.reason if model.granularity else None
    if as_json:
        found = [asdict(segment) for segment in segments]
        _print_json(asdict(entry) | {"granularity": why, "segments": found})
        return
    title = f"model {entry.version}, {entry.created} ({entry.reason}): {entry.customers} customers"
    table = _table("segment", *(f"{s.id} {s.name}" for s in segments), title=title)
    table.add_row("share", *(f"{s.share:.1%}" for s in segments))
    table.add_row("since model", *(str(s.since_model) for s in segments))
    table.add_section()
    for feature in model.feature_names:
        typical = [segment.centroid[feature] for segment in segments]
        unit = f" ({typical[0].unit})" if typical[0].unit else ""
        table.add_row(f"{feature}{unit}", *(f"{value.value:g}" for value in typical))
    out.print(table)
    if why:
        out.print(why, markup=False)


@models_app.command("diff")
def models_diff(
    before: Annotated[int, typer.Argument(help="Version of the earlier model")],
    after: Annotated[int | None, typer.Argument(help="Left out: the one in force")] = None,
    segmentation: Of = None,
    as_json: AsJson = False,
) -> None:
    """What became of the segments of one model in another."""
    from models.comparison import compare
    from stream.history import load_history

    history = asyncio.run(load_history(load_settings(), segmentation))
    found = compare(history.model(before), history.model(after))
    if as_json:
        _print_json(asdict(found))
        return
    title = f"from model {found.before} to {found.after}"
    table = _table(
        "segment", "name", "share before", "after", "centroid moved", "became", title=title
    )
    for stay in found.kept:
        renamed = "" if stay.name == stay.name_before else f"was {stay.name_before}"
        moved = "" if stay.moved is None else f"{stay.moved:.3f}"
        table.add_row(
            *(stay.id, stay.name, f"{stay.share_before:.1%}", f"{stay.share:.1%}", moved, renamed)
        )
    for birth in found.born:
        table.add_row(birth.id, birth.name, "", f"{birth.share:.1%}", "", "new")
    for death in found.died:
        went = f"gone, most to {death.successor}" if death.successor else "gone"
        table.add_row(death.id, death.name, f"{death.share:.1%}", "", "", went)
    out.print(table)


@models_app.command("rollback")
def models_rollback(
    version: Annotated[int, typer.Argument(help="The model to go back to")],
    segmentation: Of = None,
) -> None:
    """Put an earlier model in force again, as a new version, and hold the trainer."""
    from stream.history import roll_back

    model = asyncio.run(roll_back(load_settings(), version, segmentation))
    out.print(
        f"model {model.version} is in force, with the {len(model.segments)} segments of model "
        f"{version}. The trainer goes on learning, and publishes nothing until you run "
        "`shoal models release`",
        soft_wrap=True,
    )


@models_app.command("release")
def models_release(segmentation: Of = None) -> None:
    """Let the trainer publish again after a rollback."""
    from stream.history import release

    was_held = asyncio.run(release(load_settings(), segmentation))
    out.print("the trainer publishes again" if was_held else "nothing was held")


def _table(*columns: str, title: str) -> Table:
    return Table(*columns, title=title, title_justify="left")


def _print_json(content: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(content, ensure_ascii=False) + "\n")
