"""What is done to a deployment. Each harm undoes itself; the load goes on all the time."""

import asyncio
from pathlib import Path
from random import Random
from time import monotonic

from redis.asyncio import Redis

from stream.connections import connect_redis
from stream.names import Keys
from tests.faults.scene import SESSION_SECONDS, TRAINER, FaultError, Scene

LONG_SECONDS = 20.0


async def kill_worker(scene: Scene, random: Random) -> None:
    """SIGKILL one worker, and start it again before or after the group has missed it."""
    name = random.choice(scene.workers)
    scene.kill(name)
    scene.begin_recovery()
    await asyncio.sleep(random.uniform(0, 1.5 * SESSION_SECONDS))
    scene.start_worker(name)


async def terminate_worker(scene: Scene, random: Random) -> None:
    """SIGTERM one worker; every other time while Redis is away."""
    name = random.choice(scene.workers)
    if random.random() < 0.5:
        scene.begin_recovery()
        await scene.terminate(name)
    else:
        scene.valkey.freeze()
        await asyncio.sleep(random.uniform(0, 3))
        try:
            await scene.terminate(name)
        finally:
            scene.valkey.thaw()
        scene.begin_recovery()
    scene.start_worker(name)


async def scale(scene: Scene, random: Random) -> None:
    """From one worker to three and back; two leave in order, or are killed."""
    first, *_ = scene.workers
    others = ["worker-2", "worker-3"]
    for name in others:
        scene.start_worker(name)
        await asyncio.sleep(random.uniform(0, 1))

    async def all_own_some() -> bool:
        return all(
            [
                (await scene.processes.scrape(name)).total("shoal_partitions_assigned") > 0
                for name in (first, *others)
            ]
        )

    await scene.until(all_own_some, 60, "three workers do not share the partitions")
    await asyncio.sleep(random.uniform(0, 2))
    for name in others:
        if random.random() < 0.5:
            await scene.terminate(name)
        else:
            scene.kill(name)
        scene.retire(name)
    scene.begin_recovery()


async def freeze_worker(scene: Scene, random: Random) -> None:
    """SIGSTOP one worker until others have taken over, then let it go on where it was."""
    name = random.choice(scene.workers)
    scene.freeze(name)
    scene.begin_recovery()
    await asyncio.sleep(SESSION_SECONDS + random.uniform(2, 5))
    scene.thaw(name)
    await asyncio.sleep(2)


async def kill_publishing_trainer(scene: Scene, _: Random) -> None:
    """SIGKILL the trainer while Redis has its publication and has not answered."""
    for _attempt in range(20):
        await _trains(scene)
        scene.valkey.freeze()
        try:
            if await _is_publishing(scene):
                break
        finally:
            if not await _is_publishing(scene, seconds=0):
                scene.valkey.thaw()
    else:
        raise FaultError("the trainer was never caught while it published")
    scene.kill(TRAINER)
    scene.valkey.thaw()
    scene.begin_recovery()
    scene.start_trainer()
    await _next_model(scene)


async def _next_model(scene: Scene) -> None:
    version = await _published(scene)

    async def is_newer() -> bool:
        return await _published(scene) > version

    await scene.until(is_newer, 60, "no model is published")


async def _published(scene: Scene) -> int:
    return await scene.observer.catalogue.model_version("default")


async def _trains(scene: Scene) -> None:
    """Wait until the trainer has read all that it needs for the next model."""
    keys = Keys(scene.settings.namespace)
    epoch, labels = f"HGETALL {keys.training()}", f"HGETALL {keys.labels()}"
    before: dict[str, str] = {}
    redis = connect_redis(scene.settings)
    assert isinstance(redis, Redis)
    try:
        async with asyncio.timeout(60), redis.monitor() as monitor:
            async for seen in monitor.listen():
                client, command = seen["client_port"], seen["command"]
                # Others read labels too, but not right after the epoch.
                if command == labels and before.get(client) == epoch:
                    return
                before[client] = command
    except TimeoutError:
        raise FaultError("no model is trained") from None
    finally:
        await redis.aclose()


async def _is_publishing(scene: Scene, seconds: float = 2.0) -> bool:
    """Whether the trainer has a model that it could not publish yet."""
    deadline = monotonic() + seconds
    while True:
        seen = await scene.processes.scrape(TRAINER)
        trained = seen.total("shoal_training_seconds_count")
        if trained > seen.total("shoal_models_published_total"):
            return True
        if monotonic() > deadline:
            return False
        await asyncio.sleep(0.02)


