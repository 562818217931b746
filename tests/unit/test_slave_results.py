"""Result lines of slaves, to columns and back."""

import math
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smokemesh.smokeping.results import MOST_PINGS, Lines, read_lines, values, write_lines

#: More than the usual number of examples, for a nightly run.
EXAMPLES = int(os.environ.get("SMOKEMESH_TEST_EXAMPLES", "0"))


def rounds(lines: Lines) -> list[tuple[str, int, list[float]]]:
    """Each round, lost pings left out."""
    return [
        (lines.paths[lines.path[i]], int(lines.time[i]), [float(rtt) for rtt in row if not math.isnan(rtt)])
        for i, row in enumerate(np.split(lines.rtts.astype(float), lines.offsets[1:-1]))
        if len(lines)
    ]


def test_real_lines() -> None:
    lines = read_lines(
        b"/ssh/sshd\t1795212675\tU:3:U:U:U:U\n"
        b"/A/B\t1795212676\tU:1:3.0000000000e-02:1.0000000000e-02:2.0000000000e-02:3.0000000000e-02:4.0000000000e-02:U\n"
        b"/ssh/sshd\t1795212695\t12:3:2.0e-02:U:1.0e-02:2.0e-02:U:U\r\n".replace(b"\r", b"")
    )
    assert lines.paths == ("/ssh/sshd", "/A/B")
    assert lines.path.tolist() == [0, 1, 0]
    assert lines.time.tolist() == [1795212675, 1795212676, 1795212695]
    assert lines.sent.tolist() == [3, 5, 5]
    assert lines.received.tolist() == [0, 4, 2]
    nan = float("nan")
    wanted = np.array([nan, nan, nan, 0.01, 0.02, 0.03, 0.04, nan, 0.01, 0.02, nan, nan, nan], np.float32)
    np.testing.assert_array_equal(lines.rtts, wanted)
    assert (lines.unknown, lines.refusals.total) == (0, 0)


@pytest.mark.parametrize(
    ("line", "rtts"),
    [
        (b"/a\t1\tU:-1:.2:.1:2.E-1:+3e-1", [0.1, 0.2, 0.3]),  # the probe returned one too many
        (b"/a\t1\tU:0:0.2:0.3:0.1:0.2", [0.1, 0.2, 0.3]),  # not sorted
        (b"/a\t1\tU:0:U:0", [0.0]),
        (b"/a\t1\tU:1:0.1:U:0.1\textra\tfields", [0.1]),
        (b"/a.b/\xc3\xa9\t1\tU:1:U:U", []),
    ],
)
def test_other_forms(line: bytes, rtts: list[float]) -> None:
    (found,) = rounds(read_lines(b"\n" + line + b"\n\n"))
    assert found[2] == pytest.approx(rtts)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"/a", "not PATH TAB TIME"),
        (b"/a\t1", "not PATH TAB TIME"),
        (b"/a\t\tU:1:U:U", "not PATH TAB TIME"),
        (b"/a\t-1\tU:1:U:U", "not PATH TAB TIME"),
        (b"/a\t1.5\tU:1:U:U", "not PATH TAB TIME"),
        (b"/a\t12345678901\tU:1:U:U", "not PATH TAB TIME"),
        (b"/a\t1\t", "not PATH TAB TIME"),
        (b"/a\t1\tU:1:U", "not PATH TAB TIME"),
        (b"/a\t1\tU:1:U:U:", "not PATH TAB TIME"),
        (b"/a\t1\tU:1:U::U", "not PATH TAB TIME"),
        (b"/a\t1\tU:1:U:UU", "not PATH TAB TIME"),
        (b"/a\t1\tU:0:U:nan", "not PATH TAB TIME"),
        (b"/a\t1\tU:0:U:0x1", "not PATH TAB TIME"),
        (b"/a\t1\tU:0:U: 1", "not PATH TAB TIME"),
        (b"/a\t1\tU:0:U:-U", "not PATH TAB TIME"),
        (b"/a\t1\tU:0:U:1_0", "not PATH TAB TIME"),
        (b"/a\t1\tU:%d:U" % (MOST_PINGS + 1) + b":U" * (MOST_PINGS + 1), "not PATH TAB TIME"),
        (b"/../a\t1\tU:1:U:U", "with a path that no target can have"),
        (b"/a/..\t1\tU:1:U:U", "with a path that no target can have"),
        (b"a/b\t1\tU:1:U:U", "with a path that no target can have"),
        (b"\t1\tU:1:U:U", "with a path that no target can have"),
        (b"/\t1\tU:1:U:U", "with a path that no target can have"),
        (b"/a//b\t1\tU:1:U:U", "with a path that no target can have"),
        (b"/a\x00\t1\tU:1:U:U", "with a path that no target can have"),
        (b"/\xff\t1\tU:1:U:U", "with a path that no target can have"),
        (b"/" + b"a" * 2000 + b"\t1\tU:1:U:U", "with a path that no target can have"),
        (b"/a\t1\tU:0:U:-0.1", "with an RTT that is negative"),
        (b"/a\t1\tU:0:U:1e999", "with an RTT that is negative or above"),
        (b"/a\t1\tU:0:U:U", "with a LOSS that does not fit"),
        (b"/a\t1\tU:0.5:U:1:U", "with a LOSS that does not fit"),
        (b"/a\t1\tU:2:U:1:U", "with a LOSS that does not fit"),
    ],
)
def test_what_says_nothing_is_counted_and_spoils_nothing_else(line: bytes, why: str) -> None:
    lines = read_lines(b"/x\t5\tU:0:1:1\n" + line + b"\n/x\t6\tU:1:U:U\n")
    assert rounds(lines) == [("/x", 5, [1.0]), ("/x", 6, [])]
    (text,) = lines.refusals.texts()
    assert text.startswith(f"1 lines {why}")
    assert text.isprintable()
    assert len(text) < 400


