"""What each type of alert decides of a round: is it on after this one? Times are nanoseconds UTC, shares 0..1, RTTs seconds.

A rule keeps what it must remember in a small mapping of its own, plain enough for JSON. What is not known (no ping
answered) speaks neither for nor against: the state holds.
"""

import math
from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from smokemesh.analysis.alerts.matchers import Matcher, Sight, parse_matcher
from smokemesh.analysis.alerts.patterns import START, Pattern, Value, parse_pattern
from smokemesh.model.alert import Alert

Memory = MutableMapping[str, float]
SECOND: Final = 10**9
#: Rounds a baseline is learnt from before it is trusted.
WARM_UP: Final = 30
#: A baseline's spread is never taken for less: this share of the mean, or this much (share or seconds).
LEAST_SPREAD_SHARE: Final = 0.02
LEAST_SPREAD: Final = 1e-4
#: Steps after a round within which the next must come, for what holds "on end" to go on.
MOST_STEPS: Final = 3.0
#: Steps without a round that are no silence yet: the next round is under way.
LEAST_STEPS: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One round as rules see it; NaN is unknown."""

    time: int
    step: float
    loss: float
    median: float = math.nan
    max: float = math.nan
    deviation: float = math.nan
    jitter: float = math.nan
    #: The median patterns and matchers judge: SmokePing takes the upper of two in the middle.
    rtt: float = math.nan


@dataclass(slots=True)
class History:
    """What patterns and matchers look back on, the oldest first. `START` stands before the first round."""

    loss: list[Value] = field(default_factory=lambda: [START])
    rtt: list[Value] = field(default_factory=lambda: [START])

    def push(self, round: Observation, length: int) -> None:
        """Add a round and keep the newest `length` values."""
        self.loss.append(None if math.isnan(round.loss) else round.loss)
        self.rtt.append(None if math.isnan(round.rtt) else round.rtt)
        # SmokePing drops one at a time, so a shorter length after a change takes effect slowly; here at once.
        surplus = len(self.loss) - max(length, 1)
        if surplus > 0:
            del self.loss[:surplus], self.rtt[:surplus]


class Rule(Protocol):
    """An alert ready to judge."""

    #: Values of history it needs.
    length: int

    def judge(self, memory: Memory, history: History, round: Observation, raised: bool) -> bool:
        """Is it on after this round, the newest of `history`?"""


def make_rule(alert: Alert, *, compat: bool) -> Rule:
    """The rule of an alert. Raises ValueError in one line."""
    match alert.type:
        case "loss" | "rtt":
            return PatternRule(parse_pattern(alert.pattern, alert.type), compat)
        case "matcher":
            return MatcherRule(parse_matcher(alert.pattern), compat)
        case "threshold":
            return ThresholdRule(alert)
        case "deviation":
            return DeviationRule(alert)
        case "silent":
            return SilentRule(alert)
    raise ValueError(f"alert {alert.name}: type {alert.type!r} is unknown")


class PatternRule:
    """SmokePing's patterns."""

    def __init__(self, pattern: Pattern, compat: bool) -> None:
        self.pattern, self._compat = pattern, compat
        self.length = pattern.maxlength

    def judge(self, memory: Memory, history: History, round: Observation, raised: bool) -> bool:
        """Does the end of the history look like the pattern?"""
        values = history.loss if self.pattern.type == "loss" else history.rtt
        return self.pattern.matches(values, compat=self._compat)


class MatcherRule:
    """SmokePing's matchers."""

    def __init__(self, matcher: Matcher, compat: bool) -> None:
        self.matcher, self._compat = matcher, compat
        self.length = matcher.maxlength

    def judge(self, memory: Memory, history: History, round: Observation, raised: bool) -> bool:
        """As the matcher says, which knows whether it matched before."""
        return self.matcher.matches(Sight(history.loss, history.rtt, raised, self._compat))


