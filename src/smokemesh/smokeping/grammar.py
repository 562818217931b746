"""How a SmokePing file is written: physical lines become statements. No meaning here.

All is done on bytes held as Latin-1 text, as SmokePing never decodes; white space and digits are ASCII's.
Bounds keep a hostile file to one error: depth of includes, lines, length of a line, what `@define` may cost.
"""

import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from smokemesh.errors import ConfigError

MOST_BYTES: Final = 64 << 20
MOST_LINES: Final = 2_000_000
MOST_DEPTH: Final = 40
LONGEST_LINE: Final = 1 << 17
#: What all replacements of `@define` may cost together, about nanoseconds.
MOST_DEFINE_COST: Final = 5e9

BLANKS: Final = " \t\n\r\f\v"
_INCLUDE = re.compile(r"@include\s+[\"']?(.*)", re.ASCII | re.DOTALL)
_DEFINE = re.compile(r"@define\s+(\S+)\s+(.*)", re.ASCII | re.DOTALL)
_QUANTIFIER = re.compile(r"[*+?{]")
_SLOW = re.compile(r"\)[*+?{]|\\\d|\(\?")
_WORD = re.compile(r"\S+", re.ASCII)
_UNESCAPE = re.compile(r"\\(.)", re.DOTALL)
_BOM: Final = "\xef\xbb\xbf"

Read = Callable[[str], bytes]


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a file; errors are said at one."""

    file: str
    line: int

    def error(self, message: str) -> ConfigError:
        """What is wrong here, on one line."""
        return ConfigError(message, file=printable(self.file), line=self.line)


@dataclass(frozen=True, slots=True)
class Header:
    """`*** name ***` is level 1, `+ name` level 2, `++ name` level 3 …"""

    place: Place
    level: int
    name: str


@dataclass(frozen=True, slots=True)
class Setting:
    """`name = value`."""

    place: Place
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table, its fields unquoted."""

    place: Place
    fields: tuple[str, ...]


Statement = Header | Setting | Row


