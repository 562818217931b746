"""A SmokePing configuration as read: SmokePing's own tree, inheritance done and defaults filled in. `smokeping.config` makes it."""

from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One section and all below it."""

    name: str
    #: Effective values: written here, inherited, or the grammar's default. Lists are as written, not split.
    variables: dict[str, str] = field(default_factory=dict)
    #: Names of the variables written in this very section, in order (`_varlist`).
    explicit: tuple[str, ...] = ()
    #: Rows of its table, fields unquoted.
    table: tuple[tuple[str, ...], ...] = ()
    #: What stands below, in the order of the file.
    sections: dict[str, "Section"] = field(default_factory=dict)
    #: Where it begins, and the line of each variable written in it.
    file: str = ""
    line: int = 0
    lines: dict[str, tuple[str, int]] = field(default_factory=dict)

    def get(self, name: str, otherwise: str = "") -> str:
        """An effective value."""
        return self.variables.get(name, otherwise)

    def walk(self, path: str = "") -> Iterator[tuple[str, "Section"]]:
        """This section and all below with their paths (`/A/B`; "/" for this one), parents first."""
        yield path or "/", self
        for name, child in self.sections.items():
            yield from child.walk(f"{path}/{name}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """A whole configuration; sections the file leaves out are None."""

    general: Section
    database: Section
    presentation: Section
    #: `sections` are modules (`FPing`); theirs, when there are any, are instances (`FPingLarge`).
    probes: Section
    targets: Section
    alerts: Section | None = None
    slaves: Section | None = None
    influxdb: Section | None = None
    #: Every file read, the main one first.
    files: tuple[str, ...] = ()
    #: What is accepted and probably not meant, each one line with file and line.
    warnings: tuple[str, ...] = ()
