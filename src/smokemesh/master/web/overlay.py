"""Pages that draw several targets in one graph: which series they show, under which names, in which colours."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from smokemesh.model.target import Node, Target
from smokemesh.settings.shape import LOCAL_AGENT, MasterSettings

#: SmokePing's colours of a multi-host page, taken in turn.
COLORS: Final = (
    "004586", "ff420e", "ffde20", "579d1c", "7e0021", "83caff", "314004", "aecf00", "4b1f6f", "ff950e", "c5000b",
    "0084d1",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Line:
    """One series of such a page."""

    #: Its name in addresses: path of the target and name of the agent, `/A/B~agent`.
    name: str
    node: Node
    target: Target
    agent: str
    title: str
    color: str


@dataclass(frozen=True, slots=True)
class Overlay:
    """What a page draws, and what it names that cannot be drawn."""

    lines: tuple[Line, ...]
    missing: tuple[str, ...]


def overlay_of(settings: MasterSettings, node: Node) -> Overlay:
    """The lines of a page, in the order written; an entry listed twice is drawn once."""
    colors = settings.presentation.overlay_colors or COLORS
    lines: dict[str, Line] = {}
    missing: list[str] = []
    for written in node.overlay:
        path, _, agent = written.partition("~")
        found = settings.tree.find(path)
        agents = _agents(found, agent, settings)
        if found is None or found.target is None or not agents:
            missing.append(written)
            continue
        for name in agents:
            key = f"{path}~{name}"
            if key not in lines:
                color = colors[len(lines) % len(colors)]
                title = _title(settings, found, name, bool(agent) or len(agents) > 1)
                lines[key] = Line(key, found, found.target, name, title, color)
    return Overlay(tuple(lines.values()), tuple(missing))


def _agents(node: Node | None, asked: str, settings: MasterSettings) -> tuple[str, ...]:
    """Who sees an entry. Without an agent it is what the master measures itself; where it does not, all who do."""
    if node is None or node.target is None:
        return ()
    if asked:
        return (asked,) if asked in settings.agents or asked in node.target.agents else ()
    return (LOCAL_AGENT,) if LOCAL_AGENT in node.target.agents else node.target.agents


def _title(settings: MasterSettings, node: Node, agent: str, named: bool) -> str:
    """The menu text, and who sees it when that is not the master, as SmokePing writes it: `Zurich <tokyo`."""
    text = node.menu or node.name
    if not named:
        return text
    known = settings.agents.get(agent)
    return f"{text} <{known.title if known else agent}"


def targets_below(settings: MasterSettings, node: Node) -> Iterator[Target]:
    """The targets at and below a node, those that its pages of several targets draw included."""
    for below in node.walk():
        if below.target is not None:
            yield below.target
        for line in overlay_of(settings, below).lines if below.overlay else ():
            yield line.target
