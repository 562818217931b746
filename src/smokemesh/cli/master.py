"""`smokemesh master`: the program that collects and shows."""

import os
import socket
from dataclasses import replace

import click

from smokemesh.cli import logs
from smokemesh.errors import ConfigError, UsageError
from smokemesh.settings.shape import MasterSettings


@click.command()
@click.option("--config", default="/etc/smokemesh/smokemesh.yaml", help="Configuration file.", metavar="FILE")
@click.option("--data", default=None, help="Directory for rounds and catalogue.", metavar="DIR")
@click.option("--listen", default=None, help="Address to listen on, over the configuration's.", metavar="HOST:PORT")
@click.option("--logfile", default=None, help="Log to FILE instead of stderr.", metavar="FILE")
@click.option("--log-level", default="info", type=click.Choice(logs.LEVELS), help="What is logged, at least.")
@click.option("--listen-fd", type=int, default=None, hidden=True, help="Inherited descriptor of a listening socket.")
def command(
    config: str, data: str | None, listen: str | None, logfile: str | None, log_level: str, listen_fd: int | None
) -> None:
    """Collect rounds from agents, keep them, show them.

    The configuration is a smokemesh.yaml, or SmokePing's own file as it is.
    """
    place = parse_place(listen) if listen else None

    def load() -> MasterSettings:
        return load_settings(config, place)

    logs.configure(log_level, logfile)
    settings = load()
    from smokemesh.master.app import run_master  # the web framework and the database: seconds to import

    listener = socket.socket(fileno=listen_fd) if listen_fd is not None else None
    run_master(settings, data or default_data_dir(), load, listener)


def load_settings(config: str, place: tuple[str, int] | None = None) -> MasterSettings:
    """The settings in a file, with `place` instead of what it says to listen on."""
    from smokemesh.cli.loading import load_for_master

    settings = load_for_master(config)
    return replace(settings, listen_host=place[0], listen_port=place[1]) if place else settings


def parse_place(text: str) -> tuple[str, int]:
    """Host and port of `--listen`."""
    from smokemesh.settings.kinds import parse_listen

    try:
        return parse_listen(text)
    except ValueError as error:
        raise UsageError(f"--listen {text}: {error}") from error


def default_data_dir() -> str:
    """Where data goes when nobody says: the system's place for root, the person's own else."""
    if os.geteuid() == 0:
        return "/var/lib/smokemesh"
    home = os.environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
    if not os.path.isabs(home):
        raise ConfigError(f"XDG_STATE_HOME is {home!r}, which is not absolute; set it right or give --data DIR")
    return os.path.join(home, "smokemesh")
