"""Secrets: which file may hold one, and what counts as one. Pure: the caller stats and reads the file."""

import re
from typing import Final

#: An HMAC key shorter than this is guessed; SmokePing's own examples have more.
LEAST_LENGTH: Final = 8
_VISIBLE = re.compile(rb"[\x21-\x7e]+")


def secret_problem(path: str, mode: int, owner: int, user: int, *, group: bool = False) -> str | None:
    """Why this file must not be used as a secret, with the cure; None when it may. `group`: its group may read it too.

    `mode` is `st_mode` (only the permission bits count), `owner` its `st_uid`, `user` the user we run as. A file of
    root's is taken by every user that can read it: systemd and Kubernetes hand secrets over like that.
    """
    others = mode & (0o037 if group else 0o077)
    if others:
        return f"{path}: mode {mode & 0o7777:04o} lets others read the secret; run: chmod 600 {path}"
    if owner not in (user, 0):
        return f"{path}: belongs to user {owner}, we run as {user}; run: chown {user} {path}"
    return None


def parse_slave_secret(data: bytes, path: str) -> bytes:
    """The secret of a SmokePing slave: its file's first line, blanks and all, of whatever length. Raises ValueError."""
    secret = data.partition(b"\n")[0]
    if not secret.strip():
        raise ValueError(f"{path}: holds no secret; write the one the master has for this slave")
    return secret


def parse_secret(data: bytes, path: str = "secret") -> bytes:
    """The secret in a file's bytes: its first line, as SmokePing slaves keep it. Raises ValueError with the cure."""
    line, _, rest = data.partition(b"\n")
    secret = line.rstrip(b"\r")
    if not secret:
        raise ValueError(f"{path}: holds no secret; write one with: head -c 32 /dev/urandom | base64 > {path}")
    if rest.strip():
        raise ValueError(f"{path}: holds more than one line; write the secret alone")
    if not _VISIBLE.fullmatch(secret):
        raise ValueError(
            f"{path}: the secret holds blanks or bytes that are not printable ASCII; write letters and digits"
        )
    if len(secret) < LEAST_LENGTH:
        raise ValueError(f"{path}: the secret has {len(secret)} characters; write {LEAST_LENGTH} or more")
    return secret
