"""Rounds: what was measured. One `RoundBatch` holds many, as columns.

Times are integer nanoseconds UTC, RTTs are seconds in the order sent, a lost ping is NaN. An answer that
came after the probe's timeout is *late*: it counts as received, its true RTT stands in `rtts`, and `late`
counts it. A ping answered by an ICMP error or that could not be sent is lost; `errors` counts it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import IntFlag
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray


class Flag(IntFlag):
    """What a reader must know of a round before trusting it."""

    NONE = 0
    #: At least one answer came after the timeout.
    LATE = 1
    #: At least one ping was answered more than once.
    DUPLICATE = 2
    #: At least one answer overtook another.
    REORDERED = 4
    #: The wall clock stepped during the round: RTTs that could not be trusted were left out.
    CLOCK_STEPPED = 8
    #: This host dropped packets during the round: its loss may be our own.
    OWN_DROPS = 16
    #: The agent's own uplink was in doubt.
    VANTAGE_DEGRADED = 32
    #: At least one ping was answered by an ICMP error.
    ICMP_ERROR = 64
    #: At least one ping could not be sent.
    SEND_ERROR = 128
    #: The host's name did not resolve; nothing was sent.
    UNRESOLVED = 256
    #: At least one answer came back damaged.
    CORRUPTED = 512
    #: The round did not end inside its step.
    OVERRUN = 1024
    #: The RTTs came sorted: in which order they were sent is unknown, so nothing can be said of jitter.
    SORTED = 2048
    #: Brought in from another system's history, which had averaged it already.
    IMPORTED = 4096
    #: This host was too busy: pings began late or were left out; what counts is not affected.
    OWN_DELAY = 8192


#: Column name -> element type, in the order they travel. Only ever append.
COLUMNS: Final[dict[str, str]] = {
    "task": "<u8",
    "time": "<i8",
    "step": "<f4",
    "sent": "<u2",
    "received": "<u2",
    "late": "<u2",
    "duplicates": "<u2",
    "reordered": "<u2",
    "corrupted": "<u2",
    "errors": "<u2",
    "error": "<u4",
    "flags": "<u4",
}

#: `error` holds the first error of a round: kind in the high half, number in the low half.
ERROR_ICMP4, ERROR_ICMP6, ERROR_ERRNO, ERROR_RESOLVE = 1 << 16, 2 << 16, 3 << 16, 4 << 16
#: An answer came that does not count; the number is the protocol's own: HTTP status, DNS response code, SMTP reply, exit
#: status, 0 when it is not what was expected. Or the library gave up, with its code (libcurl-errors(3)).
ERROR_ANSWER, ERROR_CURL = 5 << 16, 6 << 16


@dataclass(frozen=True, slots=True, eq=False)
class RoundBatch:
    """`n` rounds as columns. `rtts[offsets[i]:offsets[i + 1]]` are the pings of round `i`, `sent[i]` of them."""

    #: Task number (`assignment.task_id`), u8[n].
    task: NDArray[np.uint64]
    #: Scheduled begin of the round, nanoseconds UTC, i8[n].
    time: NDArray[np.int64]
    #: The probe's step in seconds, f4[n].
    step: NDArray[np.float32]
    sent: NDArray[np.uint16]
    #: Answers, late ones included; a duplicate is not a second answer.
    received: NDArray[np.uint16]
    late: NDArray[np.uint16]
    duplicates: NDArray[np.uint16]
    reordered: NDArray[np.uint16]
    corrupted: NDArray[np.uint16]
    #: Pings answered by an ICMP error, or not sent because the system refused.
    errors: NDArray[np.uint16]
    #: The first error, 0 for none: ERROR_ICMP4/6 + type * 256 + code, ERROR_ERRNO + errno, ERROR_RESOLVE + code.
    error: NDArray[np.uint32]
    #: `Flag`s.
    flags: NDArray[np.uint32]
    #: The address measured, u1[n, 16]; IPv4 as ::ffff:a.b.c.d, all zero when nothing was sent.
    address: NDArray[np.uint8]
    #: Where each round's RTTs begin, i8[n + 1].
    offsets: NDArray[np.int64]
    #: Seconds, NaN when lost, f4[offsets[n]].
    rtts: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.task)

    @classmethod
    def empty(cls) -> Self:
        """No rounds."""
        return cls.from_columns(0, {})

    @classmethod
    def from_columns(cls, n: int, columns: dict[str, Any]) -> Self:
        """A batch from columns of any array-like; a column left out is zeros, `offsets` follow from `sent`."""
        made: dict[str, Any] = {
            name: np.zeros(n, kind) if columns.get(name) is None else np.asarray(columns[name], kind)
            for name, kind in COLUMNS.items()
        }
        address = columns.get("address")
        made["address"] = np.zeros((n, 16), "u1") if address is None else np.asarray(address, "u1").reshape(n, 16)
        offsets = columns.get("offsets")
        if offsets is None:
            offsets = np.concatenate([[0], np.cumsum(made["sent"], dtype="<i8")])
        made["offsets"] = np.asarray(offsets, "<i8")
        rtts = columns.get("rtts")
        made["rtts"] = np.full(int(made["offsets"][-1]), np.nan, "<f4") if rtts is None else np.asarray(rtts, "<f4")
        return cls(**made)

    @classmethod
    def concatenate(cls, batches: Sequence["RoundBatch"]) -> Self:
        """The rounds of all batches, in order."""
        if not batches:
            return cls.empty()
        joined: dict[str, Any] = {
            f.name: np.concatenate([getattr(b, f.name) for b in batches]) for f in fields(cls) if f.name != "offsets"
        }
        counts = np.concatenate([np.diff(b.offsets) for b in batches])
        return cls(**joined, offsets=np.concatenate([[0], np.cumsum(counts)]).astype("<i8"))

    def where(self, keep: NDArray[np.bool_]) -> "RoundBatch":
        """The rounds where `keep` is true, in the same order."""
        columns: dict[str, Any] = {name: getattr(self, name)[keep] for name in (*COLUMNS, "address")}
        counts = np.diff(self.offsets)
        columns["offsets"] = np.concatenate([[0], np.cumsum(counts[keep])])
        columns["rtts"] = self.rtts[np.repeat(keep, counts)]
        return type(self).from_columns(int(np.count_nonzero(keep)), columns)

    def matrix(self) -> NDArray[np.float32]:
        """RTTs as f4[n, most pings of any round], NaN where lost or where a round had fewer pings."""
        counts = np.diff(self.offsets)
        width = int(counts.max(initial=0))
        out = np.full((len(self), width), np.nan, np.float32)
        out[np.arange(width) < counts[:, None]] = self.rtts
        return out
