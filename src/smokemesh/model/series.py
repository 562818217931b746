"""Series: the answer to a question about one task as seen by one agent over time."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

#: Quantiles the smoke is drawn from: band k lies between BANDS[k] and BANDS[-1 - k]; the middle one is the median.
BANDS: tuple[float, ...] = (0.0, 0.05, 0.10, 0.15, 0.20, 0.25, 0.30, 0.35, 0.40, 0.45, 0.50,
                            0.55, 0.60, 0.65, 0.70, 0.75, 0.80, 0.85, 0.90, 0.95, 1.0)  # fmt: skip

#: Where rounds are kept: every RTT, then coarser and coarser steps with mergeable sketches. Seconds; 0 is raw.
LEVELS: dict[str, float] = {"raw": 0.0, "5m": 300.0, "1h": 3600.0, "1d": 86400.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesQuestion:
    """Which rounds, and how finely. `begin` and `end` are nanoseconds UTC, `end` excluded.

    Raw rounds are counted exactly in that range; of rollups the bins that touch it are counted whole.
    """

    task: int
    agent: str
    begin: int
    end: int
    #: At most about this many points; the store merges rounds (and picks a level) to keep to it.
    points: int = 1000
    #: Insist on a level of LEVELS; "" lets the store pick the finest that answers fast and still holds `begin`.
    level: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Series:
    """`n` points in order of time. Where nothing was measured there is no point: that is "no data", not loss."""

    task: int
    agent: str
    #: The level it was read from, a key of LEVELS.
    level: str
    #: Seconds one point stands for, at most: the probe's step when no rounds were merged, and never less than it.
    step: float
    #: Begin of each point, nanoseconds UTC, i8[n]. Points lie the same whatever range is asked for, so the first may
    #: begin before the range; it counts what lies in the range only.
    time: NDArray[np.int64]
    #: Pings sent / answered / late / duplicated / reordered / answered by an error, u8[n].
    sent: NDArray[np.uint64]
    received: NDArray[np.uint64]
    late: NDArray[np.uint64]
    duplicates: NDArray[np.uint64]
    reordered: NDArray[np.uint64]
    errors: NDArray[np.uint64]
    #: `rounds.Flag`s of all rounds of the point, or-ed, u4[n].
    flags: NDArray[np.uint32]
    #: Rounds merged into the point, u4[n].
    rounds: NDArray[np.uint32]
    #: RTT quantiles in seconds at BANDS, f8[n, len(BANDS)]; NaN when no ping was answered.
    bands: NDArray[np.float64]
    #: Mean RTT and its (population) standard deviation over the answered pings, seconds, f8[n].
    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]
    #: Mean absolute difference of successive RTTs (analysis.stats.jitter), seconds, f8[n].
    jitter: NDArray[np.float64]
    #: How many differences of successive RTTs `jitter` is the mean of: its weight when points are summed up, u8[n].
    pairs: NDArray[np.uint64]

    @property
    def median(self) -> NDArray[np.float64]:
        """The middle band, f8[n]."""
        return self.bands[:, len(BANDS) // 2]

    @property
    def loss(self) -> NDArray[np.float64]:
        """Share of pings that got no answer, f8[n]; NaN where nothing was sent."""
        sent = self.sent.astype(np.float64)
        lost = sent - self.received
        return np.divide(lost, sent, out=np.full(len(sent), np.nan), where=sent > 0)

    def __len__(self) -> int:
        return len(self.time)


@dataclass(frozen=True, slots=True, kw_only=True)
class Latest:
    """The newest round of a task as one agent saw it; for overviews and lists."""

    task: int
    agent: str
    time: int
    step: float
    sent: int
    received: int
    median: float
    flags: int
    error: int = 0
    address: str = ""
    extra: dict[str, float] = field(default_factory=dict)
