"""What one entry of the table of settings says of a key, and what a section is. `settings.reference` is the table."""

from dataclasses import dataclass, field
from typing import Final

from smokemesh.settings import kinds
from smokemesh.settings.kinds import Kind

DAY: Final = 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One key of one section. It holds a value (`kind`), another section, or several: in a list, or under names."""

    key: str
    help: str
    kind: Kind | None = None
    #: Name of the section it holds.
    section: str = ""
    #: It maps names people choose to sections; what such a name may be.
    named: bool = False
    names: Kind = field(default_factory=kinds.name)
    #: It holds a list of sections.
    listed: bool = False
    #: Kinds of probe it belongs to; () for all.
    only: tuple[str, ...] = ()
    #: What holds when it is not written; "" for nothing.
    default: str = ""
    example: str = ""
    required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """The settings that may stand together."""

    name: str
    help: str
    settings: dict[str, Setting]
    #: Words other tools use -> what to write here.
    foreign: dict[str, str]
    #: Keys that are planned and not yet read.
    later: frozenset[str] = frozenset()


def make_section(name: str, help_: str, *settings: Setting, later: str = "", **foreign: str) -> Section:
    """A section of the table."""
    by_key = {setting.key: setting for setting in settings}
    return Section(name=name, help=help_, settings=by_key, foreign=foreign, later=frozenset(later.split()))
