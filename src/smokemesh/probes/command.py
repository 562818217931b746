"""Commands: programs that measure, run side by side without a shell, ended in time, their output read as RTTs.

Times are monotonic seconds. A round's runs wait for their turn; what waits too long for it does not count, it is not the
network's loss. What may be run at all is decided before (`command_rules.refusal`).
"""

import errno
import logging
import math
import select
import socket
import time
from collections import deque
from dataclasses import dataclass, field
from typing import ClassVar, Final

from smokemesh.errors import HostError
from smokemesh.model.rounds import ERROR_ERRNO, ERROR_RESOLVE, Flag
from smokemesh.probes import command_secrets
from smokemesh.probes.command_process import Process
from smokemesh.probes.command_rules import Order, make_run, order
from smokemesh.probes.engine import Permit, RoundRequest, anyone
from smokemesh.probes.flight import Watcher
from smokemesh.probes.paced import Attempt, PacedEngine
from smokemesh.probes.tools.run import Ask, Output, is_address

#: Programs at once, of all probes together.
MOST_RUNNING: Final = 256
#: A run counts among a probe's `forks` for this long. What still runs then waits for the network and costs nothing: were it
#: counted on, a few dead targets would keep all others from being measured, as they do in SmokePing.
STARTING: Final = 0.1
#: Between asking a program to end and ending it.
MERCY: Final = 0.5
#: A run waits for its turn at most this share of the step.
_MOST_WAIT: Final = 0.3
#: What a machine out of files, processes or memory says.
_OUR_OWN_LACK: Final = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN)
#: What hinders a probe is said this often, seconds.
_SAY_AGAIN: Final = 600.0

log = logging.getLogger("smokemesh.probes")


@dataclass(slots=True)
class _Lane:
    """The runs of one probe."""

    waiting: deque[Attempt] = field(default_factory=deque)
    #: Runs that count among its forks.
    starting: int = 0


@dataclass(slots=True, eq=False)
class _Job:
    """One run."""

    attempt: Attempt
    order: Order
    ask: Ask
    process: Process
    lane: _Lane
    started: float
    #: How long it took; NaN while it runs and nothing is decided.
    elapsed: float = math.nan
    ready: bool = False
    counted: bool = True
    over: bool = False


