"""A lane's surroundings."""

import pytest

from tests.memory_store import MemoryStore
from tests.stream.lane_kit import Kit


@pytest.fixture
def store() -> MemoryStore:
    """The state of all lanes."""
    return MemoryStore()


@pytest.fixture
def kit(store: MemoryStore) -> Kit:
    """A lane's maker, with a Kafka; no model is in force."""
    return Kit(store)
