"""What pages beside the tree are made of: several targets in one graph, other trees, search, remarks, colours of loss."""

import time
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smokemesh.master.web import palette
from smokemesh.master.web.hierarchies import hierarchy_of
from smokemesh.master.web.menu import Links
from smokemesh.master.web.overlay import COLORS, overlay_of
from smokemesh.master.web.remark import remark
from smokemesh.master.web.search import Index
from smokemesh.model.agent import Agent
from smokemesh.model.target import Node, Target
from smokemesh.settings.shape import MasterSettings, Presentation


def leaf(path: str, *agents: str, host: str = "h.example", title: str = "", **places: str) -> Node:
    target = Target(path=path, host=host, probe="ping", agents=agents or ("local",))
    return Node(path=path, menu=path.rsplit("/", 1)[1], title=title, target=target, places=places)


def settings_of(*nodes: Node, **presentation: object) -> MasterSettings:
    return MasterSettings(
        agents={"tokyo": Agent(name="tokyo", display_name="Tōkyō")},
        tree=Node(path="/", menu="", title="", children=nodes),
        presentation=Presentation(**presentation),  # type: ignore[arg-type]
    )


# ---------------------------------------------------------------- several targets


def drawn(*entries: str, **presentation: object) -> tuple[list[tuple[str, str, str]], tuple[str, ...]]:
    page = Node(path="/m", menu="m", title="", overlay=entries)
    made = settings_of(leaf("/a", "local", "tokyo"), leaf("/b", "tokyo", "lima"), leaf("/c"), page, **presentation)
    found = overlay_of(made, page)
    return [(line.name, line.title, line.color) for line in found.lines], found.missing


def test_a_plain_entry_is_what_the_master_measures_itself() -> None:
    lines, missing = drawn("/a", "/a~tokyo", "/c")
    assert lines == [
        ("/a~local", "a", COLORS[0]),
        ("/a~tokyo", "a <Tōkyō", COLORS[1]),
        ("/c~local", "c", COLORS[2]),
    ]
    assert missing == ()


def test_where_the_master_does_not_measure_everyone_who_does_is_drawn() -> None:
    assert [title for _, title, _ in drawn("/b")[0]] == ["b <Tōkyō", "b <lima"]


def test_entries_without_a_target_are_named_and_twice_is_once() -> None:
    lines, missing = drawn("/gone", "/a", "/a", "/a~nobody", "/m")
    assert [name for name, _, _ in lines] == ["/a~local"]
    assert missing == ("/gone", "/a~nobody", "/m")


def test_colours_come_in_turn() -> None:
    lines, _ = drawn("/a", "/b", "/c", overlay_colors=("111111", "222222"))
    assert [color for _, _, color in lines] == ["111111", "222222", "111111", "222222"]


# ---------------------------------------------------------------- other trees


def test_a_hierarchy_grows_from_the_places() -> None:
    group = Node(
        path="/eu", menu="EU", title="Europe", children=(leaf("/eu/www", owner="/web"),), places={"owner": "/"}
    )
    made = settings_of(
        group, leaf("/us/www", owner="web"), leaf("/x", owner="/web/www"), leaf("/y"),
        replace(leaf("/z", owner="/web"), hidden=True), hierarchies={"owner": "By owner"},
    )  # fmt: skip
    found = hierarchy_of(made, "owner")
    assert found is not None
    assert [node.path for node in found.root.walk()] == ["/", "/eu", "/web", "/web/www", "/web/www/x", "/web/www.2"]
    assert found.real == {"/eu": "/eu", "/web/www": "/eu/www", "/web/www.2": "/us/www", "/web/www/x": "/x"}
    assert found.standing("/x") == "/web/www/x"
    assert found.standing("/y") == ""
    links = Links(found)
    assert [links(node) for node in found.root.walk()][:4] == [
        "/hierarchies/owner", "/targets/eu?hierarchy=owner", "/hierarchies/owner/web", "/targets/eu/www?hierarchy=owner",
    ]  # fmt: skip
    assert hierarchy_of(made, "none") is None


# ---------------------------------------------------------------- search

INDEX = Index(
    settings_of(
        leaf("/eu/zurich", title="Zürich", host="192.0.2.7"),
        leaf("/eu/rack29", title="29柜"),
        leaf("/asia/tokyo", title="Tokyo (uplink)"),
        replace(leaf("/hidden/tokyo2"), hidden=True),
        leaf("/tok", title="short"),
    )
)


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("zürICH", ["/eu/zurich"]), ("192.0.2", ["/eu/zurich"]), ("柜", ["/eu/rack29"]), ("eu rack", ["/eu/rack29"]),
        ("tok", ["/tok", "/asia/tokyo"]), ("(upl", ["/asia/tokyo"]), ("", []), ("   ", []), ("none", []),
    ],
)  # fmt: skip
def test_words(typed: str, found: list[str]) -> None:
    assert [node.path for node in INDEX.words(typed).nodes] == found


