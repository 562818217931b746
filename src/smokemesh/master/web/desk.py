"""What the handlers ask of the running master, and how questions are read: paths, agents, ranges, amounts."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from litestar.datastructures import State

from smokemesh.errors import NotFound, UsageError
from smokemesh.master.web import ranges, status
from smokemesh.model.assignment import probe_name
from smokemesh.model.rounds import RoundBatch
from smokemesh.model.series import Series, SeriesQuestion
from smokemesh.model.target import Node, Target
from smokemesh.settings.shape import MasterSettings

MOST_POINTS: Final = 10_000
MOST_SERIES: Final = 200
#: Raw rounds, and RTTs in them, of one answer: a few hundred megabytes while it is written.
MOST_ROUNDS: Final = 100_000
MOST_RTTS: Final = 2_000_000


def clock() -> int:
    """Now, nanoseconds UTC."""
    return time.time_ns()


@dataclass(frozen=True, slots=True)
class View:
    """One target as one agent sees it, by one of its addresses where each is measured."""

    target: Target
    agent: str
    task: status.Numbered


class Desk:
    """What the handlers ask of the running master, for the time of one request."""

    def __init__(self, master: Any, board: status.Board) -> None:
        self.master, self.board = master, board
        self.settings: MasterSettings = master.settings

    def node(self, path: str) -> Node:
        """The node at a path; NotFound names it."""
        clean = "/" + path.strip("/")
        found = self.settings.tree.find(clean) if clean != "/" else self.settings.tree
        if found is None:
            raise NotFound(f"target {clean}: no such place in the tree; see /api/v1/tree")
        return found

    def target(self, path: str) -> Target:
        """The target at a path; NotFound names it."""
        node = self.node(path)
        if node.target is None:
            raise NotFound(f"target {node.path}: is a group without a host of its own; ask for one of its children")
        return node.target

    def agents_of(self, target: Target, asked: Sequence[str] | None) -> list[str]:
        """The agents of a target, or those of them that were asked for."""
        known = set(target.agents) | set(self.settings.agents)
        for name in asked or ():
            if name not in known:
                raise NotFound(f"agent {name}: no such agent; {target.path} is measured by {', '.join(target.agents)}")
        return list(dict.fromkeys(asked)) if asked else list(target.agents)

    def agent_title(self, name: str) -> str:
        """What people read for an agent."""
        agent = self.settings.agents.get(name)
        return agent.title if agent else name

    def agent_color(self, name: str) -> str:
        """Its configured colour, "" when the page may choose."""
        agent = self.settings.agents.get(name)
        return agent.color if agent else ""

    def series(
        self,
        views: Sequence[View],
        span: ranges.Range,
        points: int,
        level: str = "",
    ) -> list[Series]:
        """The series of these views."""
        points = ranges.even_points(span, points)
        questions = [
            SeriesQuestion(
                task=view.task.id, agent=view.agent, begin=span.begin, end=span.end, points=points, level=level
            )
            for view in views
        ]
        return list(self.master.store.series(questions)) if questions else []

    def rounds(self, views: Sequence[View], span: ranges.Range, limit: int) -> Iterator[tuple[str, str, RoundBatch]]:
        """Path, agent and the first `limit` raw rounds of each view; refused as soon as they are too many together."""
        rounds_left, rtts_left = MOST_ROUNDS, MOST_RTTS
        for view in views:
            # No more is read than may be told, and one round by which to notice that there is more.
            pings = max(status.probe_of(self.settings, view.target).pings, 1)
            points = min(limit, rounds_left + 1, rtts_left // pings + 1)
            batch = self.master.store.rounds(
                SeriesQuestion(
                    task=view.task.id, agent=view.agent, begin=span.begin, end=span.end, points=points, level="raw"
                )
            )
            rounds_left, rtts_left = rounds_left - len(batch), rtts_left - len(batch.rtts)
            if rounds_left < 0 or rtts_left < 0:
                raise UsageError(
                    f"rounds of {view.target.path}: more than {MOST_ROUNDS} rounds or {MOST_RTTS} RTTs in the range; "
                    "ask for a shorter one, for one agent at a time, or with a smaller limit"
                )
            yield view.target.path, view.agent, batch


def provide_desk(state: State) -> Desk:
    """The desk of this application; the board of newest rounds is made once."""
    if "board" not in state:
        state.board = status.Board(state.master.store, clock, lambda target: tasks_of(state.master, target))
    return Desk(state.master, state.board)


def parse_span(begin: str, end: str) -> ranges.Range:
    """The range of a request."""
    return ranges.parse_range(begin, end, clock())


def tasks_of(master: Any, target: Target) -> list[status.Numbered]:
    """The tasks of a target: one, or one for each address its name ever had."""
    usual = status.Numbered(status.task_of(target))
    if target.addresses != "all":
        return [usual]
    found = [
        status.Numbered(known.id, known.address or f"{known.id:016x}")
        for known in master.catalogue.tasks_of(target.path)
        if known.probe == probe_name(target.probe) and known.id != usual.id
    ]
    return found or [usual]


def choose_views(desk: Desk, paths: Sequence[str], agents: Sequence[str] | None) -> list[View]:
    """The views a request names."""
    targets = [desk.target(path) for path in dict.fromkeys(paths)]
    views = [
        View(target, agent, task)
        for target in targets
        for agent in desk.agents_of(target, agents)
        for task in tasks_of(desk.master, target)
    ]
    if not views:
        raise UsageError("target is missing: add target=/PATH")
    if len(views) > MOST_SERIES:
        raise UsageError(f"{len(views)} series asked at once, at most {MOST_SERIES}: name fewer targets or agents")
    return views


def check_number(name: str, value: int, least: int, most: int) -> int:
    """A number of a request, refused when out of bounds."""
    if not least <= value <= most:
        raise UsageError(f"{name} is {value}: must be {least} to {most}")
    return value


def drop_bare(views: Sequence[View], found: Sequence[Series]) -> list[tuple[View, Series]]:
    """Without the addresses that were not measured in the range, as long as another one of the name was."""
    pairs = list(zip(views, found, strict=True))
    heard = {(view.target.path, view.agent) for view, series in pairs if len(series)}
    kept: dict[tuple[str, str], int] = {}
    result = []
    for view, series in pairs:
        key = (view.target.path, view.agent)
        if len(series) or (key not in heard and key not in kept):
            result.append((view, series))
            kept[key] = 1
    return result
