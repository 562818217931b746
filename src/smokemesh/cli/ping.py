"""`smokemesh ping`: the ICMP and TCP engines from the terminal, with fping's options, output and exit codes.

Milliseconds are typed and shown; everything within is seconds.
"""

import contextlib
import errno
import gc
import itertools
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import click

from smokemesh.errors import ConfigError, SmokemeshError

if TYPE_CHECKING:  # NumPy and the engine are imported when pings are sent: `--help` and mistakes are quick
    import numpy as np
    from numpy.typing import NDArray

    from smokemesh.cli.ping_targets import Host
    from smokemesh.model.probe import Probe
    from smokemesh.model.rounds import RoundBatch
    from smokemesh.probes.engine import Engine
    from smokemesh.probes.flight import Event, Watcher

#: fping's exit codes; they stand in for the general ones here.
REACHABLE, UNREACHABLE, UNKNOWN_NAME, BAD_ARGUMENTS, SYSTEM_CALL = range(5)

#: Without a timeout typed, count and loop modes wait one period, but never longer than this.
_LONGEST_TIMEOUT: Final = 2.0
_DEFAULT_TIMEOUT: Final = 0.5
#: Pings of one round in loop mode: the most that is handed to the engine ahead of time.
_LOOP_PINGS: Final = 10
#: How long the engine works between two looks at what is to be shown.
_SLICE: Final = 0.02
_MOST_PINGS: Final = 65_535

EPILOG: Final = """
\b
Exit codes, as fping's:
  0  every host answered          3  bad arguments
  1  some host did not            4  a system call failed (permission, port, file)
  2  some name was not found

\b
--json writes one line per host: host, address, sent, received, late, duplicates, reordered, corrupted, errors,
loss (0..1), timeout, rtts (seconds in the order sent, null where lost; late ones stand with their true RTT),
outcomes (answered, late or lost, per ping), error (the first, in words), flags.

An answer after the timeout is late: `-` in -C, as fping has it, but counted apart in -c, -s and --json.

With --tcp a closed port is an answer too, and told apart; a SYN that was lost is a lost ping, however the connection ends.
"""


class _BadArguments(click.UsageError):
    exit_code = BAD_ARGUMENTS


class _Command(click.Command):
    """A command whose mistyped options end with fping's exit code."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            raise _BadArguments(error.format_message(), error.ctx) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What was typed, in seconds."""

    #: Pings per host; 0 asks only which hosts are alive.
    count: int
    #: Report each ping's RTT at the end.
    each: bool
    loop: bool
    quiet: bool
    interval: float
    period: float
    timeout: float
    retries: int
    backoff: float
    alive: bool
    unreachable: bool
    elapsed: bool
    stats: bool
    stamped: bool
    json: bool
    probe: "Probe"


