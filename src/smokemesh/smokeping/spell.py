"""Values as they are written in our YAML: text."""

from typing import Any, Final

_UNITS: Final = (("d", 86400.0), ("h", 3600.0), ("m", 60.0))
_DURATIONS: Final = frozenset({"step", "offset", "interval", "timeout"})


def spell(key: str, value: Any) -> str:
    """A setting of a probe."""
    if value is None:
        return "spread"
    if isinstance(value, bool):
        return "true" if value else "false"
    return seconds(value) if key in _DURATIONS else str(value)


def seconds(value: float) -> str:
    """A duration: `5m`, `1.5s`, `10ms`. Exact to the microsecond."""
    for unit, size in _UNITS:
        if value >= size and value % size == 0:
            return f"{value / size:.0f}{unit}"
    if 0 < value < 1:
        return f"{value * 1000:.3f}".rstrip("0").rstrip(".") + "ms"
    return f"{value:.6f}".rstrip("0").rstrip(".") + "s"


def days(value: float) -> str:
    """A duration in whole days, rounded up."""
    return f"{-int(-value // 86400)}d"
