"""Whole processes on a cluster: what they check before they start, and a fail-over under load."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from redis.exceptions import RedisError

from config.redis_url import RedisUrl
from config.settings import Settings
from models.identifiers import CustomerId
from stream.connections import connect_redis
from stream.embedded import EmbeddedRedis, free_port
from stream.feeding import feed_source
from stream.names import Keys
from stream.observer import Observer
from stream.preflight import PreflightError, check, require
from stream.pulse import RedisSign
from stream.topics import create_topics
from tests.integration.counting_shop import COUNTS, Shop, counted, running, until
from tests.redis_cluster import ValkeyCluster, ask

pytestmark = pytest.mark.slow


@pytest.fixture
def own(tmp_path: Path) -> Iterator[ValkeyCluster]:
    """A cluster whose nodes a test may harm."""
    with ValkeyCluster(tmp_path / "cluster") as nodes:
        yield nodes


@pytest.fixture
async def there(settings: Settings, tmp_path: Path, own: ValkeyCluster) -> Settings:
    """Settings for that cluster, and topics."""
    path = tmp_path / "segmentation.yaml"
    path.write_text(COUNTS, encoding="utf-8")
    chosen = settings.model_copy(
        update={
            "redis": RedisUrl(own.url),
            "redis_cluster": True,
            "redis_replicas": 1,
            "segmentation": path,
            "clock": "replay",
        }
    )
    await create_topics(chosen)
    return chosen


async def refusal(settings: Settings) -> str:
    with pytest.raises(PreflightError) as caught:
        await require(settings)
    return str(caught.value)


async def test_a_cluster_that_is_fit_is_found_so(there: Settings) -> None:
    assert all(finding.ok and not finding.action for finding in await check(there))


async def test_whether_it_is_a_cluster_must_be_said_rightly(
    there: Settings, redis_server: EmbeddedRedis
) -> None:
    unsaid = there.model_copy(update={"redis_cluster": False})
    assert await refusal(unsaid) == (
        f"Redis at {there.redis} is a node of a cluster: set SHOAL_REDIS_CLUSTER=true"
    )
    alone = there.model_copy(update={"redis": RedisUrl(redis_server.url)})
    assert await refusal(alone) == (
        f"Redis at {redis_server.url} is no node of a cluster: set SHOAL_REDIS_CLUSTER=false"
    )


async def test_every_node_must_keep_what_durability_asks_for(
    there: Settings, own: ValkeyCluster
) -> None:
    weak = own.nodes[-1]
    ask(weak, "CONFIG SET", "appendfsync", "everysec")
    assert f"Redis node {weak.address} runs with appendfsync everysec" in await refusal(there)


async def test_strict_durability_waits_for_a_replica_where_one_may_take_over(
    there: Settings,
) -> None:
    hasty = there.model_copy(update={"redis_replicas": 0})
    assert "set SHOAL_REDIS_REPLICAS=1, or SHOAL_DURABILITY=relaxed" in await refusal(hasty)
    relaxed = hasty.model_copy(update={"durability": "relaxed"})
    assert all(finding.ok for finding in await check(relaxed))
    greedy = there.model_copy(update={"redis_replicas": 2})
    assert "SHOAL_REDIS_REPLICAS has every step wait for 2" in await refusal(greedy)


async def test_a_cluster_gives_a_sign_of_life_while_all_its_slots_are_served(
    there: Settings, own: ValkeyCluster
) -> None:
    sign = RedisSign(connect_redis(there))
    await sign.ask()
    primary = own.primary_of("anything")
    for node in (*own.replicas_of(primary), primary):
        node.kill()
    await _until_asking(sign, succeeds=False)
    primary.start()
    await _until_asking(sign, succeeds=True)
    await sign.close()


async def _until_asking(sign: RedisSign, *, succeeds: bool) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                await sign.ask()
            except (RedisError, OSError):
                if not succeeds:
                    return
            else:
                if succeeds:
                    return
            await asyncio.sleep(0.05)


async def coordinated(cluster: ValkeyCluster, primary: EmbeddedRedis) -> None:
    await asyncio.to_thread(cluster.fail_over, primary)


async def killed(cluster: ValkeyCluster, primary: EmbeddedRedis) -> None:
    primary.kill()
    await asyncio.to_thread(cluster.until_replaced, primary)
    primary.start()


@pytest.mark.parametrize("harm", [coordinated, killed])
async def test_a_fail_over_under_load_loses_nothing_and_tells_nothing_differently(
    there: Settings,
    own: ValkeyCluster,
    tmp_path: Path,
    harm: Callable[[ValkeyCluster, EmbeddedRedis], Awaitable[None]],
) -> None:
    shop = Shop(6_000)
    async with running(there, tmp_path) as processes, Observer(there) as observer:
        processes.start_worker("worker", free_port())
        processes.start_trainer("trainer", free_port())
        await processes.until_ready()
        feeding = asyncio.create_task(feed_source(shop, there, wait=_slowly))
        await until(_patiently(lambda: _handled(observer, 1_500)), processes)
        await harm(own, own.primary_of(Keys(there.namespace).lane(0)))
        await feeding
        await until(_patiently(lambda: _handled(observer, 6_000)), processes)
        await until(_patiently(observer.is_settled), processes)
        assert await counted(there) == shop.truth()
        report = await observer.segments()
        assert sum(row.size for row in report.segments) == report.customers == 120
        contents: dict[str, bytes] = {}
        versions: dict[str, set[int]] = {}
        for change in await observer.changes():
            told = json.loads(change)
            assert contents.setdefault(told["id"], change) == change
            versions.setdefault(told["subject"], set()).add(told["data"]["version"])
        assert all(seen == set(range(1, len(seen) + 1)) for seen in versions.values())
        for name, seen in versions.items():
            page = await observer.catalogue.segment(CustomerId(name), "default")
            assert int(page["version"]) == max(seen)
        assert await processes.stop() == {"worker": 0, "trainer": 0}


async def _handled(observer: Observer, events: int) -> bool:
    return await observer.handled() >= events


def _patiently(condition: Callable[[], Awaitable[bool]]) -> Callable[[], Awaitable[bool]]:
    """The condition; while nodes change places it does not hold."""

    async def holds() -> bool:
        try:
            return await condition()
        except (RedisError, OSError):
            return False

    return holds


async def _slowly(_: int) -> None:
    await asyncio.sleep(0.1)
