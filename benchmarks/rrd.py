"""RRD files of SmokePing's shape, written and read by the real rrdtool, as the peer of our store.

A SmokePing file has the loss, the median and each sorted ping of a round (22 data sources for 20 pings, and
the uptime), kept by default for 3.5 days at 5 minutes, 180 days at an hour and 360 days at 12 hours.
"""

import shutil
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

STEP = 300
_ARCHIVES = (
    "RRA:AVERAGE:0.5:1:1008",
    "RRA:AVERAGE:0.5:12:4320",
    "RRA:MIN:0.5:12:4320",
    "RRA:MAX:0.5:12:4320",
    "RRA:AVERAGE:0.5:144:720",
    "RRA:MAX:0.5:144:720",
    "RRA:MIN:0.5:144:720",
)


def available() -> bool:
    """Is rrdtool installed?"""
    return shutil.which("rrdtool") is not None


def create(file: Path, begin: int, pings: int) -> None:
    """A new file whose first round comes after `begin`, seconds since 1970."""
    names = ["uptime", "loss", "median", *(f"ping{i + 1}" for i in range(pings))]
    sources = [f"DS:{name}:GAUGE:{2 * STEP}:0:U" for name in names]
    subprocess.run(
        ["rrdtool", "create", str(file), "--start", str(begin), "--step", str(STEP), *sources, *_ARCHIVES], check=True
    )


def update_line(file: Path, when: int, rtts: NDArray[np.float32]) -> str:
    """One round as a command of `rrdtool -`: lost pings are unknown and sorted to the end, as SmokePing does."""
    ordered = np.sort(rtts)
    answered = int(np.count_nonzero(~np.isnan(ordered)))
    median = f"{ordered[answered // 2]:e}" if answered else "U"
    values = ":".join("U" if np.isnan(rtt) else f"{rtt:e}" for rtt in ordered)
    return f"update {file} {when}:U:{len(ordered) - answered}:{median}:{values}\n"


def run(commands: Iterable[str]) -> float:
    """Give the commands to one rrdtool, and tell the seconds it took."""
    text = "".join(commands)
    begun = time.perf_counter()
    subprocess.run(["rrdtool", "-"], input=text, stdout=subprocess.DEVNULL, text=True, check=True)
    return time.perf_counter() - begun


def fetch(file: Path, begin: int, end: int) -> tuple[float, int]:
    """Read the averages of a range: seconds taken, rows got."""
    begun = time.perf_counter()
    answer = subprocess.run(
        ["rrdtool", "fetch", str(file), "AVERAGE", "--start", str(begin), "--end", str(end)],
        capture_output=True,
        text=True,
        check=True,
    )
    return time.perf_counter() - begun, sum(":" in line for line in answer.stdout.splitlines())
