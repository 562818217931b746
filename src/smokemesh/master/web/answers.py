"""What the query API answers: the structs, and how they are made from the tree, the store and the registry.

RTTs are seconds, losses shares, times RFC 3339; columns of series are Unix seconds as floats. What is not known is null.
"""

import contextlib
import math
from collections.abc import Sequence
from ipaddress import IPv6Address
from typing import Any, Final, Literal

import msgspec
import numpy as np

from smokemesh.analysis import smoke
from smokemesh.errors import StoreError
from smokemesh.master.registry import Sighting
from smokemesh.master.web import ranges, status
from smokemesh.master.web.charts import Ranked
from smokemesh.master.web.desk import Desk, View, clock
from smokemesh.master.web.hierarchies import Hierarchy
from smokemesh.master.web.summary import Summary, summarize
from smokemesh.model.rounds import Flag, RoundBatch
from smokemesh.model.series import Latest, Series
from smokemesh.model.target import Node, Target

#: What the master writes for the engines of a SmokePing slave, which says nothing of itself.
SLAVE: Final = "SmokePing"


class ErrorBody(msgspec.Struct, frozen=True):
    """Why a question was refused: a code for machines and a sentence for people."""

    code: str
    message: str


class SightBody(msgspec.Struct, frozen=True, kw_only=True):
    """A target as one agent sees it now."""

    agent: str
    state: status.State
    #: Begin of the newest round, RFC 3339; null when none came lately.
    time: str | None = None
    step: float | None = None
    sent: int = 0
    received: int = 0
    loss: float | None = None
    median: float | None = None
    flags: list[str] = []
    address: str = ""


class TargetBody(msgspec.Struct, frozen=True, kw_only=True):
    """A target and how it is measured."""

    path: str
    title: str
    host: str
    probe: str
    kind: str
    step: float
    pings: int
    agents: list[str]
    task: str
    labels: dict[str, str] = {}
    sights: list[SightBody] = []


class NodeBody(msgspec.Struct, frozen=True, kw_only=True):
    """A place in the tree; `counts` are the targets at and below it by state."""

    path: str
    menu: str
    title: str
    remark: str = ""
    host: str = ""
    #: What a page that draws several targets lists: `/A/B`, or as one agent sees it, `/A/B~agent`.
    overlay: list[str] = []
    state: status.State
    counts: dict[str, int]
    #: There are children, whether or not they are listed here.
    parent: bool = False
    children: list["NodeBody"] = []


class FoundBody(msgspec.Struct, frozen=True, kw_only=True):
    """A place found by name."""

    path: str
    menu: str
    title: str
    host: str
    state: status.State


class SearchReply(msgspec.Struct, frozen=True, kw_only=True):
    """The places found, best first; `count` counts those beyond the limit too."""

    count: int
    hits: list[FoundBody]


class PlaceBody(msgspec.Struct, frozen=True, kw_only=True):
    """A place in another hierarchy; `real` is the place of the main tree it stands for, "" for none."""

    path: str
    menu: str
    title: str
    real: str
    state: status.State
    #: There are children, whether or not they are listed here.
    parent: bool = False
    children: list["PlaceBody"] = []


