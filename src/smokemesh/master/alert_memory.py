"""What is watched, and how what is remembered of it is written down and read back. Times are nanoseconds UTC."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from smokemesh.analysis.alerts import judge
from smokemesh.analysis.alerts.judge import Bench, Compiled, View
from smokemesh.analysis.alerts.rules import Observation
from smokemesh.master.hush import Standing
from smokemesh.model.assignment import task_id
from smokemesh.model.target import Target
from smokemesh.storage.incidents import StoredState

SECOND: Final = 10**9
#: A round that ended longer ago than so many steps, and some seconds for its way, is late: it is of the past.
LATE_STEPS: Final = 3.0
LATE_SECONDS: Final = 30.0
#: An agent not heard for so many steps has no say in a quorum.
ABSENT_STEPS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Watch:
    """A task whose rounds are judged."""

    task: int
    target: Target
    title: str
    bench: Bench
    #: Set when one address of several is meant.
    address: str = ""


@dataclass(slots=True)
class Pair:
    """One task as one agent sees it."""

    watch: Watch
    view: View
    #: Since when rounds are expected.
    since: int
    dirty: bool = True
    #: Digests of the rules the view's states belong to.
    digests: dict[str, str] = field(default_factory=dict)


def make_watch(target: Target, compiled: Mapping[str, Compiled], titles: Mapping[str, str]) -> Watch | None:
    """The watch on a target that has alerts."""
    alerts = [compiled[name] for name in dict.fromkeys(target.alerts) if name in compiled]
    if not alerts:
        return None
    return Watch(task_id(target.path, target.probe), target, titles.get(target.path, ""), Bench(alerts))


def is_late(round: Observation, now: int) -> bool:
    """It ended so long ago that it is of the past."""
    return now - round.time > (round.step * (1 + LATE_STEPS) + LATE_SECONDS) * SECOND


def is_absent(pair: Pair, now: int) -> bool:
    """It was not heard for so long that it has no say."""
    return pair.view.time == 0 or now - pair.view.time > (ABSENT_STEPS * pair.view.step + LATE_SECONDS) * SECOND


def stored(key: tuple[int, str], pair: Pair) -> StoredState:
    """A pair as it is kept."""
    rules = {
        name: {"rule": pair.digests.get(name, ""), "raised": state.raised, "memory": state.memory}
        for name, state in pair.view.states.items()
        if state.raised or state.memory
    }
    memory = judge.view_to_json(pair.view) | {"rules": rules}
    if pair.view.time == 0:
        memory["fresh"] = True
    raised = any(state.raised for state in pair.view.states.values())
    return StoredState((*key, ""), pair.view.time or pair.since, memory, raised)


def stored_case(standing: Standing) -> StoredState:
    """An open incident's state as it is kept."""
    memory = {
        "rule": standing.compiled.digest, "told": standing.told, "told_at": standing.told_at, "due": standing.due,
        "late": standing.late, "after": standing.after,
    }  # fmt: skip
    return StoredState(standing.key, standing.incident.begun, memory, raised=True, incident=standing.incident.id)


def kept_rules(memory: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """What was kept of each rule."""
    rules = memory.get("rules")
    return [(str(k), v) for k, v in rules.items() if isinstance(v, dict)] if isinstance(rules, dict) else []
