"""The outbox: notices on their way to receivers, in the catalogue. Times are nanoseconds UTC and handed in.

A notice is written down in the transaction of the judgement it tells of, so neither is without the other. What is
claimed and not finished when a program dies is due again, under the same key, by which receivers tell repetitions.
"""

import hashlib
import json
import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, func, or_, select
from sqlalchemy.dialects import postgresql, sqlite

from smokemesh.model.alert import Delivery, Notice
from smokemesh.storage.catalogue import Catalogue
from smokemesh.storage.tables import deliveries, incidents

NANO: Final = 10**9
#: Notices that wait for one receiver; beyond it the oldest give way.
MOST_WAITING: Final = 1000
#: Deliveries of one incident that are kept when they are finished, the newest; all that wait, and what each receiver
#: got last, are kept anyway. An alert told at every round would fill the database.
MOST_KEPT: Final = 200
#: Texts of errors and outputs are kept up to this many characters.
MOST_TEXT: Final = 4000

_SHOWN = (
    deliveries.c.id, deliveries.c.incident, deliveries.c.receiver, deliveries.c.what, deliveries.c.created,
    deliveries.c.state, deliveries.c.attempts, deliveries.c.time, deliveries.c.error, deliveries.c.output,
    deliveries.c.key,
)  # fmt: skip


def gather(receivers: Iterable[str]) -> list[str]:
    """Receivers, each once and in order; mail addresses together as one, because one mail goes to all of them."""
    wanted = [one.strip() for one in receivers if one.strip()]
    addresses = ", ".join(dict.fromkeys(one for one in wanted if is_address(one)))
    return list(dict.fromkeys(addresses if is_address(one) else one for one in wanted))


def is_address(receiver: str) -> bool:
    """A mail address, or several; not a program, a pager or a receiver's name."""
    return "@" in receiver and not receiver.startswith(("|", "snpp:", "xmpp:"))


def enqueue(connection: Connection, notice: Notice, receivers: Iterable[str], now: int) -> None:
    """Write a notice down for these receivers, in the caller's transaction. Written twice it stays one."""
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    content = _to_json(notice)
    for receiver in gather(receivers):
        row = insert(deliveries).values(
            key=_key(notice, receiver), incident=notice.incident, receiver=receiver, what=notice.what, notice=content,
            created=now, state="waiting", attempts=0, time=now, error="", output="",
        )  # fmt: skip
        connection.execute(row.on_conflict_do_nothing(index_elements=["key"]))
        _give_way(connection, receiver, now)
    _drop_surplus(connection, notice.incident)


def _drop_surplus(connection: Connection, incident: int) -> None:
    """Keep the bound on what is finished of an incident."""
    finished = (deliveries.c.incident == incident) & deliveries.c.state.in_(("done", "failed"))
    last_kept = select(deliveries.c.id).where(finished).order_by(deliveries.c.id.desc()).offset(MOST_KEPT).limit(1)
    oldest = connection.execute(last_kept).scalar()
    if oldest is not None:
        got = select(func.max(deliveries.c.id)).where(deliveries.c.incident == incident, deliveries.c.state == "done")
        newest = got.group_by(deliveries.c.receiver)
        connection.execute(
            deliveries.delete().where(finished, deliveries.c.id <= oldest, deliveries.c.id.not_in(newest))
        )


def _give_way(connection: Connection, receiver: str, now: int) -> None:
    """Keep the bound on what waits for a receiver: what is oldest is worth least."""
    waiting = (deliveries.c.receiver == receiver) & (deliveries.c.state == "waiting")
    last_kept = select(deliveries.c.id).where(waiting).order_by(deliveries.c.id.desc()).offset(MOST_WAITING).limit(1)
    oldest = connection.execute(last_kept).scalar()
    if oldest is not None:
        told = f"gave way to newer ones: more than {MOST_WAITING} notices wait for this receiver"
        old = deliveries.update().where(waiting, deliveries.c.id <= oldest)
        connection.execute(old.values(state="failed", time=now, error=told))


