"""The same configuration, run by the real SmokePing and by us at the same time, through the same network.

Each has a site of its own, so each has its own packets and both meet the same faults. Loss must be equal in every round,
medians within the measurement error, and alerts must be raised and cleared in the same rounds.
"""

import json
import sys
import time
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from math import isnan
from pathlib import Path
from typing import Any, Final

from evaluate.smokeping import Host, Installation, Written
from evaluate.table import Table
from smokemesh.netlab import path as netlab
from smokemesh.netlab.network import Network, Site

PINGS: Final = 10
STEP: Final = 10
#: Seconds into a step when every ping has been answered or given up, by both: then the network may change.
QUIET: Final = 8.5
#: Rounds before those that are compared: the longest history of the matchers below.
WARM: Final = 6
#: fping reads its clock in the program, after the kernel: so much may lie between the two medians, seconds.
TOLERANCE: Final = 0.001

STEADY: Final[dict[str, netlab.Path]] = {
    "calm": netlab.Path(delay=0.04),
    "tenth": netlab.Path(delay=0.02, faults=(netlab.Lose(every=10),)),
    "half": netlab.Path(delay=0.06, faults=(netlab.Lose(every=2),)),
    "dead": netlab.Path(faults=(netlab.Lose(every=1),)),
    "slow": netlab.Path(delay=0.2),
    "bimodal": netlab.Path(delay=0.03, faults=(netlab.Delay(every=2, by=0.05),)),
    "twice": netlab.Path(delay=0.05, faults=(netlab.Duplicate(every=5),)),
}
#: What happens to the flapping target, round by round: (pings lost of 10, delay in seconds). The last goes on.
PLAN: Final[tuple[tuple[int, float], ...]] = (
    *[(0, 0.02)] * 4,
    *[(2, 0.02), (0, 0.02), (5, 0.02), (0, 0.02), (1, 0.02)],
    *[(0, 0.02)] * 3,
    *[(10, 0.02)] * 3,
    *[(0, 0.02)] * 3,
    *[(0, 0.12)] * 4,
    *[(5, 0.12), (5, 0.12), (0, 0.02), (1, 0.02)],
    *[(0, 0.02)] * 4,
)
ADDRESSES: Final = {name: f"192.0.2.{i}" for i, name in enumerate([*STEADY, "flapping"], 1)}
ALERTS: Final = {
    "someloss": "type = loss\npattern = >0%,*12*,>0%,*12*,>0%\n",
    "begins": "type = loss\npattern = ==0%,==0%,>10%\n",
    "edge": "type = loss\npattern = >=50%\nedgetrigger = yes\n",
    "start": "type = loss\npattern = ==S,>20%\n",
    "down": "type = rtt\npattern = ==U\nedgetrigger = yes\n",
    "slower": "type = rtt\npattern = <100,<100,>100\n",
    "lossy": "type = matcher\npattern = CheckLoss(l=>20,x=>2)\nedgetrigger = yes\n",
    "latency": "type = matcher\npattern = CheckLatency(l=>100,x=>2)\nedgetrigger = yes\n",
    "median": "type = matcher\npattern = Median(old=>3,new=>2,diff=>0.03)\nedgetrigger = yes\n",
    "ratio": "type = matcher\npattern = Avgratio(historic=>4,current=>2,comparator=>'>',percentage=>150)\nedgetrigger = yes\n",
    "first": "type = loss\npattern = >0%\npriority = 1\n",
    "second": "type = loss\npattern = >0%,>0%\npriority = 2\n",
}


@dataclass(frozen=True, slots=True, order=True)
class Fired:
    """One call of the program that alerts are told to."""

    slot: int
    alert: str
    target: str
    #: 1 raised, 0 cleared, "" without edge trigger or as the real one leaves it out.
    what: str
    loss: str
    rtt: str


