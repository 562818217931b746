"""A SmokePing configuration in the shape of our YAML. What the YAML has no word for is kept beside it, for slaves.

`translate` is the only way from one to the other: what `config convert` prints is what a master runs.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from smokemesh.smokeping.fit import LONGEST_STEP
from smokemesh.smokeping.mapping import NOT_NEEDED
from smokemesh.smokeping.shape import Configuration, Section
from smokemesh.smokeping.spell import days, spell
from smokemesh.smokeping.translate_pages import presentation
from smokemesh.smokeping.translate_probes import Probes
from smokemesh.smokeping.translate_tree import LOCAL, Places, TreeWriter, call
from smokemesh.smokeping.variables import number

#: Variables that mean something here; all others of these sections do not.
_MEANT: Final = {
    "General": frozenset({"owner", "contact", "cgiurl", "display_name", "offset", "mailhost", "mailuser", "mailpass",
                          "sendmail", "snpphost"}),
    "Database": frozenset({"step", "pings"}),
    "Presentation": frozenset({"charset"}),
    "overview": frozenset({"max_rtt"}),
    "detail": frozenset({"max_rtt"}),
    "multihost": frozenset({"colors"}),
    "charts": frozenset(),
}  # fmt: skip
#: What we keep anyway, seconds: raw, 5m, 1h, 1d.
#: Paths at which a CGI may be meant; any other may be a page's.
_CGI: Final = re.compile(r"smokeping[^/]*/?$|\.f?cgi$|\.pl$", re.IGNORECASE)
_KEPT: Final = (("raw", 0.0, 30), ("5m", 300.0, 180), ("1h", 3600.0, 3 * 365), ("1d", 86400.0, 10 * 365))


@dataclass(frozen=True, slots=True, kw_only=True)
class Translation:
    """What came of it."""

    values: dict[str, Any]
    #: Keys from the root down -> file and line it was made from.
    places: Places
    #: Written and without meaning here, and what is other than SmokePing has it; each one line with file and line.
    not_needed: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def translate(configuration: Configuration, reserved: frozenset[str], check_host: Callable[[str], str]) -> Translation:
    """The whole configuration. `reserved` are keys no child may be called by, `check_host` raises ValueError.

    Raises ConfigError for what SmokePing itself would not start with, and for probes that have no counterpart.
    """
    return _Translator(configuration, reserved, check_host).run()


@dataclass(slots=True)
class _Translator:
    configuration: Configuration
    reserved: frozenset[str]
    check_host: Callable[[str], str]
    places: Places = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def run(self) -> Translation:
        c = self.configuration
        self.places[()] = (c.files[0] if c.files else c.general.file, 1)
        probes = Probes(c.general, c.database, self.check_host)
        probes.read(c.probes)
        tree = TreeWriter(c, probes, self.places, self.reserved, self.check_host, self._recipients)
        targets = tree.write()
        for name, source in probes.sources.items():
            self.places["probes", name] = (source.section.file, source.section.line)
            if name in probes.refused:
                place = f"{source.section.file}:{source.section.line}"
                self.warnings.append(f"{place}: probe {name} {probes.refused[name]}; no target uses it")
        hierarchies = c.presentation.sections.get("hierarchies")
        values = {
            "storage": {"retention": self._retention()},
            "defaults": {"step": spell("step", probes.step), "pings": str(probes.pings)},
            "probes": probes.values(),
            "agents": self._agents(),
            "alerting": self._alerting(),
            "alerts": self._alerts(),
            "hierarchies": {n: s.get("title") for n, s in hierarchies.sections.items()} if hierarchies else {},
            "presentation": presentation(c, self.warnings),
            "smokeping": self._smokeping(),
            "targets": targets,
        }
        return Translation(
            values={key: value for key, value in values.items() if value not in ({}, {"retention": {}})},
            places=self.places,
            not_needed=tuple(self._not_needed()),
            warnings=(*c.warnings, *self.warnings, *probes.warnings, *tree.warnings),
        )

    def _retention(self) -> dict[str, str]:
        """At least as long as SmokePing's archives hold each resolution."""
        step = number(self.configuration.database.get("step", "300"))
        longest = dict.fromkeys((key for key, _, _ in _KEPT), 0.0)
        for row in self.configuration.database.table:
            if len(row) == 4:
                steps, rows = number(row[2]), number(row[3])
                level = "raw" if steps <= 1 else _level(steps * step)
                longest[level] = max(longest[level], steps * step * rows)
        most = 100 * 365 * 86400.0
        return {key: days(min(longest[key], most)) for key, _, kept in _KEPT if longest[key] > kept * 86400.0}

    def _agents(self) -> dict[str, Any]:
        slaves, general = self.configuration.slaves, self.configuration.general
        made: dict[str, Any] = {}
        if "display_name" in general.explicit:
            made[LOCAL] = {"display_name": general.get("display_name")}
        for slave, section in slaves.sections.items() if slaves else ():
            name = call(slave, slaves)
            if name != slave:
                self.warnings.append(
                    f"{section.file}:{section.line}: slave {slave} is called {name} here, {slave} is this master's own "
                    f"measuring; start it with --slave-name {name} and call it so in the secrets file"
                )
            self.places["agents", name] = (section.file, section.line)
            shown = {key: section.get(key) for key in ("display_name", "location", "color")}
            made[name] = {key: value for key, value in shown.items() if value.strip()}
        return made

    def _smokeping(self) -> dict[str, Any]:
        c = self.configuration
        made: dict[str, Any] = {}
        if number(c.database.get("step", "300")) > LONGEST_STEP:
            file, line = c.database.lines.get("step", (c.database.file, c.database.line))
            self.warnings.append(
                f"{file}:{line}: step: {c.database.get('step')[:40]} seconds are more than a day; here it is a day"
            )
        path = urlsplit(c.general.get("cgiurl")).path
        if re.fullmatch(r"(/[A-Za-z0-9_.~+-]+)+/?", path) and "/." not in path and _CGI.search(path):
            made["path"] = path
        elif path.strip("/"):
            file, line = c.general.lines.get("cgiurl", (c.general.file, c.general.line))
            self.warnings.append(
                f"{file}:{line}: cgiurl: {path} is no path of a CGI, pages may stand there; slaves and old addresses "
                "are served at /smokeping.cgi"
            )
        if c.slaves:
            if secrets := c.slaves.get("secrets"):
                made["secrets_file"] = secrets
                self.places["smokeping", "secrets_file"] = c.slaves.lines.get("secrets", (c.slaves.file, c.slaves.line))
            overrides = {
                call(n, c.slaves): dict(s.sections["override"].variables)
                for n, s in c.slaves.sections.items()
                if "override" in s.sections
            }
            if overrides:
                made["overrides"] = overrides
        database: dict[str, Any] = {**c.database.variables, "_table": [list(row) for row in c.database.table]}
        made["originals"] = {
            "General": dict(c.general.variables),
            "Database": database,
            "Probes": {name: _whole(section) for name, section in c.probes.sections.items()},
        }
        return made

    def _alerting(self) -> dict[str, Any]:
        general, alerts = self.configuration.general, self.configuration.alerts
        url = urlsplit(general.get("cgiurl"))
        made: dict[str, Any] = {"compat": "smokeping", "edge": "false"}
        if re.fullmatch(r"\S+", url.netloc):
            made["url"] = f"{url.scheme}://{url.netloc}"
        if alerts:
            place = f"{alerts.file}:{alerts.line}"
            made["to"] = self._recipients(alerts.get("to"), place)
            sender = alerts.get("from")
            named = re.fullmatch(r"[^<>]*<[^\s@|,<>]+@[^\s@,<>]+>", sender)
            made["from"] = sender if named else next(iter(self._recipients(sender, place)), "")
            made["edge"] = "true" if alerts.get("edgetrigger") == "yes" else "false"
            made["template"] = alerts.get("mailtemplate")
        if self._is_server(general.get("snpphost"), general):
            made["snpp"] = general.get("snpphost")
        made["mail"] = self._mail(general)
        return {key: value for key, value in made.items() if value not in ("", [], {})}

    def _mail(self, general: Section) -> dict[str, Any]:
        made: dict[str, Any] = {}
        if servers := [word for word in re.split(r"[\s,]+", general.get("mailhost")) if self._is_server(word, general)]:
            made["servers"] = servers
        if "sendmail" in general.explicit:
            made["sendmail"] = general.get("sendmail")
        if general.get("mailuser") and general.get("mailpass"):
            made |= {"user": general.get("mailuser"), "password": general.get("mailpass")}
        return made

    def _is_server(self, text: str, general: Section) -> bool:
        """Whether it is HOST or HOST:PORT; said when it is neither."""
        bare = re.fullmatch(r"(.*?)(?::[0-9]{1,4}|:[1-5][0-9]{4})?", text, re.DOTALL)
        try:
            if text and bare:
                self.check_host(bare[1].removeprefix("[").removesuffix("]"))
                return True
        except ValueError as error:
            self.warnings.append(f'{general.file}:{general.line}: server "{text}" {error}; it is left out')
        return False

    def _alerts(self) -> dict[str, Any]:
        alerts = self.configuration.alerts
        made: dict[str, Any] = {}
        for name, section in alerts.sections.items() if alerts else ():
            where = ("alerts", name)
            self.places[where] = (section.file, section.line)
            for key in ("type", "pattern", "to"):
                self.places[(*where, key)] = section.lines.get(key, (section.file, section.line))
            values: dict[str, Any] = {key: section.get(key) for key in ("type", "pattern", "comment")}
            values["to"] = self._recipients(section.get("to"), f"{section.file}:{section.line}")
            if "edgetrigger" in section.explicit:
                values["edge"] = "true" if section.get("edgetrigger") == "yes" else "false"
            if priority := int(number(section.get("priority", "0"))):
                values["priority"] = str(min(priority, 2**31 - 1))
            if "mailtemplate" in section.explicit:
                values["template"] = section.get("mailtemplate")
            made[name] = {key: value for key, value in values.items() if value not in ("", [])}
        return made

    def _recipients(self, text: str, place: str) -> list[str]:
        """Addresses, programs and pagers, parted by commas; what is none of them is left out and told."""
        found = []
        for entry in filter(None, (word.strip() for word in text.split(","))):
            if re.match(r"\|\s*\S|(snpp|xmpp):\S", entry) or re.fullmatch(r"[^\s@|,<>]+@[^\s@,<>]+", entry):
                found.append(entry)
            elif named := re.fullmatch(r".*<([^\s@|,<>]+@[^\s@,<>]+)>", entry):
                found.append(named[1])
            else:
                self.warnings.append(f"{place}: {entry} is neither an address nor a program; nobody is told there")
        return found

    def _not_needed(self) -> list[str]:
        c = self.configuration
        found = [*_without_meaning(c.general, "General"), *_without_meaning(c.database, "Database")]
        found += _without_meaning(c.presentation, "Presentation")
        for name, section in c.presentation.sections.items():
            found += _without_meaning(section, name, f"Presentation.{name}")
            if name == "detail" and (colors := section.sections.get("uptime_colors")) and colors.file:
                found.append(f"{colors.file}:{colors.line}: Presentation.detail.uptime_colors")
            if name == "charts":
                for chart, held in section.sections.items():
                    if line := held.lines.get("format"):
                        found.append(f"{line[0]}:{line[1]}: Presentation.charts.{chart}.format")
        for _, module in c.probes.walk():
            found += [
                f"{file}:{line}: Probes.{module.name}.{name}"
                for name, (file, line) in module.lines.items()
                if name in NOT_NEEDED
            ]
        if c.influxdb:
            found.append(
                f"{c.influxdb.file}:{c.influxdb.line}: InfluxDB: nothing is written there; /metrics serves all"
            )
        return found


def _without_meaning(section: Section, name: str, shown: str = "") -> list[str]:
    meant = _MEANT.get(name, frozenset())
    if name not in _MEANT:
        return []
    return [f"{f}:{line}: {shown or name}.{key}" for key, (f, line) in section.lines.items() if key not in meant]


def _level(resolution: float) -> str:
    """The coarsest level that is at least as fine."""
    return [key for key, size, _ in _KEPT if size <= resolution][-1]


def _whole(section: Section) -> dict[str, Any]:
    return {**section.variables, **{name: _whole(held) for name, held in section.sections.items()}}
