"""What this host must have, each with what was found and the exact fix. Looks and measures loopback; changes nothing."""

import ctypes
import importlib.metadata
import os
import re
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import zoneinfo
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from smokemesh.errors import SmokemeshError

#: The worst a check can say: "ok"; "note", something works less well; "bad", measuring or storing fails.
OK, NOTE, BAD = "ok", "note", "bad"

LEAST_PYTHON: Final = (3, 11)
LEAST_FILES: Final = 4096
LEAST_DISK: Final = 2**30
#: What the engine asks of each of its sockets.
WANTED_BUFFER: Final = 8 * 2**20
#: Further off than this, rounds of several agents no longer stand side by side on a graph.
WORST_CLOCK_ERROR: Final = 1.0
_STA_UNSYNC: Final = 0x40  # linux/timex.h
_CAP_NET_ADMIN, _CAP_NET_RAW = 12, 13


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found; `fix` is what to type, "" when nothing is to be done."""

    name: str
    status: str
    found: str
    fix: str = ""


def examine(data: str, listen: tuple[str, int]) -> Iterator[Finding]:
    """All checks, one after the other. A check that cannot look says so and does not stop the rest."""
    checks: dict[str, Callable[[], Finding]] = {
        "python": python,
        "packages": packages,
        "icmp4": lambda: icmp(4),
        "icmp6": lambda: icmp(6),
        "loopback": loopback,
        "receive buffer": receive_buffer,
        "open files": open_files,
        "clock": clock,
        "time zone": time_zone,
        "data directory": lambda: data_directory(data),
        "port": lambda: port(*listen),
        "namespaces": namespaces,
    }
    for name, check in checks.items():
        try:
            yield check()
        except (OSError, ValueError, subprocess.SubprocessError, SmokemeshError) as error:
            yield Finding(name, NOTE, f"could not be looked at: {error}")


def python() -> Finding:
    """The interpreter, and the system: only Linux has the calls the engine needs."""
    found = f"{sys.version.split()[0]} on {os.uname().sysname} {os.uname().release}"
    if sys.platform != "linux":
        return Finding("python", BAD, found, "use a Linux host")
    if sys.version_info < LEAST_PYTHON:
        return Finding("python", BAD, found, "install Python 3.11 or newer")
    return Finding("python", OK, found)


def packages() -> Finding:
    """The Python packages of the agent, and those a master needs besides."""
    missing: dict[bool, list[str]] = {True: [], False: []}
    for requirement in importlib.metadata.requires("smokemesh") or ():
        name, _, marker = requirement.partition(";")
        if marker and "master" not in marker:
            continue
        bare = re.split(r"[\s<>=!~\[(]", name.strip())[0]
        try:
            importlib.metadata.version(bare)
        except importlib.metadata.PackageNotFoundError:
            missing[bool(marker)].append(bare)
    if missing[False]:
        return Finding("packages", BAD, f"missing: {', '.join(missing[False])}", _pip("smokemesh"))
    if missing[True]:
        return Finding(
            "packages", NOTE, f"agent only; a master lacks {', '.join(missing[True])}", _pip("smokemesh[master]")
        )
    return Finding("packages", OK, "agent and master")


def icmp(family: int) -> Finding:
    """Which ICMP sockets this user may open; one kind is enough."""
    name = f"icmp{family}"
    if family == 6 and not Path("/proc/net/if_inet6").exists():
        return Finding(name, NOTE, "this kernel has no IPv6, so only IPv4 is measured")
    kinds = {"unprivileged": socket.SOCK_DGRAM, "raw": socket.SOCK_RAW}
    refused = {word: reason for word, kind in kinds.items() if (reason := _refusal(family, kind))}
    allowed = [word for word in kinds if word not in refused]
    if allowed:
        return Finding(name, OK, f"{' and '.join(allowed)} sockets")
    groups = " ".join(Path("/proc/sys/net/ipv4/ping_group_range").read_text().split())
    reasons = ", ".join(f"{word}: {reason}" for word, reason in refused.items())
    found = f"no socket may be opened ({reasons}; net.ipv4.ping_group_range is {groups})"
    return Finding(name, BAD, found, _icmp_fix())


def loopback() -> Finding:
    """Measure 127.0.0.1 with the real engine."""
    if icmp(4).status == BAD:
        return Finding("loopback", BAD, "could not be measured, see icmp4")
    from smokemesh.model.probe import Probe
    from smokemesh.probes.engine import RoundRequest
    from smokemesh.probes.table import make_engine

    probe = Probe(name="doctor", pings=5, interval=0.01, timeout=0.5)
    engine = make_engine("icmp")
    try:
        now = time.monotonic()
        engine.start([RoundRequest(1, time.time_ns(), now, "127.0.0.1", probe)])
        engine.run(now + 2.0)
        rounds, how = engine.take(), engine.describe()
    except SmokemeshError as error:
        return Finding("loopback", BAD, f"could not be measured: {error}")
    finally:
        engine.close()
    answered = int(rounds.received.sum())
    if answered < probe.pings:
        fix = "sudo sysctl -w net.ipv4.icmp_echo_ignore_all=0; let the firewall pass ICMP on lo"
        return Finding("loopback", BAD, f"127.0.0.1 answered {answered} of {probe.pings} pings ({how})", fix)
    return Finding("loopback", OK, f"127.0.0.1 answers within {float(rounds.rtts.max()) * 1e3:.3f} ms ({how})")


def receive_buffer() -> Finding:
    """Whether answers find room in the socket when many arrive at once."""
    most = int(Path("/proc/sys/net/core/rmem_max").read_text())
    if _capable(_CAP_NET_ADMIN) or most >= WANTED_BUFFER:
        return Finding("receive buffer", OK, f"{WANTED_BUFFER >> 20} MiB allowed")
    found = f"net.core.rmem_max is {most}: answers of thousands of targets at once may not find room (own drops)"
    return Finding("receive buffer", NOTE, found, _sysctl(f"net.core.rmem_max={WANTED_BUFFER}"))


def open_files() -> Finding:
    """The limit of files; a master holds one for every agent and page."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft in (resource.RLIM_INFINITY, -1) or soft >= LEAST_FILES:
        return Finding("open files", OK, f"limit {soft}")
    raisable = hard in (resource.RLIM_INFINITY, -1) or hard >= LEAST_FILES
    fix = f"ulimit -n {LEAST_FILES}" if raisable else f"in the systemd unit: LimitNOFILE={LEAST_FILES}"
    return Finding("open files", NOTE, f"limit {soft}: enough for an agent, few for a master", fix)


