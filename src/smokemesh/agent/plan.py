"""The assignment made ready to run: a row for each task with its address, its rhythm and why it may not be measured.

Made by the planner thread, so that the prober only swaps arrays. Names stand for their addresses of the moment; a task
with `addresses: all` becomes a row for each address, numbered `task_id(target, probe, address)`.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from smokemesh.agent.limits import Gatekeeper
from smokemesh.agent.schedule import Timetable
from smokemesh.model.assignment import Assignment, Task, task_id
from smokemesh.model.probe import Probe
from smokemesh.model.rounds import ERROR_RESOLVE
from smokemesh.settings.shape import Limits

#: More addresses of one name are not measured.
MOST_ADDRESSES: Final = 64


class Addresses(Protocol):
    """What a name stands for now: literal addresses, best first, or none and the reason."""

    @property
    def addresses(self) -> tuple[str, ...]: ...
    @property
    def error(self) -> str: ...
    @property
    def error_code(self) -> int: ...


#: Name and family ("auto", "4", "6") -> the answer, None while it is looked up for the first time.
Lookup = Callable[[str, str], Addresses | None]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a plan."""

    task: int
    target: str
    probe: Probe
    #: Literal address, "" while the name is not resolved.
    address: str = ""
    #: Why the safety limits refuse it, "" when they do not.
    refusal: str = ""
    #: `RoundBatch.error` of a round without an address; 0 while the name is looked up for the first time.
    error: int = 0
    #: Other rows measure the same address.
    shared: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure. `rows[i]` belongs to row `i` of the timetable."""

    version: str
    rows: tuple[Row, ...]
    timetable: Timetable
    #: One line for each task that is refused or does not resolve.
    problems: dict[str, str] = field(default_factory=dict)


def make_plan(assignment: Assignment, agent: str, limits: Limits, lookup: Lookup) -> Plan:
    """The plan for an assignment, with names as they resolve now."""
    gatekeeper, problems = Gatekeeper(limits), dict[str, str]()
    rows: dict[int, Row] = {}
    for task in assignment.tasks:
        for row in _rows(task, assignment.probes[task.probe], gatekeeper, lookup, problems):
            rows.setdefault(row.task, row)
    measured = _mark_shared(list(rows.values()))
    timetable = Timetable.of(agent, [(row.task, row.probe) for row in measured])
    return Plan(assignment.version, tuple(measured), timetable, problems)


def _rows(task: Task, probe: Probe, gatekeeper: Gatekeeper, lookup: Lookup, problems: dict[str, str]) -> list[Row]:
    refusal = gatekeeper.refuse_task(probe)
    if refusal:
        problems[task.target] = refusal
        return [Row(task.id, task.target, probe, refusal=refusal)]
    every = task.addresses == "all"
    answer = lookup(task.host, probe.family)
    if answer is None:
        return [Row(task.id, task.target, probe)]
    if answer.error:
        problems[task.target] = answer.error
    if not answer.addresses:
        return [Row(task.id, task.target, probe, error=ERROR_RESOLVE + answer.error_code)]
    rows = []
    for address in answer.addresses[: MOST_ADDRESSES if every else 1]:
        number = task_id(task.target, task.probe, address) if every else task.id
        refusal = gatekeeper.refuse_address(address, probe, task.target)
        if refusal:
            problems[task.target] = refusal
        rows.append(Row(number, task.target, probe, address, refusal))
    return rows


def _mark_shared(rows: list[Row]) -> list[Row]:
    times = Counter(row.address for row in rows if row.address)
    return [replace(row, shared=True) if times[row.address] > 1 else row for row in rows]
