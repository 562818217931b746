"""A RoundBatch as bytes: the columns raw and little-endian in a msgpack map, compressed with zstd.

The reader turns the bytes into arrays without looking at single values, then checks what it got: sizes
that agree, counts that add up. Unknown columns are ignored and missing ones are zero, so an older or
newer writer is understood.
"""

from typing import Final

import msgspec
import numpy as np
import zstandard

from smokemesh.errors import WireError
from smokemesh.model.rounds import COLUMNS, RoundBatch

#: The most rounds and RTT bytes accepted in one batch: a bound on memory, whatever the sender says.
MOST_ROUNDS: Final = 1_000_000
MOST_BYTES: Final = 256 * 2**20
#: Seconds: no probe is stepped shorter or longer. A store reckons with steps, and divides by them.
LEAST_STEP: Final = 0.01
MOST_STEP: Final = 366 * 86400.0


class _Packed(msgspec.Struct, frozen=True):
    n: int
    columns: dict[str, bytes]


_decoder = msgspec.msgpack.Decoder(_Packed)
_encoder = msgspec.msgpack.Encoder()


def pack(batch: RoundBatch) -> bytes:
    """The batch as bytes."""
    columns = {name: getattr(batch, name).astype(kind, copy=False).tobytes() for name, kind in COLUMNS.items()}
    columns["address"] = batch.address.tobytes()
    columns["rtts"] = batch.rtts.astype("<f4", copy=False).tobytes()
    return zstandard.ZstdCompressor(level=3).compress(_encoder.encode(_Packed(n=len(batch), columns=columns)))


def unpack(data: bytes) -> RoundBatch:
    """The batch in `data`, verified. Raises WireError when it is anything else than `pack` could have written."""
    try:
        size = zstandard.frame_content_size(data)
        if not 0 <= size <= MOST_BYTES:
            raise WireError(f"round batch: unpacked size {size} bytes, at most {MOST_BYTES} are accepted")
        packed = _decoder.decode(zstandard.ZstdDecompressor().decompress(data, max_output_size=MOST_BYTES))
    except (zstandard.ZstdError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise WireError(f"round batch: cannot be read: {error}") from error
    if not 0 <= packed.n <= MOST_ROUNDS:
        raise WireError(f"round batch: {packed.n} rounds, at most {MOST_ROUNDS} are accepted")
    columns = {name: _column(packed, name, kind, packed.n) for name, kind in COLUMNS.items()}
    columns["address"] = _column(packed, "address", "u1", 16 * packed.n)
    pings = int(columns["sent"].sum(dtype="i8"))
    if 4 * pings > MOST_BYTES:
        raise WireError(f"round batch: {pings} pings, at most {MOST_BYTES // 4} are accepted")
    columns["rtts"] = _column(packed, "rtts", "<f4", pings)
    batch = RoundBatch.from_columns(packed.n, columns)
    _verify(batch)
    return batch


def _column(packed: _Packed, name: str, kind: str, count: int) -> np.ndarray:
    raw = packed.columns.get(name)
    if raw is None:
        return np.full(count, np.nan, kind) if name == "rtts" else np.zeros(count, kind)
    if len(raw) != count * np.dtype(kind).itemsize:
        raise WireError(f"round batch: column {name} has {len(raw)} bytes, expected {count} values of {kind}")
    return np.frombuffer(raw, kind)


def _verify(batch: RoundBatch) -> None:
    """Refuse numbers that cannot have been measured, before they reach a store or a screen."""
    if len(batch) == 0:
        return
    answered = np.add.reduceat(np.append(~np.isnan(batch.rtts), False), batch.offsets[:-1]) * (batch.sent > 0)
    checks = (
        ("received", answered == batch.received, "is not the number of RTTs that are not NaN"),
        ("late", batch.late <= batch.received, "is more than received"),
        ("errors", batch.errors.astype("u4") + batch.received <= batch.sent, "and received are more than sent"),
        ("time", batch.time > 0, "is not a time"),
        ("step", (batch.step >= np.float32(LEAST_STEP)) & (batch.step <= MOST_STEP), "is not 0.01 s to 366 days"),
    )
    for name, good, what in checks:
        if not good.all():
            i = int(np.argmin(good))
            raise WireError(f"round batch: {name} of round {i} is {getattr(batch, name)[i]}, which {what}")
    bad = ~(np.isnan(batch.rtts) | ((batch.rtts >= 0) & np.isfinite(batch.rtts)))
    if bad.any():
        raise WireError(f"round batch: an RTT is {batch.rtts[np.argmax(bad)]} seconds")
