"""The target tree: inheritance from the root down, then every reference checked.

A key that is a setting is one; any other key that holds a mapping is a child; anything else is a mistake. What a
place sets of probe, agents, addresses, alerts, parents, labels and the probe's own settings holds for all below.
"""

import ipaddress
from collections.abc import Mapping as Values
from dataclasses import dataclass, field, replace
from typing import Any

from smokemesh.errors import ConfigError
from smokemesh.model.probe import Probe
from smokemesh.model.target import Node, Target
from smokemesh.settings.entries_probe import OPTIONS_OF, OVERRIDES
from smokemesh.settings.kinds import place_name
from smokemesh.settings.probes import DEFAULT, derived_name, make_probe, usual_option
from smokemesh.settings.reference import SECTIONS
from smokemesh.settings.sections import Read, as_mapping, check_name, check_only, join, read_section, unknown_key
from smokemesh.settings.shape import LOCAL_AGENT
from smokemesh.settings.yaml import Mapping, Scalar

_SECTION = SECTIONS["target"]
_UNSET = object()
_NAMES = place_name()
#: What a probe has when nobody wrote anything; a timeout nobody wrote follows the step, so it equals none written.
_BUILT_IN = {key: getattr(Probe(name=DEFAULT), key) for key in OVERRIDES if key != "timeout"}


@dataclass(frozen=True, slots=True)
class Inherited:
    """What a place hands down."""

    probe: str = DEFAULT
    agents: tuple[str, ...] = (LOCAL_AGENT,)
    addresses: str = "first"
    alerts: tuple[str, ...] = ()
    alertee: tuple[str, ...] = ()
    parents: tuple[str, ...] = ()
    labels: Values[str, str] = field(default_factory=dict)
    #: Settings of the probe set anew, and the place that set each.
    overrides: Values[str, Any] = field(default_factory=dict)
    origins: Values[str, Read] = field(default_factory=dict)


