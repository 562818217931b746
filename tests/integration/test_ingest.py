"""The one door in, on a real catalogue and a real store: nothing lost, nothing twice, nothing that cannot be true."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from smokemesh.errors import StoreError, WireError
from smokemesh.master.ingest import IN_MEMORY, MOST_AHEAD, Ingest, address_text
from smokemesh.model.assignment import Task, task_id
from smokemesh.model.rounds import RoundBatch
from smokemesh.model.series import SeriesQuestion
from smokemesh.storage.catalogue import Catalogue, open_catalogue
from smokemesh.storage.rounds import ClickHouseRounds, open_rounds
from smokemesh.wire.columns import pack
from smokemesh.wire.messages import Record, Upload

NOW = time.time_ns()
SECOND = 10**9
PLAIN = Task(id=task_id("/x", "ping"), target="/x", host="192.0.2.1", probe="ping")
SEVERAL = Task(id=task_id("/many", "ping"), target="/many", host="many.example", probe="ping", addresses="all")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseRounds]:
    opened = open_rounds(f"chdb://{tmp_path_factory.mktemp('rounds')}/rounds")
    yield opened
    opened.close()


@pytest.fixture
def catalogue(tmp_path: Path) -> Iterator[Catalogue]:
    opened = open_catalogue(f"sqlite:///{tmp_path}/catalogue.db")
    opened.remember_tasks([PLAIN, SEVERAL], NOW)
    yield opened
    opened.close()


class Heard:
    """Whoever is told of stored rounds."""

    def __init__(self) -> None:
        self.rounds = 0

    def publish(self, agent: str, batch: RoundBatch) -> None:
        self.rounds += len(batch)


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def ingest(store: ClickHouseRounds, catalogue: Catalogue, heard: Heard) -> Iterator[Ingest]:
    made = Ingest(store, catalogue, lambda _: (PLAIN, SEVERAL), (heard,), oldest=lambda: 10 * 365 * 86400.0)
    yield made
    made.close()


def rounds(*seconds: int, task: int = PLAIN.id, address: bytes = bytes(16)) -> RoundBatch:
    """One round of three pings at each of these seconds from now."""
    n = len(seconds)
    return RoundBatch.from_columns(
        n,
        {
            "task": [task] * n,
            "time": [NOW + s * SECOND for s in seconds],
            "step": [10.0] * n,
            "sent": [3] * n,
            "received": [2] * n,
            "address": [list(address)] * n or None,
            "rtts": [0.01, np.nan, 0.02] * n,
        },
    )


def upload(first: int, *batches: RoundBatch, epoch: str = "e1") -> Upload:
    records = tuple(Record(sequence=first + i, rounds=pack(batch)) for i, batch in enumerate(batches))
    return Upload(epoch=epoch, records=records)


def stored(store: ClickHouseRounds, agent: str, task: int = PLAIN.id) -> int:
    """Rounds of an agent in raw; the rollup must say the same."""
    begin, end = NOW - 20 * 365 * 86400 * SECOND, NOW + 86400 * SECOND
    raw = store.rounds(SeriesQuestion(task=task, agent=agent, begin=begin, end=end))
    (series,) = store.series([SeriesQuestion(task=task, agent=agent, begin=begin, end=end, level="1h")])
    assert int(series.rounds.sum()) == len(raw)
    return len(raw)


def take(ingest: Ingest, agent: str, *uploads: Upload, now: int = NOW) -> list[tuple[int, bool, int]]:
    async def scenario() -> list[tuple[int, bool, int]]:
        replies = [await ingest.take(agent, one, now) for one in uploads]
        return [(reply.stored, reply.duplicate, reply.refused) for reply in replies]

    return asyncio.run(scenario())


def test_what_is_acknowledged_is_stored_and_told(ingest: Ingest, store: ClickHouseRounds, heard: Heard) -> None:
    assert take(ingest, "plain", upload(1, rounds(-30), rounds(-20, -10))) == [(2, False, 0)]
    assert stored(store, "plain") == heard.rounds == 3


def test_the_same_range_again_counts_once(ingest: Ingest, store: ClickHouseRounds, heard: Heard) -> None:
    one = upload(1, rounds(-30), rounds(-20))
    assert take(ingest, "again", one, one, upload(1, rounds(-30))) == [(2, False, 0), (2, True, 0), (2, True, 0)]
    assert stored(store, "again") == heard.rounds == 2
    assert ingest.counters.duplicates == 2


def test_a_crash_between_store_and_catalogue(
    ingest: Ingest, store: ClickHouseRounds, catalogue: Catalogue, heard: Heard
) -> None:
    """The store has the rounds, the catalogue does not know yet: the same range is sent again."""
    one = upload(1, rounds(-30), rounds(-20))
    store.insert("crash", RoundBatch.concatenate([rounds(-30), rounds(-20)]), "crash/e1/1-2")
    assert catalogue.stored_sequence("crash", "e1") == 0
    assert take(ingest, "crash", one) == [(2, False, 0)]
    assert stored(store, "crash") == 2


class Unsure:
    """The store of a test, which once does an insert, or not, and says that it failed."""

    def __init__(self, store: ClickHouseRounds) -> None:
        self._store, self.lose, self.fail = store, False, True

    def insert(self, agent: str, batch: RoundBatch, token: str) -> None:
        if not (self.fail and self.lose):
            self._store.insert(agent, batch, token)
        if self.fail:
            raise StoreError("rounds: no answer")

    def held(self, agent: str, batch: RoundBatch) -> NDArray[np.bool_]:
        return self._store.held(agent, batch)


@pytest.fixture
def unsure(store: ClickHouseRounds) -> Unsure:
    return Unsure(store)


@pytest.fixture
def doubtful(unsure: Unsure, catalogue: Catalogue) -> Iterator[Ingest]:
    made = Ingest(unsure, catalogue, lambda _: (PLAIN, SEVERAL), oldest=lambda: 10 * 365 * 86400.0)  # type: ignore[arg-type]
    yield made
    made.close()


ROUNDS = tuple(rounds(-s) for s in range(50, 0, -10))


@pytest.mark.parametrize("lose", [False, True], ids=["stored", "lost"])
@pytest.mark.parametrize(
    "again",
    [
        [upload(1, *ROUNDS[:4]), upload(5, ROUNDS[4])],
        [upload(1, *ROUNDS[:2]), upload(3, *ROUNDS[2:4]), upload(5, ROUNDS[4])],
        [upload(1, ROUNDS[0]), upload(2, *ROUNDS[1:])],
        [upload(1, *ROUNDS)],
    ],
    ids=["same", "cut", "cut and grown", "grown"],
)
def test_a_range_in_doubt_counts_once_however_it_is_cut(
    doubtful: Ingest,
    unsure: Unsure,
    store: ClickHouseRounds,
    request: pytest.FixtureRequest,
    lose: bool,
    again: list[Upload],
) -> None:
    agent, unsure.lose = request.node.name, lose
    with pytest.raises(StoreError):
        take(doubtful, agent, upload(1, *ROUNDS[:4]))
    unsure.fail = False
    take(doubtful, agent, *again)
    assert stored(store, agent) == 5


@pytest.mark.parametrize("lose", [False, True], ids=["stored", "lost"])
def test_doubt_after_doubt(doubtful: Ingest, unsure: Unsure, store: ClickHouseRounds, lose: bool) -> None:
    """A grown range is in doubt too: the first one is then no repetition any more."""
    agent, unsure.lose = f"doubt {lose}", True
    with pytest.raises(StoreError):
        take(doubtful, agent, upload(1, *ROUNDS[:2]))
    unsure.lose = lose
    with pytest.raises(StoreError):
        take(doubtful, agent, upload(1, *ROUNDS))
    unsure.fail = False
    take(doubtful, agent, upload(1, *ROUNDS[:2]), upload(3, *ROUNDS[2:]))
    assert stored(store, agent) == 5


@pytest.mark.parametrize("lose", [False, True], ids=["stored", "lost"])
def test_a_range_long_in_doubt_counts_once(
    doubtful: Ingest, unsure: Unsure, store: ClickHouseRounds, lose: bool
) -> None:
    """The store may have forgotten the name of the insert."""
    agent, unsure.lose = f"long {lose}", lose
    with pytest.raises(StoreError):
        take(doubtful, agent, upload(1, *ROUNDS))
    unsure.fail = False
    names: list[str] = []
    insert = store.insert

    def forgetful(agent: str, batch: RoundBatch, token: str) -> None:
        names.append(token)
        insert(agent, batch, f"{token} as if it were new")

    unsure.insert = forgetful  # type: ignore[method-assign]
    take(doubtful, agent, upload(1, *ROUNDS), now=NOW + IN_MEMORY)
    assert stored(store, agent) == 5
    assert len(names) == int(lose)


def test_a_range_in_doubt_is_judged_as_the_first_time(
    doubtful: Ingest, unsure: Unsure, store: ClickHouseRounds, catalogue: Catalogue
) -> None:
    """A round that was too far ahead then, or of a task not known then, is no reason to forget it now."""
    unsure.lose = False
    mixed = RoundBatch.concatenate([rounds(-20), rounds(MOST_AHEAD // SECOND + 60)])
    with pytest.raises(StoreError):
        take(doubtful, "judged", upload(1, mixed))
    unsure.fail = False
    assert take(doubtful, "judged", upload(1, mixed), now=NOW + 120 * SECOND) == [(1, False, 1)]
    assert stored(store, "judged") == 1

    late = Task(id=task_id("/late", "ping"), target="/late", host="192.0.2.9", probe="ping")
    mixed = RoundBatch.concatenate([rounds(-20), rounds(-10, task=late.id)])
    unsure.fail = True
    with pytest.raises(StoreError):
        take(doubtful, "learned", upload(1, mixed))
    unsure.fail = False
    catalogue.remember_tasks([late], NOW)
    doubtful.forget_tasks()
    assert take(doubtful, "learned", upload(1, mixed)) == [(1, False, 0)]
    assert (stored(store, "learned"), stored(store, "learned", late.id)) == (1, 1)


def test_a_range_known_in_part(ingest: Ingest, store: ClickHouseRounds) -> None:
    replies = take(ingest, "part", upload(1, rounds(-30), rounds(-20)), upload(2, rounds(-20), rounds(-10)))
    assert replies == [(2, False, 0), (3, False, 0)]
    assert stored(store, "part") == 3


def test_a_new_epoch_begins_anew(ingest: Ingest, store: ClickHouseRounds) -> None:
    take(ingest, "epoch", upload(1, rounds(-30)), upload(1, rounds(-20), epoch="e2"))
    assert stored(store, "epoch") == 2


def test_missing_records_are_counted(ingest: Ingest) -> None:
    """The agent's spool was full and dropped 2 to 4; a master that knows nothing of an epoch misses nothing."""
    take(ingest, "gap", upload(7, rounds(-30)), upload(8, rounds(-25)), upload(12, rounds(-20)))
    assert ingest.counters.gaps == 3


