"""The assignment on disk: an agent restarted while its master is away measures on from it.

One file, replaced whole: magic, BLAKE2b of the rest, the assignment as compressed msgpack. Its modification time is when a master
last confirmed it.
"""

import logging
import os
from hashlib import blake2b
from pathlib import Path
from typing import Final

from smokemesh.agent.packed import PackedAssignment
from smokemesh.errors import WireError

MAGIC: Final = b"smokemesh assignment 1\n"
DIGEST: Final = 16

log = logging.getLogger("smokemesh.agent")


def save(path: Path, assignment: PackedAssignment) -> None:
    """Replace the saved assignment; a crash leaves the old or the new one whole."""
    body = assignment.data
    fresh = path.with_name(path.name + ".new")
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(MAGIC + blake2b(body, digest_size=DIGEST).digest() + body)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def confirm(path: Path, when: float) -> None:
    """A master said that the saved assignment still holds; `when` in seconds UTC."""
    os.utime(path, (when, when))


def load(path: Path, agent: str) -> tuple[PackedAssignment, float] | None:
    """The saved assignment and when it was last confirmed (seconds UTC); None when there is none to trust."""
    try:
        data, confirmed = path.read_bytes(), path.stat().st_mtime
    except OSError:
        return None
    digest, body = data[len(MAGIC) : len(MAGIC) + DIGEST], data[len(MAGIC) + DIGEST :]
    if not data.startswith(MAGIC) or blake2b(body, digest_size=DIGEST).digest() != digest:
        log.warning("saved assignment is damaged and not used: file=%s", path)
        return None
    try:
        assignment = PackedAssignment.load(body)
    except WireError as error:
        log.warning("saved assignment is not used: file=%s error=%r", path, error)
        return None
    if assignment.agent != agent:
        log.warning("saved assignment is another agent's and not used: file=%s agent=%s", path, assignment.agent)
        return None
    return assignment, confirmed
