"""Patterns and matchers held against SmokePing's own code: the same verdict for each of thousands of histories."""

import json
import os
import random
import subprocess
from pathlib import Path
from typing import Any

import pytest

from smokemesh.analysis.alerts.matchers import Sight, parse_matcher
from smokemesh.analysis.alerts.observe import observe
from smokemesh.analysis.alerts.patterns import START, Value, parse_pattern
from smokemesh.analysis.alerts.rules import Observation
from smokemesh.model.rounds import RoundBatch
from smokemesh.smokeping.results import read_lines

pytestmark = pytest.mark.peer("smokeping", "perl")

ORACLE = Path(__file__).parent / "alert_oracle.pl"
#: Patterns and matchers tried, each on 25 histories.
QUESTIONS = int(os.environ.get("SMOKEMESH_TEST_EXAMPLES", "300"))

ENTRIES = [
    ">0%", ">0%,*12*,>0%,*12*,>0%", ">0", "> 0%", ">0%,", ",>0%", ">0% , >1%", ">0%,,>0%", ">5.%", ">.5%", ">-1%",
    ">*", "*5", "*5*", "*0*", "*05*", "==*", "!=*", ">U", "==U", "!=U", "==S", "!=S", "*U", "==5*", ">0%<5", ">0%<5%",
    ">0%==5%", ">0<5%", "==U%", "==S%", "*5*%", "==U<5%", "*5*<5", "*5*,*6*", "5%", "=5%", ">45%<=55%x", "**",
]  # fmt: skip