@click.command(
    name="ping",
    cls=_Command,
    epilog=EPILOG,
    context_settings={"auto_envvar_prefix": "SMOKEMESH_PING", "help_option_names": ["-h", "--help"]},
)
@click.argument("hosts", nargs=-1, metavar="HOST...")
@click.option("-4", "--ipv4", "family", flag_value="4", help="Only IPv4 addresses.")
@click.option("-6", "--ipv6", "family", flag_value="6", help="Only IPv6 addresses.")
@click.option("-f", "--file", metavar="FILE", help="Read hosts from FILE, one a line; - is standard input.")
@click.option("-m", "--all", "every", is_flag=True, help="Ping all addresses of a name.")
@click.option("-c", "--count", type=click.IntRange(1, _MOST_PINGS), metavar="N", help="Send N pings to each host.")
@click.option("-C", "--vcount", type=click.IntRange(1, _MOST_PINGS), metavar="N", help="The same; report each RTT.")
@click.option("-l", "--loop", is_flag=True, help="Send pings until Ctrl-C.")
@click.option(
    "-i", "--interval", type=click.FloatRange(0), default=10, show_default=True, metavar="MS",
    help="Between any two packets; 0 sends as fast as the machine can.",
)  # fmt: skip
@click.option(
    "-p", "--period", type=click.FloatRange(0), default=1000, show_default=True, metavar="MS",
    help="Between two pings to one host.",
)  # fmt: skip
@click.option(
    "-t", "--timeout", type=click.FloatRange(0, min_open=True), metavar="MS",
    help="An answer after this is late.  [default: 500; with -c, -C and -l the period, at most 2000]",
)  # fmt: skip
@click.option(
    "-r", "--retry", type=click.IntRange(0, 1000), default=3, show_default=True, help="Tries after the first."
)
@click.option(
    "-B", "--backoff", type=click.FloatRange(1, 5), default=1.5, show_default=True,
    help="Each try waits this much longer.",
)  # fmt: skip
@click.option("-b", "--size", type=click.IntRange(0, 65_507), default=56, show_default=True, help="Bytes of payload.")
@click.option(
    "--tcp", type=click.IntRange(1, _MOST_PINGS), metavar="PORT",
    help="Open TCP connections to PORT instead of sending ICMP echoes; needs no privilege.",
)  # fmt: skip
@click.option("-O", "--tos", metavar="N", help="Type of service byte: 0..255, or as 0x hexadecimal.")
@click.option("--dscp", type=click.IntRange(0, 63), metavar="N", help="The same as its upper six bits.")
@click.option("-H", "--ttl", type=click.IntRange(1, 255), default=64, show_default=True, help="Time to live, in hops.")
@click.option("-M", "--dontfrag", is_flag=True, help="Set the don't-fragment flag.")
@click.option("-S", "--src", metavar="ADDRESS", default="", help="Source address.")
@click.option("-I", "--iface", metavar="NAME", default="", help="Interface to send by.")
@click.option("-a", "--alive", is_flag=True, help="Show hosts that are alive.")
@click.option("-u", "--unreach", is_flag=True, help="Show hosts that are unreachable.")
@click.option("-A", "--addr", is_flag=True, help="Show hosts by address.")
@click.option("-e", "--elapsed", is_flag=True, help="Show the RTT of hosts that are alive.")
@click.option("-D", "--timestamp", is_flag=True, help="Begin each line with the time.")
@click.option("-q", "--quiet", is_flag=True, help="Show only what is asked for at the end.")
@click.option("-s", "--stats", is_flag=True, help="Show totals at the end.")
@click.option("--json", "as_json", is_flag=True, help="Write one line of JSON per host.")
@click.option("--socket", type=click.Choice(["auto", "dgram", "raw"]), default="auto", show_default=True,
              help="Kind of ICMP socket; dgram needs no privilege where net.ipv4.ping_group_range allows it.")  # fmt: skip
@click.pass_context
def command(ctx: click.Context, /, hosts: tuple[str, ...], file: str | None, **typed: Any) -> None:
    """Measure hosts from this terminal: many at once, with fping's options and output."""
    # NumPy's linear algebra would start threads that are of no use here.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    gc.disable()  # nothing here makes cycles worth looking for, and looking costs more than it frees
    order = _order(typed)
    try:
        status = _ping(_names(hosts, file), order, typed)
    except SmokemeshError as error:
        click.echo(f"smokemesh: {error}", err=True)
        status = BAD_ARGUMENTS if isinstance(error, ConfigError) else SYSTEM_CALL
    ctx.exit(status)


def _names(hosts: Sequence[str], file: str | None) -> list[str]:
    from smokemesh.cli.ping_targets import read_hosts

    if file is not None and hosts:
        raise _BadArguments("hosts are either typed or read with -f, not both")
    names = read_hosts(file) if file is not None else list(hosts)
    if not names:
        raise _BadArguments("no host to ping; name one, or a file of them with -f")
    return names


def _order(typed: dict[str, Any]) -> Order:
    """What was typed, checked for contradictions."""
    from smokemesh.model.probe import Probe

    count, each, loop = typed["count"], typed["vcount"], typed["loop"]
    if (count is not None) + (each is not None) + loop > 1:
        raise _BadArguments("-c, -C and -l exclude one another")
    if typed["tos"] is not None and typed["dscp"] is not None:
        raise _BadArguments("--tos and --dscp set the same byte; give one")
    if typed["tcp"]:
        _no_icmp(typed)
    period = typed["period"] / 1e3
    default = _DEFAULT_TIMEOUT if not (count or each or loop) else min(period, _LONGEST_TIMEOUT) or _DEFAULT_TIMEOUT
    timeout = default if typed["timeout"] is None else typed["timeout"] / 1e3
    probe = Probe(
        name="ping", kind="tcp" if typed["tcp"] else "icmp", options=(("port", str(typed["tcp"])),) if typed["tcp"] else (),
        timeout=timeout, size=typed["size"], source=typed["src"], interface=typed["iface"],
        dont_fragment=typed["dontfrag"], ttl=typed["ttl"], dscp=_dscp(typed["tos"], typed["dscp"]),
    )  # fmt: skip
    return Order(
        count=count or each or 0, each=each is not None, loop=loop, quiet=typed["quiet"] or typed["as_json"],
        interval=typed["interval"] / 1e3, period=period, timeout=timeout, retries=typed["retry"],
        backoff=typed["backoff"], alive=typed["alive"], unreachable=typed["unreach"], elapsed=typed["elapsed"],
        stats=typed["stats"], stamped=typed["timestamp"], json=typed["as_json"], probe=probe,
    )  # fmt: skip


