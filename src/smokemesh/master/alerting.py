"""Judges every stored round, in a thread of its own: keeps what it finds, and what people are told goes to the outbox.

Each round is judged once, also over restarts: the catalogue keeps how far each target was judged together with what came
of it, and what was stored since is read back from the store. States are written every few seconds, whatever fires at
once; what a crash takes is judged again, to the same end.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

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

_Message = tuple[str, RoundBatch] | MasterSettings | None


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
        self._messages: queue.SimpleQueue[_Message] = queue.SimpleQueue()
        self._queued = 0
        self._counting = threading.Lock()
        #: Rounds were not taken into the queue: the store has them.
        self._behind = True
        self._begun = False
        self._flushed = self._ticked = 0
        self._thread: threading.Thread | None = None

    def publish(self, agent: str, batch: RoundBatch) -> None:
        """These rounds are in the store now. Safe from any thread, never waits."""
        with self._counting:
            if self._queued + len(batch) > MOST_QUEUED:
                self._behind = True
                return
            self._queued += len(batch)
        self._messages.put((agent, batch))

    def configure(self, settings: MasterSettings) -> None:
        """Judge by these settings from now on. Any thread may call."""
        self._messages.put(settings)

    def start(self) -> None:
        """Begin to judge."""
        self._thread = threading.Thread(target=self._run, name="alerting", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Judge what waits, keep it and end. Blocks."""
        if self._thread is not None:
            self._messages.put(None)
            self._thread.join()
            self._thread = None

    def step(self, wait: float = 0.0) -> bool:
        """Judge what waits, or what comes within `wait` seconds. False when it is to end. Raises StoreError."""
        if not self._begun:
            self._begin()
        going = self._take_messages(wait)
        now = self._clock()
        if self._behind:
            self._catch_up(now)
        if now - self._ticked >= TICK * SECOND or not going:
            self._ticked = now
            self.book.tick(now)
        if self.book.urgent or now - self._flushed >= FLUSH * SECOND or not going:
            self.keep(now)
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
            try:
                going = self.step(TICK)
            except SmokemeshError as error:
                # What was found stays in memory and is written the next time.
                log.warning("alerts not judged, tried again soon: reason=%r", str(error))
                going = not self._ending(RETRY)
            except Exception:
                log.exception("alerts: internal error")
                going = not self._ending(RETRY)

    def _ending(self, patience: float) -> bool:
        """Wait; True when it is to end meanwhile."""
        try:
            message = self._messages.get(timeout=patience)
        except queue.Empty:
            return False
        if message is not None:
            self._take(message)
        return message is None

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

    def _take_messages(self, wait: float) -> bool:
        """All that waits. False when the end was among it."""
        refreshed = False
        while True:
            try:
                message = self._messages.get(timeout=wait) if wait and not refreshed else self._messages.get_nowait()
            except queue.Empty:
                if not refreshed:
                    self._refresh()
                return True
            if not refreshed:
                self._refresh()
                refreshed = True
            if message is None:
                return False
            self._take(message)

    def _refresh(self) -> None:
        self.book.hush.silences = self._incidents.silences(self._clock())

    def _take(self, message: tuple[str, RoundBatch] | MasterSettings) -> None:
        now = self._clock()
        if isinstance(message, MasterSettings):
            self._settings = message
            self.book.configure(message, now)
            self._report()
            self.book.urgent = True
            return
        agent, batch = message
        with self._counting:
            self._queued -= len(batch)
        self.book.take(agent, batch, now)

    def _report(self) -> None:
        for name, reason in self.book.unusable.items():
            log.error("alert cannot be judged: alert=%s reason=%r", name, reason)

    def _catch_up(self, now: int) -> None:
        """Judge what is in the store and was not judged yet."""
        with self._counting:
            self._behind = False
        judged = {(task, agent): at for task, agent, at in self.book.pairs()}
        watched = self.book.watched()
        if not watched:
            return
        since = min(judged.values(), default=now)
        try:
            for newest in self._store.latest(sorted(watched), since, now):
                self.book.hush.saw(newest.task, newest.agent, newest.time, newest.step, newest.received == 0)
                begin = judged.get((newest.task, newest.agent))
                if begin is not None and newest.time > begin:
                    self._replay(newest.task, newest.agent, begin, now)
        except SmokemeshError:
            with self._counting:
                self._behind = True
            raise

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
