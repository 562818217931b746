"""Every error a person can meet, as one tree.

    SmokemeshError             anything we can explain in one line
    ├── ConfigError            the author of a file: names the file, the line, the value and the cure
    ├── UsageError             what was typed on the command line
    ├── HostError              this machine: permission, port, disk, missing program
    ├── WireError              the other side's bytes broke the protocol
    ├── AuthError              unknown key, wrong signature, replay
    ├── NotFound               the question names something that does not exist
    ├── Conflict               the question contradicts what is stored
    ├── StoreError             the store cannot take or give rounds now; retried, nothing is lost
    └── MasterError            no master reached, or it refused; retried, nothing is lost

Each class carries what other programs see of it: the exit status of a command and the status of an
HTTP answer. A lost packet is data, never an error. Messages are one line: the thing, the value, what to do.
"""

from typing import ClassVar


class SmokemeshError(Exception):
    """Anything we can explain in one line; `code` is its name for machines."""

    code: ClassVar[str] = "failed"
    exit_status: ClassVar[int] = 1
    http_status: ClassVar[int] = 500


class ConfigError(SmokemeshError):
    """A configuration that cannot be used; the message begins with `file:line:` where both are known."""

    code = "config"
    exit_status = 2
    http_status = 400

    def __init__(self, message: str, *, file: str = "", line: int = 0) -> None:
        self.message, self.file, self.line = message, file, line
        place = f"{file}:{line}: " if file and line else f"{file}: " if file else ""
        super().__init__(place + message)


class UsageError(SmokemeshError):
    """A command typed wrongly."""

    code = "usage"
    exit_status = 2
    http_status = 400


class HostError(SmokemeshError):
    """This machine does not allow it: permission, port, disk, missing program."""

    code = "host"
    exit_status = 3
    http_status = 500


class WireError(SmokemeshError):
    """The other side's bytes broke the protocol."""

    code = "wire"
    exit_status = 4
    http_status = 400


class AuthError(SmokemeshError):
    """Unknown key, wrong signature, replay, or a clock too far off."""

    code = "auth"
    exit_status = 4
    http_status = 401


class NotFound(SmokemeshError):
    """The question names something that does not exist."""

    code = "not_found"
    http_status = 404


class Conflict(SmokemeshError):
    """The question contradicts what is stored."""

    code = "conflict"
    http_status = 409


class StoreError(SmokemeshError):
    """The store cannot take or give rounds now; the caller keeps them and tries again."""

    code = "store"
    http_status = 503


class MasterError(SmokemeshError):
    """No master was reached, or it refused; the agent keeps its rounds and tries again."""

    code = "master"
    exit_status = 4
    http_status = 502
