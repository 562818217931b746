"""What a SmokePing slave is to measure: the hash its master hands it, made from our tree. Pure.

A slave fills in no defaults and needs `probe` at every node. A 2.7.3 slave dies of every new configuration, so what it
works by (`digest`) is told apart from what it is merely told. Times are seconds.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Final

from smokemesh.model.assignment import probe_name
from smokemesh.model.probe import Probe
from smokemesh.model.target import Node, Target
from smokemesh.smokeping import perl
from smokemesh.smokeping.catalogue import PROBES
from smokemesh.smokeping.slave_probes import SlaveProbe, Unfit, slave_probe, with_defaults

#: A host that tells its own address, and the hash of the secret it does so with.
DYNAMIC: Final = re.compile(r"DYNAMIC(?:/(.*))?")

#: What a slave reads of General. The rest of it is the master's own, mail passwords among it.
_GENERAL: Final = frozenset({
    "syslogfacility", "syslogpriority", "concurrentprobes", "offset", "changeprocessnames", "datadir", "dyndir",
})  # fmt: skip
_GENERAL_DEFAULTS: Final = {"concurrentprobes": "yes", "changeprocessnames": "yes", "syslogpriority": "info"}
#: Path prefixes to a slave; it writes nothing there.
_DATADIR: Final = "/var/lib/smokeping"
_TABLE: Final = [["AVERAGE", "0.5", "1", "1008"], ["AVERAGE", "0.5", "12", "4320"], ["MIN", "0.5", "12", "4320"],
                 ["MAX", "0.5", "12", "4320"], ["AVERAGE", "0.5", "144", "720"], ["MAX", "0.5", "144", "720"],
                 ["MIN", "0.5", "144", "720"]]  # fmt: skip
#: Variables of a target that are no probe's.
_NO_PROBES: Final = frozenset({
    "menu", "title", "remark", "note", "host", "alerts", "alertee", "slaves", "nomasterpoll", "menuextra", "hide",
    "parents", "email", "rawlog", "probe",
})  # fmt: skip
#: What a slave is told of a place and does not work by.
_SHOWN: Final = frozenset({"menu", "title", "hide", "_order"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What all slaves' configurations are made from."""

    tree: Node
    probes: Mapping[str, Probe]
    #: `settings.shape.SmokepingSettings.originals`.
    originals: Mapping[str, Any] = field(default_factory=dict)
    #: Of targets that name none.
    defaults: Probe = field(default_factory=lambda: Probe(name="ping"))


@dataclass(frozen=True, slots=True, kw_only=True)
class SlaveView:
    """What one slave gets."""

    #: The hash, but for `__last`; None when there is nothing for it to measure.
    content: dict[str, Any] | None
    #: Names what the slave works by: another digest is worth a restart of it.
    digest: str
    #: Path of each target it measures -> seconds from round to round.
    steps: dict[str, float]
    #: What it should measure and cannot, each one line.
    left_out: tuple[str, ...] = ()

    def dump(self, last: int) -> bytes:
        """The configuration as it is sent."""
        return perl.write((self.content or {}) | {"__last": last})


def slave_view(
    slave: str, source: Source, overrides: Mapping[str, str] | None = None, addresses: Mapping[str, str] | None = None
) -> SlaveView:
    """What this slave gets. `addresses` are those of hosts that told them (target -> address)."""
    builder = _Builder(slave, source, addresses or {})
    targets = builder.node(source.tree, {}, 0)
    if targets is None:
        return SlaveView(content=None, digest="", steps={}, left_out=tuple(builder.left_out))
    content = {
        "General": _general(source.originals),
        "Database": _database(source),
        "Probes": builder.probes,
        "Targets": targets,
    }
    for key, value in sorted((overrides or {}).items()):
        if not _override(content, key.split("."), value):
            builder.left_out.append(f"override {key}: leads through something that holds no more")
    _complete(content["Targets"], targets["probe"])
    steps = dict(_steps(content))
    digest = blake2b(perl.write(_essence(content)), digest_size=12).hexdigest()
    return SlaveView(content=content, digest=digest, steps=steps, left_out=tuple(builder.left_out))


