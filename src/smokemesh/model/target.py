"""Target: what is measured, and the tree it stands in."""

from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A host in the tree. `path` is its identity: `/changzhou/rack29`."""

    path: str
    host: str
    probe: str
    #: Names of the agents that measure it.
    agents: tuple[str, ...]
    #: "first" measures one address of the name, "all" each of them.
    addresses: str = "first"
    alerts: tuple[str, ...] = ()
    #: Who is told of this target's alerts beside those each alert names.
    alertee: tuple[str, ...] = ()
    #: Paths of targets without which this one cannot be reached.
    parents: tuple[str, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A place in the menu: a group, a target, or both. The root has the path `/`."""

    path: str
    menu: str
    title: str
    remark: str = ""
    hidden: bool = False
    target: Target | None = None
    #: A page that draws other targets in one graph: their paths, `/A/B` or, as one agent sees it, `/A/B~agent`.
    overlay: tuple[str, ...] = ()
    #: Where it stands in other trees: name of the hierarchy -> path of the place above it there.
    places: dict[str, str] = field(default_factory=dict)
    #: What SmokePing's file says of this place beyond that (`smokeping.translate`), for its slaves and for `config convert`.
    smokeping: dict[str, str] = field(default_factory=dict)
    children: tuple["Node", ...] = ()

    @property
    def name(self) -> str:
        """The last part of the path; "" for the root."""
        return self.path.rsplit("/", 1)[1]

    def walk(self) -> Iterator["Node"]:
        """This node and all below, parents first, in the order of the file."""
        yield self
        for child in self.children:
            yield from child.walk()

    def find(self, path: str) -> "Node | None":
        """The node with that path, or None."""
        if path == self.path:
            return self
        for child in self.children:
            if path == child.path or path.startswith(child.path + "/"):
                return child.find(path)
        return None