@dataclass(slots=True)
class TreeReader:
    """Reads the tree; `probes` gains the probes that targets derive from those given."""

    #: Values as written of each probe, defaults included.
    written: dict[str, dict[str, Any]]
    probes: dict[str, Probe]
    agents: frozenset[str]
    alerts: frozenset[str]
    hierarchies: frozenset[str] = frozenset()
    receivers: frozenset[str] = frozenset()
    _overlays: list[tuple[Read, tuple[str, ...]]] = field(default_factory=list)
    _targets: dict[str, tuple[Target, Read]] = field(default_factory=dict)

    def read(self, root: Mapping) -> Node:
        """The whole tree, every reference in it checked. Raises ConfigError."""
        node = self._node(root, "/", "targets", Inherited())
        self._check_parents()
        self._check_overlays()
        return node

    def _node(self, mapping: Mapping, path: str, where: str, above: Inherited) -> Node:
        below = _children(mapping, where)
        self._check_names(mapping, where)
        read = read_section(mapping, _SECTION, where, skip=[key for key in mapping.entries if key in below])
        self._check_references(read)
        down = _inherit(above, read)
        self._check_options(read, down)
        name = path.rsplit("/", 1)[1]
        menu = read.values.get("menu", name)
        target = self._target(read, path, down) if "host" in read.values else None
        overlay = self._overlay(read)
        if not (target or overlay or below or path == "/" or "children" in mapping.entries):
            raise mapping.error("", f"{where}: has neither a host nor anything below it; write host: 192.0.2.1")
        return Node(
            path=path,
            menu=menu,
            title=read.values.get("title", menu),
            remark=read.values.get("remark", ""),
            hidden=read.values.get("hidden", False),
            target=target,
            overlay=overlay,
            places=read.values.get("places", {}),
            smokeping=read.values.get("smokeping", {}),
            children=tuple(self._child(held, key, path, where, down) for key, held in below.items()),
        )

    def _overlay(self, read: Read) -> tuple[str, ...]:
        overlay: tuple[str, ...] = read.values.get("overlay", ())
        if overlay:
            if "host" in read.values:
                raise read.error("overlay", "a place with a host draws that host; remove one of them")
            self._overlays.append((read, overlay))
        return overlay

    def _check_options(self, read: Read, down: Inherited) -> None:
        if (options := read.values.get("options")) is not None:
            kind = self.written[down.probe].get("kind", "icmp")
            check_only(options, SECTIONS["options"], "kind", kind, "probes")

    def _check_names(self, mapping: Mapping, where: str) -> None:
        """A child may not be called like a setting: it would be read as one."""
        for key, value in mapping.entries.items():
            setting = _SECTION.settings.get(key)
            if (
                setting
                and isinstance(value, Mapping)
                and not setting.section
                and not (setting.kind and setting.kind.keyed)
            ):
                raise mapping.error(
                    key, f"{join(where, key)}: {key} is a setting; put what is below into children: {{{key}: …}}"
                )

    def _child(self, mapping: Mapping, key: str, path: str, where: str, down: Inherited) -> Node:
        value = mapping.entries[key]
        if isinstance(value, Scalar) and value.empty:
            check_name(mapping, key, where, _NAMES)
            raise mapping.error(key, f"{join(where, key)}: nothing stands below it; write host: 192.0.2.1")
        if not isinstance(value, Mapping):
            raise mapping.error(key, unknown_key(key, _SECTION, where))
        check_name(mapping, key, where, _NAMES)
        placed = replace(value, file=mapping.files.get(key, mapping.file), line=mapping.lines[key])
        return self._node(placed, f"{path.rstrip('/')}/{key}", join(where, key), down)

    def _target(self, read: Read, path: str, down: Inherited) -> Target:
        if path == "/":
            raise read.error("host", "the root of the tree is no host; give it a name below targets")
        probe = self._probe(read, path, down)
        _check_family(read, probe)
        target = Target(
            path=path,
            host=read.values["host"],
            probe=probe.name,
            agents=down.agents,
            addresses=down.addresses,
            alerts=down.alerts,
            alertee=down.alertee,
            parents=tuple(parent for parent in down.parents if parent != path),
            labels=dict(down.labels),
        )
        self._targets[path] = target, read
        return target

    def _probe(self, read: Read, path: str, down: Inherited) -> Probe:
        """The probe of a target, derived when the tree sets something anew."""
        base = self.written[down.probe]
        kind = base.get("kind", "icmp")
        differing = {k: v for k, v in down.overrides.items() if base.get(k, _usual(kind, k)) != v}
        name = derived_name(down.probe, differing, path)
        if name not in self.probes:

            def complain(key: str, message: str) -> ConfigError:
                return down.origins.get(key, next(iter(down.origins.values()), read)).error(key, message)

            self.probes[name] = make_probe(name, base | differing, complain)
        return self.probes[name]

    def _check_references(self, read: Read) -> None:
        if (probe := read.values.get("probe", DEFAULT)) not in self.written:
            raise read.error("probe", _missing(probe, "probe", self.written))
        for agent in read.values.get("agents", ()):
            if agent not in self.agents:
                raise read.error("agents", _missing(agent, "agent", self.agents))
        for alert in read.values.get("alerts", ()):
            if alert not in self.alerts:
                raise read.error("alerts", _missing(alert, "alert", self.alerts))
        for receiver in read.values.get("alertee", ()):
            check_receiver(read, "alertee", receiver, self.receivers)
        for hierarchy in read.values.get("places", {}):
            if hierarchy not in self.hierarchies:
                raise read.error("places", _missing(hierarchy, "hierarchy", self.hierarchies))
        if (agents := read.values.get("agents")) is not None and len(set(agents)) < len(agents):
            raise read.error("agents", "names an agent twice; remove one")

    def _check_parents(self) -> None:
        for path, (target, read) in self._targets.items():
            for parent in target.parents:
                if parent not in self._targets:
                    raise read.error("parents", f"{parent} is no target; write the path of one that has a host")
            if cycle := self._cycle(path):
                raise read.error("parents", f"{' -> '.join(cycle)} is a circle; remove one of them")

    def _check_overlays(self) -> None:
        for read, overlay in self._overlays:
            for entry in overlay:
                path, _, agent = entry.partition("~")
                if path not in self._targets:
                    raise read.error("overlay", f"{path} is no target; write the path of one that has a host")
                if agent and agent not in self.agents:
                    raise read.error("overlay", _missing(agent, "agent", self.agents))

    def _cycle(self, start: str) -> list[str]:
        """The way from a target over its parents back to itself, or nothing."""
        way, seen = [(start, [start])], set()
        while way:
            path, trail = way.pop()
            for parent in self._targets[path][0].parents if path in self._targets else ():
                if parent == start:
                    return [*trail, start]
                if parent not in seen:
                    seen.add(parent)
                    way.append((parent, [*trail, parent]))
        return []


