"""SmokePing's slaves: who they are, what each is told, and what becomes of what it brings.

A slave is told of a new configuration only when its own work changed, because a 2.7.3 slave dies of it. It is answered with
200 only when its rounds are stored, or could never be. Lives in the event loop; what takes long runs in threads.
"""

import asyncio
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from smokemesh.errors import HostError, SmokemeshError
from smokemesh.master.dynamic import Dynamic
from smokemesh.master.ingest import MOST_AHEAD
from smokemesh.master.quiet import Quiet
from smokemesh.master.slave_ingest import SlaveIngest
from smokemesh.master.slave_secrets import SecretsFile
from smokemesh.model.agent import Health
from smokemesh.model.assignment import task_id
from smokemesh.model.rounds import Flag, RoundBatch
from smokemesh.settings.shape import MasterSettings
from smokemesh.smokeping import protocol
from smokemesh.smokeping.protocol import Answer, Call
from smokemesh.smokeping.results import Lines, read_lines
from smokemesh.smokeping.slave_config import SlaveView, Source, slave_view
from smokemesh.storage.slave_book import PastView, SlaveBook

log = logging.getLogger(__name__)

#: Posts parsed at the same time.
WORKERS: Final = 2
SECOND: Final = 10**9
#: The last second that nanoseconds in 64 bits can tell.
_LAST: Final = 2**63 // SECOND - 1
Result = TypeVar("Result")
#: Called with name, health and the address it came from.
Heard = Callable[[str, Health, str, int], None]


@dataclass(slots=True)
class Standing:
    """One slave, under one configuration."""

    view: SlaveView
    #: What it was told to measure, the newest first: the present view and what was before.
    views: Sequence[PastView]

    @property
    def last(self) -> int:
        """`__last` of what is in force."""
        return self.views[0].last


@dataclass(slots=True)
class Record:
    """What is known of a slave since the master started."""

    began: int
    rounds: int = 0
    refused: int = 0
    #: Its clock minus ours, nanoseconds.
    offset: int = 0
    problem: str = ""
    refusals: Counter[str] = field(default_factory=Counter)


