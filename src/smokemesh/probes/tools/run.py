"""What a tool is asked, the run that answers it, and what came out. Times are seconds, RTTs too, NaN for lost."""

import ipaddress
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

#: Stands in a command line for the file that holds `Run.secret`.
SECRET_FILE: Final = "{secret}"


@dataclass(frozen=True, slots=True)
class Ask:
    """What is to be measured."""

    #: The host as configured, and the address it has now.
    host: str
    address: str
    pings: int
    #: From one ping of a round to the next.
    spacing: float
    timeout: float
    source: str = ""
    #: PASSWORD, SECRET and what else the agent's own files hold.
    secrets: dict[str, str] = field(default_factory=dict, repr=False)

    @property
    def family(self) -> str:
        """4 or 6."""
        return "6" if ":" in self.address else "4"


@dataclass(frozen=True, slots=True)
class Run:
    """A program to be run; its first word is a name or a path."""

    argv: tuple[str, ...]
    #: What it may read from its standard input.
    stdin: bytes = field(default=b"", repr=False)
    #: What it may read from the file that stands at `SECRET_FILE` in its words.
    secret: bytes = field(default=b"", repr=False)
    #: Variables beside the fixed ones.
    environment: tuple[tuple[str, str], ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Output:
    """What a program printed and how it ended."""

    stdout: bytes
    stderr: bytes = b""
    #: Exit status; below zero a signal ended it.
    status: int = 0
    #: How long it ran, or until its output was `ready`.
    elapsed: float = 0.0

    @property
    def text(self) -> str:
        """All it printed."""
        return (self.stdout + b"\n" + self.stderr).decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class Instrument:
    """One tool."""

    #: The usual name of its program.
    program: str
    #: Its options (`model.tools`) and what is asked -> the run.
    command: Callable[[Any, Ask], Run]
    #: The output, the options and what was asked -> RTTs in the order sent, as far as known.
    read: Callable[[Output, Any, Ask], Sequence[float]]
    #: One run measures all of a round.
    whole_round: bool = False
    #: Whether enough was printed; then the program is ended and `elapsed` is the time until then.
    ready: Callable[[bytes, Any, Ask], bool] | None = None
    #: The RTTs come from the program's own clock: our standing still does not spoil them.
    own_clock: bool = True
    #: Seconds a whole round takes beside its pings: starting, logging in.
    overhead: float = 0.0


def ran(output: Output, _options: Any = None, _ask: Ask | None = None) -> list[float]:
    """The time it ran is the RTT, when it ended well."""
    return [output.elapsed] if output.status == 0 else []


def given(*words: str | tuple[str, object]) -> tuple[str, ...]:
    """The words of a command line; of a pair nothing where its value is empty, zero or false, else the option and it."""
    line: list[str] = []
    for word in words:
        if isinstance(word, str):
            line.append(word)
        elif word[1] is True:
            line.append(word[0])
        elif word[1]:
            line += [word[0], str(word[1])]
    return tuple(line)


def at(host: str, port: int | str = 0) -> str:
    """`host:port`, an IPv6 address in brackets; without port the host as it is."""
    if not port:
        return host
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def numbers(words: Iterable[str], unit: float) -> list[float]:
    """Words as RTTs; what is no number, or below zero, is lost."""
    return [number(word, unit) for word in words]


def number(word: str, unit: float) -> float:
    """A word as an RTT; NaN for what is no number, infinite or below zero."""
    try:
        value = float(word) * unit
    except ValueError:
        return math.nan
    return value if 0 <= value < math.inf else math.nan


def in_order(answers: Iterable[tuple[int, float]], pings: int) -> list[float]:
    """RTTs by the index of their ping; the first answer to a ping counts."""
    rtts = [math.nan] * pings
    for index, rtt in answers:
        if 0 <= index < pings and math.isnan(rtts[index]):
            rtts[index] = rtt
    return rtts


def plain(word: str, what: str) -> str:
    """The word, if it cannot be taken for an option or for two words. Raises ValueError."""
    if word.startswith("-") or any(c.isspace() or not c.isprintable() for c in word):
        raise ValueError(f"{what} {word!r} would be more than a word on a command line")
    return word


def is_address(text: str) -> bool:
    """Whether it is a literal address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def same_address(one: str, other: str) -> bool:
    """Whether two texts are the same address, however written."""
    if is_address(one) and is_address(other):
        return ipaddress.ip_address(one) == ipaddress.ip_address(other)
    return one == other
