"""400 days of 5-minute rounds through the store's own inserts, then the graph's question; prints one JSON line."""

import argparse
import http.client
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import rrd
from benchmarks.made_rounds import SECOND, made_rounds
from benchmarks.programs import free_port, running, smokemesh, wait_until_ready
from smokemesh.model.assignment import task_id
from smokemesh.model.series import SeriesQuestion
from smokemesh.storage.rounds import ClickHouseRounds, open_rounds

PINGS, REPEATS = 20, 25
DAY = 86400 * SECOND
#: Ranges that are asked for, in days.
RANGES = (0.125, 1.25, 10.0, 40.0, 400.0)


def main() -> None:
    """Measure, print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=400)
    parser.add_argument("--tasks", type=int, default=4)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="smokemesh-query-") as name:
        report: dict[str, Any] = {"benchmark": "query", "days": asked.days, "points": 1000, "cores": os.cpu_count()}
        report["smokemesh"] = _ours(Path(name), asked.days, asked.tasks)
        if rrd.available():
            report["rrdtool"] = _peer(Path(name) / "peer.rrd", asked.days)
            graph = report["smokemesh"]["milliseconds"][f"{asked.days} days"]["median"]
            report["times_rrdtool"] = round(graph / report["rrdtool"]["milliseconds"]["median"], 2)
    print(json.dumps(report))


def _ours(directory: Path, days: int, tasks: int) -> dict[str, Any]:
    store = open_rounds(f"chdb://{directory}/rounds")
    now = time.time_ns()
    begun = time.perf_counter()
    rounds = _fill(store, days, tasks, now // DAY * DAY - (days - 1) * DAY, now)
    filled = time.perf_counter() - begun
    numbers = _numbers(tasks)
    answers = {f"{span:g} days": _graph(store, numbers[:1], span, now) for span in RANGES if span <= days}
    answers[f"{tasks} graphs, {days} days"] = _graph(store, numbers, float(days), now)
    answers["50 small graphs, 3 hours"] = _graph(store, [numbers[i % tasks] for i in range(50)], 0.125, now, 100)
    store.close()
    return {
        "milliseconds": answers,
        "milliseconds_at_the_api": _api(directory, days, tasks),
        "rounds": rounds,
        "seconds_to_fill": round(filled, 1),
    }


def _numbers(tasks: int) -> list[int]:
    return [task_id(f"/t{i}", "ping") for i in range(tasks)]


def _api(directory: Path, days: int, tasks: int) -> dict[str, float]:
    """The same graph asked of a real master over HTTP, one connection, the whole JSON read."""
    address = f"127.0.0.1:{free_port()}"
    config = directory / "smokemesh.yaml"
    targets = "".join(f"  t{i}: {{host: 127.0.0.1, step: 300s}}\n" for i in range(tasks))
    secret = directory / "secret"
    secret.write_text("secret-of-a-benchmark\n")
    secret.chmod(0o600)
    config.write_text(
        f"listen: {address}\nagents: {{agent: {{secret_file: {secret}}}}}\ntargets:\n  agents: [agent]\n{targets}"
    )
    with running(smokemesh("master", "--config", str(config), "--data", str(directory)), directory / "log") as master:
        wait_until_ready(f"http://{address}/-/ready", check=master.check)
        connection = http.client.HTTPConnection(address, timeout=30)
        path = f"/api/v1/series?target=/t0&agent=agent&begin=now-{days}d&end=now&points=1000"

        def ask() -> bytes:
            connection.request("GET", path)
            return connection.getresponse().read()

        points = len(json.loads(ask())["series"][0]["time"])
        return _times(ask) | {"points": points}


def _fill(store: ClickHouseRounds, days: int, tasks: int, begin: int, now: int) -> int:
    """Insert the rounds up to now in slices of ten days, oldest first."""
    rounds = 0
    for start in range(0, days, 10):
        times = begin + start * DAY + np.arange(min(10, days - start) * 288) * rrd.STEP * SECOND
        batch = made_rounds(np.array(_numbers(tasks), np.uint64), times[times < now], rrd.STEP, PINGS, start)
        store.insert("agent", batch, f"slice {start}")
        rounds += len(batch)
    return rounds


def _graph(store: ClickHouseRounds, tasks: list[int], days: float, now: int, points: int = 1000) -> dict[str, float]:
    begin = now - int(days * DAY)
    questions = [SeriesQuestion(task=task, agent="agent", begin=begin, end=now, points=points) for task in tasks]
    series = store.series(questions)
    if not all(len(one) and one.received.sum() for one in series):
        raise SystemExit(f"the store has no answer for {days} days")
    return _times(lambda: store.series(questions)) | {"points": len(series[0]), "step": series[0].step}


def _times(ask: Callable[[], object]) -> dict[str, float]:
    taken = []
    for _ in range(REPEATS):
        begun = time.perf_counter()
        ask()
        taken.append((time.perf_counter() - begun) * 1e3)
    return {"median": round(float(np.median(taken)), 1), "p95": round(float(np.quantile(taken, 0.95)), 1)}


def _peer(file: Path, days: int) -> dict[str, Any]:
    """The same rounds of one task in a file of SmokePing's shape, and `rrdtool fetch` over all of them."""
    end = int(time.time()) // rrd.STEP * rrd.STEP
    begin = end - days * 86400
    rrd.create(file, begin, PINGS)
    times = np.arange(begin + rrd.STEP, end, rrd.STEP)
    rtts = made_rounds(np.array([1]), times * SECOND, rrd.STEP, PINGS, 0).matrix()
    rrd.run(rrd.update_line(file, int(when), row) for when, row in zip(times, rtts, strict=True))
    rows = rrd.fetch(file, begin, end)[1]
    taken = _times(lambda: rrd.fetch(file, begin, end))
    return {"milliseconds": taken, "rows": rows, "what": "rrdtool fetch AVERAGE, one process each, text"}


if __name__ == "__main__":
    main()
