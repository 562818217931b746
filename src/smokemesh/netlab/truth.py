"""Truth: what the network did with each packet, as columns, to hold measurements against."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from ipaddress import ip_address

import numpy as np
from numpy.typing import NDArray

from smokemesh.netlab.fate import Did

#: One packet. `pair` points into `Truth.pairs`; `number` counts the packets of the pair, from 1; `id` and `sequence`
#: are the echo request's; times are nanoseconds UTC; `delay` is what was decided, nanoseconds, and `left` when the
#: first copy of the answer (or the packet itself) really left, 0 if nothing did.
RECORD = np.dtype(
    [
        ("arrived", "<i8"),
        ("left", "<i8"),
        ("delay", "<i8"),
        ("pair", "<u4"),
        ("number", "<u4"),
        ("did", "<u4"),
        ("copies", "<u2"),
        ("id", "<u2"),
        ("sequence", "<u2"),
        ("_", "<u2"),
    ]
)


@dataclass(frozen=True, eq=False)
class Truth:
    """All packets in the order they arrived."""

    records: NDArray[np.void]
    pairs: Sequence[tuple[bytes, bytes]]
    #: Packets that came after the record was full: they are missing from `records`.
    unrecorded: int = 0

    @cached_property
    def _rows(self) -> dict[tuple[str, str], int]:
        return {(str(ip_address(s)), str(ip_address(d))): i for i, (s, d) in enumerate(self.pairs)}

    def between(self, source: str, destination: str) -> NDArray[np.void]:
        """The packets from one address to another, in the order they arrived."""
        row = self._rows.get((str(ip_address(source)), str(ip_address(destination))))
        return self.records[:0] if row is None else self.records[self.records["pair"] == row]

    def to(self, destination: str) -> NDArray[np.void]:
        """The packets to an address, whoever sent them."""
        packed = ip_address(destination).packed
        rows = [i for i, (_, to) in enumerate(self.pairs) if to == packed]
        return self.records[np.isin(self.records["pair"], rows)]

    def errors(self) -> NDArray[np.float64]:
        """How far the network itself strayed from the delays it had decided, seconds, one per packet that left."""
        gone = self.records[self.records["left"] > 0]
        return (gone["left"] - gone["arrived"] - gone["delay"]) * 1e-9


def was(records: NDArray[np.void], did: Did) -> NDArray[np.bool_]:
    """Which packets the network did that with."""
    return (records["did"] & int(did)) != 0
