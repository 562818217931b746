"""What people and programs may ask: the tree, series, newest rounds, agents; under /api/v1.

Times in parameters are `now`, `now-3h`, RFC 3339 or Unix seconds. Answers hold RTTs in seconds and losses as
shares; times are RFC 3339, but columns of series are Unix seconds as floats, as charts need them. A number that
is not known is null. Errors are `{"code", "message"}` with the fitting status.
"""

import csv
import io
import math
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from ipaddress import IPv6Address
from typing import Annotated, Any, Final, Literal
from urllib.parse import quote
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
from litestar import Request, Response, Router, get
from litestar.datastructures import State
from litestar.di import Provide
from litestar.exceptions import HTTPException
from litestar.params import Parameter
from litestar.response import ServerSentEvent, ServerSentEventMessage

from smokemesh.analysis import smoke as smoke_graph
from smokemesh.errors import NotFound, SmokemeshError, UsageError
from smokemesh.master.live import Fresh, Gap, Hub
from smokemesh.master.web import language, png, ranges, screen, status, svg
from smokemesh.master.web.summary import Summary, summarize
from smokemesh.model.rounds import Flag, RoundBatch
from smokemesh.model.series import BANDS, LEVELS, Latest, Series, SeriesQuestion
from smokemesh.model.target import Node, Target
from smokemesh.settings.shape import MasterSettings

PREFIX: Final = "/api/v1"
MOST_POINTS: Final = 10_000
MOST_SERIES: Final = 200
MOST_ROUNDS: Final = 100_000
#: Seconds between two signs of life on a quiet event stream: proxies close what is silent for a minute.
HEARTBEAT: Final = 15.0

BeginText = Annotated[str, Parameter(description="now-3h, 2026-11-21T10:00:00Z or Unix seconds; three hours ago")]
EndText = Annotated[str, Parameter(description="as begin; now")]
Paths = Annotated[list[str], Parameter(description="path of a target, like /changzhou/rack29; may be repeated")]
Agents = Annotated[list[str] | None, Parameter(description="name of an agent; may be repeated; all of the target")]


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
    state: status.State
    counts: dict[str, int]
    #: There are children, whether or not they are listed here.
    parent: bool = False
    children: list["NodeBody"] = []


class SeriesBody(msgspec.Struct, frozen=True, kw_only=True):
    """One target as one agent saw it: columns of equal length, in order of time."""

    target: str
    agent: str
    title: str
    color: str
    #: The level it was read from: raw, 5m, 1h or 1d.
    level: str
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
    #: Targets it is to measure.
    targets: int
    #: RFC 3339; null when it never called this master since it started.
    seen: str | None
    #: Seconds since it called.
    silent: float | None
    alive: bool
    #: The agent's clock minus the master's when it last called, seconds; the way of the message is part of it.
    clock_offset: float | None
    health: dict[str, Any] | None


def clock() -> int:
    """Now, nanoseconds UTC."""
    return time.time_ns()


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
            raise NotFound(f"target {clean}: no such place in the tree; see {PREFIX}/tree")
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
        pairs: Sequence[tuple[Target, str]],
        span: ranges.Range,
        points: int,
        level: str = "",
    ) -> list[Series]:
        """The series of (target, agent) pairs."""
        questions = [
            SeriesQuestion(
                task=status.task_of(target), agent=agent, begin=span.begin, end=span.end, points=points, level=level
            )
            for target, agent in pairs
        ]
        return list(self.master.store.series(questions)) if questions else []


def provide_desk(state: State) -> Desk:
    """The desk of this application; the board of newest rounds is made once."""
    if "board" not in state:
        state.board = status.Board(state.master.store, clock)
    return Desk(state.master, state.board)


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
        return SightBody(agent=sight.agent, state=sight.state)
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
        host=target.host,
        probe=target.probe.partition("#")[0],
        kind=probe.kind,
        step=probe.step,
        pings=probe.pings,
        agents=list(target.agents),
        task=f"{status.task_of(target):016x}",
        labels=dict(target.labels),
        sights=[sight_body(sight) for sight in now.sights(target)],
    )


