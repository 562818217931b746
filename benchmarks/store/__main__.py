"""Insert rounds from two threads, as the master does, and RRD updates beside them; prints one JSON line."""

import argparse
import json
import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import rrd
from benchmarks.made_rounds import SECOND, made_rounds
from smokemesh.model.rounds import RoundBatch
from smokemesh.storage.rounds import ClickHouseRounds, open_rounds

STEP, PINGS, THREADS = 60, 20, 2


def main() -> None:
    """Measure, print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=10, help="rounds of each task in a batch")
    parser.add_argument("--batches", type=int, default=10)
    parser.add_argument("--peer-files", type=int, default=500)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="smokemesh-store-") as name:
        report: dict[str, Any] = {"benchmark": "store", "pings": PINGS, "cores": os.cpu_count()}
        report["smokemesh"] = _ours(Path(name), asked.tasks, asked.rounds, asked.batches)
        if rrd.available() and asked.peer_files:
            report["rrdtool"] = _peer(Path(name), asked.peer_files)
            ours, peer = report["smokemesh"]["rounds_per_second"], report["rrdtool"]["rounds_per_second"]
            report["times_rrdtool"] = round(ours / peer, 2)
    print(json.dumps(report))


def _ours(directory: Path, tasks: int, rounds: int, batches: int) -> dict[str, Any]:
    store = open_rounds(f"chdb://{directory}/rounds")
    begin = time.time_ns() // (3600 * SECOND) * 3600 * SECOND - 86400 * SECOND
    filled = [
        made_rounds(np.arange(tasks), begin + (i * rounds + np.arange(rounds)) * STEP * SECOND, STEP, PINGS, i)
        for i in range(batches)
    ]
    _insert(store, filled[0], "warm")
    cpu, begun = time.process_time(), time.perf_counter()
    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(lambda i: _insert(store, filled[i], f"batch {i}"), range(1, batches)))
    seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
    inserted = sum(len(batch) for batch in filled[1:])
    _check(store, sum(len(batch) for batch in filled))
    usage = {level.level: level.bytes for level in store.usage()}
    single = _single(store, tasks, begin + 86400 * SECOND)
    store.close()
    return {
        "rounds_per_second": round(inserted / seconds),
        "cpu_microseconds_per_round": round(cpu / inserted * 1e6, 2),
        "bytes_per_round": {level: round(size / sum(map(len, filled)), 1) for level, size in usage.items()},
        "one_round_of_each_task": {"tasks": tasks, "milliseconds": single},
        "rss_megabytes": _resident(),
    }


def _insert(store: ClickHouseRounds, batch: RoundBatch, token: str) -> None:
    store.insert("agent", batch, token)


def _single(store: ClickHouseRounds, tasks: int, when: int) -> float:
    """Milliseconds to store one round of each task, as it comes when all is well."""
    batch = made_rounds(np.arange(tasks), np.array([when]), STEP, PINGS, 0)
    begun = time.perf_counter()
    store.insert("agent", batch, "single")
    return round((time.perf_counter() - begun) * 1e3, 1)


def _check(store: ClickHouseRounds, expected: int) -> None:
    """A figure of an insert that lost something would be worth nothing."""
    held = {level.level: level.rows for level in store.usage()}["raw"]
    if held != expected:
        raise SystemExit(f"the store holds {held} rounds of {expected}")


def _peer(directory: Path, files: int) -> dict[str, Any]:
    """Ten rounds into each of many files: what SmokePing does for as many targets."""
    begin = int(time.time()) // 86400 * 86400 - 86400
    rounds = 10
    batch = made_rounds(np.arange(files), np.arange(rounds), rrd.STEP, PINGS, 0)
    rtts = batch.matrix().reshape(files, rounds, PINGS)
    paths = [directory / f"{i}.rrd" for i in range(files)]
    for path in paths:
        rrd.create(path, begin, PINGS)
    lines = [
        rrd.update_line(path, begin + (turn + 1) * rrd.STEP, rtts[i, turn])
        for turn in range(rounds)
        for i, path in enumerate(paths)
    ]
    seconds = rrd.run(lines)
    size = sum(path.stat().st_size for path in paths) // files
    return {"rounds_per_second": round(files * rounds / seconds), "files": files, "bytes_per_file": size}


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGESIZE") // 2**20


if __name__ == "__main__":
    main()
