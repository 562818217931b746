"""What an engine must report of a round, worked out from the network's own record. Seconds."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smokemesh.model.rounds import Flag
from smokemesh.netlab.fate import Did
from smokemesh.netlab.truth import was


@dataclass(frozen=True, eq=False)
class Expected:
    """One round, by the names of `RoundBatch`."""

    sent: int
    received: int
    late: int
    duplicates: int
    reordered: int
    corrupted: int
    errors: int
    flags: Flag
    #: What the network held each ping for, NaN where no answer left.
    held: NDArray[np.float64]


def expected(records: NDArray[np.void], timeout: float, stale_is_lost: bool) -> Expected:
    """What the packets of one round, in the order they were sent, must look like to who sent them.

    `stale_is_lost`: whether the kernel drops answers with a wrong checksum before the engine could see them.
    """
    damaged = was(records, Did.CORRUPTED)
    answered = was(records, Did.ANSWERED) & ~damaged
    held = np.where(answered, (records["left"] - records["arrived"]) * 1e-9, np.nan)
    late = int((held > timeout).sum())
    duplicates = int((records["copies"][answered].astype(int) - 1).sum())
    corrupted = 0 if stale_is_lost else int(records["copies"][damaged].sum())
    errors = int(was(records, Did.REFUSED).sum())
    reordered = overtaken(records["left"][answered])
    flags = Flag.NONE
    for count, flag in (
        (late, Flag.LATE),
        (duplicates, Flag.DUPLICATE),
        (reordered, Flag.REORDERED),
        (corrupted, Flag.CORRUPTED),
        (errors, Flag.ICMP_ERROR),
    ):
        flags |= flag if count else Flag.NONE
    return Expected(len(records), int(answered.sum()), late, duplicates, reordered, corrupted, errors, flags, held)


def overtaken(left: NDArray[np.int64]) -> int:
    """Answers that came after the answer to a later ping (RFC 4737 section 3.3), from when each left, in send order."""
    highest, count = -1, 0
    for ping in np.argsort(left, kind="stable"):
        count += int(ping) < highest
        highest = max(highest, int(ping))
    return count
