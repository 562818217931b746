"""Numbers as people read them on the screen: milliseconds, percent, lengths of time. The only place that rounds."""

import math
from collections.abc import Sequence
from typing import Final


def duration(seconds: float | None) -> str:
    """An RTT: `0.043 ms`, `12.3 ms`, `1.20 s`; a dash when unknown."""
    if seconds is None or math.isnan(seconds):
        return "–"
    if seconds >= 0.9995:
        return f"{_digits(seconds)} s"
    return f"{_digits(seconds * 1e3)} ms" if seconds >= 99.95e-6 else f"{_digits(seconds * 1e6)} µs"


def percent(share: float | None) -> str:
    """A loss: `0 %`, `0.25 %`, `5 %`; what is not nothing never reads as nothing."""
    if share is None or math.isnan(share):
        return "–"
    value = share * 100
    if value == 0 or value == 100:
        return f"{value:.0f} %"
    if value < 0.01:
        return "<0.01 %"
    # 99.996 % of loss is not total loss: one ping was answered.
    text = f"{min(value, 99.99):.2f}" if value < 10 or value > 99 else f"{value:.1f}"
    return f"{text.rstrip('0').rstrip('.')} %"


#: Days, hours, minutes, seconds.
UNITS: Final = ("d", "h", "min", "s")


def span(seconds: float | None, units: Sequence[str] = UNITS) -> str:
    """A length of time in its two greatest units: `45 s`, `2 min 30 s`, `3 h`, `10 d 4 h`."""
    if seconds is None or math.isnan(seconds):
        return "–"
    if seconds < 60:
        return f"{_trim(seconds)} {units[3]}"
    whole = round(seconds)
    parts = list(zip((whole // 86400, whole // 3600 % 24, whole // 60 % 60, whole % 60), units, strict=True))
    first = next(k for k, (count, _) in enumerate(parts) if count)
    return " ".join(f"{count} {unit}" for count, unit in parts[first : first + 2] if count)


def size(count: float | None) -> str:
    """Bytes: `512 B`, `45.1 MB`."""
    if count is None:
        return "–"
    value, unit = float(count), "B"
    for bigger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, bigger
    return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"


def _digits(value: float) -> str:
    """Three digits that mean something."""
    if value == 0:
        return "0"
    return f"{value:.{max(0, 2 - max(0, math.floor(math.log10(value))))}f}"


def _trim(value: float) -> str:
    return f"{value:.3g}"
