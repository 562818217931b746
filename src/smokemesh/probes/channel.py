"""Channels: sockets, and which of their sequence numbers stand for which ping.

A ping in flight is known by its channel, identifier and 16-bit sequence number, together its *key*. A number is not
given out again while an answer to it may still come. Times are monotonic seconds, passed in.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from smokemesh.probes.flight import Rows
from smokemesh.probes.packetio import IcmpSocket, SocketOptions


class Lane:
    """The 65,536 sequence numbers of one identifier, given out in turn."""

    def __init__(self, channel: "Channel", number: int) -> None:
        self.channel, self.number = channel, number
        self.id = channel.socket.id_base + number
        self.key = channel.number << 24 | number << 16
        self._next = self._oldest = 0
        #: Until when an answer to each number may come, monotonic seconds.
        self._until = np.zeros(65_536)
        #: Row of the ping that used each number last.
        self.pings = np.full(65_536, -1, np.int32)

    def free(self, wanted: int, now: float) -> int:
        """How many of `wanted` numbers can be taken."""
        used = self._next - self._oldest
        if 65_536 - used < wanted:
            oldest = (self._oldest + np.arange(min(used, wanted + 4096))) & 0xFFFF
            waiting = self._until[oldest] > now
            self._oldest += int(waiting.argmax()) if waiting.any() else len(oldest)
        return min(wanted, 65_536 - (self._next - self._oldest))

    def take(self, pings: Rows, until: NDArray[np.float64]) -> Rows:
        """Sequence numbers for these pings, whose answers may come until then."""
        sequences = (self._next + np.arange(len(pings))) & 0xFFFF
        self._next += len(pings)
        self._until[sequences] = until
        self.pings[sequences] = pings
        return sequences


class Channel:
    """A socket and the sequence numbers in use on it."""

    def __init__(self, number: int, socket: IcmpSocket) -> None:
        self.number, self.socket = number, socket
        self.lanes = [Lane(self, 0)]
        self.dropped = 0
        #: Packets that asked for a transmit stamp so far, and their pings: row and number, by the last 16 bits.
        self.asked = 0
        self.asked_pings = np.zeros((2, 65_536), np.int64)
        #: Stamps asked for and not yet read.
        self.unstamped = 0

    def lane(self, now: float) -> Lane | None:
        """A lane with a free number."""
        for lane in self.lanes:
            if lane.free(1, now):
                return lane
        if len(self.lanes) < self.socket.ids:
            self.lanes.append(Lane(self, len(self.lanes)))
            return self.lanes[-1]
        return None

    def pings(self, ids: Rows, sequences: Rows) -> tuple[Rows, Rows]:
        """The pings that last used these numbers (-1: none did), and the keys they must have to be in flight."""
        number = ids - self.socket.id_base if self.socket.raw else np.where(ids < 0, -1, 0)
        if len(self.lanes) == 1:
            known = (number == 0) & (sequences >= 0)
            rows = np.where(known, self.lanes[0].pings[sequences], -1)
        else:
            rows = np.full(len(ids), -1, np.int64)
            for lane in self.lanes:
                mine = (number == lane.number) & (sequences >= 0)
                rows[mine] = lane.pings[sequences[mine]]
        return rows, self.number << 24 | number << 16 | sequences


@dataclass(slots=True, eq=False)
class Route:
    """The sockets for one set of options; `error` is the errno that keeps us from having one."""

    options: SocketOptions
    channels: list[Channel] = field(default_factory=list)
    error: int = 0
