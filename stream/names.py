"""The one place that knows the names of topics and Redis keys."""

from dataclasses import dataclass

from models.identifiers import CustomerId

DEFAULT_SEGMENTATION = "default"


@dataclass(frozen=True, slots=True)
class Topics:
    """Kafka topics of one namespace, and the consumer groups that read them."""

    namespace: str

    @property
    def events(self) -> str:
        """What customers do; keyed by customer."""
        return f"{self.namespace}.events"

    @property
    def rejected(self) -> str:
        """What could not be read, and why."""
        return f"{self.namespace}.events.rejected"

    @property
    def changes(self) -> str:
        """Changes of segment, as CloudEvents; keyed by customer, never compacted."""
        return f"{self.namespace}.segment-changes"

    @property
    def population(self) -> str:
        """Latest profile of each sampled customer; compacted, in one partition."""
        return f"{self.namespace}.population"

    @property
    def models(self) -> str:
        """Published models, as CloudEvents; keyed by segmentation, never compacted."""
        return f"{self.namespace}.models"

    @property
    def worker_group(self) -> str:
        """Consumer group of the workers."""
        return f"{self.namespace}-worker"

    @property
    def trainer_group(self) -> str:
        """Consumer group of the trainer and its stand-bys."""
        return f"{self.namespace}-trainer"


@dataclass(frozen=True, slots=True)
class Keys:
    """Redis keys of one namespace.

    A tag in braces decides on which node of a Redis Cluster a key lies: keys of one lane share
    `{partition}`, those of the model `{segmentation}`, and what pages read is spread.
    """

    namespace: str

    def segment(self, customer: CustomerId, segmentation: str = DEFAULT_SEGMENTATION) -> str:
        """HASH that a page reads."""
        return f"{self.namespace}:segment:{segmentation}:{customer}"

    def profile_prefix(self, partition: int) -> str:
        """What every profile key of a partition starts with."""
        return f"{self.namespace}:profile:{{{partition}}}:"

    def profile(self, partition: int, customer: CustomerId) -> str:
        """STRING, a binary profile."""
        return self.profile_prefix(partition) + customer

    def lane(self, partition: int) -> str:
        """HASH, the state machine of a partition."""
        return f"{self.namespace}:lane:{{{partition}}}"

    def due(self, partition: int) -> str:
        """ZSET of customers by when to look at them again (epoch milliseconds)."""
        return f"{self.namespace}:due:{{{partition}}}"

    def sizes(self, partition: int) -> str:
        """HASH, customers per segment."""
        return f"{self.namespace}:sizes:{{{partition}}}"

    def segments(self, segmentation: str = DEFAULT_SEGMENTATION) -> str:
        """HASH, what is known of each segment."""
        return f"{self.namespace}:segments:{{{segmentation}}}"

    def labels(self, segmentation: str = DEFAULT_SEGMENTATION) -> str:
        """HASH, what operators attached to each segment; `revision` counts its changes."""
        return f"{self.namespace}:labels:{{{segmentation}}}"

    def tastes(self, segmentation: str, kind: str) -> str:
        """ZSET, what segments prefer of a kind: `<number>:<value>` by how often, fading."""
        return f"{self.namespace}:tastes:{{{segmentation}}}:{kind}"

    def model_current(self, segmentation: str = DEFAULT_SEGMENTATION) -> str:
        """STRING, version of the model in force."""
        return f"{self.namespace}:model:{{{segmentation}}}:current"

    def model(self, version: int, segmentation: str = DEFAULT_SEGMENTATION) -> str:
        """STRING, one model as JSON."""
        return f"{self.namespace}:model:{{{segmentation}}}:{version}"

    def training(self, segmentation: str = DEFAULT_SEGMENTATION) -> str:
        """HASH, the trainer's epoch, how far it is, and whether models are held."""
        return f"{self.namespace}:training:{{{segmentation}}}"

    @property
    def lanes(self) -> str:
        """Pattern of all lanes."""
        return f"{self.namespace}:lane:*"

    @property
    def profiles(self) -> str:
        """Pattern of all profiles."""
        return f"{self.namespace}:profile:*"

    def place(self, name: str) -> tuple[int, CustomerId]:
        """Partition and customer of a key of theirs; a lane has no customer.

        >>> Keys("shoal").place("shoal:profile:{3}:ann")
        (3, 'ann')
        """
        _, _, tagged = name.partition(":{")
        partition, _, customer = tagged.partition("}")
        return int(partition), CustomerId(customer.removeprefix(":"))

    @property
    def deployment(self) -> str:
        """HASH, which Kafka cluster, partition count and partitioner this state belongs to."""
        return f"{self.namespace}:deployment"

    @property
    def schemas(self) -> str:
        """HASH, layout of every feature schema that a stored profile may have."""
        return f"{self.namespace}:schemas"
