"""`*** Targets ***` in our words. What a place hands down is written where it begins to hold, and nowhere again."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, Final

from smokemesh.errors import ConfigError
from smokemesh.model.options import KINDS
from smokemesh.smokeping.grammar import printable
from smokemesh.smokeping.mapping import Unusable
from smokemesh.smokeping.shape import Configuration, Section
from smokemesh.smokeping.translate_probes import Probes, Told, usual_value

LOCAL: Final = "local"
#: Variables of a place that have a word of their own in our tree, or none and need none.
MODELLED: Final = frozenset(
    {"menu", "title", "remark", "host", "probe", "alerts", "alertee", "slaves", "nomasterpoll", "hide", "parents"}
)
#: Variables of a place that are no probe's.
PLAIN: Final = MODELLED | {"note", "menuextra", "email", "rawlog"}
_PATH: Final = re.compile(r"(?:/[A-Za-z0-9_-][A-Za-z0-9_.-]{0,199})*")

Places = dict[tuple[str, ...], tuple[str, int]]


@dataclass(frozen=True, slots=True)
class Above:
    """What our tree hands down to a place, and what was written in SmokePing's above it."""

    probe: str = ""
    #: Settings of the probe set anew since the probe was named.
    anew: dict[str, str] = field(default_factory=dict)
    agents: tuple[str, ...] = (LOCAL,)
    alerts: tuple[str, ...] = ()
    alertee: tuple[str, ...] = ()
    #: Probe variables written above.
    given: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class TreeWriter:
    """Writes the tree."""

    configuration: Configuration
    probes: Probes
    places: Places
    #: Keys of our YAML that no child may be called by.
    reserved: frozenset[str]
    #: A host as our settings take it; raises ValueError.
    check_host: Callable[[str], str]
    recipients: Callable[[str, str], list[str]]
    warnings: list[str] = field(default_factory=list)
    _measured: set[str] = field(default_factory=set)
    _overlays: list[tuple[Section, str, dict[str, Any]]] = field(default_factory=list)
    _checked: dict[str, str] = field(default_factory=dict)

    def write(self) -> dict[str, Any]:
        """The section `targets`. Raises ConfigError where SmokePing itself would not start."""
        made = self._place(self.configuration.targets, "/", ("targets",), Above())
        self._draw()
        return made

    def _why_no_host(self, section: Section, host: str) -> str:
        bare = self._host(section, host)[0]
        if bare not in self._checked:
            try:
                self.check_host(bare)
                self._checked[bare] = ""
            except ValueError as error:
                self._checked[bare] = str(error)
        return self._checked[bare]

    def _host(self, section: Section, host: str) -> tuple[str, str]:
        """The host that is measured, and what `{host}` stands for where that is more: a Curl host may hold a path."""
        source = self.probes.sources.get(section.get("probe"))
        kind = self.probes.told.get(source.name) if source else None
        if kind is not None and kind.kind == "http" and "/" in host:
            bare = re.sub(r"^[A-Za-z]+://", "", host)
            return re.sub(r"[/:?#].*$", "", bare), host
        return host, ""

    def _place(self, section: Section, path: str, where: tuple[str, ...], above: Above) -> dict[str, Any]:
        self.places[where] = (section.file, section.line)
        here = f"{section.file}:{section.line}"
        made: dict[str, Any] = {}
        host = section.get("host") if "host" in section.explicit else ""
        if host.startswith("/"):
            made["overlay"] = []
            self._overlays.append((section, path, made))
            host = ""
        elif host:
            host = self._measured_host(section, host, path, made)
        made |= self._shown(section, host, path)
        down = self._handed_down(section, path, here, host, above, made)
        if "host" in made:
            self._measured.add(path)
        made |= self._kept(section)
        for key in ("host", "overlay", "probe", "agents", "alerts", "alertee", "hidden", "menu", "title"):
            if key in made and (line := section.lines.get(_SOURCES.get(key, key))):
                self.places[(*where, key)] = line
        made |= self._below(section, path, where, down, bare=not (made.keys() & {"host", "overlay"} or path == "/"))
        return made

    def _below(self, section: Section, path: str, where: tuple[str, ...], down: Above, bare: bool) -> dict[str, Any]:
        names = list(section.sections)
        apart = (bare and not names) or not self.reserved.isdisjoint(names)
        at = (*where, "children") if apart else where
        below = {
            name: self._place(child, f"{path.rstrip('/')}/{name}", (*at, name), down)
            for name, child in section.sections.items()
        }
        return {"children": below} if apart else below

    def _measured_host(self, section: Section, host: str, path: str, made: dict[str, Any]) -> str:
        bare, _ = self._host(section, host)
        if problem := self._why_no_host(section, host):
            file, line = section.lines.get("host", (section.file, section.line))
            self.warnings.append(f'{file}:{line}: {path}: host "{printable(host)}" {problem}; it is not measured')
            return ""
        made["host"] = bare
        return bare

    def _draw(self) -> None:
        """What the pages of several hosts draw, now that it is known what is measured."""
        slaves = self.configuration.slaves
        known = slaves.sections if slaves else {}
        for section, path, made in self._overlays:
            for entry in section.get("host").split():
                target, _, slave = entry.partition("~")
                if target not in self._measured:
                    why = f"{target}, which is not measured"
                elif slave and slave not in known:
                    why = f"slave {slave}, which is not defined"
                else:
                    made["overlay"].append(f"{target}~{call(slave, slaves)}" if slave else entry)
                    continue
                self.warnings.append(f"{section.file}:{section.line}: {path}: host names {why}; it is left out")
            if not made["overlay"]:
                del made["overlay"]
                if not section.sections:
                    made["children"] = {}

    def _shown(self, section: Section, host: str, path: str) -> dict[str, Any]:
        written = {key: section.get(key) for key in ("menu", "title", "remark") if key in section.explicit}
        made: dict[str, Any] = {key: value for key, value in written.items() if value.strip()}
        if host and path != "/":  # SmokePing shows the host where nothing is written
            made = {"menu": host, "title": host} | made
        if section.get("hide") == "yes":
            made["hidden"] = "true"
        if path != "/" and (places := self._places(section, path)):
            made["places"] = places
        return made

    def _places(self, section: Section, path: str) -> dict[str, str]:
        """Where it stands in hierarchies."""
        defined = self.configuration.presentation.sections.get("hierarchies")
        file, line = section.lines.get("parents", (section.file, section.line))
        made = {}
        for entry in section.get("parents").split() if "parents" in section.explicit else ():
            name, _, to = entry.partition(":")
            if not (defined and name in defined.sections):
                raise ConfigError(
                    f"{path}: there is no hierarchy {printable(name)}; define it below Presentation, + hierarchies",
                    file=file,
                    line=line,
                )
            to = re.sub(r"/+", "/", f"/{to}").rstrip("/")
            if _PATH.fullmatch(to):
                made[name] = to or "/"
            else:
                self.warnings.append(f"{file}:{line}: {path}: parents = {printable(entry)} is no path; it is left out")
        return made

    def _handed_down(
        self, section: Section, path: str, here: str, host: str, above: Above, made: dict[str, Any]
    ) -> Above:
        """Writes what holds from here on, as far as it differs from what is handed down, and says what does now."""
        given = above.given | {k: section.variables[k] for k in section.explicit if k not in PLAIN}
        probe, anew = self._probe(section, given, host, here, above, made)
        agents = self._agents(section, host, path, here)
        alerts = self._alerts(section, path)
        alertee = tuple(self.recipients(section.get("alertee"), here))
        held = {"agents": (agents, above.agents), "alerts": (alerts, above.alerts), "alertee": (alertee, above.alertee)}
        made |= {key: list(mine) for key, (mine, theirs) in held.items() if mine != theirs}
        return Above(probe, anew, agents, alerts, alertee, given)

    def _probe(
        self, section: Section, given: dict[str, str], host: str, here: str, above: Above, made: dict[str, Any]
    ) -> tuple[str, dict[str, str]]:
        name = section.get("probe")
        file, line = section.lines.get("host", (section.file, section.line))
        try:
            told = self.probes.of_place(name, given, host, f"{file}:{line}")
        except Unusable as why:
            self.warnings.append(f"{here}: probe {name} {why}; it is not measured")
            told = None
        if told is None:
            made.pop("host", None)
            return above.probe, above.anew
        if host and "{host}" in told.options.get("url", "") and (whole := self._host(section, section.get("host"))[1]):
            told = Told(told.kind, told.values, told.options | {"url": _put_in(told.options["url"], whole)})
        base = self.probes.told[name].flat if name in self.probes.told else {}
        wanted = _changes(told, base)
        fresh = name != above.probe or not above.anew.keys() <= wanted.keys()
        changes = wanted if fresh else {k: v for k, v in wanted.items() if above.anew.get(k) != v}
        if fresh:
            made["probe"] = name
        options = {key: changes[key] for key in changes.keys() & _option_keys(told.kind)}
        made |= {key: value for key, value in changes.items() if key not in options}
        if options:
            made["options"] = options
        return name, wanted

    def _agents(self, section: Section, host: str, path: str, here: str) -> tuple[str, ...]:
        slaves = self.configuration.slaves
        own = () if section.get("nomasterpoll") == "yes" else (LOCAL,)
        named = tuple(dict.fromkeys(section.get("slaves").split()))
        for slave in named:
            if slaves is None or slave not in slaves.sections:
                if host:
                    file, line = section.lines.get("slaves", (section.file, section.line))
                    cure = "define it in *** Slaves *** or remove it"
                    raise ConfigError(f"{path}: there is no slave {printable(slave)}; {cure}", file=file, line=line)
                self.warnings.append(f"{here}: {path}: there is no slave {printable(slave)}; it is left out")
        return own + tuple(call(slave, slaves) for slave in named if slaves is not None and slave in slaves.sections)

    def _alerts(self, section: Section, path: str) -> tuple[str, ...]:
        named = tuple(name for name in re.split(r"\s*,\s*", section.get("alerts")) if name)
        alerts = self.configuration.alerts
        for name in named:
            if alerts is None or name not in alerts.sections:
                file, line = section.lines.get("alerts", (section.file, section.line))
                cure = "define it in *** Alerts *** or remove it"
                raise ConfigError(f"{path}: there is no alert {printable(name)}; {cure}", file=file, line=line)
        return tuple(dict.fromkeys(named))

    def _kept(self, section: Section) -> dict[str, Any]:
        """What our tree has no word for: notes, and the variables of probes, which slaves want as they are."""
        kept = {key: section.variables[key] for key in section.explicit if key not in MODELLED}
        return {"smokeping": kept} if kept else {}


def call(slave: str, slaves: Section | None) -> str:
    """The agent a slave is: itself, but for one that is called as we call the master's own measuring."""
    name = slave
    while name == LOCAL or (name != slave and slaves is not None and name in slaves.sections):
        name += "-slave"
    return name


_SOURCES: Final = {"overlay": "host", "agents": "slaves", "hidden": "hide"}


def _put_in(url: str, host: str) -> str:
    """`{host}` in a URL replaced by a host that is more than a host."""
    bare = re.sub(r"^[A-Za-z]+://", "", host)
    whole = url.replace("{host}", bare if "://{host}" in url else host)
    return whole if "://" in whole else f"http://{whole}"


def _changes(told: Told, base: dict[str, str]) -> dict[str, str]:
    """What a place changes of its probe; what the probe has and the place has not is set back where there is a word."""
    changes = {key: value for key, value in told.flat.items() if base.get(key, usual_value(told.kind, key)) != value}
    for key in base.keys() - told.flat.keys():
        if word := usual_value(told.kind, key):
            changes[key] = word
    return changes


def _option_keys(kind: str) -> frozenset[str]:
    return frozenset(option.name for option in fields(KINDS[kind]))
