"""Patterns of alerts: the grammar, SmokePing's measured vectors, and the manual's meaning against trying everything."""

import itertools
import os
import random
import re
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smokemesh.analysis.alerts.patterns import START, Pattern, Value, parse_pattern

EXAMPLES = int(os.environ.get("SMOKEMESH_TEST_EXAMPLES", "200"))

TWELVE = ">0%,*12*,>0%,*12*,>0%"
#: Pattern, history in percent, what SmokePing 2.7.3 says, what its manual says.
LOSS = [
    (TWELVE, "1 1 1", False, True),
    (TWELVE, "S 1 1 1", True, True),
    (TWELVE, "0 1 1 1", True, True),
    (TWELVE, "1 0 1 0 1", True, True),
    (TWELVE, "1 1 1 0 1", True, True),
    (TWELVE, "1 0 1 1", False, True),
    (TWELVE, "1 1 0", False, False),
    (TWELVE, "0 0 1 1", False, False),
    (">10%,*10*,>10%", "20 20", False, True),
    (">10%,*10*,>10%", "S 20 20", True, True),
    (">10%,*10*,>10%", "0 20 20", True, True),
    (">10%,*2*,>10%", "0 20 0 20", True, True),
    (">10%,*2*,>10%", "20 0 20", False, True),
    (">10%,*2*,>10%", "0 20 0 0 20", False, True),
    (">10%,*2*,>10%", "0 20 0 0 0 20", False, False),
    ("==S,>20%,>20%", "S 30 30", True, True),
    ("==S,>20%,>20%", "0 30 30", False, False),
    ("==0%,==0%,>20%", "0 0 25", True, True),
    ("==0%,==0%,>20%", "5 0 0 25", True, True),
    ("==0%,==0%,>20%", "0 0 20", False, False),
    ("==0%,==0%,>20%", "0 0", False, False),
    ("*3*,>0%", "5", False, True),
    ("*3*,>0%", "S 5", True, True),
    (">0%,*3*", "5", False, True),
    (">0%,*3*", "5 0", False, True),
    (">0%,*3*", "0 5 0", True, True),
    (">45%<=55%", "50", True, True),
    (">45%<=55%", "45", False, False),
    (">45%<=55%", "55", True, True),
    # A way that begins well and ends badly: only going back finds the other one.
    (">50%,*3*,>0%,*1*,>0%", "0 60 0 10 10 0 10", False, True),
]
RTT = [
    ("<10,<10,>100", ".005 .005 .2", True),
    ("<10,<10,>100", ".005 U .2", False),
    ("<10,<10,>100", "S .005 .2", False),
    ("==S,==U", "S U", True),
    ("==S,==U", "U U", False),
    ("!=U", "S", True),
    ("!=U", "U", False),
    ("==*", "U", True),
    ("<10%", ".005", True),
]


def values(text: str, scale: float) -> list[Value]:
    return [START if word == "S" else None if word == "U" else float(word) / scale for word in text.split()]


@pytest.mark.parametrize(("text", "history", "smokeping", "manual"), LOSS)
def test_losses_are_judged_as_smokeping_does_and_as_its_manual_says(
    text: str, history: str, smokeping: bool, manual: bool
) -> None:
    pattern = parse_pattern(text, "loss")
    assert pattern.matches(values(history, 100), compat=True) is smokeping
    assert pattern.matches(values(history, 100)) is manual


@pytest.mark.parametrize(("text", "history", "expected"), RTT)
@pytest.mark.parametrize("compat", [True, False])
def test_rtts_are_judged_in_milliseconds(text: str, history: str, expected: bool, compat: bool) -> None:
    assert parse_pattern(text, "rtt").matches(values(history, 1), compat=compat) is expected


@pytest.mark.parametrize(
    ("text", "maxlength", "found"),
    [(">10%,*10*,>10%", 12, range(6)), (">10%,*3*,>10%", 5, range(3)), (">10%,>10%,*4*,>10%", 7, range(4))],
)
def test_smokeping_reaches_about_half_of_a_gap(text: str, maxlength: int, found: range) -> None:
    pattern = parse_pattern(text, "loss")
    assert pattern.maxlength == maxlength
    front = len(pattern.groups[0])
    gap = pattern.gaps[0]
    for lost in range(gap + 2):
        history: Sequence[Value] = [0.0] * 20 + [0.2] * front + [0.0] * lost + [0.2]
        assert pattern.matches(history[-maxlength:], compat=True) is (lost in found)
        assert pattern.matches(history[-maxlength:]) is (lost <= gap)


def test_smokeping_binds_two_gaps_to_one_another() -> None:
    pattern = parse_pattern(TWELVE, "loss")
    for left, right in itertools.product(range(14), repeat=2):
        history: Sequence[Value] = [0.0] * 27 + [0.2] + [0.0] * left + [0.2] + [0.0] * right + [0.2]
        measured = left <= 11 and right <= 11 and right + 2 * left < 27
        assert pattern.matches(history[-27:], compat=True) is measured, (left, right)
        assert pattern.matches(history[-27:]) is (left <= 12 and right <= 12), (left, right)