def _no_icmp(typed: dict[str, Any]) -> None:
    """What only echo requests have."""
    for option, given in (
        ("-b", typed["size"] != 56),
        ("-M", typed["dontfrag"]),
        ("--socket", typed["socket"] != "auto"),
    ):
        if given:
            raise _BadArguments(f"--tcp and {option} exclude one another: a SYN carries nothing and has its own socket")


def _dscp(tos: str | None, dscp: int | None) -> int:
    if tos is None:
        return dscp or 0
    with contextlib.suppress(ValueError):
        if 0 <= (value := int(tos, 0)) <= 255:
            if value & 3:
                raise _BadArguments(f"--tos {tos}: its lowest two bits are ECN's (RFC 3168); write {value & ~3:#04x}")
            return value >> 2
    raise _BadArguments(f"--tos {tos}: is not a byte, write 0..255 or 0x00..0xff")


def _ping(names: list[str], order: Order, typed: dict[str, Any]) -> int:
    from smokemesh.cli.ping_targets import resolve

    hosts, problems = resolve(names, typed["family"] or "auto", every=typed["every"], show_address=typed["addr"])
    for problem in problems:
        if not order.quiet:
            click.echo(problem, err=True)
    if typed["addr"]:
        hosts = [replace(host, name=host.address) for host in hosts]
    run = _Run(hosts, order, len(problems), typed["socket"])
    alive = run.count() if order.count else run.loop() if order.loop else run.alive()
    if problems:
        return UNKNOWN_NAME
    return REACHABLE if alive == len(hosts) else UNREACHABLE


