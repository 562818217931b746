"""`*** Presentation ***` in our words: charts, ranges, colours."""

import re
from typing import Any, Final

from smokemesh.errors import ConfigError
from smokemesh.smokeping.shape import Configuration, Section
from smokemesh.smokeping.spell import seconds
from smokemesh.smokeping.variables import number

_SORTERS: Final = {"Median": "median", "Loss": "loss", "Max": "max", "StdDev": "deviation"}
#: How many SmokePing's sorters show when nobody says.
_ENTRIES: Final = 3
_AGES: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 7 * 86400.0, "y": 365 * 86400.0}
_COLOR: Final = re.compile(r"[0-9a-fA-F]{6}")


def presentation(configuration: Configuration, warnings: list[str]) -> dict[str, Any]:
    """The section `presentation`. Raises ConfigError for a chart SmokePing would not start with."""
    general, shown = configuration.general, configuration.presentation.sections
    made: dict[str, Any] = {"owner": general.get("owner"), "contact": general.get("contact")}
    if charts := shown.get("charts"):
        made["charts"] = {name: _chart(name, section) for name, section in charts.sections.items()}
    if detail := shown.get("detail"):
        made["ranges"] = _ranges(detail)
        if colors := detail.sections.get("loss_colors"):
            made["loss_colors"] = _loss_colors(colors, warnings)
    made["max_rtt"] = _max_rtt(shown)
    if (hosts := shown.get("multihost")) and "colors" in hosts.explicit:
        colors_of = hosts.get("colors").split()
        made["overlay_colors"] = [color for color in colors_of if _COLOR.fullmatch(color)]
    return {key: value for key, value in made.items() if value not in ("", [], {}) and str(value).strip()}


def _chart(name: str, section: Section) -> dict[str, Any]:
    sorter, _, arguments = section.get("sorter").partition("(")
    if sorter not in _SORTERS:
        file, line = section.lines.get("sorter", (section.file, section.line))
        cure = f"write one of {', '.join(_SORTERS)}"
        raise ConfigError(f"chart {name}: there is no sorter {sorter}; {cure}", file=file, line=line)
    entries = re.search(r"entries\s*=>\s*['\"]?([0-9]{1,4})", arguments)
    shown = {key: section.get(key) for key in ("menu", "title") if section.get(key).strip()}
    count = min(max(int(entries[1]), 1), 1000) if entries else _ENTRIES
    return {**shown, "sorter": _SORTERS[sorter], "entries": str(count)}


def _ranges(detail: Section) -> list[dict[str, str]]:
    made = []
    for row in detail.table:
        title, age = (*row, "", "")[:2]
        unit = _AGES.get(age[-1:], 0.0)
        if unit and title.strip():
            length = min(max(number(age[:-1]) * unit, 60.0), 100 * _AGES["y"])
            made.append({"title": title, "length": seconds(length)})
    return made


def _loss_colors(section: Section, warnings: list[str]) -> list[dict[str, str]]:
    made = []
    for row in section.table:
        lost, color, legend = (*row, "", "", "")[:3]
        if not _COLOR.fullmatch(color):
            warnings.append(f"{section.file}:{section.line}: loss colour {color} has not six digits; it is left out")
            continue
        entry = {"lost": f"{min(number(lost), 65535.0):.10g}", "color": color, "legend": legend}
        made.append({key: value for key, value in entry.items() if value.strip()})
    return made


def _max_rtt(shown: dict[str, Section]) -> str:
    """The detail page's; the overview's where that has none. A bound nobody reaches is none."""
    for name in ("detail", "overview"):
        section = shown.get(name)
        if section and "max_rtt" in section.explicit and 0 < number(section.get("max_rtt")) < 100_000:
            return seconds(number(section.get("max_rtt")))
    return ""