def test_rounds_that_were_not_measured_are_not_kept() -> None:
    """FPingContinuous begins with one."""
    lines = read_lines(b"/x\t5\tU:U:U:U:U:U\n/x\t6\tU:1:U:U")
    assert (rounds(lines), lines.unknown, lines.refusals.total) == ([("/x", 6, [])], 1, 0)


def test_values_as_smokeping_writes_them() -> None:
    """The examples of its documentation."""
    assert values(5, [0.04, 0.01, 0.03, 0.02]) == (
        "U:1:3.0000000000e-02:1.0000000000e-02:2.0000000000e-02:3.0000000000e-02:4.0000000000e-02:U"
    )
    assert values(5, [float("nan"), 0.02, 0.01]) == "U:3:2.0000000000e-02:U:1.0000000000e-02:2.0000000000e-02:U:U"
    assert values(5, []) == "U:5:U:U:U:U:U:U"


RTTS = st.lists(st.integers(0, 2**20).map(lambda n: n / 2**18), max_size=6)


@given(
    st.lists(
        st.tuples(st.sampled_from(["/a", "/a/b", "/c-d"]), st.integers(1, 2**32), st.integers(1, 8), RTTS), max_size=8
    )
)
@settings(max_examples=EXAMPLES or 100)
def test_what_is_written_is_read(made: list[tuple[str, int, int, list[float]]]) -> None:
    lines = read_lines(b"\n".join(write_lines(made)))
    assert [found[:2] for found in rounds(lines)] == [(path, time) for path, time, _, _ in made]
    assert [found[2] for found in rounds(lines)] == [pytest.approx(sorted(rtts)) for *_, rtts in made]
    assert lines.sent.tolist() == [max(pings, len(rtts)) for _, _, pings, rtts in made]
    assert lines.refusals.total == 0


@given(st.binary(max_size=60) | st.text("/a.\t\n1U:e-+0", max_size=60).map(str.encode), st.integers(0, 3))
@settings(max_examples=EXAMPLES or 300)
def test_any_bytes(data: bytes, good: int) -> None:
    lines = read_lines(data + b"\n/x\t5\tU:0:1:1" * good)
    assert len(lines) >= good
    assert all(text.isprintable() for text in lines.refusals.texts())
