"""A world worth looking at, inserted through the store's own door: what the pages are tested with and tried on.

Day and night in the delay, a rush hour, bursts of loss, a dead host, a gap without data, a spike, two agents on
two paths, a long history at five minutes.
"""

import functools
from dataclasses import dataclass, replace

import numpy as np

from smokemesh.model.agent import Agent
from smokemesh.model.assignment import task_id
from smokemesh.model.probe import Probe
from smokemesh.model.rounds import Flag, RoundBatch
from smokemesh.model.target import Node, Target
from smokemesh.settings.shape import MasterSettings, Presentation
from smokemesh.storage.store import RoundStore

NANO = 10**9
DAY = 86400.0
AGENTS = ("boomer", "slater")


@dataclass(frozen=True)
class Path:
    """How one agent sees one target. Seconds and shares."""

    base: float
    #: How much slower in the evening.
    swell: float = 0.1
    #: Spread of the pings of one round, as a share of the base.
    spread: float = 0.05
    loss: float = 0.0
    #: Now and then a burst of this loss.
    bursts: float = 0.0
    dead: bool = False
    #: Hours ago (from, to) without rounds.
    gap: tuple[float, float] | None = None
    #: Hours ago (from, to) of total loss.
    outage: tuple[float, float] | None = None
    #: Hours ago of one round that is far slower.
    spike: float | None = None
    flags: int = 0


def _target(path: str, host: str, agents: tuple[str, ...] = ("boomer",), probe: str = "ping") -> Target:
    return Target(path=path, host=host, probe=probe, agents=agents)


def _leaf(
    path: str, title: str, host: str, agents: tuple[str, ...] = ("boomer",), probe: str = "ping", **places: str
) -> Node:
    menu = path.rsplit("/", 1)[1]
    return Node(path=path, menu=menu, title=title, target=_target(path, host, agents, probe), places=places)


TREE = Node(
    path="/",
    menu="",
    title="",
    children=(
        Node(
            path="/changzhou",
            menu="常州机房",
            title="常州机房",
            remark="Two rooms, one uplink.",
            children=(
                _leaf("/changzhou/gateway", "Gateway", "192.0.2.1", AGENTS),
                _leaf("/changzhou/rack29", "29柜", "192.0.2.29", AGENTS),
                _leaf("/changzhou/rack30", "30柜", "192.0.2.30"),
                _leaf("/changzhou/storage", "Storage head <script>alert(1)</script>", "2001:db8::51"),
            ),
        ),
        Node(
            path="/transit",
            menu="Transit",
            title="Transit providers",
            children=(
                Node(
                    path="/transit/europe",
                    menu="Europe",
                    title="Europe",
                    children=(
                        _leaf(
                            "/transit/europe/zurich", "Zürich", "zurich.example.net", AGENTS, owner="/networks/abroad"
                        ),
                        _leaf("/transit/europe/london", "London", "london.example.net", owner="/networks/abroad"),
                    ),
                ),
                _leaf("/transit/tokyo", "Tokyo", "tokyo.example.net", AGENTS),
            ),
        ),
        _leaf("/office", "Office uplink", "198.51.100.7", AGENTS, owner="/people"),
        _leaf("/empty", "Never measured", "198.51.100.99"),
        Node(
            path="/compare",
            menu="compare",
            title="Zürich and the rest",
            remark='Drawn <b>together</b>; see <a href="https://example.net/plan">the plan</a>.<script>alert(1)</script>',
            overlay=(
                "/transit/europe/zurich~slater",
                "/transit/europe/zurich~boomer",
                "/transit/tokyo~boomer",
                "/transit/gone",
                "/office",
            ),
        ),
        Node(
            path="/dual",
            menu="dual",
            title="Every address of a name",
            hidden=True,
            target=Target(path="/dual", host="dual.example.net", probe="ping", agents=("boomer",), addresses="all"),
        ),
    ),
)

#: Targets with a long history.
OLD = ("/changzhou/rack29", "/transit/europe/zurich")

PATHS: dict[tuple[str, str], Path] = {
    ("/changzhou/gateway", "boomer"): Path(0.00042, spread=0.2),
    ("/changzhou/gateway", "slater"): Path(0.0061, spread=0.04),
    ("/changzhou/rack29", "boomer"): Path(0.0021, 0.6, 0.25, loss=0.002, bursts=0.2, outage=(1.4, 1.15), gap=(2.4, 2.1)),
    ("/changzhou/rack29", "slater"): Path(0.0074, 0.3, 0.1, bursts=0.05, outage=(1.4, 1.3)),
    ("/changzhou/rack30", "boomer"): Path(0.0023, dead=True),
    ("/changzhou/storage", "boomer"): Path(0.0008, spike=1.0),
    ("/transit/europe/zurich", "boomer"): Path(0.181, 0.08, 0.02, loss=0.004),
    ("/transit/europe/zurich", "slater"): Path(0.012, 0.2, 0.06),
    ("/transit/europe/london", "boomer"): Path(0.174, 0.05, 0.02, loss=0.06),
    ("/transit/tokyo", "boomer"): Path(0.047, 0.4, 0.12, bursts=0.1),
    ("/transit/tokyo", "slater"): Path(0.224, 0.05, 0.02, gap=(0.5, 0.0)),
    ("/office", "boomer"): Path(0.009, 1.2, 0.5, loss=0.01, bursts=0.4, flags=int(Flag.LATE)),
    ("/office", "slater"): Path(0.031, 0.5, 0.2, loss=0.001),
}  # fmt: skip


