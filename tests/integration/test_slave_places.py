"""Places for slaves' posts, in a real event loop: what comes slowly gives way."""

import asyncio
from collections.abc import Callable

import pytest

from smokemesh.master import slave_places
from smokemesh.master.slave_places import Busy, Places, Post, network_of


async def arrive(places: Places, address: str, parts: list[int], on: asyncio.Event | None = None) -> str:
    """A post whose body comes in such parts, and then does not end before `on`."""
    async with places.post(address) as post:
        try:
            async with post.reading():
                for part in parts:
                    await post.got(part)
                if on is not None:
                    await on.wait()
        except TimeoutError:
            return "too slow"
        except Busy:
            return "busy"
        async with places.answering(post):
            return "large" if post.large else "small"


async def until(true: Callable[[], bool]) -> None:
    for _ in range(1000):
        if true():
            return
        await asyncio.sleep(0)
    pytest.fail("it never comes true")


def test_old_ones_of_the_same_address_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slave_places, "MANY_OF_PEER", 3)

    async def run() -> None:
        places, end = Places(), asyncio.Event()
        many = [asyncio.create_task(arrive(places, "192.0.2.1", [10], end)) for _ in range(3)]
        other = asyncio.create_task(arrive(places, "192.0.2.2", [10], end))
        await until(lambda: sum(map(len, places._of.values())) == 4)
        # Many at once are no attack.
        assert await arrive(places, "192.0.2.1", [10]) == "small"
        assert not any(task.done() for task in many)
        monkeypatch.setattr(slave_places, "OLD", 0.0)
        assert await arrive(places, "192.0.2.1", [10]) == "small"
        assert await many[0] == "too slow"
        end.set()
        assert [await task for task in (*many[1:], other)] == ["small"] * 3
        assert places._of == {}

    asyncio.run(run())


def test_a_full_house_sends_away_whose_address_has_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slave_places, "MOST_READ", 4)
    monkeypatch.setattr(slave_places, "OLD", 0.0)

    async def run() -> None:
        places, end = Places(), asyncio.Event()
        one = asyncio.create_task(arrive(places, "192.0.2.2", [10], end))
        many = [asyncio.create_task(arrive(places, f"2001:db8::{i}", [10], end)) for i in range(3)]
        await until(lambda: places._read.locked())
        assert await arrive(places, "192.0.2.3", [10]) == "small"
        assert await many[0] == "too slow"
        end.set()
        assert [await task for task in (one, *many[1:])] == ["small"] * 3

    asyncio.run(run())


def test_one_large_body_of_each_address_at_a_time() -> None:
    async def run() -> None:
        places, end = Places(), asyncio.Event()
        huge = [slave_places.LARGE, 1]
        first, second = (asyncio.create_task(arrive(places, "192.0.2.1", huge, end)) for _ in range(2))
        await until(lambda: places._turns.get("192.0.2.1", (None, 0))[1] == 2)
        assert await arrive(places, "192.0.2.2", huge) == "large"
        assert await arrive(places, "192.0.2.1", [slave_places.LARGE]) == "small"
        end.set()
        assert [await first, await second] == ["large", "large"]
        assert places._turns == {}
        assert places._large._value == slave_places.MOST_LARGE

    asyncio.run(run())


@pytest.mark.parametrize(
    ("came", "large", "seconds"),
    [
        (0, False, 10.0), (2048, False, 11.0), (2**20, False, 60.0),
        (2**20, True, 42.0), (64 * 2**20, True, 60.0),
    ],
)  # fmt: skip
def test_the_least_rate(came: int, large: bool, seconds: float) -> None:
    assert Post(Places(), "192.0.2.1", 100.0, came=came, large=large)._latest() == 100.0 + seconds


def test_what_stalls_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slave_places, "GRACE", 0.02)
    assert asyncio.run(arrive(Places(), "192.0.2.1", [1], asyncio.Event())) == "too slow"


def test_few_wait_for_their_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slave_places, "MOST_SMALL", 1)
    monkeypatch.setattr(slave_places, "MOST_WAITING", 1)

    async def run() -> None:
        places = Places()
        async with places.post("192.0.2.1") as post, places.answering(post):
            waits = asyncio.create_task(arrive(places, "192.0.2.1", [1]))
            await until(lambda: places._waiting == 1)
            with pytest.raises(Busy):
                await arrive(places, "192.0.2.1", [1])
        assert await waits == "small"

    asyncio.run(run())


def test_networks() -> None:
    assert network_of("192.0.2.1") == "192.0.2.1"
    assert network_of("2001:db8::1") == network_of("2001:db8::ffff:0:0:1") == "2001:db8::/64"
    assert network_of("testclient") == "testclient"
