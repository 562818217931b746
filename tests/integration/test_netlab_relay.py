"""The relay carries bytes both ways, to the end of each, and closes what nobody answers."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from smokemesh.netlab.relay import Relay


def read_all(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(4096), b""))


@contextmanager
def upper_case() -> Iterator[tuple[str, int]]:
    """A server that reads to the end, then answers in capitals."""

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.sendall(read_all(connection).upper())

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def exchange(port: int, data: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), 10) as client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        return read_all(client)


def test_bytes_reach_the_other_side_and_answers_come_back() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    with upper_case() as server, Relay(listener, server):
        assert exchange(port, b"first") == b"FIRST"
        assert exchange(port, b"a" * 3_000_000) == b"A" * 3_000_000
    assert listener.fileno() == -1


def test_who_is_not_there_is_a_closed_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        nobody = gone.getsockname()
    listener = socket.create_server(("127.0.0.1", 0))
    with Relay(listener, nobody), socket.create_connection(listener.getsockname(), 10) as client:
        assert client.recv(1) == b""
