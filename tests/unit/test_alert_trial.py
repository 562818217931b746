"""Trials: what an alert would have said of a typed history, within what may be asked of a master."""

import pytest

from smokemesh.errors import UsageError
from smokemesh.master import trial
from smokemesh.model.alert import Alert


def tried(pattern: str, history: str, type: str = "loss") -> list[trial.Step]:
    alert = Alert(name="trial", type=type, pattern=pattern)
    rounds, from_start = trial.made_up(history, trial.judges(alert))
    return list(trial.run(alert, trial.make(alert, compat=True), rounds, compat=True, from_start=from_start))


def test_each_round_tells_what_changed() -> None:
    assert [step.change for step in tried(">0%,>0%", "S 0% 20% 20% U 20%")] == ["", "", "raised", "cleared", ""]


def test_an_rtt_on_the_limit_is_not_above_it() -> None:
    assert [step.on for step in tried(">33.3", "33.3 33.4 100", "rtt")] == [False, True, True]


def test_a_trial_that_would_take_too_long_is_refused() -> None:
    days = ">0%,*288*,>0%,*288*,>0%"
    with pytest.raises(
        UsageError, match=r"trial: 2000 rounds take too long with a pattern of such gaps; try 23\d at most"
    ):
        tried(days, "0% " * 2000)
    assert [step.on for step in tried(days, "0% 20% 20% 20%" + " 0%" * 200)][:5] == [False, False, False, True, False]


def test_the_manuals_example_is_tried_on_as_many_rounds_as_may_be_typed() -> None:
    assert len(tried(">0%,*12*,>0%,*12*,>0%", "0% 20% " * 1000)) == trial.MOST_WORDS
