"""What a real SmokePing master hands to a slave, as an assignment of ours. The dump is parsed, never evaluated.

Such a master sends every default filled in and everything inherited, so a node stands for itself: its own variables over those
of the probe it names.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any, Final

from smokemesh.errors import WireError
from smokemesh.model.assignment import Assignment, Task, task_id
from smokemesh.model.probe import Probe
from smokemesh.smokeping import perl
from smokemesh.smokeping.mapping import Mapped, Unmapped, for_host, map_probe

#: Rounds are posted this many times in a step, but not more often than each `LEAST_POST` seconds nor less than each `MOST_POST`.
POSTS_PER_STEP: Final = 2
LEAST_POST: Final = 1.0
MOST_POST: Final = 30.0
#: Levels of the tree that are followed; the parser bounds it too.
MOST_DEPTH: Final = 64


@dataclass(frozen=True, slots=True)
class Handed:
    """An assignment, and what it leaves out."""

    assignment: Assignment
    #: The master's `__last`, told back as `config_time`.
    last: int
    #: Path of a target -> why it is not measured, or not quite as there.
    problems: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Known:
    """A probe by the name targets call it: its module, and its variables."""

    module: str
    variables: dict[str, str]


def read_assignment(dump: bytes, agent: str) -> Handed:
    """What the dump asks of the agent. Raises WireError."""
    root = perl.read(dump, "the master's configuration")
    if not isinstance(root, dict):
        raise WireError("the master's configuration is no hash; is this a SmokePing master?")
    targets = _hash(root, "Targets")
    database, general = _hash(root, "Database"), _hash(root, "General")
    last = _number(root.get("__last"), "__last")
    step, pings = _number(database.get("step"), "Database.step"), _number(database.get("pings"), "Database.pings")
    made = _Maker(_probes(_hash(root, "Probes")), float(step), pings, _text(general.get("offset")) or "random")
    tasks = [task for path, node in _hosts(targets, "", 0) if (task := made.task(path, node)) is not None]
    probes = {name: made.probes[name] for name in sorted({task.probe for task in tasks})}
    shortest = min((probe.step for probe in probes.values()), default=float(step))
    plain = Assignment(
        version="",
        agent=agent,
        tasks=tuple(sorted(tasks, key=lambda task: task.id)),
        probes=probes,
        upload_interval=min(max(shortest / POSTS_PER_STEP, LEAST_POST), MOST_POST),
    )
    digest = blake2b(repr(plain).encode(), digest_size=12).hexdigest()
    return Handed(replace(plain, version=digest), last, made.problems)


class _Maker:
    """Makes tasks, and the probes they share."""

    def __init__(self, known: Mapping[str, _Known], step: float, pings: int, offset: str) -> None:
        self._known, self._step, self._pings, self._offset = known, step, pings, offset
        self.probes: dict[str, Probe] = {}
        self.problems: dict[str, str] = {}

    def task(self, path: str, node: Mapping[str, Any]) -> Task | None:
        """The task of a node with a host, None when nothing here measures it."""
        called, host = _text(node.get("probe")), _text(node.get("host"))
        known = self._known.get(called)
        if known is None:
            self.problems[path] = f"the master's configuration has no probe {called or '(none named)'}"
            return None
        own = {
            key: _text(value) for key, value in node.items() if not isinstance(value, dict | list) and value is not None
        }
        try:
            mapped = map_probe(known.module, known.variables | own, self._step, self._pings, self._offset)
            mapped, note = for_host(mapped, host)
        except Unmapped as error:
            self.problems[path] = f"probe {called} ({known.module}) {error}"
            return None
        except WireError:
            raise
        except (ValueError, KeyError) as error:
            self.problems[path] = f"probe {called} ({known.module}) cannot be understood: {error}"
            return None
        if note:
            self.problems[path] = f"probe {called} {note}"
        name = self._name(called, mapped)
        return Task(id=task_id(path, name), target=path, host=host, probe=name)

    def _name(self, called: str, mapped: Mapped) -> str:
        """The probe's name; where targets differ, what differs stands past `#`, so that tasks keep their numbers."""
        probe = mapped.probe(called)
        if self.probes.setdefault(called, probe) == probe:
            return called
        name = f"{called}#{blake2b(repr(probe).encode(), digest_size=6).hexdigest()}"
        self.probes[name] = replace(probe, name=name)
        return name


def _probes(modules: Mapping[str, Any]) -> dict[str, _Known]:
    """Every probe by the name targets call it: a module without instances, or each of its instances."""
    found = {}
    for module, variables in modules.items():
        if not isinstance(variables, dict):
            continue
        plain = {key: _text(value) for key, value in variables.items() if not isinstance(value, dict | list)}
        found[module] = _Known(module, plain)
        for instance, own in variables.items():
            if isinstance(own, dict):
                given = {key: _text(value) for key, value in own.items() if not isinstance(value, dict | list)}
                found[instance] = _Known(module, plain | given)
    return found


def _hosts(node: Mapping[str, Any], path: str, depth: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every node below that has a host, with its path. A child with nothing to measure is `undef`."""
    if depth > MOST_DEPTH:
        raise WireError(f"the master's configuration: targets stand more than {MOST_DEPTH} levels deep")
    for name, child in node.items():
        if isinstance(child, dict):
            here = f"{path}/{name}"
            if _text(child.get("host")):
                yield here, child
            yield from _hosts(child, here, depth + 1)


def _hash(root: Mapping[str, Any], key: str) -> dict[str, Any]:
    found = root.get(key)
    if not isinstance(found, dict):
        raise WireError(f"the master's configuration has no {key}; is this a SmokePing master?")
    return found


def _text(value: Any) -> str:
    return "" if value is None or isinstance(value, dict | list) else str(value)


def _number(value: Any, what: str) -> int:
    try:
        number = int(float(_text(value)))
    except (ValueError, OverflowError) as error:
        raise WireError(f"the master's configuration: {what} is {_text(value)[:40]!r}, which is no number") from error
    if number < 1:
        raise WireError(f"the master's configuration: {what} is {number}, which is too small")
    return number
