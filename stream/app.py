"""The wiring: settings in, Faust apps out. `faust -A stream.app worker` finds `app` here."""

import asyncio
import gc
import logging
import sys
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, NoReturn, Protocol

import faust
from faust.types import TP

from config.segmentation import SegmentationConfig, load_segmentation
from config.settings import Settings, load_settings
from models.errors import ShoalError
from models.profiles import DAY_MS, ProfileSchema
from stream.batches import Reading
from stream.catalogue import Catalogue
from stream.change_maker import ChangeMaker
from stream.connections import connect_redis, kafka_options
from stream.deployment import layout
from stream.health import HealthServer
from stream.labels import Labels
from stream.money import Money
from stream.names import Keys, Topics
from stream.partitions import partitioner, partitioner_of_many
from stream.preflight import require
from stream.pulse import CALL_SECONDS, KafkaSign, Pulse, RedisSign
from stream.quiet_logs import calm
from stream.redis_store import RedisStore
from stream.steps import StepMaker
from stream.tastes import TasteCollector
from stream.together import cancelled
from stream.transport import BatchingApp, crash_on_error
from stream.worker import COMMIT_SECONDS, MODEL_SECONDS, Worker, wall_ms

log = logging.getLogger(__name__)

TRAINING_SECONDS = 0.5
CARDS_SECONDS = 15.0
# Events that come one by one wait half of it for company on average.
FETCH_SPACING_SECONDS = 0.003
# No model comes sooner than that, and many profiles cost a trainer little more than one.
POPULATION_SPACING_SECONDS = TRAINING_SECONDS
# About a step of events from each partition: more would wait in memory.
FETCH_BYTES = 262_144


class Owner(Protocol):
    """What is told of the partitions that this process gets and loses."""

    async def assign(self, assigned: Iterable[TP]) -> None:
        """These partitions, and no others, are this process's."""

    async def quiesce(self) -> None:
        """They may be taken away at any moment."""


def create_worker_app(settings: Settings) -> "ShoalApp":
    """The Faust app of a worker; nothing is opened before it starts."""
    topics, keys = Topics(settings.namespace), Keys(settings.namespace)
    segmentation = load_segmentation(settings.segmentation)
    app: ShoalApp = _faust_app(settings, topics.worker_group)
    app.fetch_spacing_seconds = FETCH_SPACING_SECONDS
    redis = connect_redis(settings)
    maker = step_maker(settings, segmentation)
    catalogue = Catalogue(redis, keys)
    worker = Worker(
        app,
        settings=settings,
        store=RedisStore(redis, keys, replicas=settings.redis_replicas, layout=layout(settings)),
        catalogue=catalogue,
        labels=Labels(redis, keys),
        tastes=TasteCollector(redis, keys, maker.schema.segmentations, maker.schema.timezone),
        maker=maker,
    )
    pulse = _pulse(settings)
    health = HealthServer(
        settings.metrics_host,
        settings.metrics_port,
        setting="SHOAL_METRICS_PORT",
        is_ready=lambda: worker.is_ready and pulse.servers_answer,
    )
    _own(app, worker, health, pulse)
    app.preflight = lambda: _prepare(settings, health, maker.schema)
    app.agent(app.batched_topic(topics.events, settings.partitions), name="events")(worker.take)
    app.timer(COMMIT_SECONDS)(worker.commit_offsets)
    app.timer(MODEL_SECONDS)(worker.refresh)
    return app


def create_trainer_app(settings: Settings) -> "ShoalApp":
    """The Faust app of a trainer; nothing is opened before it starts."""
    # River and SciPy come with it: 60 MB that a worker does without.
    from stream.cards import Cards  # noqa: PLC0415
    from stream.training import Training  # noqa: PLC0415

    topics, keys = Topics(settings.namespace), Keys(settings.namespace)
    segmentation = load_segmentation(settings.segmentation)
    app: ShoalApp = _faust_app(settings, topics.trainer_group)
    app.fetch_spacing_seconds = POPULATION_SPACING_SECONDS
    schema = segmentation.profile_schema()
    redis = connect_redis(settings)
    training = Training(
        app,
        topics=topics,
        catalogue=Catalogue(redis, keys, replicas=settings.redis_replicas, layout=layout(settings)),
        labels=Labels(redis, keys),
        cards=Cards(redis, keys, schema),
        segmentation=segmentation,
        schema=schema,
        wall_ms=wall_ms,
        is_live=settings.clock == "live",
    )
    pulse = _pulse(settings)
    health = HealthServer(
        settings.metrics_host,
        settings.trainer_metrics_port,
        setting="SHOAL_TRAINER_METRICS_PORT",
        is_ready=lambda: training.is_ready and pulse.servers_answer,
    )
    _own(app, training, health, pulse)
    app.preflight = lambda: _prepare(settings, health, schema)
    app.agent(app.batched_topic(topics.population, 1), name="population")(training.take)
    app.timer(TRAINING_SECONDS)(training.work)
    app.timer(CARDS_SECONDS)(training.refresh_cards)
    return app


def step_maker(settings: Settings, segmentation: SegmentationConfig) -> StepMaker:
    """What turns batches into steps, by these settings."""
    schema = segmentation.profile_schema()
    is_live = settings.clock == "live"
    return StepMaker(
        schema=schema,
        segmentations=segmentation.groupings(schema),
        change_maker=ChangeMaker(f"/{settings.namespace}/worker"),
        reading=Reading(
            money=Money(segmentation.currency, segmentation.rates),
            types=dict(schema.types),
            partition_of=partitioner(settings.partitioner, settings.partitions),
            correct_skew=is_live,
            attributes=schema.attributes,
            places=partitioner_of_many(settings.partitioner, settings.partitions),
        ),
        expire_after_ms=int(segmentation.expire_after_days * DAY_MS),
        is_live=is_live,
    )


