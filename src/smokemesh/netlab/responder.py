"""The process that plays the network: reads packets from TUN links, decides their fate, releases answers on time.

One thread, one loop. It waits in select(2), whose timeouts are exact to microseconds, until `_EARLY` before the next
answer is due, and polls from there on: a timer's wake-up may be that late, an answer may not.
"""

import os
import select
import socket
from heapq import heappop, heappush
from ipaddress import ip_address
from struct import Struct
from time import monotonic_ns, time, time_ns

from smokemesh.errors import HostError
from smokemesh.netlab import build, control, namespace, packets
from smokemesh.netlab.fate import Did, Fate, decide, pair_key
from smokemesh.netlab.path import Path
from smokemesh.netlab.table import PathTable

#: Layout of `truth.RECORD`, written here without NumPy: this process starts fast and stays small.
_RECORD = Struct("<qqqIIIHHHH")
_LEFT = Struct("<q")
_LEFT_AT = 8

#: Nanoseconds before an answer is due at which to stop sleeping.
_EARLY = 100_000
#: Most packets read from one link before others get their turn.
_BURST = 64
_LARGEST_PACKET = 65_536


class _Pair:
    """What is remembered of an address pair."""

    __slots__ = ("index", "key", "number", "path")

    def __init__(self, index: int, key: int, path: Path | None) -> None:
        self.index, self.key, self.path, self.number = index, key, path, 0


