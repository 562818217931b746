"""A YAML mapping read by the table of `settings.reference`: checked values that still know where they stand."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from smokemesh.errors import ConfigError
from smokemesh.settings.entry import Section, Setting
from smokemesh.settings.kinds import Kind, name
from smokemesh.settings.reference import SECTIONS
from smokemesh.settings.yaml import Mapping, Node, Scalar, Sequence, error_at

_NAMES = name()


@dataclass(frozen=True, slots=True)
class Read:
    """One section as read: only the keys that were written."""

    #: Where it stands in the file, as people would say it: `probes.ping`; "" for the whole file.
    where: str
    node: Mapping
    values: dict[str, Any] = field(default_factory=dict)

    def section(self, key: str) -> "Read":
        """The section a key holds; an empty one when it was not written."""
        return self.values.get(key) or Read(join(self.where, key), self.node)

    def error(self, key: str, message: str) -> ConfigError:
        """What is wrong with the value of a key."""
        value = self.node.entries.get(key)
        text = f"{join(self.where, key)}: {message}"
        return error_at(value, text) if value is not None else self.node.error(key, text)


def join(where: str, key: str) -> str:
    """The name of a key below another."""
    return f"{where}.{key}" if where else key


def read_section(node: Node, section: Section, where: str, skip: Iterable[str] = (), given: Iterable[str] = ()) -> Read:
    """All settings of a section; keys in `skip` are the caller's, those in `given` need not be written.

    Raises ConfigError.
    """
    mapping = as_mapping(node, where)
    out, skip = Read(where, mapping), frozenset(skip)  # a place may have thousands of children
    for key, value in mapping.entries.items():
        if key in section.settings and key not in skip:
            out.values[key] = _read_setting(value, section.settings[key], join(where, key))
    for key in mapping.entries:  # after the known ones: that a kind of probe is unknown explains the keys it would have
        if key not in section.settings and key not in skip:
            raise mapping.error(key, unknown_key(key, section, where))
    for setting in section.settings.values():
        if setting.required and setting.key not in out.values and setting.key not in given:
            raise error_at(mapping, f"{join(where, setting.key)} is missing; write {setting.key}: {setting.example}")
    return out


def as_mapping(node: Node, where: str) -> Mapping:
    """The node as a mapping; an empty value is an empty one."""
    if isinstance(node, Mapping):
        return node
    if isinstance(node, Scalar) and node.empty:
        return Mapping(file=node.file, line=node.line)
    raise error_at(node, f"{where or 'the file'}: {_found(node)} where settings belong; write one `key: value` a line")


def unknown_key(key: str, section: Section, where: str) -> str:
    """The message for a key that is no setting, with what was probably meant."""
    shown = shorten(key)
    if key in section.later:
        return f"{join(where, shown)}: is not in this version; remove it"
    if key in section.foreign:
        return f"{join(where, shown)}: unknown setting; here it is called {section.foreign[key]}"
    near = get_close_matches(key, section.settings, n=1, cutoff=0.7)
    if near:
        return f"{join(where, shown)}: unknown setting; did you mean {near[0]}?"
    return f"{join(where, shown)}: unknown setting; known here: {', '.join(section.settings)}"


def shorten(text: str) -> str:
    """Text as it may stand in a message: one line, not too long."""
    line = " ".join(text.split())
    line = "".join(c if c.isprintable() else "?" for c in line)
    return line if len(line) <= 60 else line[:57] + "..."


def _read_setting(node: Node, setting: Setting, where: str) -> Any:
    if setting.kind is not None:
        return read_value(node, setting.kind, where, setting.example)
    if setting.section == "target":
        return as_mapping(node, where)  # `settings.tree` reads it
    if setting.named:
        return _read_named(node, setting, where)
    if setting.listed:
        return _read_list(node, SECTIONS[setting.section], where)
    return read_section(node, SECTIONS[setting.section], where)


def _read_named(node: Node, setting: Setting, where: str) -> dict[str, Read]:
    mapping = as_mapping(node, where)
    out = {}
    for key, value in mapping.entries.items():
        check_name(mapping, key, where, setting.names)
        out[key] = read_section(value, SECTIONS[setting.section], join(where, key))
    return out


def _read_list(node: Node, section: Section, where: str) -> tuple[Read, ...]:
    if not isinstance(node, Sequence):
        raise error_at(node, f"{where}: {_found(node)} where a list belongs; begin each of its items with a dash")
    return tuple(read_section(item, section, f"{where}[{number}]") for number, item in enumerate(node.items, 1))


def check_name(mapping: Mapping, key: str, where: str, names: Kind = _NAMES) -> None:
    """Raises ConfigError when a key cannot be a name."""
    try:
        names.parse(key)
    except ValueError as error:
        raise mapping.error(key, f'{where}: "{shorten(key)}" {error}') from None


def check_only(read: Read, section: Section, key: str, chosen: str, what: str) -> None:
    """Raises ConfigError when a setting was written that others have than the one chosen by `key` (`kind: icmp`)."""
    for written in read.values:
        only = section.settings[written].only
        if only and chosen not in only:
            owners = " or ".join(only)
            raise read.error(
                written, f"belongs to {what} of {key} {owners}, not {chosen}; remove it or write {key}: {only[0]}"
            )


def read_value(node: Node, kind: Kind, where: str, example: str) -> Any:
    """One value, list or mapping of values, as its kind says. Raises ConfigError."""
    if kind.free:
        return _plain(node)
    if kind.many:
        if not isinstance(node, Sequence):
            wanted = f"[{shorten(node.text)}]" if isinstance(node, Scalar) and not node.empty else example
            raise error_at(node, f"{where}: {_found(node)} where a list belongs; write {wanted}")
        return tuple(_read_scalar(item, kind.parse, where, example) for item in node.items)
    if kind.keyed:
        if not isinstance(node, Mapping):
            raise error_at(node, f"{where}: {_found(node)} where a mapping belongs; write {example}")
        for key in node.entries:
            check_name(node, key, where, kind.keys or _NAMES)
        return {k: _read_scalar(v, kind.parse, join(where, k), example) for k, v in node.entries.items()}
    return _read_scalar(node, kind.parse, where, example)


def _plain(node: Node) -> Any:
    """Text, lists and mappings, as written."""
    if isinstance(node, Scalar):
        return "" if node.empty else node.text
    if isinstance(node, Sequence):
        return [_plain(item) for item in node.items]
    return {key: _plain(value) for key, value in node.entries.items()}


def _read_scalar(node: Node, parse: Callable[[str], Any], where: str, example: str) -> Any:
    if not isinstance(node, Scalar):
        raise error_at(node, f"{where}: {_found(node)} where a single value belongs; write one like {example}")
    if node.empty:
        raise error_at(
            node, f"{where}: nothing stands after the colon; write a value like {example} or remove the line"
        )
    try:
        return parse(node.text)
    except ValueError as error:
        raise error_at(node, f'{where}: "{shorten(node.text)}" {error}') from None


def _found(node: Node) -> str:
    if isinstance(node, Scalar):
        return "nothing" if node.empty else f'"{shorten(node.text)}"'
    return "a list" if isinstance(node, Sequence) else "a mapping"
