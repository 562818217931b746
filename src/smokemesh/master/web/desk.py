"""What the handlers ask of the running master, and how questions are read: paths, agents, ranges, amounts."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from litestar.datastructures import State

from smokemesh.errors import NotFound, UsageError
from smokemesh.master.web import charts, ranges, status
from smokemesh.master.web.hosts import shown_host
from smokemesh.master.web.overlay import Line, overlay_of
from smokemesh.model.assignment import probe_name
from smokemesh.model.rounds import Flag, RoundBatch
from smokemesh.model.series import Series, SeriesQuestion
from smokemesh.model.target import Node, Target
from smokemesh.settings.shape import MasterSettings

MOST_POINTS: Final = 10_000
#: Greatest number of an incident or a silence.
MOST_NUMBER: Final = 2**63 - 1
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
    #: The place that was asked for: the target itself, or a page that draws several.
    page: str = ""
    #: Name, text and colour of the line on such a page.
    name: str = ""
    title: str = ""
    color: str = ""


class Desk:
    """What the handlers ask of the running master, for the time of one request."""

    def __init__(self, master: Any, board: status.Board, rankings: charts.Rankings) -> None:
        self.master, self.board, self.rankings = master, board, rankings
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

    def host(self, target: Target | None) -> str:
        """What people read for a target's host: never the secret of a dynamic one, but the address it told."""
        dynamic = getattr(self.master, "dynamic", None)
        return shown_host(target, dynamic.addresses if dynamic else {})

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

    def clipped(self, limit: float) -> float:
        """Where a vertical axis ends, when it may not go higher than the configuration says."""
        most = self.settings.presentation.max_rtt
        return min(limit, most) if most > 0 else limit

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
        return [_honest(one) for one in self.master.store.series(questions)] if questions else []

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
    """The desk of this application; the board of newest rounds and the rankings are made once."""
    if "board" not in state:
        state.board = status.Board(state.master.store, clock, lambda target: tasks_of(state.master, target))
    if "rankings" not in state:
        state.rankings = charts.Rankings(state.master.store, clock)
    return Desk(state.master, state.board, state.rankings)


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


def _honest(series: Series) -> Series:
    """Without the jitter of rounds whose pings came sorted: in which order they were sent is not known."""
    unknown = (series.flags & Flag.SORTED) != 0
    if not unknown.any():
        return series
    return replace(series, jitter=np.where(unknown, np.nan, series.jitter), pairs=np.where(unknown, 0, series.pairs))


def choose_views(
    desk: Desk, paths: Sequence[str], agents: Sequence[str] | None, lines: Sequence[str] | None = None
) -> list[View]:
    """The views a request names: targets, targets as one agent sees them (`/A/B~agent`), pages that draw several.

    `lines` are the names of the lines that are wanted of such pages; all without it.
    """
    wanted = list(dict.fromkeys(paths))
    views = [view for path in wanted for view in _views_of(desk, path, agents, lines, len(wanted) > 1)]
    if not views:
        raise UsageError(
            "target is missing: add target=/PATH" if not wanted else f"{wanted[0]}: none of it is measured"
        )
    if len(views) > MOST_SERIES:
        raise UsageError(f"{len(views)} series asked at once, at most {MOST_SERIES}: name fewer targets or agents")
    return views


def _views_of(
    desk: Desk, path: str, agents: Sequence[str] | None, lines: Sequence[str] | None, several: bool
) -> Iterator[View]:
    place, mark, agent = path.partition("~")
    node = desk.node(place)
    if node.target is None and node.overlay:
        drawn = overlay_of(desk.settings, node).lines
        chosen = [line for line in drawn if line.name in lines] if lines else drawn
        yield from (view for line in chosen for view in _views_of_line(desk, node.path, line))
        return
    target = desk.target(place)
    for name in desk.agents_of(target, [agent] if mark else agents):
        title = f"{node.menu or node.name} <{desk.agent_title(name)}" if mark and several else ""
        for task in tasks_of(desk.master, target):
            yield View(target, name, task, node.path, f"{node.path}~{name}", title)


def _views_of_line(desk: Desk, page: str, line: Line) -> Iterator[View]:
    for task in tasks_of(desk.master, line.target):
        yield View(line.target, line.agent, task, page, line.name, line.title, line.color)


def check_number(name: str, value: int, least: int, most: int) -> int:
    """A number of a request, refused when out of bounds."""
    if not least <= value <= most:
        raise UsageError(f"{name} is {value}: must be {least} to {most}")
    return value


def known_number(kind: str, number: int) -> int:
    """The number of something kept; NotFound for one that none can have: numbers are 64 bits."""
    if not 0 < number <= MOST_NUMBER:
        raise NotFound(f"{kind} {str(number)[:40]}: there is none with that number; see /{kind}s")
    return number


def drop_bare(views: Sequence[View], found: Sequence[Series]) -> list[tuple[View, Series]]:
    """Without the addresses that were not measured in the range, as long as another one of the name was."""
    pairs = list(zip(views, found, strict=True))
    heard = {(view.page, view.name) for view, series in pairs if len(series)}
    kept: dict[tuple[str, str], int] = {}
    result = []
    for view, series in pairs:
        key = (view.page, view.name)
        if len(series) or (key not in heard and key not in kept):
            result.append((view, series))
            kept[key] = 1
    return result
