"""Tells when two hosts work under one agent's name: their uploads alternate between epochs.

Each start of an agent begins an epoch, and what is left of old ones is delivered first. So epochs follow one another,
and one that comes back belongs to a copy: of the spool, which passes, or of the host, which goes on.
"""

import threading
from collections import Counter, deque
from collections.abc import Mapping
from typing import Final

#: Epochs remembered of each agent.
_REMEMBERED: Final = 4
#: So many returns within so many nanoseconds are more than a copy of a spool that was brought back once.
_ENOUGH: Final = 3
_WHILE: Final = 24 * 3600 * 10**9
#: Nanoseconds in which it is said once.
_QUIET: Final = 60 * 10**9


class Rivals:
    """The epochs of each agent in the order they came. Safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        #: Agent -> epochs, the newest last.
        self._epochs: dict[str, deque[str]] = {}
        self._times: dict[str, deque[int]] = {}
        self._returns: Counter[str] = Counter()

    def saw(self, agent: str, epoch: str, now: int) -> bool:
        """An upload came. Tells when it must be said that its epoch is one that another had taken the place of."""
        with self._lock:
            epochs = self._epochs.setdefault(agent, deque(maxlen=_REMEMBERED))
            if epochs and epochs[-1] == epoch:
                return False
            back = epoch in epochs
            if back:
                epochs.remove(epoch)
            epochs.append(epoch)
            return back and self._came_back(agent, now)

    def _came_back(self, agent: str, now: int) -> bool:
        self._returns[agent] += 1
        times = self._times.setdefault(agent, deque(maxlen=_ENOUGH))
        said = bool(times) and 0 <= now - times[-1] < _QUIET
        times.append(now)
        return not said

    def returns(self) -> Mapping[str, int]:
        """How often an epoch of each agent came back."""
        with self._lock:
            return dict(self._returns)

    def trouble(self, agent: str, now: int) -> str:
        """What is wrong and what to do, "" when nothing is."""
        with self._lock:
            times = self._times.get(agent)
            if not times or len(times) < _ENOUGH or now - times[0] > _WHILE:
                return ""
        return f"two hosts report as {agent}: give each agent a name and a secret of its own"
