"""Matchers of alerts: their parameters, and what they decide, sanely and as SmokePing does."""

import os
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smokemesh.analysis.alerts.matchers import FORMS, Sight, parse_matcher
from smokemesh.analysis.alerts.patterns import START, Value

EXAMPLES = int(os.environ.get("SMOKEMESH_TEST_EXAMPLES", "200"))


def values(text: str, scale: float) -> list[Value]:
    return [START if word == "S" else None if word == "U" else float(word) / scale for word in text.split()]


def losses(text: str, history: str, raised: bool = False, compat: bool = False) -> bool:
    return parse_matcher(text).matches(Sight(values(history, 100), [], raised, compat))


def rtts(text: str, history: str, raised: bool = False, compat: bool = False) -> bool:
    return parse_matcher(text).matches(Sight([], values(history, 1000), raised, compat))


@pytest.mark.parametrize("compat", [False, True])
def test_check_loss_holds_until_as_many_are_good(compat: bool) -> None:
    text, raised, seen = "CheckLoss(l => 50, x => 2)", False, "S"
    told = []
    for loss in (0, 60, 40, 50, 100, 0, 100, 0, 49, 60):
        seen = f"{seen} {loss}"
        raised = losses(text, seen, raised, compat)
        told.append(raised)
    assert told == [False, False, False, False, True, True, True, True, False, False]


@pytest.mark.parametrize("compat", [False, True])
def test_a_state_holds_while_history_is_short(compat: bool) -> None:
    assert losses("CheckLoss(l=>1,x=>3)", "S 90 90", True, compat)
    assert not losses("CheckLoss(l=>1,x=>3)", "S 90 90", False, compat)
    assert losses("CheckLoss(l=>1,x=>3)", "S 90 90 90", False, compat)


def test_an_unknown_rtt_is_below_for_smokeping_only() -> None:
    assert not rtts("CheckLatency(l=>10,x=>2)", "U U", raised=True, compat=True)
    assert rtts("CheckLatency(l=>10,x=>2)", "U U", raised=True)
    assert not rtts("CheckLatency(l=>10,x=>2)", "9 9", raised=True)
    assert rtts("CheckLatency(l=>10,x=>2)", "10 11")


@pytest.mark.parametrize("compat", [False, True])
def test_median_tells_a_lasting_change(compat: bool) -> None:
    text = "Median(old=>3,new=>3,diff=>0.01)"
    assert rtts(text, "10 11 10 25 24 25", compat=compat)
    assert not rtts(text, "10 11 10 25 10 10", compat=compat)
    assert not rtts(text, "10 11 10 U U U", compat=False)
    assert rtts("Median(old=>3,new=>3,diff=>0.005)", "10 11 10 U U U", compat=True)


@pytest.mark.parametrize("compat", [False, True])
@pytest.mark.parametrize("name", ["Avgratio", "Medratio"])
def test_ratios_compare_new_with_old(name: str, compat: bool) -> None:
    text = f"{name}(historic=>4,current=>2,comparator=>'>',percentage=>150)"
    assert rtts(text, "10 10 10 10 16 16", compat=compat)
    assert not rtts(text, "10 10 10 10 15 15", compat=compat)
    assert not rtts(text, "S 10 10 10 16 16", compat=compat)
    assert not rtts(text, "10 10 10 16 16", compat=compat)
    assert not rtts(text, "10 10 10 10 U U", compat=compat)


def test_smokeping_counts_an_unknown_rtt_as_nothing_in_a_median() -> None:
    text = "Medratio(historic=>3,current=>1,comparator=>'>',percentage=>150)"
    assert not rtts(text, "U U 10 16", compat=True)
    assert rtts(text, "U U 10 16")


def test_consecutive_loss_has_limits_of_its_own() -> None:
    text = "ConsecutiveLoss(pctlossraise=>50,stepsraise=>2,pctlossclear=>10,stepsclear=>3)"
    assert losses(text, "0 50 60")
    assert not losses(text, "0 50 49")
    assert not losses(text, "S 60")
    assert losses(text, "60 0 0", raised=True)
    assert losses(text, "0 0 10", raised=True)
    assert not losses(text, "9 0 0", raised=True)
    assert losses(text, "S 0 0", raised=True)


