"""How both programs write their log: one line each on stderr, `time level part "event" key=value …`."""

import logging
import sys
import time
from typing import Final

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


def configure(level: str) -> None:
    """Write the program's log to stderr from `level` on. The libraries below us speak only when something is wrong."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(KeyValues())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("smokemesh").setLevel(level.upper())
