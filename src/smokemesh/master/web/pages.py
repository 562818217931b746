"""The HTML pages: overview of a place in the tree, one target with its smoke graphs, agents.

Rendered on the server from the templates beside this file; the front end then draws the graphs and keeps them
current. Nothing is fetched from anywhere else, and the content policy forbids it.
"""

import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import jinja2
import msgspec
from litestar import Request, Response, Router, get
from litestar.di import NamedDependency, Provide
from litestar.exceptions import HTTPException
from litestar.params import FromPath, FromQuery, QueryParameter
from litestar.response import Redirect

from smokemesh.analysis import smoke
from smokemesh.errors import NotFound, SmokemeshError
from smokemesh.master.web import asked, language, palette, ranges, screen, search, status
from smokemesh.master.web.answers import agent_bodies, found_bodies
from smokemesh.master.web.cards import Group, attention, card, cards_below, cards_of, quiet_agents
from smokemesh.master.web.desk import Desk, clock, provide_desk
from smokemesh.master.web.hierarchies import hierarchy_of
from smokemesh.master.web.menu import Links, here_of, menu
from smokemesh.master.web.overlay import overlay_of
from smokemesh.master.web.remark import remark
from smokemesh.model.rounds import Flag
from smokemesh.model.target import Node
from smokemesh.version import __version__

HERE: Final = Path(__file__).parent
STATIC: Final = HERE / "static"
#: Attention lists longer than this tell how many more there are.
MOST_ATTENTION: Final = 24
#: With no more targets than this in its groups, an overview shows their graphs instead of the groups.
MOST_SPREAD: Final = 60
#: Characters of a search.
MOST_SEARCH: Final = 200
#: Places on a page of search results.
MOST_HITS: Final = 500
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
    #: The hierarchy they walk in, "" for the main tree.
    hierarchy: str = ""
    #: What they search for.
    search: str = ""
    #: The parameters of the address, in order.
    given: tuple[tuple[str, str], ...] = ()


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
        hierarchy=request.query_params.get("hierarchy", ""),
        search=request.query_params.get("q", request.query_params.get("filter", ""))[:MOST_SEARCH],
        given=tuple(request.query_params.multi_items()),
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
    made.filters.update(remark=remark, ms=screen.duration, percent=screen.percent, span=_span, bytes=screen.size)
    return made


@jinja2.pass_context
def _span(context: jinja2.runtime.Context, seconds: float | None) -> str:
    """A length of time in the language of the page."""
    texts: language.Catalogue = context["t"]
    return texts.span(seconds)


def render(
    desk: Desk,
    reader: Visitor,
    template: str,
    *,
    node: Node | None = None,
    links: Links | None = None,
    code: int = 200,
    **values: Any,
) -> Response[str]:
    """A page."""
    way = links or links_of(desk, reader)
    here = here_of(node, way.hierarchy)
    data = {
        "texts": reader.texts.texts,
        "lang": reader.texts.tag,
        "palette": palette_of(desk, values.pop("pings", 20)),
        "flags": {str(flag.value): f"flag_{flag.name.lower()}" for flag in Flag if flag.value and flag.name},
        "ranges": ranges.RANGES,
        "classic": ranges.CLASSIC,
        "hierarchy": way.hierarchy.name if way.hierarchy else "",
        **values.pop("data", {}),
    }
    html = (
        environment()
        .get_template(template)
        .render(
            t=reader.texts,
            reader=reader,
            agent_title=desk.agent_title,
            host_of=desk.host,
            tree=menu(desk, node, way),
            here=here,
            links=way,
            hierarchies=desk.settings.presentation.hierarchies,
            owner=desk.settings.presentation.owner,
            contact=desk.settings.presentation.contact,
            data=_script_safe(data),
            code=code,
            problem=getattr(desk.master, "reload_error", "") or "",
            **values,
        )
    )
    response = Response(html, status_code=code, media_type="text/html", headers=HEADERS)
    return response


def links_of(desk: Desk, reader: Visitor) -> Links:
    """How pages are linked for a reader: within the hierarchy they walk in, if there is one of that name."""
    return Links(hierarchy_of(desk.settings, reader.hierarchy) if reader.hierarchy else None)


def _script_safe(data: Any) -> str:
    """JSON that cannot end the script element it stands in."""
    return msgspec.json.encode(data).decode().replace("<", "\\u003c").replace("&", "\\u0026")


def palette_of(desk: Desk, pings: int) -> dict[str, Any]:
    """The colours of loss and the layers of the smoke: the front end paints by the same rules as the server."""
    return {
        "loss": [[step.most, step.color, step.label] for step in palette.loss_steps(desk.settings, pings)],
        "layers": [[layer.low, layer.high, layer.grey] for layer in smoke.LAYERS],
        "most": desk.settings.presentation.max_rtt,
    }