def test_uploads_of_one_agent_take_turns(ingest: Ingest, store: ClickHouseRounds) -> None:
    async def scenario() -> None:
        one = upload(1, rounds(-30), rounds(-20))
        replies = await asyncio.gather(*(ingest.take("turns", one, NOW) for _ in range(5)))
        assert sorted(reply.duplicate for reply in replies) == [False, True, True, True, True]

    asyncio.run(scenario())
    assert stored(store, "turns") == 2


def test_a_client_that_gives_up_does_not_break_the_order(ingest: Ingest, store: ClickHouseRounds) -> None:
    async def scenario() -> None:
        one = upload(1, rounds(-30))
        gone = asyncio.create_task(ingest.take("gone", one, NOW))
        await asyncio.sleep(0)
        gone.cancel()
        reply = await ingest.take("gone", one, NOW)
        assert (reply.stored, reply.duplicate) == (1, True)
        with pytest.raises(asyncio.CancelledError):
            await gone

    asyncio.run(scenario())
    assert stored(store, "gone") == 1


def test_rounds_that_cannot_be_kept_are_named(ingest: Ingest, store: ClickHouseRounds) -> None:
    async def scenario() -> None:
        mixed = RoundBatch.concatenate(
            [rounds(-10), rounds(7200), rounds(-20, task=99), rounds(-11 * 365 * 86400), rounds(-5)]
        )
        reply = await ingest.take("mixed", upload(1, mixed), NOW)
        assert (reply.stored, reply.refused) == (1, 3)
        assert "1 rounds of a task that was never assigned (task 99" in reply.reason
        assert "1 rounds dated more than 300 s ahead: check the agent's clock" in reply.reason
        assert "1 rounds older than any level is kept" in reply.reason

    asyncio.run(scenario())
    assert stored(store, "mixed") == 2
    assert ingest.counters.refused == 3


