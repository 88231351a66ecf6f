"""What is left of a state when everything that was counted goes: what was told of whom."""

from collections.abc import Collection, Sequence

import numpy as np
from aiokafka import ConsumerRecord
from msgspec import MsgspecError

from models.carrying import carry
from models.columns import Ints, Rows
from models.identifiers import CustomerId, segment_number
from models.layout import ASSIGNED
from stream.changes import Change, read_change, segment_record
from stream.homes import Homes
from stream.names import Keys


class Remains:
    """Keeps the last change of every customer, wherever it is found.

    A customer goes on counting versions from it. One who was in a segment stays there, until an
    event comes or `expire_after_days` have passed. Keeping the same twice changes nothing.

    Attributes
    ----------
    told
        Of each segmentation the highest model version and segment number that a change has named.
    unreadable
        Messages of the change topic that are no changes.
    """

    def __init__(self, keys: Keys, homes: Homes) -> None:
        self.told: dict[str, tuple[int, int]] = {}
        self.unreadable = 0
        self._keys = keys
        self._homes = homes
        self._schema = homes.maker.schema

    async def keep_profiles(self, names: Sequence[str]) -> None:
        """Turn profiles, by the names of their keys, into what remains of them."""
        places: dict[int, list[CustomerId]] = {}
        for name in names:
            partition, customer = self._keys.place(name)
            places.setdefault(partition, []).append(customer)
        for partition, customers in places.items():
            blobs = await self._homes.store.profiles(partition, customers)
            await self._keep(customers, carry(self._schema, blobs))
            for customer in customers:
                if self._homes.of(customer) != partition:
                    await self._homes.send("UNLINK", self._keys.profile(partition, customer))

    async def keep_changes(self, records: Sequence[ConsumerRecord]) -> None:
        """Keep what changes say that is newer than what is known, also for pages to read."""
        latest: dict[tuple[CustomerId, str], Change] = {}
        for record in records:
            change = self._read(record.value or b"")
            if change is None or change.data.segmentation not in self._schema.segmentations:
                continue
            place = (change.data.customer_id, change.data.segmentation)
            known = latest.get(place)
            if known is None or known.data.version < change.data.version:
                latest[place] = change
        if latest:
            await self._keep([customer for customer, _ in latest], self._rows(latest.values()))
            pages = [segment_record(change) for change in latest.values()]
            await self._homes.store.write_segments(pages)

    def _read(self, value: bytes) -> Change | None:
        try:
            change = read_change(value)
            data = change.data
            named = [ref.id for ref in (data.origin, data.target, data.runner_up) if ref]
            model, number = self.told.get(data.segmentation, (0, 0))
            number = max(number, *map(segment_number, named), 0)
            self.told[data.segmentation] = (max(model, data.model_version), number)
        except (MsgspecError, ValueError):
            self.unreadable += 1
            return None
        return change

    def _rows(self, changes: Collection[Change]) -> Rows:
        rows = self._schema.empty(len(changes))
        for at, change in enumerate(changes):
            data, row = change.data, rows[at]
            index = self._schema.segmentations.index(data.segmentation)
            row["version"][index] = data.version
            row["segment"][index] = segment_number(data.target.id if data.target else None)
            row["previous"][index] = segment_number(data.origin.id if data.origin else None)
            row["since_ms"][index] = int(data.since.timestamp() * 1000)
            row["last_ms"] = int(change.time.timestamp() * 1000)
        return rows

    async def _keep(self, customers: Sequence[CustomerId], rows: Rows) -> None:
        known = list(dict.fromkeys(customers))
        for home, chosen in self._homes.grouped(known).items():
            at = {known[i]: place for place, i in enumerate(chosen)}
            names = list(at)
            kept = carry(self._schema, await self._homes.store.profiles(home, names))
            found = [i for i, customer in enumerate(customers) if customer in at]
            _keep_newest(kept, np.array([at[customers[i]] for i in found]), rows[found])
            await self._homes.write(home, self._homes.maker.stored(names, kept, 0))


def _keep_newest(kept: Rows, at: Ints, rows: Rows) -> None:
    """Take over, segmentation by segmentation, what is newer; `at` says where each row belongs."""
    for index in range(kept["version"].shape[1]):
        # In this order the highest version of a customer comes last, and stays.
        order = np.argsort(rows["version"][:, index], kind="stable")
        newer = order[rows["version"][order, index] > kept["version"][at[order], index]]
        for name in ASSIGNED:
            kept[name][at[newer], index] = rows[name][newer, index]
        np.maximum.at(kept["last_ms"], at[newer], rows["last_ms"][newer])
        np.maximum.at(kept["incarnation"], at[newer], rows["incarnation"][newer])
