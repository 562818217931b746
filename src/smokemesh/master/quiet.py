"""What keeps the log readable while somebody knocks in vain all the time."""

from typing import Final

#: Seconds in which one complaint is logged once, and how many different ones are remembered.
QUIET_FOR: Final = 60.0
MOST_COMPLAINTS: Final = 1000


class Quiet:
    """Keeps the log readable while somebody knocks in vain all the time: it is told the time, and what is complained of."""

    def __init__(self) -> None:
        self._spoken: dict[tuple[str, ...], float] = {}

    def speak(self, complaint: tuple[str, ...], now: float) -> bool:
        """Whether to log it now; /metrics counts all of them."""
        if len(self._spoken) >= MOST_COMPLAINTS:
            self._spoken = {key: at for key, at in self._spoken.items() if now - at < QUIET_FOR}
        known = self._spoken.get(complaint)
        if (known is not None and now - known < QUIET_FOR) or len(self._spoken) >= MOST_COMPLAINTS:
            return False
        self._spoken[complaint] = now
        return True
