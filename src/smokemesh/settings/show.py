"""Settings -> plain values in the shape of our files: whole, for reading; or only what differs from the defaults.

What comes out can be read again and means the same. Inherited values stand where they hold.
"""

from collections.abc import Iterable
from dataclasses import fields
from typing import Any

from smokemesh.model.agent import Agent
from smokemesh.model.alert import Alert, Alerting, Mail, Receiver
from smokemesh.model.probe import Probe
from smokemesh.model.target import Node, Target
from smokemesh.settings.durations import format_duration, format_size
from smokemesh.settings.entries_probe import OPTION_KEYS, OPTIONS_OF, OVERRIDES
from smokemesh.settings.hidden import HIDDEN, hide_option, hide_path, hide_url
from smokemesh.settings.probes import DEFAULT, usual_option, usual_timeout
from smokemesh.settings.reference import SECTIONS
from smokemesh.settings.shape import (
    LOCAL_AGENT,
    AgentSettings,
    Limits,
    MasterSettings,
    Presentation,
    Retention,
    SmokepingSettings,
    SpoolSettings,
)

_DURATIONS = frozenset({"step", "offset", "interval", "timeout"})
#: Variables of SmokePing's that hold a password.
_SECRETS = frozenset({"mailpass", "password", "secret", "hmac", "iospass", "junospass", "eospass", "extraargs"})


def master_values(settings: MasterSettings, whole: bool) -> dict[str, Any]:
    """A master's settings; with `whole`, defaults too, and passwords hidden."""
    shown = hide_url if whole else str
    retention = {key: format_duration(getattr(settings.retention, name)) for key, name in _RETENTION.items()}
    default = {key: format_duration(getattr(Retention(), name)) for key, name in _RETENTION.items()}
    host = f"[{settings.listen_host}]" if ":" in settings.listen_host else settings.listen_host
    plain = {
        "listen": f"{host}:{settings.listen_port}",
        "storage": _filled(
            {
                "dsn": shown(settings.storage_dsn),
                "cluster": settings.storage_cluster,
                "retention": retention if whole else {k: v for k, v in retention.items() if v != default[k]},
            }
        ),
        "catalogue": _filled({"dsn": shown(settings.catalogue_dsn)}),
        "heartbeat_interval": format_duration(settings.heartbeat_interval),
        "upload_interval": format_duration(settings.upload_interval),
        "probes": {name: _probe(probe, whole) for name, probe in settings.probes.items() if "#" not in name},
        "agents": {name: _agent(agent) for name, agent in settings.agents.items()},
        "targets": _node(settings.tree, settings, whole),
        "alerts": {name: _alert(alert, whole) for name, alert in settings.alerts.items()},
        "alerting": _alerting(settings.alerting, whole),
        "hierarchies": dict(settings.presentation.hierarchies),
        "presentation": _presentation(settings.presentation),
        "smokeping": _smokeping(settings.smokeping, whole),
    }
    if not whole:
        plain = _unusual(plain, "master")
        if plain["probes"] == {DEFAULT: {}}:
            del plain["probes"]
    return _filled(plain)


def agent_values(settings: AgentSettings, whole: bool) -> dict[str, Any]:
    """An agent's settings; with `whole`, defaults too."""
    plain: dict[str, Any] = {
        "name": settings.name,
        "masters": [hide_url(url) if whole else url for url in settings.masters],
        "shared_secret": settings.shared_secret,
        "data": settings.data,
        "auth_timeout": format_duration(settings.auth_timeout),
        "assignment_ttl": format_duration(settings.assignment_ttl),
        "ca_file": settings.ca_file,
        "limits": _limits(settings.limits, Limits(), whole),
        "spool": _spool(settings.spool, SpoolSettings(), whole),
        "labels": dict(settings.labels),
    }
    return _filled(plain if whole else _unusual(plain, "agent"))


def _unusual(plain: dict[str, Any], section: str) -> dict[str, Any]:
    known = SECTIONS[section].settings
    return {key: value for key, value in plain.items() if value != known[key].default}


_RETENTION = {"raw": "raw", "5m": "m5", "1h": "h1", "1d": "d1"}


def _probe(probe: Probe, whole: bool) -> dict[str, Any]:
    if whole:
        keys = [key for key in OPTION_KEYS if key in OPTIONS_OF[probe.kind]]
        return {"kind": probe.kind, **_probe_values(probe, OVERRIDES), **_masked(_option_values(probe, keys))}
    usual = Probe(name="", timeout=usual_timeout(probe.step))
    differing = [key for key in OVERRIDES if getattr(probe, key) != getattr(usual, key)]
    kind = {} if probe.kind == usual.kind else {"kind": probe.kind}
    return kind | _probe_values(probe, differing) | dict(probe.options)


