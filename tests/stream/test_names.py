"""Names of topics and keys, none of which is another's."""

import re

from hypothesis import given
from hypothesis import strategies as st

from models.identifiers import CustomerId
from stream.names import Keys, Topics

NAMESPACES = st.from_regex(r"[a-z][a-z0-9-]{0,40}", fullmatch=True)
SEGMENTATIONS = st.from_regex(r"[a-z][a-z0-9_-]{0,31}", fullmatch=True)
CUSTOMERS = st.text(
    st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="{}"), min_size=1, max_size=8
).map(CustomerId)
PARTITIONS = st.integers(0, 9_999)
ANN = CustomerId("ann")


def topics(namespace: str) -> list[str]:
    made = Topics(namespace)
    return [made.events, made.rejected, made.changes, made.population, made.models]


def groups(namespace: str) -> list[str]:
    return [Topics(namespace).worker_group, Topics(namespace).trainer_group]


def slot_tag(key: str) -> str | None:
    """The part of a key that decides on which node of a Redis cluster it lies."""
    found = re.search(r"{([^}]+)}", key)
    return found[1] if found else None


def test_the_names_are_those_that_the_documentation_gives() -> None:
    assert topics("shoal") == [
        "shoal.events",
        "shoal.events.rejected",
        "shoal.segment-changes",
        "shoal.population",
        "shoal.models",
    ]
    keys = Keys("shoal")
    assert keys.segment(ANN) == "shoal:segment:default:ann"
    assert keys.profile(7, ANN) == "shoal:profile:{7}:ann"
    assert keys.lane(7) == "shoal:lane:{7}"
    assert keys.due(7) == "shoal:due:{7}"
    assert keys.sizes(7) == "shoal:sizes:{7}"
    assert keys.segments() == "shoal:segments:{default}"
    assert keys.model_current() == "shoal:model:{default}:current"
    assert keys.model(3) == "shoal:model:{default}:3"
    assert keys.training() == "shoal:training:{default}"


@given(NAMESPACES)
def test_kafka_takes_every_topic(namespace: str) -> None:
    for topic in topics(namespace):
        assert re.fullmatch(r"[a-zA-Z0-9._-]{1,249}", topic)


@given(NAMESPACES, NAMESPACES)
def test_namespaces_share_nothing(one: str, other: str) -> None:
    if one != other:
        assert not set(topics(one)) & set(topics(other))
        assert not set(groups(one)) & set(groups(other))
        assert not set(keys_of(one, "default", 0, ANN)) & set(keys_of(other, "default", 0, ANN))


def keys_of(namespace: str, segmentation: str, partition: int, customer: CustomerId) -> list[str]:
    keys = Keys(namespace)
    return [
        keys.segment(customer, segmentation),
        keys.profile(partition, customer),
        keys.lane(partition),
        keys.due(partition),
        keys.sizes(partition),
        keys.segments(segmentation),
        keys.model_current(segmentation),
        keys.model(partition, segmentation),
        keys.training(segmentation),
        keys.deployment,
        keys.schemas,
    ]


@given(NAMESPACES, SEGMENTATIONS, PARTITIONS, CUSTOMERS)
def test_no_two_keys_are_the_same(
    namespace: str, segmentation: str, partition: int, customer: CustomerId
) -> None:
    keys = keys_of(namespace, segmentation, partition, customer)
    assert len(set(keys)) == len(keys)


@given(PARTITIONS, PARTITIONS, CUSTOMERS, CUSTOMERS)
def test_a_profile_is_its_partitions_and_its_customers_alone(
    one: int, other: int, ann: CustomerId, bob: CustomerId
) -> None:
    same = (one, ann) == (other, bob)
    assert (Keys("shoal").profile(one, ann) == Keys("shoal").profile(other, bob)) == same


@given(SEGMENTATIONS, SEGMENTATIONS, CUSTOMERS, CUSTOMERS)
def test_a_segment_is_its_segmentations_and_its_customers_alone(
    one: str, other: str, ann: CustomerId, bob: CustomerId
) -> None:
    same = (one, ann) == (other, bob)
    assert (Keys("shoal").segment(ann, one) == Keys("shoal").segment(bob, other)) == same


@given(NAMESPACES, PARTITIONS, CUSTOMERS)
def test_all_that_a_step_touches_lies_on_one_node(
    namespace: str, partition: int, customer: CustomerId
) -> None:
    keys = Keys(namespace)
    touched = [keys.lane(partition), keys.due(partition), keys.sizes(partition)]
    tags = {slot_tag(key) for key in [*touched, keys.profile(partition, customer)]}
    assert tags == {str(partition)}
    assert keys.profile(partition, customer) == keys.profile_prefix(partition) + customer


@given(NAMESPACES, SEGMENTATIONS, PARTITIONS)
def test_all_that_a_publication_touches_lies_on_one_node(
    namespace: str, segmentation: str, version: int
) -> None:
    keys = Keys(namespace)
    touched = [
        keys.training(segmentation),
        keys.model_current(segmentation),
        keys.model(version, segmentation),
        keys.segments(segmentation),
    ]
    assert {slot_tag(key) for key in touched} == {segmentation}


def test_a_namespace_has_a_group_for_workers_and_one_for_trainers() -> None:
    assert groups("shop") == ["shop-worker", "shop-trainer"]
