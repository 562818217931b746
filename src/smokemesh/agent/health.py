"""How the agent is: its own CPU, memory and counters, put together for each heartbeat."""

import os
import time
from pathlib import Path
from typing import Final

from smokemesh.agent.prober import Prober
from smokemesh.agent.spool import Spool
from smokemesh.model.agent import Health
from smokemesh.version import __version__

#: Seconds for which a fault that passed is still reported, and that rounds were lost with a damaged disk.
RECENT: Final = 300.0
LOST_RECENTLY: Final = 86400.0
_PAGE = os.sysconf("SC_PAGE_SIZE")


def resident_bytes() -> int:
    """Memory of this process that is in RAM (proc(5), statm)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE


class HealthReporter:
    """Makes `Health`; rates run from one report to the next."""

    def __init__(self, prober: Prober, spool: Spool) -> None:
        self._prober, self._spool = prober, spool
        self._started = self._reported = time.monotonic()
        self._cpu, self._sent = time.process_time(), 0

    def report(self, trouble: str = "") -> Health:
        """Health now; `trouble` is what else is wrong."""
        now, cpu, sent = time.monotonic(), time.process_time(), self._prober.counters().sent
        span = max(now - self._reported, 1e-3)
        plan, depth, tally = self._prober.plan, self._spool.depth(), self._prober.tally
        health = Health(
            version=__version__,
            clock=time.time_ns(),
            uptime=now - self._started,
            cpu=(cpu - self._cpu) / span,
            rss=resident_bytes(),
            assignment=plan.version if plan else "",
            tasks=len(plan) if plan else 0,
            pings_per_second=(sent - self._sent) / span,
            rounds=tally.rounds,
            overruns=self._prober.overruns,
            own_drops=tally.own_drops,
            limited=self._prober.limited,
            spool_rounds=depth.rounds,
            spool_bytes=depth.bytes,
            spool_oldest=depth.oldest,
            spool_dropped=depth.dropped,
            spool_damaged=depth.damaged,
            last_error=trouble or self._trouble(now),
            engines=self._prober.engines(),
        )
        self._reported, self._cpu, self._sent = now, cpu, sent
        return health

    def _trouble(self, now: float) -> str:
        """What is wrong with measuring: what stops it first, then what is lately left out, then single targets."""
        tally, plan, spool = self._prober.tally, self._prober.plan, self._spool
        fault = tally.last_error if now - tally.failed_at < RECENT else ""
        limit = tally.limit if now - tally.limited_at < RECENT else ""
        lost = f"spool {spool.path} was damaged, records lost: {spool.lost} or more; see the log, check the disk"
        damage = lost if spool.lost and now - spool.lost_at < LOST_RECENTLY else ""
        return spool.trouble or fault or damage or limit or _first_problem(plan.problems if plan else {})


def _first_problem(problems: dict[str, str]) -> str:
    """One of the tasks' problems, and how many there are."""
    for target, problem in problems.items():
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        return f"{target}: {problem}{more}"
    return ""
