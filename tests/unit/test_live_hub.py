"""The hub: who watches a task hears of it, a slow reader loses the oldest, a returning one is filled in."""

import asyncio
import math
import threading
from itertools import pairwise

import numpy as np
import pytest

from smokemesh.master import live
from smokemesh.master.live import Fresh, Gap, Hub
from smokemesh.model.rounds import RoundBatch


def batch(*tasks: int, rtts: list[float] | None = None) -> RoundBatch:
    n = len(tasks)
    values = np.array(rtts or [0.001] * 2 * n, "f4")
    received = np.count_nonzero(~np.isnan(values.reshape(n, 2)), axis=1)
    return RoundBatch.from_columns(
        n, {"task": tasks, "time": [10**9 * (k + 1) for k in range(n)], "step": [60] * n, "sent": [2] * n,
            "received": received, "rtts": values}
    )  # fmt: skip


def test_only_watched_tasks_are_told() -> None:
    async def scene() -> None:
        hub = Hub()
        with hub.subscribe({7}) as reader:
            hub.publish("a", batch(6, 7, 8))
            hub.publish("a", batch(6))
            event = await reader.next(1)
            assert isinstance(event, Fresh)
            assert event.agent == "a"
            assert [*event.rows[0]] == pytest.approx([7, 2 * 10**9, 2, 2, 0.001])
            assert len(event.rows) == 1
            assert await reader.next(0.01) is None

    asyncio.run(scene())


def test_the_median_is_of_the_answered_pings_and_unknown_without() -> None:
    async def scene() -> None:
        hub = Hub()
        with hub.subscribe(None) as reader:
            hub.publish("a", batch(1, 2, rtts=[0.004, math.nan, math.nan, math.nan]))
            event = await reader.next(1)
            assert isinstance(event, Fresh)
            assert [*event.rows[0][3:]] == pytest.approx([1, 0.004])
            assert event.rows[1][3] == 0
            assert math.isnan(event.rows[1][4])

    asyncio.run(scene())


def test_publishing_from_other_threads_reaches_the_loop() -> None:
    async def scene() -> None:
        hub = Hub(0)
        with hub.subscribe({1}) as reader:
            threads = [threading.Thread(target=hub.publish, args=("a", batch(1))) for _ in range(20)]
            for thread in threads:
                thread.start()
            numbers = {event.number for event in [await reader.next(5) for _ in threads] if event}
            for thread in threads:
                thread.join()
            assert numbers == set(range(1, 21))

    asyncio.run(scene())


def test_a_slow_reader_loses_the_oldest_and_is_told() -> None:
    async def scene() -> None:
        hub = Hub(0)
        with hub.subscribe({1}) as reader:
            for _ in range(live.MOST_WAITING + 10):
                hub.publish("a", batch(1))
            await asyncio.sleep(0)
            first = await reader.next(1)
            assert isinstance(first, Gap)
            second = await reader.next(1)
            assert isinstance(second, Fresh)
            assert second.number == 11
            assert first.number == 10

    asyncio.run(scene())


def test_a_returning_reader_is_filled_in() -> None:
    async def scene() -> None:
        hub = Hub(0)
        for _ in range(5):
            hub.publish("a", batch(1))
        with hub.subscribe({1}, after=3) as reader:
            events = [await reader.next(1), await reader.next(1)]
            assert [event.number for event in events if isinstance(event, Fresh)] == [4, 5]
            assert await reader.next(0.01) is None

    asyncio.run(scene())


@pytest.mark.parametrize("after", [99, 0])
def test_what_is_not_remembered_is_a_gap(after: int) -> None:
    async def scene() -> None:
        hub = Hub(0)
        for _ in range(live.MOST_BATCHES + 5):
            hub.publish("a", batch(1))
        with hub.subscribe({1}, after=after if after == 0 else 10**6) as reader:
            assert await reader.next(1) == Gap(live.MOST_BATCHES + 5)

    asyncio.run(scene())


def test_after_a_restart_of_the_master_a_returning_reader_knows_that_it_missed_some() -> None:
    async def scene() -> None:
        before = Hub()
        for _ in range(5):
            before.publish("a", batch(1))
        with before.subscribe({1}, after=0) as reader:
            seen = await reader.next(1)
        restarted = Hub()
        for _ in range(20):
            restarted.publish("a", batch(1))
        assert isinstance(seen, Gap)
        with restarted.subscribe({1}, after=seen.number) as reader:
            assert isinstance(await reader.next(1), Gap)

    asyncio.run(scene())


def test_events_come_in_the_order_of_their_numbers() -> None:
    async def scene() -> None:
        hub = Hub(0)
        for _ in range(100):
            hub.publish("a", batch(1))

        def publish() -> None:
            for _ in range(25):
                hub.publish("a", batch(1))

        threads = [threading.Thread(target=publish) for _ in range(4)]
        for thread in threads:
            thread.start()
        with hub.subscribe({1}, after=0) as reader:
            numbers: list[int] = []
            while not numbers or numbers[-1] < 200:
                event = await reader.next(5)
                assert event is not None
                numbers.append(event.number)
        for thread in threads:
            thread.join()
        assert numbers == list(range(1, 201))

    asyncio.run(scene())


def test_the_medians_of_many_rounds_are_numpys() -> None:
    rng = np.random.default_rng(3)
    sent = rng.integers(0, 7, 60)
    rtts = np.where(rng.random(int(sent.sum())) < 0.4, np.nan, rng.random(int(sent.sum()))).astype("f4")
    rounds = RoundBatch.from_columns(60, {"sent": sent, "rtts": rtts})
    pieces = (rtts[a:b] for a, b in pairwise(rounds.offsets.tolist()))
    answered = [piece[~np.isnan(piece)] for piece in pieces]
    expected = [float(np.median(one)) if len(one) else math.nan for one in answered]
    assert live._Batch(1, "a", rounds).medians == pytest.approx(expected, nan_ok=True)


def test_closing_ends_every_reader() -> None:
    async def scene() -> None:
        hub = Hub()
        with hub.subscribe({1}) as reader:
            waiting = asyncio.create_task(reader.next(60))
            await asyncio.sleep(0)
            hub.close()
            assert await waiting is None
            assert reader.closed
            assert hub.readers == 1
        assert hub.readers == 0

    asyncio.run(scene())


def test_publishing_after_the_loop_ended_harms_nobody() -> None:
    hub = Hub()

    async def scene() -> live.Subscription:
        with hub.subscribe({1}) as reader:
            return reader

    reader = asyncio.run(scene())
    reader.offer(Gap(1))
    hub.publish("a", batch(1))
