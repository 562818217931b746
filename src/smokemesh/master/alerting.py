"""Judges every stored round, in a thread of its own: keeps what it finds, and what people are told goes to the outbox.

Each round is judged once, also over restarts: the catalogue keeps how far each target was judged together with what came
of it, and what was stored since is read back from the store. States are written every few seconds, whatever fires at
once; what a crash takes is judged again, to the same end.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final

from smokemesh.analysis.alerts.observe import is_down
from smokemesh.errors import SmokemeshError
from smokemesh.master.alert_book import Book
from smokemesh.master.alert_words import firing
from smokemesh.master.metrics import Label
from smokemesh.model.rounds import RoundBatch
from smokemesh.model.series import SeriesQuestion
from smokemesh.settings.shape import MasterSettings
from smokemesh.storage.catalogue import Catalogue
from smokemesh.storage.incidents import Incidents
from smokemesh.storage.store import RoundStore

log = logging.getLogger(__name__)

SECOND: Final = 10**9
#: Seconds between looks at the clock's alerts and at what is held back, between writes of states, and after an error.
TICK: Final = 2.0
FLUSH: Final = 5.0
RETRY: Final = 2.0
#: Rounds waiting to be judged. Beyond it they are read back from the store instead.
MOST_QUEUED: Final = 200_000
#: Rounds read back from the store at once.
PIECE: Final = 5_000
#: Rounds may be dated ahead of our clock, seconds.
AHEAD: Final = 3600.0
#: Seconds between looks for incidents and silences so old that they are forgotten.
SWEEP: Final = 3600.0

_Message = tuple[str, RoundBatch] | MasterSettings


class Alerting:
    """The judge of a running master. An `ingest.Audience`."""

    def __init__(
        self,
        store: RoundStore,
        catalogue: Catalogue,
        settings: MasterSettings,
        *,
        variants: Callable[[], Mapping[int, Label]] = dict,
        wake: Callable[[], None] = lambda: None,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        """`wake` is called when notices were written to the outbox."""
        self._store, self._incidents = store, Incidents(catalogue)
        self._settings, self._wake, self._clock = settings, wake, clock
        self.book = Book(variants)
        self._changed = threading.Condition()
        # Guarded by _changed:
        self._messages: deque[_Message] = deque()
        self._queued = 0
        self._closing = False
        #: The store holds rounds that were not queued. Until they are read back no round is: a later one judged before
        #: them would make them stale.
        self._behind = True
        #: Of each task and agent the time of the oldest round not queued.
        self._missed: dict[tuple[int, str], int] = {}
        self._begun = False
        self._flushed = self._ticked = 0
        self._swept: int | None = None
        self._thread: threading.Thread | None = None

    def publish(self, agent: str, batch: RoundBatch) -> None:
        """These rounds are in the store now. Safe from any thread, never waits."""
        if not len(batch):
            return
        with self._changed:
            self._behind = self._behind or self._queued + len(batch) > MOST_QUEUED
            if self._behind:
                for task, begun in zip(batch.task.tolist(), batch.time.tolist(), strict=True):
                    self._missed[task, agent] = min(begun, self._missed.get((task, agent), begun))
                return
            self._queued += len(batch)
            self._messages.append((agent, batch))
            self._changed.notify()

    def configure(self, settings: MasterSettings) -> None:
        """Judge by these settings from now on. Any thread may call."""
        with self._changed:
            self._messages.append(settings)
            self._changed.notify()

    def start(self) -> None:
        """Begin to judge."""
        self._thread = threading.Thread(target=self._run, name="alerting", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Judge what waits, keep it and end. Blocks."""
        if self._thread is not None:
            with self._changed:
                self._closing = True
                self._changed.notify()
            self._thread.join()
            self._thread = None

    def step(self, wait: float = 0.0) -> bool:
        """Judge what waits, or what comes within `wait` seconds. False when it is to end. Raises StoreError."""
        if not self._begun:
            self._begin()
        going = self._await(wait)
        # Whatever may fail comes before anything is taken from the queue.
        self.book.hush.silences = self._incidents.silences(self._clock())
        if self._behind:
            self._catch_up(self._clock())
        self._take_messages()
        now = self._clock()
        if now - self._ticked >= TICK * SECOND or not going:
            self._ticked = now
            self.book.tick(now)
        if self.book.urgent or now - self._flushed >= FLUSH * SECOND or not going:
            self.keep(now)
        self._sweep(now)
        return going

    def keep(self, now: int) -> None:
        """Write down what was found since the last time, all or nothing."""
        findings = self.book.findings()
        self._flushed = now
        if not (findings.states or findings.gone or findings.cases or findings.notices):
            return
        self._incidents.keep(findings, now)
        notices = [notice for _, notice in findings.notices]
        self.book.kept()
        for notice in notices:
            log.info(*firing(notice))
        if notices:
            self._wake()

    def _run(self) -> None:
        going = True
        while going:
            last = self._closing
            try:
                going = self.step(TICK)
                continue
            except SmokemeshError as error:
                # What was found stays in memory and is written the next time.
                log.warning("alerts not judged, tried again soon: reason=%r", str(error))
            except Exception:
                log.exception("alerts: internal error")
            # What cannot be kept at the end is judged again by the next run.
            going = not last
            with self._changed:
                self._changed.wait_for(lambda: self._closing, RETRY)

    def _begin(self) -> None:
        """Go on where the last run ended."""
        now = self._clock()
        self.book = Book(self.book.variants)
        self.book.configure(self._settings, now)
        self.book.restore(self._incidents.states(), self._incidents.open(), now)
        self._report()
        # What is expected from now on is known from now on, so that a crash before the first round loses none.
        self.keep(now)
        self._begun = True

    def _await(self, wait: float) -> bool:
        """Until something waits, `wait` seconds at most. False when it is to end."""
        with self._changed:
            self._changed.wait_for(lambda: self._messages or self._closing or self._behind, wait)
            return not self._closing

    def _take_messages(self) -> None:
        """All that waits."""
        while True:
            with self._changed:
                if not self._messages:
                    return
                message = self._messages.popleft()
                if not isinstance(message, MasterSettings):
                    self._queued -= len(message[1])
            try:
                self._take(message)
            except Exception:
                # Some of its rounds may be judged and others not; the store has them all.
                with self._changed:
                    self._behind = True
                raise

    def _take(self, message: _Message) -> None:
        now = self._clock()
        if isinstance(message, MasterSettings):
            self._settings = message
            self.book.configure(message, now)
            self._report()
            self.book.urgent = True
            return
        agent, batch = message
        self.book.take(agent, batch, now)

    def _report(self) -> None:
        for name, reason in self.book.unusable.items():
            log.error("alert cannot be judged: alert=%s reason=%r", name, reason)

    def _catch_up(self, now: int) -> None:
        """Judge what is in the store and was not judged yet."""
        with self._changed:
            # From here on rounds are queued again: the store has all that were not.
            self._behind, missed, self._missed = False, self._missed, {}
        try:
            self._read_back(missed, now)
        except BaseException:
            with self._changed:
                self._behind = True
                for pair, begun in missed.items():
                    self._missed[pair] = min(begun, self._missed.get(pair, begun))
            raise

    def _read_back(self, missed: Mapping[tuple[int, str], int], now: int) -> None:
        """The rounds of each pair since it was judged; of one not known yet, since its first that was missed."""
        judged, watched = self.book.judged(missed), self.book.watched()
        since = min(judged.values(), default=now)
        found = self._store.latest(sorted(watched), since, now + round(AHEAD * SECOND))
        # How parents are comes first, whatever the order: it decides who is told of their children.
        for newest in found:
            down = is_down(newest.sent, newest.received, newest.flags)
            self.book.hush.saw(newest.task, newest.agent, newest.time, newest.step, down)
        for newest in found:
            begin = judged.get((newest.task, newest.agent))
            if begin is None or newest.time <= begin:
                continue
            try:
                self._replay(newest.task, newest.agent, begin, now)
            except SmokemeshError:
                raise
            except Exception:
                # Nobody else's rounds are kept waiting for what one task's meet.
                log.exception("alerts: internal error: task=%s agent=%s", newest.task, newest.agent)

    def _sweep(self, now: int) -> None:
        """Forget what is too old, once in an hour."""
        if self._swept is None or now - self._swept >= SWEEP * SECOND:
            self._incidents.forget(now)
            self._swept = now

    def _replay(self, task: int, agent: str, begin: int, now: int) -> None:
        """The rounds of one task after `begin`, piece by piece."""
        end = now + round(AHEAD * SECOND)
        while True:
            question = SeriesQuestion(task=task, agent=agent, begin=begin + 1, end=end, points=PIECE)
            batch = self._store.rounds(question)
            if not len(batch):
                return
            self.book.take(agent, batch, now)
            begin = int(batch.time[-1])
