"""Other trees over the same targets: built from where each place says it stands in them (`Node.places`)."""

from dataclasses import dataclass, field, replace

from smokemesh.master.web.status import visible
from smokemesh.model.target import Node
from smokemesh.settings.shape import MasterSettings


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """One such tree. Its nodes have paths of their own; `real` tells which place of the main tree each stands for."""

    name: str
    title: str
    root: Node
    real: dict[str, str]

    def standing(self, path: str) -> str:
        """Where a place of the main tree stands first here, "" when it does not."""
        return next((here for here, real in self.real.items() if real == path), "")


@dataclass(slots=True)
class _Bough:
    """A place while the tree grows."""

    node: Node | None = None
    children: dict[str, "_Bough"] = field(default_factory=dict)


def hierarchy_of(settings: MasterSettings, name: str) -> Hierarchy | None:
    """The tree of that name, None when the configuration has none. It grows once for each configuration."""
    if name not in settings.presentation.hierarchies:
        return None
    held = _grown_before.get(name)
    if held is None or held[0] is not settings:
        held = _grown_before[name] = (settings, _hierarchy_of(settings, name))
        for other in [key for key, (known, _) in _grown_before.items() if known is not settings]:
            _grown_before.pop(other, None)
    return held[1]


#: Name -> the configuration and its tree of that name.
_grown_before: dict[str, tuple[MasterSettings, Hierarchy]] = {}


def _hierarchy_of(settings: MasterSettings, name: str) -> Hierarchy:
    title = settings.presentation.hierarchies[name]
    top = _Bough()
    for node in visible(settings.tree):
        if name in node.places:
            _put(top, node.places[name], node)
    real: dict[str, str] = {}
    return Hierarchy(name, title or name, _grown(top, "", title or name, real), real)


def _put(top: _Bough, place: str, node: Node) -> None:
    """Hang a node below a place; places on the way come to be, and two nodes of one name stand beside each other."""
    bough = top
    for part in place.strip("/").split("/") if place.strip("/") else ():
        bough = bough.children.setdefault(part, _Bough())
    name, count = node.name, 1
    while name in bough.children and bough.children[name].node is not None:
        count += 1
        name = f"{node.name}.{count}"
    bough.children.setdefault(name, _Bough()).node = node


def _grown(bough: _Bough, path: str, name: str, real: dict[str, str]) -> Node:
    if bough.node is not None:
        real[path] = bough.node.path
    children = tuple(_grown(child, f"{path}/{part}", part, real) for part, child in bough.children.items())
    if bough.node is None:
        return Node(path=path or "/", menu=name, title=name, children=children)
    return replace(bough.node, path=path, places={}, children=children)
