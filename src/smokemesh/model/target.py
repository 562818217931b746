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