def clock() -> Finding:
    """Whether the kernel's clock is disciplined (adjtimex), and how far off it may be."""
    status, worst = _adjtimex()
    if not status & _STA_UNSYNC and worst < WORST_CLOCK_ERROR:
        return Finding("clock", OK, f"synchronised, at most {worst * 1e3:.3g} ms off")
    found = "not synchronised" if status & _STA_UNSYNC else f"may be {worst:.3g} s off"
    fix = "on its host: " if _in_container() else ""
    return Finding("clock", NOTE, f"{found}: rounds may carry wrong times", f"{fix}sudo apt-get install chrony")


def time_zone() -> Finding:
    """Whether TZ can be read; a wrong one silently means UTC."""
    wanted = os.environ.get("TZ", "").removeprefix(":")
    if wanted and not wanted.startswith("/") and not re.fullmatch(r"[A-Za-z]{3,}[-+0-9].*", wanted):
        try:
            zoneinfo.ZoneInfo(wanted)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError):
            return Finding(
                "time zone", NOTE, f"TZ={wanted} is unknown here, logs are in UTC", "sudo apt-get install tzdata"
            )
    return Finding("time zone", OK, f"{time.strftime('%Z %z')}; data is kept in UTC, pages show the reader's own")


def data_directory(path: str) -> Finding:
    """Whether rounds can be written, and for how long."""
    found = Path(path).absolute()
    there = next(p for p in (found, *found.parents) if os.path.exists(p))  # Path.exists raises where it may not look
    if not there.is_dir():
        return Finding("data directory", BAD, f"{there} is no directory", "choose another with --data DIR")
    if not os.access(there, os.W_OK | os.X_OK):
        user = os.geteuid()
        fix = f"sudo install -d -o {user} {found}"
        return Finding("data directory", BAD, f"{found} cannot be written by user {user}", fix)
    try:
        with tempfile.TemporaryFile(dir=there):  # rights alone do not tell: /proc, a read-only or a full file system
            pass
    except OSError as error:
        return Finding("data directory", BAD, f"{there}: {error.strerror}", "choose another with --data DIR")
    free = shutil.disk_usage(there).free
    gib = f"{free / 2**30:.1f} GiB free"
    if free < LEAST_DISK:
        return Finding("data directory", NOTE, f"{found}: {gib}", "free some space, or choose another with --data DIR")
    return Finding("data directory", OK, f"{found}: {gib}")


