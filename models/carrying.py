"""What a rebuild keeps of a profile while everything that was counted goes."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from models.columns import Rows
from models.formats import FORMAT, FutureFormatError
from models.layout import record_of
from models.profiles import ProfileSchema

KEPT = ("incarnation", "last_ms")
KEPT_OF_EACH = ("version", "segment", "previous", "since_ms")
"""What is kept for each segmentation."""

_HEAD = 8


def carry(schema: ProfileSchema, blobs: Sequence[bytes | None]) -> Rows:
    """What was told of each customer, and when they were last seen; shape (n_customers,).

    Nothing is counted in these profiles: the first event that comes begins them. Profiles of any
    schema can be carried, also of one whose layout is lost: its segmentations are then taken to
    stand in today's order.

    Raises
    ------
    FutureFormatError
        A profile was stored by a newer Shoal.
    """
    rows = schema.empty(len(blobs))
    alike: defaultdict[bytes, list[int]] = defaultdict(list)
    for at, blob in enumerate(blobs):
        if blob:
            alike[blob[:_HEAD].ljust(_HEAD, b"\0")].append(at)
    for head, places in alike.items():
        if head[0] > FORMAT:
            raise FutureFormatError("a stored profile", head[0])
        # These stand before whatever a schema adds.
        header = record_of(0, 0, 0, max(head[1], 1))
        size = header.itemsize
        old = np.frombuffer(
            b"".join((blobs[at] or b"").ljust(size, b"\0")[:size] for at in places), header
        )
        for name in KEPT:
            rows[name][places] = old[name]
        known = schema.segmentations_of(int.from_bytes(head[4:], "little"))[: max(head[1], 1)]
        for here, segmentation in enumerate(schema.segmentations):
            if segmentation in known:
                for name in KEPT_OF_EACH:
                    rows[name][places, here] = old[name][:, known.index(segmentation)]
    return rows
