"""The HTML pages: overview of a place in the tree, one target with its smoke graphs, agents.

Rendered on the server from the templates beside this file; the front end then draws the graphs and keeps them
current. Nothing is fetched from anywhere else, and the content policy forbids it.
"""

import functools
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import jinja2
import msgspec
from litestar import Request, Response, Router, get
from litestar.di import NamedDependency, Provide
from litestar.exceptions import HTTPException
from litestar.params import FromPath, FromQuery
from litestar.response import Redirect

from smokemesh.analysis import smoke
from smokemesh.errors import NotFound, SmokemeshError
from smokemesh.master.web import language, ranges, screen, status
from smokemesh.master.web.answers import agent_bodies
from smokemesh.master.web.desk import Desk, provide_desk
from smokemesh.model.rounds import Flag
from smokemesh.model.target import Node
from smokemesh.version import __version__

HERE: Final = Path(__file__).parent
STATIC: Final = HERE / "static"
#: Attention lists longer than this tell how many more there are.
MOST_ATTENTION: Final = 24
#: With no more targets than this in its groups, an overview shows their graphs instead of the groups.
MOST_SPREAD: Final = 60
THEMES: Final = ("auto", "light", "dark")
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-cache",
}
TYPES: Final = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".map": "application/json",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
}


@dataclass(frozen=True, slots=True)
class Visitor:
    """What one request says of its reader."""

    texts: language.Catalogue
    theme: str
    #: The address of this page, without its language parameter.
    path: str
    query: str


def visitor(request: Request[Any, Any, Any]) -> Visitor:
    """The reader's language and theme."""
    code = language.choose(
        request.query_params.get("lang", ""),
        request.cookies.get("lang", ""),
        request.headers.get("accept-language", ""),
    )
    theme = request.cookies.get("theme", "auto")
    return Visitor(
        texts=language.catalogue(code),
        theme=theme if theme in THEMES else "auto",
        path=request.url.path,
        query=request.url.query,
    )


@functools.cache
def stamp(name: str) -> str:
    """A few digits of a static file's content, so that browsers keep it for good and still see each change."""
    path = STATIC / name
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12] if path.is_file() else "0"


def static_url(name: str) -> str:
    """The address of a static file."""
    return f"/static/{name}?v={stamp(name)}"


@functools.cache
def environment() -> jinja2.Environment:
    """The templates."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals.update(static_url=static_url, version=__version__, languages=tuple(language.LANGUAGES))
    made.globals.update(catalogue=language.catalogue, themes=THEMES)
    made.filters.update(ms=screen.duration, percent=screen.percent, span=_span, bytes=screen.size)
    return made


@jinja2.pass_context
def _span(context: jinja2.runtime.Context, seconds: float | None) -> str:
    """A length of time in the language of the page."""
    texts: language.Catalogue = context["t"]
    return texts.span(seconds)


def render(
    desk: Desk, reader: Visitor, template: str, *, node: Node | None = None, code: int = 200, **values: Any
) -> Response[str]:
    """A page."""
    data = {
        "texts": reader.texts.texts,
        "lang": reader.texts.tag,
        "palette": palette(values.pop("pings", 20)),
        "flags": {str(flag.value): f"flag_{flag.name.lower()}" for flag in Flag if flag.value and flag.name},
        "ranges": ranges.RANGES,
        "classic": ranges.CLASSIC,
        **values.pop("data", {}),
    }
    html = (
        environment()
        .get_template(template)
        .render(
            t=reader.texts,
            reader=reader,
            agent_title=desk.agent_title,
            tree=menu(desk, node),
            here=node.path if node else "",
            data=_script_safe(data),
            code=code,
            problem=getattr(desk.master, "reload_error", "") or "",
            **values,
        )
    )
    response = Response(html, status_code=code, media_type="text/html", headers=HEADERS)
    return response


def _script_safe(data: Any) -> str:
    """JSON that cannot end the script element it stands in."""
    return msgspec.json.encode(data).decode().replace("<", "\\u003c").replace("&", "\\u0026")


def palette(pings: int) -> dict[str, Any]:
    """The colours of loss and the layers of the smoke: the front end paints by the same rules as the server."""
    return {
        "loss": [[step.most, step.color, step.label] for step in smoke.loss_colors(pings)],
        "layers": [[layer.low, layer.high, layer.grey] for layer in smoke.LAYERS],
    }


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the menu."""

    path: str
    menu: str
    host: str
    state: status.State
    parent: bool
    open: bool
    current: bool
    children: tuple["Entry", ...]


def menu(desk: Desk, current: Node | None) -> tuple[Entry, ...]:
    """The menu, open along the path to the current node; the rest is fetched when opened."""
    try:
        states = desk.board.now(desk.settings).states
    except SmokemeshError:  # the page that tells of it has a menu too
        states = {}
    here = current.path if current else ""
    return tuple(_entries(desk.settings.tree, here, states))