class Reader:
    """Reads a file and those it includes, in order. Raises ConfigError."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._bytes = self._lines = 0
        self._defines = Defines()
        #: Path -> its bytes, in the order they were opened first.
        self.files: dict[str, bytes] = {}
        self.warnings: list[str] = []

    def statements(self, path: str) -> Iterator[Statement]:
        """All statements of the file and of those it includes."""
        yield from self._file(path, (), None)

    def _file(self, path: str, above: tuple[str, ...], asked: Place | None) -> Iterator[Statement]:
        for place, line in self._logical_lines(path, self._open(path, above, asked)):
            include = _INCLUDE.fullmatch(line)
            define = _DEFINE.fullmatch(line)
            if include:
                yield from self._file(beside(path, include[1]), (*above, path), place)
            elif define:
                self._defines.add(define[1], define[2], place)
            else:
                yield statement(place, self._defines.apply(line, place))

    def _open(self, path: str, above: tuple[str, ...], asked: Place | None) -> str:
        shown = printable(path)
        place = asked or Place(path, 0)
        if path in above:
            raise place.error(f"@include {shown}: the file includes itself; take one @include out")
        if len(above) >= MOST_DEPTH:
            raise place.error(f"@include {shown}: {MOST_DEPTH} files within one another; include fewer")
        try:
            data = self._read(path)
        except IsADirectoryError:
            self.warnings.append(
                f"{place_text(place)}{shown} is a directory: nothing is read from it, as SmokePing does"
            )
            data = b""
        except (OSError, ValueError) as error:  # ValueError: a NUL in the name
            reason = getattr(error, "strerror", None) or "is no file name"
            what = f"@include {shown}" if asked else "the file"
            raise place.error(f"{what} cannot be read: {reason}; write the path of a readable file") from None
        self._bytes += len(data)
        if self._bytes > MOST_BYTES:
            raise place.error(f"{shown}: more than {MOST_BYTES >> 20} MiB with what is included; split it")
        self.files.setdefault(path, data)
        return data.decode("latin-1")

    def _logical_lines(self, path: str, text: str) -> Iterator[tuple[Place, str]]:
        """Lines without comments and outer blanks, continuations joined, numbered by their first."""
        if text.startswith(_BOM):
            raise Place(path, 1).error("the file begins with a byte order mark; save it as UTF-8 without one")
        physical = text.split("\n")
        if not physical[-1]:
            physical.pop()
        number = 0
        while number < len(physical):
            place = Place(path, number + 1)
            line = physical[number].strip(BLANKS).partition("#")[0].rstrip(BLANKS)
            number += 1
            parts, length = [line], len(line)
            while parts[-1].endswith("\\"):
                parts[-1] = parts[-1][:-1]
                if number == len(physical):
                    break
                parts.append(" " + physical[number].strip(BLANKS))
                number += 1
                length += len(parts[-1])
                self._bound(place, length)
            self._lines += 1
            self._bound(place, length)
            if parts[0] or len(parts) > 1 or line:
                yield place, "".join(parts)

    def _bound(self, place: Place, length: int) -> None:
        if length > LONGEST_LINE:
            raise place.error(f"the line is longer than {LONGEST_LINE >> 10} KiB with its continuations; split it")
        if self._lines > MOST_LINES:
            raise place.error(f"more than {MOST_LINES} lines with what is included; split the file")


class Defines:
    """What `@define NAME text` replaces in all later lines; NAME is a regular expression."""

    def __init__(self) -> None:
        self._all: dict[str, tuple[str, str, Place]] = {}
        self._patterns: dict[str, re.Pattern[str]] = {}
        self._cost = 0.0

    def add(self, name: str, text: str, place: Place) -> None:
        """From here on."""
        self._all[name] = (name, text, place)
        self._patterns.pop(name, None)

    def apply(self, line: str, place: Place) -> str:
        """The line with everything replaced, each definition once, in the order they were made."""
        for name, text, made in self._all.values():
            pattern = self._patterns.get(name) or self._compile(name, made)
            slow = _QUANTIFIER.search(name) is not None
            self._cost += 500 + (20.0 * len(line) * len(line) if slow else len(line))
            if self._cost > MOST_DEFINE_COST:
                raise place.error("the replacements of @define take too long; define fewer, as plain words")
            if pattern.search(line) is None:
                continue
            hits = sum(1 for _ in pattern.finditer(line))
            if len(line) + hits * len(text) > LONGEST_LINE:
                raise place.error(f"@define makes this line longer than {LONGEST_LINE >> 10} KiB; define shorter texts")
            line = pattern.sub(text.replace("\\", "\\\\"), line)
        return line

    def _compile(self, name: str, made: Place) -> re.Pattern[str]:
        """Only when a line is there to be replaced in, as SmokePing does; so a bad one at the end harms nobody."""
        steps = len(_QUANTIFIER.findall(name))
        if steps > 1 or name.count("|") > 3 or (steps and _SLOW.search(name)):
            raise made.error(f"@define {printable(name)}: the expression could take for ever; write a plain word")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._patterns[name] = re.compile(name, re.ASCII)
        except (re.error, RecursionError, OverflowError) as error:
            raise made.error(
                f"@define {printable(name)}: no regular expression ({error}); write a plain word"
            ) from None
        return self._patterns[name]


def statement(place: Place, line: str) -> Statement:
    """What a line says: a section, else a variable, else a row."""
    if line.startswith("***") and line.endswith("***") and len(line) >= 6:
        return Header(place, 1, line[3:-3].strip(BLANKS))
    if line.startswith("+"):
        name = line.lstrip("+")
        return Header(place, len(line) - len(name) + 1, name.lstrip(BLANKS))
    pair = split_setting(line)
    return Setting(place, *pair) if pair else Row(place, split_fields(line))


def split_setting(line: str) -> tuple[str, str] | None:
    """`name = value`. Without blanks around it the last `=` of the first word parts them: `a=b=c` is `a=b` and `c`."""
    word = _WORD.match(line)
    if word is None:
        return None
    rest = line[word.end() :].lstrip(BLANKS)
    if rest.startswith("="):
        return word[0], rest[1:].lstrip(BLANKS)
    at = word[0].rfind("=", 1)
    return (line[:at], line[at + 1 :].lstrip(BLANKS)) if at > 0 else None


def split_fields(line: str) -> tuple[str, ...]:
    """Fields parted by blanks; a field may stand in quotes, and a backslash takes the next character as it is."""
    fields, at = [], 0
    while at < len(line):
        end = _quoted(line, at) if line[at] in "\"'" else None
        if end is None:
            end = stop = _unquoted(line, at)
            start = at
        else:
            start, stop = at + 1, end - 1
        fields.append(_UNESCAPE.sub(r"\1", line[start:stop]))
        at = end
        while at < len(line) and line[at] in BLANKS:
            at += 1
    return tuple(fields)


def _unquoted(line: str, at: int) -> int:
    while at < len(line) and line[at] not in BLANKS:
        at += 2 if line[at] == "\\" and at + 1 < len(line) else 1
    return at


def _quoted(line: str, start: int) -> int | None:
    """Where the field that opens here ends, past its closing quote; None when it is not closed.

    An escaped quote closes only when no other does: `"a\\"` alone is the field `a\\`.
    """
    quote, at, last = line[start], start + 1, None
    while at < len(line):
        if line[at] == quote:
            return at + 1
        if line[at] == "\\" and at + 1 < len(line):
            # Were this pair no escape, its second character would be read anew: the last such place wins.
            if line[at + 1] == quote:
                last = at + 2
            at += 2
        else:
            at += 1
    return last


def beside(file: str, name: str) -> str:
    """The path of an included file: a relative one is beside the including file."""
    directory, slash, _ = file.rpartition("/")
    return f"{directory}/{name}" if slash and directory and not name.startswith("/") else name


def place_text(place: Place) -> str:
    """`file:line: `, for warnings."""
    return f"{printable(place.file)}:{place.line}: " if place.line else f"{printable(place.file)}: "


def printable(text: str, most: int = 120) -> str:
    """For a message of one line: what cannot be printed is escaped, what is long is cut."""
    try:
        text = text.encode("latin-1").decode("utf-8")
    except UnicodeError:
        pass
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text[: most + 1])
    return shown if len(text) <= most else shown[:most] + "…"
