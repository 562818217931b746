"""`*** Probes ***` in our words: each probe or instance as one of ours, and what a target changes of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

from smokemesh.errors import ConfigError
from smokemesh.model.options import KINDS
from smokemesh.model.probe import Probe
from smokemesh.smokeping.catalogue import PROBES
from smokemesh.smokeping.fit import LONGEST_STEP, MOST_PINGS
from smokemesh.smokeping.mapping import Mapped, Unmapped, Unusable, for_host, map_probe
from smokemesh.smokeping.shape import Section
from smokemesh.smokeping.spell import spell
from smokemesh.smokeping.variables import number

_USUAL: Final = Probe(name="")
_PROBE_KEYS: Final = tuple(f.name for f in fields(Probe) if f.name not in ("name", "kind", "options"))


@dataclass(frozen=True, slots=True)
class Source:
    """A probe or instance as SmokePing's file has it."""

    name: str
    module: str
    section: Section
    #: What was written, here or in the module's section.
    written: dict[str, str]


@dataclass(frozen=True, slots=True)
class Told:
    """Settings of a probe as our YAML has them."""

    kind: str
    values: dict[str, str]
    options: dict[str, str]

    @property
    def flat(self) -> dict[str, str]:
        """Both together; no key stands in both."""
        return {**self.values, **self.options}


@dataclass(slots=True)
class Probes:
    """All probes, and those that targets make of them."""

    general: Section
    database: Section
    #: A host as our settings take it; raises ValueError.
    check_host: Callable[[str], str]
    sources: dict[str, Source] = field(default_factory=dict)
    #: Those with a counterpart, and why the others have none.
    told: dict[str, Told] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    _notes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    _spelt: dict[int, Told] = field(default_factory=dict)
    _made: dict[tuple[str, frozenset[tuple[str, str]]], Mapped] = field(default_factory=dict)

    @property
    def step(self) -> float:
        """What probes have that say nothing."""
        return min(max(number(self.database.get("step", "300")), 1.0), LONGEST_STEP)

    @property
    def pings(self) -> int:
        """What probes have that say nothing."""
        return int(min(max(number(self.database.get("pings", "20")), 1), MOST_PINGS))

    def read(self, section: Section) -> None:
        """All of `*** Probes ***`."""
        for module, held in section.sections.items():
            above = {name: held.variables[name] for name in held.explicit}
            for name, instance in (held.sections or {module: held}).items():
                written = above | {key: instance.variables[key] for key in instance.explicit}
                self.sources[name] = Source(name, module, instance, written)
                self._tell(self.sources[name])

    def _tell(self, source: Source) -> None:
        try:
            mapped = self._map(source, {})
        except Unusable as why:
            place = f"{source.section.file}:{source.section.line}"
            self.warnings.append(f"{place}: probe {source.name} {why}; its targets are not measured")
            return
        except Unmapped as why:
            self.refused[source.name] = str(why)
            return
        self.told[source.name] = _told(mapped)
        self._notes[source.name] = mapped.notes
        for note in mapped.notes:
            self.warnings.append(f"{source.section.file}:{source.section.line}: probe {source.name} {note}")

    def _map(self, source: Source, given: Mapping[str, str]) -> Mapped:
        key = (source.name, frozenset(given.items()))
        if key not in self._made:
            variables = {**source.written, **given}
            offset = self.general.get("offset", "random")
            mapped = map_probe(source.module, variables, self.step, self.pings, offset)
            if server := mapped.options.get("server"):
                self._check_server(server)
            self._made[key] = mapped
        return self._made[key]

    def _check_server(self, server: str) -> None:
        try:
            self.check_host(server)
        except ValueError as error:
            raise Unusable(f"has server = {server}, which {error}") from error

    def of_place(self, name: str, given: Mapping[str, str], host: str, place: str) -> Told | None:
        """What holds at a place with these variables. `host` is "" where nothing is measured; then a probe that has no
        counterpart is None. Raises ConfigError, and Unusable when this host cannot be measured so.
        """
        source = self.sources.get(name)
        if source is None:
            return None
        known = PROBES[source.module].target if source.module in PROBES else {}
        mine = {key: value for key, value in given.items() if key in known}
        try:
            mapped = self._map(source, mine)
        except Unusable:
            if host:
                raise
            return None
        except Unmapped as why:
            if host:
                file, _, line = place.rpartition(":")
                cure = "measure it otherwise or remove it"
                raise ConfigError(f"probe {name} ({source.module}) {why}; {cure}", file=file, line=int(line)) from None
            return None
        if name not in self.told:
            return None  # unusable as it stands in its own section, which was told
        self._note(name, mapped, place)
        if host and ("family" in mapped.values or "source" in mapped.values):
            mapped, note = for_host(mapped, host)
            if note:
                self.warnings.append(f"{place}: probe {name} {note}")
            return _told(mapped)
        if (known_as := id(mapped)) not in self._spelt:  # thousands of targets share few of them
            self._spelt[known_as] = _told(mapped)
        return self._spelt[known_as]

    def _note(self, name: str, mapped: Mapped, place: str) -> None:
        for note in mapped.notes:
            if note not in self._notes.get(name, ()):
                self.warnings.append(f"{place}: probe {name} {note}")

    def values(self) -> dict[str, dict[str, Any]]:
        """The section `probes` of our YAML: what differs from the defaults of this file."""
        usual = {"step": spell("step", self.step), "pings": str(self.pings)}
        made = {}
        for name, told in self.told.items():
            kind = {} if told.kind == "icmp" else {"kind": told.kind}
            made[name] = {
                **kind,
                **{k: v for k, v in told.flat.items() if usual.get(k, usual_value(told.kind, k)) != v},
            }
        return made


def _told(mapped: Mapped) -> Told:
    options = {key: spell(key, value) for key, value in mapped.options.items()}
    return Told(mapped.kind, {key: spell(key, value) for key, value in mapped.values.items()}, options)


def usual_value(kind: str, key: str) -> str:
    """How a setting is spelt that nobody wrote; "" for one that has no word then."""
    if key == "timeout":
        return ""  # depends on the step
    return spell(key, getattr(_USUAL if key in _PROBE_KEYS else KINDS[kind](), key))
