"""When a new model is worthwhile, and why."""

from collections import defaultdict
from typing import Any

import numpy as np
from river.drift import ADWIN

from models.columns import Floats
from models.layout import DAY_MS
from models.lineage import Reason
from models.snapshots import Snapshot
from models.training import TrainingConfig

_READ_BACK = 1 / 3
"""Part of a resumed model's sample that has to be there again before it is learned from."""
_READ_BACK_DAYS = 7


class Occasion:
    """Notices what makes a new model worthwhile.

    Drift is noticed by how far customers are from the nearest centroid, whenever one of them does
    something: for each centroid, ADWIN compares the mean of the latest with the mean before,
    whatever the window [1]_. One for all would see a segment's drift diluted by the others, and
    another mix of customers as drift. A distance d counts as ``d² / (d² + s²)``, where s is about
    what it would be were there no clusters: ADWIN's bounds hold for values of 0 to 1, and an
    outlier is no drift. A model that comes because of drift may come too early, and ADWIN has
    nothing to compare with after it: so drift is followed until centroids have stayed a few times.

    References
    ----------
    .. [1] Bifet, A. and Gavaldà, R., 2007, "Learning from time-changing data with adaptive
       windowing", Proc. SIAM International Conference on Data Mining, 443-448.
    """

    def __init__(self, config: TrainingConfig) -> None:
        self.config = config
        self.updates = 0
        self._changed = self._looks = 0
        self._begin_window()

    @property
    def distance(self) -> float:
        """Mean of the latest distances as they are counted, 0 to 1; 0 before the first."""
        width = sum(window.width for window in self._windows.values())
        total = sum(window.total for window in self._windows.values())
        return float(total / width) if width else 0.0

    def changed(self, customers: int) -> None:
        """So many customers joined the sample, or left it."""
        self._changed += customers

    def moved(self, distances: Floats, spread: float) -> None:
        """Customers were updated.

        Parameters
        ----------
        distances
            Shape (n_customers, n_centroids).
        spread
            What distances are about where there are no clusters.
        """
        self.updates += len(distances)
        if not spread > 0:
            return
        nearest = distances.argmin(axis=1).tolist()
        squares = np.square(distances.min(axis=1))
        for centroid, value in zip(
            nearest, (squares / (squares + spread**2)).tolist(), strict=True
        ):
            window = self._windows[centroid]
            window.update(value)
            if window.drift_detected:
                self._drifted, self._looks = True, self.config.challenger_patience

    def settled(self, reason: Reason, *, is_new: bool) -> None:
        """A model was published; `is_new` when distances mean something else by it."""
        self.updates = self._changed = 0
        self._drifted = False
        if reason == "drift":
            self._looks = self.config.challenger_patience if is_new else max(self._looks - 1, 0)
        if is_new:
            self._begin_window()

    def resumed(self, snapshot: Snapshot, customers: int) -> None:
        """The trainer goes on from a model, and will read again whom it was learned from.

        So many `customers` are in its sample already.
        """
        self.settled("first", is_new=True)
        self._looks = 0
        self._changed = min(customers - snapshot.customers, 0)

    def reason(
        self,
        snapshot: Snapshot,
        customers: int,
        now_ms: int,
        *,
        is_measured: bool,
        is_challenged: bool,
    ) -> Reason | None:
        """Why the next model is due; None when it is not.

        Parameters
        ----------
        snapshot
            The model in force.
        customers
            In the sample now.
        is_measured
            Whether what the model goes by is what is measured today.
        is_challenged
            Whether something else did better than the model in force.
        """
        config, days = self.config, (now_ms - snapshot.now_ms) / DAY_MS
        if customers < _READ_BACK * snapshot.customers and days < _READ_BACK_DAYS:
            return None
        if not is_measured:
            return "features"
        updated = self.updates / customers
        if customers >= (1 + config.growth) * snapshot.customers:
            return "growth"
        if self._drifted and updated >= config.min_new_share / 10:
            return "drift"
        if updated >= config.min_new_share / 2 and (self._looks or is_challenged):
            return "drift" if self._looks else "granularity"
        if self._changed >= max(1.0, config.min_new_share * customers):
            return "news"
        return "time" if days >= config.refresh_days else None

    def _begin_window(self) -> None:
        self._windows: defaultdict[int, Any] = defaultdict(ADWIN)
        self._drifted = False