class CommandEngine(PacedEngine):
    """Runs programs."""

    kind: ClassVar[str] = "command"
    most_open: ClassVar[int] = 4096

    def __init__(self, *, permit: Permit = anyone, watcher: Watcher | None = None) -> None:
        super().__init__(permit=permit, watcher=watcher)
        self._room = self.most_open  # what waits for its turn holds no files
        self._lanes: dict[str, _Lane] = {}
        self._jobs: dict[Attempt, _Job] = {}
        self._said: dict[str, float] = {}

    def attempts(self, request: RoundRequest) -> int:
        """One run for a whole round, or one a ping."""
        try:
            return 1 if order(request.probe.options).whole_round else request.probe.pings
        except ValueError:
            return 1

    def patience(self, request: RoundRequest) -> float:
        """What a run may take, with its turn waited for and its end."""
        return self._limit(request) + 2 * MERCY + _MOST_WAIT * request.probe.step

    def begin(self, attempt: Attempt) -> None:
        """Start it, or let it wait for its turn."""
        lane = self._lanes.setdefault(attempt.probe.name, _Lane())
        lane.waiting.append(attempt)
        self._start_waiting(lane)

    def give_up(self, attempt: Attempt) -> None:
        """It has not even ended after being killed, or its turn never came."""
        job = self._jobs.get(attempt)
        if job is not None:
            job.process.kill()
        else:
            self._leave_out(attempt)

    def release(self) -> None:
        """End all programs."""
        for job in list(self._jobs.values()):
            job.process.kill()
            self._reap(job)

    def _limit(self, request: RoundRequest) -> float:
        """Seconds a run may take."""
        probe = request.probe
        try:
            wanted = order(probe.options)
        except ValueError:
            return probe.timeout
        if not wanted.whole_round:
            return probe.timeout
        return probe.duration + (wanted.tool.overhead if wanted.tool else 0.0)

    def _start_waiting(self, lane: _Lane) -> None:
        while lane.waiting and len(self._jobs) < MOST_RUNNING:
            if lane.starting >= _forks(lane.waiting[0]):
                return
            attempt = lane.waiting.popleft()
            if not attempt.over:
                self._start(attempt, lane)

    def _start(self, attempt: Attempt, lane: _Lane) -> None:
        request = attempt.request
        attempt.begun = time.monotonic()
        attempt.disturbed = False
        try:
            wanted = order(request.probe.options)
            if self._unreachable(attempt, wanted):
                return
            ask = _ask(request, wanted)
            process = Process(make_run(wanted, ask))
        except (ValueError, HostError) as error:
            self._say(request.probe.name, str(error))
            self._end(attempt, [], ERROR_ERRNO + errno.EINVAL, Flag.SEND_ERROR)
        except OSError as error:
            if error.errno in _OUR_OWN_LACK:
                self._leave_out(attempt)
                return
            self._say(request.probe.name, f"{error.filename or 'program'}: {error.strerror}")
            self._end(attempt, [], ERROR_ERRNO + (error.errno or errno.EIO), Flag.SEND_ERROR)
        else:
            self._attend(_Job(attempt, wanted, ask, process, lane, attempt.begun))

    def _unreachable(self, attempt: Attempt, wanted: Order) -> bool:
        """A known tool measures addresses only, and only those this agent may measure; the attempt then ends."""
        if wanted.tool is None:
            return False
        if not attempt.request.address:
            self._end(attempt, [], ERROR_RESOLVE + abs(socket.EAI_NONAME), Flag.UNRESOLVED)
            return True
        beyond = getattr(wanted.settings, "desthost", "")
        refused = self.permit(beyond) if is_address(beyond) else ""
        if refused:
            self._say(attempt.probe.name, refused)
            self._end(attempt, [], ERROR_ERRNO + errno.EACCES, Flag.SEND_ERROR)
        return bool(refused)

    def _attend(self, job: _Job) -> None:
        self._jobs[job.attempt] = job
        job.lane.starting += 1
        for fd in job.process.streams:
            self.watch(fd, select.EPOLLIN, lambda _events, fd=fd: self._printed(job, fd))  # type: ignore[misc]
        self.watch(job.process.exit_fd, select.EPOLLIN, lambda _events: self._ended(job))
        self.call_at(job.started + STARTING, lambda: self._settled_in(job))
        self.call_at(job.started + self._limit(job.attempt.request), lambda: self._time_over(job))

    def _settled_in(self, job: _Job) -> None:
        if job.counted:
            job.counted = False
            job.lane.starting -= 1
            self._start_waiting(job.lane)

    def _printed(self, job: _Job, fd: int) -> None:
        more = job.process.read(fd)
        if job.process.flooding:
            self._stop(job)
        elif not job.ready and self._has_enough(job):
            job.ready = True
            self._stop(job)
        if not more:
            self.unwatch(fd)

    def _has_enough(self, job: _Job) -> bool:
        tool = job.order.tool
        if tool is None or tool.ready is None:
            return False
        return tool.ready(job.process.stdout + b"\n" + job.process.stderr, job.order.settings, job.ask)

    def _stop(self, job: _Job) -> None:
        """Nothing more is wanted of it."""
        if math.isnan(job.elapsed):
            job.elapsed = self.woke - job.started
        job.process.kill()

    def _time_over(self, job: _Job) -> None:
        if not job.over:
            job.process.ask_to_end()
            self.call_at(time.monotonic() + MERCY, job.process.kill)

    def _ended(self, job: _Job) -> None:
        if math.isnan(job.elapsed):
            job.elapsed = self.woke - job.started
        for fd in job.process.streams:
            job.process.read(fd)
        flooded, status = job.process.flooding, self._reap(job)
        self._judge(
            job, Output(job.process.stdout, job.process.stderr, 0 if job.ready else status, job.elapsed), flooded
        )
        for lane in [job.lane, *self._lanes.values()]:
            self._start_waiting(lane)

    def _reap(self, job: _Job) -> int:
        job.over = True
        self._jobs.pop(job.attempt, None)
        if job.counted:
            job.counted = False
            job.lane.starting -= 1
        for fd in (*job.process.streams, job.process.exit_fd):
            self.unwatch(fd)
        return job.process.reap()

    def _judge(self, job: _Job, output: Output, flooded: bool) -> None:
        """Read what it printed."""
        if flooded:
            self._say(job.attempt.probe.name, f"{job.order.program} printed too much, it was ended")
            self._end(job.attempt, [], ERROR_ERRNO + errno.EMSGSIZE)
            return
        rtts = list(job.order.reader.read(output, job.ask))
        if not rtts and output.status > 0 and output.stderr.strip():
            self._say(job.attempt.probe.name, f"{job.order.program} ended with {output.status}: {_first_line(output)}")
        # Only a time that our own clock took is spoilt when this host stood still; that a program failed is not.
        tool = job.order.tool
        self._end(job.attempt, rtts, exact=not rtts or (tool.own_clock if tool else job.order.options.parse != "exit"))

    def _end(self, attempt: Attempt, rtts: list[float], error: int = 0, flags: int = 0, *, exact: bool = False) -> None:
        if attempt.round.attempts == 1:
            self.end_round(attempt, rtts, error=error, flags=flags)
        else:
            self.end(attempt, rtts[0] if rtts else math.nan, error=error, flags=flags, exact=exact)

    def _leave_out(self, attempt: Attempt) -> None:
        """Its turn never came: this host had no room, so it does not count."""
        one = attempt.round
        one.left_out.update(range(attempt.probe.pings) if one.attempts == 1 else [attempt.index])
        self._end(attempt, [], flags=Flag.OWN_DELAY)

    def _say(self, probe: str, what: str) -> None:
        """What hinders a probe is one line now and then, not one a ping."""
        now = time.monotonic()
        key = f"{probe} {what}"
        if now - self._said.get(key, -math.inf) > _SAY_AGAIN:
            if len(self._said) > 1000:
                self._said.clear()
            self._said[key] = now
            log.warning("command cannot measure: probe=%s error=%r", probe, what)


def _forks(attempt: Attempt) -> int:
    try:
        return order(attempt.probe.options).options.forks
    except ValueError:
        return 1


def _ask(request: RoundRequest, wanted: Order) -> Ask:
    """What is asked, with the passwords that the agent's own files hold. Raises HostError."""
    probe, settings, host = request.probe, wanted.settings, request.host or request.address
    secrets: dict[str, str] = {}
    if getattr(settings, "passwordfile", ""):
        user = getattr(settings, "username", "") or getattr(settings, "binddn", "")
        found = command_secrets.password(settings.passwordfile, host, user)
        secrets |= {"PASSWORD": found} if found is not None else {}
    if getattr(settings, "secretfile", ""):
        found = command_secrets.shared_secret(settings.secretfile, host)
        secrets |= {"SECRET": found} if found is not None else {}
    if wanted.options.environment_file:
        secrets |= command_secrets.variables(wanted.options.environment_file)
    return Ask(host, request.address or host, probe.pings, probe.spacing, probe.timeout, probe.source, secrets)


def _first_line(output: Output) -> str:
    return output.stderr.decode("utf-8", "replace").strip().splitlines()[0][:200]
