"""What the program that uses a made-up network and the process that plays it say to each other, over a socket.

A message is four bytes of length and msgpack; file descriptors travel with its first byte.
"""

import socket
from struct import pack, unpack
from typing import TypeVar

import msgspec

from smokemesh.netlab.path import Route


class SitePlan(msgspec.Struct, frozen=True, kw_only=True):
    """A host of the network: its addresses, and whether a real link (veth) leads to it or a TUN ends in it."""

    name: str
    addresses: tuple[str, ...]
    wire: bool = False


class Plan(msgspec.Struct, frozen=True, kw_only=True, tag="plan"):
    """The first message: what to build. Answered by `Ready` with the namespaces, the user namespace (or none) last."""

    sites: tuple[SitePlan, ...]
    routes: tuple[Route, ...]
    seed: int
    #: Most packets to keep the truth of; 0 keeps none.
    record: int
    #: Whether a user namespace is needed to make network namespaces.
    unprivileged: bool
    #: Whether the network's process goes before all others, so that a busy machine does not slow the network.
    prompt: bool = False


class Change(msgspec.Struct, frozen=True, kw_only=True, tag="change"):
    """Paths to set, while packets flow."""

    routes: tuple[Route, ...]


class Tell(msgspec.Struct, frozen=True, kw_only=True, tag="tell"):
    """Answered by `Told`; `forget` begins a new record."""

    forget: bool = False


class Listen(msgspec.Struct, frozen=True, kw_only=True, tag="listen"):
    """Open a TCP port on a site's loopback. Answered by `Ready` with the listening socket."""

    site: int
    port: int


class Ready(msgspec.Struct, frozen=True, kw_only=True, tag="ready"):
    """It is done."""


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag="failed"):
    """It could not be done, in one line."""

    message: str


class Told(msgspec.Struct, frozen=True, kw_only=True, tag="told"):
    """The truth: records as in `truth.RECORD`, and the address pairs they point to."""

    records: bytes
    pairs: list[tuple[bytes, bytes]]
    #: Packets that came after the record was full.
    unrecorded: int


Question = Plan | Change | Tell | Listen
Answer = Ready | Failed | Told
_M = TypeVar("_M", Question, Answer)

_MOST_DESCRIPTORS = 250


def send(to: socket.socket, message: Question | Answer, descriptors: list[int] | None = None) -> None:
    """Send a message and the file descriptors that go with it."""
    data = msgspec.msgpack.encode(message)
    head = pack("!I", len(data))
    if descriptors:
        socket.send_fds(to, [head], descriptors)
    else:
        to.sendall(head)
    to.sendall(data)


def receive_question(since: socket.socket) -> Question:
    """The next question; EOFError when the asker is gone."""
    return _receive(since, _questions)[0]


def receive_answer(since: socket.socket) -> tuple[Answer, list[int]]:
    """The answer and the file descriptors that came with it; EOFError when the other process is gone."""
    return _receive(since, _answers)


_questions: "msgspec.msgpack.Decoder[Question]" = msgspec.msgpack.Decoder(Question)
_answers: "msgspec.msgpack.Decoder[Answer]" = msgspec.msgpack.Decoder(Answer)


def _receive(since: socket.socket, decoder: "msgspec.msgpack.Decoder[_M]") -> tuple[_M, list[int]]:
    head, descriptors, _flags, _address = socket.recv_fds(since, 4, _MOST_DESCRIPTORS)
    head += _exactly(since, 4 - len(head))
    return decoder.decode(_exactly(since, unpack("!I", head)[0])), descriptors


def _exactly(since: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        some = since.recv(min(size - len(data), 1 << 20))
        if not some:
            raise EOFError
        data += some
    return bytes(data)