def test_an_upload_of_nothing_that_can_be_kept_is_done_with(ingest: Ingest) -> None:
    assert take(ingest, "nothing", upload(1, rounds(-1, task=99)), upload(2, RoundBatch.empty())) == [
        (1, False, 1),
        (2, False, 0),
    ]


def test_a_task_of_an_older_configuration(ingest: Ingest, catalogue: Catalogue, store: ClickHouseRounds) -> None:
    """It is assigned no more, but rounds of it were waiting in a spool."""
    old = Task(id=task_id("/old", "ping"), target="/old", host="192.0.2.9", probe="ping")
    catalogue.remember_tasks([old], NOW)
    assert take(ingest, "older", upload(1, rounds(-10, task=old.id))) == [(1, False, 0)]
    assert stored(store, "older", old.id) == 1


@pytest.mark.parametrize("address", ["192.0.2.7", "2001:db8::7"])
def test_each_address_of_a_name_has_a_number_of_its_own(
    ingest: Ingest, catalogue: Catalogue, store: ClickHouseRounds, address: str
) -> None:
    number = task_id("/many", "ping", address)
    packed = (
        bytes(10) + b"\xff\xff" + bytes([192, 0, 2, 7])
        if "." in address
        else bytes.fromhex("20010db8") + bytes(11) + b"\x07"
    )
    assert address_text(packed) == address
    good, forged = rounds(-10, task=number, address=packed), rounds(-5, task=number + 1, address=packed)
    agent = f"many-{len(address)}"
    assert take(ingest, agent, upload(1, good, forged)) == [(2, False, 1)]
    assert stored(store, agent, number) == 1
    assert catalogue.task(number).target == "/many"
    assert ingest.variants()[number].address == address


