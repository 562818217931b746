"""Is a part of a table whole on disk, as the engine will see it when it opens the table?

The engine puts a part aside whose files are not there, or not as long as the part's `checksums.txt` says: so they
are after a power cut that came before they were written out. That file (format 4) is one or more compressed blocks;
unpacked it tells a number of files, and of each its name, size and hash, and the same of what is packed in it.
"""

import os
import struct
from pathlib import Path
from typing import Final

import pyarrow as pa

_CHECKSUMS: Final = "checksums.txt"
_KNOWN: Final = b"checksums format version: 4\n"
#: Of a block: hash, method, bytes packed (from the method on), bytes unpacked.
_HEAD: Final = struct.Struct("<16sBII")
_HASH: Final = 16
_METHODS: Final = {0x82: "lz4_raw", 0x90: "zstd"}


def is_whole(part: Path) -> bool:
    """Are all files of the part there, and as long as they must be? Raises OSError when they cannot be looked at."""
    sizes = {entry.name: entry.stat().st_size for entry in os.scandir(part)}
    if not (sizes.get(_CHECKSUMS) and sizes.get("columns.txt")):
        return False
    text = (part / _CHECKSUMS).read_bytes()
    try:
        named = _named(text)
    except (ValueError, IndexError, struct.error):
        return False
    if any(sizes.get(name) != size for name, size in named.items()):
        return False
    return all(size for name, size in sizes.items() if name not in named)


def _named(text: bytes) -> dict[str, int]:
    """The files a `checksums.txt` names, with their sizes; none of a format we do not know."""
    if not text.startswith(_KNOWN):
        if text.startswith(_KNOWN.partition(b":")[0]):
            return {}
        raise ValueError("no checksums")
    data = _Reader(_unpacked(text[len(_KNOWN) :]))
    named = {}
    for _ in range(data.number()):
        name = data.take(data.number()).decode()
        named[name] = data.number()
        data.take(_HASH)
        if data.take(1) != b"\0":
            data.number()
            data.take(_HASH)
    return named


def _unpacked(blocks: bytes) -> bytes:
    unpacked = b""
    while blocks:
        _, method, packed, size = _HEAD.unpack_from(blocks)
        # The count includes the method and both counts.
        end = _HASH + packed
        if end > len(blocks) or method not in _METHODS:
            raise ValueError("a block is cut off, or packed in a way we do not know")
        try:
            unpacked += pa.decompress(blocks[_HEAD.size : end], size, codec=_METHODS[method], asbytes=True)
        except OSError as error:
            raise ValueError("a block is damaged") from error
        blocks = blocks[end:]
    return unpacked


class _Reader:
    """Bytes, from the front."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def take(self, count: int) -> bytes:
        """The next bytes. Raises ValueError when there are fewer."""
        taken = self._data[self._at : self._at + count]
        if len(taken) < count:
            raise ValueError("the list of files is cut off")
        self._at += count
        return taken

    def number(self) -> int:
        """The next number: seven bits a byte, the lowest first."""
        value = shift = 0
        while True:
            [byte] = self.take(1)
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
