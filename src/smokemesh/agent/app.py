"""One agent: builds its parts from the settings, wires them, starts and stops them.

Threads: prober (measures), planner (assignment and names into a plan), resolver, spool, and two for the master. They
meet in the spool and in the plan; none waits for another's I/O.
"""

import fcntl
import logging
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

from smokemesh.agent import saved, weight
from smokemesh.agent.channel import Channel, Identity
from smokemesh.agent.health import HealthReporter
from smokemesh.agent.packed import PackedAssignment
from smokemesh.agent.plan import make_plan, questions
from smokemesh.agent.prober import Prober
from smokemesh.agent.smokeping import SmokepingUplink, looks_like_smokeping
from smokemesh.agent.spool import Spool
from smokemesh.agent.uplink import Uplink
from smokemesh.errors import ConfigError, HostError
from smokemesh.model.agent import Health
from smokemesh.model.assignment import Assignment
from smokemesh.probes.packetio import IcmpSocket, SocketOptions, allowed
from smokemesh.probes.resolve import Resolver
from smokemesh.probes.table import make_engine
from smokemesh.settings.secrets import parse_secret, parse_slave_secret, secret_problem
from smokemesh.settings.shape import AgentSettings

#: A plan is made again at most this often, seconds: names of a new assignment resolve by and by.
PLAN_INTERVAL: Final = 0.5
#: And this long after the first reason for it: others come along, and what brought them has let go of its memory.
PLAN_DELAY: Final = 0.05
#: Freed memory goes back to the kernel this often, seconds: packing rounds leaves holes behind.
TIDY_INTERVAL: Final = 30.0
#: Threads get this long to end, seconds.
STOP_TIMEOUT: Final = 1.5
#: The last rounds get this long to reach the master, seconds.
FAREWELL: Final = 0.5
#: A prober without a pulse for so many checks, a second apart, hangs.
MOST_STILL: Final = 60

log = logging.getLogger("smokemesh.agent")


def run_agent(
    settings: AgentSettings, stop: threading.Event, reload: Callable[[], AgentSettings | None] | None = None
) -> None:
    """Measure until `stop` is set. `reload` is asked each second for new settings, None when there are none."""
    agent = AgentProgram(settings)
    try:
        agent.start()
        while not stop.wait(1.0):
            agent.check()
            fresh = reload() if reload else None
            if fresh is not None:
                agent.reload(fresh)
    finally:
        agent.stop()


