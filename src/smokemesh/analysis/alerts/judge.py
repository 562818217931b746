"""All alerts of a target, judged round by round: what is raised, what is cleared, who is to be told. It does nothing itself.

One `View` is what is remembered of a target as one agent sees it; it is small, plain enough for JSON, and makes the same
judgements after a restart.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Final

from smokemesh.analysis.alerts.patterns import START, Value
from smokemesh.analysis.alerts.rules import History, Observation, Rule, SilentRule, make_rule
from smokemesh.model.alert import Alert, Alerting

RAISED: Final = "raised"
CLEARED: Final = "cleared"
ACTIVE: Final = "active"
#: Values of history kept for people, beside what rules need.
LEAST_HISTORY: Final = 1


@dataclass(frozen=True, slots=True)
class Compiled:
    """An alert with its rule."""

    alert: Alert
    rule: Rule
    #: Told when it changes, or at every round it holds.
    edge: bool
    #: Names what it judges: another digest means another rule, and what was remembered is void.
    digest: str


@dataclass(slots=True)
class State:
    """What is remembered of one alert."""

    raised: bool = False
    memory: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class View:
    """What is remembered of a target as one agent sees it."""

    #: Time of the newest round judged, or passed over; 0 for none.
    time: int = 0
    step: float = 0.0
    history: History = field(default_factory=History)
    states: dict[str, State] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What came of one alert. `what` is raised, cleared, active, or "" when nobody is to be told."""

    compiled: Compiled
    raised: bool
    #: It was not so before.
    changed: bool
    what: str = ""
    #: Name of the alert that has priority and has spoken in this round, so that this one keeps quiet.
    after: str = ""


def compile_alert(alert: Alert, alerting: Alerting) -> Compiled:
    """Make an alert ready to judge. Raises ValueError in one line."""
    compat = alerting.compat == "smokeping"
    edge = alerting.edge if alert.edge is None else alert.edge
    judged = (
        alert.type, alert.pattern, alert.measure, alert.above, alert.below, alert.factor, alert.baseline, alert.wait,
        alert.clear_wait, alert.quorum, compat,
    )  # fmt: skip
    digest = blake2b(repr(judged).encode(), digest_size=8).hexdigest()
    return Compiled(alert, make_rule(alert, compat=compat), edge, digest)


class Bench:
    """The alerts that judge one target, in the order in which they speak."""

    def __init__(self, alerts: Sequence[Compiled]) -> None:
        # Stable: alerts of one priority speak as they are listed.
        self.alerts = tuple(sorted(alerts, key=lambda one: one.alert.priority))
        self.length = max((one.rule.length for one in self.alerts), default=LEAST_HISTORY)
        self.silent = tuple(one for one in self.alerts if isinstance(one.rule, SilentRule))

    def judge(self, view: View, round: Observation) -> list[Judgement]:
        """A new round, later than all before. Only what changed or is to be told comes back, and what is raised."""
        view.history.push(round, self.length)
        view.time, view.step = round.time, round.step
        return list(_in_turn(self._truths(view, round)))

    def listen(self, view: View, since: int, now: int) -> list[Judgement]:
        """Time went by: which silences begin? Rounds are expected from `since` on."""
        found = []
        for one in self.silent:
            state = view.states.setdefault(one.alert.name, State())
            assert isinstance(one.rule, SilentRule)
            if not state.raised and one.rule.silent(max(view.time, since), view.step, now):
                state.raised = True
                found.append(Judgement(one, True, True, RAISED if one.edge else ACTIVE))
        return found

    def _truths(self, view: View, round: Observation) -> Iterator[tuple[Compiled, bool, bool]]:
        """Each alert with its truth before and after."""
        for one in self.alerts:
            state = view.states.get(one.alert.name)
            if state is None:
                state = view.states[one.alert.name] = State()
            before = state.raised
            state.raised = one.rule.judge(state.memory, view.history, round, before)
            if before or state.raised:
                yield one, before, state.raised


def _in_turn(truths: Iterator[tuple[Compiled, bool, bool]]) -> Iterator[Judgement]:
    """Who speaks: once an alert with a priority has, others that have one keep quiet in this round."""
    spoken = ""
    for one, before, after in truths:
        what = _what(one, before, after)
        hushed = spoken if what and one.alert.priority else ""
        if what and one.alert.priority and not spoken:
            spoken = one.alert.name
        yield Judgement(one, after, before != after, "" if hushed else what, hushed)


def _what(one: Compiled, before: bool, after: bool) -> str:
    # Together with `quorum` an agent's view alone tells nothing.
    if one.alert.quorum:
        return ""
    if not one.edge:
        return ACTIVE if after else ""
    return "" if before == after else RAISED if after else CLEARED


def view_to_json(view: View) -> dict[str, Any]:
    """History for the catalogue."""
    return {"step": view.step, "loss": view.history.loss, "rtt": view.history.rtt}


def view_from_json(time: int, stored: dict[str, Any]) -> View:
    """As it was; what cannot be understood begins anew."""
    loss, rtt = (_values(stored.get(name)) for name in ("loss", "rtt"))
    if loss is None or rtt is None or len(loss) != len(rtt):
        return View(time=time)
    step = stored.get("step")
    return View(time=time, step=float(step) if isinstance(step, float | int) else 0.0, history=History(loss, rtt))


def _values(stored: Any) -> list[Value] | None:
    if not isinstance(stored, list):
        return None
    good = all(value is None or value == START or isinstance(value, float | int) for value in stored)
    return stored if good else None