@pytest.mark.parametrize(
    ("typed", "found", "literal"),
    [
        ("^tok", ["/tok", "/asia/tokyo"], False), ("RACK|zur", ["/eu/rack29", "/eu/zurich"], False),
        ("[0-9]+柜$", ["/eu/rack29"], False), ("(upl", ["/asia/tokyo"], True), ("*", [], True), ("", [], False),
    ],
)  # fmt: skip
def test_expressions(typed: str, found: list[str], literal: bool) -> None:
    answer = INDEX.expression(typed)
    assert ([node.path for node in answer.nodes], answer.literal) == (found, literal)


@given(st.text(alphabet="ab(|)*+[]^$.?{}0-9\\", max_size=60))
@settings(max_examples=150)
def test_no_expression_fails(typed: str) -> None:
    INDEX.expression(typed)


def test_ten_thousand_places_are_searched_at_once_and_no_expression_holds_it_up() -> None:
    many = settings_of(*(leaf(f"/t{k}", title="a" * 60) for k in range(10_000)))
    begin = time.process_time()
    index = Index(many)
    assert len(index.words("t99").nodes) == 111
    index.expression("(a+)+(a|aa)+(a|a)*b$")
    assert time.process_time() - begin < 2


# ---------------------------------------------------------------- remarks


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("plain & simple", "plain &amp; simple"),
        ("a <b>bold</b><br/>word", "a <b>bold</b><br>word"),
        ("<script>alert(1)</script>x", "x"),
        ("<img src=x onerror=alert(1)>y", "y"),
        ('<a href="https://example.net/?a=1&b=2" onclick=x>z</a>',
         '<a href="https://example.net/?a=1&amp;b=2" rel="noopener noreferrer">z</a>'),
        ('<a href="java\nscript:alert(1)">z</a>', "<a>z</a>"),
        ("<a href='data:text/html,x'>z</a>", "<a>z</a>"),
        ("<p><b>open", "<p><b>open</b></p>"),
        ("</div></main>x", "x"),
        ("1 < 2 > 0", "1 &lt; 2 &gt; 0"),
        ("<b style='x' class=y>s</b>", "<b>s</b>"),
    ],
)  # fmt: skip
def test_remarks_are_safe(written: str, shown: str) -> None:
    assert str(remark(written)) == shown


@given(st.text(alphabet="<>/ab='\" ipscript&;!-", max_size=80))
@settings(max_examples=200)
def test_no_remark_opens_what_it_does_not_close(written: str) -> None:
    shown = str(remark(written))
    assert "<script" not in shown.lower()
    for tag in ("a", "b", "i", "p", "s"):
        assert shown.count(f"<{tag}>") + shown.count(f"<{tag} ") == shown.count(f"</{tag}>")


# ---------------------------------------------------------------- colours of loss


@pytest.mark.parametrize(
    ("rows", "steps"),
    [
        ([(0, "00ff00", "none"), (5, "ffff00", "some"), (10, "ff8800", "")],
         [(0, "00ff00", "none"), (5, "ffff00", "some"), (10, "ff8800", "10"), (19.9, "ff8800", ">10"), (20, "a00000", "20/20")]),
        ([(1, "00ff00", "<1"), (3, "0000ff", "<3"), (100, "ff0000", ">=3")],
         [(0, "00ff00", "0"), (1, "00ff00", "<1"), (3, "0000ff", "<3"), (19.9, "ff0000", ">=3"), (20, "a00000", "20/20")]),
        ([(20, "000000", "all"), (19, "ff0000", "much")],
         [(0, "ff0000", "0"), (19, "ff0000", "much"), (19.9, "ff0000", ">19"), (20, "000000", "all")]),
    ],
)  # fmt: skip
def test_a_configurations_colours_of_loss_are_counts(
    rows: list[tuple[float, str, str]], steps: list[tuple[float, str, str]]
) -> None:
    found = palette.loss_steps(settings_of(loss_colors=tuple(rows)), 20)
    assert [(step.color, step.label) for step in found] == [(color, label) for _, color, label in steps]
    for step, (lost, _, _) in zip(found, steps, strict=True):
        assert step.most == pytest.approx(min(lost, 20) / 20, abs=0.01)
    assert found[-2].most < 1 == found[-1].most


def test_without_any_they_are_the_usual_ones() -> None:
    assert len(palette.loss_steps(settings_of(), 20)) == 8
