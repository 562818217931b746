"""Result lines, what a slave delivers: `PATH TAB TIME TAB UPTIME:LOSS:MEDIAN:P1:…:PN`, many at once, to columns and back.

TIME is Unix seconds, values are seconds, `U` is unknown, LOSS a number of pings. The order in which pings were sent is not
in them: `Flag.SORTED`. The format is that of an RRD update (`Smokeping.pm`).
"""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from smokemesh.errors import WireError

#: Pings of one round, bytes of a path, and an RTT in seconds that no honest line goes beyond.
MOST_PINGS: Final = 10_000
MOST_PATH: Final = 1024
MOST_RTT: Final = 1e6
#: Fields of a line; what follows them is ignored, as SmokePing's master does.
_HEAD: Final = 3
#: UPTIME, LOSS, MEDIAN and one ping; digits of a time.
_LEAST: Final = 4
_DIGITS: Final = 10
_FORM: Final = "not PATH TAB TIME TAB UPTIME:LOSS:MEDIAN:P1:…:PN"
_PATH: Final = "with a path that no target can have"
_TIME: Final = f"with an RTT that is negative or above {MOST_RTT:.0f} s"
_LOSS: Final = "with a LOSS that does not fit their pings"
_NUMBER: Final = rb"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]{1,4})?"
_VALUES: Final = re.compile(rb"(?:U|%b)(?::(?:U|%b)){3,}" % (_NUMBER, _NUMBER))
_KNOWN: Final = b"0123456789.eE+-:U"


@dataclass(slots=True)
class Refusals:
    """Lines that say nothing that could be kept: reason -> how many, and the first of them."""

    counts: dict[str, int] = field(default_factory=dict)
    examples: dict[str, str] = field(default_factory=dict)

    def add(self, reason: str, line: str, count: int = 1) -> None:
        """Another one."""
        self.counts[reason] = self.counts.get(reason, 0) + count
        self.examples.setdefault(reason, line[:120])

    def texts(self) -> list[str]:
        """A sentence for each reason."""
        return [f"{count} lines {reason}, the first {self.examples[reason]!a}" for reason, count in self.counts.items()]

    @property
    def total(self) -> int:
        """How many lines."""
        return sum(self.counts.values())


@dataclass(frozen=True, slots=True, eq=False)
class Lines:
    """Rounds as delivered, in the order of their lines: `rtts[offsets[i]:offsets[i + 1]]` belong to line `i`, ascending, lost last."""

    #: Each path once, with its leading slash.
    paths: tuple[str, ...]
    #: Index into `paths`, i8[n].
    path: NDArray[np.int64]
    #: Unix seconds, i8[n].
    time: NDArray[np.int64]
    #: Answered pings, u2[n].
    received: NDArray[np.uint16]
    offsets: NDArray[np.int64]
    #: Seconds, NaN when lost.
    rtts: NDArray[np.float32]
    #: Lines of rounds that were not measured (LOSS is `U`): nothing is known of them, so there is nothing to keep.
    unknown: int
    refusals: Refusals

    def __len__(self) -> int:
        return len(self.path)

    @property
    def sent(self) -> NDArray[np.uint16]:
        """Pings of each round, lost ones included."""
        return np.diff(self.offsets).astype(np.uint16)


def read_lines(data: bytes) -> Lines:
    """All that can be understood of a slave's `data`; whatever cannot is counted in `refusals`."""
    refusals, paths = Refusals(), _Paths()
    rows: list[list[bytes]] = []
    for line in data.split(b"\n"):
        row = line.split(b"\t", 3)
        if len(row) >= _HEAD and row[1].isdigit() and len(row[1]) <= _DIGITS and paths.number(row[0]) >= 0:
            rows.append(row)
        elif line:
            refusals.add((len(row) >= _HEAD and paths.problem(row[0])) or _FORM, _shown(line))
    rows, flat, counts = _values(rows, refusals)
    return _judged(rows, paths, flat, counts, refusals)


class _Paths:
    """The paths met, each judged and numbered once."""

    def __init__(self) -> None:
        self._numbers: dict[bytes, int] = {}
        self.names: list[str] = []

    def number(self, path: bytes) -> int:
        """Its number, -1 when no target can have it."""
        known = self._numbers.get(path)
        if known is None:
            known = -1
            if not self.problem(path):
                known = len(self.names)
                self.names.append(path.decode())
            self._numbers[path] = known
        return known

    def problem(self, path: bytes) -> str:
        """Why no target can have this path, "" when one can."""
        try:
            text = path.decode()
        except UnicodeDecodeError:
            return _PATH
        parts = text.split("/")
        good = len(path) <= MOST_PATH and text.isprintable() and not parts[0] and len(parts) > 1
        return "" if good and not {"", ".", ".."} & set(parts[1:]) else _PATH


