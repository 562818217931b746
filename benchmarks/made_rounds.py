"""Rounds to fill a store with: RTTs with a base for each task, a daily wave, a long tail and one percent of loss."""

import numpy as np

from smokemesh.analysis import stats
from smokemesh.model.rounds import RoundBatch

SECOND = 1_000_000_000


def made_rounds(tasks: np.ndarray, times: np.ndarray, step: float, pings: int, seed: int) -> RoundBatch:
    """One round of each task at each time (nanoseconds), task by task as an agent's spool would not, but may, send."""
    dice = np.random.default_rng(seed)
    task, when = np.repeat(tasks, len(times)), np.tile(times, len(tasks))
    base = 0.005 + 0.1 * (task % 97) / 97
    wave = 1 + 0.2 * np.sin(when / SECOND / 86400 * 2 * np.pi)
    rtts = ((base * wave)[:, None] + dice.exponential(0.002, (len(task), pings))).astype(np.float32)
    rtts[dice.random(rtts.shape) < 0.01] = np.nan
    columns = {
        "task": task,
        "time": when,
        "step": np.full(len(task), step),
        "sent": np.full(len(task), pings),
        "received": stats.answered(rtts),
        "rtts": rtts.ravel(),
    }
    return RoundBatch.from_columns(len(task), columns)
