"""Connections to ClickHouse: one kind for a database in this process (chdb), one for a server.

A connection serves one thread at a time, so they are borrowed from a pool; those of one process share one
embedded engine and run side by side. Foreign errors become StoreError here and nowhere else.
"""

import ctypes
import fcntl
import os
import queue
import re
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, Final, TypeAlias
from urllib.parse import quote, unquote, urlsplit

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error

from smokemesh.errors import ConfigError, StoreError
from smokemesh.storage.repair import take_back_lost_inserts

#: Options of the embedded engine: small caches, few threads, since it shares a small machine with the rest.
_ENGINE: Final = {
    "mark_cache_size": 64 * 2**20,
    "index_mark_cache_size": 16 * 2**20,
    "query_condition_cache_size": 8 * 2**20,
    "compiled_expression_cache_size": 8 * 2**20,
    "background_pool_size": 2,
    "background_schedule_pool_size": 2,
    "background_common_pool_size": 1,
}
#: What every statement runs with.
_SETTINGS: Final = {
    "max_threads": 2,
    "max_memory_usage": 2**30,
    "output_format_arrow_string_as_string": 1,
    "output_format_arrow_low_cardinality_as_dictionary": 1,
    "output_format_arrow_compression_method": "none",
}
_LOCK: Final = "smokemesh.lock"
#: Memory the engine may keep for reuse before it is told to give it back.
_SLACK: Final = 96 * 2**20
#: None stands for a connection to be opened when it is needed.
_Pool: TypeAlias = "queue.LifoQueue[Client | None]"
_libc: Final = ctypes.CDLL(None, use_errno=True)


class Clients:
    """Connections to one database: some for reading and some for inserting, so that neither waits for the other."""

    def __init__(self, dsn: str, *, readers: int, writers: int) -> None:
        self.dsn = dsn
        self._lock: int | None = None
        self._embedded = (path := embedded_path(dsn)) is not None
        self.database = "smokemesh" if path else unquote(urlsplit(dsn).path.strip("/")) or "smokemesh"
        if path is not None:
            self._lock = _take(path)
            with translated(dsn):
                take_back_lost_inserts(path)
        self._options = _options(dsn, path)
        self._readers: _Pool = queue.LifoQueue()
        self._writers: _Pool = queue.LifoQueue()
        self._all: list[Client] = []
        #: Held while connections are opened or closed.
        self._changing = threading.Lock()
        self._entered = self._closed = False
        self._purged = 0
        try:
            for pool in [self._readers] * readers + [self._writers] * writers:
                pool.put(self._open())
        except StoreError:
            self.close()
            raise

    def enter_database(self) -> None:
        """Use our database from now on; it must exist."""
        with self._changing:
            self._entered = True
            for client in self._all:
                client.database = self.database

    def reading(self) -> AbstractContextManager[Client]:
        """A connection for questions, for the time of the block; waits for a free one."""
        return self._borrow(self._readers)

    def writing(self) -> AbstractContextManager[Client]:
        """A connection for inserts and changes of tables, for the time of the block; waits for a free one."""
        return self._borrow(self._writers)

    def settle(self) -> None:
        """Have all that was inserted on disk, so that not even a power cut undoes it. A server sees to that itself."""
        if self._lock is None:
            return
        with translated(self.dsn):
            _syncfs(self._lock)
        if _resident() > self._purged + _SLACK:
            with self.writing() as client:
                client.command("SYSTEM JEMALLOC PURGE")
            self._purged = _resident()

    def close(self) -> None:
        """Wait for what runs, then let go of the database."""
        with self._changing:
            self._closed = True
            for client in self._all:
                client.close()
            self._all.clear()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _open(self) -> Client:
        with self._changing, translated(self.dsn):
            if self._closed:
                raise StoreError(f"storage {without_password(self.dsn)}: is closed")
            client = clickhouse_connect.get_client(**self._options)
            self._all.append(client)
            if self._entered:
                client.database = self.database
        return client

    def _drop(self, client: Client) -> None:
        """Let go of a connection that cannot be trusted any more."""
        with self._changing, suppress(Error, OSError):
            if client in self._all:
                self._all.remove(client)
                client.close()

    @contextmanager
    def _borrow(self, pool: _Pool) -> Iterator[Client]:
        client = pool.get()
        try:
            if client is None:
                client = self._open()
            with translated(self.dsn):
                yield client
        except BaseException:
            # What the embedded engine had written of an answer before it failed, it would put before the next one.
            if client is not None and self._embedded:
                self._drop(client)
                client = None
            raise
        finally:
            pool.put(client)


