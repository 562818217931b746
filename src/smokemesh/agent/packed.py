"""An assignment at rest: it is needed whole only while a plan is made, and ten thousand tasks as objects weigh 4 MB."""

from dataclasses import dataclass
from typing import Self

import zstandard

from smokemesh.model.assignment import Assignment
from smokemesh.wire import messages


@dataclass(frozen=True, slots=True)
class PackedAssignment:
    """What is asked of an assignment all the time, and the rest compressed."""

    version: str
    heartbeat_interval: float
    upload_interval: float
    data: bytes

    @classmethod
    def of(cls, assignment: Assignment) -> Self:
        """Pack an assignment."""
        data = zstandard.ZstdCompressor(level=3).compress(messages.encode(assignment))
        return cls(assignment.version, assignment.heartbeat_interval, assignment.upload_interval, data)

    def unpack(self) -> Assignment:
        """The assignment again."""
        return messages.decode(Assignment, zstandard.ZstdDecompressor().decompress(self.data))
