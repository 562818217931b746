"""What an alert went by, in words for people and for the log."""

import math
from collections.abc import Sequence
from typing import Final

from smokemesh.analysis.alerts.judge import Compiled, View
from smokemesh.analysis.alerts.patterns import START, Value
from smokemesh.analysis.alerts.rules import MatcherRule, PatternRule
from smokemesh.master.web.screen import duration, percent, span
from smokemesh.model.alert import Alert, Notice

#: Rounds of a history that are told; what is older is cut.
MOST_ROUNDS: Final = 12


def describe(compiled: Compiled, view: View) -> str:
    """What the alert judged, as it stands now."""
    match compiled.rule:
        case PatternRule(pattern=judged) | MatcherRule(matcher=judged):
            if judged.type == "loss":
                return f"loss {history(view.history.loss, judged.type)}"
            return f"median {history(view.history.rtt, judged.type)}"
    alert = compiled.alert
    match alert.type:
        case "threshold":
            return f"{alert.measure} {_bounds(alert)}{_for(alert)}"
        case "deviation":
            return f"{alert.measure} more than {alert.factor:g} spreads above its mean of {span(alert.baseline)}{_for(alert)}"
    return "no rounds came"


def history(values: Sequence[Value], type: str) -> str:
    """Rounds as people read them, the oldest first."""
    shown = values[-MOST_ROUNDS:]
    words = (
        START if isinstance(value, str) else "U" if value is None else percent(value) if type == "loss" else duration(value)
        for value in shown
    )  # fmt: skip
    return ("…, " if len(shown) < len(values) else "") + ", ".join(words)


def firing(notice: Notice) -> tuple[object, ...]:
    """The log's line of a firing, with what SmokePing's says: the alert, the target, the history, the comment."""
    start: list[Value] = [START] if notice.from_start else []
    loss, rtt = ([None if math.isnan(value) else value for value in values] for values in (notice.loss, notice.rtt))
    return (
        "alert %s: alert=%s target=%s agent=%s loss=%r rtt=%r comment=%r",
        notice.what, notice.alert, notice.target, ",".join(notice.agents), history([*start, *loss], "loss"),
        history([*start, *rtt], "rtt"), notice.comment,
    )  # fmt: skip


def _bounds(alert: Alert) -> str:
    word = percent if alert.measure == "loss" else duration
    bounds = (("above", alert.above), ("below", alert.below))
    return " or ".join(f"{side} {word(bound)}" for side, bound in bounds if bound is not None)


def _for(alert: Alert) -> str:
    return f" for {span(alert.wait)}" if alert.wait else ""