def node_body(node: Node, states: dict[str, status.State], depth: int) -> NodeBody:
    """A node with `depth` generations of children."""
    tally = status.tally(node, states)
    shown = [child for child in node.children if not child.hidden]
    return NodeBody(
        path=node.path,
        menu=node.menu or node.name,
        title=node.title or node.menu or node.name,
        remark=node.remark,
        host=node.target.host if node.target else "",
        state=tally.state,
        counts={state: count for state, count in tally.counts.items()},
        parent=bool(shown),
        children=[node_body(child, states, depth - 1) for child in shown] if depth > 0 else [],
    )


@get("/tree", sync_to_thread=True, summary="The tree of targets, with the state of each place")
def get_tree(desk: Desk, under: str = "/", depth: int = 100) -> NodeBody:
    """A node and its children; `depth=1` gives the children only."""
    return node_body(desk.node(under), desk.board.now(desk.settings).states(), depth)


@get("/targets", sync_to_thread=True, summary="All targets, or those below a place in the tree")
def get_targets(desk: Desk, under: str = "/") -> list[TargetBody]:
    """Targets in the order of the tree, with what each agent saw last."""
    now = desk.board.now(desk.settings)
    return [target_body(desk, node, node.target, now) for node in desk.node(under).walk() if node.target is not None]


@get("/targets/{path:path}", sync_to_thread=True, summary="One target")
def get_target(desk: Desk, path: str) -> TargetBody:
    """A target, how it is measured, and what each agent saw last."""
    target = desk.target(path)
    return target_body(desk, desk.node(path), target, desk.board.now(desk.settings))


@get("/latest", sync_to_thread=True, summary="The newest round of every target, by agent")
def get_latest(desk: Desk, under: str = "/") -> dict[str, list[SightBody]]:
    """Path of a target to what each agent saw last."""
    now = desk.board.now(desk.settings)
    found = (node.target for node in desk.node(under).walk() if node.target is not None)
    return {target.path: [sight_body(sight) for sight in now.sights(target)] for target in found}


# ---------------------------------------------------------------- series


def parse_span(begin: str, end: str) -> ranges.Range:
    """The range of a request."""
    return ranges.parse_range(begin, end, clock())


def choose_pairs(desk: Desk, paths: Sequence[str], agents: Sequence[str] | None) -> list[tuple[Target, str]]:
    """The (target, agent) pairs a request names."""
    targets = [desk.target(path) for path in dict.fromkeys(paths)]
    pairs = [(target, agent) for target in targets for agent in desk.agents_of(target, agents)]
    if not pairs:
        raise UsageError("target is missing: add target=/PATH")
    if len(pairs) > MOST_SERIES:
        raise UsageError(f"{len(pairs)} series asked at once, at most {MOST_SERIES}: name fewer targets or agents")
    return pairs


def check_points(points: int, most: int = MOST_POINTS) -> int:
    """The number of points, refused when out of bounds."""
    if not 1 <= points <= most:
        raise UsageError(f"points is {points}: must be 1 to {most}")
    return points


def _floats(column: np.ndarray) -> list[float]:
    """Nanosecond digits are all that was measured; more only fatten the answer."""
    return np.round(column, 9).tolist()


def series_body(desk: Desk, target: Target, series: Series, end: int, with_smoke: bool) -> SeriesBody:
    """A series as the API tells it."""
    return SeriesBody(
        target=target.path,
        agent=series.agent,
        title=desk.agent_title(series.agent),
        color=desk.agent_color(series.agent),
        level=series.level,
        step=float(series.step),
        pings=status.probe_of(desk.settings, target).pings,
        upper=smoke_graph.upper_limit(series.median),
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
        summary=summarize(series, end),
    )


@get("/series", sync_to_thread=True, summary="RTT and loss over time")
def get_series(
    desk: Desk,
    target: Paths,
    agent: Agents = None,
    begin: BeginText = "",
    end: EndText = "",
    points: int = 1000,
    level: str = "",
    smoke: bool = True,
) -> SeriesReply:
    """The points of a range, each with counts, quantiles and the figures of the whole range.

    Where nothing was measured there is no point. `points` bounds how many there are; rounds are merged to keep to it.
    """
    span = parse_span(begin, end)
    if level and level not in LEVELS:
        raise UsageError(f"level {level!r}: must be one of {', '.join(LEVELS)}")
    pairs = choose_pairs(desk, target, agent)
    found = desk.series(pairs, span, check_points(points), level)
    last = min(span.end, clock())
    return SeriesReply(
        begin=span.begin / ranges.NANO,
        end=span.end / ranges.NANO,
        now=clock() / ranges.NANO,
        quantiles=list(BANDS) if smoke else [],
        series=[series_body(desk, of, one, last, smoke) for (of, _), one in zip(pairs, found, strict=True)],
    )