class ThresholdRule:
    """A measure above or below a bound, for a while."""

    length = 1

    def __init__(self, alert: Alert) -> None:
        self._alert = alert
        self._above, self._below = (None if bound is None else _plain(bound) for bound in (alert.above, alert.below))

    def judge(self, memory: Memory, history: History, round: Observation, raised: bool) -> bool:
        """Beyond the bound for `wait` seconds on end, and then until within it for `clear_wait`."""
        value = measure(self._alert, round)
        bad = None if math.isnan(value) else self._beyond(value)
        return waited(memory, bad, raised, round, self._alert)

    def _beyond(self, value: float) -> bool:
        above, below, value = self._above, self._below, _plain(value)
        return (above is not None and value > above) or (below is not None and value < below)


class DeviationRule:
    """A measure far above what it usually is.

    What is usual is a running mean and a running spread (standard deviation) with the time constant `baseline`. A value
    beyond the limit moves them only as far as the limit would, so a fault does not become usual at once, and a lasting change does.
    """

    length = 1

    def __init__(self, alert: Alert) -> None:
        self._alert = alert

    def judge(self, memory: Memory, history: History, round: Observation, raised: bool) -> bool:
        """Above the mean by `factor` spreads for `wait` seconds on end."""
        value = measure(self._alert, round)
        if math.isnan(value):
            return waited(memory, None, raised, round, self._alert)
        count = memory.get("count", 0.0)
        limit = self.limit(memory)
        bad = None if count < WARM_UP else value > limit
        self._learn(memory, min(value, limit) if bad else value, count, round.step)
        return waited(memory, bad, raised, round, self._alert)

    def limit(self, memory: Memory) -> float:
        """Beyond this it deviates."""
        mean = memory.get("mean", 0.0)
        spread = max(math.sqrt(memory.get("variance", 0.0)), LEAST_SPREAD_SHARE * mean, LEAST_SPREAD)
        return mean + self._alert.factor * spread

    def _learn(self, memory: Memory, value: float, count: float, step: float) -> None:
        # At first the plain mean of all rounds, then a window that fades.
        share = max(min(1.0, step / self._alert.baseline), 1 / (count + 1))
        off = value - memory.get("mean", 0.0)
        memory["mean"] = memory.get("mean", 0.0) + share * off
        memory["variance"] = (1 - share) * (memory.get("variance", 0.0) + share * off * off)
        memory["count"] = min(count + 1, 1e9)


class SilentRule:
    """No rounds come. A round says that they do; that they do not is judged by the clock, with `silent`."""

    length = 1

    def __init__(self, alert: Alert) -> None:
        self._alert = alert

    def judge(self, memory: Memory, history: History, round: Observation, raised: bool) -> bool:
        """A round came: the silence ends, when rounds have come for `clear_wait` seconds."""
        return raised and waited(memory, False, raised, round, self._alert)

    def silent(self, heard: int, step: float, now: int) -> bool:
        """Is it raised, when the newest round began at `heard`?"""
        return now - heard > max(self._alert.wait, LEAST_STEPS * step + 10) * SECOND


def measure(alert: Alert, round: Observation) -> float:
    """What the alert is about, of this round."""
    return float(getattr(round, alert.measure))


def _plain(value: float) -> float:
    """Without what arithmetic left behind: 9 ms times 0.001 is 0.009000000000000001, the mean of 0.1 and 0.2 is no 0.15."""
    return float(f"{value:.12g}")


def waited(memory: Memory, bad: bool | None, raised: bool, round: Observation, alert: Alert) -> bool:
    """Raised once `bad` has been true for `wait` seconds on end, cleared once false for `clear_wait`; None changes nothing.

    Of a time without rounds nobody knows what held: after it the waiting begins anew.
    """
    if round.time - memory.get("seen", round.time) > MOST_STEPS * round.step * SECOND:
        _forget(memory)
    if bad is not None:
        if bad == raised:
            _forget(memory)
            return raised
        since = memory.setdefault("since", round.time)
        if round.time - since >= (alert.clear_wait if raised else alert.wait) * SECOND:
            _forget(memory)
            return bad
    if "since" in memory:
        memory["seen"] = round.time
    return raised


def _forget(memory: Memory) -> None:
    """Nothing is waited for."""
    memory.pop("since", None)
    memory.pop("seen", None)


def agree(raised: Sequence[bool], quorum: int) -> bool:
    """Do enough agents agree? Where fewer measure the target than must, all of them."""
    return bool(raised) and sum(raised) >= min(quorum, len(raised))
