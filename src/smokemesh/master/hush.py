"""Why people are not told of an incident now: it is of the past, silenced, explained by a parent, or another has priority.

A target that cannot be reached without another is not news while that other is down. Both are measured at different
moments, so a notice waits until each parent has been measured since, a step of the parent at most.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any, Final

from smokemesh.analysis.alerts.judge import Compiled
from smokemesh.model.alert import Silence
from smokemesh.model.assignment import task_id
from smokemesh.model.target import Target
from smokemesh.storage.incidents import Case, Key

SECOND: Final = 10**9
#: Seconds a round may take to end and to come here, beyond its step.
ON_ITS_WAY: Final = 5.0
#: What was seen of a parent counts for so many of its steps.
REMEMBERED_STEPS: Final = 3.0
#: A loop in `parents` is walked no further.
MOST_PARENTS: Final = 100


@dataclass(slots=True, kw_only=True)
class Standing(Case):
    """An open incident and what is to be told of it."""

    key: Key
    compiled: Compiled
    #: When it was found, by our clock.
    raised_at: int
    title: str = ""
    host: str = ""
    alertee: tuple[str, ...] = ()
    #: "raised" or "active" when a notice is due, "" when not.
    due: str = ""
    told: bool = False
    told_at: int = 0
    #: The newest round that says so is of the past.
    late: bool = False
    #: The alert that spoke first, having priority.
    after: str = ""

    def change(self, **values: Any) -> None:
        """The incident stands otherwise."""
        self.incident, self.changed = replace(self.incident, **values), True


@dataclass(frozen=True, slots=True)
class _Parent:
    path: str
    task: int
    agents: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Seen:
    time: int
    step: float
    lost: bool


class Hush:
    """Who is kept quiet, and by what."""

    def __init__(self) -> None:
        #: Tasks other targets depend on.
        self.tasks: frozenset[int] = frozenset()
        #: Silences that hold now.
        self.silences: Sequence[Silence] = ()
        self._parents: dict[str, tuple[_Parent, ...]] = {}
        self._seen: dict[tuple[int, str], _Seen] = {}
        self._open: defaultdict[int, dict[Key, Standing]] = defaultdict(dict)

    def configure(self, targets: Sequence[Target]) -> None:
        """These targets depend on their parents, and on theirs."""
        by_path = {target.path: target for target in targets}
        self._parents = {target.path: _above(target, by_path) for target in targets if target.parents}
        self.tasks = frozenset(parent.task for above in self._parents.values() for parent in above)

    def saw(self, task: int, agent: str, time: int, step: float, lost: bool) -> None:
        """A round of a target: was all of it lost?"""
        if task in self.tasks:
            before = self._seen.get((task, agent))
            if before is None or time > before.time:
                self._seen[task, agent] = _Seen(time, step, lost)

    def opened(self, standing: Standing) -> None:
        """An incident began."""
        self._open[standing.key[0]][standing.key] = standing

    def closed(self, standing: Standing) -> None:
        """An incident ended."""
        self._open[standing.key[0]].pop(standing.key, None)

    def reason(self, standing: Standing, cases: Mapping[Key, Standing], now: int) -> str:
        """As `Incident.muted`: "" when people are to be told."""
        if standing.late:
            return "late"
        silence = self.silence(standing)
        if silence:
            return silence
        for parent in self._parents.get(standing.incident.target, ()):
            if self._is_down(parent, standing, now):
                return f"parent:{parent.path}"
        task, agent, _ = standing.key
        if standing.after and (task, agent, standing.after) in cases:
            return f"priority:{standing.after}"
        return ""

    def silence(self, standing: Standing) -> str:
        """The silence it falls under, as in `reason`."""
        incident = standing.incident
        for one in self.silences:
            agents = incident.agents or ("",)
            if (
                fnmatchcase(incident.target, one.target)
                and fnmatchcase(incident.alert, one.alert)
                and all(fnmatchcase(agent, one.agent) for agent in agents)
            ):
                return f"silence:{one.id}"
        return ""

    def holds(self, standing: Standing, now: int) -> bool:
        """Is there a parent that may yet turn out to be down?"""
        for parent in self._parents.get(standing.incident.target, ()):
            views = [self._seen.get((parent.task, agent)) for agent in _eyes(parent, standing)]
            steps = [seen.step for seen in views if seen]
            if not steps or any(seen and seen.time >= standing.incident.begun for seen in views):
                continue
            if now - standing.raised_at < (max(steps) + ON_ITS_WAY) * SECOND:
                return True
        return False

    def explain(self, standing: Standing) -> str:
        """Why nobody is told, for people."""
        kind, _, what = standing.incident.muted.partition(":")
        match kind:
            case "late":
                return "; not told: these rounds came late, or the agent's clock is slow"
            case "silence":
                return f"; not told: silence {what}"
            case "parent":
                return f"; not told: {what}, without which it cannot be reached, is down"
            case "priority":
                return f"; not told: alert {what} has priority"
        return ""

    def _is_down(self, parent: _Parent, standing: Standing, now: int) -> bool:
        """Its newest round was lost whole, or an alert of it is raised, for an agent that sees the child."""
        eyes = _eyes(parent, standing)
        for key, other in self._open.get(parent.task, {}).items():
            if other.compiled.alert.type != "silent" and (not key[1] or key[1] in eyes):
                return True
        for agent in eyes:
            seen = self._seen.get((parent.task, agent))
            if seen and seen.lost and now - seen.time < (REMEMBERED_STEPS * seen.step + ON_ITS_WAY) * SECOND:
                return True
        return False


def _eyes(parent: _Parent, standing: Standing) -> tuple[str, ...]:
    """Agents whose word on the parent counts: those that see the child, else all that measure the parent."""
    same = tuple(agent for agent in standing.incident.agents if agent in parent.agents)
    return same or parent.agents


def _above(target: Target, by_path: Mapping[str, Target]) -> tuple[_Parent, ...]:
    """Its parents and theirs, the nearest first."""
    found: dict[str, _Parent] = {}
    wanted = list(target.parents)
    while wanted and len(found) < MOST_PARENTS:
        path = wanted.pop(0)
        parent = by_path.get(path)
        if parent is None or path in found or path == target.path:
            continue
        found[path] = _Parent(path, task_id(parent.path, parent.probe), parent.agents)
        wanted += parent.parents
    return tuple(found.values())
