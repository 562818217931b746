"""What people and programs may ask: the tree, series, newest rounds, agents, pictures; under /api/v1.

Times in parameters are `now`, `now-3h`, RFC 3339 or Unix seconds. Errors are `{"code", "message"}` with the fitting
status. `web.answers` says what the answers hold.
"""

import re
from collections.abc import AsyncIterator
from typing import Annotated, Any, Final, Literal

import msgspec
from litestar import Request, Response, Router, get
from litestar.di import NamedDependency, Provide
from litestar.exceptions import HTTPException
from litestar.params import FromPath, QueryParameter
from litestar.response import ServerSentEvent, ServerSentEventMessage

from smokemesh.errors import NotFound, SmokemeshError, UsageError
from smokemesh.master.assignments import upload_interval
from smokemesh.master.live import Fresh, Gap, Hub
from smokemesh.master.web import charts, exports, language, png, ranges, search
from smokemesh.master.web.answers import (
    AgentBody,
    ChartsReply,
    ErrorBody,
    NodeBody,
    PlaceBody,
    RoundBody,
    SearchReply,
    SeriesReply,
    SightBody,
    TargetBody,
    agent_bodies,
    chart_body,
    found_bodies,
    node_body,
    place_body,
    round_bodies,
    series_body,
    sight_body,
    target_body,
)
from smokemesh.master.web.chart_pages import ranked
from smokemesh.master.web.desk import (
    MOST_POINTS,
    MOST_ROUNDS,
    Desk,
    check_number,
    choose_views,
    clock,
    drop_bare,
    parse_span,
    provide_desk,
    tasks_of,
)
from smokemesh.master.web.hierarchies import hierarchy_of
from smokemesh.master.web.overlay import targets_below
from smokemesh.model.series import BANDS, LEVELS

PREFIX: Final = "/api/v1"
#: Seconds between two signs of life on a quiet event stream: proxies close what is silent for a minute.
HEARTBEAT: Final = 15.0

#: Places of one answer to a search.
MOST_HITS: Final = 1000
#: Entries of one chart.
MOST_ENTRIES: Final = 100_000
#: No tree is deeper.
MOST_DEPTH: Final = 1000

BeginText = Annotated[str, QueryParameter(description="now-3h, 2026-11-21T10:00:00Z or Unix seconds; three hours ago")]
EndText = Annotated[str, QueryParameter(description="as begin; now")]
Path = Annotated[str, QueryParameter(description="path of a target, like /changzhou/rack29")]
Paths = Annotated[
    list[str],
    QueryParameter(
        description="path of a target, like /changzhou/rack29, or as one agent sees it, /changzhou/rack29~zurich, "
        "or of a page that draws several; may be repeated"
    ),
]
Lines = Annotated[
    list[str] | None,
    QueryParameter(description="of a page that draws several targets, a line, like /changzhou/rack29~zurich; all"),
]
Agents = Annotated[list[str] | None, QueryParameter(description="name of an agent; may be repeated; all of the target")]
Under = Annotated[str, QueryParameter(description="a place in the tree: only it and what is below; all")]
Depth = Annotated[int, QueryParameter(description="generations of children that are listed")]
Points = Annotated[int, QueryParameter(description="at most about so many points; rounds are merged to keep to it")]
Level = Annotated[str, QueryParameter(description="raw, 5m, 1h or 1d; the finest that answers fast")]
Smoke = Annotated[bool, QueryParameter(description="with the quantiles the smoke is drawn from")]
Width = Annotated[int, QueryParameter(description="width of the plot in pixels")]
Height = Annotated[int, QueryParameter(description="height of the plot in pixels")]
Limit = Annotated[int, QueryParameter(description="the most rounds of each agent")]
Form = Annotated[Literal["json", "csv"], QueryParameter(description="json or csv")]
Places = Annotated[list[str] | None, QueryParameter(description="places in the tree; may be repeated; all")]
Words = Annotated[str, QueryParameter(description="words in the menu text, title, path or host")]
Expression = Annotated[
    str,
    QueryParameter(
        name="filter",
        description="instead of words, a regular expression for menu text, name, title, path or host (RE2)",
    ),
]
Hits = Annotated[int, QueryParameter(description="the most places listed")]
ChartName = Annotated[str, QueryParameter(description="name of a chart; all")]
ChartBegin = Annotated[
    str, QueryParameter(description="as begin of a series, or `round` for the newest round of each; an hour ago")
]
ChartLimit = Annotated[int, QueryParameter(description="the most entries of each chart")]
Zone = Annotated[str, QueryParameter(description="time zone of the picture, like Asia/Shanghai; UTC")]
Theme = Annotated[Literal["light", "dark"], QueryParameter(description="colours of the picture")]
Scale = Annotated[
    Literal["auto", "max", "log"],
    QueryParameter(description="auto fits the usual values, max every ping, log every ping on a logarithmic axis"),
]
Tongue = Annotated[Literal["en", "zh"], QueryParameter(description="language of the picture")]


