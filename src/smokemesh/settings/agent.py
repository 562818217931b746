"""`agent.yaml` -> AgentSettings."""

from collections.abc import Mapping
from typing import Any

from smokemesh.settings.filetype import insist, refuse_smokeping
from smokemesh.settings.master import Reader, beside, read_file
from smokemesh.settings.reference import SECTIONS
from smokemesh.settings.sections import Read, read_section
from smokemesh.settings.shape import AgentSettings, Limits, SpoolSettings
from smokemesh.settings.yaml import parse

_PATHS = ("shared_secret", "data", "ca_file")


def load_agent(path: str, read: Reader, given: Mapping[str, Any] | None = None) -> AgentSettings:
    """The settings in a file, those in `given` (typed on a command line) over them. Raises ConfigError.

    `settings.disk` has a `read` for programs.
    """
    given = given or {}
    text = read_file(path, read)
    refuse_smokeping(text, path)
    root = parse(text, path)
    insist(root, path, "agent")
    return _settings(read_section(root, SECTIONS["agent"], "", given=given), path, given)


def _settings(root: Read, path: str, given: Mapping[str, Any]) -> AgentSettings:
    values: dict[str, Any] = {"data": _DATA, **root.values}
    if "masters" not in given and len(values["masters"]) != 1:
        raise root.error("masters", f"{len(values['masters'])} masters; this version talks to one, write one URL")
    for key in _PATHS:
        if key in root.values:
            values[key] = beside(path, values[key])
    values.pop("master_type", None)
    values["limits"] = Limits(**root.section("limits").values)
    values["spool"] = SpoolSettings(**root.section("spool").values)
    return AgentSettings(**{**values, **given})


_DATA = SECTIONS["agent"].settings["data"].default