class AgentProgram:
    """A running agent."""

    def __init__(self, settings: AgentSettings) -> None:
        weight.keep_small()
        self._settings = settings
        data = _writable(Path(settings.data))
        self._lock_file = _lock(data / "agent.lock")
        self._saved = data / "assignment"
        master = _only_master(settings)
        identity = Identity(settings.name, read_secret(settings.shared_secret, slave=looks_like_smokeping(master)))
        self._stop, self._replan = threading.Event(), threading.Event()
        self._threads: list[threading.Thread] = []
        self._spool = Spool(data / "spool.db", [master], settings.spool)
        self._prober = Prober(settings.limits, self._spool.append, lambda kind: make_engine(kind, self._prober.permit))
        self._reporter = HealthReporter(self._prober, self._spool)
        self._resolver = Resolver(self._replan.set)
        self._assignment: PackedAssignment | None = None
        self._confirmed = 0.0
        self._unsaved, self._planned = False, ""
        self._expired = False
        self._tidy_at = 0.0
        #: The prober's pulse at the latest check, and how many checks it has stood still.
        self._pulse, self._still = 0.0, 0
        self._restore()
        version = self._assignment.version if self._assignment else ""
        self._uplink = self._make_uplink(master, identity, version)
        self._adopt_intervals()

    def _make_uplink(self, master: str, identity: Identity, version: str) -> Uplink | SmokepingUplink:
        timeout, ca_file = self._settings.auth_timeout, self._settings.ca_file
        if looks_like_smokeping(master):
            return SmokepingUplink(
                master,
                identity,
                self._spool,
                self._assigned,
                lambda: self._assignment,
                timeout=timeout,
                ca_file=ca_file,
            )
        return Uplink(
            lambda stop: Channel(master, identity, timeout=timeout, ca_file=ca_file, stop=stop),
            self._spool, master, self._health, self._assigned, version,
        )  # fmt: skip

    def start(self) -> None:
        """Begin to measure."""
        _insist_on_sockets()
        self._prober.prepare("icmp")
        for name, work in {
            "prober": self._prober.run,
            "spool": self._spool.run,
            "planner": self._keep_planned,
            "resolver": self._resolver.run,
            "uplink": self._uplink.run,
            "assignment": self._uplink.watch,
        }.items():
            thread = threading.Thread(target=work, args=(self._stop,), name=name, daemon=True)
            self._threads.append(thread)
            thread.start()
        log.info(
            "agent started: name=%s master=%s data=%s",
            self._settings.name,
            self._settings.masters[0],
            self._settings.data,
        )

    def stop(self) -> None:
        """End all threads and leave the spool whole."""
        self._stop.set()
        self._replan.set()
        self._resolver.wake()
        deadline = time.monotonic() + STOP_TIMEOUT
        for thread in self._threads:
            thread.join(max(deadline - time.monotonic(), 0.0))
        if self._spool.flush(last=True):
            self._uplink.farewell(FAREWELL)
        self._spool.close()
        self._lock_file.close()
        log.info("agent stopped: rounds=%d waiting=%d", self._prober.tally.rounds, self._spool.depth().rounds)

    def check(self) -> None:
        """Once a second: is the assignment still good without a master; do all threads live."""
        ttl = self._settings.assignment_ttl
        expired = self._assignment is not None and time.time() - self._confirmed > ttl
        if expired != self._expired:
            self._expired = expired
            if expired:
                log.error("no master, measuring stops: assignment_ttl=%.0f", ttl)
            self._replan.set()
        dead = [thread.name for thread in self._threads if not thread.is_alive()]
        if dead:
            raise HostError(f"agent: thread {dead[0]} ended unexpectedly; see the log")
        self._watch_pulse()
        if time.monotonic() >= self._tidy_at:
            self._tidy_at = time.monotonic() + TIDY_INTERVAL
            weight.give_back()

    def _watch_pulse(self) -> None:
        """A prober that hangs measures nothing, and nobody would know: better to end and be started again.

        Checks are counted, not seconds: a process that was stopped for an hour is not hanging when it goes on.
        """
        pulse = self._prober.tally.pulse
        self._still = self._still + 1 if pulse == self._pulse else 0
        self._pulse = pulse
        if self._still >= MOST_STILL:
            raise HostError(f"agent: the prober has hung for {MOST_STILL} s; restart the agent and report this")

    def reload(self, settings: AgentSettings) -> None:
        """Use new settings: limits and bounds at once, the rest after a restart."""
        old, self._settings = self._settings, settings
        for key in ("name", "masters", "shared_secret", "data", "ca_file"):
            if getattr(old, key) != getattr(settings, key):
                log.warning("setting changed, restart the agent to use it: setting=%s", key)
        self._spool.bounds = settings.spool
        self._replan.set()
        log.info("settings read again")

    def _restore(self) -> None:
        """Measure on from the saved assignment until a master gives another."""
        found = saved.load(self._saved, self._settings.name)
        if found is not None:
            self._assignment, self._confirmed = found
            log.info("saved assignment used: version=%s", found[0].version)
            self._replan.set()

    def _assigned(self, assignment: PackedAssignment | None) -> None:
        """The master gave an assignment, or (None) said that ours still holds."""
        self._confirmed = time.time()
        if assignment is not None:
            self._assignment, self._unsaved = assignment, True
            self._adopt_intervals()
            self._replan.set()
        elif not self._unsaved:
            with suppress(OSError):
                saved.confirm(self._saved, self._confirmed)

    def _save(self, assignment: PackedAssignment) -> None:
        """Keep an assignment that proved good for a plan, for a restart without a master."""
        try:
            saved.save(self._saved, assignment)
            self._unsaved = self._assignment is not assignment  # a newer one may have come meanwhile
        except OSError as error:  # a full disk: measure all the same
            log.warning("assignment not saved: file=%s error=%r", self._saved, error.strerror)

    def _adopt_intervals(self) -> None:
        if self._assignment is not None:
            self._uplink.heartbeat_interval = max(self._assignment.heartbeat_interval, 1.0)
            self._uplink.upload_interval = max(self._assignment.upload_interval, 0.1)

    def _keep_planned(self, stop: threading.Event) -> None:
        """The planner thread: whenever the assignment or an address changed, make a plan and hand it over."""
        problems: dict[str, str] = {}
        while not stop.is_set():
            self._replan.wait()
            stop.wait(PLAN_DELAY)
            self._replan.clear()
            packed = self._assignment
            if stop.is_set() or packed is None:
                continue
            try:
                problems = self._plan(packed.unpack(), problems)
                if self._unsaved:
                    self._save(packed)
            except Exception:  # the plan in force goes on; the next assignment may be better
                log.exception("no plan could be made of the assignment: version=%s", packed.version)
            weight.give_back()
            stop.wait(PLAN_INTERVAL)

    def _plan(self, assignment: Assignment, known: dict[str, str]) -> dict[str, str]:
        if self._expired:
            assignment = Assignment(version=assignment.version, agent=assignment.agent)
        self._resolver.watch(questions(assignment))
        limits = self._settings.limits
        plan = make_plan(assignment, self._settings.name, limits, self._resolver.lookup)
        self._prober.offer(plan, limits)
        if assignment.version != self._planned:
            self._planned = assignment.version
            log.info("assignment in force: version=%s tasks=%d", assignment.version, len(plan))
        fresh = {target: why for target, why in plan.problems.items() if known.get(target) != why}
        for target, why in list(fresh.items())[:20]:
            log.warning("target not measured as asked: target=%s reason=%r", target, why)
        if len(fresh) > 20:
            log.warning("more targets not measured as asked: count=%d", len(fresh) - 20)
        return plan.problems

    def _health(self) -> Health:
        troubles = list(self._uplink.link.troubles.values())
        if self._expired:
            troubles.insert(0, f"no master for {self._settings.assignment_ttl:.0f} s (assignment_ttl): not measuring")
        return self._reporter.report(troubles[0] if troubles else "")


