"""Which level answers a question, and how wide its points are. Pure: the time now is handed in.

Bins are aligned to 1970-01-01T00:00:00Z and belong to the level, not to the question: whatever range is
asked for, a bin begins at the same time.
"""

from dataclasses import dataclass
from typing import Final

from smokemesh.errors import UsageError
from smokemesh.model.series import LEVELS, SeriesQuestion
from smokemesh.settings.shape import Retention

SECOND: Final = 1_000_000_000
#: The last time a rollup can hold (DateTime), nanoseconds.
_LAST: Final = (2**32 - 1) * SECOND


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a question is read. Times in nanoseconds; questions with equal plans are answered by one statement.

    At raw, `width` is the least a point shall span, and each task rounds it up to whole steps of its own.
    In rollups it is whole bins of the level, and so are `begin` and `end`; not whole widths, which would count much
    that nobody asked for.
    """

    level: str
    width: int
    begin: int
    end: int


def kept(retention: Retention) -> dict[str, float]:
    """Seconds each level is kept."""
    return {"raw": retention.raw, "5m": retention.m5, "1h": retention.h1, "1d": retention.d1}


def plan(question: SeriesQuestion, retention: Retention, now: int) -> Plan:
    """The plan for a question asked at `now` (nanoseconds UTC)."""
    begin, end = max(question.begin, 0), min(max(question.end, 0), _LAST)
    least = max(-(-(end - begin) // max(question.points, 1)), 1)
    level = question.level or _pick(begin, least, retention, now)
    if level not in LEVELS:
        raise UsageError(f"level {level!r} does not exist, use one of {', '.join(LEVELS)}")
    if level == "raw":
        return Plan(level=level, width=least, begin=begin, end=end)
    step = int(LEVELS[level]) * SECOND
    width = -(-least // step) * step
    return Plan(level=level, width=width, begin=begin - begin % step, end=end + -end % step)


def _pick(begin: int, least: int, retention: Retention, now: int) -> str:
    """The coarsest level fine enough; where it no longer holds `begin`, the next coarser one that does."""
    seconds = kept(retention)
    fine = [name for name, step in LEVELS.items() if step * SECOND <= least]
    for name in list(LEVELS)[len(fine) - 1 :]:
        if begin >= now - seconds[name] * SECOND:
            return name
    return max(LEVELS, key=lambda name: seconds[name])