def trail(root: Node, path: str) -> list[Node]:
    """The nodes from a root to a path."""
    parts = [part for part in path.split("/") if part]
    steps = ["/" + "/".join(parts[: k + 1]) for k in range(len(parts))]
    found = (root.find(step) for step in steps)
    return [root, *(node for node in found if node is not None)]


def _trail(desk: Desk, node: Node, links: Links) -> list[Node]:
    """The way to a page in the tree its reader walks in."""
    here = here_of(node, links.hierarchy)
    if links.hierarchy and here:
        return trail(links.hierarchy.root, here)
    return trail(desk.settings.tree, node.path)


def overview(desk: Desk, reader: Visitor, node: Node, links: Links | None = None) -> Response[str]:
    """The overview of a place in the tree."""
    way = links or links_of(desk, reader)
    now = desk.board.now(desk.settings)
    shown = [child for child in node.children if not child.hidden]
    troubled = attention(node, now, way)
    groups = [Group(child, status.tally(child, now.states)) for child in shown if child.children]
    spread = sum(group.tally.total for group in groups) <= MOST_SPREAD
    return render(
        desk,
        reader,
        "overview.html",
        node=node,
        links=way,
        title=node.title or node.menu or reader.texts("all_targets"),
        place=node,
        trail=_trail(desk, node, way),
        tally=status.tally(node, now.states),
        groups=[] if spread else groups,
        sections=[(group, cards_below(group.node, now, way)) for group in groups] if spread else [],
        cards=cards_of(shown, now, way),
        quiet=[desk.agent_title(name) for name in quiet_agents(node, now)],
        attention=troubled[:MOST_ATTENTION],
        unattended=max(0, len(troubled) - MOST_ATTENTION),
        data={"page": "overview", "path": way.real(node) or "/"},
    )


def detail(desk: Desk, reader: Visitor, node: Node) -> Response[str]:
    """One target with its graphs, and the overview of what lies below it."""
    assert node.target is not None
    target, now, way = node.target, desk.board.now(desk.settings), links_of(desk, reader)
    probe = status.probe_of(desk.settings, target)
    shown = [child for child in node.children if not child.hidden]
    refused = asked.refused_range(reader.given, reader.texts, clock())
    agents = [
        {"name": name, "title": desk.agent_title(name), "color": desk.agent_color(name)} for name in target.agents
    ]
    return render(
        desk,
        reader,
        "target.html",
        node=node,
        links=way,
        title=node.title or node.menu or node.name,
        place=node,
        target=target,
        probe=probe,
        pings=probe.pings,
        probe_name=target.probe.partition("#")[0],
        card=card(node, now, way),
        trail=_trail(desk, node, way),
        groups=[Group(child, status.tally(child, now.states)) for child in shown if child.children],
        cards=cards_of(shown, now, way),
        ranges=ranges.RANGES,
        classic=ranges.CLASSIC,
        notes=[*filter(None, [refused]), *asked.unknown_agents(reader.given, target.agents, reader.texts)],
        data={
            "page": "target",
            "refused": reader.query if refused else None,
            "path": target.path,
            "title": node.title or node.menu or node.name,
            "agents": agents,
            "glances": glances(desk),
            "step": probe.step,
            "pings": probe.pings,
        },
    )


def several(desk: Desk, reader: Visitor, node: Node) -> Response[str]:
    """A page that draws several targets in one graph."""
    now, way = desk.board.now(desk.settings), links_of(desk, reader)
    drawn = overlay_of(desk.settings, node)
    pings = max((status.probe_of(desk.settings, line.target).pings for line in drawn.lines), default=20)
    shown = [child for child in node.children if not child.hidden]
    refused = asked.refused_range(reader.given, reader.texts, clock())
    strange = asked.unknown_lines(reader.given, (line.name for line in drawn.lines), reader.texts)
    lines = [
        {"name": line.name, "title": line.title, "color": line.color, "target": line.target.path}
        for line in drawn.lines
    ]
    return render(
        desk,
        reader,
        "several.html",
        node=node,
        links=way,
        title=node.title or node.menu or node.name,
        place=node,
        drawn=drawn,
        pings=pings,
        card=card(node, now, way),
        trail=_trail(desk, node, way),
        groups=[Group(child, status.tally(child, now.states)) for child in shown if child.children],
        cards=cards_of(shown, now, way),
        ranges=ranges.RANGES,
        classic=ranges.CLASSIC,
        notes=[*filter(None, [refused]), *strange],
        data={
            "page": "several",
            "refused": reader.query if refused else None,
            "path": node.path,
            "title": node.title or node.menu or node.name,
            "agents": lines,
            "glances": glances(desk),
            "pings": pings,
        },
    )