class _Run:
    """One run over some hosts: sends, shows, and tells how many hosts answered."""

    def __init__(self, hosts: "list[Host]", order: Order, unknown: int, socket: str) -> None:
        self.hosts, self.order, self.unknown = hosts, order, unknown
        self.names = [host.name for host in hosts]
        watch = not order.quiet or not order.count
        self.live = _Live(self.names, order)
        self.engine = self._make_engine(socket, self.live if watch else None)
        self.begun = time.monotonic()

    def _make_engine(self, socket: str, watcher: "Watcher | None") -> "Engine":
        if self.order.probe.kind == "tcp":
            from smokemesh.probes.tcp import TcpEngine

            return TcpEngine(watcher=watcher)
        from smokemesh.probes.icmp import IcmpEngine

        # Nothing is gained by waiting for duplicates of the last ping of a host that is only asked for a sign of life.
        grace = 0.01 if self.order.count else 0.0
        engine = IcmpEngine(socket=socket, grace=grace, tick=0.001, lull=0.01, watcher=watcher)
        for family in sorted({6 if ":" in host.address else 4 for host in self.hosts}):
            engine.prepare(self.order.probe, family)
        return engine

    def start(self, which: Sequence[int], probe: "Probe", at: float, number: int = 0) -> None:
        """Begin a round for each of these hosts, `interval` apart; its task tells the host and the round's number."""
        from smokemesh.probes.engine import RoundRequest

        now, gap = time.time_ns(), self.order.interval
        self.engine.start([
            RoundRequest(host + number * len(self.hosts), now, at + i * gap, self.hosts[host].address, probe)
            for i, host in enumerate(which)
        ])  # fmt: skip

    def work(self, until: float | None = None) -> None:
        """Let the engine work until it is done, or until then, showing what happens."""
        while self.engine.busy and (until is None or time.monotonic() < until):
            self.engine.run(min(time.monotonic() + _SLICE, until or float("inf")))
            self.live.show()

    def spacing(self) -> float:
        """Seconds between two pings to one host: the period, or longer when the packets of all others need it."""
        return max(self.order.period, self.order.interval * len(self.hosts))

    # The three modes

    def count(self) -> int:
        """So many pings to each host."""
        from smokemesh.model.rounds import RoundBatch

        probe = replace(self.order.probe, pings=self.order.count, interval=self.spacing())
        self.start(range(len(self.hosts)), probe, time.monotonic())
        try:
            self.work()
        except KeyboardInterrupt:
            return self.interrupted()
        self.live.give_up()
        batch = self.engine.take()
        return self.report(RoundBatch.concatenate([batch]))

    def loop(self) -> int:
        """Pings until Ctrl-C: short rounds, each begun a little before the one before it ends."""
        probe = replace(self.order.probe, pings=_LOOP_PINGS, interval=self.spacing())
        at, length = time.monotonic(), _LOOP_PINGS * self.spacing()
        with contextlib.suppress(KeyboardInterrupt):
            for number in itertools.count():
                self.start(range(len(self.hosts)), probe, at, number)
                at += length
                self.work(at - min(0.05, length / 2))
                self.print_json(self.engine.take())
        return self.interrupted()

    def interrupted(self) -> int:
        """Ctrl-C: what is known so far."""
        self.live.show()
        if not self.order.json:
            self.live.summary()
        return sum(tally.answered > 0 for tally in self.live.tallies)

    def alive(self) -> int:
        """Ask each host for a sign of life, those that gave none again and with more patience."""
        from smokemesh.model.rounds import RoundBatch

        waiting: Sequence[int] = range(len(self.hosts))
        timeout, batches = self.order.timeout, []
        for _ in range(self.order.retries + 1):
            # Patience is twice the timeout: here an answer counts until the timeout, and no longer is waited.
            self.start(waiting, replace(self.order.probe, pings=1, timeout=timeout / 2), time.monotonic())
            self.work()
            batch = self.engine.take()
            batches.append(batch)
            waiting = sorted(batch.task[batch.received == 0].tolist())
            timeout *= self.order.backoff
            if not waiting:
                break
        return self.report_alive(RoundBatch.concatenate(batches), waiting)

    # Reports

    def report(self, batch: "RoundBatch") -> int:
        """The end of count mode."""
        import numpy as np

        from smokemesh.cli.ping_report import count_lines, tallies_of, verbose_lines

        order = np.argsort(batch.task)
        rtts = batch.matrix()[order].astype(np.float64)
        rtts[rtts > self.order.timeout] = np.nan
        if self.order.json:
            self.print_json(batch)
        else:
            if not self.order.quiet:
                click.echo(err=True)
            late = batch.late[order].tolist()
            lines = (
                verbose_lines(self.names, rtts)
                if self.order.each
                else count_lines(self.names, tallies_of(rtts, batch.sent[order].tolist()), late)
            )
            while block := list(itertools.islice(lines, 1000)):  # stderr is not buffered
                sys.stderr.write("\n".join(block) + "\n")
        alive = int((~np.isnan(rtts)).any(axis=1).sum())
        self.print_stats(batch, rtts, alive)
        return alive

    def report_alive(self, batch: "RoundBatch", dead: Sequence[int]) -> int:
        """The end of the mode that only asks who is alive."""
        import numpy as np

        if self.order.json:
            self.print_json(batch)
        for host in dead:
            if self.order.unreachable and not self.order.json:
                click.echo(self.names[host])
            elif not self.order.quiet and not self.order.alive:
                click.echo(f"{self.names[host]} is unreachable")
        self.print_stats(batch, batch.matrix().astype(np.float64), len(self.hosts) - len(dead))
        return len(self.hosts) - len(dead)

    def print_json(self, batch: "RoundBatch") -> None:
        """One line per round, in the order of the hosts."""
        if not self.order.json:
            return
        from smokemesh.cli.ping_report import json_line

        for i in sorted(range(len(batch)), key=lambda i: int(batch.task[i])):
            host = self.hosts[int(batch.task[i]) % len(self.hosts)]
            click.echo(json_line(host.name, host.address, batch, i, self.order.timeout))

    def print_stats(self, batch: "RoundBatch", rtts: "NDArray[np.float64]", alive: int) -> None:
        """Totals, when they were asked for."""
        if not self.order.stats:
            return
        import numpy as np

        from smokemesh.cli.ping_report import Totals, stats_lines

        good = rtts[~np.isnan(rtts)]
        totals = Totals(
            targets=len(self.hosts), alive=alive, unknown=self.unknown, sent=int(batch.sent.sum()), received=len(good),
            late=int(batch.late.sum()), other=int(batch.errors.sum()) + self.engine.counters().strays,
            rtts=(good.min(), good.mean(), good.max()) if len(good) else None, elapsed=time.monotonic() - self.begun,
        )  # fmt: skip
        lines = stats_lines(totals, tcp=self.order.probe.kind == "tcp")
        sys.stderr.write("".join(f"{line}\n" for line in lines))


