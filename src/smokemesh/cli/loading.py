"""Any configuration file -> settings: ours for a master or an agent, or SmokePing's. For all programs and their reloads.

Here the floors meet: SmokePing's reader, its translation, our settings, and those who judge by alert patterns.
"""

import gc
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from smokemesh.analysis.alerts.matchers import parse_matcher
from smokemesh.analysis.alerts.patterns import parse_pattern
from smokemesh.errors import ConfigError
from smokemesh.settings.agent import load_agent
from smokemesh.settings.disk import list_yaml, read_text
from smokemesh.settings.filetype import file_type, is_smokeping
from smokemesh.settings.master import load_master, read_file, settings_from
from smokemesh.settings.plain import nodes
from smokemesh.settings.reference import SECTIONS
from smokemesh.settings.shape import AgentSettings, MasterSettings
from smokemesh.settings.yaml import parse


@dataclass(frozen=True, slots=True)
class Loaded:
    """A file as read."""

    #: master, agent or smokeping.
    kind: str
    settings: MasterSettings | AgentSettings
    #: SmokePing's file in the shape of our YAML.
    translated: dict[str, Any] | None = None


def load(file: str) -> Loaded:
    """The settings in a file of any kind. Raises ConfigError."""
    if looks_like_smokeping(file):
        values, settings = load_smokeping(file)
        return Loaded("smokeping", settings, values)
    if file_type(parse(read_file(file, read_text), file)) == "agent":
        return Loaded("agent", load_agent(file, read_text))
    return Loaded("master", _with_templates(_checked(load_master(file, read_text, list_yaml))))


def load_for_master(file: str) -> MasterSettings:
    """The settings of a master in a file of ours or of SmokePing's. Raises ConfigError."""
    if looks_like_smokeping(file):
        return load_smokeping(file)[1]
    return _with_templates(_checked(load_master(file, read_text, list_yaml)))


def looks_like_smokeping(file: str) -> bool:
    """Whether the file, or one it includes at once, has SmokePing's sections. A file that cannot be read has none."""
    try:
        with open(file, "rb") as held:
            text = held.read().removeprefix(b"\xef\xbb\xbf").decode("latin-1")
    except OSError:
        return False
    return is_smokeping(text)


def load_smokeping(file: str) -> tuple[dict[str, Any], MasterSettings]:
    """A SmokePing file in the shape of our YAML, and what it comes to. Raises ConfigError."""
    from smokemesh.settings.kinds import target_host
    from smokemesh.smokeping.config import parse as parse_smokeping
    from smokemesh.smokeping.translate import translate

    with _without_collecting():
        configuration = parse_smokeping(file, _read_bytes, _missing)
        made = translate(configuration, frozenset(SECTIONS["target"].settings), target_host().parse)
        settings = settings_from(nodes(made.values, made.places, file), configuration.files or (file,))
    settings = replace(
        settings, warnings=(*made.warnings, *settings.warnings), not_needed=(*settings.not_needed, *made.not_needed)
    )
    return made.values, _checked(settings)


@contextmanager
def _without_collecting() -> Iterator[None]:
    """Ten thousand targets are a million small objects and no garbage; looking through them takes a third of the time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _checked(settings: MasterSettings) -> MasterSettings:
    """The settings, when every pattern in them can be judged by. Raises ConfigError."""
    for name, alert in settings.alerts.items():
        try:
            if alert.type == "matcher":
                parse_matcher(alert.pattern)
            elif alert.type in ("loss", "rtt"):
                parse_pattern(alert.pattern, alert.type)
        except ValueError as error:
            file, line = settings.alert_places.get(name, ("", 0))
            raise ConfigError(f"alerts.{name}.pattern: {error}", file=file, line=line) from error
    return settings


def _with_templates(settings: MasterSettings) -> MasterSettings:
    """The settings, when every mail template they name is one. Raises ConfigError. SmokePing's are checked as it does."""
    from smokemesh.master.notify import template

    for file in {settings.alerting.template, *(alert.template for alert in settings.alerts.values())} - {""}:
        template.check(template.read(file), file)
    return settings


def _read_bytes(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _missing(path: str, kind: str) -> str:
    """What is wrong with a path that should lead to a directory, file, readable file, program or secrets file."""
    return next(iter(_problems(path, kind)), "")


def _problems(path: str, kind: str) -> Iterator[str]:
    try:
        if kind == "program":
            if not (os.access(path, os.X_OK) or shutil.which(path)):
                yield "is no program on this host"
        elif kind == "directory":
            if not os.path.isdir(path):
                yield "is no directory on this host"
        elif not os.path.isfile(path):
            if kind != "secrets":  # only slaves are missed without them, and they are told
                yield "is no file on this host"
        elif kind == "readable" and not os.access(path, os.R_OK):
            yield "cannot be read"
        elif kind == "secrets" and stat.S_IMODE(os.stat(path).st_mode) & 0o006:
            yield f"can be read or written by others; run: chmod o-rw {path}"
    except (OSError, ValueError) as error:
        yield f"cannot be looked at: {getattr(error, 'strerror', None) or error}"