class EntryBody(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a chart: a target as one agent sees it."""

    rank: int
    target: str
    agent: str
    address: str
    title: str
    #: What it is ranked by: seconds, or a share.
    value: float
    median: float
    loss: float
    max: float
    deviation: float
    sent: int
    received: int


class ChartBody(msgspec.Struct, frozen=True, kw_only=True):
    """A ranking; `count` tells how many there are beyond those listed."""

    name: str
    title: str
    #: median, loss, max or deviation.
    sorter: str
    count: int
    entries: list[EntryBody]


class ChartsReply(msgspec.Struct, frozen=True, kw_only=True):
    """Charts over a range, Unix seconds, counted by whole bins of five minutes where it is longer than a quarter of an hour."""

    begin: float
    end: float
    charts: list[ChartBody]


class SeriesBody(msgspec.Struct, frozen=True, kw_only=True):
    """One target as one agent saw it: columns of equal length, in order of time."""

    target: str
    agent: str
    #: The place that was asked for: the target, or a page that draws several.
    page: str
    #: The target as this agent sees it, `/A/B~agent`: what `target` and `line` take.
    name: str
    #: Which address of the name, where each is measured; else "".
    address: str
    title: str
    color: str
    #: The level it was read from: raw, 5m, 1h or 1d.
    level: str
    #: What the points and figures count, Unix seconds: the range asked for, widened to whole bins of the level.
    begin: float
    end: float
    #: Seconds one point stands for.
    step: float
    #: Pings in a round as configured now.
    pings: int
    #: Where a vertical axis should end, seconds, so that usual values fit.
    upper: float
    #: Begin of each point, Unix seconds.
    time: list[float]
    sent: list[int]
    received: list[int]
    late: list[int]
    duplicates: list[int]
    reordered: list[int]
    errors: list[int]
    flags: list[int]
    rounds: list[int]
    median: list[float]
    mean: list[float]
    deviation: list[float]
    jitter: list[float]
    #: One column for each quantile of `quantiles`; empty when not asked for.
    bands: list[list[float]]
    summary: Summary


class SeriesReply(msgspec.Struct, frozen=True, kw_only=True):
    """The answer for a range; Unix seconds."""

    begin: float
    end: float
    now: float
    #: Seconds between two uploads of an agent: so long a finished round may be on its way.
    upload_interval: float
    quantiles: list[float]
    series: list[SeriesBody]


class RoundBody(msgspec.Struct, frozen=True, kw_only=True):
    """One round as it was measured; `rtts` in the order sent, null when lost."""

    time: str
    target: str
    agent: str
    address: str
    step: float
    sent: int
    received: int
    late: int
    duplicates: int
    reordered: int
    corrupted: int
    errors: int
    error: int
    flags: list[str]
    rtts: list[float]


class AgentBody(msgspec.Struct, frozen=True, kw_only=True):
    """An agent: how it is configured, and what it last said of itself."""

    name: str
    title: str
    location: str
    color: str
    #: "slave" is a SmokePing slave: what it would say of itself is seen from here.
    kind: Literal["agent", "slave"] = "agent"
    #: Targets it is to measure.
    targets: int
    #: RFC 3339; null when it never called this master since it started.
    seen: str | None
    #: Seconds since it called.
    silent: float | None
    alive: bool
    #: Begin of its newest round, RFC 3339, and the seconds since; null when none came lately.
    newest: str | None = None
    lag: float | None = None
    #: The agent's clock minus the master's when it last called, seconds; the way of the message is part of it.
    clock_offset: float | None
    #: What the master noticed of it and what to do, "" when all is well.
    trouble: str
    health: dict[str, Any] | None


# ---------------------------------------------------------------- the tree


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def flag_names(flags: int) -> list[str]:
    """The names of the flags that are set."""
    return [flag.name.lower() for flag in Flag if flag.value and flags & flag and flag.name]


def sight_body(sight: status.Sight) -> SightBody:
    """A sight as the API tells it."""
    newest: Latest | None = sight.round
    if newest is None:
        return SightBody(agent=sight.agent, state=sight.state, address=sight.address)
    return SightBody(
        agent=sight.agent,
        state=sight.state,
        time=ranges.rfc3339(newest.time),
        step=newest.step,
        sent=newest.sent,
        received=newest.received,
        loss=_known(sight.loss),
        median=_known(newest.median),
        flags=flag_names(newest.flags),
        address=newest.address,
    )


def target_body(desk: Desk, node: Node, target: Target, now: status.Snapshot) -> TargetBody:
    """A target as the API tells it."""
    probe = status.probe_of(desk.settings, target)
    return TargetBody(
        path=target.path,
        title=node.title,
        host=desk.host(target),
        probe=target.probe.partition("#")[0],
        kind=probe.kind,
        step=probe.step,
        pings=probe.pings,
        agents=list(target.agents),
        task=f"{status.task_of(target):016x}",
        labels=dict(target.labels),
        sights=[sight_body(sight) for sight in now.sights(target)],
    )


def node_body(desk: Desk, node: Node, states: dict[str, status.State], depth: int) -> NodeBody:
    """A node with `depth` generations of children."""
    tally = status.tally(node, states)
    shown = [child for child in node.children if not child.hidden]
    return NodeBody(
        path=node.path,
        menu=node.menu or node.name,
        title=node.title or node.menu or node.name,
        remark=node.remark,
        host=desk.host(node.target),
        overlay=list(node.overlay),
        state=status.state_of(desk.settings, node, states),
        counts={state: count for state, count in tally.counts.items()},
        parent=bool(shown),
        children=[node_body(desk, child, states, depth - 1) for child in shown] if depth > 0 else [],
    )


def found_bodies(desk: Desk, nodes: Sequence[Node]) -> list[FoundBody]:
    """Places found by name, as the API tells them."""
    states = desk.board.now(desk.settings).states
    return [
        FoundBody(
            path=node.path,
            menu=node.menu or node.name,
            title=node.title or node.menu or node.name,
            host=desk.host(node.target),
            state=status.state_of(desk.settings, node, states),
        )
        for node in nodes
    ]


def chart_body(ranked: Ranked) -> ChartBody:
    """A chart as the API tells it."""
    return ChartBody(
        name=ranked.chart.name,
        title=ranked.chart.title,
        sorter=ranked.chart.sorter,
        count=ranked.count,
        entries=[
            EntryBody(
                rank=entry.rank,
                target=entry.target.path,
                agent=entry.agent,
                address=entry.address,
                title=entry.node.title or entry.node.menu or entry.node.name,
                value=entry.value,
                median=entry.median,
                loss=entry.loss,
                max=entry.greatest,
                deviation=entry.deviation,
                sent=entry.sent,
                received=entry.received,
            )
            for entry in ranked.entries
        ],
    )


def place_body(desk: Desk, hierarchy: Hierarchy, node: Node, states: dict[str, status.State], depth: int) -> PlaceBody:
    """A place of another hierarchy with `depth` generations below it."""
    below = node.children if depth > 0 else ()
    return PlaceBody(
        path=node.path,
        menu=node.menu or node.name,
        title=node.title or node.menu or node.name,
        real=hierarchy.real.get(node.path, ""),
        state=status.state_of(desk.settings, node, states),
        parent=bool(node.children),
        children=[place_body(desk, hierarchy, child, states, depth - 1) for child in below],
    )


# ---------------------------------------------------------------- series and rounds


def _floats(column: np.ndarray) -> list[float]:
    """Nanosecond digits are all that was measured; more only fatten the answer."""
    digits: list[float] = np.round(column, 9).tolist()
    return digits


def view_title(desk: Desk, view: View) -> str:
    """The agent, or the line of a page that draws several targets; and the address where there are several."""
    title = view.title or desk.agent_title(view.agent)
    return f"{title} · {view.task.address}" if view.task.address else title


def series_body(desk: Desk, view: View, series: Series, span: ranges.Range, with_smoke: bool) -> SeriesBody:
    """A series as the API tells it."""
    begin, end = ranges.counted(span, series.level)
    return SeriesBody(
        target=view.target.path,
        agent=series.agent,
        page=view.page,
        name=view.name,
        address=view.task.address,
        title=view_title(desk, view),
        color=view.color or desk.agent_color(series.agent),
        level=series.level,
        begin=begin / ranges.NANO,
        end=end / ranges.NANO,
        step=float(series.step),
        pings=status.probe_of(desk.settings, view.target).pings,
        upper=desk.clipped(smoke.upper_limit(series.median)),
        time=(series.time / ranges.NANO).tolist(),
        sent=series.sent.tolist(),
        received=series.received.tolist(),
        late=series.late.tolist(),
        duplicates=series.duplicates.tolist(),
        reordered=series.reordered.tolist(),
        errors=series.errors.tolist(),
        flags=series.flags.tolist(),
        rounds=series.rounds.tolist(),
        median=_floats(series.median),
        mean=_floats(series.mean),
        deviation=_floats(series.deviation),
        jitter=_floats(series.jitter),
        bands=_floats(series.bands.T) if with_smoke else [],  # type: ignore[arg-type]  # two-dimensional
        summary=summarize(series, min(span.end, clock()), status.patience(desk.settings)),
    )


def _address(raw: np.ndarray) -> str:
    address = IPv6Address(raw.tobytes())
    return "" if int(address) == 0 else str(address.ipv4_mapped or address)


def round_bodies(path: str, agent: str, batch: RoundBatch) -> list[RoundBody]:
    """Rounds as the API tells them."""
    return [
        RoundBody(
            time=ranges.rfc3339(int(batch.time[i])),
            target=path,
            agent=agent,
            address=_address(batch.address[i]),
            step=float(batch.step[i]),
            **{name: int(getattr(batch, name)[i]) for name in _ROUND_COUNTS},
            flags=flag_names(int(batch.flags[i])),
            rtts=_floats(batch.rtts[batch.offsets[i] : batch.offsets[i + 1]].astype("f8")),
        )
        for i in range(len(batch))
    ]


_ROUND_COUNTS: Final = ("sent", "received", "late", "duplicates", "reordered", "corrupted", "errors", "error")


# ---------------------------------------------------------------- agents


def agent_bodies(desk: Desk) -> list[AgentBody]:
    """All agents, configured or heard of."""
    now = clock()
    steps: dict[str, list[float]] = {}
    for target in desk.settings.targets:
        for name in target.agents:
            steps.setdefault(name, []).append(status.probe_of(desk.settings, target).step)
    newest = _newest_rounds(desk)
    heard = desk.master.registry.sightings()
    names = list(dict.fromkeys([*desk.settings.agents, *steps, *heard]))
    return [_agent_body(desk, name, steps.get(name, []), heard.get(name), newest.get(name, 0), now) for name in names]


def _newest_rounds(desk: Desk) -> dict[str, int]:
    """Agent -> begin of its newest round, nanoseconds UTC; nothing while the store is away."""
    found: dict[str, int] = {}
    with contextlib.suppress(StoreError):
        for (_, name), one in desk.board.now(desk.settings).latest.items():
            found[name] = max(found.get(name, 0), one.time)
    return found


def _agent_body(
    desk: Desk, name: str, steps: Sequence[float], heard: Sighting | None, newest: int, now: int
) -> AgentBody:
    agent = desk.settings.agents.get(name)
    slave = heard is not None and heard.health.engines == SLAVE
    # A slave calls once each step of the whole configuration, an agent whenever its heartbeat says.
    pace = max(steps, default=300.0) if slave else desk.settings.heartbeat_interval
    seen = heard.seen if heard else 0
    silent = (now - seen) / ranges.NANO if seen else None
    return AgentBody(
        name=name,
        title=agent.title if agent else name,
        location=agent.location if agent else "",
        color=agent.color if agent else "",
        kind="slave" if slave else "agent",
        targets=len(steps),
        seen=ranges.rfc3339(seen) if seen else None,
        silent=silent,
        alive=silent is not None and silent < 3 * pace,
        newest=ranges.rfc3339(newest) if newest else None,
        lag=(now - newest) / ranges.NANO if newest else None,
        clock_offset=heard.clock_offset if heard else None,
        trouble=desk.master.ingest.rivals.trouble(name, now),
        health=msgspec.to_builtins(heard.health) if heard else None,
    )