def _option_values(probe: Probe, keys: Iterable[str]) -> dict[str, Any]:
    """Options as they would be written, those nobody wrote too."""
    written = dict(probe.options)
    values = {key: written.get(key, usual_option(probe.kind, key)) for key in keys}
    return {key: value for key, value in values.items() if value != ""}


def _probe_values(probe: Probe, keys: Iterable[str]) -> dict[str, Any]:
    return {key: _spell(key, getattr(probe, key)) for key in keys if getattr(probe, key) != ""}


def _spell(key: str, value: Any) -> Any:
    if value is None:
        return "spread"
    return format_duration(value) if key in _DURATIONS else value


def _node(node: Node, settings: MasterSettings, whole: bool) -> dict[str, Any]:
    named = {"menu": node.menu, "title": node.title, "remark": node.remark}
    usual = {} if whole else {"menu": node.name, "title": node.menu}
    plain: dict[str, Any] = {key: value for key, value in named.items() if value and value != usual.get(key)}
    if node.hidden:
        plain["hidden"] = True
    own = _target(node.target, settings, whole) if node.target else {}
    more = {"overlay": list(node.overlay), "places": dict(node.places), "smokeping": _kept(node, whole)}
    below = {child.name: _node(child, settings, whole) for child in node.children}
    bare = not below and not node.target and not node.overlay and node.path != "/"
    if bare or any(name in SECTIONS["target"].settings for name in below):
        below = {"children": below}
    return own | plain | _filled(more) | below


def _kept(node: Node, whole: bool) -> dict[str, str]:
    kept: dict[str, str] = _without_passwords(node.smokeping) if whole else dict(node.smokeping)
    return kept


def _target(target: Target, settings: MasterSettings, whole: bool) -> dict[str, Any]:
    base, probe = settings.probes[target.probe.partition("#")[0]], settings.probes[target.probe]
    differing = [key for key in OVERRIDES if getattr(probe, key) != _handed_down(key, base, probe, whole)]
    plain: dict[str, Any] = {
        "host": target.host,
        "probe": base.name,
        "agents": list(target.agents),
        "addresses": target.addresses,
        "alerts": list(target.alerts),
        "alertee": list(target.alertee),
        "parents": list(target.parents),
        "labels": dict(target.labels),
    }
    if not whole:
        usual = {"probe": DEFAULT, "agents": [LOCAL_AGENT], "addresses": "first"}
        plain = {key: value for key, value in plain.items() if value != usual.get(key)}
    agents: dict[str, Any] = {} if target.agents else {"agents": []}
    options = {key: _option(probe, key) for key in _differing_options(base, probe)}
    options = _masked(options) if whole else options
    return _filled(plain) | agents | _probe_values(probe, differing) | _filled({"options": options})


def _masked(options: dict[str, Any]) -> dict[str, Any]:
    return {key: hide_option(key, value) if isinstance(value, str) else value for key, value in options.items()}


def _differing_options(base: Probe, probe: Probe) -> list[str]:
    mine, theirs = dict(probe.options), dict(base.options)
    return [key for key in OPTION_KEYS if mine.get(key) != theirs.get(key)]


def _option(probe: Probe, key: str) -> Any:
    """An option of a target's own probe; what is as usual again is spelt out, because the probe it derives from is not."""
    return dict(probe.options).get(key, usual_option(probe.kind, key))


def _handed_down(key: str, base: Probe, probe: Probe, whole: bool) -> Any:
    """What a target gets from its probe without writing it; a timeout nobody wrote follows the target's own step."""
    if key == "timeout" and not whole and base.timeout == usual_timeout(base.step):
        return usual_timeout(probe.step)
    return getattr(base, key)


def _agent(agent: Agent) -> dict[str, Any]:
    return {f.name: getattr(agent, f.name) for f in fields(agent) if f.name != "name" and getattr(agent, f.name)}


_ALERT_KEYS = {
    "type": "type", "pattern": "pattern", "measure": "measure", "above": "above", "below": "below", "factor": "factor",
    "baseline": "baseline", "for": "wait", "clear_for": "clear_wait", "quorum": "quorum", "edge": "edge",
    "priority": "priority", "repeat": "repeat", "to": "to", "comment": "comment", "template": "template",
}  # fmt: skip
_ALERT_DURATIONS = frozenset({"baseline", "for", "clear_for", "repeat"})


def _alert(alert: Alert, whole: bool) -> dict[str, Any]:
    usual = Alert(name="", type="")
    plain: dict[str, Any] = {}
    for key, field in _ALERT_KEYS.items():
        value, only = getattr(alert, field), SECTIONS["alert"].settings[key].only
        if (only and alert.type not in only) or (not whole and value == getattr(usual, field)):
            continue
        plain[key] = _alert_value(key, value, alert.measure)
    return {key: value for key, value in plain.items() if value not in ("", [], None)}


