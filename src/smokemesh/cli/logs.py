"""How both programs write their log: one line each on stderr, `time level part "event" key=value …`."""

import logging
import sys
import time
from typing import Any, Final

from smokemesh.errors import HostError

LEVELS: Final = ("debug", "info", "warning", "error")


class KeyValues(logging.Formatter):
    """Lines that people read and programs split. A message is `event: key=value …`, or the event alone."""

    def format(self, record: logging.LogRecord) -> str:
        event, _, pairs = record.getMessage().replace("\n", " ").partition(": ")
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        part = record.name.removeprefix("smokemesh.")
        line = f'time={stamp}.{int(record.msecs):03d}Z level={record.levelname.lower()} part={part} event="{event}"'
        if pairs:
            line += f" {pairs}" if "=" in pairs else f" detail={pairs!r}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


def configure(level: str = "info", file: str | None = None) -> None:
    """Write the program's log, from `level` on, to stderr or to a file that logrotate may move away at any time.

    The libraries below us speak only when something is wrong.
    """
    try:
        handler = _file_handler(file) if file else logging.StreamHandler(sys.stderr)
    except OSError as error:
        raise HostError(f"{file}: {error.strerror}; choose another file with --logfile") from error
    handler.setFormatter(KeyValues())
    logging.raiseExceptions = False  # a full disk must not fill stderr with tracebacks instead
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("smokemesh").setLevel(level.upper())


def _file_handler(file: str) -> logging.StreamHandler[Any]:
    from logging.handlers import WatchedFileHandler  # pulls in pickle and sockets, a megabyte an agent can save

    return WatchedFileHandler(file)
