"""Payloads that come of others: damaged bytes, and JSON that is sound but means something else."""

import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from random import Random
from typing import Any

from stream.events import MAX_BYTES
from tests.fuzz.corpus import FIELDS, ODD_VALUES, PROPERTIES, seeds, sound_events

KAFKA_BYTES = 1_000_000
USUAL_SHARE = 0.75
LETTERS = " 0Z{\n\u00e9\u4e2d\U0001f457"
TOKENS = tuple(
    token.encode()
    for token in (
        *("{", "}", "[", "]", ":", ",", '"', "\\", "\\u", "\\ud83d", "null", "true", "NaN"),
        *("-Infinity", "1e999", "-0", "1E+400", ".5", "00", "9" * 400, "\ufeff", "\u2028", "/**/"),
        *('"products":', '"properties":{', '"timestamp":', '"customer_id":', "[{},", '{"price":'),
    )
)
Mutator = Callable[[bytes, Random], bytes]


def endless(random: Random) -> Iterator[bytes | None]:
    """Payloads without end, of at most a megabyte each: some seed, changed one to four times."""
    all_seeds, usual = seeds(), list(sound_events())
    while True:
        value = random.choice(usual if random.random() < USUAL_SHARE else all_seeds)
        if value is not None and random.random() < 0.02:
            value = _splice(value, random.choice(all_seeds) or b"", random)
        for _ in range(random.choice((1, 1, 1, 2, 2, 3, 4)) if value else 0):
            value = random.choice(MUTATORS)(value or b"", random)
        yield value[:KAFKA_BYTES] if value else value


def _splice(one: bytes, other: bytes, random: Random) -> bytes:
    return one[: _place(one, random)] + other[_place(other, random) :]


def _place(value: bytes, random: Random) -> int:
    return random.randint(0, len(value))


def _span(value: bytes, random: Random) -> slice:
    begin = _place(value, random)
    return slice(begin, begin + random.choice((1, 2, 4, 16, 64)))


def flip_bits(value: bytes, random: Random) -> bytes:
    """Some bits the other way round."""
    damaged = bytearray(value)
    for _ in range(random.choice((1, 1, 2, 8)) if damaged else 0):
        damaged[random.randrange(len(damaged))] ^= 1 << random.randrange(8)
    return bytes(damaged)


def cut(value: bytes, random: Random) -> bytes:
    """All but some bytes, or none but the first."""
    span = _span(value, random)
    end = b"" if random.random() < 0.3 else value[span.stop :]
    return value[: span.start] + end


def insert(value: bytes, random: Random) -> bytes:
    """A token of JSON, or bytes of no meaning, in between."""
    at = _place(value, random)
    noise = random.randbytes(random.randint(1, 8))
    return value[:at] + random.choice((*TOKENS, noise)) + value[at:]


def repeat(value: bytes, random: Random) -> bytes:
    """Some bytes many times."""
    span = _span(value, random)
    part = value[span]
    most = MAX_BYTES if random.random() < 0.02 else 512
    times = random.randint(1, max(most // max(len(part), 1), 1))
    return value[: span.start] + part * times + value[span.start :]


def twice(value: bytes, random: Random) -> bytes:
    """A key given again."""
    name, odd = random.choice(FIELDS), random.choice(ODD_VALUES)
    added = json.dumps({name: odd})[1:-1].encode()
    return value.replace(b"{", b"{" + added + b",", 1)


def restructure(value: bytes, random: Random) -> bytes:
    """The same JSON with something replaced, taken away, wrapped or multiplied."""
    if len(value) > 2 * MAX_BYTES:
        return value
    try:
        document = json.loads(value)
    except (ValueError, RecursionError):
        return value
    if not isinstance(document, dict):
        return value
    _change(document, random)
    if isinstance(document.get("properties"), dict) and random.random() < 0.6:
        _change(document["properties"], random)
    try:
        text = json.dumps(document, ensure_ascii=random.random() < 0.5)
    except ValueError:
        return value  # an integer of more digits than Python prints
    return text.encode("utf-8", "surrogatepass")


def _change(of: dict[str, Any], random: Random) -> None:
    names = list(of) or ["event_id"]
    name = random.choice(names)
    match random.randrange(8):
        case 0:
            of.pop(name, None)
        case 1:
            of[random.choice(FIELDS)] = of.pop(name, None)
        case 2:
            of[name] = of.get(random.choice(names))
        case 3:
            of[random.choice(PROPERTIES)] = [_odd(random) for _ in range(random.randrange(4))]
        case 4:
            of[name] = _nested(of.get(name), random)
        case 5:
            of["products"] = [_line(random) for _ in range(_many(random))]
        case _:
            of[random.choice(FIELDS) if random.random() < 0.5 else name] = _odd(random)


def _odd(random: Random) -> Any:
    if random.random() < 0.6:
        return deepcopy(random.choice(ODD_VALUES))
    if random.random() < 0.5:
        return random.choice((1, -1)) * random.random() * 10.0 ** random.randint(-320, 308)
    return "".join(random.choices(LETTERS, k=random.randrange(9)))


def _nested(inner: Any, random: Random) -> Any:
    for _ in range(random.choice((1, 3, 30, 190))):
        inner = [inner] if random.random() < 0.5 else {random.choice(FIELDS): inner}
    return inner


def _line(random: Random) -> Any:
    if random.random() < 0.02:
        return _odd(random)
    names = random.choices(PROPERTIES, k=random.randrange(5))
    return {name: random.choice((1, 2.5, "3", "tea")) for name in names}


def _many(random: Random) -> int:
    return random.choice((0, 1, 2, 10)) if random.random() < 0.98 else random.randint(100, 600)


# Most damage to bytes is no JSON any more, and comes no further.
MUTATORS: tuple[Mutator, ...] = (flip_bits, cut, insert, repeat, twice, *[restructure] * 10)
