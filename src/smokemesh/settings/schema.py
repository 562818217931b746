"""The table of settings as JSON Schema (2020-12), for editors that check and complete while one types."""

from typing import Any

from smokemesh.settings.entry import Section, Setting
from smokemesh.settings.kinds import PLACE
from smokemesh.settings.reference import SECTIONS

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema(section: str) -> dict[str, Any]:
    """The schema of a file: `master` or `agent`."""
    used = {name: _section(SECTIONS[name]) for name in _below(section)}
    return {"$schema": DIALECT, "title": f"smokemesh: {section}", **_section(SECTIONS[section]), "$defs": used}


def _below(section: str) -> list[str]:
    """The sections a section holds, at any depth, each once."""
    found: dict[str, None] = {}
    waiting = [section]
    while waiting:
        for setting in SECTIONS[waiting.pop()].settings.values():
            if setting.section and setting.section not in found:
                found[setting.section] = None
                waiting.append(setting.section)
    return list(found)


def _section(section: Section) -> dict[str, Any]:
    schema: dict[str, Any] = {
        "type": "object",
        "description": section.help,
        "properties": {setting.key: _setting(setting) for setting in section.settings.values()},
        "additionalProperties": {"$ref": "#/$defs/target"} if section.name == "target" else False,
    }
    if section.name == "target":
        schema["propertyNames"] = {"pattern": f"^{PLACE.pattern}$"}
    required = [setting.key for setting in section.settings.values() if setting.required]
    return schema | ({"required": required} if required else {})


def _setting(setting: Setting) -> dict[str, Any]:
    schema: dict[str, Any] = {"description": setting.help}
    if setting.default:
        schema["default"] = setting.default
    if setting.example:
        schema["examples"] = [setting.example]
    if setting.kind is not None:
        return schema | setting.kind.schema
    inner = {"$ref": f"#/$defs/{setting.section}"}
    if setting.listed:
        return schema | {"type": "array", "items": inner}
    if not setting.named:
        return schema | inner
    names = {key: value for key, value in setting.names.schema.items() if key == "pattern"}
    return schema | {"type": "object", "propertyNames": names, "additionalProperties": inner}
