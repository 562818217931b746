"""A real SmokePing in a directory of its own: daemon, CGI behind a web server, slaves, and what they wrote down.

Programs are started by a `start` that is handed in, so that they run in whatever namespace the caller means. RTTs are seconds.
"""

import re
import subprocess
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

PROGRAM: Final = "/usr/sbin/smokeping"
CGI: Final = "/usr/share/smokeping/smokeping.cgi"

#: How a program is started: its arguments, and Popen's options.
Start = Callable[..., "subprocess.Popen[Any]"]

_GENERAL: Final = """*** General ***
owner = Evaluation
contact = evaluation@localhost
mailhost = localhost
cgiurl = http://localhost/smokeping.cgi
imgcache = {dir}/cache
imgurl = cache
smokemail = /etc/smokeping/smokemail
datadir = {dir}/rrd
dyndir = {dir}/dyn
piddir = {dir}/run
precreateperms = 0755
offset = 0%

*** Database ***
step = {step}
pings = {pings}
AVERAGE 0.5 1 10000
AVERAGE 0.5 6 1000
MIN 0.5 6 1000
MAX 0.5 6 1000

*** Presentation ***
template = /etc/smokeping/basepage.html
+ overview
width = 600
height = 50
range = 10h
+ detail
width = 600
height = 200
unison_tolerance = 2
"Last 3 Hours" 3h

*** Probes ***
+ FPing
binary = /usr/bin/fping
hostinterval = {interval}
timeout = {timeout}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A target: the last part of its path, its address, and further variables."""

    name: str
    address: str
    more: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Written:
    """One round as SmokePing wrote it to its raw log."""

    #: Unix seconds of the measurement, and of the moment it was written.
    time: int
    loss: int
    median: float
    #: Sorted; lost pings left out.
    rtts: tuple[float, ...]


@dataclass(kw_only=True)
class Installation:
    """One SmokePing: its files, and how they are made."""

    directory: Path
    step: int
    pings: int
    hosts: Sequence[Host]
    #: From one ping of a round to the next, seconds.
    interval: float = 0.5
    timeout: float = 0.5
    #: Sections `*** Alerts ***` as they stand in the file.
    alerts: str = ""
    #: Name -> secret of each slave.
    slaves: dict[str, str] = field(default_factory=dict)
    #: Variables of the root of the targets, and of every host.
    root: dict[str, str] = field(default_factory=dict)
    each: dict[str, str] = field(default_factory=dict)

    @property
    def config(self) -> Path:
        """The configuration's file."""
        return self.directory / "config"

    def write(self) -> Path:
        """Make directories, secrets and configuration."""
        for name in ("cache", "rrd", "dyn", "run"):
            (self.directory / name).mkdir(parents=True, exist_ok=True)
        self.config.write_text(self._text())
        return self.config

    def _text(self) -> str:
        general = _GENERAL.format(
            dir=self.directory, step=self.step, pings=self.pings, interval=self.interval, timeout=self.timeout
        )
        return general + self.alerts + self._slaves() + self._targets()

    def _slaves(self) -> str:
        if not self.slaves:
            return ""
        secrets = self.directory / "secrets"
        secrets.touch(mode=0o600)
        secrets.write_text("".join(f"{name}:{secret}\n" for name, secret in self.slaves.items()))
        parts = (f"+ {name}\ndisplay_name = {name}\ncolor = 0000ff\n" for name in self.slaves)
        return f"\n*** Slaves ***\nsecrets = {secrets}\n" + "".join(parts)

    def _targets(self) -> str:
        root = {"probe": "FPing", "menu": "Top", "title": "Top", **self.root}
        text = "\n*** Targets ***\n" + _lines(root)
        for host in self.hosts:
            # The month in the name of the file: one file an evaluation.
            more = {"menu": host.name, "title": host.name, "host": host.address, "rawlog": "%Y-%m"}
            text += f"+ {host.name}\n" + _lines(more | self.each | host.more)
        return text

    def daemon(self, start: Start) -> "subprocess.Popen[Any]":
        """The real daemon, in the foreground."""
        with (self.directory / "daemon.log").open("ab") as log:
            return start([PROGRAM, "--nodaemon", f"--config={self.config}"], stdout=log, stderr=log)

    def web(self, start: Start, port: int, *, fast: int = 2) -> "subprocess.Popen[Any]":
        """The real CGI behind lighttpd: `fast` FastCGI processes, or, with 0, a plain CGI as Debian's package sets it up."""
        root = self.directory / "htdocs"
        root.mkdir(exist_ok=True)
        script = root / "smokeping.cgi"
        script.write_text(f"#!/bin/sh\nexec {CGI} {self.config}\n")
        script.chmod(0o755)
        served = (
            'server.modules = ("mod_fastcgi")\n'
            'fastcgi.server = ("/smokeping.cgi" => (("check-local" => "disable", '
            f'"socket" => "{self.directory}/run/fastcgi", "max-procs" => {fast}, "bin-path" => "{script}")))\n'
            if fast
            else 'server.modules = ("mod_cgi")\ncgi.assign = (".cgi" => "")\n'
        )
        file = self.directory / "lighttpd.conf"
        file.write_text(
            f'{served}server.document-root = "{root}"\nserver.bind = "127.0.0.1"\nserver.port = {port}\n'
            f'server.errorlog = "{self.directory}/lighttpd.log"\n'
        )
        with (self.directory / "web.log").open("ab") as log:
            return start(["/usr/sbin/lighttpd", "-D", "-f", str(file)], stdout=log, stderr=log)

    def written(self, name: str, slave: str = "") -> list[Written]:
        """Every round of a target that the daemon wrote, in the order written."""
        stem = f"{name}~{slave}" if slave else name
        rounds = []
        for file in sorted((self.directory / "rrd").glob(f"{stem}.*.csv")):
            rounds += [_round(line.split("\t")) for line in file.read_text().splitlines()]
        return rounds


