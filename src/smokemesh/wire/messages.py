"""What agent and master say to each other, and the version of it.

Agent calls master, over HTTP. Bodies are msgpack of the structs below; every request and every answer is
signed (`wire.signing`). The version stands in the path. Within a version, fields are only appended and
have defaults: an older or newer side reads what it knows.

    GET  /api/agent/v1/assignment   If-None-Match: "VERSION", Prefer: wait=SECONDS   -> 200 Assignment | 304
    POST /api/agent/v1/rounds       Upload                                           -> 200 UploadReply
    POST /api/agent/v1/heartbeat    Heartbeat                                        -> 200 HeartbeatReply
    any error                                                                        -> 4xx/5xx ErrorReply
"""

from typing import Any, Final, TypeVar

import msgspec

from smokemesh.errors import WireError
from smokemesh.model.agent import Health
from smokemesh.model.assignment import Assignment

VERSION: Final = 1
PREFIX: Final = f"/api/agent/v{VERSION}"
ASSIGNMENT: Final = f"{PREFIX}/assignment"
ROUNDS: Final = f"{PREFIX}/rounds"
HEARTBEAT: Final = f"{PREFIX}/heartbeat"
CONTENT_TYPE: Final = "application/vnd.smokemesh+msgpack"
#: Larger bodies are refused with 413 before they are read whole.
MOST_BODY: Final = 32 * 2**20


class Record(msgspec.Struct, frozen=True):
    """One entry of an agent's spool."""

    sequence: int
    #: A RoundBatch as `wire.columns.pack` writes it.
    rounds: bytes


class Upload(msgspec.Struct, frozen=True):
    """Consecutive records of one epoch of a spool.

    (agent, epoch, first sequence, last sequence) names the upload: an agent that got no answer sends exactly
    the same range again, and the master stores it once.
    """

    #: Random name under which the records were made, new at each start of the agent. Numbers go on counting through
    #: epochs. So a copy of a spool brought back repeats no name, and what it holds of old epochs is known.
    epoch: str
    records: tuple[Record, ...]


class UploadReply(msgspec.Struct, frozen=True):
    """All records up to `stored` are in the store; the agent may forget them."""

    epoch: str
    stored: int
    #: It was stored before; nothing was added.
    duplicate: bool = False
    #: Rounds the master could not keep and will never ask for again, and why.
    refused: int = 0
    reason: str = ""


class Heartbeat(msgspec.Struct, frozen=True):
    """The agent is alive, and how it is."""

    health: Health


class HeartbeatReply(msgspec.Struct, frozen=True):
    """The master's clock (nanoseconds UTC) and the version of the assignment it would give."""

    clock: int
    assignment: str


class ErrorReply(msgspec.Struct, frozen=True):
    """Why a request was refused: a code for machines (`errors`) and a sentence for people."""

    code: str
    message: str


Message = TypeVar("Message", Upload, UploadReply, Heartbeat, HeartbeatReply, ErrorReply, Assignment)

_encoder = msgspec.msgpack.Encoder()
_decoders: dict[type[Any], msgspec.msgpack.Decoder[Any]] = {
    kind: msgspec.msgpack.Decoder(kind)
    for kind in (Upload, UploadReply, Heartbeat, HeartbeatReply, ErrorReply, Assignment)
}


def encode(message: Any) -> bytes:
    """A message as bytes."""
    return _encoder.encode(message)


def decode(kind: type[Message], data: bytes) -> Message:
    """The message in `data`. Raises WireError when it is not one."""
    try:
        message: Message = _decoders[kind].decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(f"{kind.__name__}: cannot be read: {error}") from error
    return message
