"""How many posts of slaves are read and answered at the same time, and how slowly one may come.

Whoever posts has proven nothing until the whole body is here. So what comes slowly gives way: one that has been on its way
for long makes room for those who come, first of all in the address or network that has the most.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Final

#: Bodies with more bytes are large: few are in memory at once, and one of each address.
LARGE: Final = 2**20
MOST_LARGE: Final = 2
#: Posts answered at the same time, and posts that may wait for it.
MOST_SMALL: Final = 64
MOST_WAITING: Final = 128
#: Bodies on their way together; from so many of one address on, old ones of it make room; seconds until one is old.
MOST_READ: Final = 128
MANY_OF_PEER: Final = 32
OLD: Final = 2.0
#: Seconds until a full house is looked at again, and how often.
_AGAIN: Final = 0.5
_TRIES: Final = 60
#: Seconds a body may take in all (a slave itself waits a minute for its answer), and seconds it may take besides
#: those it needs at the least rate, bytes per second.
MOST_SECONDS: Final = 60.0
GRACE: Final = 10.0
LEAST_RATE: Final = 2048.0
LEAST_RATE_LARGE: Final = 32 * 1024.0
#: The limit of who was told to leave.
_PAST: Final = 0.0


class Busy(Exception):
    """No place; the slave keeps its lines and comes again."""


@dataclass(slots=True, eq=False)
class Post:
    """One post, from its first byte to its answer."""

    places: "Places"
    peer: str
    begun: float
    limit: asyncio.Timeout | None = None
    #: Bytes that came, and seconds it had to wait for others.
    came: int = 0
    waited: float = 0.0
    #: Whether it has a place of the large ones.
    large: bool = False
    held: AsyncExitStack = field(default_factory=AsyncExitStack)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[None]:
        """While the body comes. Raises Busy, and TimeoutError when it comes too slowly or another needs the room."""
        async with self.places.read(self):
            self.begun = _now()
            async with asyncio.timeout_at(self._latest()) as self.limit:
                yield

    async def got(self, count: int) -> None:
        """So many bytes more."""
        self.came += count
        if self.came > LARGE and not self.large:
            since = _now()
            await self.held.enter_async_context(self.places.large(self.peer))
            self.large = True
            self.waited = _now() - since
        if self.limit is not None and self.stays():
            self.limit.reschedule(self._latest())

    def stays(self) -> bool:
        """Whether it is being read and was not told to leave."""
        return self.limit is not None and not self.limit.expired() and self.limit.when() != _PAST

    def leave(self) -> None:
        """Make room for another."""
        if self.limit is not None:
            self.limit.reschedule(_PAST)

    def _latest(self) -> float:
        """Until when the next bytes are waited for."""
        rate = LEAST_RATE_LARGE if self.large else LEAST_RATE
        return self.begun + min(MOST_SECONDS, self.waited + GRACE + self.came / rate)


class Places:
    """Bounds what all posts together can occupy. For one event loop."""

    def __init__(self) -> None:
        self._large, self._small = asyncio.Semaphore(MOST_LARGE), asyncio.Semaphore(MOST_SMALL)
        self._read = asyncio.Semaphore(MOST_READ)
        #: Address or network -> posts of it that are being read, the oldest first.
        self._of: dict[str, list[Post]] = {}
        #: Address or network -> its turn to post something large, and how many have or want it.
        self._turns: dict[str, tuple[asyncio.Lock, int]] = {}
        self._waiting = 0

    @asynccontextmanager
    async def post(self, address: str) -> AsyncIterator[Post]:
        """While a post from this address is here."""
        post = Post(self, network_of(address), _now())
        async with post.held:
            yield post

    @asynccontextmanager
    async def answering(self, post: Post) -> AsyncIterator[None]:
        """While a post whose body is here is judged and kept. Raises Busy."""
        if post.large:
            yield
            return
        if self._waiting >= MOST_WAITING:
            raise Busy(f"{self._waiting} posts wait already")
        self._waiting += 1
        try:
            await self._small.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._small.release()

    @asynccontextmanager
    async def read(self, post: Post) -> AsyncIterator[None]:
        """While its body comes. Raises Busy."""
        if len(self._of.get(post.peer, ())) >= MANY_OF_PEER:
            _oldest_leaves(self._of[post.peer])
        await self._enter()
        self._of.setdefault(post.peer, []).append(post)
        try:
            yield
        finally:
            self._read.release()
            self._of[post.peer].remove(post)
            if not self._of[post.peer]:
                del self._of[post.peer]

    @asynccontextmanager
    async def large(self, peer: str) -> AsyncIterator[None]:
        """While a large body of this address is in memory."""
        lock, users = self._turns.get(peer, (asyncio.Lock(), 0))
        self._turns[peer] = lock, users + 1
        try:
            async with lock, self._large:
                yield
        finally:
            _, users = self._turns[peer]
            self._turns[peer] = lock, users - 1
            if users == 1:
                del self._turns[peer]

    async def _enter(self) -> None:
        for _ in range(_TRIES):
            if self._read.locked() and self._of:
                _oldest_leaves(max(self._of.values(), key=len))
            try:
                async with asyncio.timeout(_AGAIN):
                    await self._read.acquire()
            except TimeoutError:
                continue
            return
        raise Busy(f"{MOST_READ} posts are on their way already")


def network_of(address: str) -> str:
    """What counts as one peer: an address, of IPv6 the network of 64 bits that one host can have all of."""
    try:
        known = ip_address(address)
    except ValueError:
        return address
    return address if known.version == 4 else str(ip_network((known, 64), strict=False))


def _oldest_leaves(posts: list[Post]) -> None:
    """Nobody leaves who only just came: many at once are no attack."""
    staying = [post for post in posts if post.stays()]
    if staying and _now() - staying[0].begun > OLD:
        staying[0].leave()


def _now() -> float:
    return asyncio.get_running_loop().time()
