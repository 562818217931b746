"""Undo what a killed process left half done in an embedded database, before the engine opens it.

ClickHouse writes the token of an insert to a table's deduplication log and *then* renames the part it made
(MergeTreeSink, 26.9). Killed between the two, the log remembers rounds the table never got, and the insert,
sent again, would be taken for a repetition and lost. So it is when the power fails before the part is written out,
for then the engine puts the part aside. Each token whose part is not there and whole is taken back, with the
record the engine itself writes when it drops a part. Replicated tables commit both at once and need none.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from smokemesh.storage.parts import is_whole

_ADD: Final = "1"
_DROP: Final = "2"


class _Part(NamedTuple):
    """Blocks `first` to `last` of a partition."""

    partition: str
    first: int
    last: int


def take_back_lost_inserts(path: Path) -> int:
    """Make every table forget the tokens whose rounds it does not hold; tells how many there were."""
    return sum(_repair(logs) for logs in sorted(path.glob("store/*/*/deduplication_logs")))


def _repair(logs: Path) -> int:
    files = sorted(logs.glob("deduplication_log_*.txt"), key=lambda file: int(file.stem.rsplit("_", 1)[1]))
    if not files:
        return 0
    _cut_torn_line(files[-1])
    tokens: dict[str, str] = {}
    for file in files:
        for operation, part, token in _records(file):
            if operation == _ADD:
                tokens[token] = part
            else:
                tokens.pop(token, None)
    held = _Held(logs.parent)
    lost = {token: name for token, name in tokens.items() if not held.covers(name)}
    with files[-1].open("a", encoding="utf-8") as newest:
        newest.writelines(f"{_DROP}\t{name}\t{token}\n" for token, name in lost.items())
    return len(lost)


def _records(file: Path) -> Iterator[list[str]]:
    for line in file.read_text("utf-8", errors="replace").splitlines():
        fields = line.split("\t")
        if len(fields) == 3 and fields[0] in (_ADD, _DROP):
            yield fields


def _cut_torn_line(file: Path) -> None:
    """Drop a last line without an end: the engine would read nothing behind it."""
    data = file.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        with file.open("r+b") as torn:
            torn.truncate(whole)


class _Held:
    """The parts of a table on disk, whatever state they are in."""

    def __init__(self, table: Path) -> None:
        self._partitions: dict[str, dict[_Part, list[Path]]] = {}
        for entry in table.iterdir():
            part = _part(entry.name)
            if part is not None:
                self._partitions.setdefault(part.partition, {}).setdefault(part, []).append(entry)
        self._whole: dict[_Part, bool] = {}

    def covers(self, name: str) -> bool:
        """Is the part, or one it was merged into, there and whole? A name of a form we do not know is left alone."""
        wanted = _part(name)
        if wanted is None:
            return True
        held = self._partitions.get(wanted.partition, {})
        if wanted in held and self._is_whole(wanted):
            return True
        merged = (part for part in held if part.first <= wanted.first and wanted.last <= part.last)
        return any(self._is_whole(part) for part in merged)

    def _is_whole(self, part: _Part) -> bool:
        """Looks at the files of each part once."""
        if part not in self._whole:
            self._whole[part] = any(map(is_whole, self._partitions[part.partition][part]))
        return self._whole[part]


def _part(name: str) -> _Part | None:
    """The part behind PARTITION_FIRST_LAST_LEVEL or PARTITION_FIRST_LAST_LEVEL_MUTATION."""
    fields = name.split("_")
    if len(fields) not in (4, 5) or not all(field.isdecimal() for field in fields[1:]):
        return None
    return _Part(fields[0], int(fields[1]), int(fields[2]))
