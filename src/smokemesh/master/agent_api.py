"""Routes for agents (`wire.messages`): assignment, rounds, heartbeat.

Who asks is known before a byte of the body is read. Every answer to a genuine request is signed, refusals included;
who is not genuine learns that and no more.
"""

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Final

from litestar import Request, Response, Router, get, post
from litestar.datastructures import State

from smokemesh.errors import SmokemeshError, StoreError, WireError
from smokemesh.master.operations import master_of
from smokemesh.master.state import Master
from smokemesh.wire import messages, signing
from smokemesh.wire.messages import ErrorReply, Heartbeat, HeartbeatReply, Upload

log = logging.getLogger(__name__)

Asked = Request[Any, Any, State]

#: An agent that waits for a new assignment is answered after this many seconds: proxies cut what is silent for longer.
MOST_WAIT: Final = 55.0
#: When an agent should come back, seconds, while the store takes nothing.
RETRY_AFTER: Final = "5"
#: Seconds a body may take to arrive.
MOST_READ: Final = 60.0
MOST_HEARTBEAT: Final = 64 * 2**10

#: The name in `Signature-Input`, as names of agents may be.
_KEY_ID = re.compile(r";keyid=\"([A-Za-z0-9_.%-]{1,96})\"")
_WAIT = re.compile(r"(?:^|[,;]\s*)wait\s*=\s*\"?(\d{1,6})")


class TooLarge(WireError):
    """The body is longer than its route takes."""

    code = "too_large"
    http_status = 413


class TooSlow(WireError):
    """The body did not arrive in time; fewer records would."""

    code = "too_slow"
    http_status = 413


@dataclass(frozen=True, slots=True)
class Answer:
    """What to send back."""

    status: int = 200
    body: bytes = b""
    etag: str = ""


Handler = Callable[[Master, str, bytes], Awaitable[Answer]]


async def _exchange(
    request: Asked, handle: Handler, most: int = 0, places: asyncio.Semaphore | None = None
) -> Response[bytes]:
    """Authenticate, read, handle, sign. Bodies of up to `most` bytes take one of the `places` in memory."""
    master = master_of(request)
    headers = _headers(request)
    signer, secret = None, None
    try:
        signer = signing.authenticate(request.method, _target(request), headers, secret_of=master.registry.secret_of)
        # The answer is signed as the question was, also when this agent gets another secret, or none, while it waits.
        secret = master.registry.secret_of(signer.key_id)
        signing.check_clock(signer, time.time())
        master.replays.admit(signer, time.time())
        async with places or nullcontext():
            body = await _read(request, most) if most else b""
            signing.check_digest(headers, body)
            answer = await handle(master, signer.key_id, body)
    except SmokemeshError as error:
        answer = _refusal(master, request, signer, error)
    return _signed(headers, signer, secret, answer)


def _refusal(master: Master, request: Asked, signer: signing.Verified | None, error: SmokemeshError) -> Answer:
    """The answer to a request that cannot be served."""
    who = signer.key_id if signer else _claimed(request)
    master.metrics.refused(error.code)
    peer = request.client.host if request.client else "?"
    if master.quiet.speak((peer, who, error.code), time.monotonic()):
        log.warning(
            "refused: route=%s agent=%s peer=%s code=%s reason=%r", request.url.path, who, peer, error.code, str(error)
        )
    body = messages.encode(ErrorReply(code=error.code, message=str(error)))
    return Answer(status=error.http_status, body=body)


def _claimed(request: Asked) -> str:
    """Who an unproven request says it comes from; agents behind one proxy are told apart by it."""
    found = _KEY_ID.search(request.headers.get("signature-input", ""))
    return f"{found[1]}?" if found else "?"


def _signed(
    headers: dict[str, str], signer: signing.Verified | None, secret: bytes | None, answer: Answer
) -> Response[bytes]:
    sent = {"Content-Type": messages.CONTENT_TYPE}
    if signer and secret:
        sent |= signing.sign_response(
            answer.status,
            answer.body,
            request_signature=headers["signature"],
            key_id=signer.key_id,
            secret=secret,
            created=int(time.time()),
        )
    if answer.status == StoreError.http_status:
        sent["Retry-After"] = RETRY_AFTER
    if answer.etag:
        sent["ETag"] = f'"{answer.etag}"'
    media_type = sent.pop("Content-Type", "")
    return Response(answer.body, status_code=answer.status, headers=sent, media_type=media_type)


async def _read(request: Asked, most: int) -> bytes:
    """The body, as long as it is no longer than `most` bytes."""
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > most:
        raise TooLarge(f"the body has {announced} bytes, this route takes {most}; send fewer records at a time")
    parts, length = [], 0
    try:
        async with asyncio.timeout(MOST_READ):
            async for part in request.stream():
                length += len(part)
                if length > most:
                    raise TooLarge(f"the body has more than {most} bytes; send fewer records at a time")
                parts.append(part)
    except TimeoutError:
        raise TooSlow(f"{length} bytes of the body came in {MOST_READ:.0f} s; send fewer records at a time") from None
    return b"".join(parts)


def _headers(request: Asked) -> dict[str, str]:
    """All header fields; several lines of one name are joined (RFC 9110 section 5.2)."""
    found: dict[str, str] = {}
    for raw_name, raw_value in request.scope["headers"]:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


def _target(request: Asked) -> str:
    """Path and query as they were sent: what is signed is the text, not its meaning."""
    path = request.scope["raw_path"].decode("latin-1")
    query = request.scope["query_string"].decode("latin-1")
    return f"{path}?{query}" if query else path


@get(messages.ASSIGNMENT, include_in_schema=False)
async def get_assignment(request: Asked) -> Response[bytes]:
    """The assignment, as soon as it is another than the one the agent has."""
    known = request.headers.get("if-none-match", "").removeprefix("W/").strip('"')
    wait = _WAIT.search(request.headers.get("prefer", ""))
    patience = min(float(wait[1]), MOST_WAIT) if wait else 0.0

    async def handle(master: Master, agent: str, _: bytes) -> Answer:
        found = await master.assignments.wait(agent, known, 0.0 if master.stopping else patience)
        if found is None:
            return Answer(status=304, etag=known)
        return Answer(body=messages.encode(found), etag=found.version)

    return await _exchange(request, handle)


@post(messages.ROUNDS, status_code=200, include_in_schema=False)
async def post_rounds(request: Asked) -> Response[bytes]:
    """Rounds: stored when this is answered with 200."""

    async def handle(master: Master, agent: str, body: bytes) -> Answer:
        upload = messages.decode(Upload, body)
        return Answer(body=messages.encode(await master.ingest.take(agent, upload, time.time_ns())))

    return await _exchange(request, handle, messages.MOST_BODY, master_of(request).upload_places)


@post(messages.HEARTBEAT, status_code=200, include_in_schema=False)
async def post_heartbeat(request: Asked) -> Response[bytes]:
    """The agent is alive, and how."""

    async def handle(master: Master, agent: str, body: bytes) -> Answer:
        health = messages.decode(Heartbeat, body).health
        now = time.time_ns()
        await master.heard(agent, health, request.client.host if request.client else "", now)
        reply = HeartbeatReply(clock=now, assignment=master.assignments.get(agent).version)
        return Answer(body=messages.encode(reply))

    return await _exchange(request, handle, MOST_HEARTBEAT, master_of(request).heartbeat_places)


routes = [
    Router(
        path="/",
        route_handlers=[get_assignment, post_rounds, post_heartbeat],
        request_max_body_size=None,  # `_read` bounds it, after it knows who asks
    )
]