def glances(desk: Desk) -> list[tuple[str, str]]:
    """The ranges a page of graphs shows at a glance: length and title, "" for the usual one."""
    written = desk.settings.presentation.ranges
    return [(ranges.length(seconds), title) for title, seconds in written] or [(one, "") for one in ranges.CLASSIC]


@get("/", sync_to_thread=True, include_in_schema=False)
def get_root(request: Request[Any, Any, Any], desk: NamedDependency[Desk]) -> Response[str]:
    """The overview of everything."""
    return overview(desk, visitor(request), desk.node("/"))


@get("/targets/{path:path}", sync_to_thread=True, include_in_schema=False)
def get_place(request: Request[Any, Any, Any], desk: NamedDependency[Desk], path: FromPath[str]) -> Response[str]:
    """A place in the tree."""
    node, reader = desk.node(path), visitor(request)
    if node.target is not None:
        return detail(desk, reader, node)
    return several(desk, reader, node) if node.overlay else overview(desk, reader, node)


@get("/hierarchies", sync_to_thread=True, include_in_schema=False)
def get_hierarchies(request: Request[Any, Any, Any], desk: NamedDependency[Desk]) -> Response[str]:
    """The other trees there are."""
    reader = visitor(request)
    return render(
        desk,
        reader,
        "hierarchies.html",
        title=reader.texts("hierarchies"),
        data={"page": "hierarchies"},
    )


@get("/hierarchies/{name:str}", sync_to_thread=True, include_in_schema=False)
def get_hierarchy(request: Request[Any, Any, Any], desk: NamedDependency[Desk], name: FromPath[str]) -> Response[Any]:
    """Another tree over the same targets."""
    return place_in(desk, request, name, "/")


@get("/hierarchies/{name:str}/{path:path}", sync_to_thread=True, include_in_schema=False)
def get_hierarchy_place(
    request: Request[Any, Any, Any], desk: NamedDependency[Desk], name: FromPath[str], path: FromPath[str]
) -> Response[Any]:
    """A place in another tree."""
    return place_in(desk, request, name, "/" + path.strip("/"))


def place_in(desk: Desk, request: Request[Any, Any, Any], name: str, path: str) -> Response[Any]:
    """A place in another tree; what stands for a place of the main tree has its page there."""
    hierarchy = hierarchy_of(desk.settings, name)
    if hierarchy is None:
        known = ", ".join(desk.settings.presentation.hierarchies) or "there are none"
        raise NotFound(f"hierarchy {name}: no such hierarchy; known: {known}")
    links = Links(hierarchy)
    node = hierarchy.root if path == "/" else hierarchy.root.find(path)
    if node is not None and not links.real(node):
        return overview(desk, visitor(request), node, links)
    # SmokePing's addresses name the place in the hierarchy or that in the main tree.
    place = links.place(links.real(node) if node else desk.node(path).path)
    query = request.url.query
    return Redirect(f"{place}{'&' if '?' in place else '?'}{query}" if query else place, status_code=302)


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


@get("/search", sync_to_thread=True, include_in_schema=False)
def get_search(
    request: Request[Any, Any, Any],
    desk: NamedDependency[Desk],
    q: FromQuery[str] = "",
    expression: Annotated[str, QueryParameter(name="filter")] = "",
) -> Response[str]:
    """Places by name: by words, or by an expression as SmokePing's filter takes them."""
    reader, index = visitor(request), search.index_of(desk.settings)
    found = index.expression(expression) if expression else index.words(q)
    typed = (expression or q)[:MOST_SEARCH]
    return render(
        desk,
        reader,
        "search.html",
        title=f"{reader.texts('search_title')}: {typed}" if typed else reader.texts("search_title"),
        typed=typed,
        expression=bool(expression),
        literal=found.literal,
        hits=found_bodies(desk, found.nodes[:MOST_HITS]),
        count=len(found.nodes),
        data={"page": "search"},
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
        name=request.url.path.rstrip("/").rsplit("/", 1)[-1][:MOST_SEARCH],
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
            get_root, get_place, get_hierarchies, get_hierarchy, get_hierarchy_place, get_search, get_agents, set_language, get_static, get_favicon,
        ],
        dependencies={"desk": Provide(provide_desk, sync_to_thread=False)},
        exception_handlers={SmokemeshError: explain_page, HTTPException: explain_page},
    )
]  # fmt: skip
