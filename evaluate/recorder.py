"""A proxy that writes down what passes: every request whole, as the program behind it got it.

Listens on a socket that may belong to a namespace; when nobody is behind it, the client sees the connection close.
"""

import http.client
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import socket
from types import TracebackType
from typing import Any, Final, Self

_HOP: Final = frozenset({"connection", "te", "keep-alive", "transfer-encoding", "content-length", "date", "server"})


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and what came of it; status 0 when there was no answer."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    status: int
    content_type: str
    answer: bytes


@dataclass
class Recorder:
    """`exchanges` grows while the `with` lasts."""

    listener: socket
    port: int
    exchanges: list[Exchange] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._server = ThreadingHTTPServer(self.listener.getsockname()[:2], _handler(self), bind_and_activate=False)
        self._server.socket.close()
        self._server.socket = self.listener
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="recorder", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def ask(
        self, method: str, path: str, headers: dict[str, str], body: bytes
    ) -> tuple[Exchange | None, dict[str, str]]:
        """Ask the program behind: what it answered, with its headers; None when it did not."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=70)
        try:
            connection.request(method, path, body, {k: v for k, v in headers.items() if k.lower() not in _HOP})
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException):
            self.exchanges.append(Exchange(method, path, headers, body, 0, "", b""))
            return None, {}
        finally:
            connection.close()
        exchange = Exchange(method, path, headers, body, answer.status, answer.getheader("Content-Type", ""), content)
        self.exchanges.append(exchange)
        return exchange, dict(answer.getheaders())


def _handler(recorder: Recorder) -> Callable[..., BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.close_connection = True
            exchange, told = recorder.ask(self.command, self.path, dict(self.headers.items()), body)
            if exchange is None:
                return
            self.send_response(exchange.status)
            for name, value in told.items():
                if name.lower() not in _HOP:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(exchange.answer)))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(exchange.answer)

        do_GET = do_POST = _serve

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    return Handler
