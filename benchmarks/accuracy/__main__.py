"""`python -m benchmarks.accuracy`: our RTTs and fping's against a packet capture, idle and with every core busy.

Both programs ping the same addresses at the same pace, in turns, over a veth link on which tcpdump runs. An error is
what a program reports minus what the capture shows for that very ping. Above a millisecond fping rounds to 10 and more
microseconds, so pings that took longer on the wire are left out, for both. Prints one JSON line; microseconds there.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy.capture import captured, round_trips
from benchmarks.programs import smokemesh
from smokemesh.netlab import path
from smokemesh.netlab.network import Network, Site

ADDRESSES = [f"192.0.2.{host}" for host in range(1, 41)] + [f"2001:db8::{host:x}" for host in range(1, 11)]
PINGS, PERIOD_MS, TURNS = 40, 100, 2
WAY = path.Path(delay=0.0003, jitter=0.0004)
#: Nanoseconds below which fping prints whole microseconds.
FINE = 1_000_000
#: 99 % of errors must be within this on an idle machine.
ASKED = 50.0
OPTIONS = ["-C", str(PINGS), "-q", "-p", str(PERIOD_MS), "-i", "1"]
BURN = "import time\nend = time.monotonic() + {seconds}\nwhile time.monotonic() < end: sum(range(1000))"


@contextmanager
def busy_cores(seconds: int) -> Iterator[None]:
    """Inside the `with`, a program burns on each core, for `seconds` at most."""
    burners = []
    for core in sorted(os.sched_getaffinity(0)):
        burner = subprocess.Popen([sys.executable, "-c", BURN.format(seconds=seconds)])
        os.sched_setaffinity(burner.pid, {core})
        burners.append(burner)
    try:
        yield
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()


def said_by_fping(done: "subprocess.CompletedProcess[str]") -> dict[str, list[float]]:
    """`ADDRESS : 0.41 - 0.39`, milliseconds, as nanoseconds; a lost ping is NaN."""
    values = {}
    for line in done.stderr.splitlines():
        address, colon, rest = line.partition(" : ")
        if colon:
            values[address.strip()] = [float("nan") if word == "-" else float(word) * 1e6 for word in rest.split()]
    return values


def said_by_smokemesh(done: "subprocess.CompletedProcess[str]") -> dict[str, list[float]]:
    """A JSON object a line, seconds, as nanoseconds; a lost ping is NaN."""
    hosts = [json.loads(line) for line in done.stdout.splitlines()]
    return {host["address"]: [float("nan") if rtt is None else rtt * 1e9 for rtt in host["rtts"]] for host in hosts}


@dataclass(frozen=True)
class Program:
    """A pinger: how it is called, and how its report is read."""

    argv: list[str]
    read: Callable[["subprocess.CompletedProcess[str]"], dict[str, list[float]]]


PROGRAMS = {
    "smokemesh": Program([*smokemesh("ping"), "--json"], said_by_smokemesh),
    "fping": Program(["fping"], said_by_fping),
}


def errors(site: Site, program: Program, file: Path) -> NDArray[np.float64]:
    """What a program reports minus what the wire saw, microseconds, for each ping answered in time to be told finely."""
    with captured(site, file):
        done = site.run([*program.argv, *OPTIONS, *ADDRESSES])
    said, seen = program.read(done), round_trips(file)
    if set(said) != set(ADDRESSES):
        raise RuntimeError(f"{program.argv} did not report every address: {done.stderr[-500:]}")
    return np.concatenate([difference(address, said[address], seen[address]) for address in ADDRESSES])


def difference(address: str, values: list[float], wire: list[int | None]) -> NDArray[np.float64]:
    """One address's errors, microseconds."""
    if len(values) != len(wire):
        raise RuntimeError(f"{address}: {len(values)} pings reported, {len(wire)} on the wire")
    truth = np.array([np.nan if value is None else value for value in wire], np.float64)
    found = (np.array(values) - truth) / 1e3
    return found[~np.isnan(found) & (truth < FINE)]


def figures(found: NDArray[np.float64]) -> dict[str, float]:
    """Quantiles of the size of errors, and their mean with its sign."""
    size = np.abs(found)
    quantiles = {f"p{q:g}": round(float(np.percentile(size, q)), 1) for q in (50, 90, 99, 99.9, 100)}
    return {**quantiles, "bias": round(float(found.mean()), 1), "pings": len(found)}


def compare(site: Site, directory: Path) -> dict[str, dict[str, float]]:
    """Both programs in turns, so that whatever else this machine does meets both."""
    found: dict[str, list[NDArray[np.float64]]] = {name: [] for name in PROGRAMS}
    for turn in range(TURNS):
        for name, program in PROGRAMS.items():
            found[name].append(errors(site, program, directory / f"{name}-{turn}.pcap"))
    return {name: figures(np.concatenate(some)) for name, some in found.items()}


def main() -> None:
    """Measure and print."""
    sites = {"here": ("198.18.0.1", "2001:db8:1::1")}
    with (
        tempfile.TemporaryDirectory() as directory,
        Network(sites, {"192.0.2.0/24": WAY, "2001:db8::/64": WAY}, wires=True, record=0, prompt=True) as network,
    ):
        idle = compare(network["here"], Path(directory))
        with busy_cores(seconds=120):
            busy = compare(network["here"], Path(directory))
    quantiles = ("p50", "p90", "p99", "p99.9")
    result = {
        "benchmark": "accuracy",
        "unit": "microseconds of error against tcpdump on the wire",
        "cores": os.cpu_count(),
        "idle": idle,
        "busy": busy,
        "ratio_idle": {q: round(idle["smokemesh"][q] / idle["fping"][q], 3) for q in quantiles},
        "ratio_busy": {q: round(busy["smokemesh"][q] / busy["fping"][q], 3) for q in quantiles},
        "asked": {"idle_p99_at_most": ASKED, "ratio_busy_at_most": 1.0},
        "met": idle["smokemesh"]["p99"] <= ASKED
        and all(busy["smokemesh"][q] <= busy["fping"][q] for q in ("p50", "p90", "p99")),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
