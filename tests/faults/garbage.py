"""Messages that nobody can read: each must be rejected, and harm nothing else."""

import json
from collections.abc import Callable
from random import Random

KIB = 1024


def garbage(
    random: Random, place: Callable[[bytes], int], partitions: int
) -> tuple[int, bytes | None, bytes | None]:
    """Partition, key and value of a bad message for a topic of `partitions`."""
    name = f"c{random.randrange(6_000):05}"
    key = name.encode()
    partition = place(key)
    good = {
        "event_id": f"bad-{random.getrandbits(64):x}",
        "customer_id": name,
        "type": "product_viewed",
        "timestamp": 1_500_000_000_000,
    }
    text = json.dumps(good)
    wrong_types = good | {"type": ["product_viewed"], "properties": "none"}
    values: tuple[bytes | None, ...] = (
        random.randbytes(random.randrange(1, 400)),
        text[: random.randrange(1, len(text) - 1)].encode(),
        _large(random, 300 * KIB),
        _large(random, 900 * KIB),
        (text[:-1] + ', "properties": {"value": NaN}}').encode(),
        None,
        b"",
        json.dumps(wrong_types).encode(),
        json.dumps(good | {"timestamp": "9999-12-31T23:59:59Z"}).encode(),
        text.encode("utf-16"),
        text[:-1].encode() + b', "properties": {"category": "caf\xe9"}}',
    )
    at = random.randrange(len(values) + 2)
    if at < len(values):
        return partition, key, values[at]
    if at == len(values):  # an empty key, of an event for somebody
        return partition, b"", text.encode()
    stranger = f"stranger-{random.getrandbits(64):x}"
    wrong = (place(stranger.encode()) + random.randrange(1, partitions)) % partitions
    value = json.dumps(good | {"customer_id": stranger}).encode()
    return wrong, stranger.encode(), value


def _large(random: Random, size: int) -> bytes:
    # Not zeros: nothing on the way may make it small.
    return b'{"event_id": "' + random.randbytes(size // 2).hex().encode()
