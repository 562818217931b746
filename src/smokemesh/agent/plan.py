"""The assignment made ready to run: a row for each task with its address, its rhythm and why it may not be measured.

Made by the planner thread, so that the prober only swaps arrays. Names stand for their addresses of the moment; a task
with `addresses: all` becomes a row for each address, numbered `task_id(target, probe, address)`. Columns, not objects:
ten thousand tasks must weigh little.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from smokemesh.agent.destination import NAMED, WITHOUT_ADDRESS, destination
from smokemesh.agent.limits import Gatekeeper, nonsense
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
    probe: Probe
    #: Literal address, "" while the name is not resolved.
    address: str
    #: The safety limits refuse it.
    refused: bool
    #: `RoundBatch.error` of a round without an address; 0 while the name is looked up for the first time.
    error: int
    #: Other rows measure the same address.
    shared: bool
    #: The host as configured, "" where only the address counts.
    host: str = ""
    #: Measured although it has no address.
    bare: bool = False


@dataclass(slots=True)
class Plan:
    """What to measure. Row `i` belongs to row `i` of the timetable."""

    version: str
    addresses: list[str] = field(default_factory=list)
    probes: list[Probe] = field(default_factory=list)
    #: Rows the safety limits refuse.
    refused: set[int] = field(default_factory=set)
    #: Rows without an address, and the error their rounds carry.
    errors: dict[int, int] = field(default_factory=dict)
    #: Rows whose address other rows measure too.
    shared: set[int] = field(default_factory=set)
    #: Rows whose engine is told the host, and the host as configured.
    hosts: dict[int, str] = field(default_factory=dict)
    #: Rows that need no address, and have none.
    bare: set[int] = field(default_factory=set)
    #: Path of a target -> why it is refused or does not resolve.
    problems: dict[str, str] = field(default_factory=dict)
    timetable: Timetable = field(default_factory=lambda: Timetable.of("", ()))

    def __len__(self) -> int:
        return len(self.addresses)

    def row(self, i: int) -> Row:
        """Row `i`."""
        return Row(
            task=int(self.timetable.task[i]),
            probe=self.probes[i],
            address=self.addresses[i],
            refused=i in self.refused,
            error=self.errors.get(i, 0),
            shared=i in self.shared,
            host=self.hosts.get(i, ""),
            bare=i in self.bare,
        )

    def of_kind(self, kind: str) -> NDArray[np.intp]:
        """The rows an engine runs."""
        return np.array([i for i, probe in enumerate(self.probes) if probe.kind == kind], np.intp)


def questions(assignment: Assignment) -> Iterator[tuple[str, str]]:
    """The names an agent must know the addresses of to measure this, each with its family."""
    for task in assignment.tasks:
        probe = assignment.probes.get(task.probe)
        if probe is not None and not nonsense(probe) and (name := destination(probe, task.host)):
            yield name, probe.family


def make_plan(assignment: Assignment, agent: str, limits: Limits, lookup: Lookup) -> Plan:
    """The plan for an assignment, with names as they resolve now."""
    planner = _Planner(Plan(assignment.version), Gatekeeper(limits), lookup)
    for task in assignment.tasks[: limits.most_tasks]:
        planner.add(task, assignment.probes.get(task.probe))
    plan = planner.plan
    surplus = len(assignment.tasks) - limits.most_tasks
    if surplus > 0:
        plan.problems["/"] = f"{surplus} tasks are left out, {limits.most_tasks} are taken (limits.most_tasks)"
    times = Counter(address for address in plan.addresses if address)
    plan.shared = {i for i, address in enumerate(plan.addresses) if times[address] > 1}
    plan.timetable = Timetable.of(agent, list(zip(planner.tasks, plan.probes, strict=True)))
    return plan


class _Planner:
    """Puts tasks into a plan one by one."""

    def __init__(self, plan: Plan, gatekeeper: Gatekeeper, lookup: Lookup) -> None:
        self.plan, self._gatekeeper, self._lookup = plan, gatekeeper, lookup
        #: Task numbers in the order of the rows; a number is given one row only.
        self.tasks: dict[int, None] = {}

    def add(self, task: Task, probe: Probe | None) -> None:
        """The rows of one task; none when its probe makes no sense."""
        wrong = nonsense(probe) if probe else f"probe {task.probe} is not in the assignment"
        if probe is None or wrong:
            self.plan.problems[task.target] = wrong
            return
        if refusal := self._gatekeeper.refuse_task(probe):
            self._put(task.id, probe, "", task.target, refusal)
            return
        name = destination(probe, task.host)
        if not name:
            self.plan.problems[task.target] = f"probe {probe.name}: its URL names no host"
            return
        answer = self._lookup(name, probe.family)
        if answer is not None and answer.error and probe.kind not in WITHOUT_ADDRESS:
            self.plan.problems[task.target] = answer.error
        if answer is None or not answer.addresses:
            self._put_unresolved(task, probe, answer)
            return
        every = task.addresses == "all"
        for address in answer.addresses[: MOST_ADDRESSES if every else 1]:
            number = task_id(task.target, task.probe, address) if every else task.id
            refusal = self._gatekeeper.refuse_address(address, probe, task.target)
            self._put(number, probe, address, task.target, refusal, host=task.host)

    def _put_unresolved(self, task: Task, probe: Probe, answer: Addresses | None) -> None:
        """A row that waits for the look-up, says why it failed, or can do without."""
        if answer is not None and probe.kind in WITHOUT_ADDRESS:
            self.plan.bare.add(len(self.plan.addresses))
            self._put(task.id, probe, "", task.target, host=task.host)
            return
        self._put(task.id, probe, "", task.target, error=ERROR_RESOLVE + answer.error_code if answer else 0)

    def _put(
        self, task: int, probe: Probe, address: str, target: str, refusal: str = "", error: int = 0, host: str = ""
    ) -> None:
        if task in self.tasks:
            return
        self.tasks[task] = None
        row = len(self.plan.addresses)
        self.plan.addresses.append(address)
        self.plan.probes.append(probe)
        if refusal:
            self.plan.refused.add(row)
            self.plan.problems[target] = refusal
        if error:
            self.plan.errors[row] = error
        if host and probe.kind in NAMED:
            self.plan.hosts[row] = host
