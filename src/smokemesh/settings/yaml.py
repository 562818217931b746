"""YAML text -> nodes that know their file and line.

Scalars stay text: what `0000ff`, `on` or `1:30` means is decided by the setting that holds it, so none of YAML's
guesses (octal numbers, `no` as false, base-60 times) can change what a person wrote. Anchors and `<<` work. Refused,
with the line: a key written twice, a tab as indent, a second document, tags, and texts that unfold without bound.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from smokemesh.errors import ConfigError

#: Bounds for hostile or broken files; a hundred thousand targets stay well below each.
MOST_TEXT: Final = 64 * 2**20
MOST_NODES: Final = 4_000_000
MOST_DEPTH: Final = 120

_TAGS: Final = {"!", *(f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "map", "seq"))}
_NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Scalar:
    """One value, as written."""

    file: str
    line: int
    text: str
    quoted: bool = False

    @property
    def empty(self) -> bool:
        """Nothing was written, or YAML's word for nothing."""
        return not self.quoted and self.text in _NULLS


@dataclass(frozen=True, slots=True, kw_only=True)
class Sequence:
    """A list of values."""

    file: str
    line: int
    items: tuple["Node", ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapping:
    """Keys and their values, in the order of the file."""

    file: str
    line: int
    entries: dict[str, "Node"] = field(default_factory=dict)
    #: The line each key stands on.
    lines: dict[str, int] = field(default_factory=dict)
    #: The file each key stands in, where it is another than `file` (merged from several).
    files: dict[str, str] = field(default_factory=dict)

    def error(self, key: str, message: str) -> ConfigError:
        """What is wrong with a key."""
        return ConfigError(message, file=self.files.get(key, self.file), line=self.lines.get(key, self.line))


Node = Scalar | Sequence | Mapping


def error_at(node: Node, message: str) -> ConfigError:
    """What is wrong with a value."""
    return ConfigError(message, file=node.file, line=node.line)


def parse(text: str, file: str) -> Node:
    """The one document in `text`. Raises ConfigError when it is not YAML, or not YAML as this file takes it."""
    if len(text) > MOST_TEXT:
        raise ConfigError(f"the file has {len(text)} characters; split it, {MOST_TEXT} is the most", file=file)
    builder = _Builder(file)
    for event in _events(text, file):
        builder.take(event)
    return builder.root or Scalar(file=file, line=1, text="")


def _events(text: str, file: str) -> Iterator[Any]:
    import yaml  # here, because `smokemesh ping` has no use for it

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml: twenty times faster
    try:
        yield from yaml.parse(text.removeprefix("\ufeff"), Loader=loader)
    except yaml.MarkedYAMLError as error:
        raise _refusal(error, text, file) from error
    except yaml.YAMLError as error:
        raise ConfigError(f"not YAML: {' '.join(str(error).split())}", file=file) from error
    except UnicodeError as error:
        raise ConfigError(f"not text: {error}", file=file) from error


def _refusal(error: Any, text: str, file: str) -> ConfigError:
    """The parser's complaint, on the line a person should look at."""
    problem, mark = error.problem or "", error.problem_mark or error.context_mark
    lines = text.splitlines()
    line = mark.line if mark else 0
    if "cannot start any token" in problem and line < len(lines) and lines[line][mark.column : mark.column + 1] == "\t":
        return ConfigError("a tab; indent with spaces", file=file, line=line + 1)
    cure = ""
    if error.context_mark and any(word in (error.context or "") for word in ("flow", "quoted")):
        line, cure = error.context_mark.line, "; close the bracket or quote that opens here"
    elif "mapping values are not allowed" in problem:
        cure = "; put text that holds a colon and a blank in quotes"
    elif "expected <block end>" in problem or "could not find expected ':'" in problem:
        cure = "; look at the indentation of this line and the colon of the line above"
    return ConfigError(f"not YAML: {problem}{cure}", file=file, line=line + 1)


@dataclass(slots=True)
class _Open:
    """A list or mapping whose end has not been read."""

    line: int
    anchor: str | None
    keyed: bool
    items: list[Node] = field(default_factory=list)
    entries: dict[str, Node] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)
    merged: list[Mapping] = field(default_factory=list)
    key: str | None = None
    size: int = 1