class Outbox:
    """The outbox of one installation. Any thread may call."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def enqueue(self, notice: Notice, receivers: Iterable[str], now: int) -> None:
        """Write a notice down in a transaction of its own."""
        with self._catalogue.transaction() as connection:
            enqueue(connection, notice, receivers, now)

    def resume(self, now: int) -> None:
        """This program begins: what an earlier run left claimed or waiting is due now.

        Where other masters share the database, what they claimed stays theirs until the claim runs out.
        """
        if not self._catalogue.shared:
            with self._catalogue.transaction() as connection:
                connection.execute(
                    deliveries.update().where(deliveries.c.state == "waiting", deliveries.c.time > now).values(time=now)
                )

    def claim(self, now: int, lease: float, busy: Collection[str] = ()) -> Delivery | None:
        """Take the next delivery that is due, of a receiver that is not busy; None when there is none.

        Only the oldest that waits for a receiver is ever taken, so each receives in order. Whoever takes it has
        `lease` seconds to finish; after that it is due again.
        """
        heads = (
            select(func.min(deliveries.c.id).label("id"))
            .where(deliveries.c.state == "waiting")
            .group_by(deliveries.c.receiver)
            .subquery()
        )
        due = select(deliveries.c.id, deliveries.c.time).join(heads, heads.c.id == deliveries.c.id)
        due = due.where(deliveries.c.time <= now, deliveries.c.receiver.not_in(busy)).order_by(deliveries.c.time)
        with self._catalogue.transaction() as connection:
            for number, time in connection.execute(due.order_by(deliveries.c.id).limit(8)).all():
                mine = deliveries.update().where(
                    deliveries.c.id == number, deliveries.c.state == "waiting", deliveries.c.time == time
                )
                taken = mine.values(time=now + round(lease * NANO), attempts=deliveries.c.attempts + 1)
                if connection.execute(taken).rowcount:
                    row = connection.execute(select(*_SHOWN).where(deliveries.c.id == number)).one()
                    return Delivery(**row._mapping)
        return None

    def next_due(self, busy: Collection[str] = ()) -> int | None:
        """When the next delivery is due, None when nothing waits."""
        question = (
            select(deliveries.c.receiver, func.min(deliveries.c.id))
            .where(deliveries.c.state == "waiting", deliveries.c.receiver.not_in(busy))
            .group_by(deliveries.c.receiver)
        )
        with self._catalogue.transaction() as connection:
            heads = [number for _, number in connection.execute(question)]
            times = select(func.min(deliveries.c.time)).where(deliveries.c.id.in_(heads))
            return connection.execute(times).scalar() if heads else None

    def notice(self, number: int) -> Notice:
        """What a delivery tells."""
        with self._catalogue.transaction() as connection:
            content = connection.execute(select(deliveries.c.notice).where(deliveries.c.id == number)).scalar_one()
        return _from_json(content)

    def finish(self, number: int, now: int, output: str = "") -> None:
        """It was delivered."""
        self._change(number, state="done", time=now, error="", output=output[:MOST_TEXT])

    def retry(self, number: int, at: int, error: str, receiver: str = "", output: str = "") -> None:
        """It was not delivered and is tried again; from now on for `receiver` only, where some of several took it."""
        changes: dict[str, Any] = {"receiver": receiver} if receiver else {}
        self._change(number, time=at, error=error[:MOST_TEXT], output=output[:MOST_TEXT], **changes)

    def fail(self, number: int, now: int, error: str, output: str = "") -> None:
        """It is given up."""
        self._change(number, state="failed", time=now, error=error[:MOST_TEXT], output=output[:MOST_TEXT])

    def _change(self, number: int, **changes: Any) -> None:
        with self._catalogue.transaction() as connection:
            connection.execute(deliveries.update().where(deliveries.c.id == number).values(**changes))

    def list(
        self, *, incident: int = 0, state: str = "", receiver: str = "", before: int = 0, most: int = 100
    ) -> Sequence[Delivery]:
        """Deliveries, the newest first; those with a smaller number than `before`, if given."""
        question = select(*_SHOWN).order_by(deliveries.c.id.desc()).limit(most)
        for column, wanted in (("incident", incident), ("state", state), ("receiver", receiver)):
            if wanted:
                question = question.where(deliveries.c[column] == wanted)
        if before:
            question = question.where(deliveries.c.id < before)
        with self._catalogue.transaction() as connection:
            return [Delivery(**row._mapping) for row in connection.execute(question)]

    def firing(self, receiver: str) -> Sequence[Notice]:
        """What a receiver was told of incidents that are still open: the newest notice of each."""
        newest = (
            select(func.max(deliveries.c.id))
            .where(deliveries.c.receiver == receiver, deliveries.c.state == "done")
            .group_by(deliveries.c.incident)
        )
        question = (
            select(deliveries.c.notice)
            .join(incidents, incidents.c.id == deliveries.c.incident)
            .where(deliveries.c.id.in_(newest), deliveries.c.what != "cleared", incidents.c.ended == 0)
            .order_by(deliveries.c.id)
        )
        with self._catalogue.transaction() as connection:
            return [_from_json(content) for content in connection.execute(question).scalars()]

    def counts(self) -> dict[str, int]:
        """How many deliveries are in each state."""
        question = select(deliveries.c.state, func.count()).group_by(deliveries.c.state)
        with self._catalogue.transaction() as connection:
            return {state: count for state, count in connection.execute(question)}

    def forget(self, before: int) -> int:
        """Drop what was finished before that time; how many."""
        old = deliveries.delete().where(
            or_(deliveries.c.state == "done", deliveries.c.state == "failed"), deliveries.c.time < before
        )
        with self._catalogue.transaction() as connection:
            return connection.execute(old).rowcount


def _key(notice: Notice, receiver: str) -> str:
    parts = (notice.incident, notice.alert, notice.target, notice.what, notice.time, notice.begun, receiver)
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def _to_json(notice: Notice) -> dict[str, Any]:
    """Plain values; what is unknown is null, because JSON has no NaN."""
    plain = asdict(notice)
    for name in ("loss", "rtt"):
        plain[name] = [None if math.isnan(value) else value for value in plain[name]]
    return plain


def _from_json(content: dict[str, Any]) -> Notice:
    """As it was written, by whatever version."""
    plain = dict(content)
    for name in ("loss", "rtt"):
        plain[name] = [math.nan if value is None else value for value in plain.get(name, ())]
    return msgspec.convert(plain, Notice)
