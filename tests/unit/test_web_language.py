"""The catalogues hold the same texts in every language, and every text is used."""

import json
import re
import string
from pathlib import Path

import pytest

from smokemesh.master.web import language
from smokemesh.master.web.language import catalogue
from smokemesh.master.web.rule_words import rule_words
from smokemesh.model.alert import Alert
from smokemesh.model.rounds import Flag

SOURCE = Path(language.__file__).parent
FRONTEND = Path(__file__).parents[2] / "frontend/src"


def texts(code: str) -> dict[str, str]:
    return language.catalogue(code).texts


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


@pytest.mark.parametrize("code", list(language.LANGUAGES))
def test_every_language_has_every_text_with_the_same_fields(code: str) -> None:
    english = texts("en")
    assert list(texts(code)) == list(english)
    assert {key: fields(text) for key, text in texts(code).items()} == {key: fields(t) for key, t in english.items()}
    assert all(text.strip() for text in texts(code).values())


def test_no_catalogue_has_a_key_twice() -> None:
    for path in (SOURCE / "languages").glob("*.json"):
        pairs: list[tuple[str, str]] = json.loads(path.read_text("utf-8"), object_pairs_hook=list)
        assert len(pairs) == len(dict(pairs)), path.name


def used() -> str:
    files = [*SOURCE.rglob("*.html"), *SOURCE.rglob("*.py"), SOURCE.parent / "query_api.py", *FRONTEND.glob("*.ts")]
    return "\n".join(path.read_text("utf-8") for path in files)


def test_every_text_is_used() -> None:
    source = used()
    families = re.compile(
        r"(state|long|theme|flag|scale|tip|view|chart|muted|what|sent|silence|measure|rule|trial|incident)_"
    )
    idle = [key for key in texts("en") if not families.match(key) and not re.search(rf"""["']{key}["']""", source)]
    assert idle == []


def test_every_key_that_is_asked_for_exists() -> None:
    asked = set(re.findall(r"""\bt(?:exts)?\(\s*["'](\w+)["']\s*[,)]""", used()))
    assert asked - set(texts("en")) == set()


def test_every_flag_has_words() -> None:
    assert [flag.name for flag in Flag if flag.value and f"flag_{(flag.name or '').lower()}" not in texts("en")] == []


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", "en"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("en-GB,en;q=0.9,zh;q=0.8", "en"),
        ("de-CH, zh-Hans-CN;q=0.4", "zh"),
        ("fr", "en"),
        ("zh;q=0.1, en;q=0.2", "en"),
        (";;;,q=9,\x00", "en"),
    ],
)
def test_the_browser_is_heard(accept: str, expected: str) -> None:
    assert language.negotiate(accept) == expected


def test_what_a_person_chose_comes_first() -> None:
    assert language.choose("zh", "en", "en") == "zh"
    assert language.choose("", "zh", "en") == "zh"
    assert language.choose("klingon", "../../etc", "zh") == "zh"


def test_a_missing_key_is_a_fault() -> None:
    with pytest.raises(KeyError):
        language.catalogue("en")("no_such_text")


def test_sentences_of_rules_have_the_blanks_their_language_wants() -> None:
    chinese, english = catalogue("zh"), catalogue("en")
    for rule, said in (
        (Alert(name="x", type="loss", pattern="==0%,==0%"), "2 轮丢包等于 0 %"),
        (Alert(name="x", type="rtt", pattern="<10,<10"), "2 轮 RTT 低于 10.0 ms"),
        (Alert(name="x", type="threshold", measure="loss", above=0.2, wait=300.0), "丢包高于 20 % 持续 5 分钟"),
    ):
        assert rule_words(rule, chinese) == said
    assert rule_words(Alert(name="x", type="loss", pattern="==0%,==0%"), english) == "2 rounds with loss exactly 0 %"


def test_chinese_pages_have_one_word_for_an_agent() -> None:
    texts = " ".join(catalogue("zh").texts.values())
    assert "代理" not in texts
    assert "探测节点" not in texts
