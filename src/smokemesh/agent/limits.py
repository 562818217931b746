"""What the agent keeps to, whatever a master says: whom it measures, how often, how large, how fast.

Two gates. `Gatekeeper` looks at a task and the address it resolved to and gives a reason to refuse it, or none. `Pacer`
looks at each round and lets it begin, later if need be, or not at all: a token bucket for all packets and one for each
destination prefix (/24, /48). It is told the time; seconds on the monotonic clock.
"""

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from smokemesh.errors import ConfigError
from smokemesh.model import options
from smokemesh.model.options import HttpOptions, SmtpOptions
from smokemesh.model.probe import Probe
from smokemesh.probes.urls import fill, url_host
from smokemesh.settings.shape import Limits

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

#: A bucket holds this many seconds of its rate.
BURST: Final = 1.0
#: A round waits for its packets at most this many seconds, or this share of its step; else it is left out.
MOST_WAIT: Final = 2.0
MOST_WAIT_SHARE: Final = 0.1
#: Buckets of prefixes that are full again are forgotten when there are more than this many.
MOST_BUCKETS: Final = 4096
#: Pings in one round: they are counted in 16 bits.
MOST_PINGS: Final = 65_535
#: What one ping may fetch, whom its message may go to and how large it may be: it is made in memory.
MOST_URLS: Final = 10
MOST_RECEIVERS: Final = 10
MOST_BODY: Final = 1_000_000
#: How far two rates may differ and still be equal: sums of 1/step do not come out even.
ROUNDING: Final = 1e-9
#: Stands for the target's own host where only the probe is known (RFC 6761).
_OWN: Final = "own.invalid"


def parse_address(text: str) -> Address | None:
    """A literal address; an IPv4 address written inside IPv6 (::ffff:192.0.2.1) is that IPv4 address."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _networks(texts: Iterable[str], key: str) -> tuple[Network, ...]:
    networks = []
    for text in texts:
        try:
            networks.append(ip_network(text))
        except ValueError as error:
            raise ConfigError(f"limits.{key}: {error}; write a network such as 192.0.2.0/24") from error
    return tuple(networks)


def nonsense(probe: Probe) -> str:
    """What no engine could run, whatever the limits; "" for a probe that makes sense. A master may be newer or broken."""
    checks = (
        ("step", probe.step, 0.01, 86400.0 * 366),
        ("pings", probe.pings, 1, MOST_PINGS),
        ("interval", probe.spacing, 0.0, 86400.0),
        ("timeout", probe.timeout, 0.001, 3600.0),
        ("offset", probe.offset or 0.0, 0.0, 86400.0 * 366),
        ("size", probe.size, 0, 65_507),
        ("dscp", probe.dscp, 0, 63),
        ("ttl", probe.ttl, 1, 255),
    )
    for name, value, least, most in checks:
        if not least <= value <= most:  # NaN fails as well
            return f"probe {probe.name}: {name} is {value:g}, must be {least:g} to {most:g}"
    if probe.family not in ("auto", "4", "6"):
        return f"probe {probe.name}: family is {probe.family!r}, must be auto, 4 or 6"
    if probe.source and parse_address(probe.source) is None:
        return f"probe {probe.name}: source {probe.source!r} is no address"
    return _wrong_options(probe)


def _wrong_options(probe: Probe) -> str:
    if probe.kind not in options.KINDS:
        return f"probe {probe.name}: kind {probe.kind!r} is unknown to this agent; a newer version may know it"
    try:
        typed = options.read(options.KINDS[probe.kind], probe.options)
    except ValueError as error:
        return f"probe {probe.name}: {error}"
    counts = (
        ("port", getattr(typed, "port", 1), 1, 65_535),
        ("body", getattr(typed, "body", 0), 0, MOST_BODY),
        ("number of URLs", len(typed.url.split()) if isinstance(typed, HttpOptions) else 0, 0, MOST_URLS),
        ("number of receivers", len(_receivers(typed)) if isinstance(typed, SmtpOptions) else 0, 0, MOST_RECEIVERS),
    )
    for name, value, least, most in counts:
        if not least <= value <= most:
            return f"probe {probe.name}: {name} is {value}, must be {least} to {most}"
    return ""


def _receivers(typed: SmtpOptions) -> list[str]:
    return typed.to.replace(",", " ").split()


@lru_cache(maxsize=4096)
def further_hosts(kind: str, pairs: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    """The host of each URL after the first; "" where it is the target's own."""
    if kind != "http":
        return ()
    urls = options.read(HttpOptions, pairs).url.split()
    hosts = [url_host(fill(url, _OWN)) for url in urls]
    return tuple("" if host in (hosts[0], _OWN) else host for host in hosts[1:])


class Fence:
    """The networks that may be measured."""

    def __init__(self, limits: Limits) -> None:
        self._allow = _networks(limits.allow, "allow")
        self._deny = _networks(limits.deny, "deny")

    def refuse(self, text: str) -> str:
        """Why this address may not be measured, "" when it may."""
        address = parse_address(text)
        if address is None:
            return f"{text} is no address"
        if address.is_unspecified:
            return f"{address} is no host's address"
        for network in self._deny:
            if address in network:
                return f"{address} is in {network} (limits.deny)"
        if self._allow and not any(address in network for network in self._allow):
            return f"{address} is in no network of limits.allow"
        return ""


