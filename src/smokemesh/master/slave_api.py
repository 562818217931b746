"""The route of SmokePing's CGI: slaves post to it, hosts with changing addresses tell theirs, old bookmarks lead to the page."""

import asyncio
import logging
import re
import time
from typing import Any, Final

from litestar import HttpMethod, Request, Response, Router, route
from litestar.datastructures import State
from litestar.response import Redirect

from smokemesh.errors import NotFound, SmokemeshError, WireError
from smokemesh.master.operations import master_of
from smokemesh.master.state import Master
from smokemesh.master.web.old_urls import old_url, parameters
from smokemesh.smokeping import protocol
from smokemesh.smokeping.protocol import Answer

log = logging.getLogger(__name__)

Asked = Request[Any, Any, State]

PATH: Final = "/smokeping.cgi"
#: What a path of a CGI looks like; anything else may be the path of a page here.
_CGI: Final = re.compile(r"smokeping[^/]*/?$|\.f?cgi$|\.pl$", re.IGNORECASE)
#: Bytes of a post: after a long outage a slave sends all it has at once.
MOST_BODY: Final = 64 * 2**20
#: Seconds a post may take to arrive; the slave itself waits a minute for its answer.
MOST_READ: Final = 60.0


class Refused(WireError):
    """The request cannot be taken as it is."""

    def __init__(self, status: int, why: str) -> None:
        self.status = status
        super().__init__(why)


async def answer_cgi(request: Asked) -> Response[Any]:
    """What SmokePing's CGI would be asked."""
    master = master_of(request)
    try:
        length = _announced(request)
        async with master.slave_places.of(length):
            body = await _read(request, length) if request.method == "POST" else b""
            fields = protocol.form_fields(request.headers.get("content-type", ""), body, request.scope["query_string"])
            call = protocol.call_of(fields)
            if call is not None:
                peer = request.client.host if request.client else ""
                program = request.headers.get("user-agent", "")[:80]
                return _sent(await master.slaves.answer(call, peer, program, time.time_ns()))
    except Refused as error:
        return _sent(_refusal(master, request, error.status, str(error)))
    except WireError as error:
        return _sent(_refusal(master, request, 400, str(error)))
    if fields.get("secret") and fields.get("target"):
        return _sent(await _told(master, request, fields))
    query = body if request.method == "POST" and not request.scope["query_string"] else request.scope["query_string"]
    return Redirect(old_url(parameters(query[:10_000].decode("latin-1"))), status_code=303 if body else 302)


def _refusal(master: Master, request: Asked, status: int, why: str) -> Answer:
    peer = request.client.host if request.client else "?"
    master.metrics.refused("slave")
    if master.quiet.speak((peer, "slave", why[:60]), time.monotonic()):
        log.warning("refused: route=%s peer=%s reason=%r", request.url.path, peer, why)
    return protocol.warning(f"WARNING: {why}\n", status)


async def _told(master: Master, request: Asked, fields: dict[str, bytes]) -> Answer:
    """A host with a changing address says where it is."""
    peer = request.client.host if request.client else ""
    target = fields["target"].decode("utf-8", "replace")[:1000]
    try:
        await master.host_told(target, fields["secret"][:1000], peer)
    except (NotFound, ValueError) as error:
        return _refusal(master, request, 404, f"target {target[:100]!a}: {error}")
    except SmokemeshError as error:
        return _refusal(master, request, 503, str(error))
    return Answer(200, protocol.TEXT, b"")


def _announced(request: Asked) -> int:
    """Content-Length, -1 for none. Raises Refused for what will not be read."""
    if request.headers.get("content-encoding", "identity").lower() not in ("", "identity"):
        raise Refused(415, "the body is compressed; send it plain")
    text = request.headers.get("content-length", "")
    length = int(text) if text.isdigit() and len(text) < 20 else -1
    if length > MOST_BODY:
        raise Refused(413, f"the body has {length} bytes, {MOST_BODY} are taken; send fewer lines at a time")
    return length


async def _read(request: Asked, announced: int) -> bytes:
    parts, length = [], 0
    try:
        async with asyncio.timeout(MOST_READ):
            async for part in request.stream():
                length += len(part)
                if length > MOST_BODY:
                    raise Refused(413, f"the body has more than {MOST_BODY} bytes; send fewer lines at a time")
                parts.append(part)
    except TimeoutError:
        raise Refused(
            408, f"{length} bytes of the body came in {MOST_READ:.0f} s; send fewer lines at a time"
        ) from None
    if announced >= 0 and length != announced:
        raise Refused(400, f"the body was cut off: {length} of {announced} bytes came")
    return b"".join(parts)


def _sent(answer: Answer) -> Response[bytes]:
    # Slaves compare the type letter by letter; as a media type it would get a charset.
    headers = {**answer.headers, "Content-Type": answer.content_type, "Cache-Control": "no-store"}
    return Response(answer.body, status_code=answer.status, headers=headers, media_type="")


def routes(path: str) -> list[Router]:
    """The route, at SmokePing's usual path and at the one that is configured."""
    paths = [PATH]
    if path != PATH and _CGI.search(path):
        paths.append(path)
    elif path != PATH:
        log.warning("slaves are served at %s alone, smokeping.path is no path of a CGI: path=%s", PATH, path)
    handler = route(paths, http_method=[HttpMethod.GET, HttpMethod.POST], status_code=200, include_in_schema=False)
    return [Router(path="/", route_handlers=[handler(answer_cgi)], request_max_body_size=None)]
