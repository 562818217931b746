"""smokemesh held against the real SmokePing, side by side: `make evaluate` writes case, expected, observed, verdict."""