# ---------------------------------------------------------------- pictures


Zone = Annotated[str, Parameter(description="time zone of the picture, like Asia/Shanghai; UTC")]
Theme = Annotated[Literal["light", "dark"], Parameter(description="colours of the picture")]
Tongue = Annotated[Literal["en", "zh"], Parameter(description="language of the picture")]


def parse_zone(name: str) -> tzinfo:
    """A time zone by its IANA name."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise UsageError(f"zone {name!r}: no such time zone; write one like Europe/Zurich or UTC") from None


@dataclass(frozen=True, slots=True)
class Drawn:
    """What a picture is drawn from."""

    node: Node
    pairs: list[tuple[Target, str]]
    found: list[Series]
    span: ranges.Range


def _drawn(desk: Desk, target: str, agent: Sequence[str] | None, begin: str, end: str, points: int) -> Drawn:
    span = parse_span(begin, end)
    pairs = choose_pairs(desk, [target], agent)
    return Drawn(desk.node(target), pairs, desk.series(pairs, span, check_points(points)), span)


def _picture(desk: Desk, drawn: Drawn, theme: str, lang: str, zone: str, width: int, height: int) -> str:
    if not (200 <= width <= 4000 and 80 <= height <= 2000):
        raise UsageError(f"picture of {width}x{height}: width must be 200 to 4000 and height 80 to 2000 pixels")
    target = drawn.pairs[0][0]
    probe, texts = status.probe_of(desk.settings, target), language.catalogue(lang)
    lines = [
        svg.Line(
            series=one,
            summary=summarize(one, min(drawn.span.end, clock())),
            title=desk.agent_title(one.agent),
            color=desk.agent_color(one.agent),
        )
        for one in drawn.found
    ]
    return svg.draw(
        svg.Picture(
            title=texts("graph_title", title=drawn.node.title, agent=", ".join(line.title for line in lines)),
            note=texts("graph_probe", pings=probe.pings, step=screen.span(probe.step), host=target.host),
            lines=lines,
            begin=drawn.span.begin,
            end=drawn.span.end,
            now=clock(),
            pings=probe.pings,
            texts=texts,
            theme=svg.THEMES[theme],
            zone=parse_zone(zone),
            width=width,
            height=height,
        )
    )


def _file_name(drawn: Drawn, suffix: str) -> str:
    name = drawn.pairs[0][0].path.strip("/").replace("/", "-")
    return f"{name}-{ranges.rfc3339(drawn.span.end // ranges.NANO * ranges.NANO).replace(':', '')}.{suffix}"


def _inline(content: bytes, media_type: str, name: str) -> Response[bytes]:
    safe = "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "_" for c in name)
    headers = {
        "Content-Disposition": f"inline; filename=\"{safe}\"; filename*=UTF-8''{quote(name)}",
        "Cache-Control": "no-cache",
        # A picture opened by itself may do nothing at all.
        "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    }
    return Response(content, media_type=media_type, headers=headers)


@get("/graph.svg", sync_to_thread=True, summary="The smoke graph as SVG", media_type="image/svg+xml")
def get_svg(
    desk: Desk,
    target: str,
    agent: Agents = None,
    begin: BeginText = "",
    end: EndText = "",
    theme: Theme = "light",
    lang: Tongue = "en",
    zone: Zone = "UTC",
    width: int = 800,
    height: int = 240,
) -> Response[bytes]:
    """The graph as the page shows it, with its figures."""
    drawn = _drawn(desk, target, agent, begin, end, width)
    text = _picture(desk, drawn, theme, lang, zone, width, height)
    return _inline(text.encode(), "image/svg+xml", _file_name(drawn, "svg"))


@get("/graph.png", sync_to_thread=True, summary="The smoke graph as PNG", media_type="image/png")
def get_png(
    desk: Desk,
    target: str,
    agent: Agents = None,
    begin: BeginText = "",
    end: EndText = "",
    theme: Theme = "light",
    lang: Tongue = "en",
    zone: Zone = "UTC",
    width: int = 800,
    height: int = 240,
) -> Response[bytes]:
    """The graph as a picture of twice as many pixels, for sharp screens."""
    drawn = _drawn(desk, target, agent, begin, end, width)
    text = _picture(desk, drawn, theme, lang, zone, width, height)
    return _inline(png.render(text), "image/png", _file_name(drawn, "png"))


@get("/graph.csv", sync_to_thread=True, summary="The points of the smoke graph as CSV", media_type="text/csv")
def get_csv(
    desk: Desk,
    target: str,
    agent: Agents = None,
    begin: BeginText = "",
    end: EndText = "",
    points: int = 1000,
    theme: Theme = "light",
    lang: Tongue = "en",
    zone: Zone = "UTC",
) -> Response[str]:
    """One line for each point of each agent: RTTs in seconds, loss as a share, times in UTC.

    Takes the parameters of the pictures too, so that one address serves for all three.
    """
    drawn = _drawn(desk, target, agent, begin, end, points)
    return csv_response(points_csv(drawn.found), _file_name(drawn, "csv"))


def points_csv(found: Sequence[Series]) -> str:
    """Points as CSV (RFC 4180)."""
    counts = ("rounds", "sent", "received", "late", "duplicates", "reordered", "errors")
    out = io.StringIO()
    writer = csv.writer(out)
    quantiles = [f"rtt_p{round(100 * share)}" for share in BANDS]
    writer.writerow(["time", "agent", "step", *counts, "loss", "mean", "deviation", "jitter", *quantiles, "flags"])
    for one in found:
        loss = one.loss
        for k, when in enumerate(one.time.tolist()):
            numbers = [loss[k], one.mean[k], one.deviation[k], one.jitter[k], *one.bands[k]]
            writer.writerow([
                ranges.rfc3339(when), one.agent, f"{one.step:g}", *(int(getattr(one, name)[k]) for name in counts),
                *("" if math.isnan(value) else f"{value:.9f}" for value in numbers),
                " ".join(flag_names(int(one.flags[k]))),
            ])  # fmt: skip
    return out.getvalue()


# ---------------------------------------------------------------- raw rounds


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


def rounds_csv(bodies: Iterable[RoundBody]) -> str:
    """Rounds as CSV (RFC 4180); RTTs are columns of their own, empty when lost."""
    rows = list(bodies)
    width = max((len(row.rtts) for row in rows), default=0)
    fixed = [name for name in RoundBody.__struct_fields__ if name not in ("flags", "rtts")]
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([*fixed, "flags", *(f"rtt{k + 1}" for k in range(width))])
    for row in rows:
        rtts = ["" if math.isnan(rtt) else f"{rtt:.9f}" for rtt in row.rtts]
        writer.writerow([*(getattr(row, name) for name in fixed), " ".join(row.flags), *rtts])
    return out.getvalue()


def csv_response(text: str, name: str) -> Response[str]:
    """CSV as a download."""
    return Response(
        text,
        media_type="text/csv",
        headers={"Content-Disposition": f"attachment; filename*=UTF-8''{quote(name)}"},
    )


@get("/rounds", sync_to_thread=True, summary="Raw rounds with every RTT", media_type="application/json")
def get_rounds(
    desk: Desk,
    target: str,
    agent: Agents = None,
    begin: BeginText = "",
    end: EndText = "",
    limit: int = 10_000,
    form: Annotated[Literal["json", "csv"], Parameter(query="format")] = "json",
) -> Response[Any]:
    """Rounds in order of time, the first `limit` of each agent in the range, while raw rounds are kept."""
    span = parse_span(begin, end)
    check_points(limit, MOST_ROUNDS)
    bodies: list[RoundBody] = []
    for of, name in choose_pairs(desk, [target], agent):
        question = SeriesQuestion(
            task=status.task_of(of), agent=name, begin=span.begin, end=span.end, points=limit, level="raw"
        )
        bodies += round_bodies(of.path, name, desk.master.store.rounds(question))
    if form == "csv":
        return csv_response(rounds_csv(bodies), of.path.strip("/").replace("/", "-") + ".csv")
    return Response(msgspec.json.encode(bodies), media_type="application/json")


# ---------------------------------------------------------------- agents


def agent_bodies(desk: Desk) -> list[AgentBody]:
    """All agents, configured or heard of."""
    now = clock()
    counts: dict[str, int] = {}
    for target in desk.settings.targets:
        for name in target.agents:
            counts[name] = counts.get(name, 0) + 1
    heard = desk.master.registry.sightings()
    names = list(dict.fromkeys([*desk.settings.agents, *counts, *heard]))
    return [_agent_body(desk, name, counts.get(name, 0), heard.get(name), now) for name in names]


def _agent_body(desk: Desk, name: str, targets: int, heard: Any, now: int) -> AgentBody:
    agent = desk.settings.agents.get(name)
    seen = heard.seen if heard else 0
    silent = (now - seen) / ranges.NANO if seen else None
    return AgentBody(
        name=name,
        title=agent.title if agent else name,
        location=agent.location if agent else "",
        color=agent.color if agent else "",
        targets=targets,
        seen=ranges.rfc3339(seen) if seen else None,
        silent=silent,
        alive=silent is not None and silent < 3 * desk.settings.heartbeat_interval,
        clock_offset=heard.clock_offset if heard else None,
        health=msgspec.to_builtins(heard.health) if heard else None,
    )


@get("/agents", sync_to_thread=True, summary="Agents and their health")
def get_agents(desk: Desk) -> list[AgentBody]:
    """All agents: when each was last heard of, and what it said of itself."""
    return agent_bodies(desk)


# ---------------------------------------------------------------- events


def _event_text(paths: dict[int, str], event: Fresh) -> bytes:
    rows = [
        {"target": paths[task], "agent": event.agent, "time": when / ranges.NANO, "sent": sent,
         "received": received, "median": median}
        for task, when, sent, received, median in event.rows
        if task in paths
    ]  # fmt: skip
    return msgspec.json.encode(rows)


async def event_stream(hub: Hub, paths: dict[int, str], after: int | None) -> AsyncIterator[ServerSentEventMessage]:
    """Server-sent events: `rounds` with new rounds, `gap` when some were missed, comments as heartbeat."""
    with hub.subscribe(paths.keys(), after) as subscription:
        yield ServerSentEventMessage(comment="smokemesh", retry=2000)
        while True:
            event = await subscription.next(HEARTBEAT)
            match event:
                case Fresh():
                    text = _event_text(paths, event).decode()
                    yield ServerSentEventMessage(data=text, event="rounds", id=event.number)
                case Gap():
                    yield ServerSentEventMessage(data="{}", event="gap", id=event.number)
                case None if subscription.closed:
                    return
                case None:
                    yield ServerSentEventMessage(comment="still here")


@get("/events", summary="New rounds as they are stored (server-sent events)")
async def get_events(request: Request[Any, Any, Any], desk: Desk, target: list[str] | None = None) -> ServerSentEvent:
    """Rounds of the named targets and of all below them; of every target when none is named."""
    nodes = [desk.node(path) for path in target or ["/"]]
    found = [below.target for node in nodes for below in node.walk() if below.target is not None]
    last = request.headers.get("last-event-id", "")
    paths = {status.task_of(one): one.path for one in found}
    return ServerSentEvent(
        event_stream(desk.master.live, paths, int(last) if last.isdecimal() else None),
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


# ---------------------------------------------------------------- errors and routes


def explain(error: SmokemeshError) -> Response[ErrorBody]:
    """An error of ours as an answer."""
    return Response(ErrorBody(error.code, str(error)), status_code=error.http_status, media_type="application/json")


def on_error(_: Request[Any, Any, Any], error: SmokemeshError) -> Response[ErrorBody]:
    """Errors of ours have their own status."""
    return explain(error)


def on_refusal(_: Request[Any, Any, Any], error: HTTPException) -> Response[ErrorBody]:
    """What the framework refuses: a parameter of the wrong type, a missing one."""
    extra = error.extra if isinstance(error.extra, list) else []
    details = "; ".join(f"{one.get('key', '')}: {one.get('message', '')}" for one in extra if isinstance(one, dict))
    code = "not_found" if error.status_code == 404 else "usage"
    return Response(
        ErrorBody(code, details or error.detail), status_code=error.status_code, media_type="application/json"
    )


HANDLERS: Final = [
    get_tree, get_targets, get_target, get_latest, get_series, get_svg, get_png, get_csv, get_rounds, get_agents, get_events,
]  # fmt: skip

routes = [
    Router(
        path=PREFIX,
        route_handlers=HANDLERS,
        dependencies={"desk": Provide(provide_desk, sync_to_thread=False)},
        exception_handlers={SmokemeshError: on_error, HTTPException: on_refusal},
        tags=["query"],
    )
]