def _entries(node: Node, here: str, states: dict[str, status.State]) -> Iterator[Entry]:
    for child in node.children:
        if child.hidden:
            continue
        opened = here == child.path or here.startswith(child.path + "/")
        yield Entry(
            path=child.path,
            menu=child.menu or child.name,
            host=child.target.host if child.target else "",
            state=status.tally(child, states).state,
            parent=bool(child.children),
            open=opened and bool(child.children),
            current=here == child.path,
            children=tuple(_entries(child, here, states)) if opened else (),
        )


@dataclass(frozen=True, slots=True)
class Card:
    """A target in an overview."""

    node: Node
    state: status.State
    sights: list[status.Sight]
    #: The sight shown in large: the worst, then the slowest.
    worst: status.Sight | None
    #: How many agents measure it, and from how many of them nothing came lately.
    agents: int
    quiet: int


@dataclass(frozen=True, slots=True)
class Group:
    """A group in an overview."""

    node: Node
    tally: status.Tally


def card(node: Node, now: status.Snapshot) -> Card:
    """A target as an overview shows it."""
    assert node.target is not None
    sights = now.sights(node.target)
    every, quiet = {sight.agent for sight in sights}, status.quiet(sights)
    worst = max(sights, key=lambda sight: sight.rank, default=None)
    return Card(node, status.verdict(sights), sights, worst, len(every), len(quiet))


def cards_below(node: Node, now: status.Snapshot) -> list[Card]:
    """All targets below a node."""
    return [card(below, now) for below in status.visible(node) if below.target is not None and below is not node]


def attention(node: Node, now: status.Snapshot) -> list[Card]:
    """The targets below a node that do not answer as they should, worst first."""
    cards = [card(below, now) for below in status.visible(node) if below.target is not None]
    order = {"down": 0, "loss": 1, "doubt": 2, "silent": 3}
    return sorted((one for one in cards if one.state in order), key=lambda one: order[one.state])


def _quiet_agents(node: Node, now: status.Snapshot) -> list[str]:
    """Agents of the targets below a node from which nothing came lately, of any of them."""
    places = [below.target for below in status.visible(node) if below.target is not None]
    return sorted(status.quiet([sight for target in places for sight in now.sights(target)]))


def trail(desk: Desk, path: FromPath[str]) -> list[Node]:
    """The nodes from the root to a path."""
    parts = [part for part in path.split("/") if part]
    steps = ["/" + "/".join(parts[: k + 1]) for k in range(len(parts))]
    found = (desk.settings.tree.find(step) for step in steps)
    return [desk.settings.tree, *(node for node in found if node is not None)]


def overview(desk: Desk, reader: Visitor, node: Node) -> Response[str]:
    """The overview of a place in the tree."""
    now = desk.board.now(desk.settings)
    states = now.states
    shown = [child for child in node.children if not child.hidden]
    troubled = attention(node, now)
    groups = [Group(child, status.tally(child, states)) for child in shown if child.children]
    spread = sum(group.tally.total for group in groups) <= MOST_SPREAD
    return render(
        desk,
        reader,
        "overview.html",
        node=node,
        title=node.title or node.menu or reader.texts("all_targets"),
        place=node,
        trail=trail(desk, node.path),
        tally=status.tally(node, states),
        groups=[] if spread else groups,
        sections=[(group, cards_below(group.node, now)) for group in groups] if spread else [],
        cards=[card(child, now) for child in shown if child.target is not None],
        quiet=[desk.agent_title(name) for name in _quiet_agents(node, now)],
        attention=troubled[:MOST_ATTENTION],
        unattended=max(0, len(troubled) - MOST_ATTENTION),
        data={"page": "overview", "path": node.path},
    )


def detail(desk: Desk, reader: Visitor, node: Node) -> Response[str]:
    """One target with its graphs, and the overview of what lies below it."""
    assert node.target is not None
    target, now = node.target, desk.board.now(desk.settings)
    states = now.states
    probe = status.probe_of(desk.settings, target)
    shown = [child for child in node.children if not child.hidden]
    agents = [
        {"name": name, "title": desk.agent_title(name), "color": desk.agent_color(name)} for name in target.agents
    ]
    return render(
        desk,
        reader,
        "target.html",
        node=node,
        title=node.title or node.menu or node.name,
        place=node,
        target=target,
        probe=probe,
        pings=probe.pings,
        probe_name=target.probe.partition("#")[0],
        card=card(node, now),
        trail=trail(desk, node.path),
        groups=[Group(child, status.tally(child, states)) for child in shown if child.children],
        cards=[card(child, now) for child in shown if child.target is not None],
        ranges=ranges.RANGES,
        classic=ranges.CLASSIC,
        data={
            "page": "target",
            "path": target.path,
            "title": node.title or node.menu or node.name,
            "agents": agents,
            "step": probe.step,
            "pings": probe.pings,
        },
    )