def run(app: "ShoalApp", settings: Settings) -> None:
    """Check what the app needs, then run it until it is told to stop. Does not return.

    Raises
    ------
    ShoalError
        Something that it needs is missing; the message says what to do.
    """
    assert app.preflight is not None  # noqa: S101 - both factories set it
    asyncio.run(app.preflight())
    # Everything imported by now stays: a full collection would look at it again and again, and
    # hold up all lanes while it does.
    gc.collect()
    gc.freeze()
    app.finalize()
    worker = ShoalProcess(app, loglevel=settings.log_level, quiet=False, redirect_stdouts=False)
    worker.spinner = None
    worker.execute_from_commandline()


def _faust_app(settings: Settings, group: str) -> "ShoalApp":
    calm("aiokafka")
    return ShoalApp(
        group,
        broker=[f"kafka://{broker.strip()}" for broker in settings.kafka.split(",")],
        broker_credentials=_credentials(settings),
        store="memory://",
        autodiscover=False,
        origin="stream.app",
        web_enabled=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        topic_partitions=settings.partitions,
        # Counts batches here, not messages.
        stream_buffer_maxsize=4,
        broker_session_timeout=settings.session_timeout_seconds,
        broker_heartbeat_interval=1.0,
        broker_request_timeout=max(40.0, settings.session_timeout_seconds),
        broker_commit_interval=COMMIT_SECONDS,
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=FETCH_BYTES,
        broker_max_poll_records=settings.batch_events,
        consumer_group_instance_id=settings.member,
        producer_request_timeout=60.0,
        producer_linger=0.0,
        # Of what a broker takes at once by default, a quarter.
        producer_max_batch_size=262_144,
        worker_redirect_stdouts=False,
        Worker=ShoalProcess,
    )


def _credentials(settings: Settings) -> faust.types.auth.CredentialsT | None:
    """What Faust makes its clients with, of the same options as all others."""
    options = kafka_options(settings)
    if settings.kafka_uses_sasl:
        return faust.SASLCredentials(
            username=options["sasl_plain_username"],
            password=options["sasl_plain_password"],
            ssl_context=options["ssl_context"],
            mechanism=options["sasl_mechanism"],
        )
    return faust.SSLCredentials(options["ssl_context"]) if settings.kafka_uses_tls else None


class ShoalProcess(faust.Worker):
    """Faust's process; one that must end for a reason that a person can mend says which."""

    def execute_from_commandline(self) -> NoReturn:
        """Run until told to stop; exit code 2 where the app ended by itself."""
        try:
            super().execute_from_commandline()
        except SystemExit:
            if isinstance(self.app, BatchingApp) and self.app.ended_by is not None:
                sys.stderr.write(f"error: {self.app.ended_by}\n")
                raise SystemExit(2) from None
            raise


class ShoalApp(BatchingApp):
    """A Faust app that checks what it needs before it starts, also when `faust` starts it."""

    preflight: Callable[[], Coroutine[Any, Any, None]] | None = None

    def worker_init(self) -> None:
        """Called by the `faust` command."""
        if self.preflight is not None:
            try:
                asyncio.run(self.preflight())
            except ShoalError as error:
                sys.stderr.write(f"error: {error}\n")
                raise SystemExit(2) from None
        super().worker_init()

    def _create_directories(self) -> None:
        """None are needed: all state is in Redis."""


async def _prepare(settings: Settings, health: HealthServer, schema: ProfileSchema) -> None:
    """Check the servers, take the port, and agree with them on how profiles are laid out."""
    port = health.bind()
    await require(settings)
    redis = connect_redis(settings)
    try:
        catalogue = Catalogue(redis, Keys(settings.namespace), replicas=settings.redis_replicas)
        await catalogue.add_schema(schema.id, schema.layout)
        for schema_id, layout in (await catalogue.schemas()).items():
            schema.learn_layout(schema_id, layout)
    finally:
        await redis.aclose()
    log.info("metrics on port %d", port)


def _pulse(settings: Settings) -> Pulse:
    redis = connect_redis(settings, timeout_seconds=CALL_SECONDS)
    return Pulse({"redis": RedisSign(redis), "kafka": KafkaSign(**kafka_options(settings))})


def _own(app: BatchingApp, owner: Owner, health: HealthServer, pulse: Pulse) -> None:
    """Tell the owner what is assigned and revoked; answer health checks while the app runs."""
    app.quiesce = owner.quiesce

    @app.on_partitions_assigned.connect(weak=False)
    async def assigned(_: Any, assigned: Iterable[TP], **__: Any) -> None:
        await owner.assign(assigned)

    @app.service
    class Health(faust.Service):
        """/metrics, /healthz, /readyz."""

        beating: asyncio.Task[None]

        async def on_start(self) -> None:
            self.beating = asyncio.create_task(pulse.run(), name="pulse")
            self.beating.add_done_callback(crash_on_error(app))
            await health.start()

        async def on_stop(self) -> None:
            await health.stop()
            await cancelled(self.beating)


def __getattr__(name: str) -> Any:
    # Lazily, so that importing this module reads no settings and opens nothing.
    if name == "app":
        app = create_worker_app(load_settings())
        globals()["app"] = app
        return app
    raise AttributeError(name)
