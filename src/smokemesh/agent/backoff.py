"""How long to wait before trying again: full jitter, so that many agents do not come back at the same moment."""

import random
from typing import Final

LEAST: Final = 0.5
MOST: Final = 30.0
#: After a refusal a person must act first: no use in asking often.
REFUSED: Final = 15.0


class Backoff:
    """Waits that grow with each failure and begin anew with each success. Seconds."""

    def __init__(self, least: float | None = None, most: float | None = None) -> None:
        self._least, self._most = least or LEAST, most or MOST
        self._failures = 0

    def success(self) -> None:
        """The next failure is met with the shortest wait."""
        self._failures = 0

    def failure(self, at_least: float = 0.0) -> float:
        """The wait after this failure: anything up to the bound, which doubles each time; never below `at_least`."""
        bound = min(self._most, self._least * 2.0 ** min(self._failures, 16))
        self._failures += 1
        return at_least + random.uniform(0.0, max(bound, at_least))
