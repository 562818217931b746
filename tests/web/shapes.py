"""Series made from rounds written down ping by ping."""

import math
from dataclasses import fields, replace

import numpy as np

from smokemesh.analysis import smoke, stats
from smokemesh.model.series import Series

NANO = 10**9
NOW = 1_795_261_320 * NANO
OK = [0.010, 0.011, 0.012, 0.013]
DEAD = [math.nan] * 4
LOSSY = [0.010, math.nan, 0.012, 0.013]


def series(rtts: list[list[float]], *, agent: str = "a", begin: int = NOW - 600 * NANO, step: float = 60.0) -> Series:
    values = np.array(rtts, "f8").reshape(len(rtts), -1)
    n, pings = values.shape
    zeros = np.zeros(n, "u8")
    return Series(
        task=1, agent=agent, level="raw", step=step,
        time=begin + np.arange(n, dtype="i8") * round(step * NANO),
        sent=np.full(n, pings, "u8"), received=np.count_nonzero(~np.isnan(values), axis=1).astype("u8"),
        late=zeros, duplicates=zeros, reordered=zeros, errors=zeros, flags=np.zeros(n, "u4"), rounds=np.ones(n, "u4"),
        bands=smoke.bands(values), mean=stats.mean(values), deviation=stats.deviation(values),
        jitter=stats.jitter(values), pairs=np.count_nonzero(~np.isnan(np.diff(values, axis=1)), axis=1).astype("u8"),
    )  # fmt: skip


def cut(one: Series, n: int) -> Series:
    """Its first `n` points."""
    columns = {f.name: getattr(one, f.name)[:n] for f in fields(one) if isinstance(getattr(one, f.name), np.ndarray)}
    return replace(one, **columns)
