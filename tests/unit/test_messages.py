"""Messages: what is written is read, older and newer sides understand each other, hostile bytes are WireErrors."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smokemesh.errors import WireError
from smokemesh.model.agent import Health
from smokemesh.model.assignment import Assignment, Task
from smokemesh.model.probe import Probe
from smokemesh.wire.messages import (
    ErrorReply,
    Heartbeat,
    HeartbeatReply,
    Record,
    Upload,
    UploadReply,
    decode,
    encode,
)

HEALTH = Health(
    version="1", clock=1, uptime=2.0, cpu=0.1, rss=3, assignment="v", tasks=4, pings_per_second=5.0, rounds=6,
    overruns=0, own_drops=0, limited=0, spool_rounds=0, spool_bytes=0, spool_oldest=0, spool_dropped=0,
)  # fmt: skip
MESSAGES = [
    Upload(epoch="e", records=(Record(sequence=1, rounds=b"x"),)),
    UploadReply(epoch="e", stored=3, duplicate=True, refused=2, reason="why"),
    Heartbeat(health=HEALTH),
    HeartbeatReply(clock=10**18, assignment="v"),
    ErrorReply(code="auth", message="no"),
    Assignment(
        version="v",
        agent="a",
        tasks=(Task(id=2**64 - 1, target="/a", host="192.0.2.1", probe="ping"),),
        probes={"ping": Probe(name="ping", offset=None)},
    ),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda m: type(m).__name__)
def test_comes_back_as_it_was(message: Any) -> None:
    assert decode(type(message), encode(message)) == message


@pytest.mark.parametrize("message", MESSAGES, ids=lambda m: type(m).__name__)
def test_a_newer_side_may_add_fields(message: Any) -> None:
    more = msgspec.msgpack.decode(encode(message)) | {"added_later": [1, 2]}
    assert decode(type(message), encode(more)) == message


def test_an_older_side_may_leave_out_what_was_added() -> None:
    assert decode(UploadReply, encode({"epoch": "e", "stored": 3})) == UploadReply(epoch="e", stored=3)


@pytest.mark.parametrize("message", MESSAGES, ids=lambda m: type(m).__name__)
def test_cut_short(message: Any) -> None:
    data = encode(message)
    for length in range(0, len(data), 5):
        with pytest.raises(WireError, match=f"{type(message).__name__}: cannot be read"):
            decode(type(message), data[:length])


@given(st.binary(max_size=200))
def test_hostile_bytes(data: bytes) -> None:
    with pytest.raises(WireError):
        decode(Upload, data)


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(WireError):
        decode(Upload, b"\x91" * 100_000)