def settings() -> MasterSettings:
    """A master's configuration with this tree."""
    return MasterSettings(
        probes={"ping": Probe(name="ping", step=60.0, pings=20), "slow": Probe(name="slow", step=300.0, pings=20)},
        agents={
            "boomer": Agent(name="boomer", display_name="常州一号", location="changzhou"),
            "slater": Agent(name="slater", display_name="Zürich", location="zurich", color="d6568f"),
        },
        tree=TREE,
        presentation=Presentation(
            owner="Peter Random", contact="peter@example.net", hierarchies={"owner": "By owner", "bare": "Nothing yet"}
        ),
    )


@functools.cache
def task(path: str) -> int:
    """The task of a target of the tree."""
    node = TREE.find(path)
    assert node is not None
    assert node.target is not None
    return task_id(path, node.target.probe)


def rounds(path: str, agent: str, times: np.ndarray, now: int, step: float, pings: int = 20) -> RoundBatch:
    """Rounds at these times (ns), the same for the same arguments."""
    way = PATHS[path, agent]
    rng = np.random.default_rng([task(path) % 2**32, AGENTS.index(agent), int(times[0] // NANO) % 2**32])
    n = len(times)
    hours = (times / NANO % DAY) / 3600.0
    evening = np.exp(-((((hours - 20.5) % 24 + 12) % 24 - 12) ** 2) / 12.0)
    noon = 0.4 * np.exp(-((((hours - 13.0) % 24 + 12) % 24 - 12) ** 2) / 6.0)
    level = way.base * (1 + way.swell * (evening + noon))
    queue = rng.gamma(1.4, way.spread * way.base, (n, pings)) * (0.4 + evening[:, None])
    rtts = level[:, None] + queue + np.abs(rng.normal(0, 6e-6, (n, pings)))
    ago = (now - times) / NANO / 3600.0
    loss = np.full(n, way.loss)
    if way.bursts:
        burst = rng.random(n) < 0.02
        loss = np.where(burst | np.roll(burst, 1), rng.random(n) * min(1.0, 2 * way.bursts), loss)
    if way.spike is not None:
        rtts[np.argmin(np.abs(ago - way.spike))] *= 90
    lost = rng.random((n, pings)) < loss[:, None]
    if way.outage:
        lost |= ((ago <= way.outage[0]) & (ago >= way.outage[1]))[:, None]
    lost |= way.dead
    rtts[lost] = np.nan
    received = np.count_nonzero(~lost, axis=1)
    flags = np.where(rng.random(n) < 0.05, way.flags, 0)
    batch = RoundBatch.from_columns(
        n,
        {
            "task": np.full(n, task(path), "u8"), "time": times, "step": np.full(n, step), "sent": np.full(n, pings),
            "received": received, "flags": flags, "rtts": rtts.ravel(),
            "late": np.where((flags & Flag.LATE) & (received > 0), 1, 0),
        },
    )  # fmt: skip
    if way.gap is None:
        return batch
    return batch.where(~((ago <= way.gap[0]) & (ago >= way.gap[1])))


def select(batch: RoundBatch, keep: np.ndarray) -> RoundBatch:
    """The rounds of a batch that are to be kept."""
    columns = {name: getattr(batch, name)[keep] for name in (
        "task", "time", "step", "sent", "received", "late", "duplicates", "reordered", "corrupted", "errors", "error",
        "flags", "address")}  # fmt: skip
    rtts = batch.matrix()[keep].ravel()
    return RoundBatch.from_columns(int(np.count_nonzero(keep)), {**columns, "rtts": rtts})


def fill(store: RoundStore, now: int, hours: float = 36.0, step: float = 60.0, days: float = 0.0) -> None:
    """Insert the recent rounds of every path, and `days` of history at five minutes before them."""
    begin = round(now - hours * 3600 * NANO)
    first = begin - begin % round(step * NANO)
    for k, (path, agent) in enumerate(PATHS):
        phase = k * 3 * NANO
        times = np.arange(first + phase, now, round(step * NANO), dtype="i8")
        if days and path in OLD:
            old = np.arange(first - round(days * DAY) * NANO, first - 300 * NANO, 300 * NANO, dtype="i8")
            history = rounds(path, agent, old, now, 300.0)
            store.insert(agent, history, f"history/{agent}{path}")
        store.insert(agent, rounds(path, agent, times, now, step), f"recent/{agent}{path}")


def fresh(path: str, agent: str, now: int, step: float = 60.0) -> RoundBatch:
    """One round that begins now."""
    return replace(rounds(path, agent, np.array([now], "i8"), now, step))
