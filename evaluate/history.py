"""The archives of a real daemon, brought in: every value `rrdtool fetch` tells is found again by query."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

import numpy as np

from evaluate import smokeping
from evaluate.smokeping import Host, Installation
from evaluate.table import Table
from smokemesh.model.assignment import task_id
from smokemesh.model.series import SeriesQuestion
from smokemesh.netlab import path as netlab
from smokemesh.netlab.network import Network
from smokemesh.storage.rounds import open_rounds

STEP: Final = 3
PINGS: Final = 5
SECOND: Final = 10**9
PATHS: Final = {
    "calm": netlab.Path(delay=0.01),
    "fifth": netlab.Path(delay=0.02, jitter=0.01, faults=(netlab.Lose(every=5),)),
    "dead": netlab.Path(faults=(netlab.Lose(every=1),)),
}
ADDRESSES: Final = {name: f"192.0.2.{i}" for i, name in enumerate(PATHS, 1)}


def evaluate(directory: Path, rounds: int) -> Table:
    """Let the real daemon measure so many rounds, bring its archives in, and compare value by value."""
    table = Table(f"The archives of a real daemon, brought in: {rounds} rounds")
    hosts = [Host(name=name, address=address) for name, address in ADDRESSES.items()]
    real = Installation(
        directory=directory / "real", step=STEP, pings=PINGS, interval=0.2, timeout=0.3, hosts=hosts
    )  # fmt: skip
    real.write()
    with Network({"real": ("198.18.0.1",)}, {ADDRESSES[name]: path for name, path in PATHS.items()}) as network:
        real.daemon(network["real"].start)
        deadline = time.monotonic() + (rounds + 10) * STEP + 30
        while min(len(real.written(name)) for name in ADDRESSES) < rounds:
            if time.monotonic() > deadline:
                raise TimeoutError(f"the real daemon did not write {rounds} rounds in time")
            time.sleep(0.2)
    data = directory / "data"
    told = _import(real, data)
    table.equal("files read", len(hosts), told["files"])
    table.equal("files left out", {}, told["skipped"])
    again = _import(real, data)
    table.equal("brought in a second time", (0, 0), (again["rounds"], again["rows"]))
    for name in ADDRESSES:
        _compare(table, name, real, data)
    return table


def _import(real: Installation, data: Path) -> dict[str, Any]:
    argv = [sys.executable, "-m", "smokemesh", "import-rrd", str(real.directory / "rrd"), "--config", str(real.config)]
    done = subprocess.run([*argv, "--data", str(data), "--json"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _compare(table: Table, name: str, real: Installation, data: Path) -> None:
    end = int(time.time())
    fetched = smokeping.fetch(real.directory / "rrd" / f"{name}.rrd", end - 10_000, end)
    known = ~np.isnan(fetched["loss"])
    store = open_rounds(f"chdb://{data}/rounds")
    try:
        question = SeriesQuestion(
            task=task_id(f"/{name}", "FPing"),
            agent="local",
            begin=(end - 20_000) * SECOND,
            end=end * SECOND,
            points=100_000,
            level="raw",
        )
        batch = store.rounds(question)
    finally:
        store.close()
    times = (fetched["time"][known] - STEP).astype(int).tolist()
    table.equal(f"{name}: times", times, (batch.time // SECOND).tolist())
    if len(times) != len(batch):
        return
    loss = fetched["loss"][known]
    worst = float(np.abs(np.cumsum(batch.sent - batch.received.astype(int)) - np.cumsum(loss)).max(initial=0.0))
    table.holds(
        f"{name}: lost pings", "sum within half a ping at every time", f"at most {worst:.3f} apart", worst <= 0.51
    )
    pings = np.sort(np.column_stack([fetched[f"ping{i}"][known] for i in range(1, PINGS + 1)]), axis=1)
    whole = (~np.isnan(pings)).sum(axis=1) == batch.received
    table.holds(
        f"{name}: rounds whose pings are all known", "most", f"{whole.sum()} of {len(whole)}", whole.mean() > 0.8
    )
    apart = np.nanmax(np.abs(np.sort(batch.matrix(), axis=1)[whole] / pings[whole] - 1), initial=0.0)
    table.holds(f"{name}: RTTs", "as fetched, to 7 digits", f"at most {apart:.1e} apart, relative", apart < 1e-6)
