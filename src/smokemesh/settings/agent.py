"""`agent.yaml` -> AgentSettings."""

from typing import Any

from smokemesh.settings.filetype import insist, refuse_smokeping
from smokemesh.settings.master import Reader, beside, read_file
from smokemesh.settings.reference import SECTIONS
from smokemesh.settings.sections import Read, read_section
from smokemesh.settings.shape import AgentSettings, Limits, SpoolSettings
from smokemesh.settings.yaml import parse

_PATHS = ("shared_secret", "data", "ca_file")


def load_agent(path: str, read: Reader) -> AgentSettings:
    """The settings in a file. Raises ConfigError. `settings.disk` has a `read` for programs."""
    text = read_file(path, read)
    refuse_smokeping(text, path)
    root = parse(text, path)
    insist(root, path, "agent")
    return _settings(read_section(root, SECTIONS["agent"], ""), path)


def _settings(root: Read, path: str) -> AgentSettings:
    values: dict[str, Any] = {"data": _DATA, **root.values}
    masters = values["masters"]
    if len(masters) != 1:
        raise root.error("masters", f"{len(masters)} masters; this version talks to one, write one URL")
    for key in _PATHS:
        if key in root.values:
            values[key] = beside(path, values[key])
    values.pop("master_type", None)
    values["limits"] = Limits(**root.section("limits").values)
    values["spool"] = SpoolSettings(**root.section("spool").values)
    return AgentSettings(**values)


_DATA = SECTIONS["agent"].settings["data"].default
