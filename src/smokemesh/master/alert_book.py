"""What is judged, what is remembered of it, and which incidents are open. It is told rounds and the time, and does no I/O.

Everything that changed waits in `findings` until `alerting` has written it down. Times are nanoseconds UTC.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from smokemesh.analysis.alerts import judge
from smokemesh.analysis.alerts.judge import ACTIVE, CLEARED, RAISED, Compiled, Judgement, State, View
from smokemesh.analysis.alerts.observe import doubtful, observe
from smokemesh.analysis.alerts.patterns import START, Value
from smokemesh.analysis.alerts.rules import Observation, agree
from smokemesh.master.alert_memory import Pair, Watch, is_absent, is_late, kept_rules, make_watch, stored, stored_case
from smokemesh.master.alert_words import describe
from smokemesh.master.hush import Hush, Standing
from smokemesh.master.metrics import Label
from smokemesh.master.web.hosts import shown_host
from smokemesh.model.alert import Alert, Alerting, Incident, Notice
from smokemesh.model.assignment import probe_name, task_id
from smokemesh.model.rounds import COLUMNS, RoundBatch
from smokemesh.settings.shape import MasterSettings
from smokemesh.storage.incidents import Findings, Key, StoredState

SECOND: Final = 10**9


@dataclass(slots=True)
class Counters:
    """What came of judging since the master started."""

    rounds: int = 0
    #: Rounds older than what was judged already, and rounds not blamed on the target.
    stale: int = 0
    doubtful: int = 0
    raised: int = 0
    cleared: int = 0
    notices: int = 0


class Book:
    """All that is judged."""

    def __init__(self, variants: Callable[[], Mapping[int, Label]] = dict) -> None:
        """`variants` tells what the numbers of single addresses mean."""
        self.variants = variants
        self._settings = MasterSettings()
        self._watches: dict[int, Watch] = {}
        self._pairs: dict[tuple[int, str], Pair] = {}
        self._compat = False
        self.hush = Hush()
        self.cases: dict[Key, Standing] = {}
        self.counters = Counters()
        #: Alerts that cannot be judged, each with the reason.
        self.unusable: dict[str, str] = {}
        self._gone: list[Key] = []
        self._ended: list[Standing] = []
        self._notices: list[tuple[Standing, Notice]] = []
        #: Something must be written down before anything else happens.
        self.urgent = False

    # --- configuration and memory

    def configure(self, settings: MasterSettings, now: int) -> None:
        """Judge by these settings from now on. What is no longer judged ends, and says so."""
        self._settings, self._compat = settings, settings.alerting.compat == "smokeping"
        self.unusable, compiled = {}, {}
        for name, alert in settings.alerts.items():
            try:
                compiled[name] = judge.compile_alert(alert, settings.alerting)
            except ValueError as error:
                self.unusable[name] = str(error)
        titles = {node.path: node.title for node in settings.tree.walk()}
        targets = settings.targets
        self._watches = {watch.task: watch for watch in (make_watch(t, compiled, titles) for t in targets) if watch}
        self.hush.configure(targets)
        for task, _ in self._pairs:
            self._is_watched(task)  # single addresses of a name, which the settings do not list
        self._prune(now)
        for watch in list(self._watches.values()):
            # Of a name whose addresses are measured each, the rounds tell which there are.
            for agent in () if watch.target.addresses == "all" else watch.target.agents:
                self._pair(watch, agent, now)

    def restore(self, states: Iterable[StoredState], incidents: Iterable[Incident], now: int) -> None:
        """Go on from what was kept. What no longer fits the settings ends."""
        by_number = {incident.id: incident for incident in incidents}
        named: list[StoredState] = []
        for state in states:
            if state.key[2]:
                named.append(state)
            else:
                self._restore_pair(state, now)
        for state in named:
            incident = by_number.pop(state.incident, None)
            if incident is None:
                self._gone.append(state.key)
            else:
                self._restore_case(state, incident, now)
        for incident in by_number.values():
            self._end_lost(incident, now)
        self._prune(now)

    def judged(self, missed: Mapping[tuple[int, str], int]) -> dict[tuple[int, str], int]:
        """Of each task and agent the time of the newest round judged; of none, just before rounds are expected.

        `missed` are the oldest rounds known to wait: with one that is not judged yet they count if they are older.
        """
        found = {key: begun - 1 for key, begun in missed.items()}
        for key, pair in self._pairs.items():
            found[key] = pair.view.time or min(pair.since, missed.get(key, pair.since)) - 1
        return found

    def watched(self) -> set[int]:
        """Tasks whose newest round matters, judged or because others depend on them."""
        single = [task for task in self.variants() if self._is_watched(task)]
        return {*self._watches, *self.hush.tasks, *single}

    # --- rounds and the clock

    def take(self, agent: str, batch: RoundBatch, now: int) -> None:
        """Rounds of one agent, in any order; those not later than what was judged are passed over."""
        rows = [i for i, task in enumerate(batch.task.tolist()) if self._is_watched(task)]
        if not rows:
            return
        chosen = _rows(batch, np.array(rows)[np.argsort(batch.time[rows], kind="stable")])
        doubts = doubtful(chosen)
        lost = (chosen.received == 0) & ~doubts
        rounds = observe(chosen, compat=self._compat)
        columns = (chosen.task.tolist(), rounds, doubts.tolist(), lost.tolist())
        for number, round, doubt, gone in zip(*columns, strict=True):
            self.hush.saw(number, agent, round.time, round.step, gone)
            watch = self._watches.get(number)
            if watch is not None:
                self._round(watch, agent, round, doubt, now)

    def tick(self, now: int) -> None:
        """Time went by: silences of agents, notices held back, repetitions."""
        for (_, agent), pair in self._pairs.items():
            if pair.watch.bench.silent:
                for found in pair.watch.bench.listen(pair.view, pair.since, now):
                    pair.dirty = True
                    self._apply(pair, agent, found, None, now)
        for standing in list(self.cases.values()):
            self._settle(standing, now)

    def findings(self) -> Findings:
        """What must be written down. `kept` says that it was."""
        found = Findings(gone=list(self._gone), notices=list(self._notices))
        dirty = [(key, pair) for key, pair in self._pairs.items() if pair.dirty]
        found.states = [(None, stored(key, pair)) for key, pair in dirty]
        for standing in self.cases.values():
            if standing.changed:
                found.cases.append(standing)
                found.states.append((standing, stored_case(standing)))
        found.cases += self._ended
        return found

    def kept(self) -> None:
        """All findings are written down."""
        for pair in self._pairs.values():
            pair.dirty = False
        self._gone, self._ended, self._notices, self.urgent = [], [], [], False

    # --- one round

    def _round(self, watch: Watch, agent: str, round: Observation, doubt: bool, now: int) -> None:
        pair = self._pair(watch, agent, now)
        if round.time <= pair.view.time:
            self.counters.stale += 1
            return
        pair.dirty = True
        if doubt:
            self.counters.doubtful += 1
            pair.view.time, pair.view.step = round.time, round.step
            return
        self.counters.rounds += 1
        for found in watch.bench.judge(pair.view, round):
            self._apply(pair, agent, found, round, now)

    def _apply(self, pair: Pair, agent: str, found: Judgement, round: Observation | None, now: int) -> None:
        """What a judgement does to the incident it is about. No round: the clock has judged."""
        if found.compiled.alert.quorum:
            self._vote(pair.watch, found.compiled, round, now)
            return
        key = (pair.watch.task, agent, found.compiled.alert.name)
        standing = self.cases.get(key)
        if found.raised and standing is None:
            standing = self._open(key, pair.watch, found.compiled, (agent,), round, now)
        if standing is None:
            return
        standing.late = round is not None and is_late(round, now)
        if not found.raised:
            # Priority keeps the end of what was told from nobody; with SmokePing it does.
            what = found.what or (CLEARED if found.after and not self._compat else "")
            self._close(standing, round.time if round else now, what, now)
            return
        _witness(standing, round)
        if found.after:
            self._give_way(standing, found)
        else:
            standing.due = found.what or standing.due
        self._settle(standing, now)

    def _give_way(self, standing: Standing, found: Judgement) -> None:
        """Another has spoken. Whoever kept quiet is heard when that one has ended; with SmokePing never."""
        if not self._compat:
            standing.after = found.after
            standing.due = standing.due or (RAISED if found.compiled.edge else ACTIVE)
        elif not standing.told:
            # It goes on as if it had been told: its end is.
            standing.told = True
            standing.change(muted=f"priority:{found.after}")
            standing.change(detail=self._detail(standing, ""))

    def _vote(self, watch: Watch, compiled: Compiled, round: Observation | None, now: int) -> None:
        """All agents of the target together."""
        name = compiled.alert.name
        votes = {agent: self._votes(watch, agent, compiled, now) for agent in watch.target.agents}
        raised = agree(list(votes.values()), compiled.alert.quorum)
        seen_by = tuple(agent for agent, vote in votes.items() if vote)
        key = (watch.task, "", name)
        standing = self.cases.get(key)
        if raised and standing is None:
            standing = self._open(key, watch, compiled, seen_by, round, now)
            standing.due = RAISED
        if standing is None:
            return
        if not raised:
            self._close(standing, round.time if round else now, CLEARED, now)
            return
        _witness(standing, round)
        standing.change(agents=seen_by)
        standing.late = round is not None and is_late(round, now)
        if not compiled.edge:
            standing.due = ACTIVE
        self._settle(standing, now)

    def _votes(self, watch: Watch, agent: str, compiled: Compiled, now: int) -> bool:
        """Does this agent see it? One that is not heard has no say, unless that is the matter."""
        pair = self._pairs.get((watch.task, agent))
        state = pair.view.states.get(compiled.alert.name) if pair else None
        if pair is None or state is None or not state.raised:
            return False
        return compiled.alert.type == "silent" or not is_absent(pair, now)

    # --- incidents

    def _open(
        self, key: Key, watch: Watch, compiled: Compiled, agents: tuple[str, ...], round: Observation | None, now: int
    ) -> Standing:
        incident = Incident(
            id=0, alert=key[2], target=watch.target.path, probe=probe_name(watch.target.probe), agents=agents,
            begun=round.time if round else now,
        )  # fmt: skip
        standing = Standing(incident, key=key, compiled=compiled, raised_at=now, alertee=watch.target.alertee)
        standing.title, standing.host = watch.title, watch.address or shown_host(watch.target)
        self.cases[key] = standing
        self.hush.opened(standing)
        self.counters.raised += 1
        self.urgent = True
        return standing

    def _close(self, standing: Standing, time: int, what: str, now: int, why: str = "") -> None:
        """The alert is off. Whoever was told that it was raised is told that it is cleared, in a silence too: a pager that
        never hears of it would go on ringing.
        """
        del self.cases[standing.key]
        self.hush.closed(standing)
        reason = "" if why else self.hush.reason(standing, self.cases, now)
        if not standing.told and standing.due and not reason and not why and not standing.late:
            # It came and went while its parents were waited for.
            self._tell(standing, standing.due, now, time)
        muted = standing.incident.muted if standing.told else reason
        standing.change(ended=max(time, standing.incident.begun), muted=muted)
        standing.change(detail=self._detail(standing, why))
        if standing.told and what == CLEARED and standing.compiled.edge:
            self._tell(standing, CLEARED, now, time)
        self._ended.append(standing)
        self._gone.append(standing.key)
        self.counters.cleared += 1
        self.urgent = True

    def _settle(self, standing: Standing, now: int) -> None:
        """Tell it if it is to be told, and if nothing keeps it quiet now."""
        repeat = standing.compiled.alert.repeat
        if not standing.due and repeat and standing.told and now - standing.told_at >= repeat * SECOND:
            standing.due = ACTIVE
        if not standing.due:
            return
        reason = self.hush.reason(standing, self.cases, now)
        if reason != standing.incident.muted or not standing.incident.detail:
            standing.change(muted=reason)
            standing.change(detail=self._detail(standing, ""))
            self.urgent = True
        if reason or self.hush.holds(standing, now):
            return
        self._tell(standing, standing.due, now, 0)

    def _tell(self, standing: Standing, what: str, now: int, time: int) -> None:
        """Make the notice; it leaves once it is written down."""
        pair = self._pairs.get((standing.key[0], standing.incident.agents[0] if standing.incident.agents else ""))
        alert, view = standing.compiled.alert, pair.view if pair else View()
        loss, rtt = view.history.loss, view.history.rtt
        to = (*self._settings.alerting.to, *standing.alertee, *alert.to)
        incident = standing.incident
        moment = time or (now if alert.type == "silent" or not view.time else view.time)
        self._notices.append((standing, Notice(
            incident=incident.id, alert=alert.name, what=what, target=incident.target, title=standing.title,
            host=standing.host, agents=incident.agents, time=moment, begun=incident.begun, loss=_known(loss),
            rtt=_known(rtt), from_start=START in loss, pattern=alert.pattern, comment=alert.comment,
            priority=alert.priority, edge=standing.compiled.edge, detail=incident.detail, to=to,
            template=alert.template or self._settings.alerting.template,
        )))  # fmt: skip
        standing.told, standing.told_at, standing.due, standing.changed = True, now, "", True
        self.counters.notices += 1
        self.urgent = True

    def _detail(self, standing: Standing, why: str) -> str:
        """How it stands, in a sentence."""
        pair = self._pairs.get((standing.key[0], standing.incident.agents[0] if standing.incident.agents else ""))
        judged = describe(standing.compiled, pair.view if pair else View())
        ending = f"; ended: {why}" if why else ""
        return f"{judged}{ending}{self.hush.explain(standing)}"

    # --- keeping up with the settings

    def _prune(self, now: int) -> None:
        """What is judged no more, or otherwise, ends with the reason."""
        for standing in list(self.cases.values()):
            why = self._obsolete(standing)
            if why:
                self._close(standing, now, CLEARED, now, why)
        for key, pair in list(self._pairs.items()):
            watch = self._watches.get(key[0])
            if watch is None or key[1] not in watch.target.agents:
                del self._pairs[key]
                self._gone.append((*key, ""))
                continue
            pair.watch = watch
            valid = {one.alert.name: one.digest for one in watch.bench.alerts}
            for name in [name for name, digest in pair.digests.items() if valid.get(name) != digest]:
                pair.view.states.pop(name, None)
                del pair.digests[name]
                pair.dirty = True
            pair.digests = valid

    def _obsolete(self, standing: Standing) -> str:
        """Why this is judged no more, "" when it is."""
        task, agent, name = standing.key
        watch = self._watches.get(task)
        if watch is None:
            paths = {target.path for target in self._settings.targets}
            return "alert removed from the target" if standing.incident.target in paths else "target removed"
        if agent and agent not in watch.target.agents:
            return f"agent {agent} no longer measures the target"
        compiled = next((one for one in watch.bench.alerts if one.alert.name == name), None)
        if compiled is None:
            return "alert removed from the target" if name in self._settings.alerts else "alert removed"
        if compiled.digest != standing.compiled.digest:
            return "alert changed"
        standing.compiled, standing.alertee = compiled, watch.target.alertee
        return ""

    def _pair(self, watch: Watch, agent: str, now: int) -> Pair:
        key = (watch.task, agent)
        pair = self._pairs.get(key)
        if pair is None:
            digests = {one.alert.name: one.digest for one in watch.bench.alerts}
            pair = self._pairs[key] = Pair(watch, View(), now, digests=digests)
        return pair

    def _is_watched(self, task: int) -> bool:
        if task in self._watches or task in self.hush.tasks:
            return True
        label = self.variants().get(task)
        if label is None:
            return False
        main = self._watches.get(task_id(label.target, label.probe))
        if main is None:
            return False
        self._watches[task] = replace(main, task=task, address=label.address)
        return True

    def _restore_pair(self, state: StoredState, now: int) -> None:
        task, agent, _ = state.key
        watch = self._watches.get(task) if self._is_watched(task) else None
        if watch is None:
            self._gone.append(state.key)
            return
        fresh = bool(state.memory.get("fresh"))
        view = judge.view_from_json(0 if fresh else state.time, state.memory)
        pair = Pair(watch, view, state.time if fresh else now, dirty=False)
        for name, kept in kept_rules(state.memory):
            view.states[name] = State(bool(kept.get("raised")), dict(kept.get("memory") or {}))
            pair.digests[name] = str(kept.get("rule"))
        self._pairs[task, agent] = pair

    def _restore_case(self, state: StoredState, incident: Incident, now: int) -> None:
        task, _, name = state.key
        watch, memory = self._watches.get(task), state.memory
        found = [one for one in watch.bench.alerts if one.alert.name == name] if watch else []
        if watch is None or not found or memory.get("rule") != found[0].digest:
            self._gone.append(state.key)
            self._end_lost(incident, now, "the configuration changed")
            return
        standing = Standing(incident, key=state.key, compiled=found[0], alertee=watch.target.alertee, raised_at=now)
        standing.title, standing.host, standing.changed = watch.title, watch.address or shown_host(watch.target), False
        standing.told, standing.told_at = bool(memory.get("told")), int(memory.get("told_at") or 0)
        standing.due, standing.late = str(memory.get("due") or ""), bool(memory.get("late"))
        standing.after = str(memory.get("after") or "")
        self.cases[state.key] = standing
        self.hush.opened(standing)

    def _end_lost(self, incident: Incident, now: int, why: str = "what was remembered of it is lost") -> None:
        """An incident nobody judges any more."""
        # Of an alert nobody knows any more only the name counts.
        compiled = judge.compile_alert(Alert(name=incident.alert, type="silent"), Alerting())
        standing = Standing(incident, key=(0, "", incident.alert), compiled=compiled, raised_at=now)
        standing.change(ended=max(now, incident.begun), detail=f"{incident.detail}; ended: {why}".lstrip("; "))
        self._ended.append(standing)
        self.urgent = True


def _rows(batch: RoundBatch, rows: Any) -> RoundBatch:
    """Some rounds of a batch, in that order."""
    columns: dict[str, Any] = {name: getattr(batch, name)[rows] for name in (*COLUMNS, "address")}
    parts = [batch.rtts[batch.offsets[i] : batch.offsets[i + 1]] for i in rows]
    columns["rtts"] = np.concatenate(parts) if parts else None
    columns["offsets"] = np.concatenate([[0], np.cumsum([len(part) for part in parts], dtype=np.int64)])
    return RoundBatch.from_columns(len(rows), columns)


def _witness(standing: Standing, round: Observation | None) -> None:
    """Count a round in, and how bad it was."""
    if round is None:
        return
    was = standing.incident
    standing.change(
        rounds=was.rounds + 1,
        worst_loss=was.worst_loss if math.isnan(round.loss) else max(was.worst_loss, round.loss),
        worst_rtt=float(np.fmax(was.worst_rtt, round.median)),
    )


def _known(values: Sequence[Value]) -> tuple[float, ...]:
    return tuple(math.nan if value is None else value for value in values if not isinstance(value, str))