class Gatekeeper:
    """Refuses tasks of one assignment. Tasks are shown in the assignment's order: the first come are kept."""

    def __init__(self, limits: Limits) -> None:
        self._limits, self._fence = limits, Fence(limits)
        #: Rounds per second and first target of each address, and of each further host that a probe's URLs name.
        self._rates: dict[Address | str, tuple[float, str]] = {}

    def refuse_task(self, probe: Probe) -> str:
        """Why a task with this probe may not be measured at all, "" when it may."""
        limits = self._limits
        if probe.step < limits.least_interval:
            return f"step {probe.step:g} s is below {limits.least_interval:g} s (limits.least_interval)"
        if probe.pings > 1 and probe.spacing < limits.least_ping_interval:
            return f"pings {probe.spacing:g} s apart, at least {limits.least_ping_interval:g} s (limits.least_ping_interval)"
        if probe.size > limits.most_packet_size:
            return f"size {probe.size} bytes is above {limits.most_packet_size} (limits.most_packet_size)"
        if probe.kind == "smtp" and dict(probe.options).get("to") and not {"smtp", "*"} & set(limits.commands):
            return f"probe {probe.name} sends mail: the agent's limits.commands does not name smtp"
        return _refuse_program(probe, limits) if probe.kind == "command" else ""

    def refuse_address(self, text: str, probe: Probe, target: str) -> str:
        """Why this address may not be measured (again), "" when it may."""
        refusal, address = self._fence.refuse(text), parse_address(text)
        if refusal or address is None:
            return refusal
        further = {parse_address(host) or host for host in further_hosts(probe.kind, probe.options) if host}
        return self._refuse_rates([address, *sorted(further - {address}, key=str)], probe, target)

    def _refuse_rates(self, hosts: Iterable[Address | str], probe: Probe, target: str) -> str:
        """One host measured by several tasks gets no more rounds than one task could ask for."""
        rates: dict[Address | str, tuple[float, str]] = {}
        for host in hosts:
            rate, first = self._rates.get(host, (0.0, target))
            total = rate + 1.0 / probe.step
            if total * self._limits.least_interval > 1.0 + ROUNDING:
                return (
                    f"{host} is measured by {first} already: together every {1 / total:.3g} s,"
                    f" at least {self._limits.least_interval:g} s (limits.least_interval)"
                )
            rates[host] = (total, first)
        self._rates |= rates
        return ""


def _refuse_program(probe: Probe, limits: Limits) -> str:
    # Most agents run no programs, and need not hold what is known of them.
    from smokemesh.probes.command_rules import refusal

    return refusal(probe, limits.commands)


class Pacer:
    """Lets rounds begin so that packets per second stay below the limits and rounds to one host keep apart.

    The buckets are kept as the time at which each will be full again (the generic cell rate algorithm): a round that
    finds too few tokens is told when there will be enough.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._full_at = 0.0
        self._prefix_full_at: dict[str, float] = {}
        #: The begin of the latest round of each address that several tasks measure.
        self._began: dict[str, float] = {}
        #: Rounds put off, and rounds left out.
        self.delayed = 0
        self.refused = 0
        #: Why the latest round was left out.
        self.reason = ""

    def begin(self, address: str, probe: Probe, at: float, *, shared: bool) -> float | None:
        """When the round may begin: `at` or a little later; None when it must be left out."""
        limits, packets = self.limits, _packets(address, probe)
        most_wait = min(MOST_WAIT, MOST_WAIT_SHARE * probe.step)
        waits = {
            "most_packets_per_second": self._full_at - BURST,
            "most_packets_per_second_per_prefix": max(self._prefix_full_at.get(key, 0.0) for key in packets) - BURST,
        }
        if shared:
            waits["least_interval"] = self._began.get(address, 0.0) + limits.least_interval
            most_wait = max(most_wait, probe.step - limits.least_interval)
        limit = max(waits, key=waits.__getitem__)
        start = max(at, waits[limit])
        if start - at > most_wait:
            self.refused += 1
            self.reason = (
                f"{address}: a round was left out, it would have had to wait {start - at:.1f} s (limits.{limit})"
            )
            return None
        self.delayed += start > at
        self._full_at = max(self._full_at, start) + sum(packets.values()) / limits.most_packets_per_second
        for key, count in packets.items():
            full_at = max(self._prefix_full_at.get(key, 0.0), start)
            self._prefix_full_at[key] = full_at + count / limits.most_packets_per_second_per_prefix
        if shared:
            self._began[address] = start
        if len(self._prefix_full_at) > MOST_BUCKETS:
            self._forget(at)
        return start

    def _forget(self, now: float) -> None:
        """Let go of buckets that are full: they are as good as new ones."""
        self._prefix_full_at = {key: full for key, full in self._prefix_full_at.items() if full > now}
        self._began = {key: began for key, began in self._began.items() if began + self.limits.least_interval > now}


def _packets(address: str, probe: Probe) -> dict[str, int]:
    """What a round costs each prefix; a host of a further URL whose address nobody knows yet stands for itself."""
    key = prefix(address)
    packets = {key: probe.pings}
    for host in further_hosts(probe.kind, probe.options):
        other = prefix(host) if host else key
        packets[other] = packets.get(other, 0) + probe.pings
    return packets


def prefix(address: str) -> str:
    """The /24 or /48 an address lies in, as a key."""
    parsed = parse_address(address)
    if parsed is None:
        return address
    return parsed.packed[: 3 if parsed.version == 4 else 6].hex()
