"""The running master: its parts, and the one way its configuration changes.

Handlers find it as `app.state.master`. `settings` and what follows from them are swapped in the event loop, at once and
together; a configuration with a mistake changes nothing and is kept as `reload_error` until a good one is loaded.
"""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from smokemesh.errors import SmokemeshError
from smokemesh.master.alerting import Alerting
from smokemesh.master.assignments import Assignments, make_assignments
from smokemesh.master.dynamic import Dynamic
from smokemesh.master.ingest import Ingest
from smokemesh.master.live import Hub
from smokemesh.master.metrics import Label, Metrics
from smokemesh.master.notify.dispatcher import Dispatcher
from smokemesh.master.quiet import Quiet
from smokemesh.master.registry import Registry, Sighting, default_secret_file, read_secrets
from smokemesh.master.slave_ingest import SlaveIngest
from smokemesh.master.slave_places import Places
from smokemesh.master.slaves import Slaves
from smokemesh.model.agent import Health
from smokemesh.model.assignment import Assignment, probe_name
from smokemesh.model.rounds import RoundBatch
from smokemesh.settings.shape import MasterSettings
from smokemesh.storage.catalogue import Catalogue, open_catalogue
from smokemesh.storage.outbox import Outbox
from smokemesh.storage.rounds import open_rounds
from smokemesh.storage.slave_book import SlaveBook
from smokemesh.storage.store import LevelUsage, RoundStore
from smokemesh.wire.signing import Replays

log = logging.getLogger(__name__)

#: Settings that take a restart to change.
FIXED: Final = ("listen_host", "listen_port", "storage_dsn", "storage_cluster", "catalogue_dsn", "retention")

#: Bodies in memory at the same time, a bound on what all agents together can occupy: uploads of `messages.MOST_BODY`
#: bytes, and small heartbeats, which must not wait for agents behind slow lines.
MOST_UPLOADS: Final = 16
MOST_HEARTBEATS: Final = 64
#: Nanoseconds between two notes in the catalogue of when a slave was heard.
SLAVES_NOTED: Final = 10 * 10**9

Load = Callable[[], MasterSettings]
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Prepared:
    """A configuration with all that follows from it, ready to be put in force."""

    settings: MasterSettings
    secrets: Mapping[str, bytes]
    assignments: Mapping[str, Assignment]


def prepare(settings: MasterSettings, data_dir: str, addresses: Mapping[str, str] | None = None) -> Prepared:
    """Read the secrets and make the assignments. Raises ConfigError or HostError."""
    return Prepared(settings, read_secrets(settings, data_dir), make_assignments(settings, addresses))