def _options(dsn: str, path: Path | None) -> dict[str, Any]:
    """How to open a connection."""
    if path is None:
        return {"dsn": dsn, "settings": dict(_SETTINGS), "database": "__default__", "autogenerate_session_id": False}
    # Read once, when the engine's library is loaded: give memory back soon, and keep it in few arenas.
    os.environ.setdefault("JE_MALLOC_CONF", "dirty_decay_ms:500,muzzy_decay_ms:0,narenas:2")
    return {"dsn": f"chdb://{quote(str(path))}", "settings": dict(_SETTINGS), "chdb_options": _ENGINE}


def _resident() -> int:
    """Bytes of memory this process has."""
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGESIZE")


@contextmanager
def translated(dsn: str) -> Iterator[None]:
    """Errors of the database's client, as one line of ours."""
    try:
        yield
    except (Error, OSError) as error:
        raise StoreError(f"storage {without_password(dsn)}: {_reason(str(error))}") from error


def embedded_path(dsn: str) -> Path | None:
    """The directory of a `chdb:///path`, None for any other kind. Raises ConfigError for what we cannot open."""
    parts = urlsplit(dsn)
    if parts.scheme in ("clickhouse", "clickhouses", "http", "https", "clickhouse+http", "clickhouse+https"):
        if parts.hostname:
            return None
        raise ConfigError(f"storage.dsn {dsn!r} names no host, write clickhouse://HOST/DATABASE")
    if parts.scheme != "chdb" or parts.netloc or not parts.path.strip("/") or parts.query:
        raise ConfigError(
            f"storage.dsn {without_password(dsn)!r} is not understood, write chdb:///DIRECTORY or clickhouse://HOST/DATABASE"
        )
    return Path("/" + unquote(parts.path).lstrip("/"))


def without_password(dsn: str) -> str:
    """The DSN as it may be shown."""
    return re.sub(r"^([\w+]+://[^:/@]*):[^@]*@", r"\1:***@", dsn)


def _syncfs(descriptor: int) -> None:
    """Write out the file system of an open file (syncfs(2)): one wait instead of one for each of the many files."""
    if _libc.syncfs(descriptor) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def _take(path: Path) -> int:
    """Make the directory and lock it for this process; the lock ends with the process, however it ends."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = os.open(path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise StoreError(f"storage {path}: cannot be written: {error.strerror}; choose another directory") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.read(lock, 20).decode(errors="replace").strip() or "unknown"
        os.close(lock)
        raise StoreError(
            f"storage {path}: is in use by process {holder}; stop it, or choose another directory"
        ) from error
    os.ftruncate(lock, 0)
    os.write(lock, str(os.getpid()).encode())
    return lock


_KNOWN: Final = {
    "NOT_ENOUGH_SPACE": "the disk is full; make room",
    "No space left on device": "the disk is full; make room",
    "MEMORY_LIMIT_EXCEEDED": "not enough memory; ask for a shorter range or fewer points",
    "TOO_MANY_PARTS": "rounds come faster than they can be merged; they are kept by the agents meanwhile",
}


def _reason(message: str) -> str:
    """The one line of a ClickHouse error that says what is wrong."""
    for mark, meaning in _KNOWN.items():
        if mark in message:
            return meaning
    line = " ".join(message.split())
    line = re.sub(r"^.*?DB::Exception: ", "", line)
    return line[:300]
