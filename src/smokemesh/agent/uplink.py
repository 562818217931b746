"""One master as the agent sees it: rounds and heartbeats go up, the assignment comes down.

Two threads with a connection each, because the wait for a new assignment is long: `run` uploads and beats, `watch`
polls. Uploads follow the spool's order, the oldest first; one range is on its way at a time. Errors are waited out
with growing, random pauses; a refusal is said once in a line that tells what to do, and asked again slowly.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from smokemesh.agent.backoff import REFUSED, Backoff
from smokemesh.agent.channel import TOO_LARGE, Channel, Refused, TooLargeForProxy
from smokemesh.agent.packed import PackedAssignment
from smokemesh.agent.spool import Spool
from smokemesh.errors import AuthError, MasterError, SmokemeshError, WireError
from smokemesh.model.agent import Health
from smokemesh.wire import messages
from smokemesh.wire.messages import Heartbeat, HeartbeatReply, Upload, UploadReply

#: Seconds the master may hold a poll for the assignment before it answers "not changed".
POLL_WAIT: Final = 50.0
#: Seconds between two polls at least.
LEAST_POLL: Final = 0.5
#: While the master cannot be reached, look this often whether it answered another thread, seconds.
LOOK_AGAIN: Final = 0.5
#: Bytes of records in one upload: many a proxy takes bodies of up to 1 MB (nginx unless told otherwise).
MOST_UPLOAD: Final = 900_000
#: With `channel.TOO_LARGE` the answers that mean the body itself was not taken, and never will be.
BAD_BODY: Final = 400
#: The code of an answer that means the body came too slowly.
TOO_SLOW: Final = "too_slow"

log = logging.getLogger("smokemesh.uplink")


@dataclass(slots=True)
class Link:
    """How it stands with one master. Written by its threads, read by others."""

    #: Monotonic time of the latest verified answer; 0 for none yet.
    answered_at: float = 0.0
    #: Seconds the master's clock is ahead of ours, by the latest heartbeat.
    clock_offset: float = 0.0
    uploads: int = 0
    #: Uploads the master had already.
    duplicates: int = 0
    #: Rounds the master could not keep.
    refused: int = 0
    #: Heartbeat, upload, assignment -> what is wrong with it now.
    troubles: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Job:
    """Something done over and over: `action` returns the seconds until it is due again."""

    name: str
    action: Callable[[Channel], float]
    at: float = 0.0
    #: Monotonic time since which the master could not be reached for it; 0 when it could, or when it refused.
    cut_off: float = 0.0
    backoff: Backoff = field(default_factory=Backoff)

    def due(self, answered_at: float) -> float:
        """When to do it: a master that has answered another job since is there again, whatever the backoff says."""
        return 0.0 if 0.0 < self.cut_off < answered_at else self.at


class Uplink:
    """Talks to one master."""

    def __init__(
        self,
        channels: Callable[[threading.Event], Channel],
        spool: Spool,
        consumer: str,
        health: Callable[[], Health],
        assigned: Callable[[PackedAssignment | None], None],
        version: str = "",
    ) -> None:
        self._channels, self._spool, self._consumer = channels, spool, consumer
        self._health, self._assigned, self._version = health, assigned, version
        self._most_upload = MOST_UPLOAD
        #: The master has said since our start what we are to measure.
        self._confirmed = False
        self.heartbeat_interval, self.upload_interval = 10.0, 1.0
        self.link = Link()

    def run(self, stop: threading.Event) -> None:
        """Upload rounds and send heartbeats until `stop` is set."""
        self._work([_Job("heartbeat", self._beat), _Job("upload", self._upload_next)], stop)

    def watch(self, stop: threading.Event) -> None:
        """Keep the assignment up to date until `stop` is set."""
        self._work([_Job("assignment", self._poll)], stop)

    def farewell(self, patience: float) -> None:
        """After `run` ended: deliver the last rounds, if the master took the ones before; seconds it may take."""
        if self.link.troubles or not self.link.uploads:
            return
        late = threading.Event()
        timer = threading.Timer(patience, late.set)
        timer.daemon = True
        timer.start()
        channel = self._channels(late)
        try:
            while not late.is_set() and self._upload(channel, to_the_end=True):
                pass
        except SmokemeshError as error:
            log.info("last rounds stay in the spool: error=%r", str(error))
        finally:
            timer.cancel()
            channel.close()

    def _work(self, jobs: list["_Job"], stop: threading.Event) -> None:
        """Do each job when it is due, over one connection; what hinders one does not hold up the others."""
        channel = self._channels(stop)
        while not stop.is_set():
            for job in jobs:
                if time.monotonic() >= job.due(self.link.answered_at) and not stop.is_set():
                    job.at = time.monotonic() + self._attempt(job, channel, stop)
            pause = max(min(job.at for job in jobs) - time.monotonic(), 0.0)
            stop.wait(min(pause, LOOK_AGAIN) if any(job.cut_off for job in jobs) else pause)
        channel.close()

    def _attempt(self, job: "_Job", channel: Channel, stop: threading.Event) -> float:
        """Do a job once; seconds until it is due again."""
        try:
            wait = job.action(channel)
        except SmokemeshError as error:
            return 0.0 if stop.is_set() else self._failed(job, error)
        except Exception as error:  # the thread must outlive whatever is wrong with one request
            log.exception("%s failed", job.name)
            return self._failed(job, MasterError(f"{type(error).__name__}: {error}"))
        job.backoff.success()
        job.cut_off = 0.0
        self.link.answered_at = time.monotonic()
        if self.link.troubles.pop(job.name, None):
            log.info("%s works again", job.name)
        return wait

    def _beat(self, channel: Channel) -> float:
        sent = time.time()
        answer = channel.exchange("POST", messages.HEARTBEAT, messages.encode(Heartbeat(self._health())))
        reply = messages.decode(HeartbeatReply, answer.body)
        self.link.clock_offset = reply.clock / 1e9 - (sent + time.time()) / 2
        return self.heartbeat_interval

    def _upload_next(self, channel: Channel) -> float:
        """Send one range, if there is one; seconds until the next."""
        # A backlog, more than fits one upload, is sent without pauses.
        return 0.0 if self._upload(channel) else self.upload_interval

    def _upload(self, channel: Channel, *, to_the_end: bool = False) -> bool:
        """Send one range, if there is one; whether there may be many more, or with `to_the_end` any."""
        upload = self._spool.next_upload(self._consumer, self._most_upload)
        if upload is None:
            return False
        try:
            answer = channel.exchange("POST", messages.ROUNDS, messages.encode(upload))
        except (Refused, TooLargeForProxy) as error:
            self._not_taken(upload, error)
            raise
        reply = messages.decode(UploadReply, answer.body)
        first, last = upload.records[0].sequence, upload.records[-1].sequence
        if reply.epoch != upload.epoch or reply.stored < first:
            raise MasterError(f"{channel.base}: sent records {first} to {last}, it says it has {reply.stored}")
        self._spool.acknowledge(self._consumer, upload.epoch, min(reply.stored, last))
        self._most_upload = min(2 * self._most_upload, MOST_UPLOAD)
        self.link.uploads += 1
        self.link.duplicates += reply.duplicate
        if reply.refused:
            self.link.refused += reply.refused
            log.warning("rounds refused by the master: rounds=%d reason=%r", reply.refused, reply.reason)
        return to_the_end or sum(len(record.rounds) for record in upload.records) > self._most_upload // 2

    def _not_taken(self, upload: Upload, error: Refused | TooLargeForProxy) -> None:
        """A range refused for what it is must not block what comes behind it: in the end the one cause stands alone."""
        if isinstance(error, Refused) and not _about_body(error):
            return
        if len(upload.records) > 1:
            # An earlier attempt may have been stored without our knowing: the master leaves out what it holds.
            self._most_upload = max(sum(len(record.rounds) for record in upload.records) // 2, 1)
            self._spool.unpin(self._consumer)
        elif isinstance(error, Refused) and error.reason != TOO_SLOW:  # else it will be taken when things are better
            log.error(
                "record refused by the master and dropped: sequence=%d error=%r", upload.records[0].sequence, error
            )
            self._spool.discard(self._consumer, upload)

    def _poll(self, channel: Channel) -> float:
        """Ask for the assignment; from the second time on the master holds the question until it changes."""
        begun, wait = time.monotonic(), POLL_WAIT if self._confirmed else 0.0
        answer = channel.exchange(
            "GET",
            messages.ASSIGNMENT,
            extra={"Prefer": f"wait={wait:.0f}"},
            if_none_match=f'"{self._version}"' if self._version else "",
            wait=wait,
        )
        self._confirmed = True
        if answer.status == 304:
            self._assigned(None)
        else:
            assignment = PackedAssignment.read(answer.body)
            self._version = assignment.version
            self._assigned(assignment)
        # A master that does not hold the question (a proxy between, an older version) is not asked without pause.
        return max(0.0, LEAST_POLL - (time.monotonic() - begun))

    def _failed(self, job: "_Job", error: SmokemeshError) -> float:
        """Log an error when it is news; seconds until the next try."""
        if str(error) not in self.link.troubles.values():
            log.warning("%s failed: error=%r", job.name, str(error))
        self.link.troubles[job.name] = str(error)
        job.cut_off = 0.0 if isinstance(error, Refused | AuthError) else time.monotonic()
        if isinstance(error, AuthError) or (isinstance(error, Refused) and error.status in (401, 403)):
            return job.backoff.failure(REFUSED)
        return job.backoff.failure(error.retry_after if isinstance(error, Refused) else 0.0)


def _about_body(error: Refused) -> bool:
    """Whether the master will never take this body."""
    return error.status == TOO_LARGE or (error.status == BAD_BODY and error.reason == WireError.code)
