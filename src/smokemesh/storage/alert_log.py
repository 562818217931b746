"""What people ask of incidents, and the silences they make. `storage.incidents` judges; here is only looked and silenced.

Times are nanoseconds UTC and handed in.
"""

import math
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, String, and_, cast, func, or_, select

from smokemesh.errors import NotFound
from smokemesh.model.alert import Incident, Silence
from smokemesh.storage.catalogue import Catalogue
from smokemesh.storage.tables import incidents, silences


class AlertLog:
    """Incidents and silences of one installation. Any thread may call."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def incidents(
        self,
        *,
        state: str = "all",
        target: str = "/",
        alert: str = "",
        agent: str = "",
        begin: int = 0,
        end: int = 0,
        before: int = 0,
        most: int = 100,
    ) -> Sequence[Incident]:
        """Incidents, the newest first.

        `state` is open, ended or all; `target` a place with all below it; between `begin` and `end` it must have been
        open at some time; `before` is a number from which on they are left out.
        """
        question = select(incidents).order_by(incidents.c.id.desc()).limit(most)
        for wanted in _filters(state, target, alert, agent, begin, end):
            question = question.where(wanted)
        if before:
            question = question.where(incidents.c.id < before)
        return [_incident(row) for row in self._rows(question)]

    def incident(self, number: int) -> Incident:
        """The incident with that number. Raises NotFound."""
        rows = self._rows(select(incidents).where(incidents.c.id == number))
        if not rows:
            raise NotFound(f"incident {number}: there is none with that number; see /incidents")
        return _incident(rows[0])

    def count_open(self) -> int:
        """How many incidents are open."""
        question = select(func.count()).select_from(incidents).where(incidents.c.ended == 0)
        return int(self._rows(question)[0][0])

    def silences(self, now: int = 0, most: int = 200) -> Sequence[Silence]:
        """Silences, the newest first; only those that are not over at `now`, if given."""
        question = select(silences).order_by(silences.c.id.desc()).limit(most)
        if now:
            question = question.where(silences.c.end > now)
        return [Silence(**row._mapping) for row in self._rows(question)]

    def add_silence(self, silence: Silence) -> Silence:
        """Keep a silence; its number is given here."""
        row = {name: getattr(silence, name) for name in silences.c.keys() if name != "id"}  # noqa: SIM118  # columns
        with self._catalogue.transaction() as connection:
            number = connection.execute(silences.insert().values(**row).returning(silences.c.id)).scalar_one()
        return Silence(id=number, **row)

    def end_silence(self, number: int, now: int) -> Silence:
        """End a silence now; one that has not begun never will. Raises NotFound."""
        late = silences.c.end > now
        with self._catalogue.transaction() as connection:
            connection.execute(
                silences.update().where(silences.c.id == number, late, silences.c.begin <= now).values(end=now)
            )
            connection.execute(
                silences.update().where(silences.c.id == number, silences.c.begin > now).values(begin=now, end=now)
            )
            row = connection.execute(select(silences).where(silences.c.id == number)).first()
        if row is None:
            raise NotFound(f"silence {number}: there is none with that number; see /silences")
        return Silence(**row._mapping)

    def _rows(self, question: Select[Any]) -> Sequence[Any]:
        with self._catalogue.transaction() as connection:
            return connection.execute(question).all()


def _filters(state: str, target: str, alert: str, agent: str, begin: int, end: int) -> list[ColumnElement[bool]]:
    c = incidents.c
    found: list[ColumnElement[bool]] = []
    if state != "all":
        found.append(c.ended == 0 if state == "open" else c.ended != 0)
    if target.strip("/"):
        path = "/" + target.strip("/")
        found.append(or_(c.target == path, c.target.startswith(path + "/", autoescape=True)))
    if alert:
        found.append(c.alert == alert)
    if agent:
        # A list of names as JSON text: names hold nothing that JSON writes otherwise.
        found.append(cast(c.agents, String).contains(f'"{agent}"', autoescape=True))
    if begin:
        found.append(or_(c.ended == 0, c.ended >= begin))
    if end:
        found.append(and_(c.begun < end))
    return found


def _incident(row: Any) -> Incident:
    values = dict(row._mapping)
    values["agents"] = tuple(values["agents"])
    values["worst_rtt"] = math.nan if values["worst_rtt"] is None else values["worst_rtt"]
    return Incident(**values)