def port(host: str, number: int) -> Finding:
    """Whether a master could listen there."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((host, number))
        except OSError as error:
            found = f"{host}:{number}: {error.strerror}"
            return Finding(
                "port", NOTE, found, f"smokemesh up --listen {host}:PORT with another port (0 takes a free one)"
            )
    return Finding("port", OK, f"{host}:{number} is free")


def namespaces() -> Finding:
    """Whether `smokemesh demo` can make its network: tried in a process of its own, which takes it away again."""
    code = (
        "import sys\n"
        "from smokemesh.errors import HostError\n"
        "from smokemesh.netlab import namespace as n\n"
        "try:\n"
        "    n.may_make_namespaces() or n.new_user_namespace()\n"
        "    n.new_network_namespace()\n"
        "    n.open_tun('tun0')\n"
        "except HostError as error:\n"
        "    sys.exit(str(error))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=False)
    if done.returncode == 0:
        return Finding("namespaces", OK, "`smokemesh demo` can make its network")
    reason = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit status {done.returncode}"
    found, _, fix = reason.partition("; ")
    return Finding("namespaces", NOTE, f"`smokemesh demo` cannot make its network: {found}", fix)


def _refusal(family: int, kind: int) -> str:
    """Why such an ICMP socket cannot be opened; "" when it can."""
    domain = socket.AF_INET6 if family == 6 else socket.AF_INET
    protocol = socket.IPPROTO_ICMPV6 if family == 6 else socket.IPPROTO_ICMP
    try:
        socket.socket(domain, kind, protocol).close()
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _icmp_fix() -> str:
    if _in_container():
        return "start the container with --cap-add NET_RAW or --sysctl net.ipv4.ping_group_range='0 2147483647'"
    everyone = _sysctl("net.ipv4.ping_group_range='0 2147483647'")
    return f"{everyone} (or for this Python alone: sudo setcap cap_net_raw+ep {os.path.realpath(sys.executable)})"


def _sysctl(assignment: str) -> str:
    """Now, and after the next boot."""
    kept = assignment.replace("'", "").replace("=", " = ")
    return f"sudo sysctl -w {assignment} && echo '{kept}' | sudo tee -a /etc/sysctl.d/90-smokemesh.conf"


def _pip(what: str) -> str:
    return f"{sys.executable} -m pip install '{what}'"


def _capable(capability: int) -> bool:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> capability & 1)
    return False


def _in_container() -> bool:
    return any(Path(mark).exists() for mark in ("/.dockerenv", "/run/.containerenv"))


class _Timex(ctypes.Structure):
    """The head of `struct timex` (linux/timex.h); the rest is room for what the kernel writes behind it."""

    _fields_ = (
        ("modes", ctypes.c_uint), ("offset", ctypes.c_long), ("freq", ctypes.c_long), ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long), ("status", ctypes.c_int), ("rest", ctypes.c_long * 32),
    )  # fmt: skip


def _adjtimex() -> tuple[int, float]:
    """Status bits of the kernel's clock and its greatest error in seconds."""
    timex = _Timex()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.adjtimex(ctypes.byref(timex)) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return timex.status, timex.maxerror / 1e6