def slave(start: Start, directory: Path, *, name: str, secret: str, master: str) -> "subprocess.Popen[Any]":
    """A real slave, which goes to the background by itself: what is returned ends at once, `running_slave` knows its id."""
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / "secret"
    file.touch(mode=0o600)
    file.write_text(f"{secret}\n")
    argv = [PROGRAM, f"--master-url={master}", f"--cache-dir={directory}", f"--pid-dir={directory}"]
    argv += [f"--shared-secret={file}", f"--slave-name={name}", f"--logfile={directory / 'log'}"]
    with (directory / "start.log").open("ab") as log:
        return start(argv, stdout=log, stderr=log)


def running_slave(directory: Path) -> int:
    """The process of a slave that was started in that directory, 0 when it runs no more."""
    try:
        pid = int((directory / "smokeping.pid").read_text())
        words = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError):
        return 0
    return pid if b"smokeping" in words else 0


def fetch(rrd: Path, begin: int, end: int) -> dict[str, np.ndarray]:
    """What `rrdtool fetch` says of a file: its columns, and `time`."""
    argv = ["rrdtool", "fetch", str(rrd), "AVERAGE", "--start", str(begin), "--end", str(end)]
    told = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()
    names = told[0].split()
    rows = [[float(word) for word in re.split(r"[:\s]+", line.strip())] for line in told[2:]]
    table = np.array(rows, float).reshape(-1, len(names) + 1)
    return {"time": table[:, 0], **{name: table[:, i + 1] for i, name in enumerate(names)}}


def _lines(variables: dict[str, str]) -> str:
    return "".join(f"{key} = {value}\n" for key, value in variables.items())


def _round(fields: Iterable[str]) -> Written:
    written, _uptime, loss, median, *pings = fields
    rtts = tuple(float(ping) for ping in pings if ping != "U")
    return Written(int(written), int(float(loss)), float("nan") if median == "U" else float(median), rtts)