@get("/tree", sync_to_thread=True, summary="The tree of targets, with the state of each place")
def get_tree(desk: NamedDependency[Desk], under: Under = "/", depth: Depth = 100) -> NodeBody:
    """A node and its children; `depth=1` gives the children only."""
    check_number("depth", depth, 0, MOST_DEPTH)
    return node_body(desk, desk.node(under), desk.board.now(desk.settings).states, depth)


@get("/targets", sync_to_thread=True, summary="All targets, or those below a place in the tree")
def get_targets(desk: NamedDependency[Desk], under: Under = "/") -> list[TargetBody]:
    """Targets in the order of the tree, with what each agent saw last."""
    now = desk.board.now(desk.settings)
    return [target_body(desk, node, node.target, now) for node in desk.node(under).walk() if node.target is not None]


@get("/targets/{path:path}", sync_to_thread=True, summary="One target")
def get_target(desk: NamedDependency[Desk], path: FromPath[str]) -> TargetBody:
    """A target, how it is measured, and what each agent saw last."""
    target = desk.target(path)
    return target_body(desk, desk.node(path), target, desk.board.now(desk.settings))


@get("/latest", sync_to_thread=True, summary="The newest round of every target, by agent")
def get_latest(desk: NamedDependency[Desk], under: Under = "/") -> dict[str, list[SightBody]]:
    """Path of a target to what each agent saw last."""
    now = desk.board.now(desk.settings)
    found = (node.target for node in desk.node(under).walk() if node.target is not None)
    return {target.path: [sight_body(sight) for sight in now.sights(target)] for target in found}


@get("/search", sync_to_thread=True, summary="Places of the tree by name")
def get_search(
    desk: NamedDependency[Desk], q: Words = "", expression: Expression = "", limit: Hits = 50
) -> SearchReply:
    """Every word of `q` stands in the menu text, title, path or host; or `filter` matches one of them."""
    check_number("limit", limit, 0, MOST_HITS)
    index = search.index_of(desk.settings)
    found = index.expression(expression) if expression else index.words(q)
    return SearchReply(count=len(found.nodes), hits=found_bodies(desk, found.nodes[:limit]))


@get("/hierarchies/{name:str}", sync_to_thread=True, summary="Another tree over the same targets")
def get_hierarchy(
    desk: NamedDependency[Desk], name: FromPath[str], under: Under = "/", depth: Depth = 100
) -> PlaceBody:
    """Its places, each with the place of the main tree it stands for; `depth=1` gives the children only."""
    check_number("depth", depth, 0, MOST_DEPTH)
    found = hierarchy_of(desk.settings, name)
    if found is None:
        known = ", ".join(desk.settings.presentation.hierarchies) or "there are none"
        raise NotFound(f"hierarchy {name}: no such hierarchy; known: {known}")
    node = found.root.find("/" + under.strip("/"))
    if node is None:
        raise NotFound(f"hierarchy {name}: no place {under} in it")
    return place_body(desk, found, node, desk.board.now(desk.settings).states, depth)


@get("/charts", sync_to_thread=True, summary="All targets as all agents see them, ranked")
def get_charts(
    desk: NamedDependency[Desk],
    chart: ChartName = "",
    begin: ChartBegin = "",
    end: EndText = "",
    limit: ChartLimit = 10,
) -> ChartsReply:
    """All charts or one, over any range. What has no value is left out: no answer has no RTT, no loss is no entry."""
    return charts_reply(desk, chart, begin, end, limit)


