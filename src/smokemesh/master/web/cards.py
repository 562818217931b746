"""What an overview shows: a card for each target and each page of several targets, and groups with their counts."""

from collections.abc import Iterator
from dataclasses import dataclass

from smokemesh.master.web import status
from smokemesh.master.web.menu import Links
from smokemesh.master.web.overlay import Overlay, overlay_of
from smokemesh.model.target import Node


@dataclass(frozen=True, slots=True)
class Card:
    """A target in an overview, or a page that draws several."""

    node: Node
    #: Its path in the main tree.
    path: str
    state: status.State
    sights: list[status.Sight]
    #: The sight shown in large: the worst, then the slowest.
    worst: status.Sight | None
    #: How many agents measure it, and from how many of them nothing came lately.
    agents: int
    quiet: int
    overlay: Overlay | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """A group in an overview."""

    node: Node
    tally: status.Tally


def card(node: Node, now: status.Snapshot, links: Links) -> Card:
    """A target, or a page of several, as an overview shows it."""
    path = links.real(node) or node.path
    if node.target is None:
        drawn = overlay_of(now.settings, node)
        state = status.state_of(now.settings, node, now.states)
        return Card(node, path, state, [], None, 0, 0, drawn)
    sights = now.sights(node.target)
    every, quiet = {sight.agent for sight in sights}, status.quiet(sights)
    worst = max(sights, key=lambda sight: sight.rank, default=None)
    return Card(node, path, status.verdict(sights), sights, worst, len(every), len(quiet))


def has_card(node: Node) -> bool:
    """Whether a node has graphs of its own."""
    return node.target is not None or bool(node.overlay)


def cards_of(nodes: Iterator[Node] | tuple[Node, ...] | list[Node], now: status.Snapshot, links: Links) -> list[Card]:
    """The cards of those of these nodes that have graphs."""
    return [card(node, now, links) for node in nodes if has_card(node)]


def cards_below(node: Node, now: status.Snapshot, links: Links) -> list[Card]:
    """All cards below a node."""
    return cards_of([below for below in status.visible(node) if below is not node], now, links)


def attention(node: Node, now: status.Snapshot, links: Links) -> list[Card]:
    """The targets below a node that do not answer as they should, worst first."""
    cards = [card(below, now, links) for below in status.visible(node) if below.target is not None]
    order = {"down": 0, "loss": 1, "doubt": 2, "silent": 3}
    return sorted((one for one in cards if one.state in order), key=lambda one: order[one.state])


def quiet_agents(node: Node, now: status.Snapshot) -> list[str]:
    """Agents of the targets below a node from which nothing came lately, of any of them."""
    places = [below.target for below in status.visible(node) if below.target is not None]
    return sorted(status.quiet([sight for target in places for sight in now.sights(target)]))
