"""Perl data as text, the way Data::Dumper writes it: what a SmokePing master hands its slaves. Read by a parser, never run.

Values are dict, list, str, int, float and None (`undef`). Text is bytes to Perl: what is not UTF-8 is carried through
as surrogate escapes, so every byte comes back as it was.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeAlias

from smokemesh.errors import WireError

Value: TypeAlias = "dict[str, Value] | list[Value] | str | int | float | None"

#: Bounds of what is read: bytes, levels of nesting, and values, each counted again wherever it is referred to.
MOST_BYTES: Final = 64 * 2**20
MOST_DEPTH: Final = 128
MOST_VALUES: Final = 4_000_000

#: Data::Dumper puts quotes around whole numbers with more characters than this.
_BARE: Final = 10
# No possessive quantifiers: Python 3.11.2, which Debian 12 has, gets them wrong inside groups. Each of these is written so
# that there is one way only to match a text, and so takes a time in proportion to it.
_SPACE: Final = re.compile(rb"\s*")
_BEGIN: Final = re.compile(rb"\s*\$([A-Za-z_]\w*)\s*=")
_END: Final = re.compile(rb"\s*(?:;\s*)?\Z")
#: What nearly every line of a dump is: a quoted key, a plain value, and what follows. Nothing is escaped in either.
_PLAIN_PAIR: Final = re.compile(
    rb"\s*'([^'\\]*)'\s*=>\s*(?:'([^'\\]*)'|(-?(?:0|[1-9][0-9]{0,17}))(?=\s*[,}])|(undef)\b)\s*(?:,|(?=\}))"
)
_SINGLE: Final = re.compile(rb"'([^'\\]*(?:\\.[^'\\]*)*)'", re.DOTALL)
_DOUBLE: Final = re.compile(rb'"([^"\\$@]*(?:\\.[^"\\$@]*)*)"', re.DOTALL)
_NUMBER: Final = re.compile(rb"[-+]?(?:0(?![0-9])|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?(?![\w.])")
_WORD: Final = re.compile(rb"-?[A-Za-z_]\w*(?=\s*=>)")
_REFERENCE: Final = re.compile(rb"\$([A-Za-z_]\w*)((?:\s*(?:->\s*)?(?:\{[^{}]*\}|\[\s*[0-9]{1,9}\s*\]))*)")
_STEP: Final = re.compile(rb"\{([^{}]*)\}|\[\s*([0-9]{1,9})\s*\]")
_SINGLE_ESCAPE: Final = re.compile(rb"\\(['\\])")
_DOUBLE_ESCAPE: Final = re.compile(rb"\\(?:x\{([0-9A-Fa-f]{1,6})\}|x([0-9A-Fa-f]{1,2})|([0-7]{1,3})|(.))", re.DOTALL)
_LETTERS: Final = {b"n": 10, b"t": 9, b"r": 13, b"f": 12, b"b": 8, b"a": 7, b"e": 27}


def write(value: Value, name: str = "VAR1") -> bytes:
    """The dump, with sorted keys and the layout of Data::Dumper's `Indent = 2`, which slaves of others read as text."""
    begin = f"${name} = "
    return b"".join([_bytes(begin), *_write(value, len(begin)), b";\n"])


def read(data: bytes, what: str = "configuration") -> Value:
    """The value of a dump. Raises WireError that says what is wrong in which line; `what` names the text there."""
    if len(data) > MOST_BYTES:
        raise WireError(f"{what}: has {len(data)} bytes, {MOST_BYTES} are read; is this a dump of Perl data?")
    return _Reader(data, what).read()


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _quoted(text: str) -> bytes:
    return b"'" + _bytes(text).replace(b"\\", b"\\\\").replace(b"'", b"\\'") + b"'"


def _write(value: Value, column: int) -> Iterator[bytes]:
    """The pieces of a value that begins in this column, which is where its closing bracket will stand."""
    if isinstance(value, dict):
        items = sorted(value.items(), key=lambda item: _bytes(item[0]))
        yield from _write_all(b"{}", column, [(_quoted(key) + b" => ", item) for key, item in items])
    elif isinstance(value, list):
        yield from _write_all(b"[]", column, [(b"", item) for item in value])
    elif value is None:
        yield b"undef"
    elif isinstance(value, int) and not isinstance(value, bool) and len(str(value)) <= _BARE:
        yield b"%d" % value
    else:
        yield _quoted(str(value))


def _write_all(brackets: bytes, column: int, items: list[tuple[bytes, Value]]) -> Iterator[bytes]:
    yield brackets[:1]
    margin = b"\n" + b" " * (column + 2)
    for number, (label, item) in enumerate(items):
        yield (b"," if number else b"") + margin + label
        yield from _write(item, column + 2 + len(label))
    yield (b"\n" + b" " * column if items else b"") + brackets[1:]


