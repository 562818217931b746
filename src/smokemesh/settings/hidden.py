"""What is not shown of settings: passwords in URLs and tools' settings, request headers, where webhooks lead."""

import re
from typing import Final

from smokemesh.model import tools

#: What stands where something is hidden.
HIDDEN: Final = "***"
#: All up to the last @ before the next blank belongs to who logs in: a password may hold `:`, `/` and `@` as they are.
_WHO: Final = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<user>[^\s:/@?#]*)(?P<rest>\S*)@")
#: Parameters of a URL that are passwords.
_PARAMETER: Final = re.compile(
    r"(?i)(?<=[?&])(?P<key>[a-z0-9_.-]*(?:password|passwd|pwd|secret|token|key|signature))=[^&#\s]*"
)


def hide_url(text: str) -> str:
    """Text with URLs in it, without their passwords. A name alone (`https://token@host/`) is a password too."""
    return _PARAMETER.sub(rf"\g<key>={HIDDEN}", _WHO.sub(_hide_who, text))


def _hide_who(found: re.Match[str]) -> str:
    if found["rest"].startswith(":"):
        return f"{found['scheme']}://{found['user']}:{HIDDEN}@"
    alone = not found["rest"].startswith(("/", "?", "#")) and found["scheme"].lower() in ("http", "https")
    return f"{found['scheme']}://{HIDDEN}@" if alone else found[0]


def hide_path(url: str) -> str:
    """A URL of which only the server is told."""
    bare = hide_url(url)
    server = re.match(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#\s]*", bare)
    if server is None:
        return HIDDEN if url else ""
    return server[0] if server.end() == len(bare) else f"{server[0]}/{HIDDEN}"


def hide_settings(settings: str) -> str:
    """A tool's settings with passwords masked."""
    lines = [line.partition("=") for line in settings.splitlines()]
    return "\n".join(
        f"{key}={HIDDEN}" if key.strip() in tools.HIDDEN else f"{key}{eq}{hide_url(value)}" for key, eq, value in lines
    )


def hide_option(key: str, value: str) -> str:
    """An option of a probe (`model.options`) as it is shown."""
    if key == "settings":
        return hide_settings(value)
    if key == "headers":
        lines = [line.partition(":") for line in value.splitlines() if line.strip()]
        return "\n".join(f"{name.strip()}: {HIDDEN}" if colon else HIDDEN for name, colon, _ in lines)
    return hide_url(value)