class _Builder:
    """Filters the tree for one slave, and gathers the probes it needs on the way."""

    def __init__(self, slave: str, source: Source, addresses: Mapping[str, str]) -> None:
        self._slave, self._source, self._addresses = slave, source, addresses
        self._originals: Mapping[str, Any] = source.originals.get("Probes") or {}
        #: Module -> its variables, and its instances as hashes among them.
        self.probes: dict[str, dict[str, Any]] = {}
        #: Name of an instance we made -> what it was made of.
        self._instances: dict[str, tuple[str, dict[str, str]]] = {}
        self.left_out: list[str] = []

    def node(self, node: Node, above: Mapping[str, str], order: int) -> dict[str, Any] | None:
        """A place and all below; None when nothing there is for this slave."""
        variables = {**above, **{k: v for k, v in node.smokeping.items() if _is_probes(k)}}
        made = self._target(node.target, variables) if node.target else {}
        children = {child.name: self.node(child, variables, i) for i, child in enumerate(node.children)}
        first = next((child["probe"] for child in children.values() if child), None)
        if "host" not in made and first is None:
            return None
        shown = {"menu": node.menu, "title": node.title, "hide": "yes" if node.hidden else "no", "_order": order}
        return {"probe": first, **shown, **children, **made, "nomasterpoll": "no", "slaves": self._slave}

    def _target(self, target: Target, variables: Mapping[str, str]) -> dict[str, str]:
        if self._slave not in target.agents:
            return {}
        if DYNAMIC.fullmatch(target.host) and target.path not in self._addresses:
            return {}
        host = self._addresses.get(target.path, target.host) if DYNAMIC.fullmatch(target.host) else target.host
        name = probe_name(target.probe)
        if self._take_original(name):
            return {**variables, "host": host, "probe": name}
        try:
            made = slave_probe(_at(target, host), self._source.probes[target.probe])
        except Unfit as why:
            self.left_out.append(f"{target.path}: {why}")
            return {}
        return {**made.more, "host": made.host, "probe": self._instance(made)}

    def _take_original(self, name: str) -> bool:
        """Whether the SmokePing file has this probe; then the slave gets it as it stands there."""
        for module, variables in self._originals.items():
            template = {k: v for k, v in variables.items() if not isinstance(v, Mapping)}
            instances = {k: v for k, v in variables.items() if isinstance(v, Mapping)}
            if name in instances:
                whole = with_defaults(module, {**template, **instances[name]})
                self.probes.setdefault(module, dict(template))[name] = whole
                return True
            if name == module and not instances:
                self.probes[module] = with_defaults(module, template)
                return True
        return False

    def _instance(self, made: SlaveProbe) -> str:
        """The name of an instance with these variables; two different ones never share a name."""
        variables = with_defaults(made.module, made.variables)
        name, number = made.instance, 1
        taken = {*self._originals, *PROBES}
        while name in taken or self._instances.setdefault(name, (made.module, variables)) != (made.module, variables):
            number += 1
            name = f"{made.instance}-{number}"
        self.probes.setdefault(made.module, {})[name] = variables
        return name


def _is_probes(name: str) -> bool:
    return name not in _NO_PROBES and not name.startswith(("_", "influx_"))


def _at(target: Target, host: str) -> Target:
    return target if host == target.host else Target(path=target.path, host=host, probe=target.probe, agents=())


def _general(originals: Mapping[str, Any]) -> dict[str, str]:
    given = {k: v for k, v in (originals.get("General") or {}).items() if k in _GENERAL and isinstance(v, str)}
    return {"datadir": _DATADIR, **_GENERAL_DEFAULTS, **given}


def _database(source: Source) -> dict[str, Any]:
    given = dict(source.originals.get("Database") or {})
    usual = {"step": f"{max(1, round(source.defaults.step))}", "pings": str(max(3, source.defaults.pings))}
    return {"_table": _TABLE, **usual, **{k: _plain(v) for k, v in given.items()}}


def _plain(value: Any) -> Any:
    """What YAML or Python made of it, as Perl would have it: text, or lists of it."""
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else str(value)


def _override(content: dict[str, Any], path: list[str], value: str) -> bool:
    """Put a value where a dotted path leads, making hashes on the way."""
    place: Any = content
    for name in path[:-1]:
        if place.get(name) is None:
            place[name] = {}
        place = place[name]
        if not isinstance(place, dict):
            return False
    place[path[-1]] = value
    return True


def _complete(node: dict[str, Any], probe: str) -> None:
    """Give each place a probe, also those that overrides made: without one the slave stops."""
    node["probe"] = node.get("probe") or probe
    for child in node.values():
        if isinstance(child, dict):
            _complete(child, node["probe"])


def _steps(content: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Path and step of each target, as the slave will have it."""
    usual = content["Database"].get("step")
    own: dict[str, Any] = {}
    for module, variables in content["Probes"].items():
        instances = {k: v for k, v in variables.items() if isinstance(v, dict)}
        own |= {name: each.get("step") for name, each in (instances or {module: variables}).items()}
    for path, node in _walk(content["Targets"], ""):
        if "host" in node:
            yield path, _seconds(own.get(node["probe"])) or _seconds(usual) or 300.0


def _seconds(text: Any) -> float:
    try:
        return max(0.0, float(text))
    except (TypeError, ValueError):
        return 0.0


def _walk(node: Mapping[str, Any], path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield path, node
    for name, child in node.items():
        if isinstance(child, dict):
            yield from _walk(child, f"{path}/{name}")


def _essence(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content without what is only told; places without a host for this slave have no part in it either."""

    def node(of: Mapping[str, Any]) -> dict[str, Any]:
        idle = _SHOWN if "host" in of else _SHOWN | {"probe"}
        kept = {k: v for k, v in of.items() if k not in idle and v is not None}
        return {k: node(v) if isinstance(v, dict) else v for k, v in kept.items()}

    return {**content, "Targets": node(content["Targets"])}
