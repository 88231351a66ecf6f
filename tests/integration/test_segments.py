"""`shoal segments` as an operator meets it: list, card, names, files, the coarser view."""

import asyncio
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from config.settings import Settings
from models.snapshots import Retirement
from stream import cli
from stream.connections import connect_redis
from stream.names import Keys
from tests.integration.test_cli import Run, assert_refused
from tests.stream.lane_kit import two_segments
from tests.stream.test_cards import portrayed, publish


@pytest.fixture
def shoal(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """Runs `shoal` in this process, with the test's servers in its environment."""
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("COLUMNS", "120")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        monkeypatch.setattr(sys, "argv", ["shoal", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        told = capsys.readouterr()
        code = int(ended.value.code or 0)
        return subprocess.CompletedProcess(arguments, code, told.out, told.err)

    return run


@pytest.fixture
def published(settings: Settings) -> Settings:
    """Segments s1 to s3 of model 2, after s4 has gone to s2; 30 customers are in s2."""

    async def fill() -> None:
        redis = connect_redis(settings)
        keys = Keys(settings.namespace)
        await redis.hset(keys.sizes(1), mapping={"default:s2": 30, "default:s1": 12})
        model = replace(portrayed(version=2), next_number=5, retired=(Retirement(4, 2, 2),))
        await publish(redis, keys, model)
        await redis.aclose()

    asyncio.run(fill())
    return settings


def test_a_list_before_there_is_a_model(shoal: Run) -> None:
    assert "no segments yet" in shoal("segments").stdout
    assert json.loads(shoal("segments", "--json").stdout)["segments"] == []
    assert_refused(shoal("segments", "show", "s1"), "no model")
    assert_refused(shoal("segments", "--level", "2"), "coarser view")


@pytest.mark.usefixtures("published")
def test_a_name_is_given_shown_and_taken_back(shoal: Run) -> None:
    named = shoal(
        "segments", "name", "s2", "VIP", "--landing-page", "/vip", "--tag", "a", "--tag", "b"
    )
    assert (named.returncode, named.stdout) == (0, "s2  VIP\n"), named.stderr
    assert shoal("segments", "name", "s2", "--offer", "10% off").stdout == "s2  VIP\n"
    card = json.loads(shoal("segments", "show", "s2", "--json").stdout)
    assert (card["name"], card["given_name"], card["customers"]) == ("VIP", "Many orders", 30)
    assert card["label"] == {
        "name": "VIP",
        "landing_page": "/vip",
        "offer": "10% off",
        "message": "",
        "tags": ["a", "b"],
    }
    page = shoal("segments", "show", "s2").stdout
    for word in ("VIP  s2", "(Shoal says: Many orders)", "/vip", "10% off", "a, b", "g1", "ann"):
        assert word in page
    listed = json.loads(shoal("segments", "--json").stdout)
    assert [row["name"] for row in listed["segments"]][:2] == ["VIP", "Few orders"]
    assert "VIP" in shoal("segments").stdout
    assert shoal("segments", "name", "s2", "--clear").stdout == "s2  Many orders\n"
    assert json.loads(shoal("segments", "show", "s2", "--json").stdout)["label"]["offer"] == ""


@pytest.mark.usefixtures("published")
def test_a_file_names_several_segments_or_none(shoal: Run, tmp_path: Path) -> None:
    file = tmp_path / "labels.yaml"
    file.write_text("default:\n  s1: {name: Rare}\n  s2: {name: Often, tags: [gold]}\n")
    applied = shoal("segments", "apply", str(file))
    assert (applied.returncode, applied.stdout) == (0, "s1  Rare\ns2  Often\n"), applied.stderr
    file.write_text("default:\n  s1: {name: Other}\n  s9: {name: Nobody}\n")
    assert_refused(shoal("segments", "apply", str(file)), "s9", "s1 (Rare)")
    file.write_text("default:\n  s1: {name: Other}\nelsewhere:\n  s1: {name: Nobody}\n")
    assert_refused(shoal("segments", "apply", str(file)), "'elsewhere'", "default")
    names = [row["name"] for row in json.loads(shoal("segments", "--json").stdout)["segments"]]
    assert sorted(names)[:2] == ["Often", "Rare"]


@pytest.mark.usefixtures("published")
def test_what_cannot_be_said_is_refused_in_one_line(shoal: Run) -> None:
    assert_refused(shoal("segments", "name", "s9", "VIP"), "no segment 's9'", "s1 (Few orders)")
    assert_refused(shoal("segments", "name", "s4", "VIP"), "gone since model 2", "s2 (Many orders)")
    assert_refused(shoal("segments", "show", "s4"), "gone since model 2", "s2 (Many orders)")
    assert_refused(shoal("segments", "name", "s1", "Many Orders"), "s1", "another name")
    assert_refused(
        shoal("segments", "name", "s1", "--landing-page", "vip"), "landing_page", "https"
    )
    assert_refused(shoal("segments", "--segmentation", "value"), "'value'", "default")


@pytest.mark.usefixtures("published")
def test_a_coarser_view_adds_up(shoal: Run) -> None:
    two = json.loads(shoal("segments", "--level", "2", "--json").stdout)
    assert [(row["id"], row["size"], row["segments"]) for row in two["groups"]] == [
        ("g1", 30, ["s2", "s3"]),
        ("s1", 12, ["s1"]),
    ]
    assert two["groups"][0]["name"] == "Many orders and 1 more"
    one = json.loads(shoal("segments", "--level", "1", "--json").stdout)
    assert [(row["id"], row["size"]) for row in one["groups"]] == [("g2", 42)]
    many = json.loads(shoal("segments", "--level", "9", "--json").stdout)
    assert {row["id"] for row in many["groups"]} == {"s1", "s2", "s3"}
    assert "Many orders and 1 more" in shoal("segments", "--level", "2").stdout


def test_a_label_of_a_segment_that_is_gone_is_listed_with_its_successor(
    shoal: Run, published: Settings
) -> None:
    shoal("segments", "name", "s3", "Third of all")

    async def go_on() -> None:
        redis = connect_redis(published)
        after = replace(two_segments(version=3), next_number=5, retired=(Retirement(3, 1, 3),))
        await publish(redis, Keys(published.namespace), after)
        await redis.aclose()

    asyncio.run(go_on())
    assert "s3  Third of all: gone, see s1" in shoal("segments").stdout
    (gone,) = json.loads(shoal("segments", "--json").stdout)["gone"]
    assert (gone["id"], gone["label"]["name"], gone["successor"]) == ("s3", "Third of all", "s1")
