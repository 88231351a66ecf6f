"""Redis is reached in time or named, and no password is ever shown."""

import asyncio
from pathlib import Path

import pytest
from redis.asyncio import Redis

from config.redis_url import RedisUrl
from config.settings import Settings
from stream.embedded import EmbeddedRedis
from stream.reach import UnreachableError, reach_redis


async def use(settings: Settings) -> None:
    async with reach_redis(settings) as client:
        await client.get("anything")


async def test_a_redis_that_still_loads_its_data_is_waited_for_and_then_named(
    settings: Settings,
) -> None:
    async def load(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(4096):
            asked.append(1)
            writer.write(b"-LOADING the dataset is in memory soon\r\n" * 4)
        writer.close()

    asked: list[int] = []
    server = await asyncio.start_server(load, "127.0.0.1", 0)
    url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
    slow = settings.model_copy(update={"redis": RedisUrl(url), "start_timeout_seconds": 0.5})
    with pytest.raises(UnreachableError, match=f"Redis at {url} is still loading its data: wait"):
        await use(slow)
    server.close()
    assert len(asked) > 2


async def test_a_redis_that_goes_away_while_it_is_used_is_named(
    settings: Settings, tmp_path: Path
) -> None:
    with EmbeddedRedis(tmp_path) as server:
        there = settings.model_copy(update={"redis": RedisUrl(server.url)})

        async def ask() -> None:
            async with reach_redis(there) as client:
                server.kill()
                await client.get("anything")

        with pytest.raises(UnreachableError, match=f"Redis at {server.url} fails: .*: see its log"):
            await ask()


async def test_a_client_is_closed_after_use(settings: Settings) -> None:
    async with reach_redis(settings) as client:
        await client.ping()
        assert isinstance(client, Redis)
        pool = client.connection_pool
    assert not any(c.is_connected for c in pool._available_connections)
