"""What is in force of each segmentation, as far as a worker knows: its model and its labels."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace

from models.editions import Edition, Editions
from models.errors import ShoalError
from models.formats import FutureFormatError
from models.segmentation import Segmentation
from models.snapshots import Snapshot, SnapshotError
from stream.catalogue import Catalogue
from stream.labels import Labels

log = logging.getLogger(__name__)


class InForce:
    """Follows the models that are published, and the labels that operators give.

    Parameters
    ----------
    editions
        What to begin with: nothing of each segmentation.
    end
        Called with the reason why this process cannot go on.
    """

    def __init__(
        self,
        editions: Editions,
        catalogue: Catalogue,
        labels: Labels,
        end: Callable[[ShoalError], None],
    ) -> None:
        self.editions = editions
        self._catalogue = catalogue
        self._labels = labels
        self._end = end
        self._seen: dict[str, int] = {}
        self._is_known = False
        self._looking = asyncio.Lock()

    async def known(self) -> None:
        """Return once Redis was asked for everything.

        Raises
        ------
        RedisError
            It does not answer; whoever needs to know calls again.
        """
        async with self._looking:
            if not self._is_known:
                await self._look()

    async def refresh(self) -> None:
        """Take over newer models and labels.

        Raises
        ------
        RedisError
            Redis does not answer; what was found before that is in force.
        """
        async with self._looking:
            await self._look()

    async def _look(self) -> None:
        for at, edition in enumerate(self.editions):
            newest = await self._newest(edition)
            self.editions = (*self.editions[:at], newest, *self.editions[at + 1 :])
        self._is_known = True

    async def _newest(self, edition: Edition) -> Edition:
        name = edition.segmentation.name
        version = await self._catalogue.model_version(name)
        if version > self._seen.get(name, 0):
            model = await self._load_model(version, edition.segmentation)
            edition = replace(edition, model=model or edition.model)
        if await self._labels.revision(name) != edition.labels.revision:
            edition = replace(edition, labels=await self._labels.load(name))
        # Only what is in force in a moment counts as seen: Redis may have failed until here.
        self._seen[name] = max(version, self._seen.get(name, 0))
        return edition

    async def _load_model(self, version: int, segmentation: Segmentation) -> Snapshot | None:
        blob = await self._catalogue.model(version, segmentation.name)
        try:
            model = Snapshot.from_json(blob or b"")
        except FutureFormatError as error:
            self._end(error)
            return None
        except SnapshotError as error:
            log.error("%s model %d: %s", segmentation.name, version, error)  # noqa: TRY400 - the message says it all
            return None
        if model.feature_names != segmentation.names:
            log.error(
                "%s model %d measures other features than this worker's segmentation.yaml: "
                "start the trainer with the same file",
                *(segmentation.name, version),
            )
            return None
        log.info(
            "%s model %d is in force: %d segments",
            *(segmentation.name, version, len(model.segments)),
        )
        return model
