"""The published model and its stored form."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.features import Feature, Kind
from models.formats import FORMAT, FutureFormatError
from models.lineage import REASONS, Granularity, Group, Lineage, Reason
from models.scaling import Scaler
from models.snapshots import Retirement, Segment, Snapshot, SnapshotError, Trait

TEXT = st.text(max_size=20)
TRAITS = st.builds(Trait, TEXT, st.booleans(), st.floats(0, 9))


def model(k: int = 3, n_features: int = 2, seed: int = 0, margin: float = 0.1) -> Snapshot:
    rng = np.random.default_rng(seed)
    features = [
        Feature(f"f{i}", Kind.COUNT, scale="log" if i % 2 else "linear") for i in range(n_features)
    ]
    return Snapshot(
        segmentation="default",
        version=4,
        epoch=2,
        created_ms=1_700_000_000_000,
        now_ms=1_500_000_000_000,
        customers=321,
        algorithm="online_kmeans",
        river_version="0.26.1",
        scaler=Scaler.fit(features, rng.lognormal(0, 1, (200, n_features))),
        centroids=rng.normal(0, 1, (k, n_features)),
        segments=tuple(Segment(2 * i + 1, f"Name {i}", 1 / k, i) for i in range(k)),
        next_number=2 * k + 1,
        sample_threshold=0.5,
        margin=margin,
        retired=(Retirement(2, 1, 3),),
    )


@given(st.integers(1, 5), st.integers(1, 5), TEXT, TRAITS, st.lists(TRAITS, max_size=3))
def test_the_stored_form_reads_back_exactly(
    k: int, n_features: int, name: str, lead: Trait, traits: list[Trait]
) -> None:
    snapshot = model(k, n_features)
    first = replace(snapshot.segments[0], name=name, lead=lead, traits=tuple(traits))
    snapshot = replace(snapshot, segments=(first, *snapshot.segments[1:]))
    back = Snapshot.from_json(snapshot.to_json())
    assert back == snapshot
    assert back.segments == snapshot.segments
    assert back.scaler == snapshot.scaler
    assert back.centroids.tobytes() == snapshot.centroids.tobytes()
    assert back.feature_names == snapshot.feature_names


NUMBERS = st.lists(st.integers(1, 99), max_size=3).map(tuple)
PAIRS = st.lists(st.tuples(st.integers(1, 99), NUMBERS), max_size=3).map(tuple)


@given(
    st.builds(
        Lineage,
        st.integers(0, 9),
        st.integers(0, 9),
        NUMBERS,
        st.lists(st.tuples(st.integers(1, 99), st.integers(0, 99)), max_size=3).map(tuple),
        PAIRS,
        PAIRS,
    ),
    st.sampled_from(REASONS),
    st.none() | st.builds(Granularity, st.integers(3, 12), st.just(((3, 0.5), (4, 0.25))), TEXT),
    st.lists(st.builds(Group, st.integers(1, 9), NUMBERS, st.floats(0, 9)), max_size=3),
)
def test_what_a_model_says_of_itself_reads_back(
    lineage: Lineage, reason: Reason, granularity: Granularity | None, groups: list[Group]
) -> None:
    snapshot = replace(
        model(), lineage=lineage, reason=reason, granularity=granularity, groups=tuple(groups)
    )
    back = Snapshot.from_json(snapshot.to_json())
    assert (back.lineage, back.reason) == (lineage, reason)
    assert (back.granularity, back.groups) == (granularity, tuple(groups))


def test_a_model_of_format_1_is_read() -> None:
    content = json.loads(model().to_json())
    for name in ("lineage", "reason", "granularity", "groups", "next_group"):
        del content[name]
    for segment in content["segments"]:
        segment.pop("persona", None)
    back = Snapshot.from_json(json.dumps(content | {"format": 1}).encode())
    assert (back.lineage, back.reason, back.granularity, back.groups) == (
        Lineage(),
        "news",
        None,
        (),
    )
    assert back.segments == model().segments
    assert back.centroids.tobytes() == model().centroids.tobytes()


def test_centroids_are_a_copy_that_nobody_can_change() -> None:
    mine = np.ones((3, 2))
    snapshot = replace(model(), centroids=mine)
    mine[0] = 7
    assert snapshot.centroids[0, 0] == 1
    with pytest.raises(ValueError, match="read-only"):
        snapshot.centroids[0, 0] = 2


def test_a_segment_is_found_by_its_number() -> None:
    snapshot = model()
    found = snapshot.segment(3)
    assert found is not None
    assert (found.id, found.name) == ("s3", "Name 1")
    assert snapshot.segment(0) is None
    assert snapshot.segment(2) is None


def test_successors_are_followed_to_a_living_segment() -> None:
    chain = (Retirement(2, 4, 2), Retirement(4, 5, 3), Retirement(6, 0, 3), Retirement(9, 9, 3))
    snapshot = replace(model(), retired=chain)
    assert [snapshot.successor(n) for n in (2, 4, 5, 6, 8, 9)] == [5, 5, 5, 0, 0, 0]
    assert [r.successor_id for r in chain[1:3]] == ["s5", None]


def test_two_models_differ_when_a_centroid_does() -> None:
    assert model(seed=1) == model(seed=1)
    assert model(seed=1) != model(seed=2)
    assert len({model(seed=1), model(seed=1)}) == 1


def test_a_format_from_the_future_says_who_can_read_it() -> None:
    blob = json.dumps({"format": FORMAT + 1}).encode()
    told = f"^the stored model has format {FORMAT + 1}, this Shoal reads {FORMAT}: run the version"
    with pytest.raises(FutureFormatError, match=told):
        Snapshot.from_json(blob)


@pytest.mark.parametrize("blob", [b"", b"\xff\xfe", b"[]", b"7", b"{}", b"[" * 200_000])
def test_what_is_no_snapshot_is_refused_with_the_next_step(blob: bytes) -> None:
    with pytest.raises(SnapshotError, match="let the trainer publish a new one"):
        Snapshot.from_json(blob)


WORDS = {"segmentation", "algorithm", "river_version"}
PARTS = sorted(json.loads(model().to_json()).keys() - {"feature_names"})


@pytest.mark.parametrize("name", PARTS)
def test_a_part_that_is_missing_is_refused(name: str) -> None:
    content: dict[str, Any] = json.loads(model().to_json())
    del content[name]
    with pytest.raises(SnapshotError):
        Snapshot.from_json(json.dumps(content).encode())


@pytest.mark.parametrize("value", [None, "x", [[]], {"a": 1}])
@pytest.mark.parametrize("name", [name for name in PARTS if name not in WORDS])
def test_a_part_that_is_wrong_is_refused(name: str, value: object) -> None:
    if (name, value) == ("granularity", None):
        return  # the number of segments was given
    content: dict[str, Any] = json.loads(model().to_json()) | {name: value}
    with pytest.raises(SnapshotError):
        Snapshot.from_json(json.dumps(content).encode())


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"centroids": np.zeros((2, 2))}, "shape"),
        ({"centroids": np.zeros((0, 2)), "segments": ()}, "shape"),
        ({"centroids": np.full((3, 2), np.nan)}, "not finite"),
        ({"next_number": 5}, "not distinct and below 5"),
        ({"segments": (Segment(1, "a", 1, 1),) * 3}, "not distinct"),
        ({"margin": 1.0}, "margin 1.0"),
        ({"reason": "mood"}, "'mood' is none of first, "),
        ({"sample_threshold": float("nan")}, "threshold nan"),
    ],
)
def test_a_model_that_cannot_be_right_is_refused(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(SnapshotError, match=told):
        replace(model(), **wrong)
