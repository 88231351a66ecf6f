"""What a rebuild keeps of a profile while everything that was counted goes."""

from collections.abc import Sequence

import numpy as np

from models.columns import Rows
from models.layout import FIRST_PACKED, record_of
from models.packing import Packing, by_head, pad
from models.profiles import ProfileSchema

KEPT = ("incarnation", "last_ms")
KEPT_OF_EACH = ("version", "segment", "previous", "since_ms")
"""What is kept for each segmentation."""


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
    for head, places in by_head(blobs).items():
        chosen = [blobs[at] or b"" for at in places]
        # These stand before whatever a schema adds.
        front = record_of(0, 0, 0, max(head[1], 1))
        if head[0] >= FIRST_PACKED:
            old = Packing(front).unpack_front(chosen)
        else:
            old = np.frombuffer(pad(chosen, front.itemsize), front)
        for name in KEPT:
            rows[name][places] = old[name]
        known = schema.segmentations_of(int.from_bytes(head[4:], "little"))[: max(head[1], 1)]
        for here, segmentation in enumerate(schema.segmentations):
            if segmentation in known:
                for name in KEPT_OF_EACH:
                    rows[name][places, here] = old[name][:, known.index(segmentation)]
    return rows
