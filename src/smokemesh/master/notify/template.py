"""Mail templates: header lines, an empty line, a body; `<##KEY##>` stands for what is known of the alert.

SmokePing's keys are ALERT WHAT LINE URL STAMP PAT LOSS RTT COMMENT; ours besides are TITLE HOST AGENTS SINCE STATE
RULE DETAIL INCIDENT.
"""

import html
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from smokemesh.errors import ConfigError
from smokemesh.master.notify import words
from smokemesh.model.alert import Alerting, Notice

DEFAULT: Final = """\
Subject: [SmokeAlert] <##ALERT##> <##WHAT##> on <##LINE##>

<##ALERT##> <##WHAT##> on <##LINE##>

What    <##TITLE##> (<##HOST##>)
When    <##SINCE##>
State   <##STATE##>
Seen by <##AGENTS##>
Rule    <##RULE##>

Judged rounds, oldest first
        <##LOSS##>
        <##RTT##>

<##COMMENT##>

<##URL##>
<##INCIDENT##>
"""
#: Headers that are ours to write.
OWN: Final = frozenset(("to", "cc", "bcc", "from", "date", "message-id", "mime-version", "content-transfer-encoding"))

_KEY = re.compile(r"<##([A-Z]+)##>")
_HEADER = re.compile(r"([!-9;-~]+)[ \t]*:[ \t]*(.*)")
#: What would begin another line in a header, or mean nothing in one.
_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]+")


@dataclass(frozen=True, slots=True)
class Filled:
    """A mail's own headers and its body."""

    headers: tuple[tuple[str, str], ...]
    body: str
    html: bool = False


def read(file: str) -> str:
    """A template's text; older ones are Latin-1. Raises ConfigError."""
    try:
        raw = Path(file).read_bytes()
    except OSError as error:
        raise ConfigError(f"mail template cannot be read: {error.strerror}", file=file) from error
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def check(text: str, file: str) -> None:
    """Whether this can be a template. Raises ConfigError."""
    headers, _ = _split(text, file)
    if not any(name.lower() == "subject" for name, _ in headers):
        raise ConfigError("mail template has no Subject: among its header lines; add one", file=file)


def fill(text: str, notice: Notice, alerting: Alerting, file: str = "") -> Filled:
    """A template with what is known of this alert. Raises ConfigError for what is no template."""
    check(text, file)
    lines, body = _split(text, file)
    values = keys(notice, alerting)
    headers = {name.lower(): (name, _one_line(_put(value, values))) for name, value in lines if name.lower() not in OWN}
    is_html = headers.pop("content-type", ("", ""))[1].lower().startswith("text/html")
    told = {key: html.escape(value) for key, value in values.items()} if is_html else values
    return Filled(tuple(headers.values()), _tidy(_put(body, told)), is_html)


def keys(notice: Notice, alerting: Alerting) -> dict[str, str]:
    """Key -> text."""
    return {
        "ALERT": notice.alert,
        "WHAT": words.what(notice),
        "LINE": words.line(notice),
        "URL": words.target_url(notice, alerting),
        "STAMP": words.stamp(notice.time),
        "PAT": notice.pattern,
        "LOSS": words.loss_text(notice),
        "RTT": words.rtt_text(notice),
        "COMMENT": notice.comment,
        "TITLE": notice.title or notice.target,
        "HOST": notice.host,
        "AGENTS": words.from_where(notice),
        "SINCE": words.since(notice),
        "STATE": words.how_bad(notice),
        "RULE": "; ".join(part for part in (notice.pattern, notice.detail) if part) or notice.alert,
        "DETAIL": notice.detail,
        "INCIDENT": words.incident_url(notice, alerting),
    }


def _split(text: str, file: str) -> tuple[list[tuple[str, str]], str]:
    """The header lines, folded ones joined, and the body."""
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").split("\n")
    end = lines.index("") if "" in lines else len(lines)
    headers: list[tuple[str, str]] = []
    for number, line in enumerate(lines[:end], 1):
        found = _HEADER.fullmatch(line)
        if found:
            headers.append((found[1], found[2]))
        elif headers and line[:1] in " \t":
            headers[-1] = (headers[-1][0], f"{headers[-1][1]} {line.strip()}")
        else:
            raise ConfigError(
                f"mail template: {line[:40]!r} is no header line; begin with lines like `Subject: <##ALERT##>`"
                " and leave one empty before the text",
                file=file, line=number,
            )  # fmt: skip
    if not headers:
        raise ConfigError("mail template must begin with header lines, like `Subject: <##ALERT##>`", file=file, line=1)
    return headers, "\n".join(lines[end + 1 :])


def _put(text: str, values: dict[str, str]) -> str:
    """In one pass, so that what a comment says is never taken for a key. A key nobody knows stays as it stands."""
    return _KEY.sub(lambda found: values.get(found[1], found[0]), text)


def _one_line(text: str) -> str:
    return _CONTROL.sub(" ", text).strip()


def _tidy(body: str) -> str:
    """Without the holes that empty values leave."""
    return re.sub(r"\n\s*\n(\s*\n)+", "\n\n", body).rstrip() + "\n"
