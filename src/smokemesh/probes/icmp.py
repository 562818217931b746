"""The ICMP engine: many rounds at once over a few sockets, many packets per system call.

One socket per (family, source, interface, DSCP, don't-fragment, TTL), never per target. A ping in flight is known by its
socket, identifier and 16-bit sequence number; a number is not used again while an answer to it may still come. RTTs run
from the kernel's transmit stamp, or a reading around a small batch of packets, to its receive stamp. A round ends when all its pings
are answered and a short grace for duplicates has passed, else the probe's patience after its last ping.
"""

import errno
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from smokemesh.errors import HostError
from smokemesh.model.probe import Probe
from smokemesh.model.rounds import ERROR_ERRNO, ERROR_ICMP4, ERROR_ICMP6, Flag, RoundBatch
from smokemesh.probes import packetio
from smokemesh.probes.channel import Channel, Lane, Route
from smokemesh.probes.clock import StepGuard, read_clocks
from smokemesh.probes.engine import EngineCounters, RoundRequest
from smokemesh.probes.flight import Flight, Rows, Watcher, groups
from smokemesh.probes.packetio import Arena, IcmpSocket, Notice, SocketOptions
from smokemesh.wire import icmp

#: Packets given to the kernel at a time. Each of them gets a transmit stamp, but of many chunks only the first and last
#: packet: the times between are interpolated.
_CHUNK: Final = 64
#: Packets built and sent before what arrived is read.
_PIECE: Final = 1024
#: Nanoseconds: no packet takes longer to be sent; what goes beyond was another process.
_LONGEST_SEND: Final = 10_000
#: Nanoseconds a transmit stamp may seem to lie before the sending: two clock readings lie between.
_EARLIEST: Final = 50_000
#: Identifiers a raw socket may use, a power of two: as many times 65,536 pings in flight.
_IDS: Final = 16
#: Sockets for one set of options, when sequence numbers run out.
_MOST_SOCKETS: Final = 64
#: Bytes of memory for packets read, and for packets sent.
_ARENA: Final = 2**20
#: Bytes ahead of the payload in what a socket gives: an IPv4 header with all options, and the ICMP header.
_HEADERS: Final = 60 + icmp.HEADER
#: Enough for an ICMP error with the headers it quotes, and the cookie behind them.
_LEAST_WIDTH: Final = 256
#: Linux switches receive stamps on a little after the first socket asked for them (net_enable_timestamp); until then
#: a packet is stamped when it is read.
_STAMPS_BEGIN: Final = 0.005
#: Seconds: pings that follow each other closely make the engine send more often, but no more often than this.
_LEAST_TICK: Final = 0.001
#: The kernel is short of memory or its queue is full: the packet is tried again after this many seconds.
_RETRY: Final = 0.001
_BUSY: Final = (errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM, errno.EINTR)


@dataclass(slots=True, eq=False)
class _Profile:
    """What pings have in common beside their destination."""

    number: int
    route: Route
    size: int
    #: The payload, but for the number of the ping.
    common: NDArray[np.uint8]
    outbox: Arena


@dataclass(slots=True, eq=False)
class _Complaints:
    """ICMP errors about pings in flight; one element is one error."""

    #: Type * 256 + code.
    kinds: Rows
    pings: Rows
    #: The packets, their lengths, and where in them the quoted ICMP header begins.
    packets: NDArray[np.uint8]
    lengths: Rows
    quoted: Rows
    #: Where the quoted packet was going, u1[n, 4 or 16].
    to: NDArray[np.uint8]


