"""Durations and sizes as people write them: `10s`, `1h30m`, `500ms`, `30d`, `3y`; `512MiB`. Seconds and bytes within."""

import math
import re
from itertools import pairwise
from typing import Final

#: Seconds in each unit. A year is 365 days, as in Prometheus.
UNITS: Final[dict[str, float]] = {
    "y": 365 * 86400.0,
    "w": 7 * 86400.0,
    "d": 86400.0,
    "h": 3600.0,
    "m": 60.0,
    "s": 1.0,
    "ms": 1e-3,
    "us": 1e-6,
}
#: Bytes in each unit; both families, because both are in use.
SIZES: Final[dict[str, int]] = {
    "": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40,
}  # fmt: skip

_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|us|y|w|d|h|m|s)")
_WHOLE = re.compile(rf"(?:{_PART.pattern})+")
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([A-Za-z]*)")


def parse_duration(text: str) -> float:
    """Seconds in `text`; units go from large to small, each once; a bare number is seconds. Raises ValueError."""
    text = text.strip()
    if len(text) <= 40:
        if _NUMBER.fullmatch(text):
            return float(text)
        if _WHOLE.fullmatch(text):
            parts = _PART.findall(text)
            sizes = [UNITS[unit] for _, unit in parts]
            if all(a > b for a, b in pairwise(sizes)):
                return math.fsum(float(number) * size for (number, _), size in zip(parts, sizes, strict=True))
    raise ValueError("is not a duration; write one like 500ms, 10s, 5m or 1h30m")


def format_duration(seconds: float) -> str:
    """The shortest exact spelling: 90.0 -> `1m30s`, 0.5 -> `500ms`, 1.5 -> `1.5s`. Exact to the microsecond."""
    left = round(seconds * 1e6)
    if left <= 0:
        return "0s"
    parts: list[str] = []
    for unit, size in UNITS.items():
        if unit == "w" or (unit == "y" and left % round(size * 1e6)):
            continue  # 14d and 400d read better than 2w and 1y35d
        if unit == "s" and left > 10**6 and left % 10**6:
            return "".join([*parts, f"{left / 1e6:.6f}".rstrip("0") + "s"])  # 1.5s reads better than 1s500ms
        count, left = divmod(left, round(size * 1e6))
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)


def parse_size(text: str) -> int:
    """Bytes in `text`; a bare number is bytes. Raises ValueError."""
    match = _SIZE.fullmatch(text.strip()) if len(text) <= 40 else None
    if match is None or match[2].upper() not in SIZES:
        raise ValueError("is not a size; write one like 512MiB or 2GB")
    return round(float(match[1]) * SIZES[match[2].upper()])


def format_size(size: int) -> str:
    """The largest unit that divides it: 2**30 -> `1GiB`."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        if size and size % SIZES[unit.upper()] == 0:
            return f"{size // SIZES[unit.upper()]}{unit}"
    return str(size)