class _Reader:
    """Reads one dump. `at` is where it has got to."""

    def __init__(self, data: bytes, what: str) -> None:
        self._data, self._what, self._at = data, what, 0
        self._name = ""
        self._left = MOST_VALUES
        #: The value being read, and which containers in it are not closed yet: nothing may refer to those.
        self._root: Value = None
        self._open: set[int] = set()

    def read(self) -> Value:
        begin = _BEGIN.match(self._data)
        if begin is None:
            raise self._wrong("a dump begins with `$VAR1 = `", 0)
        self._name, self._at = _text(begin[1]), begin.end()
        value = self._value(0)
        if not _END.match(self._data, self._at):
            raise self._wrong("expected `;` and the end")
        return value

    def _wrong(self, why: str, at: int = -1) -> WireError:
        place = self._skip() if at < 0 else at
        line = self._data.count(b"\n", 0, place) + 1
        found = self._data[place : place + 30].split(b"\n")[0]
        return WireError(f"{self._what}: line {line}: {why}, found {ascii(_text(found)) if found else 'the end'}")

    def _skip(self) -> int:
        found = _SPACE.match(self._data, self._at)
        self._at = found.end() if found else self._at
        return self._at

    def _take(self, token: bytes) -> bool:
        """Whether this stands next; then it is passed."""
        found = self._data.startswith(token, self._skip())
        self._at += len(token) if found else 0
        return found

    def _count(self, values: int = 1) -> None:
        self._left -= values
        if self._left < 0:
            raise self._wrong(f"more than {MOST_VALUES} values")

    def _value(self, depth: int) -> Value:
        self._count()
        if depth > MOST_DEPTH:
            raise self._wrong(f"nested more than {MOST_DEPTH} deep")
        if self._take(b"{"):
            return self._hash(depth)
        if self._take(b"["):
            return self._list(depth)
        return self._scalar()

    def _hash(self, depth: int) -> Value:
        made: dict[str, Value] = {}
        self._enter(made, depth)
        while True:
            self._plain_pairs(made)
            if self._take(b"}"):
                break
            key = self._key()
            if key in made:
                raise self._wrong(f"the key {key!a} is there twice; before")
            if not self._take(b"=>"):
                raise self._wrong(f"expected `=>` after the key {key!a}")
            made[key] = self._value(depth + 1)
            if not self._take(b",") and not self._data.startswith(b"}", self._skip()):
                raise self._wrong("expected `,` or `}`")
        self._open.discard(id(made))
        return made

    def _plain_pairs(self, made: dict[str, Value]) -> None:
        """As many pairs of the common form as follow one another."""
        match, data, at, before = _PLAIN_PAIR.match, self._data, self._at, len(made)
        while found := match(data, at):
            raw, quoted, number, _ = found.groups()
            key = _text(raw)
            if key in made:
                break
            made[key] = _text(quoted) if quoted is not None else None if number is None else int(number)
            at = found.end()
        self._at = at
        self._count(len(made) - before)

    def _list(self, depth: int) -> Value:
        made: list[Value] = []
        self._enter(made, depth)
        while not self._take(b"]"):
            made.append(self._value(depth + 1))
            if not self._take(b",") and not self._data.startswith(b"]", self._skip()):
                raise self._wrong("expected `,` or `]`")
        self._open.discard(id(made))
        return made

    def _enter(self, made: "dict[str, Value] | list[Value]", depth: int) -> None:
        self._open.add(id(made))
        if depth == 0:
            self._root = made

    def _key(self) -> str:
        word = self._match(_WORD)
        if word:
            return _text(word[0])
        key = self._scalar()
        if isinstance(key, str | int):
            return str(key)
        raise self._wrong("expected a key before")

    def _match(self, pattern: re.Pattern[bytes]) -> re.Match[bytes] | None:
        found = pattern.match(self._data, self._skip())
        if found:
            self._at = found.end()
        return found

    def _scalar(self) -> Value:
        if found := self._match(_SINGLE):
            return _text(_SINGLE_ESCAPE.sub(rb"\1", found[1]))
        if found := self._match(_NUMBER):
            return self._number(found)
        if found := self._match(_DOUBLE):
            return self._unescaped(found[1], found.start())
        if self._take(b"undef"):
            return None
        if found := self._match(_REFERENCE):
            return self._referred(found)
        raise self._wrong("expected a value")

    def _number(self, found: re.Match[bytes]) -> int | float:
        text = found[0]
        if len(text) > 40:
            raise self._wrong("a number has more than 40 characters", found.start())
        return float(text) if found[1] or found[2] else int(text)

    def _unescaped(self, raw: bytes, at: int) -> str:
        """A text in double quotes: bytes, unless one of its characters is wider than a byte."""
        wide, done, numbers = False, 0, list[int]()
        for found in _DOUBLE_ESCAPE.finditer(raw):
            numbers += raw[done : found.start()]
            number = _escape(found)
            if number > 0x10FFFF or 0xD800 <= number < 0xE000:
                raise self._wrong("a character that does not exist", at)
            wide |= number > 255
            numbers.append(number)
            done = found.end()
        numbers += raw[done:]
        return "".join(map(chr, numbers)) if wide else _text(bytes(numbers))

    def _referred(self, found: re.Match[bytes]) -> Value:
        """What `$VAR1->{'a'}[0]` stands for; it must have been read whole, so nothing can hold itself."""
        value: Any = self._root
        if _text(found[1]) != self._name or not found[2]:
            raise self._wrong("expected a value", found.start())
        for step in _STEP.finditer(found[2]):
            try:
                value = value[self._step(step[1])] if step[1] is not None else value[int(step[2])]
            except (KeyError, IndexError, TypeError):
                raise self._wrong("a reference to what is not there", found.start()) from None
        if id(value) in self._open:
            raise self._wrong("a reference to what it stands in", found.start())
        self._count(_size(value, self._left))
        return value

    def _step(self, raw: bytes) -> str:
        raw = raw.strip()
        quoted = _SINGLE.fullmatch(raw)
        return _text(_SINGLE_ESCAPE.sub(rb"\1", quoted[1]) if quoted else raw)


def _escape(found: re.Match[bytes]) -> int:
    if digits := found[1] or found[2]:
        return int(digits, 16)
    if found[3]:
        return int(found[3], 8)
    return _LETTERS.get(found[4], found[4][0])


def _size(value: Value, most: int) -> int:
    """How many values stand in this one; counting ends past `most`."""
    count, waiting = 0, [value]
    while waiting and count <= most:
        one = waiting.pop()
        count += 1
        waiting += list(one.values()) if isinstance(one, Mapping) else one if isinstance(one, list) else []
    return count
