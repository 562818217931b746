"""Tables for people, JSON for programs."""

import json

import pytest

from smokemesh.cli.output import print_json, print_table


def test_a_table_in_a_pipe_keeps_each_row_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {"name": "boomer", "title": "常州一号 " + "x" * 200, "rounds": 7, "labels": ["a", "b"]},
        {"name": "[red]tokyo[/red]", "title": "", "rounds": 12345, "labels": []},
    ]
    print_table(rows, {"name": "agent", "title": "title", "rounds": "rounds", "labels": "labels"})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert lines[0].split() == ["agent", "title", "rounds", "labels"]
    assert lines[1].split() == ["boomer", "常州一号", "x" * 200, "7", "a,", "b"]
    assert lines[2].split()[:3] == ["[red]tokyo[/red]", "-", "12345"]
    assert "     7" in lines[1]  # numbers stand to the right


def test_json_is_readable_and_not_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    print_json([{"title": "常州"}])
    out = capsys.readouterr().out
    assert "常州" in out
    assert json.loads(out) == [{"title": "常州"}]