class Master:
    """One master. Made by `open_master`."""

    def __init__(
        self, prepared: Prepared, data_dir: str, load: Load, store: RoundStore, catalogue: Catalogue, now: int
    ) -> None:
        self.settings = prepared.settings
        self.data_dir = data_dir
        self.store = store
        self.catalogue = catalogue
        self.live = Hub()
        self.metrics = Metrics()
        self.replays = Replays()
        self.registry = Registry(prepared.secrets, _remembered(catalogue))
        book = SlaveBook(catalogue)
        #: Where hosts with changing addresses are.
        self.dynamic = Dynamic(book)
        self.assignments = Assignments(make_assignments(self.settings, self.dynamic.addresses))
        #: Tells people of alerts, as the outbox says.
        self.dispatcher = Dispatcher(Outbox(catalogue), lambda: self.settings.alerting)
        self.alerting = Alerting(
            store, catalogue, self.settings, variants=lambda: self.ingest.variants(), wake=self.dispatcher.wake
        )
        self.ingest = Ingest(
            store,
            catalogue,
            lambda agent: self.assignments.get(agent).tasks,
            audience=(self.live, self.metrics.series, self.alerting),
            oldest=lambda: max(asdict(self.settings.retention).values()),
        )
        self.slave_ingest = SlaveIngest(store, Path(data_dir) / "slaves" / "journal", self._slave_stored)
        self.slaves = Slaves(
            lambda: self.settings,
            self.registry.secret_of,
            book,
            self.dynamic,
            self.slave_ingest,
            self._slave_heard,
            oldest=lambda: max(asdict(self.settings.retention).values()),
        )
        self.slave_places = Places()
        #: When the catalogue was last told of each slave.
        self._slaves_noted: dict[str, int] = {}
        self.quiet = Quiet()
        self.upload_places = asyncio.Semaphore(MOST_UPLOADS)
        self.heartbeat_places = asyncio.Semaphore(MOST_HEARTBEATS)
        #: Why the newest configuration is not in force, "" when it is.
        self.reload_error = ""
        #: When a configuration was last put in force, nanoseconds UTC.
        self.reloaded = now
        self.started = now
        #: The master is going down: nothing new is waited for.
        self.stopping = False
        #: Threads for the catalogue, apart from those of queries: a heartbeat must not wait for a long graph.
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="master")
        self._load = load
        self._turn = asyncio.Lock()
        self.slave_ingest.begin()
        self._warn()

    async def reload(self) -> list[str]:
        """Load the configuration anew; the names of agents that get other work. Raises what is wrong with it."""
        async with self._turn:
            try:
                fresh = await self._aside(self._prepare_anew)
            except SmokemeshError as error:
                self.reload_error = str(error)
                log.error("configuration not loaded, the old one stays in force: reason=%r", str(error))
                raise
            changed = self._put_in_force(fresh)
            log.info("configuration loaded: targets=%d agents_changed=%d", len(self.settings.targets), len(changed))
            return changed

    def _prepare_anew(self) -> Prepared:
        fresh = prepare(self._load(), self.data_dir, self.dynamic.addresses)
        remember(self.catalogue, fresh, time.time_ns())
        return fresh

    def _put_in_force(self, fresh: Prepared) -> list[str]:
        for name in FIXED:
            if getattr(fresh.settings, name) != getattr(self.settings, name):
                log.warning("setting takes effect at the next start: setting=%s", name)
        self.settings = fresh.settings
        self.registry.replace(fresh.secrets)
        changed = self.assignments.replace(fresh.assignments)
        self.ingest.forget_tasks()
        self.alerting.configure(fresh.settings)
        self.reload_error, self.reloaded = "", time.time_ns()
        self._warn()
        return changed

    def _warn(self) -> None:
        """Say what can be used and is probably not meant."""
        for warning in self.settings.warnings:
            log.warning("configuration: warning=%r", warning)
        for agent in self.registry.without_secret(self.settings):
            place = default_secret_file(self.data_dir, agent)
            log.warning("agent cannot sign in, it has no secret: agent=%s cure=%r", agent, f"write one to {place}")

    def agents_seen(self) -> Mapping[str, Sighting]:
        """The last heartbeat of every agent ever heard."""
        return self.registry.sightings()

    async def heard(self, agent: str, health: Health, peer: str, now: int) -> None:
        """An agent said how it is."""
        self.registry.saw(agent, health, now)
        # The catalogue keeps it over a restart; when it cannot, the agent is alive all the same.
        keep = partial(self.catalogue.agent_seen, agent, now, state="accepted", address=peer, health=health)
        try:
            await self._aside(keep)
        except SmokemeshError as error:
            log.warning("heartbeat not kept: agent=%s reason=%r", agent, str(error))

    async def host_told(self, target: str, secret: bytes, peer: str) -> None:
        """A host with a changing address is at `peer` now. Raises NotFound unless the secret is the target's."""
        news = await self._aside(partial(self.dynamic.told, self.settings.tree, target, secret, peer))
        if news:
            async with self._turn:
                fresh = await self._aside(partial(make_assignments, self.settings, self.dynamic.addresses))
                tasks = {t.id: t for a in fresh.values() for t in a.tasks}
                await self._aside(partial(self.catalogue.remember_tasks, tasks.values(), time.time_ns()))
                self.assignments.replace(fresh)
                self.ingest.forget_tasks()

    def _slave_stored(self, slave: str, batch: RoundBatch) -> None:
        """In a thread: rounds of a slave are in the store."""
        self.ingest.count(uploads=1, rounds=len(batch))
        self.ingest.tell(slave, batch)

    def _slave_heard(self, slave: str, health: Health, peer: str, now: int) -> None:
        """A slave called; the catalogue is told from time to time only, for each telling waits for the disk."""
        self.registry.saw(slave, health, now)
        if now - self._slaves_noted.get(slave, 0) > SLAVES_NOTED:
            self._slaves_noted[slave] = now
            keep = partial(self.catalogue.agent_seen, slave, now, state="slave", address=peer, health=health)
            self._threads.submit(_quietly, keep, slave)

    async def _aside(self, work: Callable[[], Result]) -> Result:
        """Do what blocks in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def stop(self) -> None:
        """Let go of everyone who waits: agents for a new assignment, pages for new rounds."""
        self.stopping = True
        self.assignments.release()
        self.live.close()

    def close(self) -> None:
        """Finish what is being stored and close the databases. Blocks."""
        self.slaves.close()
        self.ingest.close()
        self.alerting.close()
        self.dispatcher.close()
        self._threads.shutdown(wait=True)
        self.store.close()
        self.catalogue.close()

    def usage(self) -> list[LevelUsage]:
        """What the store holds; nothing when it does not answer. Blocks."""
        try:
            return self.store.usage()
        except SmokemeshError as error:
            log.warning("store does not say what it holds: reason=%r", str(error))
            return []

    def labels(self) -> dict[int, Label]:
        """What the numbers of tasks mean."""
        found = {
            task.id: Label(task.target, probe_name(task.probe))
            for assignment in self.assignments.all().values()
            for task in assignment.tasks
        }
        return found | self.ingest.variants()


def open_master(settings: MasterSettings, data_dir: str, load: Load) -> Master:
    """Open the databases and prepare everything. Raises one line that says what is wrong."""
    prepared = prepare(settings, data_dir)
    catalogue = open_catalogue(settings.catalogue_dsn or f"sqlite:///{os.path.abspath(data_dir)}/catalogue.db")
    try:
        remember(catalogue, prepared, time.time_ns())
        dsn = settings.storage_dsn or f"chdb://{os.path.abspath(data_dir)}/rounds"
        store = open_rounds(dsn, settings.retention, settings.storage_cluster)
    except SmokemeshError:
        catalogue.close()
        raise
    master = Master(prepared, data_dir, load, store, catalogue, time.time_ns())
    master.dispatcher.start()
    master.alerting.start()
    return master


def _quietly(keep: Callable[[], None], agent: str) -> None:
    try:
        keep()
    except SmokemeshError as error:
        log.warning("heartbeat not kept: agent=%s reason=%r", agent, str(error))


def remember(catalogue: Catalogue, prepared: Prepared, now: int) -> None:
    """Write down every task, so that rounds keep their meaning when the configuration changes."""
    catalogue.remember_tasks({t.id: t for a in prepared.assignments.values() for t in a.tasks}.values(), now)


def _remembered(catalogue: Catalogue) -> dict[str, Sighting]:
    """What the catalogue knows of agents from before a restart."""
    return {
        known.name: Sighting(seen=known.last, health=known.health, clock_offset=0.0)
        for known in catalogue.agents()
        if known.health is not None
    }
