"""`smokemesh keys`: the secrets that agents and a master share."""

import os
import secrets
from pathlib import Path

import click

from smokemesh.errors import HostError, UsageError


@click.group("keys")
def command() -> None:
    """The secrets that agents and a master share."""


@command.command("generate")
@click.argument("name")
@click.option("--data", metavar="DIR", default=None, help="The master's data directory.")
def generate(name: str, data: str | None) -> None:
    """Make a secret for the agent NAME, in a file that only this user can read.

    The master finds it there by the agent's name. Copy the file to the agent's host, with mode 0600, and name it there
    as `shared_secret`.
    """
    from smokemesh.cli.master import default_data_dir
    from smokemesh.settings.kinds import NAME

    if not NAME.fullmatch(name):
        raise UsageError(f"agent name {name!r}: write letters, digits, - _ and . only, 64 at most")
    file = write_secret(Path(data or default_data_dir()).absolute(), name)
    click.echo(file)


def write_secret(folder: Path, name: str) -> Path:
    """Write a fresh secret below a data directory. Raises HostError, also when there is one already."""
    file = folder / "secrets" / name
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise HostError(f"{file} holds a secret already; remove it first to make another") from None
    except OSError as error:
        raise HostError(f"{file}: {error.strerror}; choose another directory with --data DIR") from error
    with os.fdopen(descriptor, "w") as out:
        out.write(secrets.token_urlsafe(32) + "\n")
    return file
