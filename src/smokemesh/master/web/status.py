"""How things are now: the newest round of every task, and what it means for a place in the tree.

The store is asked at most every few seconds, whoever looks. Times are nanoseconds UTC.
"""

import functools
import math
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from smokemesh.master.assignments import upload_interval
from smokemesh.master.web.overlay import overlay_of
from smokemesh.model.assignment import task_id
from smokemesh.model.probe import Probe
from smokemesh.model.rounds import Flag
from smokemesh.model.series import Latest
from smokemesh.model.target import Node, Target
from smokemesh.settings.shape import MasterSettings
from smokemesh.storage.store import RoundStore

NANO: Final = 10**9
#: Seconds an answer of the store is used again.
FRESH_FOR: Final = 2.0
#: Steps, and seconds beyond the agents' upload interval, after which a target without a new round counts as silent.
LATE_STEPS: Final = 3.0
GRACE: Final = 30.0

#: From good to bad. "doubt": pings are lost, and perhaps by the agent itself. "silent": measured before or meant to
#: be, but no round arrived lately.
State = Literal["ok", "doubt", "loss", "silent", "down"]
STATES: Final[tuple[State, ...]] = ("ok", "doubt", "loss", "silent", "down")
#: What makes the loss of a round perhaps the agent's own.
_OWN: Final = Flag.OWN_DROPS | Flag.VANTAGE_DEGRADED


def in_doubt(flags: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Whether the loss of rounds with these flags may be the agent's own: dropped there, or never sent."""
    unsent = (flags & (Flag.SEND_ERROR | Flag.ICMP_ERROR)) == Flag.SEND_ERROR
    found: NDArray[np.bool_] = ((flags & _OWN) != 0) | unsent
    return found


def patience(settings: MasterSettings) -> float:
    """Seconds past its end until a round that is well must have arrived."""
    return GRACE + upload_interval(settings)


@dataclass(frozen=True, slots=True)
class Numbered:
    """A task of a target; `address` only where each address of the name is measured."""

    id: int
    address: str = ""


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
    #: Which address of the name, where each is measured.
    address: str = ""

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


def judge(
    agent: str, newest: Latest | None, step: float, now: int, address: str = "", *, grace: float = GRACE
) -> Sight:
    """What the newest round of a task says. One from the future says nothing: its agent's clock is wrong."""
    if newest is None or newest.sent == 0 or _is_stale(newest, max(step, newest.step), now, grace):
        return Sight(agent, "silent", newest, address)
    if newest.received == newest.sent:
        return Sight(agent, "ok", newest, address)
    if in_doubt(np.array([newest.flags], np.uint32))[0]:
        return Sight(agent, "doubt", newest, address)
    return Sight(agent, "loss" if newest.received else "down", newest, address)


def _is_stale(newest: Latest, step: float, now: int, grace: float) -> bool:
    age = now - newest.time
    return age > (LATE_STEPS * step + grace) * NANO or age < -step * NANO


def worst(states: Iterable[State]) -> State:
    """The worst of them; "ok" of none."""
    return max(states, key=STATES.index, default="ok")


def verdict(sights: Iterable[Sight]) -> State:
    """What several agents say of one target together: down only when some say so and none had an answer."""
    heard = [sight for sight in sights if sight.state != "silent"]
    if not heard:
        return "silent"
    states = {sight.state for sight in heard}
    if "down" not in states:
        return worst(states)
    answered = any(sight.state in ("ok", "loss") or sight.loss < 1 for sight in heard)
    return "loss" if answered else "down"


def quiet(sights: Iterable[Sight]) -> set[str]:
    """Agents from which nothing came lately, whatever the others say."""
    found = list(sights)
    return {sight.agent for sight in found} - {sight.agent for sight in found if sight.state != "silent"}


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


@dataclass(frozen=True)
class Snapshot:
    """The newest rounds by (task, agent), and what they say at `time`."""

    settings: MasterSettings
    time: int
    latest: Mapping[tuple[int, str], Latest]
    #: Path of a target -> its tasks.
    tasks: Mapping[str, Sequence[Numbered]]
    #: Seconds a round may be on its way.
    grace: float = GRACE

    def sights(self, target: Target) -> list[Sight]:
        """The target as each of its agents sees it."""
        step = probe_of(self.settings, target).step
        tasks = self.tasks.get(target.path) or [Numbered(task_of(target))]
        pairs = [(agent, task) for agent in target.agents for task in tasks]
        found = [judge(a, self.latest.get((t.id, a)), step, self.time, t.address, grace=self.grace) for a, t in pairs]
        # An address the name has no more is no news; without any, the agent is silent.
        heard = {sight.agent for sight in found if sight.round}
        alone = {agent: sight for sight in reversed(found) if (agent := sight.agent) not in heard}
        return [sight for sight in found if sight.round or alone.get(sight.agent) is sight]

    @functools.cached_property
    def states(self) -> dict[str, State]:
        """The state of every target, by path."""
        return {target.path: verdict(self.sights(target)) for target in self.settings.targets}


class Board:
    """The newest rounds of all tasks, asked from the store once for everybody who looks."""

    def __init__(
        self, store: RoundStore, clock: Callable[[], int], tasks_of: Callable[[Target], Sequence[Numbered]]
    ) -> None:
        self._store, self._clock, self._tasks_of = store, clock, tasks_of
        self._lock = threading.Lock()
        self._snapshot: Snapshot | None = None

    def now(self, settings: MasterSettings) -> "Snapshot":
        """How everything is now."""
        now = self._clock()
        with self._lock:
            held = self._snapshot
            # A clock that was set back would else keep an answer from the future for as long as it was set back.
            if held is None or settings is not held.settings or not 0 <= now - held.time <= FRESH_FOR * NANO:
                tasks = {target.path: self._tasks_of(target) for target in settings.targets}
                numbers = sorted({task.id for several in tasks.values() for task in several})
                found = self._store.latest(numbers, now - self._horizon(settings), now) if numbers else []
                latest = {(one.task, one.agent): one for one in found}
                held = self._snapshot = Snapshot(settings, now, latest, tasks, patience(settings))
            return held

    @staticmethod
    def _horizon(settings: MasterSettings) -> int:
        """How far back a newest round is looked for: ten of the longest steps, an hour at least."""
        steps = [probe_of(settings, target).step for target in settings.targets]
        return round(max(3600.0, 10.0 * max(steps, default=60.0)) * NANO)


def visible(node: Node) -> Iterator[Node]:
    """A node and what is below it, without what is hidden there."""
    yield node
    for child in node.children:
        if not child.hidden:
            yield from visible(child)


def tally(node: Node, states: Mapping[str, State]) -> Tally:
    """The states of the targets at and below a node."""
    result = Tally()
    for below in visible(node):
        if below.target is not None:
            result.counts[states.get(below.target.path, "silent")] += 1
    return result


def state_of(settings: MasterSettings, node: Node, states: Mapping[str, State]) -> State:
    """The worst state at and below a node; of a page that draws several targets, theirs."""
    if node.target is None and node.overlay and not node.children:
        drawn = overlay_of(settings, node)
        return worst(states.get(line.target.path, "silent") for line in drawn.lines)
    return tally(node, states).state
