"""`alerts` and `alerting` -> rules and receivers, every name in them checked. Patterns are parsed where they are judged."""

import posixpath
from typing import Any

from smokemesh.model.alert import Alert, Alerting, Mail, Receiver
from smokemesh.settings.reference import SECTIONS
from smokemesh.settings.sections import Read, check_only
from smokemesh.settings.tree import check_receiver

_PATTERNS = ("loss", "rtt", "matcher")
#: Keys of the file -> fields of the rule, where they differ.
_FIELDS = {"for": "wait", "clear_for": "clear_wait"}


def read_alerting(read: Read) -> Alerting:
    """What holds for all alerts. Raises ConfigError."""
    values = read.values
    receivers = {name: _receiver(name, entry) for name, entry in values.get("receivers", {}).items()}
    for receiver in values.get("to", ()):
        check_receiver(read, "to", receiver, frozenset(receivers))
    return Alerting(
        to=values.get("to", ()),
        compat="" if values.get("compat", "none") == "none" else values["compat"],
        edge=values.get("edge", True),
        template=beside_file(read, "template"),
        mail=_mail(read.section("mail"), values.get("from", "")),
        receivers=receivers,
        snpp=values.get("snpp", ""),
        url=values.get("url", "").rstrip("/"),
    )


def read_alerts(named: dict[str, Read], alerting: Alerting) -> dict[str, Alert]:
    """The rules. Raises ConfigError."""
    return {name: _alert(name, entry, frozenset(alerting.receivers)) for name, entry in named.items()}


def beside_file(read: Read, key: str) -> str:
    """A path as written: relative to the directory of the file it stands in; "" when it was not written."""
    if key not in read.values:
        return ""
    return posixpath.join(posixpath.dirname(read.node.entries[key].file), read.values[key])


def _mail(read: Read, sender: str) -> Mail:
    values = {key: value for key, value in read.values.items() if key not in ("password_file", "ca_file")}
    if "user" in values and not {"password", "password_file"} & set(read.values):
        raise read.error("user", "needs a password; write password_file: secrets/mail")
    password, ca_file = beside_file(read, "password_file"), beside_file(read, "ca_file")
    return Mail(**values, sender=sender, password_file=password, ca_file=ca_file)


def _receiver(name: str, read: Read) -> Receiver:
    kind = read.values["type"]
    check_only(read, SECTIONS["receiver"], "type", kind, "receivers")
    needed = {"mail": ("to",), "program": ("command",)}.get(kind, ("url", "url_file"))
    if not any(read.values.get(key) for key in needed):
        example = SECTIONS["receiver"].settings[needed[0]].example
        raise read.error("type", f"{kind} needs {' or '.join(needed)}; write {needed[0]}: {example}")
    values = dict(read.values)
    for key in ("url_file", "secret_file", "ca_file"):
        if key in values:
            values[key] = beside_file(read, key)
    return Receiver(name=name, **values)


def _alert(name: str, read: Read, receivers: frozenset[str]) -> Alert:
    values = dict(read.values)
    check_only(read, SECTIONS["alert"], "type", values["type"], "alerts")
    for receiver in values.get("to", ()):
        check_receiver(read, "to", receiver, receivers)
    if values["type"] in _PATTERNS and "pattern" not in values:
        example = SECTIONS["alert"].settings["pattern"].example
        raise read.node.error("", f"{read.where}.pattern is missing; write pattern: {example}")
    for key in ("above", "below"):
        if key in values:
            values[key] = _bound(read, key)
    if values["type"] == "threshold" and not {"above", "below"} & set(values):
        raise read.error("type", "threshold needs a bound; write above: 20%")
    if "template" in values:
        values["template"] = beside_file(read, "template")
    return Alert(name=name, **{_FIELDS.get(key, key): value for key, value in values.items()})


def _bound(read: Read, key: str) -> float:
    """A share for loss, seconds for all else."""
    number, unit = read.values[key]
    measure = read.values.get("measure", "loss")
    if measure == "loss" and (unit == "time" or number > 1):
        raise read.error(key, "loss is a share; write one like 20% or 0.2")
    if measure != "loss" and unit != "time":
        raise read.error(key, f"{measure} is a time; write one like 150ms")
    return float(number)


def alert_places(named: dict[str, Read]) -> dict[str, tuple[str, int]]:
    """File and line of each rule's pattern, for complaints of those who parse it."""
    places: dict[str, Any] = {}
    for name, read in named.items():
        node = read.node.entries.get("pattern", read.node)
        places[name] = (node.file, node.line)
    return places
