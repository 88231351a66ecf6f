"""Whether the state that a process works on still stands."""

from typing import Any

import pytest
from redis.asyncio import Redis

from config.settings import Settings
from stream.deployment import StateLostError, deployment, former_layouts, layout, require_standing
from stream.names import Keys

FOUR = Settings(partitions=4)


@pytest.fixture
async def keys(redis: Redis, namespace: str) -> Keys:
    made = Keys(namespace)
    stored: dict[Any, Any] = deployment(FOUR, "cluster")
    await redis.hset(made.deployment, mapping=stored)
    return made


async def test_a_state_that_is_as_it_was_stands(redis: Redis, keys: Keys) -> None:
    await require_standing(redis, keys, layout(FOUR))


async def test_a_state_that_is_gone_is_noticed(redis: Redis, keys: Keys) -> None:
    await redis.delete(keys.deployment)
    with pytest.raises(StateLostError, match="any more: restore it, or run `shoal rebuild`"):
        await require_standing(redis, keys, layout(FOUR))


async def test_a_state_that_is_being_rebuilt_is_left_alone(redis: Redis, keys: Keys) -> None:
    await redis.hset(keys.deployment, "rebuilding", "somebody")
    with pytest.raises(StateLostError, match="is being rebuilt: finish `shoal rebuild`"):
        await require_standing(redis, keys, layout(FOUR))


async def test_a_state_that_was_laid_out_anew_is_left_alone(redis: Redis, keys: Keys) -> None:
    await redis.hset(keys.deployment, "partitions", "8")
    with pytest.raises(StateLostError, match="start it with SHOAL_PARTITIONS=8"):
        await require_standing(redis, keys, layout(FOUR))


def test_every_layout_that_the_log_may_hold_is_remembered_once() -> None:
    stored = deployment(Settings(partitions=8), "cluster") | {"former": "4:murmur2 16:murmur2"}
    now = Settings(partitions=16)
    assert former_layouts(stored, now) == ["4:murmur2", "8:murmur2"]
    assert former_layouts({}, now) == []
