"""`shoal models` as a person meets it, on a real Redis."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from typer.testing import CliRunner, Result

from config.settings import Settings
from models.errors import ShoalError
from models.lineage import Granularity, Lineage
from models.snapshots import Retirement, Segment, Snapshot
from stream.catalogue import Catalogue
from stream.cli import app
from stream.history import roll_back
from stream.names import Keys
from stream.preflight import require
from stream.topics import create_topics
from tests.models.test_snapshots import model

FILE = """
features:
  f0: {kind: count, scale: linear, unit: orders}
  f1: {kind: count, unit: visits}
segmentations:
  value: {features: [f0, f1]}
  other: {features: [f0]}
"""
FIRST = replace(model(), segmentation="value", version=1, retired=(), reason="first")
SECOND = replace(
    FIRST,
    version=2,
    reason="drift",
    centroids=FIRST.centroids + 1,
    segments=(Segment(1, "Renamed", 0.5, 0), *FIRST.segments[1:2], Segment(7, "New", 0.2, 2)),
    next_number=8,
    retired=(Retirement(5, 7, 2),),
    lineage=Lineage(previous=1, born=(7,), died=((5, 7),)),
    granularity=Granularity(3, ((3, 0.5),), "3 segments: silhouette 0.50"),
)
Shoal = Callable[..., Awaitable[Result]]


@pytest.fixture
async def state(settings: Settings, tmp_path: Path, redis: Redis) -> Catalogue:
    """A deployment with two models of `value`."""
    path = tmp_path / "segmentation.yaml"
    path.write_text(FILE, encoding="utf-8")
    await create_topics(settings)
    await require(settings)
    catalogue = Catalogue(redis, Keys(settings.namespace))
    epoch = await catalogue.claim_training("value")
    for snapshot in (FIRST, SECOND):
        await publish(catalogue, snapshot, epoch)
    return catalogue


async def publish(catalogue: Catalogue, snapshot: Snapshot, epoch: int) -> None:
    await catalogue.publish_model(
        snapshot.to_json(),
        version=snapshot.version,
        epoch=epoch,
        segments={},
        segmentation=snapshot.segmentation,
    )


@pytest.fixture
def shoal(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shoal:
    """Runs a command, in a thread since it has a loop of its own."""
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SHOAL_SEGMENTATION", str(tmp_path / "segmentation.yaml"))
    monkeypatch.setenv("COLUMNS", "200")

    async def run(*words: str) -> Result:
        return await asyncio.to_thread(CliRunner().invoke, app, ["models", *words])

    return run


async def parsed(shoal: Shoal, *words: str) -> Any:
    result = await shoal(*words, "--json")
    assert result.exit_code == 0, result.exception
    return json.loads(result.stdout)


@pytest.mark.usefixtures("state")
async def test_the_list_says_when_why_and_what_became_of_segments(shoal: Shoal) -> None:
    found = await parsed(shoal, "list")
    assert (found["segmentation"], found["held"]) == ("value", False)
    assert found["models"][1] == {
        "version": 2,
        "created": "2023-11-14T22:13:20.000Z",
        "reason": "drift",
        "restored": None,
        "customers": 321,
        "segments": 3,
        "births": ["s7"],
        "deaths": ["s5"],
        "in_force": True,
    }
    shown = (await shoal("list")).stdout
    assert "models of value" in shown
    assert "+s7 -s5 in force" in shown


@pytest.mark.usefixtures("state")
async def test_a_model_is_shown_in_the_units_of_its_features(shoal: Shoal) -> None:
    found = await parsed(shoal, "show")
    assert (found["version"], found["granularity"]) == (2, "3 segments: silhouette 0.50")
    assert [segment["id"] for segment in found["segments"]] == ["s1", "s3", "s7"]
    typical = SECOND.scaler.inverse(SECOND.centroids)
    assert found["segments"][0]["centroid"] == {
        "f0": {"value": round(typical[0, 0], 3), "unit": "orders"},
        "f1": {"value": round(typical[0, 1], 3), "unit": "visits"},
    }
    shown = (await shoal("show", "1")).stdout
    for word in ("model 1", "first", "s5 Name 2", "f0 (orders)"):
        assert word in shown


@pytest.mark.usefixtures("state")
async def test_a_difference_tells_who_stayed_came_and_went(shoal: Shoal) -> None:
    found = await parsed(shoal, "diff", "1")
    assert (found["before"], found["after"]) == (1, 2)
    assert [(stay["id"], stay["name_before"], stay["name"]) for stay in found["kept"]] == [
        ("s1", "Name 0", "Renamed"),
        ("s3", "Name 1", "Name 1"),
    ]
    assert found["kept"][0]["moved"] == pytest.approx(2**0.5, abs=1e-5)
    assert [birth["id"] for birth in found["born"]] == ["s7"]
    assert [(death["id"], death["successor"]) for death in found["died"]] == [("s5", "s7")]
    shown = (await shoal("diff", "1", "2")).stdout
    for word in ("was Name 0", "new", "gone, most to s7", "33.3%", "50.0%"):
        assert word in shown


async def test_going_back_holds_the_models_until_they_are_released(
    state: Catalogue, shoal: Shoal
) -> None:
    said = (await shoal("rollback", "1")).stdout
    assert "model 3 is in force, with the 3 segments of model 1" in said
    found = await parsed(shoal, "list")
    newest = found["models"][-1]
    assert found["held"]
    assert (newest["version"], newest["reason"], newest["restored"]) == (3, "rollback", 1)
    assert (newest["births"], newest["deaths"]) == (["s5"], ["s7"])
    assert "held" in (await shoal("list")).stdout
    assert "rollback to 1" in (await shoal("list")).stdout
    blob = await state.model(3, "value")
    brought = Snapshot.from_json(blob or b"")
    assert (brought.epoch, brought.next_number) == (2, 8)
    assert set(await state.segments("value")) == {"s1", "s3", "s5"}
    assert "publishes again" in (await shoal("release")).stdout
    assert "nothing was held" in (await shoal("release")).stdout
    assert not (await parsed(shoal, "list"))["held"]


async def test_of_several_who_go_back_at_once_each_has_a_version_of_their_own(
    state: Catalogue,
    shoal: Shoal,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # In the same millisecond all of them make the same bytes.
    monkeypatch.setattr("stream.history.wall_ms", lambda: 1_700_000_000_000)
    own = settings.model_copy(update={"segmentation": tmp_path / "segmentation.yaml"})
    brought = await asyncio.gather(*(roll_back(own, 1) for _ in range(4)))
    assert sorted(model.version for model in brought) == [3, 4, 5, 6]
    assert (await state.training("value"))["epoch"] == 5
    assert len((await parsed(shoal, "list"))["models"]) == 6


@pytest.mark.usefixtures("state")
@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["show", "9"], "there is no model 9: choose of 1 to 2"),
        (["diff", "0", "1"], "there is no model 0"),
        (["rollback", "2"], "model 2 is in force: choose an earlier one"),
        (["rollback", "9"], "there is no model 9"),
        (["list", "--segmentation", "taste"], "no segmentation 'taste': choose of value, other"),
        (["show", "--segmentation", "other"], "there is no model yet"),
        (["rollback", "1", "--segmentation", "other"], "there is no model yet"),
    ],
)
async def test_what_cannot_be_done_is_one_line(
    shoal: Shoal, words: list[str], problem: str
) -> None:
    result = await shoal(*words)
    assert isinstance(result.exception, ShoalError)
    assert problem in str(result.exception)
    assert "\n" not in str(result.exception)


@pytest.mark.usefixtures("state")
async def test_a_model_of_other_features_is_not_brought_back(shoal: Shoal, tmp_path: Path) -> None:
    other = FILE.replace("features: [f0, f1]", "features: [f1]")
    (tmp_path / "segmentation.yaml").write_text(other, encoding="utf-8")
    result = await shoal("rollback", "1")
    assert "measures other features than the segmentation file" in str(result.exception)


async def test_nothing_is_written_to_a_state_that_is_being_rebuilt(
    state: Catalogue, shoal: Shoal, redis: Redis
) -> None:
    await redis.hset(state.keys.deployment, "rebuilding", "now")
    for words in (["rollback", "1"], ["release"]):
        result = await shoal(*words)
        assert "being rebuilt: finish `shoal rebuild`" in str(result.exception)
    assert await state.model_version("value") == 2
