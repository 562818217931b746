"""What every sender is given and may raise: one notice, its receiver, the settings of the moment."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event
from typing import Final

from smokemesh.errors import SmokemeshError
from smokemesh.model.alert import Alerting, Notice, Receiver
from smokemesh.settings.secrets import secret_problem

#: Seconds a sender may wait for one thing.
PATIENCE: Final = 20.0


class NotDelivered(SmokemeshError):
    """The receiver did not take it. Tried again, unless it is `final`.

    `wait` is what the receiver asked for, seconds; `left` names those of several who are still to be told.
    """

    code = "not_delivered"

    def __init__(
        self, reason: str, *, final: bool = False, wait: float = 0.0, left: str = "", output: str = ""
    ) -> None:
        super().__init__(" ".join(reason.split()))
        self.final, self.wait, self.left, self.output = final, wait, left, output


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """One notice on its way to one receiver."""

    notice: Notice
    #: As it stands in the outbox: addresses, `|program`, a receiver's name.
    to: str
    #: The receiver of that name, None for addresses and programs.
    receiver: Receiver | None
    alerting: Alerting
    #: The same whenever it is tried.
    key: str
    #: Nanoseconds UTC.
    now: int
    #: Set when the master stops: what can be broken off is.
    stop: Event = field(default_factory=Event)


#: Delivers, and returns what the receiver answered; raises NotDelivered.
Sender = Callable[[Sending], str]


def read_private(path: str) -> str:
    """The first line of a file that only its user may read. Raises NotDelivered."""
    try:
        with open(path, encoding="utf-8") as file:
            status = os.fstat(file.fileno())
            problem = secret_problem(path, status.st_mode, status.st_uid, os.geteuid())
            line = file.readline(65_536).rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise NotDelivered(f"{path}: {getattr(error, 'strerror', None) or 'not UTF-8 text'}") from error
    if problem or not line:
        raise NotDelivered(problem or f"{path}: its first line is empty")
    return line