class IcmpEngine:
    """Rounds of ICMP echo, IPv4 and IPv6."""

    #: It works in its owner's thread: waking another one for every few pings would cost more than they do.
    apart: Final = False

    def __init__(
        self,
        *,
        socket: str = "auto",
        grace: float = 0.25,
        transmit_stamps: bool = True,
        tick: float = 0.025,
        lull: float = 0.05,
        watcher: Watcher | None = None,
        clocks: Callable[[], tuple[int, int, int]] = read_clocks,
    ) -> None:
        """`socket` is "dgram", "raw" or "auto" (the first of them this user may open).

        A fully answered round still waits `grace` seconds for duplicates. A busy engine sends at most every `tick`
        seconds (or half the least spacing asked for, if that is less) and reads at most every `lull` seconds, unless
        buffers fill: each time it wakes costs more than the pings it sends, and kernel stamps make reading late harmless.
        With `transmit_stamps` the kernel tells when packets really left.
        `watcher` is told of every ping at once.
        """
        self._kind, self._tick, self._lull = socket, tick, lull
        #: When everything that had arrived was last read, monotonic seconds.
        self._drained = 0.0
        self._transmit_stamps = transmit_stamps
        self._guard = StepGuard(clocks)
        self._flight = Flight(grace, watcher)
        self._cookie = _random(8)  # not `secrets`, which would load all of OpenSSL
        self._number = 0
        self._routes: dict[SocketOptions, Route] = {}
        self._profiles: list[_Profile] = []
        self._by_options: dict[tuple[SocketOptions, int], int] = {}
        #: Profile, step, spacing, timeout, patience and pings, by probe and family; the probe is known by its identity,
        #: and kept so that this stays its own.
        self._kinds: list[tuple[float, ...]] = []
        self._by_probe: dict[tuple[int, bool], tuple[Probe, int]] = {}
        self._channels: list[Channel] = []
        self._outboxes: dict[int, Arena] = {}
        self._inbox = Arena.inbox(_PIECE, _LEAST_WIDTH)
        self._notices = Arena.notices()
        self._sent = self._received = self._own_drops = self._strays = self._send_errors = self._delayed = 0

    # Engine

    def start(self, requests: Sequence[RoundRequest]) -> None:
        """Remember rounds. Raises HostError when this user may not open ICMP sockets at all."""
        if not requests:
            return
        kinds = [self._kind_of(request) for request in requests]
        names, bad = packetio.socket_addresses([request.address for request in requests])
        table = np.array(self._kinds)[kinds]
        profiles = table[:, 0].astype(np.int32)
        columns = dict(zip(("step", "spacing", "timeout", "patience", "pings"), table.T[1:], strict=True))
        rows = self._flight.add({
            "task": np.array([request.task for request in requests], np.uint64),
            "time": [request.time for request in requests],
            "at": [request.at for request in requests],
            "profile": profiles, "name": names, "address": _mapped(names),
        } | columns)  # fmt: skip
        errors = np.array([profile.route.error for profile in self._profiles])[profiles]
        errors[bad] = errno.EINVAL
        if errors.any():
            for error, mine in groups(errors):
                if error:
                    self._flight.refuse_rounds(rows[mine], ERROR_ERRNO + error)

    def run(self, until: float) -> None:
        """Send, receive and wait until the monotonic clock shows `until`, or nothing is left to do."""
        while self._flight.busy and (now := time.monotonic()) < until:
            sending, over = self._flight.due(now)
            if len(sending):
                self._send(sending, until)
            if len(over) or self._crowded() or now >= self._drained + self._lull:
                self._drain()
            self._finish(over)
            self._wait(now, until)

    def take(self) -> RoundBatch:
        """The rounds finished since the last call, each exactly once."""
        return self._flight.take()

    @property
    def busy(self) -> int:
        """Rounds started and not yet finished."""
        return self._flight.busy

    def counters(self) -> EngineCounters:
        """What was done since the engine was made."""
        return EngineCounters(
            sent=self._sent, received=self._received, own_drops=self._own_drops, strays=self._strays,
            send_errors=self._send_errors, delayed=self._delayed,
        )  # fmt: skip

    def describe(self) -> str:
        """`icmp4=raw icmp6=dgram`; "none" where this user may open neither."""
        return " ".join(f"icmp{family}={self._reach(family)}" for family in (4, 6))

    def close(self) -> None:
        """Give back sockets; unfinished rounds are forgotten."""
        for channel in self._channels:
            channel.socket.close()
        self._channels.clear()
        self._routes.clear()
        self._by_options.clear()
        self._by_probe.clear()
        self._flight = Flight(self._flight.grace, self._flight.watcher)

    def prepare(self, probe: Probe, family: int) -> None:
        """Open the socket `probe` needs. Raises HostError when this machine does not allow it."""
        route = self._profiles[self._profile(probe, family)].route
        if route.error:
            raise HostError(_why(probe, family, route.error))

    # Profiles, routes, sockets

    def _kind_of(self, request: RoundRequest) -> int:
        key = id(request.probe), ":" in request.address
        return self._by_probe[key][1] if key in self._by_probe else self._new_kind(request.probe, key)

    def _new_kind(self, probe: Probe, key: tuple[int, bool]) -> int:
        profile = self._profile(probe, 6 if key[1] else 4)
        if probe.pings > 1:
            self._tick = min(self._tick, max(probe.spacing / 2, _LEAST_TICK))
        self._kinds.append((profile, probe.step, probe.spacing, probe.timeout, probe.patience, probe.pings))
        self._by_probe[key] = probe, len(self._kinds) - 1
        return len(self._kinds) - 1

    def _profile(self, probe: Probe, family: int) -> int:
        options = SocketOptions(
            family=family, source=probe.source, interface=probe.interface, dscp=probe.dscp,
            dont_fragment=probe.dont_fragment, ttl=probe.ttl,
        )  # fmt: skip
        number = self._by_options.get((options, probe.size))
        if number is None:
            route = self._routes.get(options) or self._open_route(options)
            number = len(self._profiles)
            common = icmp.payload(probe.size, self._cookie)
            self._profiles.append(_Profile(number, route, probe.size, common, self._outbox(probe.size)))
            self._by_options[options, probe.size] = number
            self._make_room(probe.size)
        return number

    def _open_route(self, options: SocketOptions) -> Route:
        route = Route(options)
        try:
            self._open_channel(route)
        except OSError as error:
            route.error = error.errno or errno.EINVAL
        self._routes[options] = route
        return route

    def _open_channel(self, route: Route) -> Channel:
        taken = {channel.socket.id_base for channel in self._channels}
        base = next(b for b in iter(lambda: _random(2) // _IDS * _IDS, -1) if b not in taken)
        socket = IcmpSocket.open(route.options, base, _IDS, kind=self._kind)
        if not self._channels:
            packetio.wait((), _STAMPS_BEGIN)
        channel = Channel(len(self._channels), socket)
        self._transmit_stamps &= socket.count_stamps_anew()
        self._channels.append(channel)
        route.channels.append(channel)
        return channel

    def _outbox(self, size: int) -> Arena:
        if size not in self._outboxes:
            width = icmp.HEADER + size
            count = max(_CHUNK, min(_PIECE, _ARENA // width))
            self._outboxes[size] = Arena.outbox(count, width)
        return self._outboxes[size]

    def _make_room(self, size: int) -> None:
        """Packets of that size, and longer ones, must be told apart when they are read."""
        width = max(_LEAST_WIDTH, -(-(_HEADERS + size + 1) // 64) * 64)
        if width > self._inbox.width:
            self._inbox = Arena.inbox(max(_CHUNK, min(_PIECE, _ARENA // width)), width)

    def _reach(self, family: int) -> str:
        for channel in self._channels:
            if channel.socket.options.family == family:
                return "raw" if channel.socket.raw else "dgram"
        return packetio.allowed(family)

    # Out

    def _send(self, rows: Rows, until: float) -> None:
        """Send the next ping of each of these rounds, reading what arrives in between."""
        for first in range(0, len(rows), _PIECE):
            piece = rows[first : first + _PIECE]
            for number, mine in groups(self._flight.rounds.profile[piece]):
                self._send_alike(self._profiles[number], piece[mine])
            if len(piece) == _PIECE:
                self._drain()
                if time.monotonic() >= until:
                    return

    def _send_alike(self, profile: _Profile, rows: Rows) -> None:
        """Send pings that differ in nothing but their destination."""
        while len(rows):
            now = time.monotonic()
            lane = self._lane(profile.route, now)
            if lane is None:
                self._delayed += len(rows)
                self._flight.put_off(rows, now + self._tick)
                return
            count = min(lane.free(len(rows), now), profile.outbox.count, max(_CHUNK, lane.channel.socket.capacity // 4))
            self._send_batch(profile, lane, rows[:count], now)
            rows = rows[count:]

    def _lane(self, route: Route, now: float) -> Lane | None:
        for channel in route.channels:
            if lane := channel.lane(now):
                return lane
        if len(route.channels) >= _MOST_SOCKETS:
            return None
        try:
            return self._open_channel(route).lane(now)
        except (OSError, HostError):
            return None

    def _send_batch(self, profile: _Profile, lane: Lane, rows: Rows, now: float) -> None:
        flight, outbox, channel, count = self._flight, profile.outbox, lane.channel, len(rows)
        pings = flight.next_pings(rows)
        sequences = lane.take(pings, now + flight.rounds.patience[rows] + self._lull)
        numbers = self._number + np.arange(count)
        self._number += count
        icmp.write_requests(
            outbox.packets[:count], profile.route.options.family, profile.common,
            np.full(count, lane.id, np.uint16), sequences.astype(np.uint16), numbers,
        )  # fmt: skip
        outbox.names[:count] = flight.rounds.name[rows]
        outbox.namelens[:count] = channel.socket.name_length
        asking = self._ask_for_stamps(outbox, count)
        times, smooth = self._transmit(channel, outbox, rows)
        keys = lane.key | sequences
        if not (sent := times > 0).all():
            rows, pings, times, keys, numbers = (column[sent] for column in (rows, pings, times, keys, numbers))
            asking = asking[sent]
        self._sent += len(rows)
        flight.sent(rows, times, keys, numbers)
        if asking.any():
            self._await_stamps(channel, pings, numbers, np.flatnonzero(asking), smooth)

    def _ask_for_stamps(self, outbox: Arena, count: int) -> NDArray[np.bool_]:
        """Which packets ask the kernel when they left: all of a few, of many the first and the last of each chunk."""
        asking = np.zeros(count, bool)
        if self._transmit_stamps and count <= _CHUNK:
            asking[:] = True
        elif self._transmit_stamps:
            asking[::_CHUNK] = asking[_CHUNK - 1 :: _CHUNK] = asking[-1] = True
        outbox.controllens[:count] = asking * outbox.room
        return asking

    def _transmit(self, channel: Channel, outbox: Arena, rows: Rows) -> tuple[Rows, bool]:
        """Give the packets to the kernel: when each was sent, monotonic nanoseconds, 0 for those that were not.

        The time of each is reckoned from the reading before its chunk: behind the chunk the kernel may first have
        let another process run. Also tells whether the kernel took every packet at the first attempt.
        """
        firsts, counts, begins, eaches = [], [], [], []
        first, retries, smooth = 0, 0, True
        while first < len(rows):
            asked = min(_CHUNK, len(rows) - first)
            before = time.monotonic_ns()
            sent = channel.socket.send(outbox, first, asked)
            after = time.monotonic_ns()
            smooth &= sent == asked
            if sent > 0:
                firsts.append(first)
                counts.append(sent)
                begins.append(before)
                eaches.append(min((after - before) / sent, _LONGEST_SEND))
                first += sent
            elif -sent in _BUSY:
                self._put_off(rows[first:], after * 1e-9, -sent)
                break
            elif retries < len(rows) and self._read_notices(channel):
                retries += 1  # what the kernel told was an ICMP error about an earlier ping (ping(7) sockets)
            else:
                self._send_errors += 1
                self._flight.refused(rows[first : first + 1], ERROR_ERRNO - sent, after * 1e-9)
                first += 1
        return _spread(len(rows), firsts, counts, begins, eaches), smooth

    def _await_stamps(self, channel: Channel, pings: Rows, numbers: Rows, asking: Rows, smooth: bool) -> None:
        """Some of these packets, just sent, asked for transmit stamps; mostly they are there at once."""
        at = (channel.asked + np.arange(len(asking))) & 0xFFFF
        channel.asked_pings[:, at] = pings[asking], numbers[asking]
        channel.asked += len(asking)
        channel.unstamped += len(asking)
        self._read_notices(channel)
        if not smooth:  # a packet the kernel refused may have taken a number or not
            channel.asked = channel.unstamped = 0
            self._transmit_stamps &= channel.socket.count_stamps_anew()
        elif len(asking) < len(pings):
            self._flight.interpolate(pings, asking, _CHUNK * _LONGEST_SEND)

    def _put_off(self, rows: Rows, now: float, error: int) -> None:
        """The kernel is busy: try again shortly; a ping put off for longer than its patience has failed."""
        r = self._flight.rounds
        overdue = now - (r.at[rows] + r.next[rows] * r.spacing[rows]) > r.spacing[rows] + r.patience[rows]
        self._delayed += int((~overdue).sum())
        self._flight.put_off(rows[~overdue], now + _RETRY)
        if overdue.any():
            self._send_errors += int(overdue.sum())
            self._flight.refused(rows[overdue], ERROR_ERRNO + error, now)

    # In

    def _drain(self) -> None:
        """Read all that has arrived."""
        for channel in self._channels:
            if channel.unstamped:
                self._read_notices(channel)
            for _ in range(64):
                got = channel.socket.receive(self._inbox)
                if got < 0:
                    self._read_notices(channel)
                    continue
                if got:
                    self._absorb(channel, got)
                if got < self._inbox.count:
                    break
        self._check_clock()
        self._guard.settle()
        self._drained = time.monotonic()

    def _absorb(self, channel: Channel, count: int) -> None:
        """Find the ping each packet is about, and what it says of it."""
        stamps, dropped = packetio.stamps(self._inbox, count)
        if dropped >= 0:
            self._note_drops(channel, dropped)
        self._check_clock()
        arrived, trusted = self._guard.monotonic(stamps)
        packets, lengths = self._inbox.packets[:count], self._inbox.lengths[:count].astype(np.int64)
        family = channel.socket.options.family
        seen = icmp.read(packets, lengths, family, channel.socket.ip_header)
        pings = self._in_flight(channel, seen.id, seen.sequence)
        self._strays += int((pings < 0).sum())
        replies = np.flatnonzero(seen.reply & (pings >= 0))
        if len(replies):
            good = self._intact(channel, replies, packets, lengths, seen.start, pings)
            chosen = replies[good]
            self._answer(pings[chosen], arrived[chosen], trusted[chosen])
        errors = np.flatnonzero(seen.error & (pings >= 0))
        if len(errors):
            told = packets[errors]
            where = seen.quoted_to[errors, np.newaxis] + np.arange(4 if family == 4 else 16)
            to = np.take_along_axis(told, where, axis=1)
            self._blame(
                family, _Complaints(seen.kind[errors], pings[errors], told, lengths[errors], seen.quoted[errors], to)
            )

    def _in_flight(self, channel: Channel, ids: Rows, sequences: Rows) -> Rows:
        """Rows of the pings in flight under these numbers, -1 where there is none."""
        pings, keys = channel.pings(ids, sequences)
        return np.where((pings >= 0) & (self._flight.pings.key[pings] == keys), pings, -1)

    def _answer(self, pings: Rows, arrived: Rows, trusted: NDArray[np.bool_]) -> None:
        before = self._flight.total_answered
        self._strays += self._flight.answered(pings, arrived, trusted, time.monotonic())
        self._received += self._flight.total_answered - before

    def _intact(
        self, channel: Channel, replies: Rows, packets: NDArray[np.uint8], lengths: Rows, start: Rows, pings: Rows
    ) -> NDArray[np.bool_]:
        """Which replies are undamaged; the damaged ones are counted."""
        flight = self._flight
        rounds = flight.pings.round[pings[replies]]
        good = np.zeros(len(replies), bool)
        for number, mine in groups(flight.rounds.profile[rounds]):
            at, common = replies[mine], self._profiles[number].common
            numbers = flight.pings.number[pings[at]]
            good[mine] = icmp.intact(
                _pick(packets, at), _pick(lengths, at), _pick(start, at), common, numbers,
                summed=channel.socket.ip_header,
            )  # fmt: skip
            if not good[mine].all():
                bad = at[~good[mine]]
                self._damaged(channel, bad, icmp.numbers_of(packets[bad], start[bad], common), pings[bad])
        return good

    def _damaged(self, channel: Channel, at: Rows, claimed: Rows, pings: Rows) -> None:
        """Replies that are not what was asked for: damaged ones from the target; anything else is a stray."""
        family = channel.socket.options.family
        targets = _host_part(self._flight.rounds.name[self._flight.pings.round[pings]], family)
        senders = (
            self._inbox.packets[at, 12:16] if channel.socket.ip_header else _host_part(self._inbox.names[at], family)
        )
        from_target = (senders == targets).all(axis=1)
        # Our cookie with the number of an earlier ping: an old answer, undamaged.
        old = (claimed >= 0) & (claimed < self._number) & (claimed != self._flight.pings.number[pings])
        damaged = from_target & ~old
        self._strays += int((~damaged).sum())
        self._flight.corrupted(pings[damaged])

    def _blame(self, family: int, told: "_Complaints") -> None:
        """ICMP errors: what they quote must have gone to the ping's target, and agree with it as far as it goes."""
        flight = self._flight
        rounds = flight.pings.round[told.pings]
        good = (_host_part(flight.rounds.name[rounds], family) == told.to).all(axis=1)
        for number, at in groups(flight.rounds.profile[rounds]):
            good[at] &= icmp.quotes(
                told.packets[at], told.lengths[at], told.quoted[at], self._profiles[number].common,
                flight.pings.number[told.pings[at]],
            )  # fmt: skip
        self._strays += int((~good).sum())
        flight.failed(told.pings[good], told.kinds[good] + (ERROR_ICMP4 if family == 4 else ERROR_ICMP6))

    def _read_notices(self, channel: Channel) -> bool:
        """Read the error queue; whether it held ICMP errors about pings, as that of a DGRAM socket does."""
        found = channel.socket.read_notices(self._notices)
        if found.numbers:
            self._set_times(channel, np.concatenate(found.numbers), np.concatenate(found.stamps))
        if found.errors:
            self._hear_errors(channel, found.errors)
        return bool(found.errors)

    def _set_times(self, channel: Channel, numbers: NDArray[np.uint32], stamps: Rows) -> None:
        """The kernel told when these packets really left."""
        channel.unstamped = max(0, channel.unstamped - len(numbers))
        p = self._flight.pings
        pings, expected = channel.asked_pings[:, numbers & 0xFFFF]
        self._check_clock()
        times, trusted = self._guard.monotonic(stamps)
        # Never before it was handed over: a stamp that says so belongs to another packet.
        good = trusted & (p.number[pings] == expected) & (p.key[pings] >= 0) & (times >= p.sent[pings] - _EARLIEST)
        p.sent[pings[good]], p.exact[pings[good]] = times[good], True

    def _hear_errors(self, channel: Channel, found: list[Notice]) -> None:
        width = icmp.HEADER + icmp.MARK
        packets = np.zeros((len(found), width), np.uint8)
        for row, notice in zip(packets, found, strict=True):
            quoted = np.frombuffer(notice.packet[:width], np.uint8)
            row[: len(quoted)] = quoted
        lengths = np.array([len(notice.packet) for notice in found], np.int64)
        sequences = np.where(lengths >= icmp.HEADER, packets[:, 6].astype(np.int64) << 8 | packets[:, 7], -1)
        pings = self._in_flight(channel, np.full(len(found), channel.socket.id_base), sequences)
        self._strays += int((pings < 0).sum())
        known = np.flatnonzero(pings >= 0)
        if len(known):
            to = np.array([list(notice.to) for notice in found], np.uint8)
            kinds = np.array([notice.kind for notice in found], np.int64)
            begin = np.zeros(len(known), np.int64)
            self._blame(
                channel.socket.options.family,
                _Complaints(kinds[known], pings[known], packets[known], lengths[known], begin, to[known]),
            )

    def _check_clock(self) -> None:
        if self._guard.check():
            self._flight.doubt(self._guard.since)

    def _note_drops(self, channel: Channel, counter: int) -> None:
        """The kernel's drop counter, 32 bits: what was added since the last look hit all rounds under way there."""
        added = (counter - channel.dropped) & 0xFFFFFFFF
        if added:
            channel.dropped = counter
            self._own_drops += added
            hit = np.array([channel in profile.route.channels for profile in self._profiles])
            self._flight.flag(Flag.OWN_DROPS, hit)

    # Waiting and ending

    def _finish(self, rows: Rows) -> None:
        """End these rounds; where pings are missing, look first whether it was us who dropped the answers."""
        if not len(rows):
            return
        r = self._flight.rounds
        if (r.settled[rows] < r.pings[rows]).any():
            for channel in self._channels:
                self._note_drops(channel, channel.socket.drops())
        self._flight.finish(rows)

    def _crowded(self) -> bool:
        """Whether answers might soon not fit into a receive buffer."""
        return 4 * self._flight.pending > min((channel.socket.capacity for channel in self._channels), default=0)

    def _wait(self, woke: float, until: float) -> None:
        """Sleep until something is due; what arrives is read at once, or after a lull since the last reading."""
        if not self._flight.busy:
            return
        target = min(max(self._flight.next_wake(), woke + self._tick), until)
        attentive = woke if self._crowded() else max(woke + self._tick, self._drained + self._lull)
        now = time.monotonic()
        if now < (quiet := min(target, attentive)):
            packetio.wait((), quiet - now)
            now = time.monotonic()
        if now < target and packetio.wait([channel.socket for channel in self._channels], target - now):
            self._drain()


def _random(size: int) -> int:
    return int.from_bytes(os.urandom(size), "little")


def _pick(column: NDArray[Any], rows: Rows) -> NDArray[Any]:
    """Some rows, ascending; all of them without a copy."""
    return column if len(rows) == len(column) else column[rows]


def _spread(size: int, firsts: list[int], counts: list[int], begins: list[int], eaches: list[float]) -> Rows:
    """When each of `size` packets left: chunks of `counts` packets, which took `eaches` ns each; 0 for the others."""
    times = np.zeros(size, np.int64)
    within = np.concatenate([np.arange(count) for count in counts]) if counts else np.zeros(0, np.int64)
    sent = np.repeat(np.array(firsts, np.int64), counts) + within
    # A packet is on its way about a third into its share of the time.
    times[sent] = np.repeat(np.array(begins, np.int64), counts) + ((within + 0.3) * np.repeat(eaches, counts)).astype(
        int
    )
    return times


def _host_part(names: NDArray[np.uint8], family: int) -> NDArray[np.uint8]:
    """The address in `struct sockaddr_in` or `sockaddr_in6`."""
    return names[:, 4:8] if family == 4 else names[:, 8:24]


def _mapped(names: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Socket addresses as IPv6 addresses, IPv4 as ::ffff:a.b.c.d, u1[n, 16]."""
    made = names[:, 8:24].copy()
    four = names[:, 0] == 2  # AF_INET, and so is its low byte
    made[four, :10], made[four, 10:12], made[four, 12:] = 0, 0xFF, names[four, 4:8]
    return made


def _why(probe: Probe, family: int, number: int) -> str:
    """Why no socket could be set up, and what to do."""
    interface = probe.interface or probe.source.partition("%")[2]
    reasons: dict[int, str] = {
        errno.EADDRNOTAVAIL: f"source {probe.source}: is not an address of this machine; see `ip address`",
        errno.EINVAL: f"source {probe.source}: is not an IPv{family} address",
        errno.ENODEV: f"interface {interface}: does not exist here; see `ip link`",
        errno.EPERM: f"interface {interface}: binding to it needs CAP_NET_RAW",
    }
    return reasons.get(number, f"ICMP socket for IPv{family}: {os.strerror(number)}")
