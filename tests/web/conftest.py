"""One filled store and one server for all tests of this folder; both are let go before other tests open a store."""

from collections.abc import Iterator

import pytest

from tests.web import app


@pytest.fixture(scope="package")
def master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[app.Standing]:
    """A master's face over a store with twelve hours of the made-up world."""
    made = app.make_master(tmp_path_factory.mktemp("web"), hours=12.0)
    yield made
    made.close()


@pytest.fixture(scope="package")
def address(master: app.Standing) -> Iterator[str]:
    """The pages and the API on a port of loopback."""
    with app.serving(master) as base:
        yield base
