"""The pages and the query API as an application of their own, over a real store: for tests and for looking at.

python -m tests.web.app [PORT] [DAYS]
"""

import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import uvicorn
from litestar import Litestar

from smokemesh.master import alerts_api, query_api, slave_api
from smokemesh.master.assignments import make_assignments
from smokemesh.master.ingest import Ingest
from smokemesh.master.live import Hub
from smokemesh.master.registry import Registry
from smokemesh.master.slave_places import Places
from smokemesh.master.web import alert_pages, chart_pages, old_pages, pages
from smokemesh.model.agent import Health
from smokemesh.settings.shape import MasterSettings
from smokemesh.storage.catalogue import Catalogue, open_catalogue
from smokemesh.storage.rounds import open_rounds
from smokemesh.storage.store import RoundStore
from tests.web import world

DAY = 86400


@dataclass
class Standing:
    """What the handlers need of a running master."""

    settings: MasterSettings
    store: RoundStore
    catalogue: Catalogue
    live: Hub = field(default_factory=Hub)
    registry: Registry = field(default_factory=lambda: Registry({}))
    ingest: Ingest = field(init=False)
    slave_places: Places = field(default_factory=Places)
    reload_error: str = ""

    def __post_init__(self) -> None:
        tasks = make_assignments(self.settings)
        self.catalogue.remember_tasks({t.id: t for a in tasks.values() for t in a.tasks}.values(), time.time_ns())
        self.ingest = Ingest(
            self.store, self.catalogue, lambda agent: tasks[agent].tasks, audience=(self.live,), oldest=lambda: 1e9
        )

    def close(self) -> None:
        """Let go of the databases."""
        self.ingest.close()
        self.store.close()
        self.catalogue.close()


def health(**changes: object) -> Health:
    """What an agent says of itself when all is well."""
    well = Health(
        version="0.1.0", clock=time.time_ns(), uptime=86400.0, cpu=0.004, rss=38_000_000, assignment="a1", tasks=12,
        pings_per_second=4.0, rounds=172_000, overruns=0, own_drops=0, limited=0, spool_rounds=0, spool_bytes=0,
        spool_oldest=0, spool_dropped=0,
    )  # fmt: skip
    return replace(well, **changes)  # type: ignore[arg-type]


def make_master(folder: Path, days: float = 0.0, hours: float = 36.0) -> Standing:
    """A filled store behind a master's face."""
    store = open_rounds(f"chdb://{folder / 'rounds'}")
    now = time.time_ns()
    world.fill(store, now, hours=hours, days=days)
    master = Standing(world.settings(), store, open_catalogue(f"sqlite:///{folder / 'catalogue.db'}"))
    master.registry.saw("boomer", health(), now)
    master.registry.saw(
        "slater",
        health(spool_rounds=1840, spool_bytes=310_000, last_error="master https://a.example: connection refused"),
        now - 400 * world.NANO,
    )
    return master


def make_app(master: Standing) -> Litestar:
    """The routes under test, mounted as the master mounts them."""
    routes = [
        *query_api.routes, *alerts_api.routes, *pages.routes, *chart_pages.routes, *alert_pages.routes,
        *old_pages.routes(master.settings.smokeping.path), *slave_api.routes(master.settings.smokeping.path),
    ]  # fmt: skip
    app = Litestar(route_handlers=routes, openapi_config=None)
    app.state.master = master
    return app


@contextmanager
def serving(master: Standing, port: int = 0) -> Iterator[str]:
    """The application on a port of loopback, in a thread; its base address."""
    config = uvicorn.Config(make_app(master), log_level="warning", timeout_graceful_shutdown=2)
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    deadline = time.monotonic() + 10
    while not server.started and time.monotonic() < deadline:
        thread.join(0.01)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        master.live.close()
        server.should_exit = True
        thread.join(10)
        listener.close()


def main() -> None:
    """Serve until interrupted; a new round for every path each ten seconds."""
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8090
    days = float(sys.argv[2]) if len(sys.argv) > 2 else 0.0
    with tempfile.TemporaryDirectory() as folder:
        master = make_master(Path(folder), days)
        with serving(master, port) as address:
            sys.stdout.write(f"{address}\n")
            sys.stdout.flush()
            stop = threading.Event()
            count = 0
            while not stop.wait(60):
                count += 1
                for path, agent in world.PATHS:
                    batch = world.fresh(path, agent, time.time_ns())
                    master.store.insert(agent, batch, f"fresh/{agent}{path}/{count}")
                    master.live.publish(agent, batch)


if __name__ == "__main__":
    main()
