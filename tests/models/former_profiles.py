"""Profiles as former versions stored them."""

from base64 import b85decode
from typing import Literal

import numpy as np

from models.accumulators import update
from models.columns import Rows
from models.layout import DAY_MS, StoredLayout
from models.profiles import ProfileSchema
from tests.models.test_accumulators import SCHEMA, START_MS, columns, event

STORED_BY_FORMAT_2 = b85decode(
    "0s#O3WTIhP2><{90{{R3000002LJ#70GRhaT>$_900000000000GRhaT>$_908m6pT>$_908m6pT>$_90000"
    "00000008m6pT>$_9#Z!nqy>tgawrJ{%>`^^HpL-6pI>kLeOvygO`_KnK;Oe~NLGb@S;Oe~NLGb@S00000000"
    "00#Z!nqy>tga000000000000000000O;0000000000000000000000000000000{{R3000000ssI2000000R"
)
"""What the version before wrote of `known_customer`, byte for byte."""


def known_customer() -> Rows:
    """A customer with an order on each of three days, who was told into a segment."""
    rows = SCHEMA.empty(1)
    update(
        SCHEMA, rows, columns([event(id=i + 1, time_ms=START_MS + i * DAY_MS) for i in range(3)])
    )
    rows["segment"], rows["version"], rows["model"] = 3, 9, 7
    rows["since_ms"] = START_MS
    return rows


def stored_before(schema: ProfileSchema, rows: Rows, former: Literal[1, 2]) -> list[bytes]:
    """Stored form of each profile in a former format."""
    old = np.zeros(rows.size, StoredLayout.of(schema.layout).record(is_packed=False))
    for name in set(old.dtype.names or ()) - {"presence_bytes"}:
        old[name] = rows[name]
    old["format"] = former
    if former == 1:
        old["segmentations"] = 0
    return [row.tobytes().rstrip(b"\0") for row in old]
