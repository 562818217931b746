"""An assignment at rest: it is needed whole only while a plan is made, and ten thousand tasks as objects weigh 4 MB."""

from dataclasses import dataclass
from typing import Final, Self

import msgspec
import zstandard

from smokemesh.errors import WireError
from smokemesh.model.assignment import Assignment
from smokemesh.wire import messages

#: An assignment larger than this is not unpacked: a bound on memory, whatever a file says.
MOST_BYTES: Final = 256 * 2**20


class _Head(msgspec.Struct, frozen=True):
    """The fields of `Assignment` that are asked for all the time; the decoder passes over the tasks."""

    version: str
    agent: str
    heartbeat_interval: float = 10.0
    upload_interval: float = 1.0


_heads = msgspec.msgpack.Decoder(_Head)


@dataclass(frozen=True, slots=True)
class PackedAssignment:
    """What is asked of an assignment all the time, and all of it compressed."""

    version: str
    agent: str
    heartbeat_interval: float
    upload_interval: float
    data: bytes

    @classmethod
    def read(cls, body: bytes) -> Self:
        """Pack an assignment as a master sent it. Raises WireError when it is none at first sight."""
        try:
            head = _heads.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise WireError(f"Assignment: cannot be read: {error}") from error
        packed = zstandard.ZstdCompressor(level=3).compress(body)
        return cls(head.version, head.agent, head.heartbeat_interval, head.upload_interval, packed)

    @classmethod
    def load(cls, data: bytes) -> Self:
        """From what `data` was. Raises WireError."""
        return cls.read(_unpack(data))

    def unpack(self) -> Assignment:
        """The assignment. Raises WireError."""
        return messages.decode(Assignment, _unpack(self.data))


def _unpack(data: bytes) -> bytes:
    try:
        return zstandard.ZstdDecompressor().decompress(data, max_output_size=MOST_BYTES)
    except zstandard.ZstdError as error:
        raise WireError(f"Assignment: cannot be unpacked: {error}") from error
