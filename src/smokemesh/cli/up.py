"""`smokemesh up`: master and a local agent in one go, as two programs that talk over loopback."""

import http.client
import os
import signal
import socket
import sys
from functools import partial
from pathlib import Path
from typing import Final

import click

from smokemesh.cli.addresses import own_addresses
from smokemesh.cli.children import Child
from smokemesh.cli.ending import Ending, begin, watch
from smokemesh.cli.first_config import first_config
from smokemesh.cli.keys import write_secret
from smokemesh.cli.master import default_data_dir, load_settings, parse_place
from smokemesh.errors import HostError
from smokemesh.master import premises
from smokemesh.master.premises import url_of
from smokemesh.settings.shape import LOCAL_AGENT, MasterSettings
from smokemesh.version import __version__

FIRST_CONFIG: Final = "this-host.yaml"


@click.command()
@click.option(
    "--config", default=None, help="Configuration file; without it this host's own addresses.", metavar="FILE"
)
@click.option("--data", default=None, help="Directory for everything that is kept.", metavar="DIR")
@click.option("--listen", default=None, help="Address of the pages, over the configuration's.", metavar="HOST:PORT")
def command(config: str | None, data: str | None, listen: str | None) -> int:
    """Master and a local agent in one go.

    The configuration is a smokemesh.yaml, or SmokePing's own file as it is. Without one it measures the addresses of this host itself and touches nothing beyond it.
    """
    folder = make_folder(Path(data or default_data_dir()).absolute())
    file = Path(config).absolute() if config else write_first_config(folder)
    settings = load_settings(str(file), parse_place(listen) if listen else None)
    with Ending() as ending, premises.listen(settings.listen_host, settings.listen_port) as listener:
        host, port = listener.getsockname()[:2]
        return run(folder, file, settings, listener, (reachable(host), port), ending)


def run(
    folder: Path,
    file: Path,
    settings: MasterSettings,
    listener: socket.socket,
    place: tuple[str, int],
    ending: Ending,
) -> int:
    """Keep both programs running until we are to end; the status to end with."""
    secret = secret_file(folder, settings)
    master, agent = children(folder, file, secret, listener.fileno(), url_of(*place))
    # A terminal that closes sends it too, and then nobody is left to stop us.
    reread = ending.ask if sys.stdin.isatty() else partial(master.signal, signal.SIGHUP)
    signal.signal(signal.SIGHUP, lambda *_: reread())
    try:
        status = begin(master, lambda: is_ready(place), ending)
        if status is not None:
            return status
        agent.start()
        greet(folder, settings, url_of(*place), made_up=file == folder / FIRST_CONFIG)
        return watch((master, agent), ending)
    finally:
        agent.stop()  # first, so that its last rounds still find a master
        master.stop()


def children(folder: Path, file: Path, secret: Path, descriptor: int, url: str) -> tuple[Child, Child]:
    """Master and agent, not yet started."""
    program = [sys.executable, "-m", "smokemesh"]
    master = [
        *("master", "--config", str(file), "--data", str(folder), "--listen-fd", str(descriptor)),
        *("--logfile", str(folder / "master.log")),
    ]
    agent = [
        *("agent", "--master-url", url, "--slave-name", LOCAL_AGENT, "--shared-secret", str(secret)),
        *("--cache-dir", str(folder / "agent"), "--logfile", str(folder / "agent.log")),
        # Who wrote this master's file is who runs this agent, on the same host.
        *("--allow-command", "*"),
    ]
    return Child("master", [*program, *master], say, keep=[descriptor]), Child("agent", [*program, *agent], say)


def is_ready(place: tuple[str, int]) -> bool:
    """Does the master say it can take and show rounds?"""
    connection = http.client.HTTPConnection(*place, timeout=2.0)
    try:
        connection.request("GET", "/-/ready")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def greet(folder: Path, settings: MasterSettings, url: str, *, made_up: bool) -> None:
    """Tell where the pages are."""
    targets = settings.targets
    what = (
        ", ".join(target.host for target in targets)
        if made_up
        else f"{len(targets)} target{'' if len(targets) == 1 else 's'}"
    )
    click.echo(f"smokemesh {__version__} measures {what}")
    click.echo(f"Pages: {url}/")
    click.echo(f"Data and logs: {folder}. Ctrl-C stops.")
    sys.stdout.flush()


def make_folder(folder: Path) -> Path:
    """The data directory, made if missing, ours to write."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise HostError(
            f"data directory {folder}: {error.strerror}; make it writable for user {os.geteuid()} "
            "or choose another with --data DIR"
        ) from error
    return folder


def write_first_config(folder: Path) -> Path:
    """A configuration for this host, written anew because its addresses may have changed."""
    file = folder / FIRST_CONFIG
    file.write_text(first_config(socket.gethostname(), own_addresses()), encoding="utf-8")
    return file


def secret_file(folder: Path, settings: MasterSettings) -> Path:
    """The secret that the local agent and the master share; made when it is missing."""
    configured = settings.agents.get(LOCAL_AGENT)
    if configured is not None and configured.secret_file:
        return Path(configured.secret_file)
    file = folder / "secrets" / LOCAL_AGENT
    return file if file.exists() else write_secret(folder, LOCAL_AGENT)


def reachable(host: str) -> str:
    """Where this host reaches a socket that listens on `host`."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)


def say(text: str) -> None:
    """One line for the person at the terminal."""
    click.echo(f"smokemesh: {text}", err=True)
