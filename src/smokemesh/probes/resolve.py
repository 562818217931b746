"""Names to addresses, kept for as long as the name server says; in threads of its own, so that no probe ever waits.

Literal addresses and /etc/hosts are answered at once, other names by the servers of /etc/resolv.conf. The last good
addresses of a name are kept while it cannot be looked up. `dns` is imported when the first name needs it: an agent of
addresses does without its 7 MB.
"""

import heapq
import logging
import random
import re
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import dns.resolver

#: Bounds on what a server may say about the time to live, seconds.
LEAST_TTL, MOST_TTL = 5.0, 3600.0
#: A name that failed is asked again after LEAST_RETRY seconds, then twice that, up to MOST_RETRY.
LEAST_RETRY, MOST_RETRY = 2.0, 300.0
#: Seconds one look-up may take, all servers and tries together.
LIFETIME: Final = 5.0
#: Look-ups at once.
WORKERS: Final = 4
#: /etc/hosts is looked at again this often, seconds.
HOSTS_INTERVAL: Final = 5.0
#: Addresses of one name kept at most.
MOST_ADDRESSES: Final = 256

#: `Answer.error_code`: response codes of DNS (RFC 6895), and beyond: no answer in time, no such address, not a name.
SERVFAIL, NXDOMAIN = 2, 3
NO_ANSWER, NO_ADDRESS, BAD_NAME = 256, 257, 258

