"""YAML text becomes nodes that know their line, or a ConfigError with a line."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from smokemesh.errors import ConfigError
from smokemesh.settings import yaml
from smokemesh.settings.yaml import Mapping, Scalar, Sequence, parse


def refuse(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(text, "f.yaml")
    return str(caught.value)


def test_nodes_know_their_lines() -> None:
    root = parse("a: 1\nb:\n  - x\n  - {c: 'y z'}\n", "f.yaml")
    assert isinstance(root, Mapping)
    assert root.lines == {"a": 1, "b": 2}
    assert root.entries["a"] == Scalar(file="f.yaml", line=1, text="1")
    listed = root.entries["b"]
    assert isinstance(listed, Sequence)
    inner = listed.items[1]
    assert isinstance(inner, Mapping)
    assert inner.entries["c"] == Scalar(file="f.yaml", line=4, text="y z", quoted=True)


@pytest.mark.parametrize("written", ["0000ff", "012", "on", "no", "1:30", "1e3", "0x10", "2026-01-01", ".5"])
def test_scalars_stay_as_written(written: str) -> None:
    root = parse(f"a: {written}", "f")
    assert isinstance(root, Mapping)
    assert root.entries["a"] == Scalar(file="f", line=1, text=written)


@pytest.mark.parametrize(
    ("text", "empty"), [("a:", True), ("a: ~", True), ("a: null", True), ("a: ''", False), ("a: 'null'", False)]
)
def test_nothing_is_told_from_an_empty_text(text: str, empty: bool) -> None:
    root = parse(text, "f")
    assert isinstance(root, Mapping)
    value = root.entries["a"]
    assert isinstance(value, Scalar)
    assert value.empty is empty


def test_anchors_and_merge_keys() -> None:
    root = parse("base: &b {x: 1, y: 2}\none: {<<: *b, y: 3}\ntwo: {<<: [*b, {z: 4}]}\n", "f")
    assert isinstance(root, Mapping)
    one, two = root.entries["one"], root.entries["two"]
    assert isinstance(one, Mapping)
    assert isinstance(two, Mapping)
    assert {k: v.text for k, v in one.entries.items() if isinstance(v, Scalar)} == {"x": "1", "y": "3"}
    assert list(two.entries) == ["x", "y", "z"]


def test_a_byte_order_mark_is_no_text() -> None:
    root = parse("\ufeffa: 1", "f")
    assert isinstance(root, Mapping)
    assert list(root.entries) == ["a"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3", "f.yaml:3: duplicate a: first on line 1; remove one or rename it"),
        ("t:\n  g:\n    x: 1\n    x: 2", "f.yaml:4: duplicate t.g.x: first on line 3; remove one or rename it"),
        ("a:\n\tb: 1", "f.yaml:2: a tab; indent with spaces"),
        ("a: 1\n---\nb: 2", "f.yaml:2: a second document begins here; a file holds one, remove the `---`"),
        ("a: *b", "f.yaml:1: *b: nothing before this line is called &b"),
        ("a: &b\n  - *b", "f.yaml:2: *b stands inside &b itself"),
        ("? [x]\n: 1", "f.yaml:1: a key is a list or mapping; write a word"),
        ("a: 1\n<<: 2", "f.yaml:2: << takes a mapping; write `<<: *name` of one that has an anchor `&name`"),
        ("a: !!python/name:os.system x", "f.yaml:1: tag tag:yaml.org,2002:python/name:os.system: remove it, values need none here"),
        ("a: b: c", "f.yaml:1: not YAML: mapping values are not allowed in this context; put text that holds a colon and a blank in quotes"),
        ("a: [1, 2", "f.yaml:1: not YAML: did not find expected ',' or ']'; close the bracket or quote that opens here"),
        ("a: 'x", "f.yaml:1: not YAML: found unexpected end of stream; close the bracket or quote that opens here"),
        ("[" * 130, "f.yaml:1: nested deeper than 120 levels; make the tree flatter"),
    ],
)  # fmt: skip
def test_refusals_name_line_and_cure(text: str, message: str) -> None:
    assert refuse(text) == message


def test_a_text_that_unfolds_without_bound_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    laughs = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 30))
    assert refuse(laughs) == "f.yaml:8: unfolds to more than 4000000 values; use fewer anchors"
    monkeypatch.setattr(yaml, "MOST_TEXT", 10)
    assert "split it" in refuse("a: 12345678")


def never_worse_than_one_line(text: str) -> None:
    message = ""
    try:
        assert isinstance(parse(text, "f"), Mapping | Sequence | Scalar)
    except ConfigError as error:
        message = str(error)
    assert "\n" not in message


@given(st.text())
@example("\ud800")
@example("\0")
@example("%YAML 9.9\n---\n")
def test_any_text_gives_nodes_or_a_config_error(text: str) -> None:
    never_worse_than_one_line(text)


@given(st.text(alphabet="abc:[]{}&*<>-?!#'\"|\n\t ,~%@`0", max_size=60))
def test_any_yaml_like_text_gives_nodes_or_a_config_error(text: str) -> None:
    never_worse_than_one_line(text)
