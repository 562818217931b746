"""What a master needs of its host: an address to listen on, and a data directory that nobody else uses."""

import errno
import fcntl
import os
import pwd
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from smokemesh.errors import HostError


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises HostError that names the port and what to do."""
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise HostError(_cannot_listen(host, port, error)) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(place)
        listener.listen(1024)
    except OSError as error:
        listener.close()
        raise HostError(_cannot_listen(host, port, error)) from error
    return listener


def _cannot_listen(host: str, port: int, error: OSError) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            cure = "stop the program that listens there, or choose another port with --listen HOST:PORT"
        case errno.EACCES:
            cure = "ports below 1024 need the capability CAP_NET_BIND_SERVICE; or choose one with --listen HOST:PORT"
        case _:
            cure = "choose an address of this host with --listen HOST:PORT"
    place = url_of(host, port).removeprefix("http://")
    return f"cannot listen on {place}: {error.strerror}; {cure}"


def url_of(host: str, port: int) -> str:
    """The address of the pages, as a browser takes it."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextmanager
def data_directory(path: str) -> Iterator[None]:
    """Make sure the directory is there, ours to write, and used by no other master."""
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
        lock = os.open(os.path.join(path, "master.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise HostError(unwritable(path, error)) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise HostError(
            f"data directory {path} is used by another master; stop it, or choose another with --data DIR"
        ) from error
    try:
        yield
    finally:
        os.close(lock)


def unwritable(path: str, error: OSError) -> str:
    """What to say of a data directory that cannot be used."""
    user = pwd.getpwuid(os.geteuid()).pw_name if os.geteuid() else "root"
    return (
        f"data directory {path} cannot be written by user {user}: {error.strerror}; "
        "change its owner, or choose another with --data DIR"
    )