log = logging.getLogger("smokemesh.resolve")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a name stands for: addresses, best first. With an error, the last good ones."""

    addresses: tuple[str, ...] = ()
    #: Why the latest look-up failed, "" when it did not.
    error: str = ""
    error_code: int = 0


@dataclass(slots=True)
class _Entry:
    answer: Answer | None = None
    #: Monotonic time of the next look-up; infinite while one is under way.
    due: float = 0.0
    failures: int = 0


Question = tuple[str, str]


class Resolver:
    """Keeps names resolved. `lookup` may be called from any thread and never waits."""

    def __init__(
        self,
        changed: Callable[[], None],
        *,
        resolv_conf: Path = Path("/etc/resolv.conf"),
        hosts: Path = Path("/etc/hosts"),
        port: int = 53,
    ) -> None:
        self._changed, self._resolv_conf, self._port = changed, resolv_conf, port
        self._hosts = HostsFile(hosts)
        self._entries: dict[Question, _Entry] = {}
        #: (due, question), soonest first; an item that disagrees with its entry is out of date.
        self._queue: list[tuple[float, Question]] = []
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._servers: dns.resolver.Resolver | None = None

    def watch(self, questions: Iterable[Question]) -> None:
        """Keep exactly these (name, family) pairs resolved; what is no longer asked for is forgotten."""
        wanted = {question for question in questions if literal(*question) is None}
        with self._work:
            fresh = wanted - self._entries.keys()
            self._entries = {q: self._entries.get(q) or _Entry() for q in wanted}
            for question in fresh:
                heapq.heappush(self._queue, (0.0, question))
            self._work.notify_all()

    def lookup(self, name: str, family: str) -> Answer | None:
        """What the name stands for now; None while it is looked up for the first time."""
        known = literal(name, family) or self._hosts.find(name, family)
        if known is not None:
            return known
        entry = self._entries.get((name, family))
        return entry.answer if entry else None

    def run(self, stop: threading.Event) -> None:
        """Look up names when they are due, until `stop` is set."""
        workers: list[threading.Thread] = []
        while not stop.is_set():
            if self._hosts.reload():
                self._changed()
            with self._work:
                if not workers and self._due_in() > 0:
                    self._work.wait(min(self._due_in(), HOSTS_INTERVAL))
                needed = not workers and self._due_in() <= 0
            if needed:
                self._prepare()
                workers = [threading.Thread(target=self._serve, args=(stop,), daemon=True) for _ in range(WORKERS)]
                for worker in workers:
                    worker.start()
            if workers:
                stop.wait(HOSTS_INTERVAL)

    def wake(self) -> None:
        """Let the threads see that `stop` was set."""
        with self._work:
            self._work.notify_all()

    def _due_in(self) -> float:
        """Seconds until a name is to be looked up; names that /etc/hosts has are put off. The lock is held."""
        now = time.monotonic()
        while self._queue:
            due, question = self._queue[0]
            entry = self._entries.get(question)
            if entry is None or entry.due != due:
                heapq.heappop(self._queue)
            elif due <= now and self._hosts.find(*question):
                entry.due = now + HOSTS_INTERVAL
                heapq.heapreplace(self._queue, (entry.due, question))
            else:
                return max(due - now, 0.0)
        return HOSTS_INTERVAL

    def _prepare(self) -> None:
        """Import dnspython and read resolv.conf, in this thread and once."""
        import dns.resolver

        try:
            self._servers = dns.resolver.Resolver(str(self._resolv_conf))
            self._servers.port = self._port
        except (dns.resolver.NoResolverConfiguration, OSError) as error:
            log.warning("no name server known: file=%s error=%r", self._resolv_conf, error)

    def _serve(self, stop: threading.Event) -> None:
        """One worker: take what is due longest, look it up, note what came."""
        while not stop.is_set():
            question = self._take()
            if question is None:
                continue
            try:
                answer, ttl = self._ask(*question)
            except Exception as error:  # one strange answer must not end the look-ups of all other names
                log.exception("look-up failed: name=%s", question[0])
                answer, ttl = Answer(error=f"{question[0]} cannot be looked up: {error}", error_code=SERVFAIL), 0.0
            self._note(question, answer, ttl)

    def _take(self) -> Question | None:
        with self._work:
            wait = self._due_in()
            if wait > 0:
                self._work.wait(wait)
                return None
            _, question = heapq.heappop(self._queue)
            self._entries[question].due = float("inf")
            return question

    def _note(self, question: Question, fresh: Answer, ttl: float) -> None:
        with self._lock:
            entry = self._entries.get(question)
            if entry is None:
                return
            old = entry.answer
            if fresh.error:
                entry.failures += 1
                bound = min(LEAST_RETRY * 2.0 ** min(entry.failures - 1, 16), MOST_RETRY)
                entry.due = time.monotonic() + bound * random.uniform(0.5, 1.0)
                entry.answer = replace(fresh, addresses=old.addresses if old else ())
            else:
                entry.failures = 0
                entry.due = time.monotonic() + min(max(ttl, LEAST_TTL), MOST_TTL)
                entry.answer = Answer(_steady(old.addresses if old else (), fresh.addresses))
            heapq.heappush(self._queue, (entry.due, question))
            news = entry.answer != old
        if news:
            if fresh.error:
                log.warning("name not resolved: error=%r", fresh.error)
            self._changed()

    def _ask(self, name: str, family: str) -> tuple[Answer, float]:
        """One look-up: both kinds of address for "auto", IPv4 first. Returns the answer and its time to live."""
        addresses: list[str] = []
        ttl, failure = MOST_TTL, Answer()
        for kind in {"4": ("A",), "6": ("AAAA",)}.get(family, ("A", "AAAA")):
            found, lives = self._query(name, kind)
            if found.error_code in (NXDOMAIN, BAD_NAME):
                return found, 0.0  # true of every kind of address
            addresses += found.addresses
            if found.error:
                failure = failure if failure.error else found
            else:
                ttl = min(ttl, lives)
        if addresses:
            return Answer(tuple(addresses[:MOST_ADDRESSES])), ttl
        if not failure.error:
            wanted = {"4": "IPv4 ", "6": "IPv6 "}.get(family, "")
            failure = Answer(error=f"{name} has no {wanted}address", error_code=NO_ADDRESS)
        return failure, 0.0

    def _query(self, name: str, kind: str) -> tuple[Answer, float]:
        import dns.exception
        import dns.resolver

        if self._servers is None:
            return Answer(
                error=f"{name} is not looked up: {self._resolv_conf} names no server", error_code=NO_ANSWER
            ), 0.0
        try:
            found = self._servers.resolve(name, kind, lifetime=LIFETIME, search=True)
        except dns.resolver.NoAnswer:
            return Answer(), MOST_TTL
        except dns.resolver.NXDOMAIN:
            return Answer(error=f"{name} does not exist (NXDOMAIN)", error_code=NXDOMAIN), 0.0
        except dns.resolver.NoNameservers:
            return Answer(error=f"{name} is refused by every name server", error_code=SERVFAIL), 0.0
        except dns.exception.Timeout:
            return Answer(error=f"{name}: no name server answered within {LIFETIME:g} s", error_code=NO_ANSWER), 0.0
        except (dns.exception.DNSException, ValueError, UnicodeError) as error:
            return Answer(error=f"{name} cannot be looked up: {error}", error_code=BAD_NAME), 0.0
        return Answer(tuple(str(record) for record in found)), found.expiration - time.time()


def literal(name: str, family: str) -> Answer | None:
    """The answer for a name that is an address itself, None for other names."""
    try:
        address = ip_address(name)
    except ValueError:
        return None
    if family in ("4", "6") and address.version != int(family):
        return Answer(error=f"{name} is no IPv{family} address", error_code=NO_ADDRESS)
    return Answer((str(address),))


def _steady(old: tuple[str, ...], new: tuple[str, ...]) -> tuple[str, ...]:
    """The new addresses, those known before first and in their old order: servers rotate, a measured path should not."""
    kept = [address for address in old if address in new]
    return (*kept, *(address for address in dict.fromkeys(new) if address not in kept))


class HostsFile:
    """Names of /etc/hosts; read again when it changes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int] | None = None
        self._names: dict[str, tuple[str, ...]] = {}
        self.reload()

    def reload(self) -> bool:
        """Read the file if it changed; whether it did."""
        try:
            status = self._path.stat()
            stamp = (status.st_mtime_ns, status.st_size)
            if stamp == self._stamp:
                return False
            self._names, self._stamp = parse_hosts(self._path.read_text(errors="replace")), stamp
        except OSError:
            changed, self._names, self._stamp = bool(self._names), {}, None
            return changed
        return True

    def find(self, name: str, family: str) -> Answer | None:
        """The addresses of a name, IPv4 first; None when the file has none of that family."""
        addresses = self._names.get(name.lower().rstrip("."), ())
        fours = tuple(a for a in addresses if ":" not in a) if family != "6" else ()
        sixes = tuple(a for a in addresses if ":" in a) if family != "4" else ()
        return Answer(fours + sixes) if fours or sixes else None


def parse_hosts(text: str) -> dict[str, tuple[str, ...]]:
    """hosts(5): an address and its names on each line; what is no address is passed over."""
    found: dict[str, tuple[str, ...]] = {}
    for line in text.splitlines():
        words = re.split(r"\s+", line.split("#", 1)[0].strip())
        answer = literal(words[0], "auto") if len(words) > 1 else None
        if answer is not None:
            for name in (word.lower() for word in words[1:]):
                known = found.get(name, ())
                found[name] = (*known, *(a for a in answer.addresses if a not in known))
    return found
