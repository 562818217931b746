"""`python -m benchmarks.icmp`: 20 pings to each of 10,000 loopback addresses, by us, by fping and by a loop in C.

The programs take turns, each a few times; medians count. CPU is the whole process', the start of Python included; only
against the loop in C it is taken off, since that compares loops.
One fping process has 65,535 sequence numbers, each taken for ten seconds, so it cannot do 200,000 pings at once (it ends
with "not enough sequence numbers available"): it gets the addresses in as few runs, one after another, as it can do.
Prints one JSON line. Needs root (raw sockets), fping and a C compiler.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.programs import smokemesh

#: Sequence numbers of one fping process.
FPING_LIMIT = 65_535
#: What was asked of us: wall time and CPU per ping against fping's, CPU per ping against the loop's in C.
ASKED = {"wall_fping": 0.35, "cpu_fping": 0.95, "cpu_c": 1.3}


@dataclass(frozen=True)
class Run:
    """What one run cost: seconds, bytes, and pings answered."""

    wall: float
    cpu: float
    rss: int
    answered: int


def timed(argv: Sequence[str], stdin: Path, output: Path) -> Run:
    """Run a program to its end, its stderr to a file."""
    with stdin.open("rb") as source, output.open("wb") as errors:
        begin = time.monotonic()
        program = subprocess.Popen(argv, stdin=source, stdout=subprocess.DEVNULL, stderr=errors)
        _, status, usage = os.wait4(program.pid, 0)
        wall = time.monotonic() - begin
        program.returncode = os.waitstatus_to_exitcode(status)
    if program.returncode not in (0, 1):
        raise SystemExit(f"{argv[0]} ended with {program.returncode}: {output.read_text()[-300:]}")
    return Run(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, answered(output))


def answered(output: Path) -> int:
    """RTTs in the lines of `-C -q`."""
    values = (line.partition(" : ")[2].split() for line in output.read_text().splitlines())
    return sum(value != "-" for line in values for value in line)


def ours(folder: Path, hosts: Path, pings: int, period: int) -> Run:
    """`smokemesh ping`, as fast as it can."""
    argv = smokemesh("ping", "-C", str(pings), "-q", "-i", "0", "-p", str(period), "-f", str(hosts))
    return timed(argv, hosts, folder / "ours")


def fpings(folder: Path, hosts: Path, pings: int, period: int) -> Run:
    """fping at its own fastest, in as many runs as it needs."""
    addresses = hosts.read_text().splitlines()
    share = FPING_LIMIT // pings
    runs = []
    for first in range(0, len(addresses), share):
        part = folder / "part"
        part.write_text("".join(f"{address}\n" for address in addresses[first : first + share]))
        argv = ["fping", "-C", str(pings), "-q", "-i", "0.01", "-p", str(period), "-f", str(part)]
        runs.append(timed(argv, hosts, folder / "fping"))
    return Run(
        sum(run.wall for run in runs), sum(run.cpu for run in runs), max(run.rss for run in runs),
        sum(run.answered for run in runs),
    )  # fmt: skip


def in_c(folder: Path, hosts: Path, pings: int, period: int) -> Run:
    """The loop in C; it tells how many were answered."""
    output = folder / "c"
    with output.open("wb") as told, hosts.open("rb") as source:
        begin = time.monotonic()
        program = subprocess.Popen([str(folder / "loop"), str(pings), str(period)], stdin=source, stdout=told)
        _, status, usage = os.wait4(program.pid, 0)
        wall = time.monotonic() - begin
        program.returncode = os.waitstatus_to_exitcode(status)
    return Run(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, int(output.read_text().split()[1]))


def start_up(folder: Path, hosts: Path) -> Run:
    """`smokemesh ping` of a single address: what starting Python and NumPy costs."""
    return timed(smokemesh("ping", "-C", "1", "-q", "127.0.0.1"), hosts, folder / "start")


def summary(runs: Sequence[Run], pings: int) -> dict[str, float]:
    """Medians, for people who compare."""
    return {
        "wall_seconds": round(median(run.wall for run in runs), 3),
        "cpu_us_per_ping": round(median(run.cpu for run in runs) / pings * 1e6, 2),
        "answered": min(run.answered for run in runs),
    }


def main() -> None:
    """Measure, and print the line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hosts", type=int, default=10_000)
    parser.add_argument("--pings", type=int, default=20)
    parser.add_argument("--period", type=int, default=50, help="milliseconds between two pings to one address")
    parser.add_argument("--turns", type=int, default=5)
    asked = parser.parse_args()
    compiler = shutil.which("cc")
    if os.geteuid() != 0 or shutil.which("fping") is None or compiler is None:
        sys.exit("benchmarks.icmp: needs root, fping and a C compiler (apt-get install fping gcc libc6-dev)")
    total = asked.hosts * asked.pings
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run(
            [compiler, "-O2", "-o", str(folder / "loop"), str(Path(__file__).with_name("loop.c"))], check=True
        )
        hosts = folder / "hosts"
        hosts.write_text("".join(f"127.{1 + i // 65536}.{i // 256 % 256}.{i % 256}\n" for i in range(asked.hosts)))
        turns = {"smokemesh": ours, "fping": fpings, "c": in_c}
        runs: dict[str, list[Run]] = {who: [] for who in turns}
        starts = []
        for _ in range(asked.turns):
            for who, run in turns.items():
                runs[who].append(run(folder, hosts, asked.pings, asked.period))
            starts.append(start_up(folder, hosts))
    found = {who: summary(done, total) for who, done in runs.items()}
    start = median(run.cpu for run in starts)
    mine, fping, c = found["smokemesh"], found["fping"], found["c"]
    ratios = {
        "wall_fping": round(mine["wall_seconds"] / fping["wall_seconds"], 3),
        "cpu_fping": round(mine["cpu_us_per_ping"] / fping["cpu_us_per_ping"], 3),
        "cpu_c": round((mine["cpu_us_per_ping"] - start / total * 1e6) / c["cpu_us_per_ping"], 3),
    }
    line = {
        "benchmark": "icmp", "addresses": asked.hosts, "pings": asked.pings, "turns": asked.turns, **found,
        "rss_mb": round(max(run.rss for run in runs["smokemesh"]) / 2**20, 1),
        "start_up": {"cpu_seconds": round(start, 3), "wall_seconds": round(median(run.wall for run in starts), 3)},
        "ratio": ratios | {"cpu_c_with_start_up": round(mine["cpu_us_per_ping"] / c["cpu_us_per_ping"], 3)},
        "asked_at_most": ASKED,
        "met": mine["answered"] == total and all(ratios[name] <= limit for name, limit in ASKED.items()),
    }  # fmt: skip
    print(json.dumps(line))


if __name__ == "__main__":
    main()