class _Builder:
    """Takes parser events one by one; `root` is the document."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.root: Node | None = None
        self._open: list[_Open] = []
        self._anchors: dict[str, tuple[Node, int] | None] = {}

    def take(self, event: Any) -> None:
        """One event of PyYAML's parser."""
        line = event.start_mark.line + 1
        match type(event).__name__:
            case "DocumentStartEvent" if self.root is not None:
                raise self._error(line, "a second document begins here; a file holds one, remove the `---`")
            case "MappingStartEvent" | "SequenceStartEvent" as name:
                self._begin(event, line, keyed=name == "MappingStartEvent")
            case "MappingEndEvent" | "SequenceEndEvent":
                self._end()
            case "AliasEvent":
                node, size = self._find(event.anchor, line)
                self._place(node, size, line, None)
            case "ScalarEvent":
                self._refuse_tag(event, line)
                scalar = Scalar(file=self.file, line=line, text=event.value, quoted=bool(event.style))
                self._place(scalar, 1, line, event.anchor)

    def _begin(self, event: Any, line: int, keyed: bool) -> None:
        self._refuse_tag(event, line)
        if self._open and self._open[-1].keyed and self._open[-1].key is None:
            raise self._error(line, "a key is a list or mapping; write a word")
        if len(self._open) >= MOST_DEPTH:
            raise self._error(line, f"nested deeper than {MOST_DEPTH} levels; make the tree flatter")
        if event.anchor:
            self._anchors[event.anchor] = None
        self._open.append(_Open(line, event.anchor, keyed))

    def _end(self) -> None:
        done = self._open.pop()
        node: Node
        if done.keyed:
            for mapping in done.merged:
                for key, value in mapping.entries.items():
                    done.entries.setdefault(key, value)
                    done.lines.setdefault(key, mapping.lines[key])
            node = Mapping(file=self.file, line=done.line, entries=done.entries, lines=done.lines)
        else:
            node = Sequence(file=self.file, line=done.line, items=tuple(done.items))
        self._place(node, done.size, done.line, done.anchor)

    def _place(self, node: Node, size: int, line: int, anchor: str | None) -> None:
        """Put a whole node where the document has it: as key, as value, as item, or as the root."""
        if anchor:
            self._anchors[anchor] = node, size
        if not self._open:
            self.root = node
            return
        into = self._open[-1]
        into.size += size
        if into.size > MOST_NODES:
            raise self._error(line, f"unfolds to more than {MOST_NODES} values; use fewer anchors")
        if not into.keyed:
            into.items.append(node)
        elif into.key is None:
            into.key = self._key(into, node, line)
        elif into.key == "<<":
            into.merged += self._mergeable(node, line)
            into.key = None
        else:
            into.entries[into.key] = node
            into.key = None

    def _key(self, into: _Open, node: Node, line: int) -> str:
        if not isinstance(node, Scalar):
            raise self._error(line, "a key is a list or mapping; write a word")
        if node.text != "<<":
            if node.text in into.lines:
                path = ".".join([*(o.key for o in self._open[:-1] if o.key is not None), node.text])
                raise self._error(
                    line, f"duplicate {path}: first on line {into.lines[node.text]}; remove one or rename it"
                )
            into.lines[node.text] = line
        return node.text

    def _mergeable(self, node: Node, line: int) -> list[Mapping]:
        found = list(node.items) if isinstance(node, Sequence) else [node]
        mappings = [each for each in found if isinstance(each, Mapping)]
        if len(mappings) < len(found):
            raise self._error(line, "<< takes a mapping; write `<<: *name` of one that has an anchor `&name`")
        return mappings

    def _find(self, anchor: str, line: int) -> tuple[Node, int]:
        if anchor not in self._anchors:
            raise self._error(line, f"*{anchor}: nothing before this line is called &{anchor}")
        found = self._anchors[anchor]
        if found is None:
            raise self._error(line, f"*{anchor} stands inside &{anchor} itself")
        return found

    def _refuse_tag(self, event: Any, line: int) -> None:
        if event.tag and event.tag not in _TAGS:
            raise self._error(line, f"tag {event.tag}: remove it, values need none here")

    def _error(self, line: int, message: str) -> ConfigError:
        return ConfigError(message, file=self.file, line=line)
