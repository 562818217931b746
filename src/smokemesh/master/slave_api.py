"""The route of SmokePing's CGI: slaves post to it, hosts with changing addresses tell theirs, old bookmarks lead to the page."""

import logging
import re
import time
from typing import Any, Final

from litestar import HttpMethod, Request, Response, Router, route
from litestar.datastructures import State
from litestar.response import Redirect

from smokemesh.errors import NotFound, SmokemeshError, WireError
from smokemesh.master.operations import master_of
from smokemesh.master.slave_places import Busy, Post
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


class Refused(WireError):
    """The request cannot be taken as it is."""

    def __init__(self, status: int, why: str) -> None:
        self.status = status
        super().__init__(why)


async def answer_cgi(request: Asked) -> Response[Any]:
    """What SmokePing's CGI would be asked."""
    master = master_of(request)
    body = b""
    try:
        if request.method == "GET":
            fields, answer = await _judged(master, request, body)
        else:
            async with master.slave_places.post(_peer(request)) as post:
                body = await _read(request, post)
                async with master.slave_places.answering(post):
                    fields, answer = await _judged(master, request, body)
    except Refused as error:
        return _sent(_refusal(master, request, error.status, str(error)), close=True)
    except Busy as error:
        return _sent(_refusal(master, request, 503, str(error)), close=True)
    except WireError as error:
        return _sent(_refusal(master, request, 400, str(error)))
    if answer is not None:
        return _sent(answer)
    if fields.get("secret") and fields.get("target"):
        return _sent(await _told(master, request, fields))
    query = body if request.method == "POST" and not request.scope["query_string"] else request.scope["query_string"]
    return Redirect(old_url(parameters(query[:10_000].decode("latin-1"))), status_code=303 if body else 302)


async def _judged(master: Master, request: Asked, body: bytes) -> tuple[dict[str, bytes], Answer | None]:
    """The fields of the form, and the answer when a slave asks."""
    fields = protocol.form_fields(request.headers.get("content-type", ""), body, request.scope["query_string"])
    call = protocol.call_of(fields)
    if call is None:
        return fields, None
    program = request.headers.get("user-agent", "")[:80]
    return fields, await master.slaves.answer(call, _peer(request), program, time.time_ns())


def _peer(request: Asked) -> str:
    return request.client.host if request.client else ""


def _refusal(master: Master, request: Asked, status: int, why: str) -> Answer:
    peer = _peer(request) or "?"
    master.metrics.refused("slave")
    if master.quiet.speak((peer, "slave", why[:60]), time.monotonic()):
        log.warning("refused: route=%s peer=%s reason=%r", request.url.path, peer, why)
    return protocol.warning(f"WARNING: {why}\n", status)


async def _told(master: Master, request: Asked, fields: dict[str, bytes]) -> Answer:
    """A host with a changing address says where it is."""
    peer = _peer(request)
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


async def _read(request: Asked, post: Post) -> bytes:
    announced = _announced(request)
    parts = []
    try:
        async with post.reading():
            async for part in request.stream():
                await post.got(len(part))
                if post.came > MOST_BODY:
                    raise Refused(413, f"the body has more than {MOST_BODY} bytes; send fewer lines at a time")
                parts.append(part)
    except TimeoutError:
        raise Refused(
            408, f"{post.came} bytes of the body came, which is too slow; send fewer lines at a time"
        ) from None
    if announced >= 0 and post.came != announced:
        raise Refused(400, f"the body was cut off: {post.came} of {announced} bytes came")
    return b"".join(parts)


def _sent(answer: Answer, close: bool = False) -> Response[bytes]:
    """With `close`, what is still to come of the body is not waited for."""
    # Slaves compare the type letter by letter; as a media type it would get a charset.
    headers = {**answer.headers, "Content-Type": answer.content_type, "Cache-Control": "no-store"}
    if close:
        headers["Connection"] = "close"
    return Response(answer.body, status_code=answer.status, headers=headers, media_type="")


def routes(path: str) -> list[Router]:
    """The route, at SmokePing's usual path and at the one that is configured."""
    paths = [PATH]
    if path != PATH and _CGI.search(path):
        paths.append(path)
    elif path not in (PATH, "", "/"):  # the latter two name no path of their own
        log.warning("slaves are served at %s alone, smokeping.path is no path of a CGI: path=%s", PATH, path)
    handler = route(paths, http_method=[HttpMethod.GET, HttpMethod.POST], status_code=200, include_in_schema=False)
    return [Router(path="/", route_handlers=[handler(answer_cgi)], request_max_body_size=None)]