def test_many_gaps_cost_what_is_said_and_no_more() -> None:
    """The worst of histories: what the left-most group wants comes late, what the next wants never."""
    words = [word for k in range(6) for word in (f"=={k + 1}%", "*20*")]
    pattern = parse_pattern(",".join([*words, "==99%"]), "loss")
    looks = 0

    class Counted(list[Value]):
        def __getitem__(self, index: Any) -> Any:
            nonlocal looks
            looks += 1
            return super().__getitem__(index)

    dice = random.Random(3)
    for compat in (True, False):
        for _ in range(20):
            looks = 0
            history = Counted([dice.choice([0.0, 0.01, 0.02, 0.03, 0.04, 0.05]) for _ in range(pattern.maxlength - 1)])
            history.append(0.99)
            assert not pattern.matches(history, compat=compat)
            assert 0 < looks <= pattern.steps < 10_000


def test_a_pattern_that_would_take_too_long_is_refused() -> None:
    assert parse_pattern(">0%,*288*,>0%,*288*,>0%", "loss").steps == 1 + 288 + 289 * (1 + 288) + 577
    assert parse_pattern(">0%,*90000*,>0%", "loss").maxlength == 90_002
    assert parse_pattern(",".join([">0%", *["*1*", ">0%"] * 400]), "loss").matches([1.0] * 801, compat=True)
    with pytest.raises(ValueError, match=r"may take \d+ comparisons a round, may 250000; write fewer or shorter gaps"):
        parse_pattern(">0%" + ",*300*,>0%" * 4, "loss")


def test_lengths_are_counted() -> None:
    pattern = parse_pattern(" >0% , *12*,>0%\t,*12*,>0%,", "loss")
    assert (pattern.minlength, pattern.maxlength) == (3, 27)
    assert [entry.text for entry in pattern.entries] == [">0%"] * 3


@pytest.mark.parametrize(
    ("text", "type", "said"),
    [
        (">0", "loss", "loss should be specified in %, write >0%"),
        (">45%<=55", "loss", "write >45%<=55%"),
        ("> 0%", "loss", "pattern entry '> 0%' is invalid"),
        (">.5%", "loss", "is invalid"),
        (">-1%", "loss", "is invalid"),
        ("", "loss", "pattern entry '' is invalid"),
        (">0%,,>0%", "loss", "pattern entry '' is invalid"),
        (">45%==55%", "loss", "is invalid"),
        (">S", "rtt", "S is only valid with ==, write ==S"),
        ("!=*", "rtt", "* is only valid with ==, write ==*"),
        (">U", "rtt", "U is only valid with == or !=, write ==U or !=U"),
        ("*5", "rtt", "a gap is written *N*, N from 1 on"),
        ("*0*", "rtt", "a gap is written *N*, N from 1 on"),
        ("*U", "rtt", "a gap is written *N*, N from 1 on"),
        (">1,*99999999999999999999*,>1", "rtt", "looks back on"),
        (">1", "matcher", "has no patterns"),
    ],
)
def test_a_wrong_pattern_is_one_line(text: str, type: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)) as caught:
        parse_pattern(text, type)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["==U%", "==S<5%", "*5*%", "*5*,*6*", ">5.%", "==*"])
def test_what_smokeping_lets_pass_passes(text: str) -> None:
    parse_pattern(text, "loss")


def test_it_tells_which_value_each_entry_met() -> None:
    pattern = parse_pattern(">10%,*3*,>10%", "loss")
    assert pattern.places(values("0 20 0 0 20", 100)) == (1, 4)
    assert pattern.places(values("0 0 0 0 20", 100)) is None


ENTRIES = st.sampled_from([">0%", ">10%", "<20%", "==0%", "==U", "!=U", "==S", "==*", ">5%<=20%", "*1*", "*2*", "*3*"])
HISTORIES = st.lists(st.sampled_from([0.0, 0.0, 0.05, 0.1, 0.2, 0.5, None, START]), max_size=9)


def every_way(pattern: Pattern, history: list[Value]) -> bool:
    """The manual's meaning, by trying all lengths of all gaps."""
    for gaps in itertools.product(*(range(gap + 1) for gap in pattern.gaps)):
        steps = itertools.chain.from_iterable(
            [*group, *[None] * gap] for group, gap in zip(pattern.groups, [*gaps, 0], strict=True)
        )
        wanted = list(steps)
        # A gap before everything needs no values.
        lead = gaps[0] if gaps and not pattern.groups[0] else 0
        if len(wanted) - lead > len(history):
            continue
        seen = history[len(history) - len(wanted) + lead :]
        if all(entry is None or entry.holds(value) for entry, value in zip(wanted[lead:], seen, strict=True)):
            return True
    return False


@settings(max_examples=EXAMPLES)
@given(st.lists(ENTRIES, min_size=1, max_size=6), HISTORIES)
def test_the_manual_is_kept_whatever_the_pattern(words: list[str], history: list[Value]) -> None:
    pattern = parse_pattern(",".join(words), "loss")
    assert pattern.matches(history) is every_way(pattern, history)
    if pattern.matches(history, compat=True):
        assert pattern.minlength <= len(history)


@settings(max_examples=EXAMPLES)
@given(
    st.text(alphabet="<>=!*%,.0123456789US \n", max_size=30) | st.text(max_size=30), st.sampled_from(["loss", "rtt"])
)
def test_any_text_is_a_pattern_or_one_line(text: str, type: str) -> None:
    try:
        pattern = parse_pattern(text, type)
    except ValueError as error:
        assert "\n" not in str(error)  # noqa: PT017  # either way is right
    else:
        assert pattern.minlength <= pattern.maxlength
