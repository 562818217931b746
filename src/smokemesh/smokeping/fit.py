"""Rounds made to fit their step: SmokePing runs rounds that take longer and skips steps, here every round has its step.

Nothing is refused: time-outs and pauses are shortened, and it is said. Times are seconds.
"""

from typing import Any, Final

from smokemesh.model.probe import Probe

LONGEST_STEP: Final = 86400.0
LONGEST_TIMEOUT: Final = 300.0
LEAST_TIMEOUT: Final = 0.001
LEAST_INTERVAL: Final = 0.001
LONGEST_INTERVAL: Final = 3600.0
MOST_PINGS: Final = 65535
#: A time-out may take this share of a step at most, so that there is room for pings.
TIMEOUT_SHARE: Final = 0.25
#: SmokePing's FPingContinuous leaves a twentieth of the step free.
FILL: Final = 0.95


def fit(wanted: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Values of a probe (step, pings, timeout, interval or None) that fit, and what had to be changed."""
    values, notes = dict(wanted), []
    step = values["step"] = _bounded(values["step"], 1.0, LONGEST_STEP)
    if step != wanted["step"]:
        notes.append(f"has a step of {wanted['step']:g}s, here it is {step:g}s")
    pings = values["pings"] = int(_bounded(values["pings"], 1, MOST_PINGS))
    timeout = values["timeout"] = _bounded(values["timeout"], LEAST_TIMEOUT, min(LONGEST_TIMEOUT, TIMEOUT_SHARE * step))
    if timeout < wanted["timeout"]:
        notes.append(f"has a timeout of {wanted['timeout']:g}s, with a step of {step:g}s it is {timeout:g}s here")
    room = step - 2 * timeout  # late answers are awaited for as long again
    most = 1 + int(room / LEAST_INTERVAL)
    if pings > most:
        notes.append(f"sends {pings} pings, with a step of {step:g}s it is {most} here")
        pings = values["pings"] = most
    if values["interval"] == "fill":
        values["interval"] = _down(min(FILL * step / pings, room / max(pings - 1, 1), LONGEST_INTERVAL))
        return values, notes
    probe = Probe(name="", step=step, pings=pings, interval=values["interval"], timeout=timeout)
    if probe.interval is not None:
        values["interval"] = _bounded(probe.interval, LEAST_INTERVAL, LONGEST_INTERVAL)
    if (pings - 1) * probe.spacing > room:
        values["interval"] = _down(room / (pings - 1))
        if probe.interval is not None:
            notes.append(
                f"sends {pings} pings {probe.spacing:g}s apart, with a step of {step:g}s they are "
                f"{values['interval']:g}s apart here"
            )
    return values, notes


def _bounded(value: float, least: float, most: float) -> float:
    return min(max(value, least), most)


def _down(seconds: float) -> float:
    """Down to the microsecond, and no less than may be written."""
    return max(int(seconds * 1e6) / 1e6, LEAST_INTERVAL)
