"""What operators say of segments: kept, checked, and on top of what others say."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from config.files import SettingsError
from models.labels import Label, LabelBook
from models.naming import MAX_NAME
from models.snapshots import Retirement
from stream.cards import Cards
from stream.catalogue import Catalogue
from stream.labelling import (
    Desk,
    NameTakenError,
    UnknownSegmentError,
    parse_fields,
    read_labels,
)
from stream.labels import LabelFields, Labels
from stream.names import Keys
from tests.stream.lane_kit import SCHEMA, two_segments
from tests.stream.test_cards import publish

LINE = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=40).map(
    str.strip
)
LABELS = st.builds(
    Label,
    name=LINE,
    landing_page=st.just("") | st.just("/a") | st.just("https://shop.example/a?b=c"),
    offer=LINE,
    message=LINE,
    tags=st.lists(LINE.filter(bool), max_size=4).map(tuple),
)


@pytest.fixture
def keys(namespace: str) -> Keys:
    return Keys(namespace)


def called(name: str) -> Callable[[Label], Label]:
    return lambda before: replace(before, name=name)


@given(LABELS)
def test_every_label_survives_its_stored_form(label: Label) -> None:
    fields = LabelFields.model_validate(
        {
            "name": label.name,
            "landing_page": label.landing_page,
            "offer": label.offer,
            "message": label.message,
            "tags": label.tags,
        }
    )
    assert (
        LabelFields.model_validate_json(fields.model_dump_json(exclude_defaults=True)).label()
        == label
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "x" * (MAX_NAME + 1)),
        ("name", "two\nlines"),
        ("landing_page", "javascript:alert(1)"),
        ("landing_page", "https://a b"),
        ("tags", [""]),
        ("tags", ["t"] * 21),
        ("offer", 5),
        ("colour", "red"),
    ],
)
def test_what_is_no_label_is_refused_by_its_field(field: str, value: object) -> None:
    with pytest.raises(SettingsError, match=field):
        parse_fields(**{field: value})


async def test_labels_are_loaded_as_they_were_written(redis: Redis, keys: Keys) -> None:
    labels = Labels(redis, keys)
    assert await labels.load("default") == LabelBook()
    vip = Label("VIP", "/vip", "10 %", "Hello", ("gold", "früh"))
    assert await labels.write("default", {2: vip, 7: Label(offer="tea")}, revision=0)
    assert await labels.load("default") == LabelBook(1, {2: vip, 7: Label(offer="tea")})
    assert await labels.write("default", {7: Label()}, revision=1)
    assert await labels.load("default") == LabelBook(2, {2: vip})
    assert await labels.revision("default") == 2
    assert await labels.revision("value") == 0


async def test_who_has_not_seen_the_last_change_writes_nothing(redis: Redis, keys: Keys) -> None:
    labels = Labels(redis, keys)
    assert await labels.write("default", {2: Label("VIP")}, revision=0)
    assert not await labels.write("default", {2: Label("Other"), 3: Label("More")}, revision=0)
    assert await labels.load("default") == LabelBook(1, {2: Label("VIP")})


async def test_a_label_that_cannot_be_read_is_left_out(redis: Redis, keys: Keys) -> None:
    labels = Labels(redis, keys)
    assert await labels.write("default", {2: Label("VIP")}, revision=0)
    await redis.hset(keys.labels("default"), mapping={"s3": "no JSON", "what": "{}"})
    assert await labels.load("default") == LabelBook(1, {2: Label("VIP")})


async def test_two_operators_at_once_both_have_their_say(redis: Redis, keys: Keys) -> None:
    await publish(redis, keys, two_segments())

    class Late(Labels):
        """Another operator is always a moment faster, the first two times."""

        rivals = 2

        async def load(self, segmentation: str) -> LabelBook:
            book = await super().load(segmentation)
            if self.rivals:
                self.rivals -= 1
                offer = Label(offer=f"rival {self.rivals}")
                await Labels(redis, keys).write(segmentation, {1: offer}, revision=book.revision)
            return book

    desk = Desk(redis, keys, SCHEMA)
    desk._labels = Late(redis, keys)
    assert await desk.label("default", {"s2": called("VIP")}) == {"s2": "VIP"}
    book = await Labels(redis, keys).load("default")
    assert book.labels == {1: Label(offer="rival 0"), 2: Label("VIP")}


async def test_a_new_name_is_on_the_card_at_once(redis: Redis, keys: Keys) -> None:
    await publish(redis, keys, two_segments())
    await Desk(redis, keys, SCHEMA).label("default", {"s2": called("VIP")})
    stored = await Catalogue(redis, keys).segments("default")
    assert stored["s2"]["name"] == "VIP"
    assert [card.name for card in await Cards(redis, keys, SCHEMA).of("default")] == [
        "Few orders",
        "VIP",
    ]


@pytest.mark.parametrize(
    "names", [{"s1": "Many orders"}, {"s2": "few ORDERS"}, {"s1": "VIP", "s2": "vip"}]
)
async def test_two_segments_are_never_called_the_same(
    redis: Redis, keys: Keys, names: dict[str, str]
) -> None:
    await publish(redis, keys, two_segments())
    desk = Desk(redis, keys, SCHEMA)
    with pytest.raises(NameTakenError, match="is called"):
        await desk.label("default", {public: called(name) for public, name in names.items()})
    assert await Labels(redis, keys).load("default") == LabelBook()


async def test_names_can_be_exchanged_in_one_go(redis: Redis, keys: Keys) -> None:
    await publish(redis, keys, two_segments())
    swapped = await Desk(redis, keys, SCHEMA).label(
        "default", {"s1": called("Many orders"), "s2": called("Few orders")}
    )
    assert swapped == {"s1": "Many orders", "s2": "Few orders"}


async def test_an_unknown_segment_is_refused_with_those_that_there_are(
    redis: Redis, keys: Keys
) -> None:
    desk = Desk(redis, keys, SCHEMA)
    with pytest.raises(UnknownSegmentError, match="no model"):
        await desk.label("default", {"s1": called("VIP")})
    await publish(redis, keys, two_segments())
    for public in ("s9", "9", "", "s-1", "s1x", "s01"):
        with pytest.raises(UnknownSegmentError, match=r"there are s1 \(Few orders\), s2"):
            await desk.label("default", {"s2": called("VIP"), public: called("Other")})
    assert await Labels(redis, keys).load("default") == LabelBook()


async def test_a_segment_that_is_gone_names_its_successor_and_keeps_its_label(
    redis: Redis, keys: Keys
) -> None:
    desk, labels = Desk(redis, keys, SCHEMA), Labels(redis, keys)
    await publish(redis, keys, two_segments())
    await desk.label("default", {"s1": called("Early birds")})
    heir = replace(two_segments().segments[1], number=3, name="Heirs")
    after = replace(
        two_segments(version=2),
        segments=(heir, two_segments().segments[1]),
        next_number=4,
        retired=(Retirement(1, 3, 2),),
    )
    await publish(redis, keys, after)
    with pytest.raises(UnknownSegmentError, match=r"gone since model 2.*went to s3 \(Heirs\)"):
        await desk.label("default", {"s1": called("VIP")})
    assert (await labels.load("default")).names == {1: "Early birds"}
    await desk.label("default", {"s1": lambda _: Label()})
    assert (await labels.load("default")).labels == {}


def test_a_file_says_whole_labels(tmp_path: Path) -> None:
    file = tmp_path / "labels.yaml"
    file.write_text(
        "default:\n  s3: {name: VIP, tags: [gold, early]}\n  s5:\nvalue:\n  s1: {offer: tea}\n"
    )
    found = read_labels(file)
    before = Label("Before", message="Hello")
    assert {
        segmentation: {public: edit(before) for public, edit in edits.items()}
        for segmentation, edits in found.items()
    } == {
        "default": {"s3": Label("VIP", tags=("gold", "early")), "s5": Label()},
        "value": {"s1": Label(offer="tea")},
    }


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("default: {s3: {nme: VIP}}", "default.s3.nme"),
        ("default: {s3: VIP}", "default.s3"),
        ("default: [s3]", "default"),
        ("default: {s3: {name: VIP}, s3: {name: Other}}", "stands above"),
    ],
)
def test_a_file_that_says_something_else_is_refused(tmp_path: Path, text: str, word: str) -> None:
    file = tmp_path / "labels.yaml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=word):
        read_labels(file)
