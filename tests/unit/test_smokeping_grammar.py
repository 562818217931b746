"""Lines become statements as SmokePing reads them."""

import pytest

from smokemesh.errors import ConfigError
from smokemesh.smokeping.grammar import (
    LONGEST_LINE,
    MOST_DEPTH,
    Header,
    Place,
    Reader,
    Row,
    Setting,
    beside,
    printable,
    split_fields,
    split_setting,
    statement,
)

HERE = Place("f", 1)


def lines(text: str, **others: str) -> list[tuple[int, str]]:
    """Statements of a text, as (line, "name=value" or "level name" or "|field|field")."""
    files = {"f": text, **others}
    found = []
    for one in Reader(lambda path: files[path].encode("latin-1")).statements("f"):
        said = (
            f"{one.level} {one.name}" if isinstance(one, Header)
            else f"{one.name}={one.value}" if isinstance(one, Setting)
            else "".join(f"|{field}" for field in one.fields)
        )  # fmt: skip
        found.append((one.place.line, said))
    return found


def refusal(text: str, **others: str) -> str:
    with pytest.raises(ConfigError) as caught:
        lines(text, **others)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("\n\n # x\n\t#\n", []),
        ("a = b", [(1, "a=b")]),
        ("a = b # c", [(1, "a=b")]),
        ("a = b#c\r\n", [(1, "a=b")]),
        ("\n\na = b \\\n  c\nd = e", [(3, "a=b  c"), (5, "d=e")]),
        ("a = b \\\n c # d\n", [(1, "a=b  c # d")]),
        ("a = b # c \\\nd = e", [(1, "a=b"), (2, "d=e")]),
        ("a = b\\", [(1, "a=b")]),
        ("a = b \\", [(1, "a=b ")]),
        ("a = \\\n\nb = c", [(1, "a="), (3, "b=c")]),
        ("\\\na = b", [(1, "||a|=|b")]),
        ("***A***\n*** B c ***\n***  ***\n******", [(1, "1 A"), (2, "1 B c"), (3, "1 "), (4, "1 ")]),
        ("*** A *** ***", [(1, "1 A ***")]),
        ("*****", [(1, "|*****")]),
        ("+A\n++ B\n+ + C\n+", [(1, "2 A"), (2, "3 B"), (3, "2 + C"), (4, "2 ")]),
        ("a\xa0= b", [(1, "a\xa0=b")]),
        ("\xa0a = b\x85", [(1, "\xa0a=b\x85")]),
    ],
)
def test_lines(text: str, expected: list[tuple[int, str]]) -> None:
    assert lines(text) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("a=b", ("a", "b")),
        ("a = b = c", ("a", "b = c")),
        ("a=b=c", ("a=b", "c")),
        ("a=b =c", ("a=b", "c")),
        ("a= b=c", ("a", "b=c")),
        ("a =", ("a", "")),
        ("a=", ("a", "")),
        ("==", ("=", "")),
        ("=", None),
        ("= b", None),
        ("a b = c", None),
        ("abc", None),
        (" a = b", None),
    ],
)
def test_settings(line: str, expected: tuple[str, str] | None) -> None:
    assert split_setting(line) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("a b  c", ("a", "b", "c")),
        ('"a b" c', ("a b", "c")),
        ("'a \"b' c", ('a "b', "c")),
        ('"a"b', ("a", "b")),
        ('a"b c"', ('a"b', 'c"')),
        ('"a\\"b" c', ('a"b', "c")),
        ("a\\ b c", ("a b", "c")),
        ("a\\", ("a\\",)),
        ('"abc d', ('"abc', "d")),
        ('"abc\\" d', ("abc\\", "d")),
        ('"\\\\"', ("\\",)),
        ('"\\\\\\"', ("\\\\",)),
        ('""', ("",)),
        ("", ()),
    ],
)
def test_fields(line: str, expected: tuple[str, ...]) -> None:
    assert split_fields(line) == expected


def test_what_a_line_is() -> None:
    assert statement(HERE, "+ a = b") == Header(HERE, 2, "a = b")
    assert statement(HERE, "a = b") == Setting(HERE, "a", "b")
    assert statement(HERE, "a b") == Row(HERE, ("a", "b"))


def test_includes_are_beside_the_including_file() -> None:
    assert beside("/etc/smokeping/config", "config.d/x") == "/etc/smokeping/config.d/x"
    assert beside("config", "x") == "x"
    assert beside("a/b", "/x") == "/x"
    assert lines("@include g\nc = d", g="a = b\n") == [(1, "a=b"), (2, "c=d")]
    assert lines("@include 'g", g="a = b") == [(1, "a=b")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("@define A b c\nx = AA", "x=b cb c"),
        ("@define h.st Q\nhost = hast", "Q=Q"),
        ("@define A b\n@define b c\nx = A", "x=c"),
        ("@define A \\1\nx = A", "x=\\1"),
        ("@define ^a b\na = a", "b=a"),
        ("@define [0-9]+ n\nx = 12 3", "x=n n"),
        ("@define A ***\n*** A ***", "1 ***"),
    ],
)
def test_definitions(text: str, expected: str) -> None:
    assert [said for _, said in lines(text)] == [expected]


def test_definitions_reach_into_included_files_and_out_of_them() -> None:
    assert lines("@define A b\n@include g\nx = C", g="y = A\n@define C d") == [(1, "y=b"), (3, "x=d")]


def test_loops_and_depth() -> None:
    assert refusal("@include f") == "f:1: @include f: the file includes itself; take one @include out"
    chain = {f"g{number}": f"@include g{number + 1}" for number in range(MOST_DEPTH + 1)}
    assert "files within one another" in refusal("@include g0", **chain)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("@define (a+)+$ b\nx = " + "a" * 60 + "!", "could take for ever"),
        ("@define (a|a)*b c\nx = y", "could take for ever"),
        ("@define a?a?a?aaa c\nx = y", "could take for ever"),
        ("@define [ c\nx = y", "no regular expression"),
        ("@define a*$ b\n" + ("x = " + "a" * 4000 + "!\n") * 100, "take too long"),
        ("\n".join(f"@define {c} {c.upper() * 2}{chr(ord(c) + 1) * 9}" for c in "abcdefghij") + "\nx = aaaa", "makes this line longer"),
        ("x = " + "a" * (LONGEST_LINE + 1), "longer than 128 KiB"),
        ("x = \\\n" + ("a" * 99 + "\\\n") * 2000, "longer than 128 KiB"),
        ("\xef\xbb\xbf*** General ***", "byte order mark"),
    ],
)  # fmt: skip
def test_bounds(text: str, says: str) -> None:
    message = refusal(text)
    assert says in message
    assert message.startswith("f:")


def test_an_include_of_many_gigabytes_ends() -> None:
    """Each file includes the next one ten times: what is read is bounded, not what is written."""
    files = {f"g{n}": f"@include g{n + 1}\n" * 10 + "#" * 50_000 for n in range(12)} | {"g12": "#" * 1000}
    assert "more than 64 MiB" in refusal("@include g0", **files)


def test_names_in_messages_fit_on_a_line() -> None:
    assert printable("a\nb\x00\x1b[31m") == "a\\nb\\x00\\x1b[31m"
    assert printable("Z\xc3\xbcrich") == "Zürich"
    assert len(printable("x" * 1000)) == 121
