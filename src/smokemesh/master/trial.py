"""A trial of an alert: what it would have said of rounds that were measured, or were made up. Nobody is told.

Made-up histories are words, the oldest first: `0% 20% U` of loss, `10 12.5 U` of RTT in milliseconds, `S` where
measuring began.
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from smokemesh.analysis.alerts.matchers import parse_matcher
from smokemesh.analysis.alerts.observe import doubtful, observe
from smokemesh.analysis.alerts.patterns import START
from smokemesh.analysis.alerts.rules import History, Observation, PatternRule, Rule, make_rule
from smokemesh.errors import UsageError
from smokemesh.model.alert import Alert
from smokemesh.model.rounds import RoundBatch

NANO: Final = 10**9
#: Words of a made-up history.
MOST_WORDS: Final = 2000
#: Comparisons a trial may cost at worst, a few seconds: anybody may ask for one.
MOST_STEPS: Final = 20_000_000
_LOSS = re.compile(r"(\d{1,3}(?:\.\d+)?)%?", re.ASCII)
_RTT = re.compile(r"(\d{1,9}(?:\.\d+)?)(?:ms)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Step:
    """One round and what the alert made of it."""

    #: Nanoseconds UTC, 0 of a made-up round.
    time: int
    loss: float
    rtt: float
    #: It is on after this round.
    on: bool
    #: raised, cleared or "".
    change: str
    #: For patterns: how many rounds back each comparison found its value.
    back: tuple[int, ...] = ()


def make(alert: Alert, *, compat: bool) -> Rule:
    """The rule of an alert. Raises UsageError."""
    try:
        return make_rule(alert, compat=compat)
    except ValueError as error:
        raise UsageError(str(error)) from error


def run(
    alert: Alert, rule: Rule, rounds: Sequence[Observation], *, compat: bool, from_start: bool = True
) -> Iterator[Step]:
    """The alert, round by round. Raises UsageError when that would take too long."""
    if isinstance(rule, PatternRule) and len(rounds) * rule.pattern.steps > MOST_STEPS:
        most = MOST_STEPS // rule.pattern.steps
        raise UsageError(f"trial: {len(rounds)} rounds take too long with a pattern of such gaps; try {most} at most")
    history = History() if from_start else History([], [])
    memory: dict[str, float] = {}
    raised = False
    for one in rounds:
        history.push(one, rule.length)
        on = rule.judge(memory, history, one, raised)
        change = "" if on == raised else "raised" if on else "cleared"
        yield Step(one.time, one.loss, one.rtt, on, change, _back(rule, history, compat) if on else ())
        raised = on


def _back(rule: Rule, history: History, compat: bool) -> tuple[int, ...]:
    if not isinstance(rule, PatternRule):
        return ()
    values = history.loss if rule.pattern.type == "loss" else history.rtt
    return tuple(len(values) - 1 - place for place in rule.pattern.places(values, compat=compat) or ())


def observed(batch: RoundBatch, *, compat: bool) -> list[Observation]:
    """Measured rounds as rules see them, without those that are not blamed on the target."""
    pairs = zip(observe(batch, compat=compat), doubtful(batch).tolist(), strict=True)
    return [round for round, doubt in pairs if not doubt]


def judges(alert: Alert) -> str:
    """What a made-up history of this alert is of: "loss" or "rtt"."""
    if alert.type == "matcher":
        return parse_matcher(alert.pattern).type
    return "loss" if alert.type == "loss" or (alert.type != "rtt" and alert.measure == "loss") else "rtt"


def made_up(text: str, type: str) -> tuple[list[Observation], bool]:
    """A typed history, and whether it begins where measuring began. Raises UsageError."""
    words = text.replace(",", " ").split()
    from_start = bool(words) and words[0] == START
    rest = words[from_start:]
    if len(rest) > MOST_WORDS:
        raise UsageError(f"history: {len(rest)} rounds, at most {MOST_WORDS}")
    if not rest:
        raise UsageError("history: is empty; write rounds like 0% 0% 20% U, or choose a target and a range")
    values = [_value(word, type) for word in rest]
    return [_round(k, value, type) for k, value in enumerate(values)], from_start


def _value(word: str, type: str) -> float:
    if word == "U":
        return math.nan
    found = (_RTT if type == "rtt" else _LOSS).fullmatch(word)
    if found is None or (type != "rtt" and float(found[1]) > 100):
        like = "milliseconds like 12.5" if type == "rtt" else "percent like 20%"
        raise UsageError(
            f"history: {word!r} is no round; write {like}, U for unknown, S first for the start of measuring"
        )
    return float(found[1]) / (1000 if type == "rtt" else 100)


def _round(number: int, value: float, type: str) -> Observation:
    """Rounds a minute apart, for rules that count time."""
    time = number * 60 * NANO
    if type == "rtt":
        return Observation(
            time=time, step=60.0, loss=1.0 if math.isnan(value) else 0.0, median=value, max=value, rtt=value
        )
    return Observation(time=time, step=60.0, loss=value)


def judged(steps: Sequence[Step]) -> dict[str, Any]:
    """How often it would have spoken."""
    return {what: sum(step.change == what for step in steps) for what in ("raised", "cleared")}
