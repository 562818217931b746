"""Every text of the pages, in every language: one catalogue file per language, with the same keys.

A text may hold `{names}` that are filled in. A key that is missing is a fault of ours and raises KeyError.
"""

import functools
import json
import re
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final

from smokemesh.master.web import screen

#: Code in URLs and cookies -> what the html element says (BCP 47), in the order the switch offers them.
LANGUAGES: Final = {"en": "en", "zh": "zh-CN"}
DEFAULT: Final = "en"
#: A Chinese character.
_HAN: Final = "[\u4e00-\u9fff]"


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The texts of one language."""

    code: str
    texts: dict[str, str]

    def __call__(self, key: str, **values: Any) -> str:
        """The text under a key, filled in."""
        text = self.texts[key]
        return text.format(**values) if values else text

    def span(self, seconds: float | None) -> str:
        """A length of time, in the units of this language."""
        return screen.span(seconds, (self("unit_d"), self("unit_h"), self("unit_min"), self("unit_s")))

    def spaced(self, text: str) -> str:
        """A sentence put together from texts, with the blanks this language wants: Chinese only beside Latin words."""
        if self.code != "zh":
            return text
        text = re.sub(rf"(?<={_HAN}) +(?={_HAN})", "", text)
        return re.sub(rf"(?<={_HAN})(?=[A-Za-z0-9<])|(?<=[A-Za-z0-9%])(?={_HAN})", " ", text)

    @property
    def tag(self) -> str:
        """The language as HTML names it."""
        return LANGUAGES[self.code]


@functools.cache
def catalogue(code: str) -> Catalogue:
    """The texts of a language of LANGUAGES."""
    raw = (files(__package__) / "languages" / f"{code}.json").read_text("utf-8")
    return Catalogue(code, json.loads(raw))


def negotiate(accept: str) -> str:
    """The language a browser would like best, from its Accept-Language header (RFC 9110, 12.5.4)."""
    wishes = []
    for part in accept.split(","):
        match = re.fullmatch(r"\s*([A-Za-z]+|\*)(?:-[A-Za-z0-9-]+)?\s*(?:;\s*q=([01](?:\.\d{0,3})?))?\s*", part)
        if match and match[1].lower() in LANGUAGES:
            wishes.append((float(match[2] or 1), match[1].lower()))
    return max(wishes, key=lambda wish: wish[0])[1] if wishes else DEFAULT


def choose(asked: str, remembered: str, accept: str) -> str:
    """The language of a page: what the URL asks, else what the switch remembered, else the browser's wish."""
    for code in (asked, remembered):
        if code in LANGUAGES:
            return code
    return negotiate(accept)
