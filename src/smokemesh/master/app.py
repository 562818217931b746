"""One master as a program: every route in one list, every error to one status, started and stopped in order.

Going down: no new connections, those who wait are let go, what is being stored is finished, the databases are closed.
"""

import asyncio
import logging
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, cast

import msgspec
import uvicorn
from litestar import Litestar, Request, Response
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.types import ASGIApp, ControllerRouterHandler, Receive, Scope, Send

from smokemesh.errors import SmokemeshError
from smokemesh.master import agent_api, alerts_api, operations, query_api, slave_api
from smokemesh.master.premises import data_directory, listen, url_of
from smokemesh.master.state import Load, Master, open_master
from smokemesh.master.web import alert_pages, chart_pages, old_pages, pages
from smokemesh.settings.shape import MasterSettings
from smokemesh.version import __version__

log = logging.getLogger(__name__)

#: Seconds requests under way have to finish when the master stops.
GRACE: Final = 2
#: Pages use only what they are served with; nothing may frame them.
SECURITY_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data: blob:; style-src 'self'; "
    "object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}


class Problem(msgspec.Struct, frozen=True):
    """Why a request failed: a code for machines and a sentence for people."""

    code: str
    message: str


def create_app(master: Master) -> Litestar:
    """The web application of a running master."""
    handlers: list[ControllerRouterHandler] = [
        *agent_api.routes,
        *operations.routes,
        *slave_api.routes(master.settings.smokeping.path),
        *query_api.routes,
        *pages.routes,
        *old_pages.routes(master.settings.smokeping.path),
        *chart_pages.routes,
        *alerts_api.routes,
        *alert_pages.routes,
    ]
    return Litestar(
        route_handlers=handlers,
        state=State({"master": master}),
        # The most specific class wins: a handler's own error, the framework's refusals, anything else.
        exception_handlers={
            SmokemeshError: _own_error,
            HTTPException: _refusal,
            Exception: _internal_error,
        },
        after_request=_secure,
        openapi_config=OpenAPIConfig(
            title="smokemesh",
            version=__version__,
            path="/schema",
            use_handler_docstrings=True,
            render_plugins=[JsonRenderPlugin(path=["/", "/openapi.json"])],
        ),
        logging_config=None,
    )


def run_master(settings: MasterSettings, data_dir: str, load: Load, inherited: socket.socket | None = None) -> None:
    """Serve until SIGTERM or SIGINT. `load` reads the configuration again, for SIGHUP and /-/reload.

    `inherited` is a socket that listens already, instead of what the settings say.
    """
    with data_directory(data_dir), inherited or listen(settings.listen_host, settings.listen_port) as listener:
        master = open_master(settings, data_dir, load)
        try:
            asyncio.run(serve(master, listener))
        finally:
            master.close()


async def serve(master: Master, listener: socket.socket) -> None:
    """Serve on a listening socket until told to stop by a signal."""
    server = Server(master)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.leave)
    loop.add_signal_handler(signal.SIGHUP, _reload_soon, master)
    host, port = listener.getsockname()[:2]
    log.info("listening: url=%s targets=%d", url_of(host, port), len(master.settings.targets))
    await server.serve(sockets=[listener])
    log.info("stopped")


def answering_head(app: ASGIApp) -> ASGIApp:
    """Answer HEAD as GET: uvicorn, which knows what was asked, leaves the body out (RFC 9110 section 9.3.2)."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("method") == "HEAD":
            scope = cast(Scope, {**scope, "method": "GET"})
        await app(scope, receive, send)

    return answer


class Server(uvicorn.Server):
    """Uvicorn serving a master; `leave` ends it, and its process with status 0."""

    def __init__(self, master: Master) -> None:
        self._master = master
        super().__init__(
            uvicorn.Config(
                answering_head(create_app(master)),
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=GRACE,
                timeout_keep_alive=75,  # longer than agents and proxies keep an idle connection
                lifespan="off",
            )
        )

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are ours: uvicorn would raise them again after it stopped."""
        yield

    def leave(self) -> None:
        """Stop; the second time at once."""
        log.info("stopping")
        self.force_exit = self.should_exit
        self.should_exit = True
        self._master.stop()


def _reload_soon(master: Master) -> None:
    task = asyncio.get_running_loop().create_task(_reload(master))
    _reloads.add(task)
    task.add_done_callback(_reloads.discard)


#: The event loop keeps only weak references to tasks.
_reloads: set[asyncio.Task[None]] = set()


async def _reload(master: Master) -> None:
    try:
        await master.reload()
    except SmokemeshError:
        pass  # said in the log, on the pages and in /metrics
    except Exception:
        log.exception("configuration not loaded: internal error")


def _own_error(_: Request[Any, Any, State], error: SmokemeshError) -> Response[Problem]:
    return Response(Problem(error.code, str(error)), status_code=error.http_status, media_type="application/json")


def _refusal(request: Request[Any, Any, State], error: HTTPException) -> Response[Any]:
    if "text/html" in request.headers.get("accept", "") and not request.url.path.startswith("/api/"):
        return pages.explain_page(request, error)
    code = "not_found" if error.status_code == 404 else "usage"
    problem = Problem(code, f"{request.url.path}: no such address" if code == "not_found" else error.detail)
    return Response(problem, status_code=error.status_code, headers=error.headers or {}, media_type="application/json")


def _internal_error(request: Request[Any, Any, State], error: Exception) -> Response[Problem]:
    log.error("internal error: route=%s", request.url.path, exc_info=error)
    problem = Problem("internal", "internal error; the master's log says more")
    return Response(problem, status_code=500, media_type="application/json")


def _secure(response: Response[Any]) -> Response[Any]:
    for name, value in SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)
    return response