@get("/charts.csv", sync_to_thread=True, summary="Charts as CSV", media_type="text/csv")
def get_charts_csv(
    desk: NamedDependency[Desk],
    chart: ChartName = "",
    begin: ChartBegin = "",
    end: EndText = "",
    limit: ChartLimit = 10,
) -> Response[str]:
    """One line for each entry: RTTs in seconds, loss as a share."""
    reply = charts_reply(desk, chart, begin, end, limit)
    return exports.csv_response(exports.charts_csv(reply.charts), f"charts{'-' if chart else ''}{chart}.csv")


def charts_reply(desk: Desk, chart: str, begin: str, end: str, limit: int) -> ChartsReply:
    """All charts or the one of that name."""
    asked = charts.window(begin, end, desk.settings, clock())
    every = charts.charts_of(desk.settings, language.catalogue(language.DEFAULT))
    wanted = [charts.chart_named(every, chart)] if chart else list(every)
    found = ranked(desk, asked, wanted, check_number("limit", limit, 1, MOST_ENTRIES))
    return ChartsReply(
        begin=asked.span.begin / ranges.NANO,
        end=asked.span.end / ranges.NANO,
        charts=[chart_body(one) for one in found],
    )


@get("/series", sync_to_thread=True, summary="RTT and loss over time")
def get_series(
    desk: NamedDependency[Desk],
    target: Paths,
    agent: Agents = None,
    line: Lines = None,
    begin: BeginText = "",
    end: EndText = "",
    points: Points = 1000,
    level: Level = "",
    smoke: Smoke = True,
) -> SeriesReply:
    """The points of a range, each with counts, quantiles and the figures of the whole range.

    Where nothing was measured there is no point. `points` bounds how many there are; rounds are merged to keep to it.
    """
    span = parse_span(begin, end)
    if level and level not in LEVELS:
        raise UsageError(f"level {level!r}: must be one of {', '.join(LEVELS)}")
    views = choose_views(desk, target, agent, line)
    found = desk.series(views, span, check_number("points", points, 1, MOST_POINTS), level)
    return SeriesReply(
        begin=span.begin / ranges.NANO,
        end=span.end / ranges.NANO,
        now=clock() / ranges.NANO,
        upload_interval=upload_interval(desk.settings),
        quantiles=list(BANDS) if smoke else [],
        series=[series_body(desk, view, one, span, smoke) for view, one in drop_bare(views, found)],
    )


@get("/graph.svg", sync_to_thread=True, summary="The smoke graph as SVG", media_type="image/svg+xml")
def get_svg(
    desk: NamedDependency[Desk],
    target: Paths,
    agent: Agents = None,
    line: Lines = None,
    begin: BeginText = "",
    end: EndText = "",
    theme: Theme = "light",
    lang: Tongue = "en",
    zone: Zone = "UTC",
    width: Width = 800,
    height: Height = 240,
    scale: Scale = "auto",
) -> Response[bytes]:
    """The graph as the page shows it, with its figures."""
    exports.check_size(width, height)
    drawn = exports.draw(desk, target, agent, line, begin, end, width)
    text = exports.picture(desk, drawn, theme, lang, zone, width, height, scale)
    return exports.inline(text.encode(), "image/svg+xml", exports.file_name(drawn, "svg"))


@get("/graph.png", sync_to_thread=True, summary="The smoke graph as PNG", media_type="image/png")
def get_png(
    desk: NamedDependency[Desk],
    target: Paths,
    agent: Agents = None,
    line: Lines = None,
    begin: BeginText = "",
    end: EndText = "",
    theme: Theme = "light",
    lang: Tongue = "en",
    zone: Zone = "UTC",
    width: Width = 800,
    height: Height = 240,
    scale: Scale = "auto",
) -> Response[bytes]:
    """The graph as a picture of twice as many pixels, for sharp screens."""
    exports.check_size(width, height)
    drawn = exports.draw(desk, target, agent, line, begin, end, width)
    text = exports.picture(desk, drawn, theme, lang, zone, width, height, scale)
    return exports.inline(png.render(text), "image/png", exports.file_name(drawn, "png"))


