"""What each agent is to measure, made from the settings; agents that wait for a change are woken by it.

Equal content has an equal version on every master and after every restart, because the version is a hash of it. Lives
in the event loop; `make_assignments` alone is pure and may run anywhere.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from hashlib import blake2b
from typing import Final

import msgspec

from smokemesh.model.assignment import Assignment, Task, task_id
from smokemesh.model.target import Target
from smokemesh.settings.shape import MasterSettings
from smokemesh.smokeping.slave_config import DYNAMIC

#: Uploads a second this master asks for from all its agents together: each one is a durable insert into the store and
#: its rollups, tens of milliseconds of work.
MOST_UPLOADS_PER_SECOND: Final = 10.0

_encoder = msgspec.msgpack.Encoder(order="deterministic")


def make_assignments(settings: MasterSettings, addresses: Mapping[str, str] | None = None) -> dict[str, Assignment]:
    """The assignment of every agent that is configured or named by a target.

    `addresses` are those of hosts that tell their own (`master.dynamic`); until one has, nobody measures it.
    """
    targets: dict[str, list[Target]] = {name: [] for name in settings.agents}
    for target in with_addresses(settings.targets, addresses or {}):
        for agent in target.agents:
            targets.setdefault(agent, []).append(target)
    patience = _spread(settings, len(targets))
    return {agent: _assignment(settings, agent, chosen, patience) for agent, chosen in targets.items()}


def with_addresses(targets: Iterable[Target], addresses: Mapping[str, str]) -> Iterator[Target]:
    """The targets with the addresses that dynamic hosts told; those that told none are left out."""
    for target in targets:
        if not DYNAMIC.fullmatch(target.host):
            yield target
        elif target.path in addresses:
            yield replace(target, host=addresses[target.path])


def upload_interval(settings: MasterSettings) -> float:
    """Seconds between two uploads of an agent, as its assignment says."""
    return _spread(settings, len({*settings.agents, *(name for t in settings.targets for name in t.agents)}))


def _spread(settings: MasterSettings, agents: int) -> float:
    return max(settings.upload_interval, agents / MOST_UPLOADS_PER_SECOND)


def _assignment(settings: MasterSettings, agent: str, targets: list[Target], upload_interval: float) -> Assignment:
    tasks = (
        Task(id=task_id(t.path, t.probe), target=t.path, host=t.host, probe=t.probe, addresses=t.addresses)
        for t in targets
    )
    plain = Assignment(
        version="",
        agent=agent,
        # In an order of their own, so that moving lines in the configuration changes nothing for the agent.
        tasks=tuple(sorted(tasks, key=lambda task: task.id)),
        probes={name: settings.probes[name] for name in sorted({t.probe for t in targets})},
        heartbeat_interval=settings.heartbeat_interval,
        upload_interval=upload_interval,
    )
    return replace(plain, version=blake2b(_encoder.encode(plain), digest_size=12).hexdigest())


class Assignments:
    """The assignments in force."""

    def __init__(self, current: Mapping[str, Assignment]) -> None:
        self._current = dict(current)
        self._changed: dict[str, asyncio.Event] = {}

    def get(self, agent: str) -> Assignment:
        """What this agent is to measure; nothing, when the settings do not name it."""
        found = self._current.get(agent)
        return found if found is not None else Assignment(version="none", agent=agent)

    def all(self) -> Mapping[str, Assignment]:
        """Every agent's assignment."""
        return self._current

    def replace(self, fresh: Mapping[str, Assignment]) -> list[str]:
        """Put new assignments in force and wake those who wait for a change; the names of agents that see one."""
        before, self._current = self._current, dict(fresh)
        names = sorted({*before, *fresh})
        changed = [n for n in names if _version(before, n) != _version(self._current, n)]
        for name in changed:
            event = self._changed.pop(name, None)
            if event is not None:
                event.set()
        return changed

    async def wait(self, agent: str, version: str, patience: float) -> Assignment | None:
        """The assignment as soon as its version is another; None when it is still the same after `patience` seconds."""
        if self.get(agent).version == version and patience > 0:
            event = self._changed.setdefault(agent, asyncio.Event())
            try:
                await asyncio.wait_for(event.wait(), patience)
            except TimeoutError:
                return None
        found = self.get(agent)
        return found if found.version != version else None

    def release(self) -> None:
        """Let all who wait go on: the master stops."""
        for event in self._changed.values():
            event.set()
        self._changed.clear()


def _version(assignments: Mapping[str, Assignment], agent: str) -> str:
    found = assignments.get(agent)
    return found.version if found is not None else ""
