"""Probes from what was written: target over probe over defaults, and only rounds that fit into their step.

A target that sets something anew gets a probe of its own, named after what differs (`ping#step=10s,pings=5`), so that
equal wishes share one probe and no other target's change renames it.
"""

import ipaddress
from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Any, Final

from smokemesh.errors import ConfigError
from smokemesh.model import tools
from smokemesh.model.options import KINDS, write
from smokemesh.model.probe import Probe
from smokemesh.settings.durations import format_duration
from smokemesh.settings.entries_probe import OPTION_KEYS, OPTIONS_OF, OVERRIDES
from smokemesh.settings.hidden import hide_option

#: The probe a target has when nothing names one.
DEFAULT: Final = "ping"
#: A derived name is cut off here and ends in a digest of all of it.
MOST_DERIVED: Final = 160
LONGEST_DEFAULT_TIMEOUT: Final = 1.5
#: A timeout nobody wrote takes at most this share of the step, so that short steps work without one.
TIMEOUT_SHARE: Final = 0.2

#: Makes the error for a key: where that key was written, in the words of that place.
Complain = Callable[[str, str], ConfigError]


def make_probe(name: str, values: Mapping[str, Any], complain: Complain) -> Probe:
    """The probe with these values. Raises what `complain` makes when its rounds cannot work."""
    given = {key: value for key, value in values.items() if value is not None and key not in OPTION_KEYS}
    given["options"] = make_options(given.get("kind", "icmp"), values)
    probe = Probe(name=name, **given)
    if "timeout" not in given:
        probe = Probe(name=name, **given, timeout=usual_timeout(probe.step))
    _check_options(probe.kind, values, complain)
    _check_fit(probe, complain)
    _check_source(probe, complain)
    return probe


def make_options(kind: str, values: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """The options of a probe as it holds them; `values` may hold more than options."""
    return write(KINDS[kind](**{key: values[key] for key in OPTIONS_OF[kind] if key in values}))


def usual_option(kind: str, key: str) -> Any:
    """What an option is when nobody wrote it."""
    return getattr(KINDS[kind](), key)


def _check_options(kind: str, values: Mapping[str, Any], complain: Complain) -> None:
    """What a probe cannot work without, or what contradicts itself."""
    if kind == "command":
        _check_command(values, complain)
    if kind == "dns" and values.get("require_nxdomain") and values.get("require_noerror"):
        raise complain("require_nxdomain", "contradicts require_noerror; remove one of them")
    if kind == "smtp" and values.get("to") and not values.get("sender"):
        raise complain("to", "a message needs a sender; write sender: probe@example.net")


def _check_command(values: Mapping[str, Any], complain: Complain) -> None:
    tool, argv, settings = (values.get(key, "") for key in ("tool", "argv", "settings"))
    if not tool and not argv:
        raise complain("argv", "a command is missing; write tool: NAME or argv: /path/of/program {host}")
    if tool and argv:
        raise complain("argv", f"contradicts tool: {tool}; remove one of them")
    if settings and not tool:
        raise complain("settings", "are those of a tool; write tool: NAME")
    if settings:
        try:
            tools.read(tool, settings)
        except ValueError as error:
            raise complain("settings", f"{error}; write key=value, one a line") from None


def usual_timeout(step: float) -> float:
    """The timeout of a probe for which nobody wrote one."""
    return min(LONGEST_DEFAULT_TIMEOUT, TIMEOUT_SHARE * step)


def derived_name(base: str, differing: Mapping[str, Any], path: str) -> str:
    """The name of a probe that differs from another; passwords are kept out of it, `path` tells such probes apart."""
    parts = [f"{key}={_spell(key, differing[key])}" for key in (*OVERRIDES, *OPTION_KEYS) if key in differing]
    if not parts:
        return base
    if any(hide_option(key, v) != v for key, v in differing.items() if key in OPTION_KEYS and isinstance(v, str)):
        parts.append(f"@{path}")
    told = "".join(c if c.isprintable() else "?" for c in ",".join(parts).replace(",@/", "@/"))
    if len(told) > MOST_DERIVED:
        told = f"{told[: MOST_DERIVED - 17]}~{blake2b(','.join(parts).encode(), digest_size=8).hexdigest()}"
    return f"{base}#{told}"


def _spell(key: str, value: Any) -> str:
    if key in ("step", "interval", "timeout", "offset"):
        return "spread" if value is None else format_duration(value)
    if key == "settings":
        return "+".join(line for line in value.splitlines() if hide_option(key, line) == line)
    if isinstance(value, bool):
        return str(value).lower()
    return hide_option(key, value) if isinstance(value, str) else str(value)


def _check_fit(probe: Probe, complain: Complain) -> None:
    """A round ends, late answers included, before the next begins."""
    if probe.offset is not None and probe.offset >= probe.step:
        step = format_duration(probe.step)
        raise complain("offset", f"{format_duration(probe.offset)} lies beyond the step; write less than {step}")
    if probe.duration <= probe.step * (1 + 1e-9):
        return
    step, spacing = format_duration(probe.step), format_duration(probe.spacing)
    takes = f"{probe.pings} pings {spacing} apart, answers awaited {format_duration(probe.patience)}"
    raise complain(
        _culprit(probe),
        f"a round takes {format_duration(probe.duration)} ({takes}) but begins every {step}; {_cure(probe)}",
    )


def _culprit(probe: Probe) -> str:
    """The key most to blame, for the line of the error."""
    if probe.patience > probe.step:
        return "timeout"
    return "pings" if probe.interval is None else "interval"


def _cure(probe: Probe) -> str:
    if probe.interval is None:  # pings are spread over 0.6 steps, so only the timeout can be too long
        return f"write timeout: {format_duration(_floor((probe.step - (probe.duration - probe.patience)) / 2))} or less"
    if probe.patience >= probe.step:
        return f"write timeout: {format_duration(_floor(probe.step / 4))} or less"
    fitting = 1 + int((probe.step - probe.patience) / probe.spacing)
    return f"write pings: {fitting} or less, or a longer step"


def _floor(seconds: float) -> float:
    """Down to the millisecond."""
    return int(seconds * 1000) / 1000


def _check_source(probe: Probe, complain: Complain) -> None:
    if probe.source and probe.family != "auto" and str(ipaddress.ip_address(probe.source).version) != probe.family:
        raise complain("source", f"{probe.source} is not IPv{probe.family}; write an IPv{probe.family} address")
