"""How the master, its store and its agents are, as rows for /metrics."""

import time

from smokemesh.master.metrics import Gauges
from smokemesh.master.registry import Sighting
from smokemesh.master.state import Master
from smokemesh.storage.store import LevelUsage
from smokemesh.version import __version__


def gauges(master: Master, usage: list[LevelUsage]) -> Gauges:
    """How the master, its store and its agents are, for /metrics."""
    ingest, judged = master.ingest.counters, master.alerting.book.counters
    rows: list[tuple[str, str, dict[str, str], float]] = [
        ("smokemesh_build_info", "1, with the version.", {"version": __version__}, 1.0),
        ("smokemesh_start_timestamp_seconds", "When this master started.", {}, master.started / 1e9),
        ("smokemesh_config_last_reload_successful", "1 when the newest configuration is in force.", {}, float(not master.reload_error)),
        ("smokemesh_config_last_reload_success_timestamp_seconds", "When it was put in force.", {}, master.reloaded / 1e9),
        ("smokemesh_targets", "Targets of the configuration.", {}, len(master.settings.targets)),
        ("smokemesh_uploads_total", "Uploads stored.", {}, ingest.uploads),
        ("smokemesh_uploads_duplicate_total", "Uploads that were stored before.", {}, ingest.duplicates),
        ("smokemesh_rounds_stored_total", "Rounds stored.", {}, ingest.rounds),
        ("smokemesh_rounds_refused_total", "Rounds that could not be kept.", {}, ingest.refused),
        ("smokemesh_records_missing_total", "Records that agents' full spools dropped.", {}, ingest.gaps),
        ("smokemesh_insert_seconds_total", "Time spent storing.", {}, ingest.seconds),
        ("smokemesh_live_readers", "Open event streams.", {}, master.live.readers),
        ("smokemesh_incidents_open", "Incidents that are open.", {}, len(master.alerting.book.cases)),
        ("smokemesh_rounds_judged_total", "Rounds judged by alerts.", {}, judged.rounds),
        ("smokemesh_rounds_not_judged_total", "Rounds that came too late to be judged, or whose fault may be the agent's.",
         {}, judged.stale + judged.doubtful),
        ("smokemesh_incidents_raised_total", "Incidents opened.", {}, judged.raised),
        ("smokemesh_notices_total", "Notices made for receivers.", {}, judged.notices),
    ]  # fmt: skip
    for level in usage:
        labels = {"level": level.level}
        rows.append(("smokemesh_store_rows", "Rows of a level.", labels, level.rows))
        rows.append(("smokemesh_store_bytes", "Bytes of a level on disk.", labels, level.bytes))
    for agent, count in master.ingest.rivals.returns().items():
        text = "Times an older epoch of its spool came back: more than a few mean two hosts with one name."
        rows.append(("smokemesh_agent_epochs_returned_total", text, {"agent": agent}, count))
    for agent, seen in master.agents_seen().items():
        rows += _of_agent({"agent": agent}, seen, master)
    return Gauges(tuple(rows))


def _of_agent(labels: dict[str, str], seen: Sighting, master: Master) -> list[tuple[str, str, dict[str, str], float]]:
    health = seen.health
    alive = (time.time_ns() - seen.seen) / 1e9 < 3 * master.settings.heartbeat_interval
    return [
        ("smokemesh_agent_up", "1 when the agent was heard within three heartbeats.", labels, float(alive)),
        ("smokemesh_agent_last_seen_timestamp_seconds", "Last heartbeat.", labels, seen.seen / 1e9),
        ("smokemesh_agent_clock_offset_seconds", "Agent's clock minus ours.", labels, seen.clock_offset),
        ("smokemesh_agent_tasks", "Tasks it runs.", labels, health.tasks),
        ("smokemesh_agent_cpu_ratio", "Share of one core it uses.", labels, health.cpu),
        ("smokemesh_agent_resident_memory_bytes", "Its resident memory.", labels, health.rss),
        ("smokemesh_agent_pings_per_second", "Pings it sends.", labels, health.pings_per_second),
        ("smokemesh_agent_overruns_total", "Rounds that did not fit their step.", labels, health.overruns),
        ("smokemesh_agent_own_drops_total", "Rounds hit by its own drops.", labels, health.own_drops),
        ("smokemesh_agent_limited_total", "Rounds its limits refused.", labels, health.limited),
        ("smokemesh_agent_spool_rounds", "Rounds it has not delivered.", labels, health.spool_rounds),
        ("smokemesh_agent_spool_bytes", "Bytes of its spool.", labels, health.spool_bytes),
        ("smokemesh_agent_spool_dropped_total", "Rounds its spool dropped.", labels, health.spool_dropped),
    ]  # fmt: skip