def evaluate(directory: Path, rounds: int) -> Table:
    """Run both for so many rounds, and compare."""
    table = Table(f"Side by side: {rounds} rounds of the same configuration")
    paths = {ADDRESSES[name]: path for name, path in STEADY.items()} | {ADDRESSES["flapping"]: _path(*PLAN[0])}
    theirs, ours = _installation(directory / "theirs"), _installation(directory / "ours")
    with Network({"theirs": ("198.18.0.1",), "ours": ("198.18.0.2",)}, paths, prompt=True) as network:
        begun = _next_step()
        theirs.daemon(network["theirs"].start)
        with (directory / "ours.log").open("wb") as log:
            network["ours"].start(_up(ours), stdout=log, stderr=log)
        first = _first_common(theirs, network["ours"], begun)
        _play(network, first, rounds)
        end = (first + rounds) * STEP
        measured = {name: _ours(network["ours"], name) for name in ADDRESSES}
    for name in ADDRESSES:
        _compare(table, name, _slots(theirs.written(name)), measured[name], range(first, end // STEP))
    _compare_alerts(table, _fired(theirs), _fired(ours), range(first, end // STEP))
    return table


def _installation(directory: Path) -> Installation:
    directory.mkdir(parents=True)
    record = directory / "record"
    # What it is told, and when: one line a call, fields parted by tabs.
    record.write_text(f'#!/bin/sh\nIFS="\t"\nprintf "%s\\n" "$(date +%s.%N)\t$*" >>{directory}/alerts\n')
    record.chmod(0o755)
    alerts = f"\n*** Alerts ***\nto = |{record}\nfrom = evaluation@localhost\n" + "".join(
        f"+ {name}\n{text}comment = {name}\n" for name, text in ALERTS.items()
    )
    hosts = [Host(name=name, address=address) for name, address in ADDRESSES.items()]
    made = Installation(
        directory=directory, step=STEP, pings=PINGS, hosts=hosts, alerts=alerts, root={"alerts": ",".join(ALERTS)}
    )
    made.write()
    return made


def _up(installation: Installation) -> list[str]:
    options = ["--config", str(installation.config), "--data", str(installation.directory / "data")]
    return [sys.executable, "-m", "smokemesh", "up", *options, "--listen", "127.0.0.1:8080"]


def _path(lost: int, delay: float) -> netlab.Path:
    return netlab.Path(delay=delay, faults=(netlab.Lose(every=PINGS // lost),) if lost else ())


def _next_step() -> int:
    """The number of the next step that begins."""
    return int(time.time()) // STEP + 1


def _sleep_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.time()))


def _first_common(theirs: Installation, site: Site, begun: int) -> int:
    """The first step that counts: both have measured for a while, so that every alert has all the history it looks at."""
    deadline = time.monotonic() + (WARM + 8) * STEP
    while time.monotonic() < deadline:
        if min(len(theirs.written("calm")), len(_ours(site, "calm"))) >= WARM:
            return _next_step()
        time.sleep(0.5)
    raise TimeoutError(f"both did not measure {WARM} rounds within {WARM + 8} steps of step {begun}")


def _play(network: Network, first: int, rounds: int) -> None:
    """Let the flapping target flap, each time between two rounds."""
    moves = [(first + 1 + i, plan) for i, plan in enumerate(PLAN[1:rounds])]
    for (slot, plan), before in zip(moves, PLAN, strict=False):
        _sleep_until((slot - 1) * STEP + QUIET)
        if plan != before:
            network.set({ADDRESSES["flapping"]: _path(*plan)})
    _sleep_until((first + rounds) * STEP + QUIET)


def _ours(site: Site, name: str) -> dict[int, list[float]]:
    """Step -> RTTs, NaN when lost, as our API tells them."""
    url = f"http://127.0.0.1:8080/api/v1/rounds?target=/{name}&points=1000"
    try:
        with site.entered(), urllib.request.urlopen(url, timeout=10) as answer:
            rounds: list[dict[str, Any]] = json.load(answer)
    except OSError:
        return {}
    nan = float("nan")
    return {_slot(each["time"]): [nan if rtt is None else rtt for rtt in each["rtts"]] for each in rounds}


def _slot(moment: str) -> int:
    return round(datetime.fromisoformat(moment).timestamp()) // STEP


def _slots(rounds: Iterable[Written]) -> dict[int, Written]:
    """Step -> the round; what is written at the end of a step belongs to that step."""
    return {each.time // STEP: each for each in rounds}


def _compare(
    table: Table, name: str, theirs: dict[int, Written], ours: dict[int, list[float]], slots: Iterable[int]
) -> None:
    wanted = list(slots)
    both = [slot for slot in wanted if slot in theirs and slot in ours]
    table.equal(f"{name}: rounds measured by both", len(wanted), len(both))
    lost = [sum(map(isnan, ours[slot])) for slot in both]
    table.equal(f"{name}: pings lost, round by round", [theirs[slot].loss for slot in both], lost)
    pairs = [(theirs[slot].median, _median(ours[slot])) for slot in both]
    silent = [isnan(a) == isnan(b) for a, b in pairs]
    worst = max((abs(a - b) for a, b in pairs if not isnan(a - b)), default=0.0)
    agreed = all(silent) and worst <= TOLERANCE
    table.holds(f"{name}: medians", f"within {TOLERANCE * 1e3:g} ms", f"at most {worst * 1e3:.3f} ms apart", agreed)


def _median(rtts: Iterable[float]) -> float:
    """SmokePing's: the element int(n/2) of the sorted answers."""
    answered = sorted(rtt for rtt in rtts if not isnan(rtt))
    return answered[len(answered) // 2] if answered else float("nan")


def _fired(installation: Installation) -> list[Fired]:
    file = installation.directory / "alerts"
    calls = []
    for line in file.read_text().splitlines() if file.exists() else ():
        moment, alert, target, loss, rtt, _host, *what = line.split("\t")
        calls.append(Fired(int(float(moment)) // STEP, alert, target, what[0] if what else "", loss, rtt))
    return sorted(calls)


def _compare_alerts(table: Table, theirs: list[Fired], ours: list[Fired], slots: range) -> None:
    for alert in ALERTS:
        expected = [_told(fired, slots) for fired in theirs if fired.alert == alert and fired.slot in slots]
        observed = [_told(fired, slots) for fired in ours if fired.alert == alert and fired.slot in slots]
        table.equal(f"alert {alert}: (round, target) told", expected, observed)
    table.holds("alerts fired at all", "some", len(theirs), len(theirs) > 10)


def _told(fired: Fired, slots: range) -> tuple[int, str]:
    return fired.slot - slots.start, fired.target
