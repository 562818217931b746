"""A real SmokePing master as the agent sees it: rounds are posted to its CGI as a slave's, a changed configuration comes back.

One connection, one post at a time, the oldest rounds first. What the master has not plainly taken stays in the spool. It
knows neither heartbeats nor numbers: a post that was cut off is sent again and its lines are refused by the archives.
"""

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from smokemesh.agent.backoff import Backoff
from smokemesh.agent.channel import Identity
from smokemesh.agent.packed import PackedAssignment
from smokemesh.agent.spool import Spool
from smokemesh.agent.transport import Transport
from smokemesh.agent.uplink import Link
from smokemesh.errors import MasterError, SmokemeshError, WireError
from smokemesh.model.assignment import Assignment
from smokemesh.model.rounds import Flag, RoundBatch
from smokemesh.smokeping import protocol, results
from smokemesh.smokeping.assigned import read_assignment
from smokemesh.wire import messages
from smokemesh.wire.columns import unpack
from smokemesh.wire.messages import Upload

#: Bytes of records in one post: as text they are about five times as many, and many a web server takes no more than 128 KiB
#: (mod_fcgid's default).
MOST_POST: Final = 20_000
#: A configuration larger than this is not read.
MOST_CONFIGURATION: Final = 64 * 2**20
#: Without rounds to deliver, the master is asked for a new configuration this often, seconds.
IDLE: Final = 60.0
#: A CGI may have to start an interpreter first: it gets this many seconds on top of the usual timeout.
SLOW: Final = 55.0
#: Paths that look like a CGI's.
_CGI: Final = (".cgi", ".fcgi", ".pl")

log = logging.getLogger("smokemesh.uplink")


def looks_like_smokeping(url: str) -> bool:
    """Whether this is the URL of a SmokePing master: ours have no path that ends like a CGI's or names SmokePing."""
    path = urlsplit(url).path.rstrip("/")
    return path.endswith(_CGI) or "smokeping" in path.lower()


