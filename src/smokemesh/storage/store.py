"""What the rest of the program may ask of the store of rounds. `storage.rounds` keeps the promise on ClickHouse.

Calls block; the master makes them from worker threads. All raise StoreError when the database cannot answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from smokemesh.model.rounds import RoundBatch
from smokemesh.model.series import Latest, Series, SeriesQuestion
from smokemesh.storage.ranking import Standing


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelUsage:
    """How much one level holds (a key of `model.series.LEVELS`)."""

    level: str
    rows: int
    #: Bytes on disk.
    bytes: int
    #: First and last time held, nanoseconds UTC; 0 when empty.
    first: int
    last: int


class RoundStore(Protocol):
    """Where rounds are kept: raw, and rolled up with mergeable sketches."""

    def insert(self, agent: str, batch: RoundBatch, token: str) -> None:
        """Keep the rounds, in raw and in every rollup. The same token again adds nothing, also after a crash between."""

    def insert_together(self, parts: Sequence[tuple[str, RoundBatch]], token: str) -> None:
        """Keep the rounds of several agents (each named once, one at least) at the price of one insert, as `insert`."""

    def held(self, agent: str, batch: RoundBatch) -> NDArray[np.bool_]:
        """For each round of the batch: does raw hold one of this agent with the same task and time already?"""

    def raw_since(self, now: int) -> int:
        """Rounds before this time (nanoseconds UTC, as `now`) may be gone from raw, or soon: `held` cannot be relied on."""

    def series(self, questions: Sequence[SeriesQuestion]) -> list[Series]:
        """The answers, in the order asked. No rounds in the range gives an empty Series, not an error."""

    def latest(self, tasks: Sequence[int], since: int, now: int | None = None) -> list[Latest]:
        """The newest round of each (task, agent) that has one at or after `since` (nanoseconds UTC).

        A round that begins more than a step after `now` (the clock, when not given) hides no other: some clock is
        wrong, and the newest round before it is told.
        """

    def ranking(self, begin: int, end: int, *, newest: bool = False, most: int = 0) -> Standing:
        """Every (task, agent) with rounds in the range (nanoseconds UTC), or with its newest round alone.

        Ranges longer than a quarter of an hour are counted by whole bins of five minutes, longer ones that lie far
        back by coarser bins. With `most`, those that are not among the first `most` by any figure may lack a median.
        """

    def rounds(self, question: SeriesQuestion) -> RoundBatch:
        """The raw rounds of the range in order of time, every RTT, at most `points` of them."""

    def usage(self) -> list[LevelUsage]:
        """What each level holds."""

    def ping(self) -> None:
        """Answer, or raise StoreError."""

    def close(self) -> None:
        """Flush and let go of the database."""
