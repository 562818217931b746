"""The agents this master knows: the secrets they sign with, and when and how each was last heard.

Secrets are read from files that only their user may read. Lives in the event loop.
"""

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass

from smokemesh.errors import ConfigError, HostError
from smokemesh.master.slave_secrets import SecretsFile
from smokemesh.model.agent import Health
from smokemesh.settings.secrets import parse_secret, secret_problem
from smokemesh.settings.shape import LOCAL_AGENT, MasterSettings

log = logging.getLogger(__name__)

#: Directory below the data directory where secrets lie that the configuration gives no file for.
SECRETS = "secrets"


@dataclass(frozen=True, slots=True)
class Sighting:
    """The last heartbeat of an agent."""

    #: When it arrived by the master's clock, nanoseconds UTC.
    seen: int
    health: Health
    #: The agent's clock minus the master's when the heartbeat arrived, seconds; the way there is part of it.
    clock_offset: float


def read_secret(path: str) -> bytes:
    """The secret in a file. Raises HostError when others can read it, or we cannot; ConfigError when it is none."""
    try:
        # The open file is judged, not its name: nobody swaps it in between.
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            problem = secret_problem(path, status.st_mode, status.st_uid, os.geteuid())
            if problem:
                raise HostError(problem)
            return parse_secret(file.read(65_536), path)
    except OSError as error:
        raise HostError(f"secret file {path}: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(str(error)) from error


def read_secrets(settings: MasterSettings, data_dir: str) -> dict[str, bytes]:
    """Agent -> secret, for each agent that has one. An agent without stays unknown: it can sign nothing we accept."""
    secrets = {}
    slaves = SecretsFile(settings.smokeping.secrets_file)
    for name in {*settings.agents, LOCAL_AGENT}:
        agent = settings.agents.get(name)
        named = agent.secret_file if agent else ""
        path = named or default_secret_file(data_dir, name)
        if named or os.path.exists(path):
            secrets[name] = read_secret(path)
        elif secret := _of_slave(slaves, name):
            secrets[name] = secret
    return secrets


def _of_slave(file: SecretsFile, agent: str) -> bytes | None:
    """What SmokePing's file of secrets has; when it cannot be used, those who ask are told, and all others work."""
    try:
        return file.find(agent)
    except HostError as error:
        log.warning("secrets file cannot be used: file=%s agent=%s reason=%r", file.path, agent, str(error))
        return None


def default_secret_file(data_dir: str, agent: str) -> str:
    """Where the secret of an agent lies when the configuration does not say."""
    return os.path.join(data_dir, SECRETS, agent)


class Registry:
    """Secrets and sightings by agent."""

    def __init__(self, secrets: Mapping[str, bytes], sightings: Mapping[str, Sighting] | None = None) -> None:
        self._secrets = dict(secrets)
        self._sightings = dict(sightings or {})

    def replace(self, secrets: Mapping[str, bytes]) -> None:
        """Know these agents from now on; what was seen of others is kept."""
        self._secrets = dict(secrets)

    def secret_of(self, agent: str) -> bytes | None:
        """The secret it signs with, None when it is unknown."""
        return self._secrets.get(agent)

    def without_secret(self, settings: MasterSettings) -> list[str]:
        """Configured agents that cannot sign in because they have no secret."""
        return sorted(name for name in settings.agents if name not in self._secrets)

    def saw(self, agent: str, health: Health, now: int) -> Sighting:
        """Remember a heartbeat."""
        sighting = Sighting(seen=now, health=health, clock_offset=(health.clock - now) / 1e9)
        self._sightings[agent] = sighting
        return sighting

    def last(self, agent: str) -> Sighting | None:
        """The last heartbeat, None when there was none."""
        return self._sightings.get(agent)

    def sightings(self) -> Mapping[str, Sighting]:
        """The last heartbeat of every agent that was ever heard."""
        return self._sightings