def test_exp_loss_weighs_what_is_new() -> None:
    text = "ExpLoss(hist=>4,rising=>20,falling=>10)"
    # a = 1 - 0.01 ** (1 / 4) = 0.6838, so one lossy round of 40 % weighs 27 %, and 8.6 % a round later.
    assert losses(text, "0 0 0 40")
    assert not losses(text, "0 0 40 0", raised=True)
    assert losses(text, "0 0 40 0", raised=True, compat=True)  # 2.7 falls below 1 only
    assert losses("ExpLoss(hist=>4,rising=>20,falling=>8)", "0 0 40 0", raised=True)
    assert not losses("ExpLoss(hist=>4,rising=>20,falling=>8)", "0 0 40 0")
    assert not losses("ExpLoss(hist=>4,rising=>20,skip=>3)", "S 100 100 100")
    assert losses("ExpLoss(hist=>4,rising=>50,fast=>2)", "0 0 50 50")
    assert not losses("ExpLoss(hist=>4,rising=>90,falling=>5,fast=>2)", "90 90 5 5", raised=True)


@pytest.mark.parametrize(
    ("text", "parameters", "length"),
    [
        ("CheckLoss(l=>10,x=>3)", {"l": 10.0, "x": 3.0}, 3),
        (" CheckLoss( 'l' => '10' , x , \"3\" , );", {"l": 10.0, "x": 3.0}, 3),
        ("CheckLoss(l=>1_0,x=>010)", {"l": 10.0, "x": 8.0}, 8),
        ("CheckLoss(l=>10,l=>20,x=>3)", {"l": 20.0, "x": 3.0}, 3),
        ("Median(old=>3,new=>2,diff=>1e-2)", {"old": 3.0, "new": 2.0, "diff": 0.01}, 5),
        ("ExpLoss(hist=>5,rising=>20)", {"hist": 5.0, "rising": 20.0, "falling": "", "skip": 0.0, "fast": 0.0}, 5),
    ],
)
def test_parameters_are_read_as_perl_would(text: str, parameters: dict[str, object], length: int) -> None:
    matcher = parse_matcher(text)
    assert (matcher.parameters, matcher.maxlength) == (parameters, length)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("CheckLoss", "is not of the form Name(key => value, …)"),
        ("CheckLoss()", "is not of the form"),
        ("checkLoss(l=>1,x=>2)", "matcher 'checkLoss' is unknown, write one of Median, Avgratio"),
        ("CheckLoss(l=>10)", "matcher CheckLoss: parameter 'x' is missing"),
        ("CheckLoss(l=>10,x=>3,y=>4)", "parameter 'y' is unknown, it has l, x"),
        ("CheckLoss(l=>10.5,x=>3)", "l is '10.5', must be a whole number"),
        ("CheckLoss(l=>-1,x=>3)", "l is '-1', must be a whole number"),
        ("CheckLoss(l=>10,x=>0)", "looks back on 0 values"),
        ("CheckLoss(x=>3 l=>10)", "'3 l=>10' is not understood"),
        ("CheckLoss(l=>,x=>3)", "is not understood"),
        ("CheckLoss(l=>10,x)", "'x' has no value"),
        ("CheckLoss(l=>system('true'),x=>3)", "is not understood"),
        ("Avgratio(historic=>3,current=>2,comparator=>'!=',percentage=>150)", "comparator is '!=', must be one of"),
        ("Median(old=>3,new=>2,diff=>x)", "diff is 'x', must be a number"),
        ("CheckLoss(l=>10,x=>99999999)", "must be 1 to 100000"),
    ],
)
def test_a_wrong_matcher_is_one_line(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)) as caught:
        parse_matcher(text)
    assert "\n" not in str(caught.value)


@settings(max_examples=EXAMPLES)
@given(st.sampled_from([*FORMS]), st.text(alphabet="lx=>,'\"0123456789. \n()_", max_size=40))
def test_any_text_is_a_matcher_or_one_line(name: str, inner: str) -> None:
    try:
        parse_matcher(f"{name}({inner})")
    except ValueError as error:
        assert "\n" not in str(error)  # noqa: PT017  # either way is right
