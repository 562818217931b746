"""Numbers from numbers: loss, percentiles, jitter, the bands of the smoke."""