class _Live:
    """What is shown while pings are under way: told of each by the engine, it collects lines and prints them at once."""

    def __init__(self, names: Sequence[str], order: Order) -> None:
        from smokemesh.cli.ping_report import Tally

        self.names, self.order = names, order
        self.width = max(map(len, names), default=0)
        self.tallies: list[Tally] = [Tally() for _ in names]
        #: Pings not yet answered, in the order sent: when they are given up, by host and number.
        self.waiting: dict[tuple[int, int], float] = {}
        self.complained: set[int] = set()
        self.out: list[str] = []
        self.err: list[str] = []

    def __call__(
        self, event: "Event", tasks: "NDArray[np.uint64]", indexes: "NDArray[np.int64]", values: "NDArray[np.float64]"
    ) -> None:
        """Told by the engine."""
        tell = self._tell if self.order.count or self.order.loop else self._tell_alive
        for task, index, value in zip(tasks.tolist(), indexes.tolist(), values.tolist(), strict=True):
            number, host = divmod(task, len(self.names))
            tell(event, host, number * _LOOP_PINGS + index, value)

    def _tell(self, event: "Event", host: int, index: int, value: float) -> None:
        from smokemesh.cli.ping_report import milliseconds
        from smokemesh.probes.flight import Event

        if event == Event.SENT:
            self.waiting[host, index] = value + self.order.timeout
        elif event == Event.ANSWERED and value <= self.order.timeout:
            self.waiting.pop((host, index), None)
            self.tallies[host].answer(value)
            self._line(host, f"[{index}], {self._what()}, {milliseconds(value)} ms {self.tallies[host]}")
        elif event == Event.DUPLICATE:
            self._line(host, f"duplicate for [{index}], {self._what()}, {milliseconds(value)} ms")
        elif event == Event.FAILED:
            self._complain(host, index, value)
        elif event == Event.REFUSED:
            self.tallies[host].done += 1
            self._complain(host, index, value)

    def _tell_alive(self, event: "Event", host: int, index: int, value: float) -> None:
        from smokemesh.cli.ping_report import milliseconds
        from smokemesh.probes.flight import Event

        if event in (Event.FAILED, Event.REFUSED):
            self._complain(host, index, value)
        elif event == Event.ANSWERED and not self.order.json:
            rtt = f" ({milliseconds(value)} ms)" if self.order.elapsed else ""
            if self.order.alive:
                self.out.append(f"{self.names[host]}{rtt}")
            elif not self.order.quiet and not self.order.unreachable:
                self.out.append(f"{self.names[host]} is alive{rtt}")

    def _line(self, host: int, text: str) -> None:
        if not self.order.quiet:
            stamp = f"[{time.time():.5f}] " if self.order.stamped else ""
            self.out.append(f"{stamp}{self.names[host]:<{self.width}} : {text}")

    def _what(self) -> str:
        """What was answered, as fping says it of echo requests."""
        probe = self.order.probe
        return f"port {dict(probe.options)['port']}" if probe.kind == "tcp" else f"{probe.size + 8} bytes"

    def _complain(self, host: int, index: int, error: float) -> None:
        """Once per host: an error seldom comes alone."""
        from smokemesh.cli.ping_report import error_text

        if self.order.quiet or host in self.complained:
            return
        self.complained.add(host)
        text = error_text(int(error))
        name, tcp = self.names[host], self.order.probe.kind == "tcp"
        if text.startswith("ICMP"):
            self.err.append(f"{text} for {'TCP SYN' if tcp else 'ICMP Echo'} sent to {name}")
        elif tcp and int(error) & 0xFFFF == errno.ECONNREFUSED:
            self.err.append(f"{name}: {self._what()} is closed")
        else:
            self.err.append(f"{name}: error while sending ping: {text}")

    def show(self) -> None:
        """Print what has come together, and what was given up by now."""
        self._expire(time.monotonic())
        for lines, stream in ((self.out, sys.stdout), (self.err, sys.stderr)):
            if lines:
                stream.write("".join(f"{line}\n" for line in lines))
                stream.flush()
                lines.clear()

    def give_up(self) -> None:
        """The run is over: what is still waited for is lost."""
        self._expire(float("inf"))
        self.show()

    def _expire(self, now: float) -> None:
        for host, index in list(_until(self.waiting, now)):
            del self.waiting[host, index]
            self.tallies[host].done += 1
            self._line(host, f"[{index}], timed out {self.tallies[host]}")

    def summary(self) -> None:
        """What is known so far of each host."""
        from smokemesh.cli.ping_report import count_lines

        lines = count_lines(self.names, self.tallies, [0] * len(self.names))
        sys.stderr.write("\n" + "".join(f"{line}\n" for line in lines))


def _until(waiting: dict[tuple[int, int], float], now: float) -> Iterator[tuple[int, int]]:
    """Those whose time has come; they stand in the order sent and have the same timeout."""
    for key, deadline in waiting.items():
        if deadline > now:
            return
        yield key