@get("/", sync_to_thread=True, include_in_schema=False)
def get_root(request: Request[Any, Any, Any], desk: NamedDependency[Desk]) -> Response[str]:
    """The overview of everything."""
    return overview(desk, visitor(request), desk.node("/"))


@get("/targets/{path:path}", sync_to_thread=True, include_in_schema=False)
def get_place(request: Request[Any, Any, Any], desk: NamedDependency[Desk], path: FromPath[str]) -> Response[str]:
    """A place in the tree."""
    node, reader = desk.node(path), visitor(request)
    return detail(desk, reader, node) if node.target is not None else overview(desk, reader, node)


@get("/agents", sync_to_thread=True, include_in_schema=False)
def get_agents(request: Request[Any, Any, Any], desk: NamedDependency[Desk]) -> Response[str]:
    """The agents and their health."""
    reader = visitor(request)
    return render(
        desk,
        reader,
        "agents.html",
        title=reader.texts("agents"),
        agents=agent_bodies(desk),
        data={"page": "agents"},
    )


@get("/language/{code:str}", sync_to_thread=False, include_in_schema=False)
def set_language(request: Request[Any, Any, Any], code: FromPath[str], back: FromQuery[str] = "/") -> Redirect:
    """Remember the language, and go back to the page."""
    # Only a path of ours: "//host" and "/\\host" would lead to another site.
    safe = back if back.startswith("/") and not back.startswith(("//", "/\\")) else "/"
    answer = Redirect(safe, status_code=303)
    if code in language.LANGUAGES:
        answer.set_cookie("lang", code, max_age=400 * 86400, samesite="lax", path="/")
    return answer


@get("/smokeping.cgi", sync_to_thread=True, include_in_schema=False)
def get_old_bookmark(desk: NamedDependency[Desk], target: FromQuery[str] = "") -> Redirect:
    """SmokePing's address of a target, `?target=A.B~agent`: the page that shows it here."""
    place, _, agent = target.partition("~")
    node = desk.settings.tree.find("/" + place.replace(".", "/")) if place else None
    if node is None:
        return Redirect("/", status_code=302)
    return Redirect(f"/targets{node.path}" + (f"?agent={agent}" if agent else ""), status_code=301)


@get("/static/{path:path}", sync_to_thread=True, include_in_schema=False)
def get_static(path: FromPath[str]) -> Response[bytes]:
    """A file of the front end. Its address changes with its content, so it may be kept for good."""
    wanted = (STATIC / path.lstrip("/")).resolve()
    if not wanted.is_relative_to(STATIC) or not wanted.is_file():
        raise NotFound(f"/static{path}: no such file")
    return Response(
        wanted.read_bytes(),
        media_type=TYPES.get(wanted.suffix, "application/octet-stream"),
        headers={"Cache-Control": "public, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"},
    )


@get("/favicon.ico", sync_to_thread=False, include_in_schema=False)
def get_favicon() -> Redirect:
    """Browsers ask here when they have not read a page yet."""
    return Redirect(static_url("favicon.svg"), status_code=302)


def explain_page(request: Request[Any, Any, Any], error: Exception) -> Response[str]:
    """An error as a page a person can go on from."""
    desk = provide_desk(request.app.state)
    reader = visitor(request)
    code = error.http_status if isinstance(error, SmokemeshError) else int(getattr(error, "status_code", 500))
    missing = code == 404
    return render(
        desk,
        reader,
        "missing.html",
        title=reader.texts("missing_title" if missing else "failed_title"),
        code=code,
        missing=missing,
        what=request.url.path,
        message="" if missing else str(getattr(error, "detail", error)),
        near=_near(desk, request.url.path) if missing else [],
        data={"page": "missing"},
    )


def _near(desk: Desk, path: FromPath[str]) -> list[Node]:
    """Places whose name occurs in what was asked for."""
    wanted = path.rstrip("/").rsplit("/", 1)[-1].lower()
    if len(wanted) < 2:
        return []
    nodes = (node for node in desk.settings.tree.walk() if node.name and not node.hidden)
    return [node for node in nodes if wanted in node.name.lower() or node.name.lower() in wanted][:6]


routes = [
    Router(
        path="/",
        route_handlers=[
            get_root, get_place, get_agents, set_language, get_old_bookmark, get_static, get_favicon,
        ],
        dependencies={"desk": Provide(provide_desk, sync_to_thread=False)},
        exception_handlers={SmokemeshError: explain_page, HTTPException: explain_page},
    )
]  # fmt: skip