def read_secret(path: str, *, slave: bool = False) -> bytes:
    """The secret in a file that only its owner can read; `slave`: as SmokePing has it, which lets its group read it too."""
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            problem = secret_problem(path, status.st_mode, status.st_uid, os.geteuid(), group=slave)
            if problem:
                raise HostError(problem)
            return (parse_slave_secret if slave else parse_secret)(file.read(4096), path)
    except OSError as error:
        raise HostError(f"{path}: {error.strerror}; shared_secret must be a file this user can read") from error
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _insist_on_sockets() -> None:
    """Raises HostError, with the cure, when this user may open no ICMP socket at all; one IP version is enough."""
    if allowed(4) == allowed(6) == "none":
        IcmpSocket.open(SocketOptions(family=4), 1, 1).close()


def _only_master(settings: AgentSettings) -> str:
    if len(settings.masters) != 1:
        raise ConfigError(
            f"masters: {len(settings.masters)} are given ({', '.join(settings.masters)}); this version uses exactly one"
        )
    return settings.masters[0]


def _writable(data: Path) -> Path:
    try:
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        probe = data / ".writable"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise HostError(
            f"data directory {data}: {error.strerror}; make it writable for user {os.geteuid()} or choose another with --data"
        ) from error
    return data


def _lock(path: Path) -> IO[str]:
    """Hold the data directory: two agents on one spool would send each other's rounds."""
    file = path.open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.seek(0)
        other = file.read().strip() or "unknown"
        file.close()
        raise HostError(
            f"data directory {path.parent}: in use by another agent (process {other}); give each its own"
        ) from error
    with suppress(OSError):  # on a full disk the lock alone must do
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
    return file