def _alert_value(key: str, value: Any, measure: str) -> Any:
    if key in _ALERT_DURATIONS:
        return format_duration(value)
    if key in ("above", "below") and value is not None:
        return f"{value * 100:.10g}%" if measure == "loss" else format_duration(value)
    return list(value) if isinstance(value, tuple) else value


def _alerting(alerting: Alerting, whole: bool) -> dict[str, Any]:
    plain = {
        "to": list(alerting.to),
        "from": alerting.mail.sender,
        "compat": alerting.compat or "none",
        "edge": alerting.edge,
        "template": alerting.template,
        "url": hide_url(alerting.url) if whole else alerting.url,
        "snpp": alerting.snpp,
        "mail": _mail(alerting.mail, whole),
        "receivers": {name: _receiver(receiver, whole) for name, receiver in alerting.receivers.items()},
    }
    if not whole:
        plain = {key: value for key, value in plain.items() if (key, value) not in (("compat", "none"), ("edge", True))}
    return _filled(plain)


def _mail(mail: Mail, whole: bool) -> dict[str, Any]:
    plain = {f.name: getattr(mail, f.name) for f in fields(mail) if f.name != "sender"} | {
        "servers": list(mail.servers)
    }
    if whole and mail.password:
        plain["password"] = HIDDEN
    return _filled(plain if whole else {key: v for key, v in plain.items() if v != getattr(Mail(), key)})


def _receiver(receiver: Receiver, whole: bool) -> dict[str, Any]:
    plain = {f.name: getattr(receiver, f.name) for f in fields(receiver) if f.name != "name"}
    plain |= {"to": list(receiver.to), "headers": dict(receiver.headers)}
    if whole:  # who knows where a webhook leads may post there
        plain |= {"url": hide_path(receiver.url), "headers": dict.fromkeys(receiver.headers, HIDDEN)}
    return _filled(plain)


def _presentation(shown: Presentation) -> dict[str, Any]:
    charts = {
        c.name: {"menu": c.menu, "title": c.title, "sorter": c.sorter, "entries": c.entries} for c in shown.charts
    }
    return _filled(
        {
            "owner": shown.owner,
            "contact": shown.contact,
            "charts": charts,
            "ranges": [{"title": title, "length": format_duration(length)} for title, length in shown.ranges],
            "loss_colors": [
                _filled({"lost": f"{lost:.10g}", "color": color, "legend": legend})
                for lost, color, legend in shown.loss_colors
            ],
            "max_rtt": format_duration(shown.max_rtt) if shown.max_rtt else "",
            "overlay_colors": list(shown.overlay_colors),
        }
    )


def _smokeping(shown: SmokepingSettings, whole: bool) -> dict[str, Any]:
    usual = SmokepingSettings()
    return _filled(
        {
            "path": shown.path if whole or shown.path != usual.path else "",
            "secrets_file": shown.secrets_file,
            "originals": _without_passwords(shown.originals) if whole else shown.originals,
            "overrides": _without_passwords(shown.overrides) if whole else shown.overrides,
        }
    )


def _without_passwords(values: Any) -> Any:
    """A tree of text with passwords masked. Slaves' overrides have dotted paths for keys."""
    if isinstance(values, dict):
        secret = {key for key in values if key.rpartition(".")[2] in _SECRETS and isinstance(values[key], str)}
        return {key: HIDDEN if key in secret else _without_passwords(value) for key, value in values.items()}
    return hide_url(values) if isinstance(values, str) else values


def _limits(limits: Limits, default: Limits, whole: bool) -> dict[str, Any]:
    spelt: dict[str, Any] = {}
    for f in fields(limits):
        value = getattr(limits, f.name)
        if whole or value != getattr(default, f.name):
            spelt[f.name] = _limit(f.name, value)
    return spelt


def _limit(key: str, value: Any) -> Any:
    if "interval" in key:
        return format_duration(value)
    if isinstance(value, tuple):
        return list(value)
    return int(value) if value == int(value) else value


def _spool(spool: SpoolSettings, default: SpoolSettings, whole: bool) -> dict[str, Any]:
    spelt = {"most_bytes": format_size(spool.most_bytes), "most_age": format_duration(spool.most_age)}
    usual = {"most_bytes": format_size(default.most_bytes), "most_age": format_duration(default.most_age)}
    return spelt if whole else {key: value for key, value in spelt.items() if value != usual[key]}


def _filled(plain: dict[str, Any]) -> dict[str, Any]:
    """Without keys that hold nothing."""
    return {key: value for key, value in plain.items() if value not in ("", [], {})}
