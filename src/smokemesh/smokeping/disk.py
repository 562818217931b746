"""The two functions that programs hand to `smokeping.config.parse`, which touches no disk itself."""

import os
import stat


def read_bytes(path: str) -> bytes:
    """A whole file. Raises OSError; the parser says it in a person's words."""
    with open(path, "rb") as file:
        return file.read()


def look(path: str, kind: str) -> str:
    """What is wrong with a path that should lead to a directory, a file, something readable, a program or secrets; or ""."""
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a NUL in the name
        return f"no such {_NAMES[kind]}"
    except OSError as error:
        return f"cannot be looked at ({error.strerror})"
    if kind == "directory":
        return "" if stat.S_ISDIR(mode) else "is no directory"
    if kind == "readable":
        return "" if os.access(path, os.R_OK) else "may not be read"
    if not stat.S_ISREG(mode):
        return "is no file"
    if kind == "program":
        return "" if os.access(path, os.X_OK) else "may not be run"
    if kind == "secrets" and mode & (stat.S_IROTH | stat.S_IWOTH):
        return f"everybody may read or write it; write: chmod o-rw {path}"
    return ""


_NAMES = {"directory": "directory", "file": "file", "readable": "file", "program": "program", "secrets": "file"}
