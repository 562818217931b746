"""Whole alerts held against SmokePing's daemon: the same ones raised, cleared and active at the same rounds."""

import json
import math
import os
import random
import subprocess
from pathlib import Path
from typing import Any

import pytest

from smokemesh.master.alert_book import Book
from smokemesh.model.alert import Alert, Alerting
from smokemesh.model.assignment import task_id
from smokemesh.model.probe import Probe
from smokemesh.model.rounds import RoundBatch
from smokemesh.model.target import Node, Target
from smokemesh.settings.shape import MasterSettings

pytestmark = pytest.mark.peer("smokeping", "perl")

DAEMON = Path(__file__).parent / "alert_daemon.pl"
STORIES = int(os.environ.get("SMOKEMESH_TEST_EXAMPLES", "25"))
PINGS, STEP, SECOND = 20, 60, 10**9
RULES = [
    ("loss", ">0%,*12*,>0%,*12*,>0%"),
    ("loss", "==0%,==0%,==0%,==0%,>0%,>0%,>0%"),
    ("loss", "==S,>20%"),
    ("loss", ">=50%"),
    ("loss", "==100%,==100%"),
    ("loss", ">5%<=55%,*3*,>0%"),
    ("rtt", "<10,<10,<10,<10,<10,<100,>100,>100,>100"),
    ("rtt", ">100,*4*,>100"),
    ("rtt", "==S,==U"),
    ("rtt", "==U,==U"),
    ("matcher", "CheckLoss(l=>20,x=>3)"),
    ("matcher", "CheckLatency(l=>100,x=>2)"),
    ("matcher", "Avgratio(historic=>5,current=>2,comparator=>'>',percentage=>150)"),
    ("matcher", "Medratio(historic=>5,current=>2,comparator=>'>',percentage=>150)"),
    ("matcher", "Median(old=>5,new=>3,diff=>0.02)"),
    ("matcher", "ExpLoss(hist=>6,rising=>20,falling=>5)"),
]


def test_the_same_alerts_fire_at_the_same_rounds() -> None:
    dice = random.Random(11)
    stories = [story(dice) for _ in range(STORIES)]
    lines = "".join(json.dumps(one) + "\n" for one in stories)
    done = subprocess.run(["perl", str(DAEMON)], input=lines, capture_output=True, text=True, timeout=120, check=True)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    firings = 0
    for one, answer in zip(stories, answers, strict=True):
        assert ours(one) == answer, one
        firings += sum(map(len, answer))
    assert firings > STORIES * 10


def story(dice: random.Random) -> dict[str, Any]:
    """Some alerts and a hundred rounds of a link with good and bad times."""
    names = [f"alert{k}" for k in range(dice.randint(1, 5))]
    alerts: dict[str, Any] = {}
    for name in names:
        kind, pattern = dice.choice(RULES)
        alerts[name] = {
            "type": kind,
            "pattern": pattern,
            "edgetrigger": dice.choice(["yes", "yes", "no"]),
            "comment": "c",
        }
        if dice.random() < 0.5:
            alerts[name]["priority"] = dice.randint(1, 3)
    rounds: list[list[Any]] = []
    while len(rounds) < 100:
        lost, rtt = dice.choice([(0, 0.005), (0, 0.005), (1, 0.005), (9, 0.005), (20, 0.0), (0, 0.15), (4, 0.15)])
        for _ in range(dice.randint(1, 9)):
            now = lost if dice.random() < 0.8 else 0
            rounds.append([now, "U" if now == PINGS else rtt or 0.005])
    return {"pings": PINGS, "order": names, "alerts": alerts, "rounds": rounds}


def ours(story: dict[str, Any]) -> list[list[str]]:
    """What we fire at each round."""
    alerts = {
        name: Alert(
            name=name, type=one["type"], pattern=one["pattern"], edge=one["edgetrigger"] == "yes",
            priority=one.get("priority", 0),
        )
        for name, one in story["alerts"].items()
    }  # fmt: skip
    target = Target(path="/A", host="192.0.2.1", probe="FPing", agents=("local",), alerts=tuple(story["order"]))
    book, found, now = Book(), [], SECOND * 1_700_000_000
    book.configure(
        MasterSettings(
            probes={"FPing": Probe(name="FPing", step=STEP)},
            tree=Node(path="/", menu="", title="", children=(Node(path="/A", menu="", title="", target=target),)),
            alerts=alerts,
            alerting=Alerting(compat="smokeping"),
        ),
        now,
    )
    for lost, rtt in story["rounds"]:
        now += STEP * SECOND
        rtts = [math.nan] * lost + [0.0 if rtt == "U" else rtt] * (PINGS - lost)
        columns = {"task": [task_id("/A", "FPing")], "time": [now], "step": [STEP], "sent": [PINGS]}
        book.take("local", RoundBatch.from_columns(1, {**columns, "received": [PINGS - lost], "rtts": rtts}), now)
        found.append([f"{notice.alert} {notice.what}" for _, notice in book.findings().notices])
        for case in book.findings().cases:
            case.changed = False
        book.kept()
    return found
