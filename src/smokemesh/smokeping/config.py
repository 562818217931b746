"""A SmokePing file becomes the `Configuration` that SmokePing itself makes of it, or one ConfigError.

What SmokePing refuses is refused here, but for files, directories and programs that only SmokePing needs: those are
warnings. Text is decoded at the end: a file is UTF-8, else what Presentation's `charset` names, else Latin-1.
"""

import re
from collections.abc import Callable
from typing import Final

from smokemesh.smokeping import variables
from smokemesh.smokeping.drafts import NOWHERE, Draft, Tree
from smokemesh.smokeping.grammar import Reader
from smokemesh.smokeping.shape import Configuration, Section

_CHARSET: Final = re.compile(r"[A-Za-z][-_.:0-9A-Za-z]{1,30}", re.ASCII)
#: GB 18030 holds what its forerunners hold, and what people wrote under their names.
_WIDER: Final = {"gb2312": "gb18030", "gbk": "gb18030", "iso-8859-1": "cp1252", "latin1": "cp1252"}


def parse(
    path: str, read: Callable[[str], bytes], exists: Callable[[str, str], str] = lambda path, kind: ""
) -> Configuration:
    """The configuration in the file of that path. Raises ConfigError.

    `exists(path, kind)` gives "" or what is wrong with a path that should lead to a `directory`, a `file`, something
    `readable`, a `program`, or `secrets` (a file that others may neither read nor write). Without it all is taken as fine.
    """
    reader = Reader(lambda name: read(_real(name)))
    held = path.encode("utf-8", "surrogateescape").decode("latin-1")
    tree = Tree(held, lambda name, kind: exists(_real(name), kind), lambda name: _template(name, read))
    for statement in reader.statements(held):
        tree.take(statement)
    tree.close()
    _add_colors(tree)
    warnings = (*reader.warnings, *tree.warnings)
    return _configuration(
        tree, Text(reader.files, _charset(tree)), tuple(_real(name) for name in reader.files), warnings
    )


class Text:
    """Turns what was read into characters, each file by its own encoding."""

    def __init__(self, files: dict[str, bytes], charset: str) -> None:
        self._codecs = {name: codec_of(data, charset) for name, data in files.items()}

    def __call__(self, held: str, file: str) -> str:
        """Text as it was meant, written in that file."""
        if held.isascii():
            return held
        data = held.encode("latin-1")
        codec = self._codecs.get(file, "latin-1")
        return data.decode(codec_of(data, "") if codec == "latin-1" else codec, "replace")  # files of two encodings


def codec_of(data: bytes, charset: str) -> str:
    """UTF-8 where all of it is, else the charset where all of it is, else Latin-1."""
    for codec in ("utf-8", _WIDER.get(charset.lower(), charset) if _CHARSET.fullmatch(charset) else ""):
        try:
            if codec:
                data.decode(codec)
                return codec
        except (LookupError, ValueError):
            continue
    return "latin-1"


def _configuration(tree: Tree, text: Text, files: tuple[str, ...], warnings: tuple[str, ...]) -> Configuration:
    parts = {name: _section(draft, text) for name, draft in tree.top.children.items()}
    return Configuration(
        general=parts["General"],
        database=parts["Database"],
        presentation=parts["Presentation"],
        probes=parts["Probes"],
        targets=parts["Targets"],
        alerts=parts.get("Alerts"),
        slaves=parts.get("Slaves"),
        influxdb=parts.get("InfluxDB"),
        files=files,
        warnings=warnings,
    )


def _section(draft: Draft, text: Text) -> Section:
    file = draft.place.file
    where = draft.places
    return Section(
        name=text(draft.name, file),
        variables={text(n, where[n].file): text(value, where[n].file) for n, value in draft.values.items()},
        explicit=tuple(text(n, where[n].file) for n in draft.explicit),
        table=tuple(tuple(text(column, file) for column in row) for row in draft.table),
        sections={text(n, child.place.file): _section(child, text) for n, child in draft.children.items()},
        file=_real(file),
        line=draft.place.line,
        lines={text(n, where[n].file): (_real(where[n].file), where[n].line) for n in draft.explicit},
    )


def _charset(tree: Tree) -> str:
    return tree.top.children["Presentation"].values.get("charset", "")


def _add_colors(tree: Tree) -> None:
    """SmokePing adds the colours of several hosts when they are not written."""
    presentation = tree.top.children["Presentation"]
    draft = presentation.children.setdefault(
        "multihost", Draft("multihost", NOWHERE, 2, presentation.form.sections["multihost"], presentation)
    )
    if not draft.values.get("colors"):
        draft.values["colors"], draft.places["colors"] = variables.MULTIHOST_COLORS, NOWHERE


def _template(held: str, read: Callable[[str], bytes]) -> str:
    """What is wrong with a mail template; "" when it has headers and a subject."""
    try:
        lines = read(_real(held)).split(b"\n")
    except (OSError, ValueError) as error:
        return (
            f"cannot be read ({getattr(error, 'strerror', None) or 'no file name'}); write the path of a readable file"
        )
    subject = False
    for line in lines:
        subject = subject or line.startswith(b"Subject: ")
        if not line:
            break
        if not re.match(rb"\S+: ", line):
            return "the file does not begin with lines of a mail's header; begin it with To: and Subject:"
    return "" if subject else "the file has no line Subject: in its header; write one"


def _real(held: str) -> str:
    """A path as the system knows it."""
    return held.encode("latin-1").decode("utf-8", "surrogateescape")
