"""Remarks of SmokePing's files are HTML: what may stand on our pages of it. The rest is shown as the text it is."""

from html import escape
from html.parser import HTMLParser
from typing import Final
from urllib.parse import urlsplit

from markupsafe import Markup

_INLINE: Final = frozenset({"a", "b", "strong", "i", "em", "u", "s", "tt", "code", "small", "sub", "sup"})
_BLOCK: Final = frozenset({"p", "ul", "ol", "li", "pre", "blockquote", "div"})
_EMPTY: Final = frozenset({"br", "hr"})
#: Elements whose content is no text for people.
_DROPPED: Final = frozenset({"script", "style", "iframe", "object", "template", "title"})
_SCHEMES: Final = frozenset({"http", "https", "mailto", ""})


class _Sieve(HTMLParser):
    """Writes out what may stay; every element it opens is closed again."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.out: list[str] = []
        self.opened: list[str] = []
        self.dropped = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _DROPPED:
            self.dropped += 1
        elif tag in _EMPTY:
            self.out.append(f"<{tag}>")
        elif tag in _INLINE | _BLOCK:
            self.opened.append(tag)
            self.out.append(f"<{tag}{_link(attrs) if tag == 'a' else ''}>")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _EMPTY:
            self.out.append(f"<{tag}>")

    def handle_endtag(self, tag: str) -> None:
        if tag in _DROPPED:
            self.dropped = max(0, self.dropped - 1)
        if tag not in self.opened:
            return
        while self.opened:
            last = self.opened.pop()
            self.out.append(f"</{last}>")
            if last == tag:
                break

    def handle_data(self, data: str) -> None:
        if not self.dropped:
            self.out.append(escape(data))


def _link(attrs: list[tuple[str, str | None]]) -> str:
    """The address of a link, when it is one that a browser only goes to."""
    address = "".join((dict(attrs).get("href") or "").split())
    try:
        sound = urlsplit(address).scheme.lower() in _SCHEMES
    except ValueError:
        sound = False
    if not address or not sound:
        return ""
    return f' href="{escape(address)}" rel="noopener noreferrer"'


def remark(text: str) -> Markup:
    """A remark as safe HTML: a few elements without attributes, links, and text."""
    sieve = _Sieve()
    sieve.feed(text)
    sieve.close()
    return Markup("".join([*sieve.out, *(f"</{tag}>" for tag in reversed(sieve.opened))]))
