"""`presentation` and `smokeping` -> what pages look like, and what serves SmokePing's slaves."""

from smokemesh.settings.alerting import beside_file
from smokemesh.settings.sections import Read
from smokemesh.settings.shape import Chart, Presentation, SmokepingSettings


def read_presentation(read: Read, hierarchies: dict[str, str]) -> Presentation:
    """What pages look like. Raises ConfigError."""
    values = read.values
    ranges = tuple((each.values["title"], each.values["length"]) for each in values.get("ranges", ()))
    colors = tuple(
        (each.values["lost"], each.values["color"], each.values.get("legend", ""))
        for each in values.get("loss_colors", ())
    )
    return Presentation(
        charts=tuple(_chart(name, entry) for name, entry in values.get("charts", {}).items()),
        hierarchies=hierarchies,
        ranges=ranges,
        loss_colors=colors,
        **{key: values[key] for key in ("owner", "contact", "max_rtt", "overlay_colors") if key in values},
    )


def _chart(name: str, read: Read) -> Chart:
    menu = read.values.get("menu", name)
    return Chart(**{"name": name, "menu": menu, "title": menu} | read.values)


def read_smokeping(read: Read) -> SmokepingSettings:
    """What serves SmokePing's slaves. Raises ConfigError."""
    values = dict(read.values)
    if "secrets_file" in values:
        values["secrets_file"] = beside_file(read, "secrets_file")
        place = read.error("secrets_file", "")
        values["secrets_place"] = (place.file, place.line)
    originals = values.get("originals", {})
    if not isinstance(originals, dict) or not all(isinstance(section, dict) for section in originals.values()):
        raise read.error("originals", "is no mapping of sections; write {General: {owner: NOC}}")
    overrides = values.get("overrides", {})
    if not isinstance(overrides, dict) or not all(_is_flat(entry) for entry in overrides.values()):
        raise read.error("overrides", "is no mapping of slaves; write {boomer: {Probes.FPing.binary: /usr/sbin/fping}}")
    return SmokepingSettings(**values)


def _is_flat(entry: object) -> bool:
    return isinstance(entry, dict) and all(isinstance(value, str) for value in entry.values())
