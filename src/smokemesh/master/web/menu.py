"""The menu beside every page: the tree, or another hierarchy over it, open along the path to where the reader is."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote

from smokemesh.errors import SmokemeshError
from smokemesh.master.web import status
from smokemesh.master.web.desk import Desk
from smokemesh.master.web.hierarchies import Hierarchy
from smokemesh.model.target import Node


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the menu."""

    path: str
    href: str
    menu: str
    state: status.State
    parent: bool
    open: bool
    current: bool
    children: tuple["Entry", ...]


@dataclass(frozen=True, slots=True)
class Links:
    """Where the page of a node is, in the main tree or in another hierarchy."""

    hierarchy: Hierarchy | None = None

    def __call__(self, node: Node) -> str:
        """The address of a node's page."""
        if self.hierarchy is None:
            return self.place(node.path)
        path = self.real(node)
        return self.place(path) if path else f"/hierarchies/{self.hierarchy.name}{node.path.rstrip('/')}"

    def place(self, path: str) -> str:
        """The address of a place of the main tree; it remembers the hierarchy the reader walks in."""
        if path == "/":
            return "/"
        return f"/targets{quote(path)}" + (f"?hierarchy={self.hierarchy.name}" if self.hierarchy else "")

    def real(self, node: Node) -> str:
        """The place of the main tree that a node stands for, "" for none."""
        return self.hierarchy.real.get(node.path, "") if self.hierarchy else node.path


def menu(desk: Desk, current: Node | None, links: Links) -> tuple[Entry, ...]:
    """The menu; what is folded is fetched when it is opened."""
    try:
        states: Mapping[str, status.State] = desk.board.now(desk.settings).states
    except SmokemeshError:  # the page that tells of it has a menu too
        states = {}
    hierarchy = links.hierarchy
    root = hierarchy.root if hierarchy else desk.settings.tree
    return tuple(_entries(desk, root, here_of(current, hierarchy), links, states))


def here_of(current: Node | None, hierarchy: Hierarchy | None) -> str:
    """The path of the page's place in the tree the menu shows; "" when it does not stand there."""
    if current is None:
        return ""
    if hierarchy is None or hierarchy.root.find(current.path) is current:
        return current.path
    return hierarchy.standing(current.path)


def _entries(desk: Desk, node: Node, here: str, links: Links, states: Mapping[str, status.State]) -> Iterator[Entry]:
    for child in node.children:
        if child.hidden:
            continue
        opened = here == child.path or here.startswith(child.path + "/")
        yield Entry(
            path=child.path,
            href=links(child),
            menu=child.menu or child.name,
            state=status.state_of(desk.settings, child, states),
            parent=bool(child.children),
            open=opened and bool(child.children),
            current=here == child.path,
            children=tuple(_entries(desk, child, here, links, states)) if opened else (),
        )