class SmokepingUplink:
    """Talks to one SmokePing master; the counterpart of `uplink.Uplink`."""

    def __init__(
        self,
        url: str,
        identity: Identity,
        spool: Spool,
        assigned: Callable[[PackedAssignment | None], None],
        current: Callable[[], PackedAssignment | None],
        *,
        timeout: float,
        ca_file: str = "",
    ) -> None:
        self._url, self._agent, self._secret = url, identity.name, identity.secret
        self._spool, self._consumer, self._assigned, self._current = spool, url, assigned, current
        self._timeout, self._ca_file = timeout, ca_file
        self._lines = Lines()
        self._last, self._posted, self._most = 0, 0.0, MOST_POST
        self._backoff = Backoff()
        self.heartbeat_interval, self.upload_interval = 10.0, 5.0
        self.link = Link()

    def run(self, stop: threading.Event) -> None:
        """Fetch the configuration, then post rounds until `stop` is set."""
        transport = self._transport(stop)
        while not stop.is_set():
            stop.wait(self._attempt(transport, stop))
        transport.close()

    def watch(self, stop: threading.Event) -> None:
        """A change comes with the answer to a post: there is nothing to wait for apart."""
        stop.wait()

    def farewell(self, patience: float) -> None:
        """After `run` ended: deliver the last rounds, if the master took the ones before; seconds it may take."""
        if self.link.troubles or not self.link.uploads:
            return
        late = threading.Event()
        timer = threading.Timer(max(patience, 2.0), late.set)
        timer.daemon = True
        timer.start()
        transport = self._transport(late)
        try:
            while not late.is_set() and self._post_next(transport):
                pass
        except SmokemeshError as error:
            log.info("last rounds stay in the spool: error=%r", str(error))
        finally:
            timer.cancel()
            transport.close()

    def _transport(self, stop: threading.Event) -> Transport:
        return Transport(self._url, timeout=self._timeout, ca_file=self._ca_file, stop=stop, most=MOST_CONFIGURATION)

    def _attempt(self, transport: Transport, stop: threading.Event) -> float:
        """Do what is due; seconds until there may be something again."""
        try:
            more = self._post_next(transport)
        except SmokemeshError as error:
            return 0.0 if stop.is_set() else self._failed(error)
        except Exception as error:  # the thread must outlive whatever is wrong with one answer
            log.exception("post failed")
            return self._failed(MasterError(f"{type(error).__name__}: {error}"))
        self._backoff.success()
        if self.link.troubles.pop("post", None):
            log.info("post works again")
        return 0.0 if more else self.upload_interval

    def _failed(self, error: SmokemeshError) -> float:
        if str(error) not in self.link.troubles.values():
            log.warning("post failed: error=%r", str(error))
        self.link.troubles["post"] = str(error)
        return self._backoff.failure()

    def _post_next(self, transport: Transport) -> bool:
        """Post one range, or ask for the configuration; whether there may be more to post."""
        if not self._last:
            self._heed(self._deliver(transport, b""))
        upload = self._spool.next_upload(self._consumer, self._most)
        if upload is None:
            if time.monotonic() - self._posted > IDLE:
                self._heed(self._deliver(transport, b""))
            return False
        self._lines.learn(self._current())
        lines = [line for record in upload.records for line in self._lines.of(unpack(record.rounds))]
        data = b"\n".join(line for _, line in sorted(lines))
        try:
            reply = self._deliver(transport, data)
        except TooLarge:
            self._too_large(upload)
            raise
        self._spool.acknowledge(self._consumer, upload.epoch, upload.records[-1].sequence)
        self._most = min(2 * self._most, MOST_POST)
        self.link.uploads += 1
        self.link.refused += self._lines.take_refused()
        self._heed(reply)
        return True

    def _deliver(self, transport: Transport, data: bytes) -> protocol.Reply:
        """One post. Raises MasterError when the master did not plainly take it; its answer is still to be heeded."""
        kind, body = protocol.post(self._agent, self._secret, data, self._last)
        headers = {"Content-Type": kind, "User-Agent": protocol.USER_AGENT}
        status, fields, received = transport.perform("POST", self._url, headers, body, SLOW)
        if status == 413:
            raise TooLarge(f"{self._url}: the web server takes no post of {len(body)} bytes; raise its limit")
        reply = protocol.read_answer(status, fields, received, self._secret)
        if not reply.delivered:
            raise MasterError(f"{self._url}: {reply.problem}")
        self._posted = self.link.answered_at = time.monotonic()
        if reply.problem:
            log.warning("master: said=%r", reply.problem)
        return reply

    def _heed(self, reply: protocol.Reply) -> None:
        """Measure by a new configuration. One that cannot be read changes nothing, and what was delivered stays delivered."""
        if reply.dump is None:
            self._last = self._last or 1  # nothing to measure yet: a change will be newer than that
            self._assigned(None)
            return
        try:
            handed = read_assignment(reply.dump, self._agent)
        except WireError as error:
            if self.link.troubles.get("assignment") != str(error):
                log.warning("configuration not taken: error=%r", str(error))
            self.link.troubles["assignment"] = str(error)
            self._last = self._last or 1
            return
        self.link.troubles.pop("assignment", None)
        for target, why in list(handed.problems.items())[:20]:
            log.warning("target not measured as asked: target=%s reason=%r", target, why)
        self._last = handed.last
        self._assigned(PackedAssignment.read(messages.encode(handed.assignment)))

    def _too_large(self, upload: Upload) -> None:
        """Half as much next time; a single record that is too large for the web server cannot be helped."""
        if len(upload.records) > 1:
            self._most = max(sum(len(record.rounds) for record in upload.records) // 2, 1)
            self._spool.unpin(self._consumer)


class TooLarge(MasterError):
    """The web server before the master takes no body of this size."""


class Lines:
    """Rounds as result lines; knows which task is which target, and how many pings the master expects of it."""

    def __init__(self) -> None:
        self._version = ""
        #: Task -> path, pings, seconds from the begin of a round to its end.
        self._known: dict[int, tuple[str, int, float]] = {}
        self._refused = 0

    def learn(self, packed: PackedAssignment | None) -> None:
        """Know the tasks of this assignment, beside those of the ones before: their rounds may still be in the spool."""
        if packed is None or packed.version == self._version:
            return
        self._version = packed.version
        self._known |= _tasks(packed.unpack())

    def take_refused(self) -> int:
        """Rounds since the last call that no line can be made of."""
        refused, self._refused = self._refused, 0
        return refused

    def of(self, batch: RoundBatch) -> Iterator[tuple[tuple[int, str], bytes]]:
        """A line for each round, with what to sort it by. A round is dated to its end, as a slave's is."""
        for i in range(len(batch)):
            known = self._known.get(int(batch.task[i]))
            if known is None:
                self._refused += 1
                log.warning("round left out, the master no longer has its target: task=%d", batch.task[i])
                continue
            path, pings, lasts = known
            moment = math.ceil(int(batch.time[i]) / 1e9 + lasts)
            rtts = np.sort(batch.rtts[batch.offsets[i] : batch.offsets[i + 1]])
            yield (moment, path), line(path, moment, pings, rtts, Flag(int(batch.flags[i])))


def line(path: str, moment: int, pings: int, rtts: NDArray[np.float32], flags: Flag) -> bytes:
    """One round as the master's archive takes it: as many values as it has pings.

    A name that does not resolve is a total loss, as it is to a slave. Pings that this host itself left out are no loss: then, or
    when the number of pings has been changed meanwhile, the share of lost ones stays what it was.
    """
    if not len(rtts) and flags & Flag.UNRESOLVED:
        return results.write_lines([(path, moment, pings, [])])[0]
    if not len(rtts) or flags & Flag.CLOCK_STEPPED:
        return f"{path}\t{moment}\t{':'.join(['U'] * (pings + 3))}".encode()
    answered = rtts[~np.isnan(rtts)]
    if len(rtts) == pings:
        return results.write_lines([(path, moment, pings, answered.tolist())])[0]
    lost = round(pings * (1 - len(answered) / len(rtts)))
    count = min(len(answered), pings - lost)
    chosen = answered[np.linspace(0, len(answered) - 1, count).round().astype(int)] if count else answered[:0]
    values = results.values(pings, chosen.tolist()).split(":", 2)[2]
    return f"{path}\t{moment}\tU:{lost}:{values}".encode()


def _tasks(assignment: Assignment) -> dict[int, tuple[str, int, float]]:
    found = {}
    for task in assignment.tasks:
        probe = assignment.probes[task.probe]
        found[task.id] = (task.target, probe.pings, (probe.pings - 1) * probe.spacing + probe.timeout)
    return found
