"""Talks: engines whose ping is a conversation over a TCP connection of its own, driven by what arrives.

A subclass says what is said and when the ping is answered. Times are seconds on the monotonic clock.
"""

import contextlib
import errno
import select
import socket
import time
from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Final, cast

from smokemesh.model.rounds import ERROR_ERRNO
from smokemesh.probes import sockets
from smokemesh.probes.engine import Permit, anyone
from smokemesh.probes.flight import Watcher
from smokemesh.probes.paced import Attempt, PacedEngine

#: No talk is longer, bytes.
MOST_HEARD: Final = 64 * 1024
_CHUNK: Final = 16 * 1024
#: After a talk is over the other side has so long to close first, seconds.
_FAREWELL: Final = 2.0

#: The other side closed, spoke another protocol, or answered something that was not asked for.
CLOSED: Final = ERROR_ERRNO + errno.ECONNRESET
FOREIGN: Final = ERROR_ERRNO + errno.EPROTO
UNWANTED: Final = ERROR_ERRNO + errno.EBADMSG


@dataclass(slots=True, eq=False)
class Talk:
    """One connection."""

    socket: socket.socket
    #: When it was established, as the kernel measured it; 0.0 before.
    connected: float = 0.0
    #: What was heard and not yet understood, and what is still to be sent.
    heard: bytearray = field(default_factory=bytearray)
    #: Bytes heard in all.
    volume: int = 0
    unsent: bytes = b""
    #: How far it has come; the subclass's own.
    stage: int = 0
    #: What it is about; the subclass's own.
    topic: object = None
    #: No more than courtesy is left.
    leaving: bool = False


class TalkEngine(PacedEngine):
    """Connects, listens, answers."""

    def __init__(self, *, permit: Permit = anyone, watcher: Watcher | None = None) -> None:
        super().__init__(permit=permit, watcher=watcher)
        self._leaving: set[Talk] = set()

    @abstractmethod
    def port(self, attempt: Attempt) -> int:
        """The port that is called."""

    def opened(self, attempt: Attempt, talk: Talk) -> None:
        """The connection is there."""

    @abstractmethod
    def listen(self, attempt: Attempt, talk: Talk) -> None:
        """More was heard: take it from `talk.heard`."""

    def begin(self, attempt: Attempt) -> None:
        """Connect."""
        caller = sockets.open_socket(attempt.probe, attempt.request.address)
        attempt.state = talk = Talk(caller)
        try:
            where = sockets.socket_address(attempt.request.address, self.port(attempt))
            attempt.begun = time.monotonic()
            error = caller.connect_ex(where)
            if error not in (0, errno.EINPROGRESS):
                raise OSError(error, "connect")
            self.watch(caller.fileno(), select.EPOLLOUT, lambda _events: self._connected(attempt, talk))
        except BaseException:
            caller.close()
            raise

    def give_up(self, attempt: Attempt) -> None:
        """It took too long."""
        self.hang_up(cast("Talk", attempt.state))

    def say(self, attempt: Attempt, talk: Talk, data: bytes) -> None:
        """Send this."""
        talk.unsent += data
        self._send(attempt, talk)

    def hang_up(self, talk: Talk) -> None:
        """Close at once."""
        self._leaving.discard(talk)
        if talk.socket.fileno() >= 0:
            self.unwatch(talk.socket.fileno())
            with contextlib.suppress(OSError):
                talk.socket.close()

    def leave(self, attempt: Attempt, talk: Talk, words: bytes) -> None:
        """The ping has ended; say goodbye and let the other side close."""
        talk.leaving = True
        self._leaving.add(talk)
        self.call_at(time.monotonic() + _FAREWELL, lambda: self.hang_up(talk))
        with contextlib.suppress(OSError):
            self.say(attempt, talk, words)

    def release(self) -> None:
        """Wait for no farewell."""
        for talk in list(self._leaving):
            self.hang_up(talk)

    def fail(self, attempt: Attempt, talk: Talk, error: int) -> None:
        """The ping is lost, and why is known."""
        self.hang_up(talk)
        self.end(attempt, error=error)

    def _connected(self, attempt: Attempt, talk: Talk) -> None:
        error = sockets.failure(talk.socket)
        if error or sockets.to_itself(talk.socket):
            self.fail(attempt, talk, error or sockets.REFUSED)
            return
        known = sockets.handshake(talk.socket)
        # Our own thread may see it later than it happened; but the kernel's RTT is that of the last SYN.
        sure = known.rtt and not known.retransmitted
        talk.connected = attempt.begun + known.rtt if sure else self.woke
        self.watch(talk.socket.fileno(), select.EPOLLIN, lambda events: self._happened(attempt, talk, events))
        self.opened(attempt, talk)

    def _happened(self, attempt: Attempt, talk: Talk, events: int) -> None:
        if events & select.EPOLLOUT:
            self._send(attempt, talk)
        if not talk.unsent and not events & ~select.EPOLLOUT:
            return
        try:
            data = talk.socket.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError as error:
            self._lost(attempt, talk, sockets.icmp_error(talk.socket) or ERROR_ERRNO + (error.errno or errno.EIO))
            return
        if talk.leaving:
            if not data:
                self.hang_up(talk)
            return
        talk.heard += data
        talk.volume += len(data)
        if not data:
            self._lost(attempt, talk, CLOSED)
        elif talk.volume > MOST_HEARD:
            self._lost(attempt, talk, FOREIGN)
        else:
            self.listen(attempt, talk)

    def _send(self, attempt: Attempt, talk: Talk) -> None:
        try:
            talk.unsent = talk.unsent[talk.socket.send(talk.unsent) :]
        except BlockingIOError:
            pass
        except OSError as error:
            self._lost(attempt, talk, ERROR_ERRNO + (error.errno or errno.EIO))
            return
        events = select.EPOLLIN | (select.EPOLLOUT if talk.unsent else 0)
        self.watch(talk.socket.fileno(), events, lambda events: self._happened(attempt, talk, events))

    def _lost(self, attempt: Attempt, talk: Talk, error: int) -> None:
        if talk.leaving:
            self.hang_up(talk)
        else:
            self.fail(attempt, talk, error)


def take_line(talk: Talk) -> bytes | None:
    """The next whole line heard, without its end; None when there is none yet."""
    line, newline, _ = talk.heard.partition(b"\n")
    if not newline:
        return None
    del talk.heard[: len(line) + 1]
    return bytes(line.rstrip(b"\r"))