def test_addresses_outlive_their_target_and_the_master(
    ingest: Ingest, catalogue: Catalogue, store: ClickHouseRounds
) -> None:
    """The target is gone; rounds of it wait in spools, of addresses that the master never saw."""
    seen, unseen = (task_id("/many", "ping", f"2001:db8::{i}") for i in (1, 2))
    packed = [bytes.fromhex("20010db8") + bytes(11) + bytes([i]) for i in (1, 2)]
    take(ingest, "gone-many", upload(1, rounds(-10, task=seen, address=packed[0])))
    again = Ingest(store, catalogue, lambda _: ())
    assert again.variants()[seen].address == "2001:db8::1"
    assert take(again, "gone-many", upload(2, rounds(-5, task=unseen, address=packed[1]))) == [(2, False, 0)]
    assert again.variants()[unseen].address == "2001:db8::2"
    again.close()


def test_numbers_that_mean_nothing_are_remembered_up_to_a_bound(
    ingest: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("smokemesh.master.ingest.MOST_STRANGE", 100)
    for start in (1000, 2000, 3000):
        numbers = range(start, start + 60)
        batch = RoundBatch.from_columns(len(numbers), {"task": list(numbers), "time": [NOW] * len(numbers)})
        kept, _ = ingest._judge.sift("strange", batch, NOW)
        assert len(kept) == 0
    assert len(ingest._judge._strange["strange"]) == 100


def test_two_hosts_with_one_name_are_noticed(ingest: Ingest) -> None:
    for number in range(1, 4):
        take(ingest, "twins", upload(number, rounds(-number)), upload(number, rounds(-number), epoch="e2"))
    assert ingest.rivals.returns() == {"twins": 4}
    assert ingest.rivals.trouble("twins", NOW).startswith("two hosts report as twins: ")
    assert ingest.rivals.trouble("twins", NOW + 2 * 86400 * SECOND) == ""
    take(ingest, "starts", *(upload(n, rounds(-n), epoch=f"e{n}") for n in range(1, 9)))
    assert ingest.rivals.trouble("starts", NOW) == ""


def test_records_that_cannot_be_read_are_refused_whole(ingest: Ingest, store: ClickHouseRounds) -> None:
    broken = Upload(epoch="e1", records=(*upload(1, rounds(-10)).records, Record(sequence=2, rounds=b"junk")))
    with pytest.raises(WireError, match="record 2: round batch: cannot be read"):
        take(ingest, "broken", broken)
    assert stored(store, "broken") == 0
    assert take(ingest, "broken", upload(1, rounds(-10))) == [(1, False, 0)]


def test_an_upload_unpacks_to_a_bounded_size(
    ingest: Ingest, store: ClickHouseRounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("smokemesh.master.ingest.MOST_UNPACKED", 1000)
    assert take(ingest, "bomb", upload(1, rounds(-10)))
    with pytest.raises(WireError, match="upload: unpacks to more than 1000 bytes; send fewer records at a time"):
        take(ingest, "bomb", upload(2, *(rounds(-10) for _ in range(20))))
    assert stored(store, "bomb") == 1


@pytest.mark.parametrize(
    ("epoch", "numbers"),
    [("", [1]), ("a/b", [1]), ("x" * 65, [1]), ("e", []), ("e", [0]), ("e", [1, 3]), ("e", [2, 1])],
)
def test_names_of_uploads_are_checked(ingest: Ingest, epoch: str, numbers: list[int]) -> None:
    records = tuple(Record(sequence=n, rounds=pack(rounds(-10))) for n in numbers)
    with pytest.raises(WireError, match="upload: "):
        take(ingest, "names", Upload(epoch=epoch, records=records))


def test_a_store_that_cannot_take_rounds_acknowledges_nothing(catalogue: Catalogue, heard: Heard) -> None:
    """The disk of a test cannot be filled, so this store says it is."""

    class Deaf:
        def insert(self, agent: str, batch: RoundBatch, token: str) -> None:
            raise StoreError("rounds: disk full")

    ingest = Ingest(Deaf(), catalogue, lambda _: (PLAIN,), (heard,))  # type: ignore[arg-type]
    with pytest.raises(StoreError, match="disk full"):
        take(ingest, "deaf", upload(1, rounds(-10)))
    assert catalogue.stored_sequence("deaf", "e1") == 0
    assert heard.rounds == 0
    ingest.close()


def test_a_listener_that_fails_does_not_undo_what_is_stored(
    store: ClickHouseRounds, catalogue: Catalogue, heard: Heard
) -> None:
    class Broken:
        def publish(self, agent: str, batch: RoundBatch) -> None:
            raise RuntimeError("nobody catches this")

    ingest = Ingest(store, catalogue, lambda _: (PLAIN,), (Broken(), heard))
    assert take(ingest, "listener", upload(1, rounds(-10))) == [(1, False, 0)]
    assert heard.rounds == stored(store, "listener") == 1
    ingest.close()


def test_select_keeps_each_round_with_its_rtts() -> None:
    batch = RoundBatch.from_columns(
        3,
        {
            "task": [1, 2, 3],
            "sent": [1, 2, 3],
            "rtts": [0.1, 0.2, 0.2, 0.3, 0.3, 0.3],
            "address": [[i] * 16 for i in range(3)],
        },
    )
    kept = batch.where(np.array([True, False, True]))
    assert kept.task.tolist() == [1, 3]
    assert kept.offsets.tolist() == [0, 1, 4]
    assert kept.rtts.tolist() == pytest.approx([0.1, 0.3, 0.3, 0.3])
    assert kept.address[:, 0].tolist() == [0, 2]