@get("/graph.csv", sync_to_thread=True, summary="The points of the smoke graph as CSV", media_type="text/csv")
def get_csv(
    desk: NamedDependency[Desk],
    target: Paths,
    agent: Agents = None,
    line: Lines = None,
    begin: BeginText = "",
    end: EndText = "",
    points: Points = 1000,
    theme: Theme = "light",
    lang: Tongue = "en",
    zone: Zone = "UTC",
    scale: Scale = "auto",
) -> Response[str]:
    """One line for each point of each agent: RTTs in seconds, loss as a share, times in UTC.

    Takes the parameters of the pictures too, so that one address serves for all three.
    """
    drawn = exports.draw(desk, target, agent, line, begin, end, check_number("points", points, 1, MOST_POINTS))
    return exports.csv_response(exports.points_csv(drawn.found), exports.file_name(drawn, "csv"))


@get("/rounds", sync_to_thread=True, summary="Raw rounds with every RTT", media_type="application/json")
def get_rounds(
    desk: NamedDependency[Desk],
    target: Path,
    agent: Agents = None,
    begin: BeginText = "",
    end: EndText = "",
    limit: Limit = 10_000,
    format: Form = "json",
) -> Response[Any]:
    """Rounds in order of time, the first `limit` of each agent in the range, while raw rounds are kept.

    More than a hundred thousand rounds or two million RTTs in all are refused.
    """
    span = parse_span(begin, end)
    check_number("limit", limit, 1, MOST_ROUNDS)
    bodies: list[RoundBody] = []
    for path, name, batch in desk.rounds(choose_views(desk, [target], agent), span, limit):
        bodies += round_bodies(path, name, batch)
    if format == "csv":
        return exports.csv_response(
            exports.rounds_csv(bodies), desk.target(target).path.strip("/").replace("/", "-") + ".csv"
        )
    return Response(msgspec.json.encode(bodies), media_type="application/json")


@get("/agents", sync_to_thread=True, summary="Agents and their health")
def get_agents(desk: NamedDependency[Desk]) -> list[AgentBody]:
    """All agents: when each was last heard of, and what it said of itself."""
    return agent_bodies(desk)


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
async def get_events(
    request: Request[Any, Any, Any], desk: NamedDependency[Desk], target: Places = None
) -> ServerSentEvent:
    """Rounds of the named targets and of all below them; of every target when none is named."""
    nodes = [desk.node(path) for path in target or ["/"]]
    found = [one for node in nodes for one in targets_below(desk.settings, node)]
    last = request.headers.get("last-event-id", "")
    paths = {task.id: one.path for one in found for task in tasks_of(desk.master, one)}
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


def on_refusal(request: Request[Any, Any, Any], error: HTTPException) -> Response[ErrorBody]:
    """What the framework refuses: a parameter of the wrong type, a missing one."""
    extra = error.extra if isinstance(error.extra, list) else []
    details = "; ".join(_refused(request, one) for one in extra if isinstance(one, dict))
    missing = re.search(r"[Mm]issing required query parameter '(\w+)'", error.detail)
    if missing:
        details = f"{missing[1]} is missing: add {missing[1]}=VALUE to the query"
    code = "not_found" if error.status_code == 404 else "usage"
    return Response(
        ErrorBody(code, details or error.detail), status_code=error.status_code, media_type="application/json"
    )


def _refused(request: Request[Any, Any, Any], one: dict[str, Any]) -> str:
    """One parameter the framework refuses, with its value and what it may be."""
    name, reason = str(one.get("key", "")), str(one.get("message", ""))
    wanted = CHOICES.get(name) or next((words for sign, words in _KINDS.items() if sign in reason), "")
    value = request.query_params.get(name, "")
    return f"{name} {value!r}: must be {wanted}" if wanted else f"{name}: {reason}"


#: What parameters with few values may be, and how the framework names the others' types.
CHOICES: Final = {"theme": "light or dark", "lang": "en or zh", "format": "json or csv", "scale": "auto, max or log"}
_KINDS: Final = {"`int`": "a whole number", "`bool`": "true or false"}

HANDLERS: Final = [
    get_tree, get_targets, get_target, get_latest, get_search, get_hierarchy, get_charts, get_charts_csv, get_series, get_svg, get_png, get_csv, get_rounds, get_agents, get_events,
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
