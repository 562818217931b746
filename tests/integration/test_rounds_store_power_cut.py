"""After a power cut parts are there whose files never reached the disk: their rounds, sent again, count once."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smokemesh.model.rounds import RoundBatch
from smokemesh.model.series import LEVELS, SeriesQuestion
from smokemesh.storage.parts import is_whole
from smokemesh.storage.rounds import open_rounds

SECOND = 1_000_000_000
DAY = 86400 * SECOND
MIDNIGHT = time.time_ns() // DAY * DAY - 5 * DAY


def batch(i: int, n: int = 50) -> RoundBatch:
    columns = {
        "task": np.full(n, 7),
        "time": MIDNIGHT + (i * n + np.arange(n)) * SECOND,
        "step": np.full(n, 1.0),
        "sent": np.full(n, 2),
        "received": np.full(n, 1),
        "rtts": np.tile([0.1, np.nan], n),
    }
    return RoundBatch.from_columns(n, columns)


def fill(path: Path, numbers: range) -> dict[str, int]:
    """Insert batches, and tell the rounds each level holds then."""
    store = open_rounds(f"chdb://{path}")
    for i in numbers:
        store.insert("a", batch(i), f"a/epoch/{i}")
    found = {}
    for level in LEVELS:
        [series] = store.series([SeriesQuestion(task=7, agent="a", begin=MIDNIGHT, end=MIDNIGHT + DAY, level=level)])
        found[level] = int(series.rounds.sum())
    assert len(store.latest([7], MIDNIGHT)) == 1
    store.close()
    return found


def parts(path: Path, table: str) -> list[Path]:
    """The parts of a table, oldest first."""
    [definition] = path.glob(f"store/*/*/{table}.sql")
    uuid = definition.read_text().partition("UUID '")[2].partition("'")[0]
    [place] = path.glob(f"store/*/{uuid}")
    found = [checksums.parent for checksums in place.glob("*_*_*_*/checksums.txt")]
    return sorted(found, key=lambda part: int(part.name.split("_")[2]))


def cut(file: Path, size: int) -> None:
    with file.open("r+b") as opened:
        opened.truncate(size)


def nothing_written(part: Path) -> None:
    for file in part.iterdir():
        cut(file, 0)


def a_byte_short(part: Path) -> None:
    cut(part / "data.bin", (part / "data.bin").stat().st_size - 1)


def no_checksums(part: Path) -> None:
    cut(part / "checksums.txt", 0)


def no_columns(part: Path) -> None:
    cut(part / "columns.txt", 0)


@pytest.mark.parametrize(
    ("table", "damage"),
    [("rounds", nothing_written), ("rollups", a_byte_short), ("rounds", no_checksums), ("rollups", no_columns)],
)
def test_rounds_of_a_part_that_was_not_written_out_are_taken_again(
    tmp_path: Path, table: str, damage: Callable[[Path], None]
) -> None:
    path = tmp_path / "rounds"
    whole = fill(path, range(3))
    assert whole == dict.fromkeys(LEVELS, 150)
    damage(parts(path, table)[-1])
    # The engine puts the part aside, as `is_whole` said it would.
    assert min(fill(path, range(0)).values()) == 100
    assert fill(path, range(3)) == whole


@pytest.fixture(scope="module")
def part(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A part with a file for each column, as large inserts make them."""
    path = tmp_path_factory.mktemp("parts") / "rounds"
    store = open_rounds(f"chdb://{path}")
    with store._clients.writing() as client:
        client.command("ALTER TABLE rounds MODIFY SETTING min_bytes_for_wide_part = 0")
    store.insert("a", batch(0), "t")
    store.close()
    for table in ("rounds", "rollups", "latest"):
        assert all(map(is_whole, parts(path, table)))
    [wide] = parts(path, "rounds")
    return wide


def test_a_part_is_whole_with_all_its_files(part: Path) -> None:
    # A column of nothing but zeros has a file without a byte.
    files = [file for file in part.iterdir() if file.stat().st_size]
    assert len(files) > 30
    for file in files:
        data = file.read_bytes()
        cut(file, 0)
        assert not is_whole(part), f"{file.name} is empty"
        file.write_bytes(data)
        assert is_whole(part)
    for name in ("rtts.bin", "count.txt", "columns.txt", "checksums.txt"):
        data = (part / name).read_bytes()
        (part / name).unlink()
        assert not is_whole(part), f"{name} is missing"
        (part / name).write_bytes(data[:-1])
        assert not is_whole(part) or name == "columns.txt", f"{name} is a byte short"
        (part / name).write_bytes(data)
    assert is_whole(part)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(data=st.data())
def test_no_checksums_are_so_damaged_that_it_cannot_be_told(part: Path, data: st.DataObject) -> None:
    file = part / "checksums.txt"
    before = file.read_bytes()
    try:
        at = data.draw(st.integers(0, len(before) - 1))
        damaged = before[:at] + data.draw(st.binary(max_size=20)) + before[at + data.draw(st.integers(0, 20)) :]
        file.write_bytes(damaged)
        assert is_whole(part) in (True, False)
        file.write_bytes(before[:at])
        assert not is_whole(part)
    finally:
        file.write_bytes(before)
