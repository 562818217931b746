"""Rounds as Arrow, into the database and out of it, column by column without looking at single values."""

import io
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from smokemesh.errors import StoreError
from smokemesh.model.rounds import COLUMNS, RoundBatch

_MAGIC: Final = b"ARROW1"
_PLAIN: Final = [name for name in COLUMNS if name not in ("task", "time")]


def write(agent: str, batch: RoundBatch) -> bytes:
    """The rounds of one agent, as `write_together`."""
    return write_together([agent], np.zeros(len(batch), np.int32), batch)


def write_together(agents: Sequence[str], who: NDArray[np.int32], batch: RoundBatch) -> bytes:
    """Rounds as an Arrow file that holds exactly one record batch. `who` says for each which of the agents measured it."""
    n = len(batch)
    columns: dict[str, Any] = {
        "task": pa.array(batch.task),
        "agent": pa.DictionaryArray.from_arrays(pa.array(who), pa.array(agents, pa.string())),
        "time": pa.array(batch.time).view(pa.timestamp("ns", "UTC")),
    }
    columns |= {name: pa.array(np.ascontiguousarray(getattr(batch, name))) for name in _PLAIN}
    address = pa.py_buffer(np.ascontiguousarray(batch.address))
    columns["address"] = pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), n, [None, address])
    columns["rtts"] = pa.ListArray.from_arrays(batch.offsets.astype(np.int32), pa.array(batch.rtts))
    record = pa.record_batch(columns)
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, record.schema) as writer:
        writer.write_batch(record)
    return sink.getvalue()


def read(data: bytes) -> pa.Table:
    """An answer of the database; without rows it has no columns either."""
    if not data:
        return pa.table({})
    try:
        source = pa.BufferReader(data)
        source.seek(len(_MAGIC) + 2)
        # The batches are those a stream would have, so the footer need not be believed, only stand right after them.
        table = pa.ipc.open_stream(source).read_all()
    except (pa.ArrowException, OSError) as error:
        raise StoreError(f"storage: an answer of the database cannot be read: {error}; ask again") from error
    if data[source.tell() :] != _footer(data):
        raise StoreError("storage: an answer of the database has another one in it; ask again")
    return table.combine_chunks()


def _footer(data: bytes) -> bytes:
    """The end of an Arrow file: the footer, its length, and the magic."""
    length = int.from_bytes(data[-len(_MAGIC) - 4 : -len(_MAGIC)], "little")
    return data[-len(_MAGIC) - 4 - length :] if data.endswith(_MAGIC) else b""


def column(table: pa.Table, name: str) -> np.ndarray:
    """One column of numbers."""
    values: np.ndarray = table[name].to_numpy()
    return values


def matrix(table: pa.Table, name: str, width: int) -> np.ndarray:
    """A column of lists that all have `width` elements, as rows."""
    return _values(table, name).reshape(-1, width)


def rounds(table: pa.Table) -> RoundBatch:
    """The rounds in an answer of statement `rounds`."""
    if table.num_rows == 0:
        return RoundBatch.empty()
    columns: dict[str, Any] = {name: column(table, name) for name in COLUMNS}
    columns["address"] = np.frombuffer(b"".join(table["address"].to_pylist()), np.uint8)
    columns["rtts"] = _values(table, "rtts")
    return RoundBatch.from_columns(table.num_rows, columns)


def _values(table: pa.Table, name: str) -> np.ndarray:
    chunks = [chunk.flatten() for chunk in table[name].chunks]
    return np.concatenate([chunk.to_numpy(zero_copy_only=False) for chunk in chunks]) if chunks else np.empty(0)
