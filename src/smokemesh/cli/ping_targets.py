"""Whom `smokemesh ping` is to measure: hosts typed, hosts from a file, and the addresses of their names."""

import re
import socket
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from smokemesh.errors import ConfigError, HostError

#: Letters and digits of any script, and what else names and addresses are made of.
_HOST = re.compile(r"[\w.:%-]+")
_FAMILIES: Final = {"4": socket.AF_INET, "6": socket.AF_INET6, "auto": socket.AF_UNSPEC}
#: Names looked up at the same time.
_LOOKUPS: Final = 16


@dataclass(frozen=True, slots=True)
class Host:
    """One host to measure: as it is shown, and its address."""

    name: str
    address: str


def read_hosts(path: str) -> list[str]:
    """The hosts of a file, one a line, `-` for standard input; what follows the first word, and `# ...`, is ignored."""
    try:
        data = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
    except OSError as error:
        raise HostError(f"{path}: {error.strerror}") from error
    return parse_hosts(data, "<stdin>" if path == "-" else path)


def parse_hosts(data: bytes, file: str) -> list[str]:
    """The hosts in `data`. Raises ConfigError at the first line that does not begin with one."""
    found = []
    for number, line in enumerate(data.decode(errors="replace").split("\n"), 1):
        if _HOST.fullmatch(line):  # nearly every line
            found.append(line)
        elif words := line.split("#", 1)[0].split():
            if not _HOST.fullmatch(words[0]):
                raise ConfigError(f"{words[0]!r} is not a host name or address", file=file, line=number)
            found.append(words[0])
    return found


def resolve(
    names: Sequence[str], family: str, *, every: bool = False, show_address: bool = False
) -> tuple[list[Host], list[str]]:
    """The hosts, with every address or the first, and a line for each name that has none."""
    literal = [_literal(name, family) for name in names]
    unknown = [name for name, address in zip(names, literal, strict=True) if not address]
    looked_up = dict(zip(unknown, _look_up_all(unknown, family), strict=True)) if unknown else {}
    hosts, problems = [], []
    for name, address in zip(names, literal, strict=True):
        answer = address or looked_up[name]
        if isinstance(answer, str):
            hosts.append(Host(name, answer))
        elif isinstance(answer, OSError):
            problems.append(f"{name}: {answer.strerror}")
        else:
            hosts += [Host(a if show_address else name, a) for a in (answer if every else answer[:1])]
    return hosts, problems


def _literal(name: str, family: str) -> str:
    """The name itself when it is an address of a wanted family, else nothing."""
    kind = socket.AF_INET6 if ":" in name else socket.AF_INET
    if _FAMILIES[family] not in (socket.AF_UNSPEC, kind):
        return ""
    try:
        socket.inet_pton(kind, name.partition("%")[0])
    except OSError:
        return ""
    return name


def _look_up_all(names: Sequence[str], family: str) -> Iterable[list[str] | OSError]:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(_LOOKUPS) as pool:
        return list(pool.map(lambda name: _look_up(name, family), names))


def _look_up(name: str, family: str) -> list[str] | OSError:
    try:
        found = socket.getaddrinfo(name, None, _FAMILIES[family], socket.SOCK_RAW)
    except OSError as error:
        return error
    except UnicodeError:
        return socket.gaierror(socket.EAI_NONAME, "not a host name")
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))
