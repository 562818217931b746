"""Finding places of the tree by name: by words, or by SmokePing's regular expressions.

Expressions are RE2's, which takes time in proportion to the text whatever is written; what RE2 cannot read is
searched for as it is.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from smokemesh.master.web.hosts import shown_host
from smokemesh.master.web.status import visible
from smokemesh.model.target import Node
from smokemesh.settings.shape import MasterSettings

#: Characters of a search; what is longer was not typed by a person.
MOST_TYPED: Final = 200


@dataclass(frozen=True, slots=True)
class Found:
    """The places found, best first, and whether an expression had to be taken as it is."""

    nodes: tuple[Node, ...]
    literal: bool = False


class Index:
    """The places of one configuration, ready to be searched; hidden ones are left out."""

    def __init__(self, settings: MasterSettings) -> None:
        self.settings = settings
        self._nodes = tuple(visible(settings.tree))[1:]
        self._texts = [_text(node).casefold() for node in self._nodes]
        self._names = [(node.menu or node.name).casefold() for node in self._nodes]

    def words(self, typed: str) -> Found:
        """Places with every word in their menu text, title, path or host, whatever the case."""
        words = typed[:MOST_TYPED].casefold().split()
        if not words:
            return Found(())
        whole = " ".join(words)
        hits = [k for k, text in enumerate(self._texts) if all(word in text for word in words)]
        hits.sort(key=lambda k: (self._names[k] != whole, not self._names[k].startswith(whole)))
        return Found(tuple(self._nodes[k] for k in hits))

    def expression(self, typed: str) -> Found:
        """Places with a menu text, name, title, path or host that matches, in the order of their menu texts."""
        written = typed[:MOST_TYPED].strip()
        if not written:
            return Found(())
        try:
            hits = self._matching(written)
        except pa.ArrowInvalid:
            return Found(self._sorted(self._holding(written.casefold())), literal=True)
        return Found(self._sorted(hits))

    def _matching(self, expression: str) -> list[int]:
        matches = [
            pc.match_substring_regex(pa.array(column, pa.string()), expression, ignore_case=True).to_pylist()
            for column in zip(*map(_columns, self._nodes), strict=True)
        ]
        return [k for k, found in enumerate(zip(*matches, strict=True)) if any(found)]

    def _holding(self, text: str) -> list[int]:
        return [k for k in range(len(self._nodes)) if text in self._texts[k]]

    def _sorted(self, hits: list[int]) -> tuple[Node, ...]:
        return tuple(self._nodes[k] for k in sorted(hits, key=lambda k: self._names[k]))


def _columns(node: Node) -> tuple[str, ...]:
    return node.menu or node.name, node.name, node.title, node.path, shown_host(node.target)


def _text(node: Node) -> str:
    return "\n".join(_columns(node))


def keeper() -> Callable[[MasterSettings], Index]:
    """Makes the index of a configuration once, until there is another one."""
    held: list[Index] = []

    def index(settings: MasterSettings) -> Index:
        last = held[0] if held else None
        if last is None or last.settings is not settings:
            last = Index(settings)
            held[:] = [last]
        return last

    return index


#: The index of the configuration in force.
index_of: Final = keeper()