async def two_trainers(scene: Scene, random: Random) -> None:
    """A second trainer takes over from one that hangs; then the first one wakes up."""
    scene.start_trainer("stand-by")
    await scene.processes.until_ready()
    leader = await _leader(scene)
    scene.freeze(leader)
    scene.begin_recovery()
    await asyncio.sleep(SESSION_SECONDS + random.uniform(3, 5))
    scene.thaw(leader)
    await _next_model(scene)
    await scene.terminate("stand-by")


async def _leader(scene: Scene) -> str:
    for name in (TRAINER, "stand-by"):
        if (await scene.processes.scrape(name)).total("shoal_trainer_customers"):
            return name
    raise FaultError("nobody trains")


async def kill_redis(scene: Scene, random: Random) -> None:
    """SIGKILL Redis, and start it again on its AOF."""
    scene.valkey.kill()
    await asyncio.sleep(random.uniform(0, 3))
    await asyncio.to_thread(scene.valkey.start)
    scene.begin_recovery()


async def cut_redis(scene: Scene, random: Random) -> None:
    """SIGKILL Redis, and take the last second from its AOF."""
    log, size = _aof(scene)
    await asyncio.sleep(random.uniform(0.5, 1.0))
    scene.valkey.kill()
    if _aof(scene)[0] != log:
        raise FaultError("Redis rewrote its AOF meanwhile")
    with log.open("r+b") as file:
        file.truncate(size)
    await asyncio.to_thread(scene.valkey.start)
    scene.begin_recovery()


def _aof(scene: Scene) -> tuple[Path, int]:
    """The file that Redis appends to, and its size."""
    files = scene.valkey.directory.glob("appendonlydir/*.incr.aof")
    newest = max(files, key=lambda file: int(file.name.split(".")[-3]))
    return newest, newest.stat().st_size


async def freeze_redis(scene: Scene, random: Random) -> None:  # noqa: ARG001 - a harm's signature
    """SIGSTOP Redis for 20 s."""
    scene.valkey.freeze()
    await asyncio.sleep(LONG_SECONDS)
    scene.valkey.thaw()
    scene.begin_recovery()


async def fill_redis(scene: Scene, random: Random) -> None:
    """Redis is at `maxmemory`, and refuses every write until there is more."""
    redis = scene.observer.catalogue.redis
    used = (await redis.info("memory"))["used_memory"]
    await redis.config_set("maxmemory", used // 2)
    await asyncio.sleep(random.uniform(3, 6))
    await redis.config_set("maxmemory", 0)
    scene.begin_recovery()


async def kill_kafka(scene: Scene, random: Random) -> None:
    """SIGKILL the broker, and start it again on its data."""
    scene.kafka.kill()
    await asyncio.sleep(random.uniform(0, 3))
    await asyncio.to_thread(scene.kafka.start)
    scene.begin_recovery()


async def freeze_kafka(scene: Scene, random: Random) -> None:  # noqa: ARG001 - a harm's signature
    """SIGSTOP the broker for 20 s."""
    scene.kafka.freeze()
    await asyncio.sleep(LONG_SECONDS)
    scene.kafka.thaw()
    scene.begin_recovery()


async def kill_worker_and_redis(scene: Scene, random: Random) -> None:
    """SIGKILL one worker and Redis within the same second."""
    name = random.choice(scene.workers)
    harms = [lambda: scene.kill(name), scene.valkey.kill]
    random.shuffle(harms)
    harms[0]()
    await asyncio.sleep(random.uniform(0, 1))
    harms[1]()
    await asyncio.sleep(random.uniform(0, 3))
    await asyncio.to_thread(scene.valkey.start)
    scene.begin_recovery()
    scene.start_worker(name)


async def kill_worker_in_between(scene: Scene, random: Random) -> None:
    """Load for a while, a worker killed in the middle of it."""
    await asyncio.sleep(random.uniform(1, 3))
    await kill_worker(scene, random)


async def fail_over(scene: Scene, random: Random) -> None:
    """A replica takes over from a primary of lanes, in agreement with it."""
    primary = scene.cluster.primary_of(_lane(scene, random))
    await asyncio.to_thread(scene.cluster.fail_over, primary)
    scene.begin_recovery()


async def kill_primary(scene: Scene, random: Random) -> None:
    """SIGKILL a primary of lanes; a replica takes over, and the dead one comes back as one."""
    primary = scene.cluster.primary_of(_lane(scene, random))
    primary.kill()
    await asyncio.to_thread(scene.cluster.until_replaced, primary)
    await asyncio.sleep(random.uniform(0, 2))
    await asyncio.to_thread(primary.start)
    await asyncio.to_thread(scene.cluster.until_ok)
    scene.begin_recovery()


def _lane(scene: Scene, random: Random) -> str:
    return Keys(scene.settings.namespace).lane(random.randrange(scene.settings.partitions))
