"""Carries TCP connections from a listening socket to an address, whatever namespaces the two are in.

A socket belongs to the namespace it was opened in, not to the process that uses it: so a program outside can accept
what was connected inside, and needs no route between the two.
"""

import socket
import threading
from types import TracebackType
from typing import Self

_CHUNK = 1 << 16


class Relay:
    """Accepts in a thread of its own, with two more for each connection, until it is closed."""

    def __init__(self, listener: socket.socket, to: tuple[str, int]) -> None:
        self._listener, self._to = listener, to
        self._thread = threading.Thread(target=self._accept, name="relay", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        # Closing alone would not wake the thread that waits in accept(2); shutting down does.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                inside, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._connect, args=(inside,), name="relay", daemon=True).start()

    def _connect(self, inside: socket.socket) -> None:
        with inside:
            try:
                outside = socket.create_connection(self._to)
            except OSError:
                return  # the connection closes: the other side sees that nobody is there
            with outside:
                back = threading.Thread(target=_pump, args=(outside, inside), name="relay", daemon=True)
                back.start()
                _pump(inside, outside)
                back.join()


def _pump(since: socket.socket, to: socket.socket) -> None:
    """Carry one direction to its end, and say so at the other."""
    try:
        while data := since.recv(_CHUNK):
            to.sendall(data)
        to.shutdown(socket.SHUT_WR)
    except OSError:
        for end in (since, to):
            _hang_up(end)


def _hang_up(end: socket.socket) -> None:
    try:
        end.shutdown(socket.SHUT_RDWR)
    except OSError:
        return