class Slaves:
    """All slaves of a master."""

    def __init__(
        self,
        settings: Callable[[], MasterSettings],
        secret_of: Callable[[str], bytes | None],
        book: SlaveBook,
        dynamic: Dynamic,
        ingest: SlaveIngest,
        heard: Heard,
        oldest: Callable[[], float],
    ) -> None:
        self._settings, self._secret_of, self._book = settings, secret_of, book
        self._dynamic, self._ingest, self._heard, self._oldest = dynamic, ingest, heard, oldest
        self._secrets = SecretsFile("")
        self._threads = ThreadPoolExecutor(WORKERS, thread_name_prefix="slave-posts")
        self._standings: dict[str, Standing] = {}
        self._turns: dict[str, asyncio.Lock] = {}
        #: What the standings were made from.
        self._basis: tuple[object, object] = (None, None)
        self._quiet = Quiet()
        self.records: dict[str, Record] = {}

    async def answer(self, call: Call, peer: str, program: str, now: int) -> Answer:
        """A slave's call, judged in the order in which SmokePing's master does."""
        name = call.slave
        try:
            secret = self._secret(name)
        except HostError as error:
            self._complain(name, peer, f"secrets file {self._secrets.path}: {error}")
            return protocol.secrets_unreadable(self._secrets.path, str(error))
        refusal = self._refusal(call, secret)
        if refusal is None and secret is not None:
            if await self._aside(lambda: protocol.is_genuine(secret, call.data, call.key)):
                return await self._serve(call, secret, peer, program, now)
            refusal = protocol.wrong_key(name, call.key)
        assert refusal is not None
        self._complain(name, peer, refusal.body.decode("utf-8", "replace").strip())
        # To a slave 200 means that its rounds are delivered. These are not: it shall keep them until the secret is put right.
        return replace(refusal, status=403) if call.data else refusal

    def close(self) -> None:
        """Finish what is under way."""
        self._threads.shutdown(wait=True)
        self._ingest.close()

    def _secret(self, name: str) -> bytes | None:
        """Of SmokePing's file, or of the files our own agents have."""
        path = self._settings().smokeping.secrets_file
        if path != self._secrets.path:
            self._secrets = SecretsFile(path)
        return self._secrets.find(name) or self._secret_of(name)

    def _refusal(self, call: Call, secret: bytes | None) -> Answer | None:
        if secret is None:
            return protocol.no_secret(call.slave)
        if call.protocol != protocol.VERSION:
            return protocol.wrong_protocol(call.slave, call.protocol)
        if call.slave not in self._settings().agents:
            return protocol.unknown_slave(call.slave)
        return None

    async def _serve(self, call: Call, secret: bytes, peer: str, program: str, now: int) -> Answer:
        """A genuine call: store, then tell of the configuration."""
        record = self.records.setdefault(call.slave, Record(began=now))
        try:
            standing = await self._standing(call.slave)
            if call.data:
                await self._take(call, standing, record, now)
        except SmokemeshError as error:
            self._complain(call.slave, peer, f"not stored, the slave keeps its rounds: {error}")
            return protocol.not_stored(str(error))
        finally:
            self._heard(call.slave, _health(record, standing_of(self._standings, call.slave), program, now), peer, now)
        if call.config_time >= standing.last:
            return protocol.stored()
        if standing.view.content is None:
            return protocol.nothing_assigned(call.slave)
        log.info("configuration handed to a slave: slave=%s targets=%d", call.slave, len(standing.views[0].tasks))
        view, last = standing.view, standing.last
        return await self._aside(lambda: protocol.configuration(view.dump(last), secret))

    async def _take(self, call: Call, standing: Standing, record: Record, now: int) -> None:
        lines, batch, reasons = await self._aside(lambda: self._read(call, standing, now))
        if len(lines):
            # A line is written right after its round, to the second.
            record.offset = min(int(lines.time.max()), _LAST) * SECOND + SECOND // 2 - now
        record.problem = "; ".join(reasons)[:300]
        for reason in reasons:
            if self._quiet.speak((call.slave, reason[:40]), time.monotonic()):
                log.warning("rounds of a slave refused: slave=%s reason=%r", call.slave, reason)
        if len(batch):
            record.rounds += await self._ingest.take(call.slave, batch, now)
        record.refused += len(lines) - len(batch) + lines.refusals.total

    def _read(self, call: Call, standing: Standing, now: int) -> tuple[Lines, RoundBatch, list[str]]:
        """In a thread: what can be kept of a post, and a sentence for each reason why the rest cannot."""
        lines = read_lines(call.data)
        known, tasks, steps = judge(lines, standing.views, call.config_time)
        # What is dated later is refused below, and must not overflow here.
        times = np.minimum(lines.time, _LAST) * SECOND
        verdicts = (
            (known, "of targets it is not to measure"),
            (times <= now + MOST_AHEAD, "dated ahead of the master's clock: check the slave's"),
            (times >= now - self._oldest() * 1e9, "older than any level is kept"),
        )
        keep = np.ones(len(lines), bool)
        for good, reason in verdicts:
            bad = keep & ~good
            if bad.any():
                at = int(np.argmax(bad))
                lines.refusals.add(reason, f"{lines.paths[lines.path[at]]} {lines.time[at]}", int(bad.sum()))
            keep &= good
        batch = RoundBatch.from_columns(len(lines), {
            "task": tasks, "time": times, "step": steps, "sent": lines.sent,
            "received": lines.received, "flags": np.full(len(lines), Flag.SORTED), "rtts": lines.rtts,
        })  # fmt: skip
        return lines, batch if keep.all() else batch.where(keep), lines.refusals.texts()

    async def _standing(self, name: str) -> Standing:
        """The slave's view of the configuration in force; made when it first asks."""
        basis = (self._settings(), self._dynamic.addresses)
        if basis[0] is not self._basis[0] or basis[1] is not self._basis[1]:
            self._basis, self._standings = basis, {}
        found = self._standings.get(name)
        if found is not None:
            return found
        async with self._turns.setdefault(name, asyncio.Lock()):
            found = self._standings.get(name)
            if found is None:
                found = await self._aside(lambda: self._make(name, *basis))
                # The configuration may have changed meanwhile; then it is made again for the next call.
                if self._basis == basis:
                    self._standings[name] = found
        return found

    def _make(self, name: str, settings: MasterSettings, addresses: Mapping[str, str]) -> Standing:
        """In a thread."""
        view = view_of(name, settings, addresses)
        now = time.time_ns() // SECOND
        last = self._book.last(name, view.digest, _first_time(settings, now), now)
        for reason in view.left_out:
            log.warning("a slave cannot measure it: slave=%s target=%s", name, reason)
        probes = {target.path: target.probe for target in settings.targets}
        tasks = {path: (task_id(path, probes[path]), step) for path, step in view.steps.items() if path in probes}
        return Standing(view, self._book.views(name, PastView(last, tasks)))

    def _complain(self, name: str, peer: str, why: str) -> None:
        if self._quiet.speak((name[:80], peer, why[:80]), time.monotonic()):
            log.warning("slave refused: slave=%r peer=%s reason=%r", name[:80], peer, why[:300])

    async def _aside(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


def judge(
    lines: Lines, views: Sequence[PastView], config_time: int
) -> tuple[NDArray[np.bool_], NDArray[np.uint64], NDArray[np.float32]]:
    """Of each line: was the slave told to measure it, as which task, and with which step in seconds?

    A slave keeps its lines over an outage and over a restart with a new configuration. So what counts is the view it had
    then: none newer than the one it says it has, nor newer than the line. What that one does not have is looked for in
    all others, the newest first.
    """
    places = [[view.tasks.get(path, (0, 0.0)) for path in lines.paths or ("",)] for view in views]
    tasks = np.array([[task for task, _ in row] for row in places], np.uint64)
    # Whatever an override says, within the bounds that every round has.
    steps = np.clip(np.array([[step for _, step in row] for row in places], np.float32), 1.0, 366 * 86400.0)
    has = np.array([[path in view.tasks for path in lines.paths or ("",)] for view in views])
    ages = np.array([-view.last for view in views], np.int64)
    had = np.minimum(lines.time, min(config_time, _LAST)) if config_time > 0 else lines.time
    # The newest view that is no newer; the oldest there is for what is older than all.
    place = np.minimum(np.searchsorted(ages, -had), len(views) - 1)
    place = np.where(has[place, lines.path], place, has.argmax(axis=0)[lines.path])
    return has[place, lines.path], tasks[place, lines.path], steps[place, lines.path]


def view_of(slave: str, settings: MasterSettings, addresses: Mapping[str, str]) -> SlaveView:
    """What a slave gets of these settings."""
    source = Source(
        tree=settings.tree,
        probes=settings.probes,
        originals=settings.smokeping.originals,
        defaults=settings.defaults,
    )
    return slave_view(slave, source, settings.smokeping.overrides.get(slave), addresses)


def standing_of(standings: Mapping[str, Standing], name: str) -> Standing | None:
    """What is in force for a slave, None when it is not known yet."""
    return standings.get(name)


def _first_time(settings: MasterSettings, now: int) -> int:
    """`__last` of a slave that is new here. On SmokePing's own file it is what SmokePing's master says, the time the
    main file was written: so a slave that comes over from there goes on undisturbed."""
    if settings.smokeping.originals and settings.files:
        try:
            return min(int(os.stat(settings.files[0]).st_mtime), now)
        except OSError:
            return now
    return now


def _health(record: Record, standing: Standing | None, program: str, now: int) -> Health:
    """What an agent would say of itself, as far as it can be seen from here."""
    left_out = standing.view.left_out if standing else ()
    problems = [record.problem] if record.problem else []
    if left_out:
        problems.append(f"{len(left_out)} targets it cannot measure, the first {left_out[0]}")
    return Health(
        version=program or protocol.USER_AGENT,
        clock=now + record.offset,
        uptime=(now - record.began) / SECOND,
        cpu=0.0,
        rss=0,
        assignment=str(standing.last) if standing else "",
        tasks=len(standing.views[0].tasks) if standing else 0,
        pings_per_second=0.0,
        rounds=record.rounds,
        overruns=0,
        own_drops=0,
        limited=record.refused,
        spool_rounds=0,
        spool_bytes=0,
        spool_oldest=0,
        spool_dropped=0,
        last_error="; ".join(problems)[:400],
        engines="SmokePing",
    )
