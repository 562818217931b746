"""Times as people and URLs write them: `now`, `now-3h`, `2026-11-21T10:00:00Z`, Unix seconds.

Values are integer nanoseconds UTC. A relative time stays relative in the URL, so a bookmarked page of the
last three hours shows the last three hours.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from smokemesh.errors import UsageError
from smokemesh.model.series import LEVELS

NANO: Final = 10**9
UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400, "y": 365 * 86400}
#: The ranges SmokePing users know, and the others; as the page offers them.
CLASSIC: Final = ("3h", "30h", "10d", "400d")
RANGES: Final = ("5m", "15m", "1h", "3h", "6h", "24h", "30h", "7d", "10d", "30d", "1y", "400d")
DEFAULT: Final = "3h"
#: Ranges longer than this, or before 1970, are typing errors.
LONGEST: Final = 100 * 366 * 86400 * NANO
#: Characters of what was written that an error repeats.
MOST_TOLD: Final = 100
#: Nanoseconds of a time that is kept: 64 bits, until 2262.
LATEST: Final = 2**63 - 1

_RELATIVE = re.compile(r"now(?:-(\d{1,12}(?:\.\d{1,9})?)([smhdwy]))?", re.ASCII)
_LENGTH = re.compile(r"(\d{1,12}(?:\.\d{1,9})?)([smhdwy])", re.ASCII)
_SECONDS = re.compile(r"\d{1,12}(?:\.\d{1,9})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Range:
    """A stretch of time, `end` excluded."""

    begin: int
    end: int
    #: It ends now: new rounds belong to it.
    live: bool

    @property
    def seconds(self) -> float:
        """Its length."""
        return (self.end - self.begin) / NANO


def parse_length(text: str) -> float:
    """Seconds of a length like `3h` or `10d`."""
    match = _LENGTH.fullmatch(text)
    if match is None:
        raise UsageError(f"length {text[:MOST_TOLD]!r}: write a number and one of s m h d w y, like 3h or 10d")
    return float(match[1]) * UNITS[match[2]]


def length(seconds: float) -> str:
    """A length in its greatest whole unit: 10800 -> `3h`."""
    whole = max(1, round(seconds))
    unit, size = next(
        (unit, size) for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)) if whole % size == 0
    )
    return f"{whole // size}{unit}"


def parse_time(text: str, now: int, name: str = "time") -> int:
    """Nanoseconds of a time as written in a URL: 1970 to 2262."""
    time = _parse_time(text, now, name)
    if not 0 <= time <= LATEST:
        raise UsageError(f"{name} {text!r} is not a time between 1970 and 2262")
    return time


def _parse_time(text: str, now: int, name: str) -> int:
    relative = _RELATIVE.fullmatch(text)
    if relative is not None:
        return now - (round(float(relative[1]) * UNITS[relative[2]] * NANO) if relative[1] else 0)
    if _SECONDS.fullmatch(text):
        whole, _, fraction = text.partition(".")
        return int(whole) * NANO + int(fraction.ljust(9, "0") or 0)
    return _parse_rfc3339(text, name)


def parse_range(begin: str, end: str, now: int) -> Range:
    """The range between two written times; what is left out is three hours ago and now."""
    last = parse_time(end or "now", now, "end")
    first = parse_time(begin, now, "begin") if begin else last - round(parse_length(DEFAULT) * NANO)
    if first >= last:
        raise UsageError(f"begin {begin or 'now-' + DEFAULT} is not before end {end or 'now'}: exchange them")
    if first < 0 or last - first > LONGEST:
        raise UsageError(f"begin {begin}: the range is longer than a hundred years; shorten it")
    return Range(first, last, end in ("", "now"))


#: Lengths a point may stand for, seconds: whole parts of a day, so that day and night do not beat against the points.
WIDTHS: Final = (
    1, 2, 5, 10, 15, 20, 30, 60, 120, 180, 300, 600, 900, 1200, 1800, 3600, 7200, 10800, 14400, 21600, 28800, 43200,
    86400, 2 * 86400, 7 * 86400,
)  # fmt: skip


def even_points(span: Range, most: int) -> int:
    """How many points to ask for, so that each stands for an even length of time; never more than `most`."""
    least = span.seconds / most
    width = next((width for width in WIDTHS if width >= least), 0)
    return min(most, -(-(span.end - span.begin) // (width * NANO))) if width and least > WIDTHS[0] else most


def counted(span: Range, level: str) -> tuple[int, int]:
    """The range whose rounds an answer from this level counts: of rollups, every bin that touches the range, whole."""
    width = round(LEVELS[level] * NANO) or 1
    return span.begin - span.begin % width, span.end + -span.end % width


def rfc3339(time: int) -> str:
    """Nanoseconds as `2026-11-21T10:00:00Z`, with as many fractional digits as are needed."""
    whole, fraction = divmod(time, NANO)
    text = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=whole)).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{fraction:09d}".rstrip("0") + "Z" if fraction else f"{text}Z"


def _parse_rfc3339(text: str, name: str) -> int:
    try:
        # A '+' in a query string arrives as a space where it was not escaped.
        when = datetime.fromisoformat(text.replace(" ", "+") if text.count(" ") == 1 and "T" in text else text)
    except ValueError:
        raise UsageError(
            f"{name} {text[:MOST_TOLD]!r} is not a time: write now, now-3h, 2026-11-21T10:00:00Z or Unix seconds"
        ) from None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    since = when - datetime(1970, 1, 1, tzinfo=UTC)
    return ((since.days * 86400 + since.seconds) * 1_000_000 + since.microseconds) * 1000
