"""How good the segments are, by figures: one file per question."""
