"""SmokePing on loopback targets for a few rounds: what a round costs it."""

import time
from pathlib import Path
from typing import Any

from benchmarks.programs import running

#: The least a SmokePing needs; one archive per file instead of seven, so that its disk work is at its smallest.
CONFIG = """*** General ***
owner = benchmark
contact = benchmark@localhost
mailhost = localhost
cgiurl = http://localhost/smokeping.cgi
imgcache = {dir}/cache
imgurl = cache
smokemail = /etc/smokeping/smokemail
datadir = {dir}/rrd
piddir = {dir}/run
concurrentprobes = no
offset = 0%
*** Database ***
step = {step}
pings = {pings}
AVERAGE 0.5 1 1008
*** Presentation ***
template = /etc/smokeping/basepage.html
+ overview
width = 600
height = 50
range = 10h
+ detail
width = 600
height = 200
unison_tolerance = 2
"Last 3 Hours" 3h
*** Probes ***
+ FPing
binary = /usr/bin/fping
mininterval = {mininterval}
timeout = 1.5
*** Targets ***
probe = FPing
menu = Top
title = Top
"""


def measure(directory: Path, hosts: list[str], *, step: int, pings: int, rounds: int) -> dict[str, Any]:
    """CPU seconds per thousand rounds and resident memory, from `rounds` whole rounds after the first."""
    for name in ("cache", "rrd", "run"):
        (directory / name).mkdir(parents=True)
    # fping sends one packet every `mininterval` seconds: all pings of a round must fit in 0.8 steps.
    config = CONFIG.format(dir=directory, step=step, pings=pings, mininterval=round(0.8 * step / pings / len(hosts), 6))
    targets = (f"+ t{i}\nmenu = t{i}\ntitle = t{i}\nhost = {host}\n" for i, host in enumerate(hosts))
    file = directory / "config"
    file.write_text(config + "".join(targets))
    log = directory / "log"
    with running(["smokeping", "--nodaemon", f"--config={file}"], log) as program:
        _wait_for_round(directory, hosts, 1, 3.0 * step + 60)
        before, begun = program.read().cpu, time.monotonic()
        _wait_for_round(directory, hosts, 1 + rounds, (rounds + 2.0) * step + 60)
        used, took = program.read().cpu - before, time.monotonic() - begun
        return {
            "targets": len(hosts),
            "rounds": rounds * len(hosts),
            "cpu_seconds_per_1000_rounds": round(1000 * used / (rounds * len(hosts)), 3),
            "cpu_share": round(used / took, 4),
            "rss_mb": round(program.cost.rss_most / 2**20, 1),
        }


def _wait_for_round(directory: Path, hosts: list[str], count: int, patience: float) -> None:
    """Return when the last target's file was written `count` times."""
    file = directory / "rrd" / f"t{len(hosts) - 1}.rrd"
    deadline = time.monotonic() + patience
    times: set[float] = set()
    created = False
    while time.monotonic() < deadline:
        if file.exists():
            stamp = file.stat().st_mtime
            # SmokePing makes all files when it starts: that first write is no round.
            if not created:
                created, times = True, {stamp}
            times.add(stamp)
            if len(times) > count:
                return
        time.sleep(0.2)
    raise TimeoutError(f"SmokePing wrote {len(times)} rounds of {file.name} in {patience:.0f} s, expected {count}")
