"""Routes for those who run the master: is it healthy, is it ready, load the configuration again, metrics."""

import asyncio
from typing import Any
from urllib.parse import urlsplit

import msgspec
from litestar import Request, Response, get, post
from litestar.datastructures import State

from smokemesh.errors import AuthError, SmokemeshError
from smokemesh.master.gauges import gauges
from smokemesh.master.state import Master

Asked = Request[Any, Any, State]

#: Seconds the databases have to answer before the master calls itself not ready.
PATIENCE = 5.0


class Readiness(msgspec.Struct, frozen=True):
    """Whether the master can take and show rounds, and what stands in the way."""

    ready: bool
    problem: str = ""


class Reloaded(msgspec.Struct, frozen=True):
    """What a reload changed."""

    targets: int
    #: Agents that get other work.
    agents_changed: list[str]


def master_of(request: Asked) -> Master:
    """The running master."""
    master: Master = request.app.state.master
    return master


@get("/-/healthy", tags=["operations"], summary="The process runs", media_type="text/plain")
async def get_healthy() -> str:
    """Answers as long as the process serves requests."""
    return "healthy\n"


@get("/-/ready", tags=["operations"], summary="Rounds can be taken and shown")
async def get_ready(request: Asked) -> Response[Readiness]:
    """200 when both databases answer; 503 with the reason otherwise."""
    master, problem = master_of(request), ""
    try:
        async with asyncio.timeout(PATIENCE):
            await asyncio.to_thread(master.store.ping)
            await asyncio.to_thread(master.catalogue.ping)
    except TimeoutError:
        problem = f"a database did not answer within {PATIENCE:.0f} s"
    except SmokemeshError as error:
        problem = str(error)
    if master.stopping:
        problem = "the master is stopping"
    return Response(Readiness(not problem, problem), status_code=503 if problem else 200)


@post("/-/reload", status_code=200, tags=["operations"], summary="Load the configuration again")
async def post_reload(request: Asked) -> Reloaded:
    """Parses everything, then swaps; a file with a mistake changes nothing and is answered with what is wrong."""
    origin = request.headers.get("origin")
    if origin and urlsplit(origin).netloc != request.headers.get("host"):
        raise AuthError(f"reload: a page of {origin[:200]} asked for it; ask from a shell: curl -X POST URL/-/reload")
    master = master_of(request)
    changed = await master.reload()
    return Reloaded(targets=len(master.settings.targets), agents_changed=changed)


@get("/metrics", tags=["operations"], summary="Metrics for Prometheus", media_type="text/plain")
async def get_metrics(request: Asked) -> Response[bytes]:
    """The numbers of every target and of this master."""
    master = master_of(request)
    # Labels and gauges belong to the event loop; the store and the long text do not.
    labels = master.labels()
    usage = await asyncio.to_thread(master.usage)
    rows = gauges(master, usage)
    text = await asyncio.to_thread(master.metrics.render, rows, labels)
    return Response(text, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})


routes = [get_healthy, get_ready, post_reload, get_metrics]
