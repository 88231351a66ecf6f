"""What is known of each segment, as Redis keeps it for people and programs."""

import json

from models.profiles import ProfileSchema
from models.snapshots import Snapshot


def segment_cards(snapshot: Snapshot, schema: ProfileSchema) -> dict[str, str]:
    """JSON of every segment in force, by id.

    `typical` holds the values at the segment's centroid, in each feature's own unit.
    """
    units = {feature.name: feature.unit for feature in schema.features}
    typical = snapshot.scaler.inverse(snapshot.centroids)
    cards: dict[str, str] = {}
    for segment, values in zip(snapshot.segments, typical.tolist(), strict=True):
        named = zip(snapshot.feature_names, values, strict=True)
        cards[segment.id] = json.dumps(
            {
                "name": segment.name,
                "share": round(segment.share, 4),
                "since_model": segment.born_version,
                "model": snapshot.version,
                "traits": [
                    {"feature": trait.feature, "high": trait.high} for trait in segment.traits
                ],
                "typical": {
                    name: {"value": round(value, 3), "unit": units.get(name, "")}
                    for name, value in named
                },
            },
            ensure_ascii=False,
        )
    return cards
