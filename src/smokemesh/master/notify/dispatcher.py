"""The dispatcher: takes what is due from the outbox and sends it, each receiver in a thread of its own while it is busy.

A receiver gets one notice at a time, in order; a slow one holds up nobody else. What fails is tried again, after waits
that double and are drawn at random below their bound, until it is given up. Runs beside the master's event loop.
"""

import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from smokemesh.errors import SmokemeshError
from smokemesh.master.notify import alertmanager
from smokemesh.master.notify.routes import route
from smokemesh.master.notify.sending import NotDelivered, Sending
from smokemesh.model.alert import Alerting, Delivery
from smokemesh.storage.outbox import Outbox

log = logging.getLogger(__name__)

NANO: Final = 10**9
#: Seconds: a claim holds longer than any sender takes; other masters take over what is left after it.
LEASE: Final = 300.0
#: Seconds after which the outbox is looked at though nobody woke us: another master may have written.
LOOK: Final = 5.0
#: Finished deliveries are kept so many seconds.
KEEP: Final = 90 * 86400.0
HOUR: Final = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How hard is tried. Seconds."""

    least: float = 2.0
    most: float = 900.0
    #: After so long a notice is no news: it is given up.
    patience: float = 86400.0
    #: Receivers served at the same time.
    lanes: int = 64

    def wait(self, attempts: int, asked: float = 0.0) -> float:
        """The wait after so many attempts: anything up to a bound that doubles; never less than was asked for."""
        bound = min(self.most, self.least * 2.0 ** min(attempts - 1, 30))
        return asked + random.uniform(0.0, bound)


class Dispatcher:
    """Sends what the outbox holds. `start`, then `wake` whenever something was written."""

    def __init__(
        self,
        outbox: Outbox,
        alerting: Callable[[], Alerting],
        *,
        pace: Pace | None = None,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self.outbox, self._alerting, self._pace, self._clock = outbox, alerting, pace or Pace(), clock
        self._turn = threading.Condition()
        self._busy: dict[str, threading.Thread] = {}
        self._woken = False
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        #: When what fires was last told to each Alertmanager, and when old deliveries were last dropped; monotonic.
        self._repeated: dict[str, float] = {}
        self._swept = 0.0

    def start(self) -> None:
        """Go on where the last run ended."""
        self.outbox.resume(self._clock())
        self._thread = threading.Thread(target=self._run, name="notify", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Something was written. Any thread may call."""
        with self._turn:
            self._woken = True
            self._turn.notify_all()

    def close(self, grace: float = 3.0) -> None:
        """Take nothing new and let what is being sent end. What does not is sent again by the next run."""
        self._stop.set()
        self.wake()
        deadline = time.monotonic() + grace
        threads = [self._thread, *self._busy.values()] if self._thread else []
        for thread in threads:
            if thread is not None:
                thread.join(max(0.0, deadline - time.monotonic()))

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                wait = self._round()
            except SmokemeshError as error:
                log.warning("outbox does not answer, asked again soon: reason=%r", str(error))
                wait = LOOK
            except Exception:
                log.exception("notices: internal error")
                wait = LOOK
            with self._turn:
                if not self._woken:
                    self._turn.wait(wait)
                self._woken = False

    def _round(self) -> float:
        """Hand out everything that is due; seconds until there is more to do."""
        while not self._stop.is_set() and len(self._busy) < self._pace.lanes:
            claimed = self.outbox.claim(self._clock(), LEASE, self._taken())
            if claimed is None:
                break
            self._lane(claimed.receiver, partial(self._deliver, claimed))
        self._repeat()
        self._sweep()
        due = self.outbox.next_due(self._taken())
        return LOOK if due is None else max(0.02, min(LOOK, (due - self._clock()) / NANO))

    def _taken(self) -> set[str]:
        with self._turn:
            return set(self._busy)

    def _lane(self, receiver: str, work: Callable[[], None]) -> None:
        """Do it in a thread of this receiver's."""

        def run() -> None:
            try:
                work()
            except SmokemeshError as error:
                log.warning("delivery not recorded, it is repeated: receiver=%s reason=%r", receiver, str(error))
            except Exception:
                log.exception("notices: internal error: receiver=%s", receiver)
            finally:
                with self._turn:
                    self._busy.pop(receiver, None)
                self.wake()

        thread = threading.Thread(target=run, name="notify-lane", daemon=True)
        with self._turn:
            self._busy[receiver] = thread
        thread.start()

    def _deliver(self, delivery: Delivery) -> None:
        """One try."""
        try:
            answer = self._send(delivery)
        except NotDelivered as error:
            self._not_delivered(delivery, error)
        except Exception as error:
            log.exception("notices: internal error: receiver=%s", delivery.receiver)
            self._not_delivered(delivery, NotDelivered(f"internal error: {type(error).__name__}; the log says more"))
        else:
            self.outbox.finish(delivery.id, self._clock(), answer)
            log.info(
                "notice delivered: incident=%d what=%s receiver=%r attempts=%d",
                delivery.incident, delivery.what, delivery.receiver, delivery.attempts,
            )  # fmt: skip

    def _send(self, delivery: Delivery) -> str:
        alerting = self._alerting()
        sender, receiver = route(delivery.receiver, alerting)
        return sender(
            Sending(
                notice=self.outbox.notice(delivery.id), to=delivery.receiver, receiver=receiver, alerting=alerting,
                key=delivery.key, now=self._clock(), stop=self._stop,
            )
        )  # fmt: skip

    def _not_delivered(self, delivery: Delivery, error: NotDelivered) -> None:
        """Try again later, or give it up."""
        now = self._clock()
        at = now + round(self._pace.wait(delivery.attempts, error.wait) * NANO)
        old = at > delivery.created + round(self._pace.patience * NANO)
        told = (delivery.incident, delivery.what, delivery.receiver, delivery.attempts, str(error))
        if error.final or old:
            reason = str(error) if error.final else f"given up after {delivery.attempts} attempts: {error}"
            self.outbox.fail(delivery.id, now, reason, error.output)
            log.error("notice given up: incident=%d what=%s receiver=%r attempts=%d reason=%r", *told)
        else:
            self.outbox.retry(delivery.id, at, str(error), error.left, error.output)
            log.warning(
                "notice not delivered, tried again: incident=%d what=%s receiver=%r attempts=%d reason=%r", *told
            )

    def _repeat(self) -> None:
        """Alertmanagers are told again what still fires."""
        alerting, now = self._alerting(), time.monotonic()
        for name, receiver in alerting.receivers.items():
            if receiver.type != "alertmanager" or name in self._taken():
                continue
            if now - self._repeated.setdefault(name, now) >= alertmanager.REPEAT:
                self._repeated[name] = now
                self._lane(name, partial(self._tell_again, name, alerting))

    def _tell_again(self, name: str, alerting: Alerting) -> None:
        notices = self.outbox.firing(name)
        if not notices:
            return
        sending = Sending(
            notice=notices[-1], to=name, receiver=alerting.receivers[name], alerting=alerting, key="",
            now=self._clock(), stop=self._stop,
        )  # fmt: skip
        try:
            alertmanager.post_all(sending, notices)
        except NotDelivered as error:
            log.warning("what still fires was not told again: receiver=%s reason=%r", name, str(error))

    def _sweep(self) -> None:
        """Drop old deliveries, once in an hour."""
        if time.monotonic() - self._swept > HOUR:
            self._swept = time.monotonic()
            self.outbox.forget(self._clock() - round(KEEP * NANO))
