"""What judging keeps: what is remembered of each alert, and incidents as they come and go. `storage.alert_log` reads them.

A judgement, the incident it opens or closes and the notices it makes are written down in one transaction, so a crash
loses none of them and tells nobody twice. Times are nanoseconds UTC and handed in.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from sqlalchemy import Connection, delete, or_, select
from sqlalchemy.dialects import postgresql, sqlite

from smokemesh.model.alert import Incident, Notice, Silence
from smokemesh.storage.catalogue import Catalogue
from smokemesh.storage.outbox import enqueue
from smokemesh.storage.tables import alert_states, incidents, silences

#: Databases bound the number of values in a statement.
_AT_ONCE: Final = 300
#: Incidents are forgotten when they ended so long ago, silences when they were over so long ago: two years, one year.
KEEP_INCIDENTS: Final = 2 * 365 * 86400 * 10**9
KEEP_SILENCES: Final = 365 * 86400 * 10**9

#: Names a state: task, agent ("" for all together), alert ("" for the history all alerts share).
Key = tuple[int, str, str]


@dataclass(frozen=True, slots=True)
class StoredState:
    """What is remembered under a key. `memory` is the judge's own."""

    key: Key
    #: Time of the newest round judged.
    time: int
    memory: dict[str, Any]
    raised: bool = False
    incident: int = 0


@dataclass(slots=True)
class Case:
    """An incident while it is open. It gets its number when it is first kept."""

    incident: Incident
    #: Not yet kept as it is now.
    changed: bool = True


@dataclass(slots=True)
class Findings:
    """What judging found since it was last kept. A state is made when it is kept: it may name an incident's number."""

    states: list[tuple[Case | None, StoredState]] = field(default_factory=list)
    gone: list[Key] = field(default_factory=list)
    cases: list[Case] = field(default_factory=list)
    notices: list[tuple[Case, Notice]] = field(default_factory=list)


class Incidents:
    """States and open incidents of one installation. Any thread may call."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def states(self) -> Sequence[StoredState]:
        """All that is remembered."""
        c = alert_states.c
        with self._catalogue.transaction() as connection:
            rows = connection.execute(select(c.task, c.agent, c.alert, c.time, c.memory, c.raised, c.incident)).all()
        return [StoredState((r.task, r.agent, r.alert), r.time, r.memory, r.raised, r.incident) for r in rows]

    def open(self) -> Sequence[Incident]:
        """Incidents that have not ended, the oldest first."""
        question = select(incidents).where(incidents.c.ended == 0).order_by(incidents.c.id)
        with self._catalogue.transaction() as connection:
            return [_incident(row) for row in connection.execute(question)]

    def silences(self, now: int) -> Sequence[Silence]:
        """Those that hold now."""
        question = select(silences).where(silences.c.begin <= now, silences.c.end > now).order_by(silences.c.id)
        with self._catalogue.transaction() as connection:
            return [Silence(**row._mapping) for row in connection.execute(question)]

    def keep(self, findings: Findings, now: int) -> None:
        """Write it all down, or nothing. New incidents get their numbers."""
        numbers: list[tuple[Case, int]] = []
        with self._catalogue.transaction() as connection:
            for case in findings.cases:
                number = _keep_incident(connection, case.incident)
                numbers.append((case, number))
            known = {id(case): number for case, number in numbers}
            states = [_named(state, case, known) for case, state in findings.states]
            _drop_states(connection, findings.gone)
            _keep_states(connection, states)
            for case, notice in findings.notices:
                number = known.get(id(case), case.incident.id)
                enqueue(connection, replace(notice, incident=number), notice.to, now)
        for case, number in numbers:
            case.incident, case.changed = replace(case.incident, id=number), False

    def forget(self, now: int) -> None:
        """Drop ended incidents, and silences that are over, when they are too old for anybody to ask."""
        with self._catalogue.transaction() as connection:
            ended = incidents.c.ended
            connection.execute(delete(incidents).where(ended > 0, ended < now - KEEP_INCIDENTS))
            connection.execute(delete(silences).where(silences.c.end < now - KEEP_SILENCES))


def _named(state: StoredState, case: Case | None, known: dict[int, int]) -> StoredState:
    return state if case is None else replace(state, incident=known.get(id(case), case.incident.id))


def _keep_incident(connection: Connection, incident: Incident) -> int:
    row = {name: getattr(incident, name) for name in incidents.c.keys() if name != "id"}  # noqa: SIM118  # columns
    row |= {
        "agents": list(incident.agents),
        "worst_rtt": None if math.isnan(incident.worst_rtt) else incident.worst_rtt,
    }
    if incident.id:
        connection.execute(incidents.update().where(incidents.c.id == incident.id).values(**row))
        return incident.id
    return int(connection.execute(incidents.insert().values(**row).returning(incidents.c.id)).scalar_one())


def _keep_states(connection: Connection, states: Sequence[StoredState]) -> None:
    if not states:
        return
    insert: Any = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    row = insert(alert_states)
    newer = {name: row.excluded[name] for name in ("time", "raised", "incident", "memory")}
    keep = row.on_conflict_do_update(index_elements=["task", "agent", "alert"], set_=newer)
    rows = [_row(state) for state in states]
    for start in range(0, len(rows), _AT_ONCE):
        connection.execute(keep, rows[start : start + _AT_ONCE])


def _row(state: StoredState) -> dict[str, Any]:
    task, agent, alert = state.key
    return {
        "task": task, "agent": agent, "alert": alert, "time": state.time, "raised": state.raised,
        "incident": state.incident, "memory": state.memory,
    }  # fmt: skip


def _drop_states(connection: Connection, keys: Iterable[Key]) -> None:
    keys, c = list(keys), alert_states.c
    for start in range(0, len(keys), _AT_ONCE // 3):
        part = keys[start : start + _AT_ONCE // 3]
        named = ((c.task == task) & (c.agent == agent) & (c.alert == alert) for task, agent, alert in part)
        connection.execute(delete(alert_states).where(or_(*named)))


def _incident(row: Any) -> Incident:
    values = dict(row._mapping)
    values["agents"] = tuple(values["agents"])
    values["worst_rtt"] = math.nan if values["worst_rtt"] is None else values["worst_rtt"]
    return Incident(**values)
