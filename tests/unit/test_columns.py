"""Round batches as bytes: whole batches come back, anything else is a WireError."""

import msgspec
import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from smokemesh.errors import WireError
from smokemesh.model.rounds import COLUMNS, RoundBatch
from smokemesh.wire import columns

rtts = st.one_of(st.just(float("nan")), st.floats(0, 100, width=32))


@st.composite
def batches(draw: st.DrawFn) -> RoundBatch:
    """Any batch that could have been measured."""
    rounds = draw(st.lists(st.lists(rtts, max_size=6), max_size=8))
    n = len(rounds)
    answered = [sum(not np.isnan(rtt) for rtt in one) for one in rounds]
    u2, u4, u8 = st.integers(0, 2**16 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)
    return RoundBatch.from_columns(
        n,
        {
            "task": [draw(u8) for _ in range(n)],
            "time": [draw(st.integers(1, 2**63 - 1)) for _ in range(n)],
            "step": [draw(st.floats(0.5, 86400, width=32)) for _ in range(n)],
            "sent": [len(one) for one in rounds],
            "received": answered,
            "late": [draw(st.integers(0, a)) for a in answered],
            "duplicates": [draw(u2) for _ in range(n)],
            "errors": [draw(st.integers(0, len(one) - a)) for one, a in zip(rounds, answered, strict=True)],
            "error": [draw(u4) for _ in range(n)],
            "flags": [draw(u4) for _ in range(n)],
            "address": [list(draw(st.binary(min_size=16, max_size=16))) for _ in range(n)] or None,
            "rtts": [rtt for one in rounds for rtt in one],
        },
    )


def same(a: RoundBatch, b: RoundBatch) -> bool:
    return all(
        np.array_equal(getattr(a, name), getattr(b, name), equal_nan=name in ("rtts", "step"))
        for name in (*COLUMNS, "address", "offsets", "rtts")
    )


@given(batches())
def test_comes_back_as_it_was(batch: RoundBatch) -> None:
    assert same(columns.unpack(columns.pack(batch)), batch)


@given(batches(), st.data())
def test_a_changed_byte_is_refused_or_still_a_batch(batch: RoundBatch, data: st.DataObject) -> None:
    raw = bytearray(columns.pack(batch))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        found = columns.unpack(bytes(raw))
    except WireError:
        return
    assert len(found.rtts) == found.sent.sum()


@given(st.binary(max_size=300))
def test_hostile_bytes(data: bytes) -> None:
    for raw in (data, zstandard.compress(data)):
        with pytest.raises(WireError):
            columns.unpack(raw)


@pytest.mark.parametrize("length", range(0, 60, 7))
def test_cut_short(length: int) -> None:
    with pytest.raises(WireError):
        columns.unpack(columns.pack(one_round())[:length])


def one_round(**more: object) -> RoundBatch:
    given = {"task": [7], "time": [10**18], "step": [60], "sent": [2], "received": [1], "rtts": [0.25, np.nan]}
    return RoundBatch.from_columns(1, given | more)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"received": [2]}, "received of round 0 is 2, which is not the number of RTTs that are not NaN"),
        ({"late": [2]}, "late of round 0 is 2, which is more than received"),
        ({"errors": [2]}, "errors of round 0 is 2, which and received are more than sent"),
        ({"time": [0]}, "time of round 0 is 0, which is not a time"),
        ({"step": [0]}, "step of round 0 is 0.0, which is not 0.01 s to 366 days"),
        ({"step": [0.0078125]}, "step of round 0 is 0.0078125, which is not 0.01 s to 366 days"),
        ({"step": [2.0**25]}, "step of round 0 is 33554432.0, which is not 0.01 s to 366 days"),
        ({"step": [np.inf]}, "step of round 0 is inf, which is not 0.01 s to 366 days"),
        ({"step": [np.nan]}, "step of round 0 is nan, which is not 0.01 s to 366 days"),
        ({"rtts": [-1.0, np.nan]}, "an RTT is -1.0 seconds"),
        ({"rtts": [np.inf, np.nan]}, "an RTT is inf seconds"),
    ],
)
def test_numbers_nobody_measured(change: dict[str, object], message: str) -> None:
    with pytest.raises(WireError) as error:
        columns.unpack(columns.pack(one_round(**change)))
    assert str(error.value) == f"round batch: {message}"


def packed(n: int, raw: dict[str, bytes]) -> bytes:
    return zstandard.compress(msgspec.msgpack.encode({"n": n, "columns": raw}))


def test_a_newer_writer_is_understood() -> None:
    """Columns we do not know are ignored, those it does not send are zero."""
    whole = msgspec.msgpack.decode(zstandard.decompress(columns.pack(one_round())))
    raw = {name: value for name, value in whole["columns"].items() if name not in ("reordered", "address")}
    found = columns.unpack(packed(1, raw | {"colour": b"blue"}))
    assert found.reordered.tolist() == [0]
    assert found.address.tolist() == [[0] * 16]
    assert found.task.tolist() == [7]


def test_bounds() -> None:
    with pytest.raises(WireError, match="at most 1000000 are accepted"):
        columns.unpack(packed(columns.MOST_ROUNDS + 1, {}))
    with pytest.raises(WireError, match="rounds, at most"):
        columns.unpack(packed(-1, {}))
    with pytest.raises(WireError, match="column task has 3 bytes, expected 1 values of <u8"):
        columns.unpack(packed(1, {"task": b"abc"}))


def test_the_shortest_step_a_probe_can_have_is_one() -> None:
    assert columns.unpack(columns.pack(one_round(step=[columns.LEAST_STEP]))).step[0] == np.float32(0.01)


def test_pings_that_were_not_sent_along_take_no_memory() -> None:
    """A few kilobytes that announce a million rounds of 65,535 pings: no room is made for 260 GB of "lost"."""
    sent = np.full(columns.MOST_ROUNDS, 65535, "<u2").tobytes()
    bomb = packed(columns.MOST_ROUNDS, {"sent": sent})
    assert len(bomb) < 10_000
    with pytest.raises(WireError, match="65535000000 pings, at most 67108864 are accepted"):
        columns.unpack(bomb)


def test_a_bomb_is_refused_by_its_announced_size() -> None:
    bomb = zstandard.ZstdCompressor().compress(bytes(columns.MOST_BYTES + 1))
    assert len(bomb) < 100_000
    with pytest.raises(WireError, match="unpacked size"):
        columns.unpack(bomb)
    stream = zstandard.ZstdCompressor().compressobj()
    with pytest.raises(WireError, match="unpacked size -1"):
        columns.unpack(stream.compress(b"x") + stream.flush())