class Responder:
    """Plays a plan until the control socket closes."""

    def __init__(self, plan: control.Plan, asker: socket.socket, built: build.Built) -> None:
        self._asker = asker
        self._built = built
        self._seed = plan.seed
        self._table = PathTable()
        self._table.set(plan.routes)
        self._pairs: dict[bytes, _Pair] = {}
        self._pair_names: list[tuple[bytes, bytes]] = []
        self._owner = {
            ip_address(text).packed: tun
            for site, tun in zip(plan.sites, built.tuns, strict=True)
            for text in site.addresses
        }
        self._most_records = plan.record
        self._records = bytearray()
        self._unrecorded = 0
        #: (when due, order, link, packet, where its record is or -1)
        self._queue: list[tuple[int, int, int, bytes, int]] = []
        self._order = 0

    def run(self) -> None:
        """Answer until the asker is gone."""
        asker, queue = self._asker.fileno(), self._queue
        watched = [asker, *self._built.tuns]
        while True:
            self._release()
            wait = max(0, queue[0][0] - _EARLY - monotonic_ns()) / 1e9 if queue else None
            ready, _, _ = select.select(watched, [], [], wait)
            for link in ready:
                if link != asker:
                    self._read(link)
                elif not self._obey():
                    return

    def _release(self) -> None:
        """Send what is due."""
        queue = self._queue
        while queue and queue[0][0] <= monotonic_ns():
            _, _, link, packet, record = heappop(queue)
            if record >= 0:
                _LEFT.pack_into(self._records, record + _LEFT_AT, time_ns())
            self._write(link, packet)

    def _write(self, link: int, packet: bytes) -> None:
        try:
            os.write(link, packet)
        except OSError:
            # The kernel refuses what no host would take either: a packet that is cut short, a link that is down.
            return

    def _read(self, link: int) -> None:
        for _ in range(_BURST):
            try:
                packet = os.read(link, _LARGEST_PACKET)
            except BlockingIOError:
                return
            self._take(link, packet, time_ns(), monotonic_ns())
            self._release()

    def _take(self, link: int, packet: bytes, wall: int, now: int) -> None:
        """Decide what becomes of a packet, and put it into the queue and on record."""
        header = packets.read_header(packet)
        if header is None:
            return
        owner = self._owner.get(header.destination)
        if owner is None and not packets.is_echo_request(packet, header):
            return
        pair = self._pair(header)
        pair.number += 1
        fate = self._fate(pair, packet, header, owner)
        copies = len(fate.delays)
        record = self._note(pair, packet, header, fate, wall) if self._most_records else -1
        if copies:
            out, what = self._outcome(fate, link, owner, packet, header)
            for delay in fate.delays:
                self._order += 1
                heappush(self._queue, (now + int(delay * 1e9), self._order, out, what, record))
                record = -1

    def _fate(self, pair: _Pair, packet: bytes, header: packets.Header, owner: int | None) -> Fate:
        if pair.path is None:
            return Fate(Did.NO_PATH)
        if owner is None and not packets.is_intact(packet, header):
            return Fate(Did.DAMAGED)
        return decide(pair.path, pair.key, pair.number, time() if pair.path.swells else 0.0)

    def _outcome(
        self, fate: Fate, link: int, owner: int | None, packet: bytes, header: packets.Header
    ) -> tuple[int, bytes]:
        """Which packet leaves by which link."""
        if fate.refusal is not None:
            router = ip_address(fate.refusal.router).packed if fate.refusal.router else header.destination
            return link, packets.icmp_error(packet, header, router, fate.refusal.type, fate.refusal.code)
        what = packet if owner is not None else packets.echo_reply(packet, header)
        if fate.did & Did.CORRUPTED:
            what = packets.corrupted(what, fate.stale)
        return (link if owner is None else owner), what

    def _pair(self, header: packets.Header) -> _Pair:
        name = header.source + header.destination
        pair = self._pairs.get(name)
        if pair is None:
            key = pair_key(self._seed, header.source, header.destination)
            pair = _Pair(len(self._pair_names), key, self._table.find(header.source, header.destination))
            self._pairs[name] = pair
            self._pair_names.append((header.source, header.destination))
        return pair

    def _note(self, pair: _Pair, packet: bytes, header: packets.Header, fate: Fate, wall: int) -> int:
        """Write a packet's record; where it stands, -1 when the record is full."""
        at = len(self._records)
        if at >= self._most_records * _RECORD.size:
            self._unrecorded += 1
            return -1
        did = fate.did
        if fate.delays and fate.refusal is None:
            did |= Did.FORWARDED if header.destination in self._owner else Did.ANSWERED
        start = header.start
        identity, sequence = (
            int.from_bytes(packet[start + 4 : start + 6]),
            int.from_bytes(packet[start + 6 : start + 8]),
        )
        delay = int(fate.delays[0] * 1e9) if fate.delays else 0
        self._records += _RECORD.pack(
            wall, 0, delay, pair.index, pair.number, did, len(fate.delays), identity, sequence, 0
        )
        return at

    def _obey(self) -> bool:
        """Do what the asker wants; False when it is gone."""
        try:
            question = control.receive_question(self._asker)
        except (EOFError, ConnectionError):
            return False
        match question:
            case control.Change():
                self._table.set(question.routes)
                self._look_up_again()
                control.send(self._asker, control.Ready())
            case control.Tell():
                told = control.Told(records=bytes(self._records), pairs=self._pair_names, unrecorded=self._unrecorded)
                control.send(self._asker, told)
                if question.forget:
                    self._forget()
            case control.Listen():
                self._listen(question)
            case control.Plan():
                control.send(self._asker, control.Failed(message="the network is already built"))
        return True

    def _look_up_again(self) -> None:
        """Pairs whose path changed begin to count anew."""
        for pair, (source, destination) in zip(self._pairs.values(), self._pair_names, strict=True):
            path = self._table.find(source, destination)
            if path != pair.path:
                pair.path, pair.number = path, 0

    def _forget(self) -> None:
        """Begin a new record; what is still queued belongs to the old one."""
        self._records, self._unrecorded = bytearray(), 0
        self._queue[:] = [(due, order, link, packet, -1) for due, order, link, packet, _ in self._queue]

    def _listen(self, question: control.Listen) -> None:
        try:
            with namespace.entered(self._built.namespaces[question.site]), namespace.listen(question.port) as listener:
                control.send(self._asker, control.Ready(), [listener.fileno()])
        except OSError as error:
            site = self._built.namespaces[question.site]
            control.send(self._asker, control.Failed(message=f"site {site}, port {question.port}: {error.strerror}"))


def play(asker: socket.socket) -> None:
    """Build what the first message asks for, say so, and play it."""
    plan = control.receive_question(asker)
    if not isinstance(plan, control.Plan):
        control.send(asker, control.Failed(message="the first message must be a plan"))
        return
    try:
        built = build.build(plan)
    except HostError as error:
        control.send(asker, control.Failed(message=str(error)))
        return
    control.send(asker, control.Ready(), [*built.namespaces, *built.user])
    namespace.wake_on_time()
    if plan.prompt:
        namespace.go_first()
    Responder(plan, asker, built).run()