def _values(
    rows: list[list[bytes]], refusals: Refusals
) -> tuple[list[list[bytes]], NDArray[np.float64], NDArray[np.int64]]:
    """The rows whose values can be read, all values in one array (NaN for `U`), and how many each row has."""
    counts = [row[2].count(b":") + 1 for row in rows]
    joined = b":".join([row[2] for row in rows])
    flat = _numbers(joined, sum(counts))
    # One strange line is enough to be here: then each is looked at by itself.
    if flat is None or min(counts, default=_LEAST) < _LEAST or max(counts, default=0) > MOST_PINGS + _LEAST - 1:
        good = [
            _VALUES.fullmatch(row[2]) is not None and n < MOST_PINGS + _LEAST
            for row, n in zip(rows, counts, strict=True)
        ]
        for row in (row for row, fine in zip(rows, good, strict=True) if not fine):
            refusals.add(_FORM, _shown(b"\t".join(row)))
        rows = [row for row, fine in zip(rows, good, strict=True) if fine]
        counts = [row[2].count(b":") + 1 for row in rows]
        flat = _numbers(b":".join([row[2] for row in rows]), sum(counts))
    if flat is None:
        raise WireError("data: numbers that cannot be read")
    return rows, flat, np.array(counts, np.int64)


def _numbers(joined: bytes, count: int) -> NDArray[np.float64] | None:
    """Numbers parted by colons, NaN for `U`; None when they are not all that and nothing else."""
    if joined.translate(None, _KNOWN) or b"+U" in joined or b"-U" in joined:
        return None
    try:
        found = np.fromstring(joined.replace(b"U", b"nan"), np.float64, sep=":")
    except ValueError:
        return None
    return found if len(found) == count else None


def _judged(
    rows: list[list[bytes]],
    paths: _Paths,
    flat: NDArray[np.float64],
    counts: NDArray[np.int64],
    refusals: Refusals,
) -> Lines:
    """Take the rounds apart, and leave out those that contradict themselves."""
    starts = np.concatenate([[0], np.cumsum(counts)])[:-1].astype(np.int64)
    is_ping = np.ones(len(flat), bool)
    for column in range(_LEAST - 1):
        is_ping[starts + column] = False
    pings, sent, loss = flat[is_ping], counts - (_LEAST - 1), flat[starts + 1]
    answered = ~np.isnan(pings)
    begins = np.concatenate([[0], np.cumsum(sent)]).astype(np.int64)
    received = _sums(answered, begins)
    strange = _sums(answered & ~((pings >= 0) & (pings <= MOST_RTT)), begins) > 0
    # A probe that returned too many answers makes LOSS negative.
    fits = (loss == sent - received) | ((loss < 0) & (received == sent))
    unknown = np.isnan(loss)
    for bad, reason in ((~unknown & strange, _TIME), (~unknown & ~strange & ~fits, _LOSS)):
        if bad.any():
            refusals.add(reason, _shown(b"\t".join(rows[int(np.argmax(bad))])), int(bad.sum()))
    keep = ~unknown & ~strange & fits
    kept = [row for row, good in zip(rows, keep.tolist(), strict=True) if good] if not keep.all() else rows
    return Lines(
        paths=tuple(paths.names),
        path=np.fromiter((paths.number(row[0]) for row in kept), np.int64, len(kept)),
        time=np.fromiter((int(row[1]) for row in kept), np.int64, len(kept)),
        received=received[keep].astype(np.uint16),
        offsets=np.concatenate([[0], np.cumsum(sent[keep])]).astype(np.int64),
        rtts=_sorted(pings[np.repeat(keep, sent)], sent[keep]).astype(np.float32),
        unknown=int(unknown.sum()),
        refusals=refusals,
    )


def _sums(values: NDArray[np.bool_], begins: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many are true in each row."""
    return np.diff(np.concatenate([[0], np.cumsum(values)])[begins])


def _sorted(pings: NDArray[np.float64], sent: NDArray[np.int64]) -> NDArray[np.float64]:
    """Each row ascending, NaN last."""
    if len(sent) and (sent == sent[0]).all():
        return np.sort(pings.reshape(len(sent), -1), axis=1).reshape(-1)
    return pings[np.lexsort((pings, np.repeat(np.arange(len(sent)), sent)))]


def _shown(line: bytes) -> str:
    return line[:120].decode("utf-8", "replace")


def write_lines(rounds: Iterable[tuple[str, int, int, Sequence[float]]]) -> list[bytes]:
    """Lines of rounds (path, Unix seconds, pings, RTTs as they came): those that are lost are NaN or left out."""
    return [f"{path}\t{time}\t{values(pings, rtts)}".encode() for path, time, pings, rtts in rounds]


def values(pings: int, rtts: Sequence[float]) -> str:
    """`UPTIME:LOSS:MEDIAN:P1:…:PN` as SmokePing's probes make it: ascending, lost pings half below and half above."""
    times = sorted(rtt for rtt in rtts if not math.isnan(rtt))
    texts = [f"{rtt:.10e}" for rtt in times]
    loss = pings - len(times)
    below = int(loss / 2)
    median = texts[len(times) // 2] if times else "U"
    return ":".join(["U", str(loss), median, *["U"] * below, *texts, *["U"] * (pings - below - len(times))])
