"""The TCP engine: a connection for each ping, opened from a fresh port and reset at once; its RTT is the kernel's.

Answered is a SYN-ACK, timed by the kernel (TCP_INFO), or a reset, timed by our own clock: the host is there, and `error`
says that the port is closed. A SYN that had to be sent again was lost, and so is its ping, although the connection came
about in the end: what it took then is the kernel's patience (1 s, RFC 6298) and not the path's. Only when TCP time stamps
prove that the first SYN was answered, just later than that, its true RTT counts.
"""

import contextlib
import errno
import math
import select
import socket
import time
from functools import lru_cache
from typing import ClassVar, Final, cast

from smokemesh.model import options
from smokemesh.model.options import TcpOptions
from smokemesh.probes import sockets
from smokemesh.probes.paced import Attempt, PacedEngine

#: An established connection took so much longer than the RTT of the SYN that was answered: it was not the first SYN.
_SENT_AGAIN: Final = 0.5
#: No RTT is shorter.
_LEAST_RTT: Final = 1e-6


class TcpEngine(PacedEngine):
    """Rounds of TCP handshakes, IPv4 and IPv6."""

    kind: ClassVar[str] = "tcp"
    most_open: ClassVar[int] = 4000

    def begin(self, attempt: Attempt) -> None:
        """Send a SYN."""
        address = attempt.request.address
        port = _port(attempt.probe.options)
        caller = sockets.open_socket(attempt.probe, address)
        attempt.state = caller
        try:
            where = sockets.socket_address(address, port)
            attempt.begun = time.monotonic()
            error = caller.connect_ex(where)
            if error not in (0, errno.EINPROGRESS):
                self._refuse(attempt, error)
                return
            self.watch(caller.fileno(), select.EPOLLOUT, lambda _events: self._answered(attempt))
        except BaseException:
            caller.close()
            raise

    def give_up(self, attempt: Attempt) -> None:
        """The SYN was not answered."""
        self._hang_up(attempt)

    def describe(self) -> str:
        """`tcp=connect`."""
        return "tcp=connect"

    def _refuse(self, attempt: Attempt, error: int) -> None:
        """connect(2) failed at once. Over loopback that may be a reset; no free port is our own lack."""
        caller = cast("socket.socket", attempt.state)
        if error == errno.ECONNREFUSED:
            rtt = time.monotonic() - attempt.begun
            caller.close()
            self.end(attempt, rtt, error=sockets.REFUSED)
            return
        if error == errno.EADDRNOTAVAIL and not attempt.probe.source:
            error = errno.EAGAIN
        raise OSError(error, "connect")

    def _answered(self, attempt: Attempt) -> None:
        caller = cast("socket.socket", attempt.state)
        elapsed = self.woke - attempt.begun
        error = sockets.failure(caller)
        try:
            if error == 0:
                self._connected(attempt, caller, elapsed)
            elif error == sockets.REFUSED:
                self.end(attempt, max(elapsed, _LEAST_RTT), error=error)
            else:
                self.end(attempt, error=error)
        finally:
            self._hang_up(attempt)

    def _connected(self, attempt: Attempt, caller: socket.socket, elapsed: float) -> None:
        known = sockets.handshake(caller)
        if known.retransmitted and (not known.stamped or not known.rtt or elapsed - known.rtt > _SENT_AGAIN):
            self.end(attempt, math.nan)
        elif sockets.to_itself(caller):
            self.end(attempt, max(known.rtt, _LEAST_RTT), error=sockets.REFUSED, exact=True)
        elif known.rtt:
            self.end(attempt, known.rtt, exact=True)
        else:
            self.end(attempt, max(elapsed, _LEAST_RTT))

    def _hang_up(self, attempt: Attempt) -> None:
        caller = cast("socket.socket", attempt.state)
        if caller.fileno() >= 0:
            self.unwatch(caller.fileno())
            with contextlib.suppress(OSError):
                caller.close()


@lru_cache(maxsize=1024)
def _port(pairs: tuple[tuple[str, str], ...]) -> int:
    return options.read(TcpOptions, pairs).port