def ask(questions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """SmokePing's answers."""
    lines = "".join(json.dumps(question) + "\n" for question in questions)
    done = subprocess.run(["perl", str(ORACLE)], input=lines, capture_output=True, text=True, timeout=120, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_same_patterns_are_refused() -> None:
    questions: list[dict[str, Any]] = [
        {"type": type, "pattern": pattern, "cases": []} for pattern in ENTRIES for type in ("loss", "rtt")
    ]
    for question, answer in zip(questions, ask(questions), strict=True):
        try:
            ours = parse_pattern(question["pattern"], question["type"])
        except ValueError:
            assert "error" in answer, question
        else:
            assert (ours.minlength, ours.maxlength) == (answer.get("min"), answer.get("max")), question


def test_patterns_find_the_same() -> None:
    dice = random.Random(3)
    questions = [pattern_question(dice) for _ in range(QUESTIONS)]
    hits = 0
    for question, answer in zip(questions, ask(questions), strict=True):
        pattern = parse_pattern(question["pattern"], question["type"])
        assert (pattern.minlength, pattern.maxlength) == (answer["min"], answer["max"])
        for case, result in zip(question["cases"], answer["results"], strict=True):
            history = shares(case["loss"]) if question["type"] == "loss" else case["rtt"]
            assert pattern.matches(history, compat=True) is bool(result), (question["pattern"], case)
            hits += result
    assert hits > QUESTIONS  # the histories were worth asking about


def test_an_rtt_on_the_limit_is_judged_as_smokeping_does() -> None:
    """What a slave posts in decimal comes to us as float32, and goes to SmokePing as it is."""
    forms = [("rtt", sign + "{}") for sign in ("<", ">", "<=", ">=", "==", "!=")] + [
        ("matcher", "CheckLatency(l=>{},x=>1)")
    ]
    limits = [1, 3, 7, 10, 14, 30, 40, 60, 100, 120, 0.3, 12.5, 33.3, 250.75]
    questions: list[dict[str, Any]] = []
    ours: list[list[bool]] = []
    for limit in limits:
        texts = [f"{limit / 1000 + off:.10e}" for off in (0.0, 1e-6, -1e-6)]
        rounds = [one.rtt for text in texts for one in judged(text)]
        for type, form in forms:
            if type == "matcher" and limit != int(limit):
                continue  # its limits are whole numbers
            pattern = form.format(limit)
            cases = [{"loss": [0], "rtt": [text], "prev": 0} for text in texts]
            questions.append({"type": type, "pattern": pattern, "cases": cases})
            ours.append([matches(type, pattern, rtt) for rtt in rounds])
    answers = [[bool(result) for result in answer["results"]] for answer in ask(questions)]
    assert ours == answers
    assert answers[: len(forms)] == [[x in on for x in "=+-"] for on in ("-", "+", "=-", "=+", "=", "+-", "=+")]


def judged(rtt: str) -> list[Observation]:
    """A slave's round of three pings, as it is read, kept and judged."""
    lines = read_lines(f"/A\t1000\tU:0:{rtt}:{rtt}:{rtt}:{rtt}".encode())
    columns = {"time": lines.time, "step": [60], "sent": lines.sent, "received": lines.received, "rtts": lines.rtts}
    return observe(RoundBatch.from_columns(1, columns), compat=True)


def matches(type: str, pattern: str, rtt: float) -> bool:
    if type == "matcher":
        return parse_matcher(pattern).matches(Sight([0.0], [rtt], False, compat=True))
    return parse_pattern(pattern, type).matches([rtt], compat=True)


@pytest.mark.parametrize("name", ["Median", "Avgratio", "Medratio", "CheckLoss", "CheckLatency", "ExpLoss"])
def test_matchers_find_the_same(name: str) -> None:
    dice = random.Random(name)
    questions = [matcher_question(dice, name) for _ in range(QUESTIONS // 3)]
    hits = 0
    for question, answer in zip(questions, ask(questions), strict=True):
        matcher = parse_matcher(question["pattern"])
        assert matcher.maxlength == answer["max"]
        for case, result in zip(question["cases"], answer["results"], strict=True):
            sight = Sight(shares(case["loss"]), case["rtt"], bool(case["prev"]), compat=True)
            assert matcher.matches(sight) is bool(result), (question["pattern"], case)
            hits += result
    assert QUESTIONS < hits < QUESTIONS * 25 / 3 - QUESTIONS / 3


def shares(percents: list[Any]) -> list[Value]:
    return [value if value is None or value == START else value / 100 for value in percents]


def pattern_question(dice: random.Random) -> dict[str, Any]:
    type = dice.choice(["loss", "rtt"])
    words = ",".join(entry(dice, type) for _ in range(dice.randint(1, 6)))
    return {"type": type, "pattern": words, "cases": [history(dice) for _ in range(25)]}


def entry(dice: random.Random, type: str) -> str:
    kind, unit = dice.random(), "%" if type == "loss" else ""
    if kind < 0.3:
        return f"*{dice.choice([1, 2, 3, 4, 6])}*"
    if kind < 0.45:
        return dice.choice(["==U", "!=U", "==S", "==*"])
    if kind < 0.6:
        return f">{dice.choice([5, 10, 15])}{unit}<={dice.choice([20, 30, 50])}{unit}"
    return f"{dice.choice(['==', '!=', '<', '>', '<=', '>='])}{dice.choice([0, 5, 10, 20, 30])}{unit}"


def matcher_question(dice: random.Random, name: str) -> dict[str, Any]:
    long, short = dice.randint(1, 5), dice.randint(1, 4)
    sign, percentage = dice.choice(["<", ">", "<=", ">=", "=="]), dice.choice([50, 100, 120, 150, 200])
    forms = {
        "Median": f"old=>{long},new=>{short},diff=>{dice.choice([0, 0.001, 0.005, 0.01, 0.1])}",
        "Avgratio": f"historic=>{long},current=>{short},comparator=>'{sign}',percentage=>{percentage}",
        "CheckLoss": f"l=>{dice.choice([0, 10, 20, 50, 100])},x=>{short}",
        "CheckLatency": f"l=>{dice.choice([0, 5, 10, 20])},x=>{short}",
        "ExpLoss": f"hist=>{long + short},rising=>{dice.choice([5, 10, 20, 33.3])}"
        + dice.choice(["", ",falling=>0", ",falling=>5"])
        + dice.choice(["", f",skip=>{dice.randint(0, 4)}"])
        + dice.choice(["", f",fast=>{short}"]),
    }
    inner = forms["Avgratio" if name == "Medratio" else name]
    return {"type": "matcher", "pattern": f"{name}({inner})", "cases": [history(dice) for _ in range(25)]}


def history(dice: random.Random) -> dict[str, Any]:
    """Some rounds as SmokePing keeps them: percent and seconds, S at the start."""
    length = dice.randint(1, 14)
    loss: list[Any] = [dice.choice([0, 0, 0, 5, 10, 20, 20, 50, 100]) for _ in range(length)]
    rtt: list[Any] = [None if lost == 100 else dice.choice([0.004, 0.005, 0.006, 0.01, 0.02, 0.15]) for lost in loss]
    if dice.random() < 0.6:
        loss[0] = rtt[0] = "S"
    return {"loss": loss, "rtt": rtt, "prev": dice.choice([0, 0, 1, 4])}
