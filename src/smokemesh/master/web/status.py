"""How things are now: the newest round of every task, and what it means for a place in the tree.

The store is asked at most every few seconds, whoever looks. Times are nanoseconds UTC.
"""

import math
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from smokemesh.model.assignment import task_id
from smokemesh.model.probe import Probe
from smokemesh.model.series import Latest
from smokemesh.model.target import Node, Target
from smokemesh.settings.shape import MasterSettings
from smokemesh.storage.store import RoundStore

NANO: Final = 10**9
#: Seconds an answer of the store is used again.
FRESH_FOR: Final = 2.0
#: Seconds a round may be on its way (spool, upload) before its target counts as silent.
GRACE: Final = 30.0

#: From good to bad. "silent": measured before or meant to be, but no round arrived lately.
State = Literal["ok", "loss", "silent", "down"]
STATES: Final[tuple[State, ...]] = ("ok", "loss", "silent", "down")


def task_of(target: Target) -> int:
    """The task number of a target."""
    return task_id(target.path, target.probe)


def probe_of(settings: MasterSettings, target: Target) -> Probe:
    """How a target is measured."""
    return settings.probes.get(target.probe, settings.defaults)


@dataclass(frozen=True, slots=True)
class Sight:
    """A target as one agent sees it now; `round` is None when no round came lately."""

    agent: str
    state: State
    round: Latest | None

    @property
    def loss(self) -> float:
        """Share lost in the newest round, NaN when unknown."""
        return (self.round.sent - self.round.received) / self.round.sent if self.round and self.round.sent else math.nan

    @property
    def rank(self) -> tuple[int, float, float]:
        """The more of a trouble, the greater: state, loss, delay; who sees nothing tells nothing."""
        place = -1 if self.state == "silent" else STATES.index(self.state)
        median = self.round.median if self.round else math.nan
        return place, 0.0 if math.isnan(self.loss) else self.loss, 0.0 if math.isnan(median) else median


def judge(agent: str, newest: Latest | None, step: float, now: int) -> Sight:
    """What the newest round of a task says."""
    if newest is None or now - newest.time > (3.0 * max(step, newest.step) + GRACE) * NANO or newest.sent == 0:
        return Sight(agent, "silent", newest)
    if newest.received == 0:
        return Sight(agent, "down", newest)
    return Sight(agent, "loss" if newest.received < newest.sent else "ok", newest)


def worst(states: Iterable[State]) -> State:
    """The worst of them; "ok" of none."""
    return max(states, key=STATES.index, default="ok")


def verdict(sights: Iterable[Sight]) -> State:
    """What several agents say of one target together: down only when all that see it say so."""
    states = [sight.state for sight in sights]
    heard = [state for state in states if state != "silent"]
    if not heard:
        return "silent"
    if all(state == "down" for state in heard):
        return "down"
    return "loss" if any(state != "ok" for state in heard) else "ok"


@dataclass
class Tally:
    """How many targets below a node are in which state."""

    counts: dict[State, int] = field(default_factory=lambda: dict.fromkeys(STATES, 0))

    @property
    def total(self) -> int:
        """All targets."""
        return sum(self.counts.values())

    @property
    def state(self) -> State:
        """The worst state that occurs."""
        return worst(state for state, count in self.counts.items() if count)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The newest rounds by (task, agent), and what they say at `time`."""

    settings: MasterSettings
    time: int
    latest: Mapping[tuple[int, str], Latest]

    def sights(self, target: Target) -> list[Sight]:
        """The target as each of its agents sees it."""
        step, task = probe_of(self.settings, target).step, task_of(target)
        return [judge(agent, self.latest.get((task, agent)), step, self.time) for agent in target.agents]

    def states(self) -> dict[str, State]:
        """The state of every target, by path."""
        return {target.path: verdict(self.sights(target)) for target in self.settings.targets}


class Board:
    """The newest rounds of all tasks, asked from the store once for everybody who looks."""

    def __init__(self, store: RoundStore, clock: Callable[[], int]) -> None:
        self._store, self._clock = store, clock
        self._lock = threading.Lock()
        self._asked = 0
        self._tasks: frozenset[int] = frozenset()
        self._latest: Mapping[tuple[int, str], Latest] = {}

    def now(self, settings: MasterSettings) -> "Snapshot":
        """How everything is now."""
        tasks = frozenset(task_of(target) for target in settings.targets)
        now = self._clock()
        with self._lock:
            if tasks != self._tasks or now - self._asked > FRESH_FOR * NANO:
                found = self._store.latest(sorted(tasks), now - self._horizon(settings)) if tasks else []
                self._latest = {(one.task, one.agent): one for one in found}
                self._tasks, self._asked = tasks, now
            return Snapshot(settings, now, self._latest)

    @staticmethod
    def _horizon(settings: MasterSettings) -> int:
        """How far back a newest round is looked for: ten of the longest steps, an hour at least."""
        steps = [probe_of(settings, target).step for target in settings.targets]
        return round(max(3600.0, 10.0 * max(steps, default=60.0)) * NANO)


def tally(node: Node, states: Mapping[str, State]) -> Tally:
    """The states of the targets at and below a node."""
    result = Tally()
    for below in node.walk():
        if below.target is not None:
            result.counts[states.get(below.path, "silent")] += 1
    return result
