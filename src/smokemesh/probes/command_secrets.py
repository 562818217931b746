"""The agent's own files with passwords: variables, and SmokePing's `host:user:password`. Others must not read them."""

import os
from collections.abc import Iterator

from smokemesh.errors import HostError
from smokemesh.settings.secrets import secret_problem


def variables(path: str) -> dict[str, str]:
    """NAME=value a line; blank lines and those beginning with # do not count."""
    found = {}
    for number, line in _lines(path):
        name, equals, value = line.partition("=")
        if not equals or not name.strip().isidentifier():
            raise HostError(f"{path}:{number}: this is no NAME=value")
        found[name.strip()] = value.strip()
    return found


def password(path: str, host: str, user: str) -> str | None:
    """What SmokePing's password file holds for a user on a host, None for nothing."""
    for _, line in _lines(path):
        parts = line.split(":", 2)
        if len(parts) == 3 and parts[:2] == [host, user]:
            return parts[2]
    return None


def shared_secret(path: str, host: str) -> str | None:
    """What SmokePing's secret file (`host:secret`) holds for a host, None for nothing."""
    for _, line in _lines(path):
        name, colon, secret = line.partition(":")
        if colon and name == host:
            return secret
    return None


def _lines(path: str) -> Iterator[tuple[int, str]]:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            status = os.fstat(file.fileno())
            problem = secret_problem(path, status.st_mode, status.st_uid, os.geteuid())
            if problem:
                raise HostError(problem)
            text = file.read(1 << 20)
    except OSError as error:
        raise HostError(f"{path}: {error.strerror}") from error
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            yield number, line.strip()