def _children(mapping: Mapping, where: str) -> dict[str, Mapping]:
    """What stands below a place, each beside the mapping that holds it: keys that are no settings, and `children`."""
    found = dict.fromkeys((key for key in mapping.entries if key not in _SECTION.settings), mapping)
    if "children" in mapping.entries:
        held = as_mapping(mapping.entries["children"], join(where, "children"))
        for key in held.entries:
            if key in found:
                raise held.error(key, f"{join(where, key)}: stands there and below children; remove one or rename it")
            found[key] = held
    return found


def _usual(kind: str, key: str) -> Any:
    """What a setting of a probe is when nobody wrote it."""
    return usual_option(kind, key) if key in OPTIONS_OF[kind] else _BUILT_IN.get(key, _UNSET)


def check_receiver(read: Read, key: str, receiver: str, known: frozenset[str]) -> None:
    """Raises ConfigError when a name stands for no receiver."""
    if "@" not in receiver and not receiver.startswith(("|", "snpp:", "xmpp:")) and receiver not in known:
        raise read.error(key, _missing(receiver, "receiver", known) + ", or write an address like noc@example.net")


def _inherit(above: Inherited, read: Read) -> Inherited:
    """What holds here. To name a probe forgets what was set anew above: the nearest wish counts."""
    values = read.values
    mine = {key: values[key] for key in OVERRIDES if key in values}
    origins = dict.fromkeys(mine, read)
    if (options := values.get("options")) is not None:
        mine |= options.values
        origins |= dict.fromkeys(options.values, options)
    fresh = "probe" in values
    return Inherited(
        probe=values.get("probe", above.probe),
        agents=values.get("agents", above.agents),
        addresses=values.get("addresses", above.addresses),
        alerts=values.get("alerts", above.alerts),
        alertee=values.get("alertee", above.alertee),
        parents=values.get("parents", above.parents),
        labels={**above.labels, **values.get("labels", {})},
        overrides=mine if fresh else {**above.overrides, **mine},
        origins={**({} if fresh else above.origins), **origins},
    )


def _check_family(read: Read, probe: Probe) -> None:
    try:
        address = ipaddress.ip_address(read.values["host"])
    except ValueError:
        return
    if probe.family != "auto" and str(address.version) != probe.family:
        cure = f"write an IPv{probe.family} address or family: {address.version}"
        raise read.error("host", f"{address} is IPv{address.version}, its probe measures IPv{probe.family}; {cure}")
    if probe.source and ipaddress.ip_address(probe.source).version != address.version:
        raise read.error("host", f"{address} cannot be reached from {probe.source}; write addresses of one IP version")


def _missing(name: str, what: str, known: Any) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, list(known), n=1, cutoff=0.7)
    cure = f"did you mean {near[0]}?" if near else f"known: {', '.join(sorted(known)) or 'none'}"
    return f"there is no {what} {name}; {cure}"
