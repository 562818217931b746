"""`smokemesh agent`: the program that measures. Options by SmokePing's names and by ours, over those of a file."""

import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from smokemesh.errors import HostError, UsageError

if TYPE_CHECKING:
    from smokemesh.settings.shape import AgentSettings

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@click.command(name="agent")
@click.option("--config", "-c", metavar="FILE", help="The agent's settings; options given here go before them.")
@click.option("--master-url", "--master", "master_url", multiple=True, metavar="URL", help="The master's address.")
@click.option(
    "--slave-name", "--name", "name", metavar="NAME", help="Name known to the master.  [default: this host's]"
)
@click.option("--shared-secret", metavar="FILE", help="File with the secret, mode 0600.")
@click.option("--cache-dir", "--data", "data", metavar="DIR", help="Where unsent rounds and the assignment are kept.")
@click.option("--ca-file", metavar="FILE", help="Certificates to trust instead of the system's.")
@click.option(
    "--allow-command",
    "commands",
    multiple=True,
    metavar="WHAT",
    help="Beside limits.commands: path of a program the master may have run, name of a tool whose every option is "
    "followed, smtp for whole messages, or * for all.",
)
@click.option("--pid-dir", metavar="DIR", help="Write the process number to DIR/smokemesh-agent.pid.")
@click.option("--logfile", metavar="FILE", help="Log to FILE instead of stderr.")
def command(config: str | None, pid_dir: str | None, logfile: str | None, **given: Any) -> None:
    """Measure what a master assigns, and deliver it."""
    _travel_light()
    from smokemesh.cli.logs import configure

    settings = _settings(config, given)
    configure("info", logfile)
    stop, reread = threading.Event(), threading.Event()
    _listen(stop, reread)
    pid_file = _write_pid(Path(pid_dir)) if pid_dir else None
    try:
        from smokemesh.agent.app import run_agent

        run_agent(settings, stop, lambda: _reload(reread, lambda: _settings(config, given)))
    finally:
        if pid_file is not None:
            pid_file.unlink(missing_ok=True)


def _travel_light() -> None:
    """Leave out what an agent never uses; to be called before anything large is imported."""
    # NumPy's linear algebra starts a thread for each core; it looks here when it is imported.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # hashlib and dnspython load OpenSSL, 8 MB, the one for the few small digests of an agent, which the hashes built
    # into Python do as well, the other for DNS over TLS. TLS to the master is libcurl's, which brings its own. A
    # module bound to None is how Python says "as if not installed".
    if "hashlib" not in sys.modules:
        for name in ("_hashlib", "ssl"):
            sys.modules[name] = None  # type: ignore[assignment]


def _settings(config: str | None, given: dict[str, Any]) -> "AgentSettings":
    """The settings of the file, if there is one, with what was typed put over them."""
    from dataclasses import replace

    settings = _read_settings(config, given)
    commands = (*settings.limits.commands, *given["commands"])
    return replace(settings, limits=replace(settings.limits, commands=commands))


def _read_settings(config: str | None, given: dict[str, Any]) -> "AgentSettings":
    from smokemesh.settings.shape import AgentSettings

    typed = {key: value for key, value in given.items() if value and key not in ("master_url", "commands")}
    if given["master_url"]:
        typed["masters"] = _masters(given["master_url"])
    if config:
        from smokemesh.settings.agent import load_agent
        from smokemesh.settings.disk import read_text

        return load_agent(config, read_text, typed)
    for key, option in {"masters": "--master-url URL", "shared_secret": "--shared-secret FILE"}.items():
        if key not in typed:
            raise UsageError(f"neither --config FILE nor {option} is given; see `smokemesh agent --help`")
    return AgentSettings(**{"name": _host_name(), "data": _default_data()} | typed)


def _masters(urls: tuple[str, ...]) -> tuple[str, ...]:
    for url in urls:
        if not url.startswith(("http://", "https://")) or url.partition("://")[2].strip("/") == "":
            raise UsageError(
                f"--master-url {url}: not an address of a master, write http://HOST:PORT or https://HOST:PORT"
            )
    if len(urls) > 1:
        raise UsageError(f"--master-url: {len(urls)} are given ({', '.join(urls)}); this version uses exactly one")
    return urls


def _host_name() -> str:
    import socket

    return socket.gethostname().split(".")[0]


def _default_data() -> str:
    from smokemesh.settings.reference import SECTIONS

    return str(SECTIONS["agent"].settings["data"].default)


def _listen(stop: threading.Event, reread: threading.Event) -> None:
    """Wait for signals in a thread of its own: setting an Event inside a handler can lock the thread it interrupted."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)

    def listen() -> None:
        while True:
            (reread if signal.sigwait(_SIGNALS) == signal.SIGHUP else stop).set()

    threading.Thread(target=listen, name="signals", daemon=True).start()


def _reload(reread: threading.Event, load: "Callable[[], AgentSettings]") -> "AgentSettings | None":
    """New settings after a SIGHUP; a file that cannot be used changes nothing and is reported."""
    import logging

    from smokemesh.errors import SmokemeshError

    if not reread.is_set():
        return None
    reread.clear()
    try:
        return load()
    except SmokemeshError as error:
        logging.getLogger("smokemesh.agent").error("settings not changed: error=%r", str(error))
        return None


def _write_pid(folder: Path) -> Path:
    path = folder / "smokemesh-agent.pid"
    try:
        path.write_text(f"{os.getpid()}\n")
    except OSError as error:
        raise HostError(f"{path}: {error.strerror}; choose another directory with --pid-dir") from error
    return path
